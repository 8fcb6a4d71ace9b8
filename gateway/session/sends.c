#include "amqp/code.h"
#include "gateway/session/outgoing.h"
#include "gateway/session/session_internal.h"

#include <stdlib.h>

/* What a SEND costs while it is unsettled: what the broker connection keeps of it, and its receipt.
 */
static size_t cost(const struct stomp_frame *frame)
{
    size_t bytes = frame->body.len;
    for (unsigned i = 0; i < frame->n_headers; i++) {
        bytes += frame->headers[i].name.len + frame->headers[i].value.len;
    }
    return bytes;
}

/* One that is larger than the whole bound goes alone. */
static bool has_room(const struct session *s, size_t bytes)
{
    size_t max = (size_t)s->settings->config->limits.unconfirmed_bytes;
    bool fits = s->sends_bytes == 0 || (bytes <= max && s->sends_bytes <= max - bytes);
    return !s->has_no_room && fits && s->n_sends < (size_t)s->settings->config->limits.unconfirmed;
}

static char *put_text(char *at, struct slice text)
{
    if (text.len) {
        memcpy(at, text.ptr, text.len);
    }
    return at + text.len;
}

static struct send *new_send(struct session *s, const struct stomp_frame *frame,
                             const struct parked_frame *parked, uint64_t arrived_ms)
{
    struct slice receipt = stomp_frame_get(frame, "receipt");
    struct slice destination = stomp_frame_get(frame, "destination");
    struct send *send = calloc(1, sizeof(*send) + receipt.len + destination.len);
    if (!send) {
        return NULL;
    }
    send->commit = parked ? parked->commit : NULL;
    send->position = parked ? parked->position : 0;
    send->token = ++s->last_token;
    send->arrived_ms = arrived_ms;
    send->bytes = cost(frame);
    send->has_receipt = receipt.ptr != NULL;
    send->receipt_len = (uint16_t)receipt.len;
    send->destination_len = (uint16_t)destination.len;
    put_text(put_text(send->texts, receipt), destination);
    return send;
}

static struct error_about about_send(const struct send *send)
{
    return (struct error_about){
        .receipt = {send->has_receipt ? send->texts : NULL, send->receipt_len},
        .destination = {send->texts + send->receipt_len, send->destination_len},
    };
}

static void keep(struct session *s, struct send *send)
{
    if (s->last_send) {
        s->last_send->next = send;
    } else {
        s->sends = send;
    }
    s->last_send = send;
    s->n_sends++;
    s->sends_bytes += send->bytes;
    if (send->has_receipt) {
        receipts_note(s, send->arrived_ms);
    }
}

/* It will never be sent: ERROR. While the session goes on, this was one SEND of its COMMIT. */
static void refuse(struct session *s, const struct stomp_frame *frame,
                   const struct parked_frame *parked, const struct session_problem *problem)
{
    struct commit *commit = parked ? parked->commit : NULL;
    struct error_about about = error_about_frame(frame);
    commit_refuse(s, commit, parked ? parked->position : 0, &about, problem);
    if (commit && s->state != SESSION_STATE_CLOSED) {
        commit_done(s, commit);
    }
}

/* The queue of its /temp-queue/ may have been lost since the SEND came. */
static bool set_reply_to(const struct session *s, struct outgoing *out,
                         struct session_problem *problem)
{
    struct slice *reply_to = &out->properties.amqp.reply_to;
    if (!slice_starts_with(*reply_to, SLICE_LITERAL(TEMPS_PREFIX))) {
        return true;
    }
    struct slice name = temps_name(s, *reply_to);
    if (!name.ptr) {
        error_write(problem, CLOSE_BROKER, "Processing error",
                    "The queue of reply-to '%.*s' is gone\n", (int)reply_to->len, reply_to->ptr);
        return false;
    }
    *reply_to = name;
    return true;
}

/* SESSION_WAIT: not now. */
static enum session_verdict offer(struct session *s, const struct stomp_frame *frame,
                                  const struct outgoing *out, struct send *send,
                                  struct session_problem *problem)
{
    const struct session_send offered = {
        .destination = &out->destination,
        .properties = out->properties.amqp,
        .body = frame->body,
        .token = send->token,
        .queue = out->declares ? &out->queue : NULL,
        .is_mandatory = out->is_mandatory,
    };
    *problem = (struct session_problem){0};
    enum session_verdict verdict = s->host->publish(s->host_data, &offered, problem);
    if (verdict == SESSION_DONE) {
        keep(s, send);
        return verdict;
    }
    s->has_no_room = s->has_no_room || verdict == SESSION_WAIT;
    free(send);
    if (verdict == SESSION_REFUSED) {
        error_complete(problem, CLOSE_REFUSED_FRAME, "Message refused");
    }
    return verdict;
}

/* Another one of its COMMIT has failed before this one was sent. */
static void skip_send(struct session *s, const struct stomp_frame *frame,
                      const struct parked_frame *parked)
{
    struct session_problem problem = {0};
    if (!stomp_frame_get(frame, "receipt").ptr) {
        commit_done(s, parked->commit);
        return;
    }
    error_write(&problem, CLOSE_REFUSED_FRAME, "Bad transaction", "%s",
                "Not sent: another message of the transaction was refused\n");
    refuse(s, frame, parked, &problem);
}

