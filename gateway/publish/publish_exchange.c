/* Exchanges that clients name: declared on first use where their route lets us, else looked for. */
#include "gateway/publish/publish_internal.h"

#include "amqp/code.h"
#include "common/log.h"

#include <stdio.h>
#include <stdlib.h>

#define EXCHANGES_MAX 10000 /* named by clients and remembered at a time */
#define IDLE_FOR_MS                                                                                \
    60000 /* one that we declared and nobody sent to is forgotten, and deleted if nothing is bound \
             to it */

/* An exchange that a client named. */
struct exchange {
    uint64_t id;
    struct publish *publish;
    const struct config_route *route;
    bool is_declared; /* by us; else it is looked for */
    enum publish_state state;
    uint64_t due_ms;
    uint64_t used_ms;
    uint16_t code;
    char text[256];
    struct wheel_timer idle;
    size_t name_len;
    char name[];
};

static void exchange_free(struct exchange *x)
{
    struct publish *p = x->publish;
    wheel_cancel(p->options.wheel, &x->idle);
    map_take(&p->exchanges, x->name, x->name_len);
    map_take(&p->exchanges_by_id, &x->id, sizeof x->id);
    free(x);
}

static void exchange_idle(struct wheel_timer *timer, uint64_t now_ms)
{
    struct exchange *x = LIST_OWNER(timer, struct exchange, idle);
    bool is_missing = x->state == PUBLISH_MISSING && x->due_ms <= now_ms;
    if (x->state == PUBLISH_ASKED || (!is_missing && x->used_ms + IDLE_FOR_MS > now_ms)) {
        wheel_set(x->publish->options.wheel, timer, now_ms + IDLE_FOR_MS);
        return;
    }
    if (x->is_declared && x->state == PUBLISH_STANDS) {
        broker_drop_exchange(x->publish->broker, x->name);
    }
    exchange_free(x);
}

static struct exchange *exchange_new(struct publish *p, const struct destination *d)
{
    struct exchange *x =
        p->exchanges.n < EXCHANGES_MAX ? calloc(1, sizeof *x + d->exchange_len + 1) : NULL;
    if (!x) {
        return NULL;
    }
    x->id = ++p->last_id;
    x->publish = p;
    x->route = d->route;
    x->is_declared = d->is_client_named && d->route->declare;
    x->name_len = d->exchange_len;
    memcpy(x->name, d->exchange, d->exchange_len);
    x->state = PUBLISH_MISSING;
    wheel_timer_init(&x->idle, exchange_idle);
    if (map_put(&p->exchanges, x->name, x->name_len, x) != 0 ||
        map_put(&p->exchanges_by_id, &x->id, sizeof x->id, x) != 0) {
        exchange_free(x);
        return NULL;
    }
    wheel_set(p->options.wheel, &x->idle, *p->options.now_ms + IDLE_FOR_MS);
    return x;
}

static void exchange_done(void *owner, uint64_t cookie, const struct broker_reply *reply)
{
    struct publish *p = owner;
    struct exchange *x = map_get(&p->exchanges_by_id, &cookie, sizeof cookie);
    if (!x) {
        return;
    }
    x->state = reply->is_ok ? PUBLISH_STANDS : PUBLISH_MISSING;
    x->due_ms = *p->options.now_ms + (reply->is_ok ? PUBLISH_KNOWN_MS : PUBLISH_MISSING_MS);
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

int publish_keep_exchange(struct publish *p, const struct config_route *route, const char *name,
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

int publish_bind_storage(struct publish *p, const struct config_route *route, const char *exchange,
                         broker_done_fn done, uint64_t cookie)
{
    struct slice key = route->type == CONFIG_FANOUT ? SLICE_LITERAL("") : SLICE_LITERAL("#");
    return broker_bind(p->broker, p->options.config->store.queue, exchange, key, done, cookie);
}

static void exchange_ask(struct exchange *x)
{
    struct publish *p = x->publish;
    x->state = PUBLISH_ASKED;
    p->is_inside = true;
    int asked;
    if (!x->is_declared) {
        asked = broker_probe_exchange(p->broker, x->name, exchange_done, x->id);
    } else {
        asked = publish_keep_exchange(p, x->route, x->name, exchange_done, x->id);
        if (asked == 0 && x->route->store) {
            asked = publish_bind_storage(p, x->route, x->name, exchange_done, x->id);
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

enum session_verdict publish_exchange(struct publish *p, const struct destination *d,
                                      struct session_problem *problem)
{
    uint64_t now = *p->options.now_ms;
    struct exchange *x = map_get(&p->exchanges, d->exchange, d->exchange_len);
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
    bool is_stale = now >= x->due_ms && !(x->state == PUBLISH_STANDS && x->is_declared);
    if (x->state != PUBLISH_ASKED && is_stale) {
        exchange_ask(x);
    }
    switch (x->state) {
    case PUBLISH_ASKED:
        return SESSION_WAIT;
    case PUBLISH_STANDS:
        return SESSION_DONE;
    case PUBLISH_MISSING:
        break;
    }
    publish_problem(problem, x->code, x->text);
    return SESSION_REFUSED;
}

bool publish_exchange_missing(void *owner, struct slice exchange)
{
    struct publish *p = owner;
    struct exchange *x = map_get(&p->exchanges, exchange.ptr, exchange.len);
    if (!x) {
        return false;
    }
    if (!x->is_declared) {
        x->state = PUBLISH_MISSING;
        x->due_ms = 0; /* the next SEND looks again */
        return false;
    }
    if (x->state != PUBLISH_ASKED) {
        log_warn(p->options.name, "exchange.redeclared", "exchange=%s", x->name);
        exchange_ask(x);
    }
    return true;
}

void publish_exchange_gone(struct publish *p, struct slice exchange)
{
    (void)publish_exchange_missing(p, exchange);
}

void publish_exchanges_free(struct publish *p)
{
    struct map_entry entry;
    for (size_t cursor = 0; map_next(&p->exchanges_by_id, &cursor, &entry); cursor = 0) {
        exchange_free(entry.value);
    }
    map_fini(&p->exchanges_by_id);
    map_fini(&p->exchanges);
}
