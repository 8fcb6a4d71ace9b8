#include "persist/dead.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <uv.h>

#include "amqp/storage.h"
#include "common/config.h"
#include "common/log.h"

#define RETRY_MIN_MS 200
#define RETRY_MAX_MS 10000
#define OUR_HEADERS_MAX 6

/* Invariant: while batch is set, rows before `next` were tried in this pass; n_open of them are not
 * settled yet. */
struct dead {
    struct broker *broker;
    uv_timer_t timer;
    bool has_timer;
    uv_loop_t *loop;
    const struct config *config;
    char name[160];
    void (*done)(void *owner);
    void *owner;
    struct batch *batch;
    uint64_t generation; /* of the batch: answers for an earlier one are not ours any more */
    size_t next;
    size_t n_open;
    int retry_ms;
    void (*stopped)(void *owner);
    struct dead_stats stats;
};

/* ---- One letter ---- */

static bool is_condemned(const struct row *row)
{
    return (row->fate == ROW_CONFLICT || row->fate == ROW_REFUSED) && !row->is_buried;
}

static bool is_left_out(struct slice name)
{
    /* CC and BCC would send copies; ours are of an earlier burial. */
    static const char *const names[] = {"CC",
                                        "BCC",
                                        "x-stompgate-reason",
                                        "x-stompgate-error",
                                        "x-stompgate-exchange",
                                        "x-stompgate-routing-key",
                                        "x-stompgate-expiration",
                                        "x-stompgate-user-id"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (slice_is(name, names[i])) {
            return true;
        }
    }
    return false;
}

static void header_add(struct broker_properties *p, struct broker_header *headers, const char *name,
                       struct slice value)
{
    if (value.ptr != NULL) {
        headers[p->n_headers++] = (struct broker_header){slice_of(name), value};
    }
}

static enum broker_publish_status publish(struct dead *d, const struct row *row, uint64_t token)
{
    struct broker_header headers[BROKER_MAX_HEADERS + OUR_HEADERS_MAX];
    char error[ROW_ERROR_MAX + 16];
    struct broker_properties p = {.n_headers = 0};
    if (!row->is_bare) {
        p = row->properties;
        p.n_headers = 0;
    }
    snprintf(error, sizeof(error), "%s%s%s", row->sqlstate, row->sqlstate[0] != '\0' ? ": " : "",
             row->error);
    header_add(&p, headers, "x-stompgate-reason", slice_of(row_reason(row)));
    header_add(&p, headers, "x-stompgate-error", slice_of(error));
    header_add(&p, headers, "x-stompgate-exchange", row->exchange);
    header_add(&p, headers, "x-stompgate-routing-key", row->routing_key);
    header_add(&p, headers, "x-stompgate-expiration", p.expiration);
    header_add(&p, headers, "x-stompgate-user-id", p.user_id);
    for (size_t i = 0; !row->is_bare && i < row->properties.n_headers; i++) {
        if (!is_left_out(row->properties.headers[i].name) && p.n_headers < BROKER_MAX_HEADERS) {
            headers[p.n_headers++] = row->properties.headers[i];
        }
    }
    p.headers = headers;
    p.message_id = row->properties.message_id;
    p.expiration = p.user_id = (struct slice){NULL, 0};
    p.has_delivery_mode = true;
    p.delivery_mode = 2;
    const struct broker_publish message = {
        .exchange = SLICE_LITERAL(""),
        .routing_key = slice_of(d->config->store.dead_queue),
        .is_mandatory = true,
        .properties = p,
        .body = row->body,
        .session = d->generation,
        .token = token,
    };
    return broker_publish(d->broker, &message);
}

/* ---- A pass over the batch ---- */

static void dead_go(struct dead *d);

static void on_timer(uv_timer_t *timer)
{
    dead_go(timer->data);
}

static void dead_pause(struct dead *d)
{
    d->next = 0;
    uv_timer_start(&d->timer, on_timer, (uint64_t)d->retry_ms, 0);
    d->retry_ms = d->retry_ms > RETRY_MAX_MS / 2 ? RETRY_MAX_MS : d->retry_ms * 2;
    d->stats.retries++;
}

static void dead_finish_pass(struct dead *d)
{
    for (size_t i = 0; i < d->batch->n; i++) {
        if (is_condemned(d->batch->rows[i])) {
            dead_pause(d);
            return;
        }
    }
    d->batch = NULL;
    d->retry_ms = RETRY_MIN_MS;
    d->done(d->owner);
}

/* What the broker's library does not take with its properties goes without them, in its place:
 * letters before it may be on their way, and beginning anew would publish them twice. */
static enum broker_publish_status publish_or_bare(struct dead *d, struct row *row)
{
    enum broker_publish_status status = publish(d, row, d->next);
    if (status == BROKER_INVALID && !row->is_bare) {
        row->is_bare = true;
        status = publish(d, row, d->next);
    }
    if (status == BROKER_INVALID) { /* its routing key is at most 255 bytes: cannot happen */
        log_error(d->name, "store.dead.invalid", "bytes=%zu", row->body.len);
    }
    return status;
}