/* Offers one SEND to the host. False: not now, nothing has changed but has_no_room. True: it is
 * done with, by whatever way. */
static bool publish(struct session *s, const struct stomp_frame *frame, uint64_t arrived_ms,
                    const struct parked_frame *parked)
{
    struct outgoing out;
    struct session_problem problem; /* large, and filled where something is wrong */
    enum session_verdict verdict = SESSION_REFUSED;
    if (parked && parked->commit && parked->commit->has_failed) {
        skip_send(s, frame, parked);
        return true;
    }
    enum outgoing_readiness readiness = outgoing_prepare(s, frame, &out, &problem);
    if (readiness == OUTGOING_IGNORED) {
        reply_receipt_of(s, frame);
        return true;
    }
    if (readiness == OUTGOING_READY && set_reply_to(s, &out, &problem)) {
        struct send *send = new_send(s, frame, parked, arrived_ms);
        if (!send) {
            error_out_of_memory(s);
            return true;
        }
        verdict = offer(s, frame, &out, send, &problem);
    }
    if (verdict == SESSION_REFUSED) {
        refuse(s, frame, parked, &problem);
    }
    return verdict != SESSION_WAIT;
}

void sends_take(struct session *s, const struct stomp_frame *frame, uint64_t arrived_ms)
{
    struct slice transaction = stomp_frame_get(frame, "transaction");
    enum temps_verdict verdict = temps_prepare(s, frame, arrived_ms);
    if (verdict == TEMPS_REFUSED) {
        tx_spoil(s, frame);
    }
    if (verdict == TEMPS_REFUSED || verdict == TEMPS_WAITS) {
        return;
    }
    if (transaction.ptr) {
        tx_take(s, frame, transaction);
        return;
    }
    /* Order: never past one that is parked. */
    if (!s->parked_sends.head && has_room(s, cost(frame)) && publish(s, frame, arrived_ms, NULL)) {
        return;
    }
    if (parked_push(s, &s->parked_sends, frame, arrived_ms) != 0) {
        error_out_of_memory(s);
    }
}

void sends_retry(struct session *s)
{
    while (s->parked_sends.head && s->state != SESSION_STATE_CLOSED) {
        struct parked_frame *parked = s->parked_sends.head;
        struct stomp_frame frame;
        parked_frame(parked, &frame);
        if (!has_room(s, cost(&frame)) || !publish(s, &frame, parked->arrived_ms, parked)) {
            return;
        }
        if (s->state != SESSION_STATE_CLOSED) {
            /* The send holds the commit now. */
            parked_free(parked_pop(s, &s->parked_sends));
        }
    }
}

/* Takes the send with that token out of the list. Brokers settle in order but for a few, so the
 * search is short. */
static struct send *take(struct session *s, uint64_t token)
{
    struct send *before = NULL;
    struct send *send = s->sends;
    while (send && send->token != token) {
        before = send;
        send = send->next;
    }
    if (!send) {
        return NULL;
    }
    if (before) {
        before->next = send->next;
    } else {
        s->sends = send->next;
    }
    if (s->last_send == send) {
        s->last_send = before;
    }
    s->n_sends--;
    s->sends_bytes -= send->bytes;
    return send;
}

static void outcome_is(struct session_problem *problem, enum broker_outcome outcome, uint16_t code,
                       const char *text)
{
    bool has_text = text && text[0];
    const char *name = code ? broker_code_str(code) : NULL;
    switch (outcome) {
    case BROKER_CONFIRMED:
        return;
    case BROKER_NACKED: /* basic.nack says no more than that */
        error_write(problem, CLOSE_BROKER, "nack", "%s",
                    "The broker did not take the message (basic.nack): a queue is full or has "
                    "failed.\n");
        return;
    case BROKER_RETURNED:
        error_write(problem, CLOSE_BROKER, name ? name : "no_route", "%s",
                    has_text ? text : "The message was returned: there is no queue for it.\n");
        return;
    case BROKER_REFUSED:
        error_write(problem, CLOSE_BROKER, name ? name : "refused", "%s",
                    has_text ? text : "The broker refused the message.\n");
        return;
    case BROKER_UNKNOWN:
        error_write(problem, CLOSE_BROKER, "Outcome unknown", "%s",
                    "The broker's answer was not received: the message may have been sent or "
                    "not.\n");
        return;
    }
}

void sends_settled(struct session *s, uint64_t token, enum broker_outcome outcome, uint16_t code,
                   const char *text)
{
    struct send *send = take(s, token);
    if (!send) {
        return;
    }
    struct error_about about = about_send(send);
    if (outcome != BROKER_CONFIRMED) {
        struct session_problem problem = {0};
        outcome_is(&problem, outcome, code, text);
        commit_refuse(s, send->commit, send->position, &about, &problem);
    } else if (about.receipt.ptr) {
        reply_receipt(s, about.receipt);
    }
    if (send->commit) {
        commit_done(s, send->commit);
    }
    free(send);
}

bool sends_is_busy(const struct session *s)
{
    return s->n_sends > 0 || s->parked_sends.head;
}

void sends_clear(struct session *s)
{
    while (s->sends) {
        struct send *send = take(s, s->sends->token);
        if (send->commit) {
            commit_drop(s, send->commit);
        }
        free(send);
    }
}
