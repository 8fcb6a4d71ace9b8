#include "gateway/fanout/live_internal.h"

#include "common/log.h"
#include "gateway/connection.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- Subscribing ---- */

enum session_verdict live_subscribe(struct live *live, const struct destination *d,
                                    struct subscriber *s, struct session_problem *problem)
{
    struct slice key = {d->key, d->key_len};
    struct live_queue *q = live_queue_for(live, d);
    struct room *room = q ? audience_find(&q->audience, key, d->is_pattern) : NULL;
    struct live_binding *b = room ? room->host_data : NULL;
    if (q && !b) {
        b = live_binding_new(q, key, d->is_pattern);
    }
    if (!b) {
        *problem = (struct session_problem){.reason = CLOSE_INTERNAL, .message = "out of memory"};
        return SESSION_REFUSED;
    }
    wheel_cancel(live->options.wheel, &b->linger);
    if (b->is_bound) {
        if (room_join(b->room, s) != 0) {
            *problem =
                (struct session_problem){.reason = CLOSE_INTERNAL, .message = "out of memory"};
            return SESSION_REFUSED;
        }
        return SESSION_DONE;
    }
    room_wait(b->room, s);
    if (q->has_exchange) {
        live_binding_ask(b);
    } else {
        list_remove(&q->turn);
        list_push(&live->turn, &q->turn);
    }
    return SESSION_WAIT;
}

void live_unsubscribe(struct live *live, struct subscriber *s)
{
    (void)live;
    struct room *room = s->room;
    if (!room) {
        return;
    }
    room_leave(s);
    s->room = NULL;
    live_binding_linger(room->host_data);
}

/* ---- Life ---- */

void live_turn(struct live *live)
{
    struct list again;
    list_init(&again);
    while (!list_is_empty(&live->turn)) {
        struct live_queue *q = LIST_OWNER(live->turn.next, struct live_queue, turn);
        list_remove(&q->turn);
        if (q->has_exchange) {
            live_queue_ask(q);
        } else if (!q->is_asked && live_queue_open(q) != 0) {
            list_push(&again, &q->turn); /* out of memory: the next turn tries again */
        }
    }
    while (!list_is_empty(&again)) {
        struct list *node = again.next;
        list_remove(node);
        list_push(&live->turn, node);
    }
}

bool live_is_pending(const struct live *live)
{
    return !list_is_empty(&live->sink.dirty);
}

void live_settle(struct live *live)
{
    audience_settle(&live->sink);
}

static void on_state(void *owner, enum broker_state state)
{
    struct live *live = owner;
    live->options.host->state(live->options.reactor, state);
}

static void on_gap(void *owner, const char *queue, uint64_t from_unix_ms)
{
    struct live *live = owner;
    struct live_queue *q = map_get(&live->by_queue, queue, strlen(queue));
    if (q) {
        live->stats.gaps++;
        live_gap(q, from_unix_ms);
    }
}

static void on_restored(void *owner, const char *kind, const char *name)
{
    struct live *live = owner;
    log_warn(live->options.name, "topology.restored", "kind=%s name=%s side=live", kind, name);
}

static void on_broken(void *owner, const char *queue, struct slice key,
                      const struct broker_reply *reply)
{
    struct live *live = owner;
    struct live_queue *q = map_get(&live->by_queue, queue, strlen(queue));
    if (q) {
        log_warn(live->options.name, "subscriptions.lost", "exchange=%s key=%.*s code=%u text=%s",
                 q->exchange, (int)key.len, key.ptr ? key.ptr : "", reply->code,
                 reply->text ? reply->text : "");
        live_queue_lose(q, key, reply);
    }
}

struct live *live_new(const struct live_options *options)
{
    static const struct broker_events events = {
        .state = on_state, .gap = on_gap, .restored = on_restored, .broken = on_broken};
    struct live *live = calloc(1, sizeof *live);
    if (!live) {
        return NULL;
    }
    live->options = *options;
    list_init(&live->turn);
    audience_sink_init(&live->sink, options->host->over, options->host->flush);
    const struct config *c = options->config;
    char name[160];
    snprintf(name, sizeof name, "stompgate %s live", options->name);
    struct broker_options broker = connection_options(c, name);
    broker.sweep_ms = c->broker.sweep_ms;
    broker.watches = true;
    live->broker = broker_new(options->loop, &broker, &events, live);
    if (!live->broker) {
        free(live);
        return NULL;
    }
    return live;
}

void live_start(struct live *live)
{
    broker_start(live->broker);
}

static void on_stopped(void *owner)
{
    struct live *live = owner;
    live->stopped(live->options.reactor);
}

void live_stop(struct live *live, void (*stopped)(void *reactor))
{
    live->stopped = stopped;
    broker_stop(live->broker, on_stopped);
}

void live_free(struct live *live)
{
    if (!live) {
        return;
    }
    struct map_entry entry;
    for (size_t cursor = 0; map_next(&live->bindings, &cursor, &entry); cursor = 0) {
        live_binding_free(entry.value);
    }
    for (size_t cursor = 0; map_next(&live->by_id, &cursor, &entry); cursor = 0) {
        live_queue_free(entry.value);
    }
    map_fini(&live->bindings);
    map_fini(&live->by_id);
    map_fini(&live->by_key);
    map_fini(&live->by_queue);
    broker_free(live->broker);
    free(live);
}

const struct broker *live_broker(const struct live *live)
{
    return live->broker;
}

void live_stats(const struct live *live, struct live_stats *stats)
{
    *stats = live->stats;
    stats->queued = live->sink.queued;
    stats->dropped = live->sink.dropped;
    stats->queues = live->by_id.n;
    stats->rooms = live->bindings.n;
}
