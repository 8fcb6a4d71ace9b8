#include "gateway/publish.h"

#include "amqp/code.h"
#include "amqp/storage.h"
#include "common/id.h"
#include "common/log.h"
#include "common/map.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define EXCHANGES_MAX 10000 /* named by clients and remembered at a time */
#define MISSING_FOR_MS 1000 /* a missing one is asked for again after this */
#define KNOWN_FOR_MS 5000   /* one that we may not declare is looked for again after this */
#define IDLE_FOR_MS                                                                                \
    60000 /* one that we declared and nobody sent to is forgotten, and deleted if nothing is bound \
             to it */

enum exchange_state {
    EXCHANGE_ASKED,  /* an answer is on its way */
    EXCHANGE_STANDS, /* until due_ms, or for as long as it is used where we declared it */
    EXCHANGE_MISSING /* code and text say why; until due_ms */
};

/* An exchange that a client named. */
struct exchange {
    uint64_t id;
    struct publish *publish;
    const struct config_route *route;
    enum exchange_state state;
    uint64_t due_ms;
    uint64_t used_ms;
    uint16_t code;
    char text[256];
    struct wheel_timer idle;
    size_t name_len;
    char name[];
};

struct publish {
    struct publish_options options;
    struct broker *broker;
    struct map by_name;
    struct map by_id;
    uint64_t last_id;
    uint64_t restored;
    struct id_generator ids;
    bool is_inside; /* of a probe, whose answer may come at once */
    void (*stopped)(void *reactor);
};

static uint64_t unix_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* ---- Exchanges named by clients ---- */

static void exchange_free(struct exchange *x)
{
    struct publish *p = x->publish;
    wheel_cancel(p->options.wheel, &x->idle);
    map_take(&p->by_name, x->name, x->name_len);
    map_take(&p->by_id, &x->id, sizeof x->id);
    free(x);
}

static void exchange_idle(struct wheel_timer *timer, uint64_t now_ms)
{
    struct exchange *x = LIST_OWNER(timer, struct exchange, idle);
    bool is_missing = x->state == EXCHANGE_MISSING && x->due_ms <= now_ms;
    if (x->state == EXCHANGE_ASKED || (!is_missing && x->used_ms + IDLE_FOR_MS > now_ms)) {
        wheel_set(x->publish->options.wheel, timer, now_ms + IDLE_FOR_MS);
        return;
    }
    if (x->route->declare && x->state == EXCHANGE_STANDS) {
        broker_drop_exchange(x->publish->broker, x->name);
    }
    exchange_free(x);
}

static struct exchange *exchange_new(struct publish *p, const struct destination *d)
{
    struct exchange *x =
        p->by_name.n < EXCHANGES_MAX ? calloc(1, sizeof *x + d->exchange_len + 1) : NULL;
    if (!x) {
        return NULL;
    }
    x->id = ++p->last_id;
    x->publish = p;
    x->route = d->route;
    x->name_len = d->exchange_len;
    memcpy(x->name, d->exchange, d->exchange_len);
    x->state = EXCHANGE_MISSING;
    wheel_timer_init(&x->idle, exchange_idle);
    if (map_put(&p->by_name, x->name, x->name_len, x) != 0 ||
        map_put(&p->by_id, &x->id, sizeof x->id, x) != 0) {
        exchange_free(x);
        return NULL;
    }
    wheel_set(p->options.wheel, &x->idle, *p->options.now_ms + IDLE_FOR_MS);
    return x;
}

static void exchange_done(void *owner, uint64_t cookie, const struct broker_reply *reply)
{
    struct publish *p = owner;
    struct exchange *x = map_get(&p->by_id, &cookie, sizeof cookie);
    if (!x) {
        return;
    }
    x->state = reply->is_ok ? EXCHANGE_STANDS : EXCHANGE_MISSING;
    x->due_ms = *p->options.now_ms + (reply->is_ok ? KNOWN_FOR_MS : MISSING_FOR_MS);
    x->code = reply->code;
    if (!reply->is_ok) {
        wheel_set(p->options.wheel, &x->idle,
                  x->due_ms); /* a wrong name is not remembered for long */
    }
    snprintf(x->text, sizeof x->text, "%s", reply->text ? reply->text : "");
    if (!p->is_inside) {
        p->options.host->room(p->options.reactor);
    }
}

