#include "gateway/fanout/live_internal.h"

#include "amqp/code.h"
#include "common/log.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define QUEUE_NAME_MAX 200 /* amqp/ appends the incarnation */
#define CONSUMER_PREFIX "stompgate "

uint64_t live_unix_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* ---- Deliveries ---- */

void live_give(struct live_queue *q, const struct broker_delivery *delivery)
{
    struct live *live = q->live;
    char fresh[ID_TEXT_LEN + 1] = "";
    if (!delivery->properties.message_id.ptr) {
        id_text(id_v7(&live->ids, live_unix_ms()), fresh);
    }
    struct encoder e;
    encoder_init(&e, delivery, fresh);
    struct audience_sink sink = {.over = live->options.host->over};
    if (!q->is_tap) {
        audience_deliver(&q->audience, &e, delivery->routing_key, &sink);
    } else if (q->tapped) {
        room_deliver(q->tapped, &e, &sink);
    }
    encoder_fini(&e);
    live->stats.queued += sink.queued;
    live->stats.dropped += sink.dropped;
    live->stats.unheard += sink.queued == 0;
}

static void on_delivery(void *owner, uint64_t cookie, const struct broker_delivery *delivery)
{
    struct live *live = owner;
    struct live_queue *q = map_get(&live->by_id, &cookie, sizeof cookie);
    live->stats.delivered++;
    if (q && !live_gap_hold(q, delivery)) {
        live_give(q, delivery);
    }
}

/* ---- Queues ---- */

static void queue_free(struct live_queue *q)
{
    struct live *live = q->live;
    live_gap_cancel(q);
    list_remove(&q->turn);
    map_take(&live->by_key, q->key, q->key_len);
    map_take(&live->by_id, &q->id, sizeof q->id);
    if (q->queue) {
        map_take(&live->by_queue, q->queue, strlen(q->queue));
    }
    audience_fini(&q->audience);
    free(q->exchange);
    free(q->queue);
    free(q);
}

/* "stompgate.live.<reactor>.<exchange>", a tap "stompgate.tap.<reactor>.<exchange>.<key>"; what is
 * too long ends in its digest. */
static char *queue_name(const struct live *live, const struct live_queue *q, struct slice key)
{
    char name[1024];
    int n =
        q->is_tap && q->route->type == CONFIG_ANY
            ? snprintf(name, sizeof name, "stompgate.tap.%s.%s.%.*s", live->options.name,
                       q->exchange, (int)key.len, key.ptr)
            : snprintf(name, sizeof name, "stompgate.live.%s.%s", live->options.name, q->exchange);
    assert(n > 0 && (size_t)n < sizeof name);
    if (n > QUEUE_NAME_MAX) {
        static const struct id space = {{0x5b}};
        id_text(id_v5(space, name, (size_t)n), name + QUEUE_NAME_MAX - ID_TEXT_LEN);
    }
    return strdup(name);
}

static enum outq_policy policy_of(const struct config_route *route)
{
    return route->on_slow == CONFIG_SLOW_DROP ? OUTQ_DROP_OLDEST : OUTQ_CLOSE;
}

static struct live_queue *queue_new(struct live *live, const struct destination *d,
                                    const char *map_key, size_t map_key_len)
{
    struct live_queue *q = calloc(1, sizeof *q + map_key_len);
    if (!q) {
        return NULL;
    }
    memcpy(q->key, map_key, map_key_len);
    q->key_len = map_key_len;
    q->id = ++live->last_id;
    list_init(&q->turn);
    q->live = live;
    q->route = d->route;
    q->is_tap = d->route->type != CONFIG_TOPIC;
    q->is_fixed = !d->is_client_named && !q->is_tap;
    q->exchange = strdup(d->exchange);
    audience_init(&q->audience, live->options.config, q->exchange, policy_of(d->route));
    q->queue = q->exchange ? queue_name(live, q, (struct slice){d->key, d->key_len}) : NULL;
    if (!q->queue || map_put(&live->by_id, &q->id, sizeof q->id, q) != 0 ||
        map_put(&live->by_queue, q->queue, strlen(q->queue), q) != 0 ||
        map_put(&live->by_key, q->key, q->key_len, q) != 0) {
        queue_free(q);
        return NULL;
    }
    return q;
}

