/* Receipts that are overdue: each SEND, and each frame that the broker is to answer, has its time.
 */
#include "gateway/session/session_internal.h"

void receipts_note(struct session *s, uint64_t arrived_ms)
{
    int timeout = s->settings->config->limits.receipt_timeout_ms;
    uint64_t due = timeout > 0 ? arrived_ms + (uint64_t)timeout : SESSION_NEVER;
    if (due < s->receipt_due_ms) {
        s->receipt_due_ms = due;
    }
}

/* The oldest receipt of those that wait in a queue, if it is older than *oldest_ms. */
static void oldest_parked(const struct parked_queue *queue, uint64_t *oldest_ms,
                          struct slice *receipt)
{
    for (const struct parked_frame *parked = queue->head; parked; parked = parked->next) {
        struct stomp_frame frame;
        if (parked->command != STOMP_SEND || parked->arrived_ms >= *oldest_ms) {
            continue;
        }
        parked_frame(parked, &frame);
        struct slice found = stomp_frame_get(&frame, "receipt");
        if (!found.ptr && parked->commit) {
            found = parked->commit->receipt;
        }
        if (found.ptr) {
            *oldest_ms = parked->arrived_ms;
            *receipt = found;
            return;
        }
    }
}

static void oldest_send(const struct session *s, uint64_t *oldest_ms, struct slice *receipt)
{
    for (const struct send *send = s->sends; send; send = send->next) {
        bool is_commit = !send->has_receipt && send->commit && send->commit->receipt.ptr;
        if (send->has_receipt || is_commit) {
            *oldest_ms = send->arrived_ms;
            *receipt =
                is_commit ? send->commit->receipt : (struct slice){send->texts, send->receipt_len};
            return;
        }
    }
}

/* receipt_due_ms is only a lower bound: here it becomes exact again. */
void receipts_tick(struct session *s)
{
    if (s->now_ms < s->receipt_due_ms) {
        return;
    }
    uint64_t oldest_ms = SESSION_NEVER;
    struct slice receipt = {NULL, 0};
    oldest_send(s, &oldest_ms, &receipt);
    oldest_parked(&s->parked_sends, &oldest_ms, &receipt);
    oldest_parked(&s->waiting, &oldest_ms, &receipt);
    bool is_sync = syncs_oldest(s, &oldest_ms, &receipt);
    s->receipt_due_ms = SESSION_NEVER;
    if (!receipt.ptr) {
        return;
    }
    receipts_note(s, oldest_ms);
    if (s->now_ms >= s->receipt_due_ms) {
        const struct error_about about = {.receipt = receipt};
        error_end(s, CLOSE_RECEIPT_TIMEOUT, &about, "Receipt timeout",
                  "The broker did not %s within %d ms: it may have been %s or not.\n",
                  is_sync ? "answer the frame" : "confirm the message",
                  s->settings->config->limits.receipt_timeout_ms, is_sync ? "executed" : "sent");
    }
}
