/* A COMMIT from the moment its SENDs are let go until it is answered.
 *
 * Its ACKs and NACKs go to the broker when every SEND was confirmed: a message whose answer was
 * refused stays unacknowledged and comes again. */
#include "gateway/session/session_internal.h"

#include <stdio.h>
#include <stdlib.h>

static void free_acks(struct parked_frame *acks)
{
    while (acks) {
        struct parked_frame *next = acks->next;
        parked_free(acks);
        acks = next;
    }
}

static size_t bytes_of(const struct parked_frame *acks)
{
    size_t bytes = 0;
    for (; acks; acks = acks->next) {
        bytes += acks->size;
    }
    return bytes;
}

struct commit *commit_new(struct session *s, size_t n_sends, struct parked_frame *acks,
                          struct slice receipt)
{
    struct commit *commit = calloc(1, sizeof(*commit) + receipt.len);
    if (!commit) {
        free_acks(acks);
        return NULL;
    }
    commit->n_left = n_sends ? n_sends : 1; /* to be told once */
    commit->acks = acks;
    s->n_ack_commits += acks != NULL;
    s->parked_bytes += bytes_of(acks);
    if (receipt.ptr) {
        char *text = (char *)(commit + 1);
        memcpy(text, receipt.ptr, receipt.len);
        commit->receipt = (struct slice){text, receipt.len};
    }
    return commit;
}

static void free_commit(struct session *s, struct commit *commit)
{
    s->n_ack_commits -= commit->acks != NULL;
    s->parked_bytes -= bytes_of(commit->acks);
    free_acks(commit->acks);
    free(commit);
}

/* A receipt of an ACK's own is due with it. */
static void execute_acks(struct session *s, const struct commit *commit)
{
    struct stomp_frame frame;
    for (const struct parked_frame *parked = commit->acks; parked; parked = parked->next) {
        parked_frame(parked, &frame);
        acks_execute(s, &frame);
    }
    for (const struct parked_frame *parked = commit->acks; parked; parked = parked->next) {
        parked_frame(parked, &frame);
        struct slice receipt = stomp_frame_get(&frame, "receipt");
        if (receipt.ptr && s->state != SESSION_STATE_CLOSED) {
            syncs_add(s, receipt, false);
        }
    }
}

static void succeed(struct session *s, const struct commit *commit)
{
    execute_acks(s, commit);
    if (!commit->receipt.ptr || s->state == SESSION_STATE_CLOSED) {
        return;
    }
    if (commit->acks) {
        syncs_add(s, commit->receipt, false);
    } else {
        reply_receipt(s, commit->receipt);
    }
}

/* The messages are the client's again, and their ACKs were for nothing. */
static void give_up(struct session *s, const struct commit *commit)
{
    struct stomp_frame frame;
    for (const struct parked_frame *parked = commit->acks; parked; parked = parked->next) {
        parked_frame(parked, &frame);
        struct error_about about = error_about_frame(&frame);
        acks_unclaim(s, &frame);
        if (about.receipt.ptr && s->state != SESSION_STATE_CLOSED) {
            error_refuse(s, CLOSE_REFUSED_FRAME, &about, "Bad transaction",
                         "Not done: a message of the transaction was refused\n");
        }
    }
}

void commit_done(struct session *s, struct commit *commit)
{
    if (--commit->n_left > 0) {
        return;
    }
    if (commit->has_failed) {
        give_up(s, commit);
    } else if (!commit->is_dropped && s->state != SESSION_STATE_CLOSED) {
        succeed(s, commit);
    }
    free_commit(s, commit);
}

void commit_drop(struct session *s, struct commit *commit)
{
    commit->is_dropped = true;
    if (--commit->n_left == 0) {
        free_commit(s, commit);
    }
}

void commit_refuse(struct session *s, struct commit *commit, unsigned position,
                   const struct error_about *about, const struct session_problem *problem)
{
    bool is_first = commit && !commit->has_failed;
    if (commit) {
        commit->has_failed = true;
    }
    if (is_first && commit->receipt.ptr) {
        const struct error_about whole = {.receipt = commit->receipt,
                                          .destination = about->destination};
        error_refuse(s, problem->reason, &whole, problem->message,
                     "Message %u of the transaction, to '%.*s', was refused: %s", position,
                     (int)about->destination.len, about->destination.ptr, problem->text);
        if (!about->receipt.ptr) {
            return;
        }
    }
    if (s->state != SESSION_STATE_CLOSED) {
        error_refuse(s, problem->reason, about, problem->message, "%s", problem->text);
    }
}