static int keep_exchange(struct publish *p, const struct config_route *route, const char *name,
                         broker_done_fn done, uint64_t cookie)
{
    struct broker_exchange e = {
        .name = name,
        .type = route->type == CONFIG_FANOUT ? "fanout" : "topic",
        .is_durable = route->durable,
    };
    if (broker_keep_exchange(p->broker, &e, route->store ? NULL : done, cookie) != 0) {
        return -1;
    }
    return 0;
}

static int bind_storage(struct publish *p, const struct config_route *route, const char *exchange,
                        broker_done_fn done, uint64_t cookie)
{
    struct slice key = route->type == CONFIG_FANOUT ? SLICE_LITERAL("") : SLICE_LITERAL("#");
    return broker_bind(p->broker, p->options.config->store.queue, exchange, key, done, cookie);
}

static void exchange_ask(struct exchange *x)
{
    struct publish *p = x->publish;
    x->state = EXCHANGE_ASKED;
    p->is_inside = true;
    int asked;
    if (!x->route->declare) {
        asked = broker_probe_exchange(p->broker, x->name, exchange_done, x->id);
    } else {
        asked = keep_exchange(p, x->route, x->name, exchange_done, x->id);
        if (asked == 0 && x->route->store) {
            asked = bind_storage(p, x->route, x->name, exchange_done, x->id);
        }
    }
    p->is_inside = false;
    if (asked != 0) {
        struct broker_reply memory = {.code = 541, .text = "out of memory"};
        p->is_inside = true;
        exchange_done(p, x->id, &memory);
        p->is_inside = false;
    }
}

/* SESSION_DONE when the exchange may be published to now. */
static enum session_verdict exchange_check(struct publish *p, const struct destination *d,
                                           struct session_problem *problem)
{
    uint64_t now = *p->options.now_ms;
    struct exchange *x = map_get(&p->by_name, d->exchange, d->exchange_len);
    if (!x) {
        x = exchange_new(p, d);
    }
    if (!x) {
        *problem = (struct session_problem){.reason = CLOSE_LIMIT, .message = "too many exchanges"};
        snprintf(problem->text, sizeof problem->text,
                 "Too many exchanges are in use; try again later.\n");
        return SESSION_REFUSED;
    }
    x->used_ms = now;
    bool is_stale = now >= x->due_ms && !(x->state == EXCHANGE_STANDS && x->route->declare);
    if (x->state != EXCHANGE_ASKED && is_stale) {
        exchange_ask(x);
    }
    switch (x->state) {
    case EXCHANGE_ASKED:
        return SESSION_WAIT;
    case EXCHANGE_STANDS:
        return SESSION_DONE;
    case EXCHANGE_MISSING:
        break;
    }
    *problem = (struct session_problem){.reason = CLOSE_REFUSED_FRAME};
    snprintf(problem->message, sizeof problem->message, "%s", broker_code_str(x->code));
    snprintf(problem->text, sizeof problem->text, "%s", x->text);
    return SESSION_REFUSED;
}

/* A publish found its exchange gone: declared again where we may. */
static bool on_missing(void *owner, struct slice exchange)
{
    struct publish *p = owner;
    struct exchange *x = map_get(&p->by_name, exchange.ptr, exchange.len);
    if (!x) {
        return false;
    }
    if (!x->route->declare) {
        x->state = EXCHANGE_MISSING;
        x->due_ms = 0; /* the next SEND looks again */
        return false;
    }
    log_warn(p->options.name, "exchange.redeclared", "exchange=%s", x->name);
    exchange_ask(x);
    return true;
}

/* ---- Publishing ---- */

enum session_verdict publish_send(struct publish *p, const struct session_send *send,
                                  uint64_t session, struct session_problem *problem)
{
    const struct destination *d = send->destination;
    if (d->is_client_named) {
        enum session_verdict verdict = exchange_check(p, d, problem);
        if (verdict != SESSION_DONE) {
            return verdict;
        }
    }
    char id[ID_TEXT_LEN + 1];
    id_text(id_v7(&p->ids, unix_ms()), id);
    struct broker_publish publish = {
        .exchange = {d->exchange, d->exchange_len},
        .routing_key = {d->key, d->key_len},
        .is_mandatory = send->is_mandatory,
        .is_client_named = d->is_client_named,
        .properties = send->properties,
        .body = send->body,
        .session = session,
        .token = send->token,
    };
    publish.properties.message_id = (struct slice){id, ID_TEXT_LEN};
    switch (broker_publish(p->broker, &publish)) {
    case BROKER_ACCEPTED:
        return SESSION_DONE;
    case BROKER_FULL:
        return SESSION_WAIT;
    case BROKER_INVALID:
        break;
    }
    *problem = (struct session_problem){.reason = CLOSE_TOO_BIG, .message = "Headers too large"};
    snprintf(problem->text, sizeof problem->text,
             "The headers of this SEND do not fit into an AMQP frame.\n");
    return SESSION_REFUSED;
}

