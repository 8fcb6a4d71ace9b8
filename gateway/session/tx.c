/* Transactions (STOMP 1.2, "BEGIN"): the SENDs, ACKs and NACKs of a transaction are checked when
 * they come and kept until COMMIT. It publishes the SENDs in order, and when all are confirmed its
 * acks go to the broker; only then comes its RECEIPT. AMQP has nothing that would make them one:
 * when the broker refuses one, the ERROR says which, and those before it were sent. */
#include "gateway/session/outgoing.h"
#include "gateway/session/session_internal.h"

#include <stdlib.h>

#define TX_MAX 16 /* open at the same time: RabbitMQ's number */

struct tx {
    struct tx *next;
    struct parked_queue sends;
    struct parked_queue acks;
    size_t n; /* of both */
    size_t bytes;
    unsigned n_sends;
    bool is_broken; /* a frame of it was refused: COMMIT will be as well */
    size_t id_len;
    char id[];
};

static struct tx **find(struct session *s, struct slice id)
{
    struct tx **at = &s->txs;
    while (*at && !slice_equals((struct slice){(*at)->id, (*at)->id_len}, id)) {
        at = &(*at)->next;
    }
    return at;
}

/* Takes it out of the session. */
static struct tx *unlink_tx(struct session *s, struct tx **at)
{
    struct tx *tx = *at;
    *at = tx->next;
    s->n_txs--;
    s->txs_bytes -= tx->bytes;
    return tx;
}

static struct parked_frame *pop(struct parked_queue *queue)
{
    struct parked_frame *parked = queue->head;
    if (parked) {
        queue->head = parked->next;
        parked->next = NULL;
    }
    return parked;
}

/* Its messages are the client's again. */
static void free_tx(struct session *s, struct tx *tx)
{
    struct parked_frame *parked;
    struct stomp_frame frame;
    while ((parked = pop(&tx->sends)) != NULL) {
        parked_free(parked);
    }
    while ((parked = pop(&tx->acks)) != NULL) {
        parked_frame(parked, &frame);
        acks_unclaim(s, &frame);
        parked_free(parked);
    }
    free(tx);
}

static void bad(struct session *s, const struct stomp_frame *frame, const char *what,
                struct slice id)
{
    struct error_about about = error_about_frame(frame);
    error_refuse(s, CLOSE_REFUSED_FRAME, &about, "Bad transaction", "%s: \"%.*s\"\n", what,
                 (int)id.len, id.ptr);
}

static void too_much(struct session *s, const struct stomp_frame *frame)
{
    struct error_about about = error_about_frame(frame);
    error_refuse(s, CLOSE_LIMIT, &about, "Transaction too large",
                 "A session may have %d open transactions, with %d frames each and %d bytes in "
                 "all\n",
                 TX_MAX, s->settings->config->limits.unconfirmed,
                 s->settings->config->limits.unconfirmed_bytes);
}

void tx_begin(struct session *s, const struct stomp_frame *frame)
{
    struct slice id = stomp_frame_get(frame, "transaction");
    if (!id.ptr) {
        error_missing_header(s, frame, "transaction");
        return;
    }
    if (*find(s, id)) {
        bad(s, frame, "Transaction has begun already", id);
        return;
    }
    if (s->n_txs == TX_MAX || id.len > SESSION_ID_MAX) {
        too_much(s, frame);
        return;
    }
    struct tx *tx = calloc(1, sizeof(*tx) + id.len);
    if (!tx) {
        error_out_of_memory(s);
        return;
    }
    if (id.len) {
        memcpy(tx->id, id.ptr, id.len);
    }
    tx->id_len = id.len;
    tx->next = s->txs;
    s->txs = tx;
    s->n_txs++;
    reply_receipt_of(s, frame);
}

void tx_spoil(struct session *s, const struct stomp_frame *frame)
{
    struct slice id = stomp_frame_get(frame, "transaction");
    struct tx *tx = id.ptr ? *find(s, id) : NULL;
    bool is_held =
        frame->command == STOMP_SEND || frame->command == STOMP_ACK || frame->command == STOMP_NACK;
    if (tx && is_held) {
        tx->is_broken = true;
    }
}

/* True when it is to be kept; else it had its ERROR, or (of what is to be ignored) its RECEIPT. */
static bool check(struct session *s, const struct stomp_frame *frame, struct tx *tx)
{
    bool is_send = frame->command == STOMP_SEND;
    bool is_ignored = false;
    bool is_right =
        is_send ? outgoing_check(s, frame, &is_ignored) : acks_claim(s, frame, &is_ignored);
    if (!is_right) {
        tx->is_broken = true;
    } else if (is_ignored) {
        reply_receipt_of(s, frame);
    }
    return is_right && !is_ignored;
}

