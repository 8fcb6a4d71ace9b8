/* Frames whose answer waits for the broker: ACK and NACK until it has handled them, UNSUBSCRIBE
 * until the consumer is cancelled. One question is on its way to the host at a time: what comes
 * meanwhile shares the next one. */
#include "gateway/session/session_internal.h"

#include <stdlib.h>

static struct sync *pop(struct session *s)
{
    struct sync *sync = s->syncs;
    s->syncs = sync->next;
    if (!s->syncs) {
        s->last_sync = NULL;
    }
    return sync;
}

/* Without a receipt it is DISCONNECT's, which has one of its own. */
static void unknown(struct session *s, struct slice receipt)
{
    static const char text[] = "The broker's answer was not received: messages may come again.\n";
    const struct error_about about = {.receipt = receipt.ptr ? receipt : s->receipt};
    if (receipt.ptr) {
        error_refuse(s, CLOSE_BROKER, &about, "Outcome unknown", "%s", text);
    } else {
        error_end(s, CLOSE_BROKER, &about, "Outcome unknown", "%s", text);
    }
}

static void answer(struct session *s, const struct sync *sync, bool is_ok)
{
    struct slice receipt = {sync->has_receipt ? sync->receipt : NULL, sync->receipt_len};
    if (!is_ok && !sync->is_cancel) {
        unknown(s, receipt);
    } else if (receipt.ptr) {
        reply_receipt(s, receipt);
    }
}

/* All up to this token. */
static void answer_up_to(struct session *s, uint64_t token, bool is_ok)
{
    while (s->syncs && s->syncs->token && s->syncs->token <= token &&
           s->state != SESSION_STATE_CLOSED) {
        struct sync *sync = pop(s);
        answer(s, sync, is_ok);
        free(sync);
    }
}

/* Asks for all that wait, unless an answer is on its way. */
static void ask(struct session *s)
{
    if (s->state == SESSION_STATE_CLOSED || !s->syncs || s->syncs->token) {
        return;
    }
    uint64_t token = ++s->last_sync_token;
    for (struct sync *sync = s->syncs; sync; sync = sync->next) {
        sync->token = token;
    }
    bool has_settled = s->has_settled;
    s->has_settled = false;
    if (!s->host->sync(s->host_data, token)) {
        answer_up_to(s, token, !has_settled); /* the channel went first */
    }
}

void syncs_add(struct session *s, struct slice receipt, bool is_cancel)
{
    struct sync *sync = calloc(1, sizeof(*sync) + receipt.len);
    if (!sync) {
        error_out_of_memory(s);
        return;
    }
    sync->arrived_ms = s->now_ms;
    sync->is_cancel = is_cancel;
    if (receipt.ptr) {
        sync->has_receipt = true;
        sync->receipt_len = (uint16_t)receipt.len;
        memcpy(sync->receipt, receipt.ptr, receipt.len);
        receipts_note(s, s->now_ms);
    }
    if (s->last_sync) {
        s->last_sync->next = sync;
    } else {
        s->syncs = sync;
    }
    s->last_sync = sync;
    ask(s);
}

void syncs_answer(struct session *s, uint64_t token, bool is_ok)
{
    answer_up_to(s, token, is_ok);
    ask(s);
}

bool syncs_has_all(const struct session *s)
{
    return !s->has_settled || (s->last_sync && !s->last_sync->token);
}

bool syncs_oldest(const struct session *s, uint64_t *oldest_ms, struct slice *receipt)
{
    const struct sync *sync = s->syncs;
    while (sync && !sync->has_receipt) {
        sync = sync->next;
    }
    if (!sync || sync->arrived_ms >= *oldest_ms) {
        return false;
    }
    *oldest_ms = sync->arrived_ms;
    *receipt = (struct slice){sync->receipt, sync->receipt_len};
    return true;
}

void syncs_clear(struct session *s)
{
    while (s->syncs) {
        free(pop(s));
    }
}
