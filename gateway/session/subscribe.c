#include "gateway/access/acl.h"
#include "gateway/session/session_internal.h"

#include <stdlib.h>

/* ERROR and false when the client may not have this id. */
static bool check_id(struct session *s, const struct stomp_frame *frame, struct slice id,
                     struct slice spelling)
{
    struct error_about about = error_about_frame(frame);
    if (!id.ptr && s->version != STOMP_1_0) {
        error_missing_header(s, frame, "id");
        return false;
    }
    if (id.ptr && (id.len > SESSION_ID_MAX || slice_has_control(id))) {
        error_refuse(s, CLOSE_REFUSED_FRAME, &about, "Invalid header",
                     "'id' may have %d bytes and no control characters\n", SESSION_ID_MAX);
        return false;
    }
    if (!id.ptr && spelling.len > DELIVERIES_SPELLING_MAX) {
        error_refuse(s, CLOSE_REFUSED_FRAME, &about, "Invalid header",
                     "'destination' may have %d bytes where it stands for the id\n",
                     DELIVERIES_SPELLING_MAX);
        return false;
    }
    if (subs_is_reply_id(id)) {
        error_refuse(s, CLOSE_REFUSED_FRAME, &about, "Invalid id",
                     "\"id\" must not begin with /temp-queue/: such are made by reply-to\n");
        return false;
    }
    if (subs_find(s, id, spelling)) {
        struct slice key = id.ptr ? id : spelling;
        error_refuse(s, CLOSE_REFUSED_FRAME, &about, "Duplicated subscription identifier",
                     "A subscription identified by '%c_%.*s' already exists.", id.ptr ? 'T' : 'Q',
                     (int)key.len, key.ptr);
        return false;
    }
    return true;
}

static bool check_ack(struct session *s, const struct stomp_frame *frame, enum session_ack *ack)
{
    struct slice text = stomp_frame_get(frame, "ack");
    struct error_about about = error_about_frame(frame);
    if (!text.ptr || slice_is(text, "auto")) {
        *ack = SESSION_ACK_AUTO;
    } else if (slice_is(text, "client")) {
        *ack = SESSION_ACK_CLIENT;
    } else if (slice_is(text, "client-individual")) {
        *ack = SESSION_ACK_INDIVIDUAL;
    } else {
        error_refuse(s, CLOSE_REFUSED_FRAME, &about, "Processing error",
                     "ack must be auto, client or client-individual\n");
        return false;
    }
    return true;
}

static void refuse_destination(struct session *s, const struct stomp_frame *frame,
                               enum destination_error error)
{
    struct error_about about = error_about_frame(frame);
    char body[512];
    destination_error_body(error, about.destination, body, sizeof(body));
    error_refuse(s, CLOSE_REFUSED_FRAME, &about, destination_error_message(error), "%s", body);
}

/* ERROR (or, of what is to be ignored, RECEIPT) and false when the client may not subscribe this.
 */
static bool check_destination(struct session *s, const struct stomp_frame *frame,
                              struct slice spelling, struct destination *d)
{
    const struct config *config = s->settings->config;
    struct error_about about = error_about_frame(frame);
    enum destination_error error = destination_resolve(config, spelling, d);
    if (error == DESTINATION_UNKNOWN &&
        config->stomp.unknown_destination == CONFIG_UNKNOWN_IGNORE) {
        reply_receipt_of(s, frame);
        return false;
    }
    if (error == DESTINATION_OK) {
        error = destination_check_subscribe(d);
    }
    if (error != DESTINATION_OK) {
        refuse_destination(s, frame, error);
        return false;
    }
    if (!acl_may_subscribe(d, slice_of(s->user))) {
        error_refuse(s, CLOSE_REFUSED_FRAME, &about, "access_refused",
                     "ACCESS_REFUSED - user '%s' may not subscribe to '%.*s'\n", s->user,
                     (int)spelling.len, spelling.ptr);
        return false;
    }
    if (!subs_has_room(s)) {
        error_refuse(s, CLOSE_LIMIT, &about, "Too many subscriptions",
                     "A session may have %d subscriptions\n", config->limits.subscriptions);
        return false;
    }
    return true;
}

/* -1 when it is no number from 0 to 65535. Blanks around it are RabbitMQ's habit. */
static int read_prefetch(struct slice text, uint16_t *prefetch)
{
    uint32_t value = 0;
    text = slice_trim(text);
    for (size_t i = 0; i < text.len; i++) {
        value = value * 10 + (uint32_t)((unsigned char)text.ptr[i] - '0');
        if (text.ptr[i] < '0' || text.ptr[i] > '9' || value > UINT16_MAX) {
            return -1;
        }
    }
    *prefetch = (uint16_t)value;
    return text.len ? 0 : -1;
}

/* RabbitMQ's 0 is "no bound", which nobody gets here: it counts as not given. ERROR and false. */
static bool check_prefetch(struct session *s, const struct stomp_frame *frame, uint16_t *prefetch)
{
    struct slice text = stomp_frame_get(frame, "prefetch-count");
    struct error_about about = error_about_frame(frame);
    uint16_t value = 0;
    if (text.ptr && read_prefetch(text, &value) != 0) {
        error_refuse(s, CLOSE_REFUSED_FRAME, &about, "Processing error",
                     "prefetch-count must be a number from 0 to 65535\n");
        return false;
    }
    return subs_grant_prefetch(s, &about, value, prefetch);
}

/* The queue that is its own; *queue NULL: it shares one. ERROR and false. */
static bool make_queue(struct session *s, const struct stomp_frame *frame,
                       const struct destination *d, uint16_t *prefetch,
                       struct session_queue **queue)
{
    struct session_problem problem = {0};
    struct error_about about = error_about_frame(frame);
    struct session_queue made;
    char random[QUEUE_RANDOM_LEN + 1];
    *queue = NULL;
    *prefetch = 0;
    if (!queue_is_wanted(frame, d)) {
        return true;
    }
    if (!check_prefetch(s, frame, prefetch)) {
        return false;
    }
    s->host->random(s->host_data, random);
    if (queue_from_subscribe(s->settings->config, frame, d, random,
                             acl_may_shape(d, slice_of(s->user)), &made, &problem) != 0) {
        error_problem(s, CLOSE_REFUSED_FRAME, &about, "Invalid header", &problem);
        return false;
    }
    *queue = session_queue_keep(&made);
    if (!*queue) {
        error_out_of_memory(s);
    }
    return *queue != NULL;
}

void subscribe_take(struct session *s, const struct stomp_frame *frame)
{
    struct slice spelling = stomp_frame_get(frame, "destination");
    struct slice id = stomp_frame_get(frame, "id");
    struct error_about about = error_about_frame(frame);
    enum session_ack ack;
    uint16_t prefetch;
    struct session_queue *queue;
    struct destination d;
    if (!spelling.ptr) {
        error_missing_header(s, frame, "destination");
        return;
    }
    if (!check_id(s, frame, id, spelling) || !check_ack(s, frame, &ack) ||
        !check_destination(s, frame, spelling, &d)) {
        return;
    }
    if (!make_queue(s, frame, &d, &prefetch, &queue)) {
        return;
    }
    struct session_subscription *sub = subs_new(s, id, spelling);
    if (!sub) {
        free(queue);
        error_out_of_memory(s);
        return;
    }
    sub->is_pattern = d.is_pattern;
    sub->queue = queue;
    sub->ack = ack;
    sub->prefetch = prefetch;
    if (subs_start(s, sub, &d, &about, about.receipt)) {
        reply_receipt_of(s, frame);
    }
}
