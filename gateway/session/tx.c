/* Transactions (STOMP 1.2, "BEGIN"): the SENDs of a transaction are checked when they come and kept
 * until COMMIT, which publishes them in order; its RECEIPT comes when all are confirmed. AMQP has
 * nothing that would make them one: when the broker refuses one of them, the ERROR says so, and
 * those before it were sent. */
#include "gateway/session/session_internal.h"

#include <stdlib.h>

#define TX_MAX 16 /* open at the same time: RabbitMQ's number */

struct tx {
    struct tx *next;
    struct parked_frame *head;
    struct parked_frame *tail;
    size_t n;
    size_t bytes;
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

static void free_tx(struct tx *tx)
{
    while (tx->head) {
        struct parked_frame *next = tx->head->next;
        parked_free(tx->head);
        tx->head = next;
    }
    free(tx);
}

static void bad(struct session *s, const struct stomp_frame *frame, const char *what,
                struct slice id)
{
    struct error_about about = error_about_frame(frame);
    error_end(s, CLOSE_REFUSED_FRAME, &about, "Bad transaction", "%s: \"%.*s\"\n", what,
              (int)id.len, id.ptr);
}

static void too_much(struct session *s, const struct stomp_frame *frame)
{
    struct error_about about = error_about_frame(frame);
    error_end(s, CLOSE_LIMIT, &about, "Transaction too large",
              "A session may have %d open transactions, with %d messages and %d bytes in all\n",
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
    memcpy(tx->id, id.ptr, id.len);
    tx->id_len = id.len;
    tx->next = s->txs;
    s->txs = tx;
    s->n_txs++;
    reply_receipt_of(s, frame);
}

void tx_send(struct session *s, const struct stomp_frame *frame, struct slice id)
{
    struct tx *tx = *find(s, id);
    if (!tx) {
        bad(s, frame, "Invalid transaction identifier", id);
        return;
    }
    if (!sends_check(s, frame)) {
        return;
    }
    struct parked_frame *parked = parked_copy(frame, s->now_ms);
    if (!parked) {
        error_out_of_memory(s);
        return;
    }
    size_t max = (size_t)s->settings->config->limits.unconfirmed_bytes;
    size_t total = s->txs_bytes + parked->size;
    if (tx->n == (size_t)s->settings->config->limits.unconfirmed || total > max) {
        parked_free(parked);
        too_much(s, frame);
        return;
    }
    if (tx->tail) {
        tx->tail->next = parked;
    } else {
        tx->head = parked;
    }
    tx->tail = parked;
    tx->n++;
    tx->bytes += parked->size;
    s->txs_bytes = total;
}

void commit_done(struct session *s, struct commit *commit)
{
    if (--commit->n_left > 0) {
        return;
    }
    if (commit->receipt.ptr && s->state != SESSION_STATE_CLOSED) {
        reply_receipt(s, commit->receipt);
    }
    free(commit);
}

static struct commit *new_commit(size_t n_sends, struct slice receipt)
{
    struct commit *commit = calloc(1, sizeof(*commit) + receipt.len);
    if (!commit) {
        return NULL;
    }
    commit->n_left = n_sends;
    if (receipt.ptr) {
        char *text = (char *)(commit + 1);
        memcpy(text, receipt.ptr, receipt.len);
        commit->receipt = (struct slice){text, receipt.len};
    }
    return commit;
}

/* Hands the SENDs over to the queue of those that wait for room; the step's end publishes them. */
static void release(struct session *s, struct tx *tx, struct commit *commit)
{
    while (tx->head) {
        struct parked_frame *parked = tx->head;
        tx->head = parked->next;
        parked->commit = commit;
        parked->arrived_ms = s->now_ms;
        parked_append(s, &s->parked_sends, parked);
    }
    free_tx(tx);
    sends_note_receipt(s, s->now_ms);
}

void tx_commit(struct session *s, const struct stomp_frame *frame)
{
    struct slice id = stomp_frame_get(frame, "transaction");
    struct slice receipt = stomp_frame_get(frame, "receipt");
    if (!id.ptr) {
        error_missing_header(s, frame, "transaction");
        return;
    }
    struct tx **at = find(s, id);
    if (!*at) {
        bad(s, frame, "Invalid transaction identifier", id);
        return;
    }
    if (!(*at)->head) {
        free_tx(unlink_tx(s, at));
        reply_receipt_of(s, frame);
        return;
    }
    struct commit *commit = new_commit((*at)->n, receipt);
    if (!commit) {
        error_out_of_memory(s);
        return;
    }
    release(s, unlink_tx(s, at), commit);
    sends_retry(s);
}

void tx_abort(struct session *s, const struct stomp_frame *frame)
{
    struct slice id = stomp_frame_get(frame, "transaction");
    if (!id.ptr) {
        error_missing_header(s, frame, "transaction");
        return;
    }
    struct tx **at = find(s, id);
    if (!*at) {
        bad(s, frame, "Invalid transaction identifier", id);
        return;
    }
    free_tx(unlink_tx(s, at));
    reply_receipt_of(s, frame);
}

void tx_clear(struct session *s)
{
    while (s->txs) {
        free_tx(unlink_tx(s, &s->txs));
    }
}