static void exchange_done(void *owner, uint64_t cookie, const struct broker_reply *reply);

/* Makes sure of the exchange first: declared where the route allows it, else looked for on the
 * scratch channel. */
static int queue_open(struct live_queue *q)
{
    struct live *live = q->live;
    q->is_asked = true;
    int asked = 0;
    if (q->route->declare) {
        struct broker_exchange e = {
            .name = q->exchange,
            .type = q->route->type == CONFIG_FANOUT ? "fanout" : "topic",
            .is_durable = q->route->durable,
        };
        asked = broker_keep_exchange(live->broker, &e, exchange_done, q->id);
    } else if (q->is_fixed) {
        struct broker_reply ok = {.is_ok = true};
        exchange_done(live, q->id, &ok);
    } else {
        asked = broker_probe_exchange(live->broker, q->exchange, exchange_done, q->id);
    }
    if (asked != 0) {
        q->is_asked = false;
    }
    return asked;
}

static int queue_declare(struct live_queue *q)
{
    struct live *live = q->live;
    bool is_topic = q->route->type == CONFIG_TOPIC;
    struct broker_queue declare = {
        .name = q->queue,
        .is_exclusive = true,
        .max_bytes = live->options.config->broker.live_queue_bytes,
        .overflow = "drop-head",
        .prefix_key = is_topic ? "#" : NULL,
        .bind_max = (size_t)live->options.config->broker.bind_max,
        .reports_overflow = true,
    };
    char tag[QUEUE_NAME_MAX + sizeof CONSUMER_PREFIX];
    snprintf(tag, sizeof tag, CONSUMER_PREFIX "%s", q->queue + strlen("stompgate."));
    struct broker_consume consume = {
        .queue = q->queue,
        .tag = tag,
        .no_ack = true,
        .delivery = on_delivery,
        .owner = live,
        .cookie = q->id,
    };
    return broker_keep_queue(live->broker, &declare, NULL, 0) == 0 &&
                   broker_consume(live->broker, &consume) == 0
               ? 0
               : -1;
}

/* ---- Bindings ---- */

static void bind_done(void *owner, uint64_t cookie, const struct broker_reply *reply);

static struct slice room_key(const struct room *room)
{
    return (struct slice){room->key, room->key_len};
}

static void answer_waiting(struct room *room, const struct session_problem *problem)
{
    const struct live_host *host =
        ((struct live_binding *)room->host_data)->queue->live->options.host;
    while (!list_is_empty(&room->waiting)) {
        struct subscriber *s = LIST_OWNER(room->waiting.next, struct subscriber, waiting);
        static const struct session_problem memory = {.reason = CLOSE_INTERNAL,
                                                      .message = "out of memory"};
        if (problem) {
            room_leave(s);
            host->subscribed(s->owner, s, problem);
        } else if (room_join(room, s) != 0) {
            host->subscribed(s->owner, s, &memory);
        } else {
            host->subscribed(s->owner, s, NULL);
        }
    }
}

static void binding_ask(struct live_binding *b)
{
    if (b->is_asked || !b->queue->has_exchange) {
        return;
    }
    b->is_asked = true;
    struct live_queue *q = b->queue;
    if (broker_bind(q->live->broker, q->queue, q->exchange, room_key(b->room), bind_done, b->id) !=
        0) {
        b->is_asked = false; /* out of memory: the next turn tries again */
        list_remove(&q->turn);
        list_push(&q->live->turn, &q->turn);
    }
}

static void binding_linger(struct wheel_timer *timer, uint64_t now_ms);