static void keep(struct session *s, struct tx *tx, struct parked_frame *parked)
{
    bool is_send = parked->command == STOMP_SEND;
    struct parked_queue *queue = is_send ? &tx->sends : &tx->acks;
    if (queue->head) {
        queue->tail->next = parked;
    } else {
        queue->head = parked;
    }
    queue->tail = parked;
    if (is_send) {
        parked->position = ++tx->n_sends;
    }
    tx->n++;
    tx->bytes += parked->size;
    s->txs_bytes += parked->size;
}

void tx_take(struct session *s, const struct stomp_frame *frame, struct slice id)
{
    struct tx *tx = *find(s, id);
    if (!tx) {
        bad(s, frame, "Invalid transaction identifier", id);
        return;
    }
    if (!check(s, frame, tx)) {
        return;
    }
    struct parked_frame *parked = parked_copy(frame, s->now_ms);
    if (!parked) {
        error_out_of_memory(s);
        return;
    }
    size_t max = (size_t)s->settings->config->limits.unconfirmed_bytes;
    if (tx->n == (size_t)s->settings->config->limits.unconfirmed ||
        s->txs_bytes + parked->size > max) {
        tx->is_broken = true;
        if (frame->command != STOMP_SEND) {
            acks_unclaim(s, frame);
        }
        parked_free(parked);
        too_much(s, frame);
        return;
    }
    keep(s, tx, parked);
}

/* Hands the SENDs over to the queue of those that wait for room; the step's end publishes them. */
static void release(struct session *s, struct tx *tx, struct commit *commit)
{
    struct parked_frame *parked;
    while ((parked = pop(&tx->sends)) != NULL) {
        parked->commit = commit;
        parked->arrived_ms = s->now_ms;
        parked_append(s, &s->parked_sends, parked);
    }
    if (tx->n_sends == 0) {
        commit_done(s, commit);
    } else {
        receipts_note(s, s->now_ms);
    }
    free_tx(s, tx);
}

/* Of the frames that it held: RECEIPT, or an ERROR with these words. */
static void answer_held(struct session *s, const struct parked_queue *queue, const char *refusal)
{
    struct stomp_frame frame;
    for (const struct parked_frame *parked = queue->head; parked; parked = parked->next) {
        parked_frame(parked, &frame);
        struct error_about about = error_about_frame(&frame);
        if (!about.receipt.ptr || s->state == SESSION_STATE_CLOSED) {
            continue;
        }
        if (refusal) {
            error_refuse(s, CLOSE_REFUSED_FRAME, &about, "Bad transaction", "%s", refusal);
        } else {
            reply_receipt(s, about.receipt);
        }
    }
}

static void refuse_broken(struct session *s, const struct stomp_frame *frame, struct tx *tx)
{
    static const char refusal[] =
        "Nothing of it was done: a frame of the transaction was refused\n";
    struct error_about about = error_about_frame(frame);
    error_refuse(s, CLOSE_REFUSED_FRAME, &about, "Bad transaction", "%s", refusal);
    answer_held(s, &tx->sends, refusal);
    answer_held(s, &tx->acks, refusal);
}

/* ERROR and NULL when the frame names none. */
static struct tx **named(struct session *s, const struct stomp_frame *frame)
{
    struct slice id = stomp_frame_get(frame, "transaction");
    if (!id.ptr) {
        error_missing_header(s, frame, "transaction");
        return NULL;
    }
    struct tx **at = find(s, id);
    if (!*at) {
        bad(s, frame, "Invalid transaction identifier", id);
        return NULL;
    }
    return at;
}

void tx_commit(struct session *s, const struct stomp_frame *frame)
{
    struct tx **at = named(s, frame);
    if (!at) {
        return;
    }
    struct tx *tx = unlink_tx(s, at);
    if (tx->is_broken || tx->n == 0) {
        if (tx->is_broken) {
            refuse_broken(s, frame, tx);
        } else {
            reply_receipt_of(s, frame);
        }
        free_tx(s, tx);
        return;
    }
    struct parked_frame *acks = tx->acks.head;
    tx->acks.head = NULL;
    struct commit *commit = commit_new(s, tx->n_sends, acks, stomp_frame_get(frame, "receipt"));
    if (!commit) {
        free_tx(s, tx);
        error_out_of_memory(s);
        return;
    }
    release(s, tx, commit);
    sends_retry(s);
}

/* What it held is done with: a receipt that waited for COMMIT comes now. */
void tx_abort(struct session *s, const struct stomp_frame *frame)
{
    struct tx **at = named(s, frame);
    if (!at) {
        return;
    }
    struct tx *tx = unlink_tx(s, at);
    answer_held(s, &tx->sends, NULL);
    answer_held(s, &tx->acks, NULL);
    free_tx(s, tx);
    if (s->state != SESSION_STATE_CLOSED) {
        reply_receipt_of(s, frame);
    }
}

void tx_clear(struct session *s)
{
    while (s->txs) {
        free_tx(s, unlink_tx(s, &s->txs));
    }
}