static void dead_go(struct dead *d)
{
    bool has_invalid = false;
    while (d->batch != NULL && d->next < d->batch->n) {
        struct row *row = d->batch->rows[d->next];
        if (is_condemned(row)) {
            enum broker_publish_status status = publish_or_bare(d, row);
            if (status == BROKER_FULL) {
                /* on_room() goes on. Not connected counts as full; the timer is for the case that
                 * nothing is ever told. */
                uv_timer_start(&d->timer, on_timer, RETRY_MAX_MS, 0);
                return;
            }
            has_invalid = has_invalid || status == BROKER_INVALID;
            d->n_open += status != BROKER_INVALID;
        }
        d->next++;
    }
    uv_timer_stop(&d->timer);
    if (has_invalid && d->n_open == 0) {
        dead_finish_pass(d); /* nothing is under way that would end it */
    }
}

static void on_room(void *owner)
{
    dead_go(owner);
}

static void on_settled(void *owner, const struct broker_settled *settled)
{
    struct dead *d = owner;
    if (d->batch == NULL || settled->session != d->generation) {
        return;
    }
    struct row *row = d->batch->rows[settled->token];
    d->n_open--;
    if (settled->outcome == BROKER_CONFIRMED) {
        row->is_buried = true;
        d->stats.buried++;
        log_warn(d->name, "store.dead", "reason=%s exchange=%.*s key=%.*s sqlstate=%s error=\"%s\"",
                 row_reason(row), (int)row->exchange.len, row->exchange.ptr,
                 (int)row->routing_key.len, row->routing_key.ptr, row->sqlstate, row->error);
    } else {
        row->is_bare = row->is_bare || settled->outcome == BROKER_REFUSED;
        log_error(d->name, "store.dead.failed", "queue=%s code=%u text=\"%s\"",
                  d->config->store.dead_queue, (unsigned)settled->code, settled->text);
    }
    if (d->n_open == 0 && d->next == d->batch->n) {
        dead_finish_pass(d);
    }
}

void dead_bury(struct dead *d, struct batch *batch)
{
    d->batch = batch;
    d->generation++;
    d->next = 0;
    d->n_open = 0;
    dead_go(d);
}

void dead_abort(struct dead *d)
{
    d->batch = NULL;
    if (d->has_timer) {
        uv_timer_stop(&d->timer);
    }
}

const struct dead_stats *dead_stats(const struct dead *d)
{
    return &d->stats;
}

/* ---- Life ---- */

static void on_queue(void *owner, uint64_t cookie, const struct broker_reply *reply)
{
    struct dead *d = owner;
    (void)cookie;
    if (!reply->is_ok) {
        log_error(d->name, "store.dead.queue", "queue=%s code=%u text=\"%s\"",
                  d->config->store.dead_queue, (unsigned)reply->code, reply->text);
    }
}

struct dead *dead_new(struct uv_loop_s *loop, const struct config *config,
                      void (*done)(void *owner), void *owner)
{
    static const struct broker_events events = {.room = on_room, .settled = on_settled};
    struct dead *d = calloc(1, sizeof(*d));
    if (d == NULL) {
        return NULL;
    }
    snprintf(d->name, sizeof(d->name), "stompgate-store %s dead letters", config->store.name);
    const struct broker_options options = {
        .hosts = (const char *const *)config->broker.hosts.items,
        .n_hosts = config->broker.hosts.n,
        .vhost = config->broker.vhost,
        .user = config->broker.user,
        .password = config->broker.password,
        .name = d->name,
        .heartbeat_s = config->broker.heartbeat_s,
        .reconnect_min_ms = config->broker.reconnect_min_ms,
        .reconnect_max_ms = config->broker.reconnect_max_ms,
        .sweep_ms = config->broker.sweep_ms,
        .is_publisher = true,
        .unconfirmed_bytes = (size_t)config->broker.unconfirmed_bytes,
    };
    d->loop = loop;
    d->config = config;
    d->done = done;
    d->owner = owner;
    d->retry_ms = RETRY_MIN_MS;
    d->broker = broker_new(loop, &options, &events, d);
    if (d->broker == NULL ||
        broker_keep_dead_queue(d->broker, config->store.dead_queue, config->store.queue_max_bytes,
                               on_queue, 0) < 0) {
        dead_free(d);
        return NULL;
    }
    return d;
}

void dead_start(struct dead *d)
{
    uv_timer_init(d->loop, &d->timer);
    d->timer.data = d;
    d->has_timer = true;
    broker_start(d->broker);
}

static void on_broker_stopped(void *owner)
{
    struct dead *d = owner;
    d->stopped(d->owner);
}

static void on_timer_closed(uv_handle_t *handle)
{
    struct dead *d = handle->data;
    broker_stop(d->broker, on_broker_stopped);
}

void dead_stop(struct dead *d, void (*stopped)(void *owner))
{
    if (d->has_timer) {
        d->has_timer = false;
        d->batch = NULL;
        d->stopped = stopped;
        uv_close((uv_handle_t *)&d->timer, on_timer_closed);
    }
}

void dead_free(struct dead *d)
{
    if (d != NULL) {
        broker_free(d->broker);
        free(d);
    }
}
