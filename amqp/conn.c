/* The life of the AMQP connection: AMQP 0-9-1, 1.4 "Connection", and 4.2.7 "Heartbeats". */
#include "amqp/broker_internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void conn_fail(struct broker *b, const char *format, ...)
{
    if (b->conn.has_failed || b->conn.phase == CONN_NONE) {
        return;
    }
    va_list args;
    va_start(args, format);
    vsnprintf(b->conn.why, sizeof(b->conn.why), format, args);
    va_end(args);
    b->conn.has_failed = true;
    broker_wake(b);
}

void conn_lost(struct broker *b, const char *why)
{
    conn_fail(b, "%s", why);
    conn_check(b);
}

/* ---- Down and up again ---- */

static void on_retry(uv_timer_t *timer)
{
    struct broker *b = timer->data;
    if (!b->is_stopping && b->conn.phase == CONN_NONE) {
        conn_try(b);
    }
}

/* Doubles with each failure, and half of it is chance: gateways that lost the broker together do
 * not come back together. */
static void retry_later(struct broker *b)
{
    unsigned shift = b->conn.failures < 16 ? b->conn.failures : 16;
    uint64_t ms = (uint64_t)b->options.reconnect_min_ms << shift;
    if (ms > (uint64_t)b->options.reconnect_max_ms) {
        ms = (uint64_t)b->options.reconnect_max_ms;
    }
    ms = ms / 2 + broker_random() % (ms / 2 + 1);
    b->conn.failures++;
    uv_timer_start(&b->retry, on_retry, ms, 0);
}

void conn_try(struct broker *b)
{
    const char *host = b->hosts[b->conn.next_host++ % b->options.n_hosts];
    struct conn *c = &b->conn;
    c->phase = CONN_DIALING;
    c->has_failed = false;
    c->was_refused = false;
    c->in_len = 0;
    c->frame_max = CODEC_FRAME_MAX;
    c->heartbeat_ms = 0;
    c->last_in_ms = uv_now(b->loop);
    c->last_out_ms = c->last_in_ms;
    c->deadline_ms = c->last_in_ms + CONN_HANDSHAKE_MS;
    broker_set_state(b, BROKER_CONNECTING);
    c->link = link_open(b, host);
    if (!c->link) {
        conn_fail(b, "cannot dial %s", host);
    }
}

static void forget_what_was_sent(struct broker *b)
{
    for (unsigned i = 0; i < CH_N; i++) {
        channel_reset(&b->channels[i]);
    }
    publisher_reset(b);
    consumer_reset(b);
    restore_reset(b);
    probe_reset(b);
    declare_reset(b);
    private_reset(b);
    watch_reset(b);
}

void conn_drop(struct broker *b)
{
    struct conn *c = &b->conn;
    if (c->phase == CONN_NONE) {
        return;
    }
    if (c->phase >= CONN_OPEN) {
        b->stats.disconnects++;
    }
    if (!b->is_stopping && !c->was_refused) {
        log_warn(b->name, "broker.down", "reason=%s", c->why);
    }
    c->phase = CONN_NONE;
    c->has_failed = false;
    if (c->link) {
        link_close(c->link);
        c->link = NULL;
    }
    buf_consume(&c->out, c->out.len);
    buf_trim(&c->out);
    recycle_amqp_pool(&c->pool);
    b->is_blocked = false;
    forget_what_was_sent(b);
    if (!b->is_stopping) {
        broker_set_state(b, BROKER_DOWN);
        retry_later(b);
    }
    private_tell_lost(b, c->why);
}

void conn_check(struct broker *b)
{
    if (b->conn.has_failed) {
        conn_drop(b);
    }
}

/* ---- Handshake ---- */

void conn_connected(struct broker *b)
{
    static const uint8_t greeting[8] = {'A', 'M', 'Q', 'P', 0, 0, 9, 1};
    b->conn.phase = CONN_WANTS_START;
    if (buf_append(&b->conn.out, greeting, sizeof(greeting)) < 0) {
        conn_fail(b, "out of memory");
    }
    broker_wake(b);
}

