/* The queues of the live side: what each is called, how it is made, and its deliveries. */
#include "gateway/fanout/live_internal.h"

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
    size_t rooms = 0;
    if (!q->is_tap) {
        rooms = audience_deliver(&q->audience, &e, delivery->routing_key);
    } else if (q->tapped && q->tapped->n_members > 0) {
        room_deliver(q->tapped, &e);
        rooms = 1;
    }
    encoder_fini(&e);
    live->stats.unheard += rooms == 0;
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

void live_queue_free(struct live_queue *q)
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

/* "stompgate.live.<reactor>.<exchange>", a tap "stompgate.tap.<reactor>.<exchange>/<key>", where a
 * slash in the exchange's name is written %2F, so that no two taps share a name; what is too long
 * ends in its digest. */
static char *queue_name(const struct live *live, const struct live_queue *q, struct slice key)
{
    char name[2048];
    bool is_tap = q->is_tap && q->route->type == CONFIG_ANY;
    size_t n = (size_t)snprintf(name, sizeof name, "stompgate.%s.%s.", is_tap ? "tap" : "live",
                                live->options.name);
    for (const char *p = q->exchange; *p; p++) {
        bool is_slash = is_tap && *p == '/';
        memcpy(name + n, is_slash ? "%2F" : p, is_slash ? 3 : 1);
        n += is_slash ? 3 : 1;
    }
    if (is_tap) {
        name[n++] = '/';
        memcpy(name + n, key.ptr, key.len);
        n += key.len;
    }
    name[n] = 0;
    if (n > QUEUE_NAME_MAX) {
        static const struct id space = {{0x5b}};
        id_text(id_v5(space, name, n), name + QUEUE_NAME_MAX - ID_TEXT_LEN);
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
    q->is_client_named = d->is_client_named;
    q->exchange = strdup(d->exchange);
    audience_init(&q->audience, live->options.config, q->exchange, policy_of(d->route),
                  &live->sink);
    q->queue = q->exchange ? queue_name(live, q, (struct slice){d->key, d->key_len}) : NULL;
    if (!q->queue || map_put(&live->by_id, &q->id, sizeof q->id, q) != 0 ||
        map_put(&live->by_queue, q->queue, strlen(q->queue), q) != 0 ||
        map_put(&live->by_key, q->key, q->key_len, q) != 0) {
        live_queue_free(q);
        return NULL;
    }
    return q;
}

static void exchange_done(void *owner, uint64_t cookie, const struct broker_reply *reply);

/* Makes sure of the exchange first: declared where the route allows it, else looked for on the
 * scratch channel. */
int live_queue_open(struct live_queue *q)
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
    live_binding_ask(room->host_data);
}

void live_queue_ask(struct live_queue *q)
{
    live_each_room(q, ask_room, NULL);
}

static void refuse_room(struct room *room, void *arg)
{
    live_binding_answer(room, arg);
    live_binding_linger(room->host_data);
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
        live_problem(reply, &problem);
        log_warn(live->options.name, "exchange.refused", "exchange=%s code=%u text=%s", q->exchange,
                 reply->code, reply->text ? reply->text : "");
    } else if (queue_declare(q) != 0) {
        problem = (struct session_problem){.reason = CLOSE_INTERNAL, .message = "out of memory"};
    } else {
        q->has_exchange = true;
        live_queue_ask(q);
        return;
    }
    live_each_room(q, refuse_room, &problem);
}

static void lose_room(struct room *room, void *arg)
{
    live_binding_lose(room, arg);
}

/* The key of a binding may be that of a room with wildcards and of one without. */
void live_queue_lose(struct live_queue *q, struct slice key, const struct broker_reply *reply)
{
    struct session_problem problem;
    live_problem(reply, &problem);
    if (!key.ptr) {
        live_each_room(q, lose_room, &problem);
        return;
    }
    for (int is_pattern = 0; is_pattern < 2; is_pattern++) {
        struct room *room = audience_find(&q->audience, key, is_pattern);
        if (room) {
            lose_room(room, &problem);
        }
    }
}

struct live_queue *live_queue_for(struct live *live, const struct destination *d)
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
