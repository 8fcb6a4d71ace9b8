#include "amqp/code.h"
#include "gateway/access/acl.h"
#include "gateway/session/properties.h"
#include "gateway/session/session_internal.h"

#include <stdlib.h>

/* A SEND on its way to the host. */
struct outgoing {
    struct destination destination;
    struct properties properties;
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

static bool resolve(struct session *s, const struct stomp_frame *frame, struct destination *d)
{
    struct error_about about = error_about_frame(frame);
    struct slice spelling = stomp_frame_get(frame, "destination");
    if (!spelling.ptr) {
        error_missing_header(s, frame, "destination");
        return false;
    }
    enum destination_error error = destination_resolve(s->settings->config, spelling, d);
    if (error == DESTINATION_OK) {
        error = destination_check_send(d);
    }
    if (error != DESTINATION_OK) {
        char body[512];
        destination_error_body(error, spelling, body, sizeof(body));
        error_end(s, CLOSE_REFUSED_FRAME, &about, destination_error_message(error), "%s", body);
        return false;
    }
    if (!acl_may_send(d, slice_of(s->user))) {
        error_end(s, CLOSE_REFUSED_FRAME, &about, "access_refused",
                  "ACCESS_REFUSED - user '%s' may not send to '%.*s'\n", s->user, (int)spelling.len,
                  spelling.ptr);
        return false;
    }
    return true;
}

/* Fills *out; else ERROR, and false. */
static bool prepare(struct session *s, const struct stomp_frame *frame, struct outgoing *out)
{
    struct session_problem problem = {0};
    struct error_about about = error_about_frame(frame);
    if (about.receipt.len > SESSION_ID_MAX) {
        error_end(s, CLOSE_REFUSED_FRAME, &about, "Invalid header", "'receipt' may have %d bytes\n",
                  SESSION_ID_MAX);
        return false;
    }
    if (!resolve(s, frame, &out->destination)) {
        return false;
    }
    bool is_stored = out->destination.route->store;
    if (properties_from_send(s->settings->config, frame, slice_of(s->user), is_stored,
                             &out->properties, &problem) != 0) {
        error_problem(s, CLOSE_REFUSED_FRAME, &about, "Invalid header", &problem);
        return false;
    }
    return true;
}

bool sends_check(struct session *s, const struct stomp_frame *frame)
{
    struct outgoing out;
    return prepare(s, frame, &out);
}

static struct send *new_send(struct session *s, const struct stomp_frame *frame,
                             uint64_t arrived_ms, struct commit *commit)
{
    struct slice receipt = stomp_frame_get(frame, "receipt");
    struct send *send = calloc(1, sizeof(*send) + receipt.len);
    if (!send) {
        return NULL;
    }
    send->commit = commit;
    send->token = ++s->last_token;
    send->arrived_ms = arrived_ms;
    send->bytes = cost(frame);
    send->has_receipt = receipt.ptr != NULL;
    send->receipt_len = (uint16_t)receipt.len;
    if (receipt.ptr && receipt.len) {
        memcpy(send->receipt, receipt.ptr, receipt.len);
    }
    return send;
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

/* Offers one SEND to the host. False: not now, nothing has changed but has_no_room. True:
 * published, or the session has ended. */
static bool publish(struct session *s, const struct stomp_frame *frame, uint64_t arrived_ms,
                    struct commit *commit)
{
    struct outgoing out;
    struct session_problem problem = {0};
    if (!prepare(s, frame, &out)) {
        return true;
    }
    struct send *send = new_send(s, frame, arrived_ms, commit);
    if (!send) {
        error_out_of_memory(s);
        return true;
    }
    const struct session_send offer = {
        .destination = &out.destination,
        .properties = out.properties.amqp,
        .body = frame->body,
        .token = send->token,
        .is_mandatory = out.destination.route->store,
    };
    switch (s->host->publish(s->host_data, &offer, &problem)) {
    case SESSION_DONE:
        keep(s, send);
        return true;
    case SESSION_WAIT:
        free(send);
        s->has_no_room = true;
        return false;
    case SESSION_REFUSED:
        free(send);
        break;
    }
    struct error_about about = error_about_frame(frame);
    error_problem(s, CLOSE_REFUSED_FRAME, &about, "Message refused", &problem);
    return true;
}

void sends_take(struct session *s, const struct stomp_frame *frame, uint64_t arrived_ms)
{
    struct slice transaction = stomp_frame_get(frame, "transaction");
    if (transaction.ptr) {
        tx_send(s, frame, transaction);
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
        if (!has_room(s, cost(&frame)) || !publish(s, &frame, parked->arrived_ms, parked->commit)) {
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

static void refused(struct session *s, struct slice receipt, enum broker_outcome outcome,
                    uint16_t code, const char *text)
{
    const struct error_about about = {.receipt = receipt};
    bool has_text = text && text[0];
    switch (outcome) {
    case BROKER_CONFIRMED:
        return;
    case BROKER_NACKED: /* basic.nack says no more than that */
        error_end(s, CLOSE_BROKER, &about, "nack",
                  "The broker did not take the message (basic.nack): a queue is full or has "
                  "failed.\n");
        return;
    case BROKER_RETURNED:
        error_end(s, CLOSE_BROKER, &about, code ? broker_code_str(code) : "no_route", "%s\n",
                  has_text ? text : "The message was returned: there is no queue for it.");
        return;
    case BROKER_REFUSED:
        error_end(s, CLOSE_BROKER, &about, code ? broker_code_str(code) : "refused", "%s\n",
                  has_text ? text : "The broker refused the message.");
        return;
    case BROKER_UNKNOWN:
        error_end(s, CLOSE_BROKER, &about, "Outcome unknown",
                  "The broker's answer was not received: the message may have been sent or not.\n");
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
    struct slice receipt = {send->has_receipt ? send->receipt : NULL, send->receipt_len};
    if (outcome != BROKER_CONFIRMED) {
        if (!receipt.ptr && send->commit) {
            receipt = send->commit->receipt;
        }
        refused(s, receipt, outcome, code, text);
    } else if (receipt.ptr) {
        reply_receipt(s, receipt);
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
            *receipt = is_commit ? send->commit->receipt
                                 : (struct slice){send->receipt, send->receipt_len};
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
    s->receipt_due_ms = SESSION_NEVER;
    if (!receipt.ptr) {
        return;
    }
    sends_note_receipt(s, oldest_ms);
    if (s->now_ms >= s->receipt_due_ms) {
        const struct error_about about = {.receipt = receipt};
        error_end(
            s, CLOSE_RECEIPT_TIMEOUT, &about, "Receipt timeout",
            "The broker did not confirm the message within %d ms: it may have been sent or not.\n",
            s->settings->config->limits.receipt_timeout_ms);
    }
}

void sends_clear(struct session *s)
{
    while (s->sends) {
        struct send *send = take(s, s->sends->token);
        if (send->commit && --send->commit->n_left == 0) {
            free(send->commit);
        }
        free(send);
    }
}