static amqp_table_entry_t text_entry(const char *key, const char *text)
{
    amqp_table_entry_t entry = {.key = broker_bytes(key)};
    entry.value.kind = AMQP_FIELD_KIND_UTF8;
    entry.value.value.bytes = broker_bytes(text);
    return entry;
}

static amqp_table_entry_t true_entry(const char *key)
{
    amqp_table_entry_t entry = {.key = broker_bytes(key)};
    entry.value.kind = AMQP_FIELD_KIND_BOOLEAN;
    entry.value.value.boolean = 1;
    return entry;
}

static void send_start_ok(struct broker *b)
{
    amqp_table_entry_t capabilities[] = {
        true_entry("publisher_confirms"),           true_entry("basic.nack"),
        true_entry("connection.blocked"),           true_entry("consumer_cancel_notify"),
        true_entry("authentication_failure_close"), true_entry("exchange_exchange_bindings"),
    };
    amqp_table_entry_t properties[] = {
        text_entry("product", "stompgate"),
        text_entry("version", STOMPGATE_VERSION),
        text_entry("platform", "C"),
        text_entry("connection_name", b->name),
        {.key = broker_bytes("capabilities"), .value = {.kind = AMQP_FIELD_KIND_TABLE}},
    };
    properties[4].value.value.table.num_entries = sizeof(capabilities) / sizeof(*capabilities);
    properties[4].value.value.table.entries = capabilities;

    char response[CODEC_NAME_MAX * 2 + 2];
    size_t user_len = strlen(b->options.user);
    size_t password_len = strlen(b->options.password);
    response[0] = '\0';
    memcpy(response + 1, b->options.user, user_len);
    response[1 + user_len] = '\0';
    memcpy(response + 2 + user_len, b->options.password, password_len);
    amqp_connection_start_ok_t ok = {
        .client_properties = {sizeof(properties) / sizeof(*properties), properties},
        .mechanism = broker_bytes("PLAIN"),
        .response = {user_len + password_len + 2, response},
        .locale = broker_bytes("en_US"),
    };
    channel_send(b, CH_CONTROL, AMQP_CONNECTION_START_OK_METHOD, &ok);
}

static void on_start(struct broker *b, const amqp_connection_start_t *start)
{
    if (start->version_major != 0 || start->version_minor != 9) {
        conn_fail(b, "the broker speaks AMQP %u-%u", start->version_major, start->version_minor);
        return;
    }
    b->conn.phase = CONN_WANTS_TUNE;
    send_start_ok(b);
}

static uint32_t smaller_but_not_zero(uint32_t a, uint32_t b)
{
    if (a == 0 || b == 0) {
        return a ? a : b;
    }
    return a < b ? a : b;
}

static void on_tune(struct broker *b, const amqp_connection_tune_t *tune)
{
    struct conn *c = &b->conn;
    unsigned heartbeat_s = (unsigned)b->options.heartbeat_s;
    uint32_t frame_max = smaller_but_not_zero(tune->frame_max, CODEC_FRAME_MAX);
    if (frame_max < CODEC_FRAME_MIN) {
        conn_fail(b, "the broker's frame_max is only %u", (unsigned)frame_max);
        return;
    }
    if (tune->channel_max != 0 && tune->channel_max < CH_N) {
        conn_fail(b, "the broker allows only %u channels", (unsigned)tune->channel_max);
        return;
    }
    c->frame_max = frame_max;
    c->channel_max = tune->channel_max ? tune->channel_max : UINT16_MAX;
    c->heartbeat_ms = heartbeat_s * 1000;
    amqp_connection_tune_ok_t ok = {
        .channel_max = tune->channel_max,
        .frame_max = frame_max,
        .heartbeat = (uint16_t)heartbeat_s,
    };
    channel_send(b, CH_CONTROL, AMQP_CONNECTION_TUNE_OK_METHOD, &ok);
    amqp_connection_open_t open = {.virtual_host = broker_bytes(b->options.vhost)};
    channel_send(b, CH_CONTROL, AMQP_CONNECTION_OPEN_METHOD, &open);
    c->phase = CONN_WANTS_OPEN_OK;
}

