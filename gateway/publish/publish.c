#include "gateway/publish/publish_internal.h"

#include "amqp/code.h"
#include "amqp/storage.h"
#include "common/log.h"
#include "gateway/connection.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static uint64_t unix_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* ---- Publishing ---- */

void publish_problem(struct session_problem *problem, uint16_t code, const char *text)
{
    *problem = (struct session_problem){.reason = CLOSE_REFUSED_FRAME};
    snprintf(problem->message, sizeof problem->message, "%s", broker_code_str(code));
    snprintf(problem->text, sizeof problem->text, "%s", text);
}

enum session_verdict publish_send(struct publish *p, const struct session_send *send,
                                  uint64_t session, struct session_problem *problem)
{
    const struct destination *d = send->destination;
    enum session_verdict verdict = SESSION_DONE;
    if (send->queue && !send->queue->must_exist) {
        verdict = publish_queue_check(p, send->queue, problem);
    } else if (d->is_client_named) {
        verdict = publish_exchange(p, d, problem);
    }
    if (verdict != SESSION_DONE) {
        return verdict;
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
    p->options.host->restored(p->options.reactor, kind, name);
}

static void on_deleted(void *owner, struct slice exchange, struct slice queue, struct slice key)
{
    struct publish *p = owner;
    if (!queue.ptr) {
        publish_exchange_gone(p, exchange);
    }
    p->options.host->deleted(p->options.reactor, exchange, queue, key);
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
        if (r->declare && publish_keep_exchange(p, r, r->exchange, fixed_done, i) != 0) {
            return -1;
        }
        if (r->store && publish_bind_storage(p, r, r->exchange, fixed_done, i) != 0) {
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
    list_init(&p->queues_by_answer);
    const struct config *c = options->config;
    char name[160];
    snprintf(name, sizeof name, "stompgate %s publish", options->name);
    struct broker_options broker = connection_options(c, name);
    broker.sweep_ms = c->broker.sweep_ms;
    broker.is_publisher = true;
    broker.unconfirmed_bytes = (size_t)c->broker.unconfirmed_bytes;
    broker.watches = true;
    p->broker = broker_new(options->loop, &broker, &events, p);
    if (!p->broker || keep_fixed(p) != 0) {
        broker_free(p->broker);
        free(p);
        return NULL;
    }
    broker_on_missing_exchange(p->broker, publish_exchange_missing);
    broker_on_missing_queue(p->broker, publish_queue_missing);
    broker_on_deleted(p->broker, on_deleted);
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
    publish_exchanges_free(p);
    publish_queues_free(p);
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
