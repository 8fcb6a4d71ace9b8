/* What happens in a session: events, the frames that they bring, and what is due by time. */
#include "gateway/session/session_internal.h"

#include <stdio.h>

/* ---- Frames ---- */

/* RECEIPT first, and no MESSAGE behind it. Without a receipt there is nothing to wait for. */
static void finish_leaving(struct session *s)
{
    if (s->state != SESSION_STATE_LEAVING || sends_is_busy(s)) {
        return;
    }
    if (!syncs_has_all(s)) {
        syncs_add(s, (struct slice){NULL, 0}, false);
    }
    if (s->syncs || s->state != SESSION_STATE_LEAVING) {
        return;
    }
    subs_drop_all(s);
    if (!s->receipt.ptr) {
        session_end(s, CLOSE_DISCONNECT, "Disconnected");
        return;
    }
    session_set_state(s, SESSION_STATE_LINGERING);
    s->state_due_ms = session_due(s, s->settings->config->limits.close_linger_ms);
    reply_receipt(s, s->receipt);
}

/* Transactions that are open are given up ("ABORT"). */
static void leave(struct session *s, const struct stomp_frame *frame)
{
    bool is_ok;
    tx_clear(s);
    parked_clear(s, &s->waiting);
    s->receipt = session_copy(stomp_frame_get(frame, "receipt"), &is_ok);
    if (!is_ok) {
        error_out_of_memory(s);
        return;
    }
    session_set_state(s, SESSION_STATE_LEAVING);
    subs_drop_private(s);
    s->state_due_ms = session_due(s, s->settings->config->limits.receipt_timeout_ms);
    finish_leaving(s);
}

static void refuse_command(struct session *s, const struct stomp_frame *frame)
{
    struct error_about about = error_about_frame(frame);
    error_refuse(s, CLOSE_REFUSED_FRAME, &about, "Bad command",
                 "Could not interpret command \"%.*s\"\n", (int)frame->command_text.len,
                 frame->command_text.ptr);
}

static void refuse_connect(struct session *s, const struct stomp_frame *frame)
{
    struct error_about about = error_about_frame(frame);
    error_refuse(s, CLOSE_REFUSED_FRAME, &about, "Illegal command",
                 "This session is connected already\n");
}

static void refuse_receipt(struct session *s, const struct stomp_frame *frame)
{
    struct error_about about = error_about_frame(frame);
    error_refuse(s, CLOSE_REFUSED_FRAME, &about, "Invalid header", "'receipt' may have %d bytes\n",
                 SESSION_ID_MAX);
    tx_spoil(s, frame);
}

/* A frame with nothing in front of it that it has to wait for. */
static void handle(struct session *s, const struct stomp_frame *frame, uint64_t arrived_ms)
{
    if (stomp_frame_get(frame, "receipt").len > SESSION_ID_MAX) {
        refuse_receipt(s, frame);
        return;
    }
    switch (frame->command) {
    case STOMP_SEND:
        sends_take(s, frame, arrived_ms);
        return;
    case STOMP_SUBSCRIBE:
        subscribe_take(s, frame);
        return;
    case STOMP_UNSUBSCRIBE:
        subs_unsubscribe(s, frame);
        return;
    case STOMP_BEGIN:
        tx_begin(s, frame);
        return;
    case STOMP_COMMIT:
        tx_commit(s, frame);
        return;
    case STOMP_ABORT:
        tx_abort(s, frame);
        return;
    case STOMP_DISCONNECT:
        leave(s, frame);
        return;
    case STOMP_ACK:
    case STOMP_NACK:
        acks_take(s, frame);
        return;
    case STOMP_CONNECT:
        refuse_connect(s, frame);
        return;
    case STOMP_UNKNOWN:
    case STOMP_CONNECTED:
    case STOMP_MESSAGE:
    case STOMP_RECEIPT:
    case STOMP_ERROR:
        refuse_command(s, frame);
        return;
    }
}

static void wait_in_line(struct session *s, const struct stomp_frame *frame)
{
    if (parked_push(s, &s->waiting, frame, s->now_ms) != 0) {
        error_out_of_memory(s);
    }
}

static void take_frame(struct session *s, const struct stomp_frame *frame)
{
    switch (s->state) {
    case SESSION_STATE_FRESH:
        connect_begin(s, frame);
        return;
    case SESSION_STATE_LOGIN:
        wait_in_line(s, frame);
        return;
    case SESSION_STATE_RUNNING:
        if (s->outstanding) {
            wait_in_line(s, frame);
        } else {
            handle(s, frame, s->now_ms);
        }
        return;
    case SESSION_STATE_LEAVING:
    case SESSION_STATE_LINGERING:
    case SESSION_STATE_DRAINING:
    case SESSION_STATE_CLOSED:
        return;
    }
}

/* What had to wait for a login or a SUBSCRIBE, until something is outstanding again. A login may
 * have been refused, and another CONNECT stand behind it. */
