#include "gateway/private/private_internal.h"

#include "common/log.h"
#include "gateway/connection.h"

#include <stdio.h>
#include <stdlib.h>

bool private_pool_is_up(const struct private_connection *c)
{
    return c->broker && !c->is_stopping && broker_state(c->broker) == BROKER_UP;
}

/* ---- What the broker object tells ---- */

static void on_state(void *owner, enum broker_state state)
{
    struct private_connection *c = owner;
    log_info(c->side->options.name, "private.state", "connection=%d state=%s sessions=%zu",
             c->number, broker_state_str(state), c->n_sessions);
    if (!private_pool_is_up(c)) {
        return;
    }
    for (struct list *node = c->sessions.next; node != &c->sessions;) {
        struct private_session *s = LIST_OWNER(node, struct private_session, node);
        node = node->next; /* it may move to another connection */
        private_session_open(s);
    }
}

static void tell_stopped(struct private_side *p)
{
    if (p->stopped && private_pool_is_stopped(p)) {
        wheel_set(p->options.wheel, &p->end, 0);
    }
}

static void on_stopped(void *owner)
{
    struct private_connection *c = owner;
    c->is_stopped = true; /* freed when the place is needed: not inside its own callback */
    tell_stopped(c->side);
}

/* ---- Opening and closing ---- */

static void close_connection(struct private_connection *c)
{
    if (c->broker && !c->is_stopping) {
        c->is_stopping = true;
        broker_stop(c->broker, on_stopped);
    }
}

static void on_idle(struct wheel_timer *timer, uint64_t now_ms)
{
    struct private_connection *c = LIST_OWNER(timer, struct private_connection, idle);
    (void)now_ms;
    if (c->n_sessions == 0) {
        close_connection(c);
    }
}

static void free_stopped(struct private_connection *c)
{
    if (c->is_stopped) {
        broker_free(c->broker);
        c->broker = NULL;
        c->is_stopping = c->is_stopped = false;
    }
}

static int open_connection(struct private_connection *c)
{
    static const struct broker_events events = {.state = on_state};
    struct private_side *p = c->side;
    const struct config *config = p->options.config;
    char name[160];
    snprintf(name, sizeof name, "stompgate %s private %d", p->options.name, c->number);
    struct broker_options options = connection_options(config, name);
    options.is_private = true;
    c->broker = broker_new(p->options.loop, &options, &events, c);
    if (!c->broker) {
        log_error(p->options.name, "broker.no_memory", "connection=%s", name);
        return -1;
    }
    list_init(&c->sessions);
    wheel_timer_init(&c->idle, on_idle);
    broker_start(c->broker);
    return 0;
}

/* ---- Choosing ---- */

/* A broker may allow fewer channels than the configuration. */
static bool has_room(const struct private_connection *c)
{
    size_t most = (size_t)c->side->options.config->broker.private_channels;
    return c->broker && !c->is_stopping && c->n_sessions < most &&
           (!private_pool_is_up(c) || private_room(c->broker) > 0);
}

struct private_connection *private_pool_pick(struct private_side *p)
{
    struct private_connection *best = NULL;
    struct private_connection *unopened = NULL;
    for (size_t i = 0; i < p->n_connections; i++) {
        struct private_connection *c = &p->connections[i];
        free_stopped(c);
        if (has_room(c) && (!best || c->n_sessions < best->n_sessions)) {
            best = c;
        }
        if (!c->broker && !unopened) {
            unopened = c;
        }
    }
    if (!best && unopened && !p->stopped && open_connection(unopened) == 0) {
        best = unopened;
    }
    return best;
}

void private_pool_enter(struct private_connection *c, struct private_session *s)
{
    s->connection = c;
    list_push(&c->sessions, &s->node);
    c->n_sessions++;
    wheel_cancel(c->side->options.wheel, &c->idle);
}

void private_pool_leave(struct private_session *s)
{
    struct private_connection *c = s->connection;
    list_remove(&s->node);
    s->connection = NULL;
    if (--c->n_sessions == 0) {
        wheel_set(c->side->options.wheel, &c->idle, *c->side->options.now_ms + PRIVATE_IDLE_MS);
    }
}

/* ---- The end ---- */

void private_pool_stop(struct private_side *p)
{
    for (size_t i = 0; i < p->n_connections; i++) {
        close_connection(&p->connections[i]);
    }
    tell_stopped(p);
}

bool private_pool_is_stopped(const struct private_side *p)
{
    for (size_t i = 0; i < p->n_connections; i++) {
        if (p->connections[i].broker && !p->connections[i].is_stopped) {
            return false;
        }
    }
    return true;
}

void private_pool_free(struct private_side *p)
{
    for (size_t i = 0; i < p->n_connections; i++) {
        broker_free(p->connections[i].broker);
    }
    free(p->connections);
}