static struct live_binding *binding_new(struct live_queue *q, struct slice key, bool is_pattern)
{
    struct live *live = q->live;
    struct live_binding *b = calloc(1, sizeof *b);
    struct room *room = b ? audience_add(&q->audience, key, is_pattern) : NULL;
    if (!room) {
        free(b);
        return NULL;
    }
    b->id = ++live->last_id;
    b->queue = q;
    b->room = room;
    room->host_data = b;
    wheel_timer_init(&b->linger, binding_linger);
    if (map_put(&live->bindings, &b->id, sizeof b->id, b) != 0) {
        audience_remove(room);
        free(b);
        return NULL;
    }
    if (q->is_tap) {
        q->tapped = room;
    }
    return b;
}

/* The room goes, and with the last one a queue that nobody named in the configuration. */
static void binding_free(struct live_binding *b)
{
    struct live_queue *q = b->queue;
    struct live *live = q->live;
    wheel_cancel(live->options.wheel, &b->linger);
    map_take(&live->bindings, &b->id, sizeof b->id);
    if (q->tapped == b->room) {
        q->tapped = NULL;
    }
    audience_remove(b->room);
    free(b);
    if (q->audience.n_rooms == 0 && !q->is_fixed) {
        broker_drop_queue(live->broker, q->queue);
        if (q->route->declare) {
            broker_drop_exchange(live->broker, q->exchange);
        }
        queue_free(q);
    }
}

static void binding_linger(struct wheel_timer *timer, uint64_t now_ms)
{
    struct live_binding *b = LIST_OWNER(timer, struct live_binding, linger);
    struct live *live = b->queue->live;
    if (!room_is_empty(b->room)) {
        return;
    }
    if (b->is_asked && !b->is_bound) { /* the answer is on its way */
        wheel_set(live->options.wheel, timer,
                  now_ms + (uint64_t)live->options.config->broker.linger_ms);
        return;
    }
    if (b->is_bound) {
        broker_unbind(live->broker, b->queue->queue, b->queue->exchange, room_key(b->room));
    }
    binding_free(b);
}

static void linger_if_empty(struct live_binding *b)
{
    struct live *live = b->queue->live;
    if (room_is_empty(b->room)) {
        wheel_set(live->options.wheel, &b->linger,
                  *live->options.now_ms + (uint64_t)live->options.config->broker.linger_ms);
    }
}

/* ---- Answers of the broker ---- */

static void problem_of(const struct broker_reply *reply, struct session_problem *problem)
{
    *problem = (struct session_problem){.reason = CLOSE_REFUSED_FRAME};
    snprintf(problem->message, sizeof problem->message, "%s", broker_code_str(reply->code));
    snprintf(problem->text, sizeof problem->text, "%s", reply->text ? reply->text : "");
}

static void bind_done(void *owner, uint64_t cookie, const struct broker_reply *reply)
{
    struct live *live = owner;
    struct live_binding *b = map_get(&live->bindings, &cookie, sizeof cookie);
    if (!b) {
        return;
    }
    b->is_bound = reply->is_ok;
    b->is_asked = reply->is_ok;
    struct session_problem problem;
    if (!reply->is_ok) {
        problem_of(reply, &problem);
        log_warn(live->options.name, "binding.refused", "exchange=%s key=%s code=%u text=%s",
                 b->queue->exchange, b->room->key, reply->code, reply->text ? reply->text : "");
    }
    answer_waiting(b->room, reply->is_ok ? NULL : &problem);
    linger_if_empty(b);
}

void live_each_room(struct live_queue *q, void (*fn)(struct room *room, void *arg), void *arg)
{
    struct map_entry entry;
    for (size_t cursor = 0; map_next(&q->audience.exact, &cursor, &entry);) {
        fn(entry.value, arg);
    }
    for (struct list *n = q->audience.patterns.next; n != &q->audience.patterns; n = n->next) {
        fn(LIST_OWNER(n, struct room, node), arg);
    }
}

