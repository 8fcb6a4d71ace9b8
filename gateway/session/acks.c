/* ACK and NACK (STOMP 1.2, "ACK"; contracts: rabbitmq-stomp 2.5). */
#include "gateway/session/session_internal.h"

/* What a message-id may turn out to be. */
enum finding {
    ACK_FOUND,
    ACK_STALE,     /* it went with its channel: it will be delivered again, nothing is to be done */
    ACK_MALFORMED, /* none of ours: of a shared subscription, say */
    ACK_FOREIGN,   /* another session's, or another subscription's */
    ACK_NOT_WAITING /* acknowledged already, or never delivered */
};

/* In 1.2 it is `id`; Spring's clients and others give `message-id` there as well. */
static struct slice id_of(const struct session *s, const struct stomp_frame *frame)
{
    struct slice id = {NULL, 0};
    if (s->version == STOMP_1_2) {
        id = stomp_frame_get(frame, "id");
    }
    return id.ptr ? id : stomp_frame_get(frame, "message-id");
}

static const char *id_header(const struct session *s)
{
    return s->version == STOMP_1_2 ? "id" : "message-id";
}

/* Cuts what follows the last @@ off and returns it; ptr NULL when there is no @@. */
static struct slice cut(struct slice *text)
{
    for (size_t at = text->len; at >= 2; at--) {
        if (text->ptr[at - 1] == '@' && text->ptr[at - 2] == '@') {
            struct slice rest = {text->ptr + at, text->len - at};
            text->len = at - 2;
            return rest;
        }
    }
    return (struct slice){NULL, 0};
}

/* As we write it: no sign, no leading zero. 0 when it is none. */
static uint64_t read_number(struct slice text)
{
    uint64_t n = 0;
    if (!text.ptr || text.len == 0 || text.len > 19 || text.ptr[0] == '0') {
        return 0;
    }
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] < '0' || text.ptr[i] > '9') {
            return 0;
        }
        n = n * 10 + (uint64_t)(text.ptr[i] - '0');
    }
    return n;
}

static enum finding find(const struct session *s, struct slice id, uint64_t *number,
                         struct unacked **found)
{
    struct slice front = id;
    *number = read_number(cut(&front));
    struct slice session = cut(&front);
    bool is_ours = slice_starts_with(front, SLICE_LITERAL("T_")) ||
                   slice_starts_with(front, SLICE_LITERAL("Q_"));
    if (*number == 0 || !session.ptr || !is_ours) {
        return ACK_MALFORMED;
    }
    if (!slice_is(session, s->name)) {
        return ACK_FOREIGN;
    }
    *found = unacked_find(s, *number);
    if (!*found) {
        return unacked_is_stale(s, *number) ? ACK_STALE : ACK_NOT_WAITING;
    }
    if ((*found)->id_hash != deliveries_hash(front)) {
        return ACK_FOREIGN;
    }
    return (*found)->is_claimed ? ACK_NOT_WAITING : ACK_FOUND;
}

/* In RabbitMQ's words; those of the last are the broker's, which closes the channel over it. */
static void refuse(struct session *s, const struct stomp_frame *frame, enum finding finding,
                   uint64_t number)
{
    struct error_about about = error_about_frame(frame);
    struct slice id = id_of(s, frame);
    if (finding == ACK_MALFORMED) {
        error_refuse(s, CLOSE_REFUSED_FRAME, &about, "Invalid header",
                     "\"%.*s\" must include a valid \"%s\" header\n", (int)frame->command_text.len,
                     frame->command_text.ptr, id_header(s));
    } else if (finding == ACK_FOREIGN) {
        error_refuse(s, CLOSE_REFUSED_FRAME, &about, "Subscription not found",
                     "Message with id \"%.*s\" has no subscription", (int)id.len, id.ptr);
    } else {
        error_refuse(s, CLOSE_REFUSED_FRAME, &about, "precondition_failed",
                     "PRECONDITION_FAILED - unknown delivery tag %llu", (unsigned long long)number);
    }
}

/* Of a NACK. -1 when the header is neither true nor false. */
static int read_requeue(const struct session *s, const struct stomp_frame *frame, bool *requeue)
{
    struct slice text = stomp_frame_get(frame, "requeue");
    *requeue = s->settings->config->stomp.nack_requeue;
    if (frame->command != STOMP_NACK || !text.ptr) {
        return 0;
    }
    *requeue = slice_is(text, "true") || slice_is(text, "True");
    return *requeue || slice_is(text, "false") || slice_is(text, "False") ? 0 : -1;
}

/* The message that it is about, and how it ends. NULL: ERROR was sent, or *is_for_nothing. */
static struct unacked *resolve(struct session *s, const struct stomp_frame *frame, bool *requeue,
                               bool *is_for_nothing)
{
    struct unacked *u = NULL;
    uint64_t number;
    struct slice id = id_of(s, frame);
    *is_for_nothing = false;
    if (!id.ptr) {
        error_missing_header(s, frame, id_header(s));
        return NULL;
    }
    if (read_requeue(s, frame, requeue) != 0) {
        struct error_about about = error_about_frame(frame);
        error_refuse(s, CLOSE_REFUSED_FRAME, &about, "Processing error",
                     "requeue must be true or false\n");
        return NULL;
    }
    enum finding finding = find(s, id, &number, &u);
    if (finding == ACK_FOUND) {
        return u;
    }
    *is_for_nothing =
        finding == ACK_STALE || s->settings->config->stomp.unknown_ack == CONFIG_UNKNOWN_IGNORE;
    if (!*is_for_nothing) {
        refuse(s, frame, finding, number);
    }
    return NULL;
}

void acks_take(struct session *s, const struct stomp_frame *frame)
{
    struct slice transaction = stomp_frame_get(frame, "transaction");
    struct slice receipt = stomp_frame_get(frame, "receipt");
    bool requeue;
    bool is_for_nothing;
    if (transaction.ptr) {
        tx_take(s, frame, transaction);
        return;
    }
    struct unacked *u = resolve(s, frame, &requeue, &is_for_nothing);
    if (u) {
        unacked_answer(s, u, frame->command == STOMP_NACK, requeue);
        if (receipt.ptr) {
            syncs_add(s, receipt, false);
        }
    } else if (is_for_nothing) {
        reply_receipt_of(s, frame);
    }
}

/* ---- In transactions ---- */

bool acks_claim(struct session *s, const struct stomp_frame *frame, bool *is_for_nothing)
{
    bool requeue;
    struct unacked *u = resolve(s, frame, &requeue, is_for_nothing);
    if (u) {
        u->is_claimed = true;
    }
    return u || *is_for_nothing;
}

/* NULL when it is gone: a later cumulative ACK, or a lost channel, came first. */
static struct unacked *claimed(const struct session *s, const struct stomp_frame *frame)
{
    struct unacked *u = NULL;
    uint64_t number;
    (void)find(s, id_of(s, frame), &number, &u);
    return u;
}

void acks_unclaim(struct session *s, const struct stomp_frame *frame)
{
    struct unacked *u = claimed(s, frame);
    if (u) {
        u->is_claimed = false;
    }
}

void acks_execute(struct session *s, const struct stomp_frame *frame)
{
    struct unacked *u = claimed(s, frame);
    bool requeue;
    if (u && read_requeue(s, frame, &requeue) == 0) {
        unacked_answer(s, u, frame->command == STOMP_NACK, requeue);
    }
}