static void run_waiting(struct session *s)
{
    while ((s->state == SESSION_STATE_RUNNING && !s->outstanding) ||
           s->state == SESSION_STATE_FRESH) {
        struct parked_frame *parked = parked_pop(s, &s->waiting);
        if (!parked) {
            return;
        }
        struct stomp_frame frame;
        parked_frame(parked, &frame);
        if (s->state == SESSION_STATE_FRESH) {
            connect_begin(s, &frame);
        } else {
            handle(s, &frame, parked->arrived_ms);
        }
        parked_free(parked);
    }
}

static void refuse_bytes(struct session *s, const struct stomp_frame *frame)
{
    enum stomp_error error = stomp_parser_error(&s->parser);
    struct error_about about = error_about_frame(frame);
    if (error == STOMP_ERR_MEMORY) {
        error_out_of_memory(s);
    } else if (stomp_error_is_limit(error)) {
        error_end(s, CLOSE_TOO_BIG, &about, "Frame too large", "%s\n", stomp_error_str(error));
    } else {
        error_end(s, CLOSE_MALFORMED, &about, "Malformed frame", "%s\n", stomp_error_str(error));
    }
}

/* True while what the client sends is of interest. */
static bool is_listening(const struct session *s)
{
    return s->state == SESSION_STATE_FRESH || s->state == SESSION_STATE_LOGIN ||
           s->state == SESSION_STATE_RUNNING;
}

static void take_bytes(struct session *s, uint8_t *bytes, size_t len)
{
    beats_heard(s);
    while (is_listening(s)) {
        struct stomp_frame frame;
        size_t used = 0;
        switch (stomp_parser_feed(&s->parser, bytes, len, &used, &frame)) {
        case STOMP_MORE:
            if (!stomp_parser_is_inside(&s->parser)) {
                s->half_frame_ms = SESSION_NEVER;
            } else if (s->half_frame_ms == SESSION_NEVER) {
                s->half_frame_ms = s->now_ms;
            }
            return;
        case STOMP_FRAME:
            s->half_frame_ms = SESSION_NEVER;
            take_frame(s, &frame);
            parked_check_reading(s); /* here, so that cuts between frames make no difference */
            break;
        case STOMP_HEARTBEAT:
            break;
        case STOMP_BAD:
            refuse_bytes(s, &frame);
            return;
        }
        bytes += used;
        len -= used;
    }
}

/* ---- Time ---- */

static uint64_t half_frame_due(const struct session *s)
{
    int ms = s->settings->config->limits.half_frame_ms;
    bool is_idle = s->half_frame_ms == SESSION_NEVER || s->is_reading_off || !is_listening(s);
    return is_idle || ms <= 0 ? SESSION_NEVER : s->half_frame_ms + (uint64_t)ms;
}

/* The state's own time is over. */
static void end_state(struct session *s)
{
    const struct error_about about = {.receipt = s->receipt};
    switch (s->state) {
    case SESSION_STATE_FRESH:
        error_end(s, CLOSE_LOGIN_TIMEOUT, NULL, "Login timeout", "No CONNECT within %d ms\n",
                  s->settings->config->limits.connect_ms);
        return;
    case SESSION_STATE_LEAVING:
        error_end(s, CLOSE_RECEIPT_TIMEOUT, &about, "Receipt timeout",
                  "The broker did not confirm all messages within %d ms: they may have been sent "
                  "or not.\n",
                  s->settings->config->limits.receipt_timeout_ms);
        return;
    case SESSION_STATE_LINGERING:
        session_end(s, CLOSE_DISCONNECT, "Disconnected");
        return;
    case SESSION_STATE_DRAINING:
        session_end(s, CLOSE_DRAIN, "Server is going down");
        return;
    case SESSION_STATE_LOGIN:
    case SESSION_STATE_RUNNING:
    case SESSION_STATE_CLOSED:
        return;
    }
}

static void tick(struct session *s)
{
    if (s->now_ms >= s->state_due_ms) {
        end_state(s);
    } else if (s->now_ms >= half_frame_due(s)) {
        error_end(s, CLOSE_HALF_FRAME, NULL, "Frame incomplete",
                  "A frame must be complete within %d ms\n",
                  s->settings->config->limits.half_frame_ms);
    }
    if (s->state != SESSION_STATE_CLOSED) {
        receipts_tick(s);
    }
    if (s->state != SESSION_STATE_CLOSED) {
        beats_tick(s);
    }
}

static uint64_t earlier(uint64_t one, uint64_t other)
{
    return one < other ? one : other;
}

uint64_t session_deadline(const struct session *s)
{
    if (s->state == SESSION_STATE_CLOSED) {
        return SESSION_NEVER;
    }
    uint64_t due = earlier(s->state_due_ms, s->receipt_due_ms);
    return earlier(earlier(due, half_frame_due(s)), beats_deadline(s));
}