static void on_open_ok(struct broker *b)
{
    b->conn.phase = CONN_OPEN;
    b->stats.connects++;
    log_info(b->name, "broker.open", "host=%s heartbeat_ms=%u frame_max=%zu",
             b->hosts[(b->conn.next_host - 1) % b->options.n_hosts], b->conn.heartbeat_ms,
             b->conn.frame_max);
    for (unsigned i = 1; i < CH_N; i++) {
        if (b->channels[i].is_wanted) {
            channel_open(b, &b->channels[i]);
        }
    }
    broker_set_state(b, BROKER_RESTORING);
    restore_begin(b);
}

/* ---- What the broker says about the connection itself ---- */

static void on_close(struct broker *b, const amqp_connection_close_t *close)
{
    char text[256];
    snprintf(text, sizeof(text), "%.*s", (int)close->reply_text.len,
             (const char *)close->reply_text.bytes);
    log_warn(b->name, "broker.refused", "code=%u reason=%s class=%u method=%u", close->reply_code,
             text, close->class_id, close->method_id);
    amqp_connection_close_ok_t ok = {0};
    channel_send(b, CH_CONTROL, AMQP_CONNECTION_CLOSE_OK_METHOD, &ok);
    conn_flush(b);
    if (b->conn.phase == CONN_OPEN && close->class_id != 0) {
        channel_blame(b, close->reply_code, text,
                      (amqp_method_number_t)close->class_id << 16 | close->method_id);
    }
    b->conn.was_refused = true;
    conn_fail(b, "connection.close %u %s", close->reply_code, text);
}

static void on_blocked(struct broker *b, const amqp_connection_blocked_t *blocked)
{
    b->is_blocked = true;
    log_warn(b->name, "broker.blocked", "reason=%.*s", (int)blocked->reason.len,
             (const char *)blocked->reason.bytes);
}

static void on_unblocked(struct broker *b)
{
    b->is_blocked = false;
    b->publisher.wants_room = true; /* whoever looked at broker_is_full() is told as well */
    log_info(b->name, "broker.unblocked", "unconfirmed=%zu", b->publisher.n);
    broker_wake(b);
}

static bool is_in_turn(const struct broker *b, amqp_method_number_t id)
{
    switch (id) {
    case AMQP_CONNECTION_START_METHOD:
        return b->conn.phase == CONN_WANTS_START;
    case AMQP_CONNECTION_TUNE_METHOD:
        return b->conn.phase == CONN_WANTS_TUNE;
    case AMQP_CONNECTION_OPEN_OK_METHOD:
        return b->conn.phase == CONN_WANTS_OPEN_OK;
    case AMQP_CONNECTION_BLOCKED_METHOD:
    case AMQP_CONNECTION_UNBLOCKED_METHOD:
        return b->conn.phase >= CONN_OPEN;
    case AMQP_CONNECTION_CLOSE_METHOD:
    case AMQP_CONNECTION_CLOSE_OK_METHOD:
        return true;
    default:
        return false;
    }
}

static void on_method(struct broker *b, amqp_method_number_t id, const void *method)
{
    if (!is_in_turn(b, id)) {
        conn_fail(b, "unexpected %s from the broker", amqp_method_name(id));
        return;
    }
    switch (id) {
    case AMQP_CONNECTION_START_METHOD:
        on_start(b, method);
        break;
    case AMQP_CONNECTION_TUNE_METHOD:
        on_tune(b, method);
        break;
    case AMQP_CONNECTION_OPEN_OK_METHOD:
        on_open_ok(b);
        break;
    case AMQP_CONNECTION_BLOCKED_METHOD:
        on_blocked(b, method);
        break;
    case AMQP_CONNECTION_UNBLOCKED_METHOD:
        on_unblocked(b);
        break;
    case AMQP_CONNECTION_CLOSE_METHOD:
        on_close(b, method);
        break;
    case AMQP_CONNECTION_CLOSE_OK_METHOD:
        conn_fail(b, "closed");
        break;
    }
}