static void ask_room(struct room *room, void *arg)
{
    (void)arg;
    binding_ask(room->host_data);
}

static void refuse_room(struct room *room, void *arg)
{
    answer_waiting(room, arg);
    linger_if_empty(room->host_data);
}

static void exchange_done(void *owner, uint64_t cookie, const struct broker_reply *reply)
{
    struct live *live = owner;
    struct live_queue *q = map_get(&live->by_id, &cookie, sizeof cookie);
    if (!q) {
        return;
    }
    q->is_asked = false;
    struct session_problem problem;
    if (!reply->is_ok) {
        problem_of(reply, &problem);
        log_warn(live->options.name, "exchange.refused", "exchange=%s code=%u text=%s", q->exchange,
                 reply->code, reply->text ? reply->text : "");
    } else if (queue_declare(q) != 0) {
        problem = (struct session_problem){.reason = CLOSE_INTERNAL, .message = "out of memory"};
    } else {
        q->has_exchange = true;
        live_each_room(q, ask_room, NULL);
        return;
    }
    live_each_room(q, refuse_room, &problem);
}

/* ---- Subscribing ---- */

static struct live_queue *queue_for(struct live *live, const struct destination *d)
{
    char key[2 * DESTINATION_PART_MAX + 2];
    size_t len = d->exchange_len;
    memcpy(key, d->exchange, len);
    if (d->route->type == CONFIG_ANY) {
        key[len++] = 0;
        memcpy(key + len, d->key, d->key_len);
        len += d->key_len;
    }
    struct live_queue *q = map_get(&live->by_key, key, len);
    return q ? q : queue_new(live, d, key, len);
}

enum session_verdict live_subscribe(struct live *live, const struct destination *d,
                                    struct subscriber *s, struct session_problem *problem)
{
    struct slice key = {d->key, d->key_len};
    struct live_queue *q = queue_for(live, d);
    struct room *room = q ? audience_find(&q->audience, key, d->is_pattern) : NULL;
    struct live_binding *b = room ? room->host_data : NULL;
    if (q && !b) {
        b = binding_new(q, key, d->is_pattern);
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
        binding_ask(b);
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
    linger_if_empty(room->host_data);
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
            live_each_room(q, ask_room, NULL);
        } else if (!q->is_asked && queue_open(q) != 0) {
            list_push(&again, &q->turn); /* out of memory: the next turn tries again */
        }
    }
    while (!list_is_empty(&again)) {
        struct list *node = again.next;
        list_remove(node);
        list_push(&live->turn, node);
    }
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

struct live *live_new(const struct live_options *options)
{
    static const struct broker_events events = {
        .state = on_state, .gap = on_gap, .restored = on_restored};
    struct live *live = calloc(1, sizeof *live);
    if (!live) {
        return NULL;
    }
    live->options = *options;
    list_init(&live->turn);
    const struct config *c = options->config;
    char name[160];
    snprintf(name, sizeof name, "stompgate %s live", options->name);
    struct broker_options broker = {
        .hosts = (const char *const *)c->broker.hosts.items,
        .n_hosts = c->broker.hosts.n,
        .vhost = c->broker.vhost,
        .user = c->broker.user,
        .password = c->broker.password,
        .name = name,
        .heartbeat_s = c->broker.heartbeat_s,
        .reconnect_min_ms = c->broker.reconnect_min_ms,
        .reconnect_max_ms = c->broker.reconnect_max_ms,
        .sweep_ms = c->broker.sweep_ms,
        .watches = true,
    };
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
        binding_free(entry.value);
    }
    for (size_t cursor = 0; map_next(&live->by_id, &cursor, &entry); cursor = 0) {
        queue_free(entry.value);
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
    stats->queues = live->by_id.n;
    stats->rooms = live->bindings.n;
}