/* ---- Endings that come from outside ---- */

/* Nothing new is taken. What is on its way to the broker gets a moment to be confirmed, so that
 * RECEIPTs that can come do come; what is parked was not sent, gets none, and is for the client to
 * send again. No ERROR: nothing is wrong. */
static void drain(struct session *s)
{
    switch (s->state) {
    case SESSION_STATE_FRESH:
    case SESSION_STATE_LOGIN:
        session_end(s, CLOSE_DRAIN, "Server is going down");
        return;
    case SESSION_STATE_RUNNING:
        session_set_state(s, SESSION_STATE_DRAINING);
        s->state_due_ms = session_due(s, s->settings->config->limits.close_linger_ms);
        subs_drop_private(s);
        parked_clear(s, &s->waiting);
        parked_clear(s, &s->parked_sends);
        return;
    case SESSION_STATE_LINGERING:
        session_end(s, CLOSE_DISCONNECT, "Disconnected");
        return;
    case SESSION_STATE_LEAVING: /* ends by itself */
    case SESSION_STATE_DRAINING:
    case SESSION_STATE_CLOSED:
        return;
    }
}

static void finish_draining(struct session *s)
{
    if (s->state == SESSION_STATE_DRAINING && !sends_is_busy(s) && !s->syncs) {
        session_end(s, CLOSE_DRAIN, "Server is going down");
    }
}

static void end_by_event(struct session *s, enum session_event_type type)
{
    if (s->state == SESSION_STATE_LINGERING) {
        /* It has all that it waited for; but one that does not take its RECEIPT is not waited for.
         */
        if (type == SESSION_SLOW) {
            session_end(s, CLOSE_DISCONNECT, "Disconnected");
        }
        return;
    }
    if (type == SESSION_BROKER_GONE) {
        error_end(s, CLOSE_BROKER, NULL, ERROR_BROKER_GONE, "%s",
                  "The message broker cannot be reached.\n");
    } else if (type == SESSION_GAP) {
        error_end(s, CLOSE_GAP, NULL, "Messages were lost", "%s",
                  "Messages of a subscription may have been lost: subscribe again.\n");
    } else {
        error_end(s, CLOSE_SLOW, NULL, "slow consumer", "%s",
                  "Messages were not read as fast as they came.\n");
    }
}

/* The broker closed its channel, and what was on it: nothing of it can be told apart. */
static void channel_closed(struct session *s, const struct session_problem *problem)
{
    const struct error_about about = {.receipt = s->receipt};
    if (s->state != SESSION_STATE_LINGERING) {
        error_end_problem(s, CLOSE_BROKER, &about, "Channel closed", problem);
    }
}

/* ---- The step ---- */

static void take_event(struct session *s, const struct session_event *event)
{
    switch (event->type) {
    case SESSION_BYTES:
        take_bytes(s, event->bytes.data, event->bytes.len);
        return;
    case SESSION_LOGIN:
        connect_answer(s, event->answer.is_ok, event->answer.problem);
        return;
    case SESSION_SUBSCRIBED:
        subs_answer(s, event->answer.handle, event->answer.is_ok, event->answer.problem);
        return;
    case SESSION_LOST:
        subs_lost(s, event->answer.handle, event->answer.problem);
        return;
    case SESSION_SETTLED:
        sends_settled(s, event->settled.token, event->settled.outcome, event->settled.code,
                      event->settled.text);
        return;
    case SESSION_DELIVERY:
        deliveries_take(s, event->delivery.handle, event->delivery.delivery, event->delivery.gap);
        return;
    case SESSION_WRITTEN:
        unacked_written(s, event->written);
        return;
    case SESSION_SYNCED:
        syncs_answer(s, event->synced.token, event->synced.is_ok);
        return;
    case SESSION_RESTORED:
        unacked_restored(s, event->epoch);
        return;
    case SESSION_FAILED:
        channel_closed(s, event->answer.problem);
        return;
    case SESSION_ROOM:
        s->has_no_room = false;
        return;
    case SESSION_TICK:
        tick(s);
        return;
    case SESSION_ALIVE:
        beats_alive(s);
        return;
    case SESSION_BROKER_GONE:
    case SESSION_GAP:
    case SESSION_SLOW:
        end_by_event(s, event->type);
        return;
    case SESSION_DRAIN:
        drain(s);
        return;
    }
}

void session_step(struct session *s, const struct session_event *event)
{
    assert(s->magic == SESSION_MAGIC);
    if (s->state == SESSION_STATE_CLOSED) {
        return;
    }
    if (event->now_ms > s->now_ms) {
        s->now_ms = event->now_ms;
    }
    take_event(s, event);
    sends_retry(s);
    run_waiting(s);
    finish_leaving(s);
    finish_draining(s);
    parked_check_reading(s);
    if (s->state == SESSION_STATE_CLOSED) {
        session_release(s);
    }
}