static void on_control_frame(struct broker *b, const struct codec_frame *frame)
{
    void *method = NULL;
    if (frame->type == CODEC_HEARTBEAT) {
        return;
    }
    if (frame->type != CODEC_METHOD || frame->len < 4) {
        conn_fail(b, "malformed frame of type %u on channel 0", frame->type);
        return;
    }
    amqp_method_number_t id = (amqp_method_number_t)frame->payload[0] << 24 |
                              (amqp_method_number_t)frame->payload[1] << 16 |
                              (amqp_method_number_t)frame->payload[2] << 8 | frame->payload[3];
    amqp_bytes_t encoded = {frame->len - 4, (void *)(uintptr_t)(frame->payload + 4)};
    if (amqp_decode_method(id, &b->conn.pool, encoded, &method) < 0) {
        conn_fail(b, "malformed method %08x on channel 0", (unsigned)id);
        return;
    }
    on_method(b, id, method);
}

/* ---- Bytes ---- */

static void on_frame(struct broker *b, const struct codec_frame *frame)
{
    if (frame->channel == 0) {
        on_control_frame(b, frame);
    } else if (frame->channel >= CH_N) {
        private_on_frame(b, frame);
    } else if (!b->channels[frame->channel].is_open) {
        conn_fail(b, "frame on channel %u, which is not open", frame->channel);
    } else {
        channel_on_frame(b, &b->channels[frame->channel], frame);
    }
    if (frame->type == CODEC_METHOD) {
        recycle_amqp_pool(&b->conn.pool);
    }
    broker_run_deferred(b);
}

void conn_received(struct broker *b, size_t n)
{
    struct conn *c = &b->conn;
    size_t at = 0;
    c->in_len += n;
    c->last_in_ms = uv_now(b->loop);
    b->stats.bytes_in += n;
    b->current_in_unix_ms = broker_unix_ms();
    while (!c->has_failed) {
        struct codec_frame frame;
        ssize_t used = codec_next(c->in + at, c->in_len - at, c->frame_max, &frame);
        if (used < 0) {
            conn_fail(b, "malformed frame from the broker");
        }
        if (used <= 0) {
            break;
        }
        at += (size_t)used;
        on_frame(b, &frame);
    }
    if (at > 0) {
        memmove(c->in, c->in + at, c->in_len - at);
        c->in_len -= at;
    }
    b->last_in_unix_ms = b->current_in_unix_ms;
    conn_check(b);
}

void conn_turn(struct broker *b)
{
    if (b->conn.link) {
        link_turn(b->conn.link);
    }
}

void conn_flush(struct broker *b)
{
    struct conn *c = &b->conn;
    if (!c->link || c->out.len == 0) {
        return;
    }
    size_t before = c->out.len;
    if (before > CONN_OUT_MAX) {
        conn_fail(b, "the broker takes nothing: %zu bytes wait", before);
        return;
    }
    link_flush(c->link, &c->out);
    if (c->out.len < before) {
        b->stats.bytes_out += before - c->out.len;
        c->last_out_ms = uv_now(b->loop);
    }
}

void conn_say_goodbye(struct broker *b)
{
    amqp_connection_close_t close = {
        .reply_code = 200,
        .reply_text = broker_bytes("stompgate stops"),
    };
    channel_send(b, CH_CONTROL, AMQP_CONNECTION_CLOSE_METHOD, &close);
    b->conn.phase = CONN_CLOSING;
    conn_flush(b);
}

void conn_tick(struct broker *b, uint64_t now_ms)
{
    struct conn *c = &b->conn;
    if (c->phase == CONN_NONE) {
        return;
    }
    if (c->phase < CONN_OPEN) {
        if (now_ms >= c->deadline_ms) {
            conn_fail(b, "no connection within %d ms", CONN_HANDSHAKE_MS);
        }
        return;
    }
    if (c->heartbeat_ms == 0) {
        return;
    }
    if (now_ms - c->last_in_ms > 2ull * c->heartbeat_ms) {
        conn_fail(b, "the broker was silent for two heart-beats");
    } else if (now_ms - c->last_out_ms >= c->heartbeat_ms / 2 && c->out.len == 0) {
        if (codec_put_heartbeat(&c->out) < 0) {
            conn_fail(b, "out of memory");
        }
        broker_wake(b);
    }
}