/* ---- Life ---- */

static void on_state(void *owner, enum broker_state state)
{
    struct publish *p = owner;
    p->options.host->state(p->options.reactor, state);
}

static void on_room(void *owner)
{
    struct publish *p = owner;
    p->options.host->room(p->options.reactor);
}

static void on_settled(void *owner, const struct broker_settled *settled)
{
    struct publish *p = owner;
    p->options.host->settled(p->options.reactor, settled);
}

static void on_restored(void *owner, const char *kind, const char *name)
{
    struct publish *p = owner;
    p->restored++;
    log_warn(p->options.name, "topology.restored", "kind=%s name=%s side=publish", kind, name);
}

/* What a fixed thing's declaration was refused for is a mistake of the configuration or of an
 * administrator. */
static void fixed_done(void *owner, uint64_t cookie, const struct broker_reply *reply)
{
    struct publish *p = owner;
    if (!reply->is_ok) {
        log_error(p->options.name, "topology.refused", "what=%s code=%u text=%s",
                  cookie < p->options.config->n_routes ? p->options.config->routes[cookie].exchange
                                                       : p->options.config->store.queue,
                  reply->code, reply->text ? reply->text : "");
    }
}

/* The exchanges of the configuration, the storage queue and its bindings: they stand before the
 * first publish. */
static int keep_fixed(struct publish *p)
{
    const struct config *c = p->options.config;
    bool stores = false;
    for (size_t i = 0; i < c->n_routes; i++) {
        stores = stores || c->routes[i].store;
    }
    if (stores &&
        broker_keep_storage_queue(p->broker, c->store.queue, c->store.dead_queue,
                                  c->store.queue_max_bytes, fixed_done, c->n_routes) != 0) {
        return -1;
    }
    for (size_t i = 0; i < c->n_routes; i++) {
        const struct config_route *r = &c->routes[i];
        if (r->exchange[0] == 0) {
            continue;
        }
        if (r->declare && keep_exchange(p, r, r->exchange, fixed_done, i) != 0) {
            return -1;
        }
        if (r->store && bind_storage(p, r, r->exchange, fixed_done, i) != 0) {
            return -1;
        }
    }
    return 0;
}

struct publish *publish_new(const struct publish_options *options)
{
    static const struct broker_events events = {
        .state = on_state, .room = on_room, .settled = on_settled, .restored = on_restored};
    struct publish *p = calloc(1, sizeof *p);
    if (!p) {
        return NULL;
    }
    p->options = *options;
    const struct config *c = options->config;
    char name[160];
    snprintf(name, sizeof name, "stompgate %s publish", options->name);
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
        .is_publisher = true,
        .unconfirmed_bytes = (size_t)c->broker.unconfirmed_bytes,
        .watches = true,
    };
    p->broker = broker_new(options->loop, &broker, &events, p);
    if (!p->broker || keep_fixed(p) != 0) {
        broker_free(p->broker);
        free(p);
        return NULL;
    }
    broker_on_missing_exchange(p->broker, on_missing);
    return p;
}

void publish_start(struct publish *p)
{
    broker_start(p->broker);
}

static void on_stopped(void *owner)
{
    struct publish *p = owner;
    p->stopped(p->options.reactor);
}

void publish_stop(struct publish *p, void (*stopped)(void *reactor))
{
    p->stopped = stopped;
    broker_stop(p->broker, on_stopped);
}

void publish_free(struct publish *p)
{
    if (!p) {
        return;
    }
    struct map_entry entry;
    for (size_t cursor = 0; map_next(&p->by_id, &cursor, &entry); cursor = 0) {
        exchange_free(entry.value);
    }
    map_fini(&p->by_id);
    map_fini(&p->by_name);
    broker_free(p->broker);
    free(p);
}

const struct broker *publish_broker(const struct publish *p)
{
    return p->broker;
}

uint64_t publish_restored(const struct publish *p)
{
    return p->restored;
}
