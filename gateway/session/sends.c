#include "amqp/code.h"
#include "gateway/access/acl.h"
#include "gateway/session/properties.h"
#include "gateway/session/session_internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

/* A SEND on its way to the host. */
struct outgoing {
    struct destination destination;
    struct properties properties;
    bool declares; /* `queue` */
    struct session_queue queue;
};

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

static void problem_is(struct session_problem *problem, enum close_reason reason,
                       const char *message, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

static void problem_is(struct session_problem *problem, enum close_reason reason,
                       const char *message, const char *format, ...)
{
    va_list args;
    problem->reason = reason;
    snprintf(problem->message, sizeof(problem->message), "%s", message);
    va_start(args, format);
    vsnprintf(problem->text, sizeof(problem->text), format, args);
    va_end(args);
}

/* What a SEND can be before the host is asked. */
enum readiness { SEND_READY, SEND_IGNORED, SEND_REFUSED };

static enum readiness resolve(const struct session *s, const struct stomp_frame *frame,
                              struct destination *d, struct session_problem *problem)
{
    const struct config *config = s->settings->config;
    struct slice spelling = stomp_frame_get(frame, "destination");
    if (!spelling.ptr) {
        problem_is(problem, CLOSE_REFUSED_FRAME, "Missing destination", "%s",
                   "\"SEND\" must include a 'destination' header\n");
        return SEND_REFUSED;
    }
    enum destination_error error = destination_resolve(config, spelling, d);
    if (error == DESTINATION_UNKNOWN &&
        config->stomp.unknown_destination == CONFIG_UNKNOWN_IGNORE) {
        return SEND_IGNORED;
    }
    if (error == DESTINATION_OK) {
        error = destination_check_send(d);
    }
    if (error != DESTINATION_OK) {
        problem_is(problem, CLOSE_REFUSED_FRAME, destination_error_message(error), "%s", "");
        destination_error_body(error, spelling, problem->text, sizeof(problem->text));
        return SEND_REFUSED;
    }
    if (!acl_may_send(d, slice_of(s->user))) {
        problem_is(problem, CLOSE_REFUSED_FRAME, "access_refused",
                   "ACCESS_REFUSED - user '%s' may not send to '%.*s'\n", s->user,
                   (int)spelling.len, spelling.ptr);
        return SEND_REFUSED;
    }
    return SEND_READY;
}

/* A message that nobody gets is an error where a queue was meant; but Spring's relay sends to
 * queues whether their user is there or not (contracts: spring 3). An answer comes too late when
 * who asked has gone: that is one only for a sender who wants to know. */
static bool is_mandatory(const struct config *config, const struct stomp_frame *frame,
                         const struct destination *d)
{
    switch (d->kind) {
    case DESTINATION_EXCHANGE:
        return d->route->store;
    case DESTINATION_QUEUE:
    case DESTINATION_AMQ_QUEUE:
        return !queue_is_spring_user(config, frame, d);
    case DESTINATION_REPLY_QUEUE:
        return stomp_frame_get(frame, "receipt").ptr != NULL;
    case DESTINATION_TEMP_QUEUE:
        return false;
    }
    return false;
}

/* Fills *out, or *problem. */
static enum readiness prepare(const struct session *s, const struct stomp_frame *frame,
                              struct outgoing *out, struct session_problem *problem)
{
    const struct config *config = s->settings->config;
    const struct destination *d = &out->destination;
    problem_is(problem, CLOSE_REFUSED_FRAME, "Invalid header", "%s", "");
    enum readiness readiness = resolve(s, frame, &out->destination, problem);
    if (readiness != SEND_READY) {
        return readiness;
    }
    if (properties_from_send(config, frame, slice_of(s->user), d->route->store, &out->properties,
                             problem) != 0) {
        return SEND_REFUSED;
    }
    out->declares = d->kind == DESTINATION_QUEUE;
    if (out->declares) {
        bool may_shape = acl_may_shape(d, slice_of(s->user));
        if (queue_from_send(config, frame, d, may_shape, &out->queue, problem) != 0) {
            return SEND_REFUSED;
        }
        out->declares = !out->queue.must_exist;
    }
    return SEND_READY;
}

bool sends_check(struct session *s, const struct stomp_frame *frame, bool *is_ignored)
{
    struct outgoing out;
    struct session_problem problem = {0};
    enum readiness readiness = prepare(s, frame, &out, &problem);
    *is_ignored = readiness == SEND_IGNORED;
    if (readiness == SEND_REFUSED) {
        struct error_about about = error_about_frame(frame);
        error_problem(s, CLOSE_REFUSED_FRAME, &about, "", &problem);
        return false;
    }
    return true;
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
        sends_note_receipt(s, send->arrived_ms);
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
        problem_is(problem, CLOSE_BROKER, "Processing error",
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
        .is_mandatory = is_mandatory(s->settings->config, frame, &out->destination),
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
    problem_is(&problem, CLOSE_REFUSED_FRAME, "Bad transaction", "%s",
               "Not sent: another message of the transaction was refused\n");
    refuse(s, frame, parked, &problem);
}

/* Offers one SEND to the host. False: not now, nothing has changed but has_no_room. True: it is
 * done with, by whatever way. */
static bool publish(struct session *s, const struct stomp_frame *frame, uint64_t arrived_ms,
                    const struct parked_frame *parked)
{
    struct outgoing out;
    struct session_problem problem = {0};
    enum session_verdict verdict = SESSION_REFUSED;
    if (parked && parked->commit && parked->commit->has_failed) {
        skip_send(s, frame, parked);
        return true;
    }
    enum readiness readiness = prepare(s, frame, &out, &problem);
    if (readiness == SEND_IGNORED) {
        reply_receipt_of(s, frame);
        return true;
    }
    if (readiness == SEND_READY && set_reply_to(s, &out, &problem)) {
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
    if (temps_prepare(s, frame, arrived_ms) >= TEMPS_WAITS) {
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
        problem_is(problem, CLOSE_BROKER, "nack", "%s",
                   "The broker did not take the message (basic.nack): a queue is full or has "
                   "failed.\n");
        return;
    case BROKER_RETURNED:
        problem_is(problem, CLOSE_BROKER, name ? name : "no_route", "%s\n",
                   has_text ? text : "The message was returned: there is no queue for it.");
        return;
    case BROKER_REFUSED:
        problem_is(problem, CLOSE_BROKER, name ? name : "refused", "%s\n",
                   has_text ? text : "The broker refused the message.");
        return;
    case BROKER_UNKNOWN:
        problem_is(problem, CLOSE_BROKER, "Outcome unknown", "%s",
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

void sends_note_receipt(struct session *s, uint64_t arrived_ms)
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
void sends_tick(struct session *s)
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
    sends_note_receipt(s, oldest_ms);
    if (s->now_ms >= s->receipt_due_ms) {
        const struct error_about about = {.receipt = receipt};
        error_end(s, CLOSE_RECEIPT_TIMEOUT, &about, "Receipt timeout",
                  "The broker did not %s within %d ms: it may have been %s or not.\n",
                  is_sync ? "answer the frame" : "confirm the message",
                  s->settings->config->limits.receipt_timeout_ms, is_sync ? "executed" : "sent");
    }
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
