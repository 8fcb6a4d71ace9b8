/* The steps from what stands at the broker to what is wanted, and what the broker says to them. At
 * most one step per thing is on its way; what comes meanwhile is seen when its answer is there. */
#include "amqp/broker_internal.h"

#include <stdio.h>
#include <string.h>

/* ---- Answers ---- */

static void told(struct broker *b, struct kept *k)
{
    if (!k->has_vanished) {
        return;
    }
    char name[3 * CODEC_NAME_MAX + 16];
    struct binding *x;
    switch (k->kind) {
    case KEPT_EXCHANGE:
        broker_defer_restored(b, "exchange", exchange_of(k)->name);
        break;
    case KEPT_QUEUE:
        return; /* when it is whole */
    case KEPT_BINDING:
        x = binding_of(k);
        if (x->group->queue && x->group->queue->is_internal) {
            break;
        }
        snprintf(name, sizeof(name), "%s -> %s key %.*s", x->group->exchange, x->group->id,
                 (int)x->key_len, x->key);
        broker_defer_restored(b, "binding", name);
        break;
    }
    k->has_vanished = false;
}

static void on_stands(struct broker *b, struct kept *k, const struct answer *a)
{
    struct broker_reply reply = BROKER_OK_REPLY;
    bool was_present = k->is_present;
    k->is_asserting = false;
    k->stood_unix_ms = b->current_in_unix_ms;
    if (was_present) {
        return;
    }
    kept_set(k, k->is_wanted, true);
    k->has_stood = true;
    k->tries = 0;
    told(b, k);
    if (k->kind == KEPT_QUEUE && a->kind == ANSWER_OK) {
        const amqp_queue_declare_ok_t *ok = a->method;
        reply.messages = ok->message_count;
        reply.consumers = ok->consumer_count;
    }
    broker_defer_all(b, &k->waiters, &reply);
    switch (k->kind) {
    case KEPT_EXCHANGE:
        probe_forget_exchange(b, slice_of(exchange_of(k)->name));
        break;
    case KEPT_QUEUE:
        queue_check_whole(b, queue_of(k));
        break;
    case KEPT_BINDING:
        if (binding_is_prefix(binding_of(k))) {
            group_prefix_stands(b, binding_of(k)->group);
        }
        break;
    }
    kept_settle(b, k);
    if (k->kind == KEPT_BINDING) {
        group_review(b, binding_of(k)->group);
    }
}

/* The bindings that waited for a queue get the queue's answer. */
void topology_refuse_bindings(struct broker *b, struct queue *q, const struct broker_reply *reply)
{
    while (!list_is_empty(&q->groups)) {
        struct group *g = LIST_OWNER(q->groups.next, struct group, queue_node);
        group_attach(g, NULL);
        struct list *n = g->keys.next;
        bool more = n != &g->keys;
        while (more) {
            struct list *next = n->next;
            struct binding *x = LIST_OWNER(n, struct binding, node);
            more = next != &g->keys;
            broker_defer_all(b, &x->kept.waiters, reply);
            x->kept.is_first = false;
            kept_disown_answer(&x->kept);
            kept_set(&x->kept, false, false);
            kept_reconcile(b, &x->kept);
            n = next;
        }
    }
    q->n_first = 0;
}

static void refuse(struct broker *b, struct kept *k, const struct answer *a)
{
    struct broker_reply reply = {.code = a->code, .text = a->text};
    kept_set(k, false, false);
    broker_defer_all(b, &k->waiters, &reply);
    if (k->kind == KEPT_QUEUE) {
        topology_refuse_bindings(b, queue_of(k), &reply);
    }
}

/* A bind that failed because something else of ours is not there any more. True: that is put back,
 * and the bind behind it. */
static bool is_fault_of_another(struct broker *b, struct kept *k, const struct answer *a)
{
    if (k->kind != KEPT_BINDING || a->code != 404 || ++k->tries > TOPOLOGY_TRIES) {
        return false;
    }
    struct group *g = binding_of(k)->group;
    struct exchange *e = topology_exchange(b, slice_of(g->exchange));
    if (e && e->kept.is_wanted &&
        channel_says_missing(a->text, "exchange", slice_of(g->exchange))) {
        exchange_vanished(b, slice_of(g->exchange), b->last_in_unix_ms);
        return true;
    }
    if (g->queue && g->queue->kept.is_wanted &&
        channel_says_missing(a->text, "queue", slice_of(g->queue->at_broker))) {
        queue_vanished(b, g->queue, b->last_in_unix_ms);
        return true;
    }
    return false;
}

/* It stood, and now one of that name stands that an administrator made with other arguments: his is
 * used as it is. */
static bool is_anothers(const struct kept *k, const struct answer *a)
{
    return k->kind != KEPT_BINDING && k->is_wanted && k->has_stood && a->code == 406;
}

static void on_refused(struct broker *b, struct kept *k, const struct answer *a)
{
    k->is_asserting = false;
    if (kept_is_due(k) && is_fault_of_another(b, k, a)) {
        return;
    }
    if (is_anothers(k, a)) {
        log_warn(b->name, "broker.topology_differs", "reason=%s", a->text);
        on_stands(b, k, a);
        return;
    }
    log_warn(b->name, "broker.topology_refused", "code=%u reason=%s", a->code, a->text);
    if (k->kind == KEPT_BINDING && binding_is_prefix(binding_of(k)) && !k->is_wanted) {
        group_fall_back(b, binding_of(k)->group);
    } else if (k->has_stood && list_is_empty(&k->waiters)) {
        struct broker_reply reply = {.code = a->code, .text = a->text};
        kept_break(b, k, TOPOLOGY_RETRY_MS);
        kept_tell_broken(b, k, &reply);
    } else {
        refuse(b, k, a);
    }
    kept_settle(b, k);
}

/* `k` counts as on its way until its answer was handled, so that nothing that happens meanwhile
 * frees it. */
static void on_answer(struct broker *b, struct request *r, const struct answer *a)
{
    struct kept *k = LIST_OWNER(r, struct kept, request);
    bool is_removing = k->is_removing;
    bool is_stale = k->is_stale;
    k->is_removing = false;
    if (a->kind == ANSWER_LOST) {
        k->is_in_flight = false;
        k->is_stale = false;
        kept_requeue(b, k);
        return;
    }
    if (!is_stale && is_removing) {
        /* Refused: it is not there (404), or it is in use (406): either way it is none of ours any
         * more. */
        kept_set(k, k->is_wanted, false);
    } else if (!is_stale && a->kind == ANSWER_OK) {
        on_stands(b, k, a);
    } else if (!is_stale) {
        on_refused(b, k, a);
    }
    k->is_in_flight = false;
    k->is_stale = false;
    kept_reconcile(b, k);
}

/* ---- Steps ---- */

static void request(struct broker *b, struct kept *k, unsigned number, amqp_method_number_t id,
                    void *method)
{
    k->is_in_flight = true;
    /* The answer to a request has the next number, in all classes that are used here. */
    channel_request(b, number, &k->request, id, method, id + 1, on_answer);
}

static void send_exchange(struct broker *b, struct exchange *e)
{
    if (!kept_is_due(&e->kept)) {
        amqp_exchange_delete_t delete = {.exchange = broker_bytes(e->name), .if_unused = 1};
        e->kept.is_removing = true;
        request(b, &e->kept, CH_SCRATCH, AMQP_EXCHANGE_DELETE_METHOD, &delete);
        return;
    }
    amqp_exchange_declare_t declare = {
        .exchange = broker_bytes(e->name),
        .type = broker_bytes(e->type),
        .durable = e->is_durable,
    };
    request(b, &e->kept, CH_TOPOLOGY, AMQP_EXCHANGE_DECLARE_METHOD, &declare);
}

static amqp_table_entry_t text_argument(const char *key, const char *value)
{
    amqp_table_entry_t entry = {.key = broker_bytes(key)};
    entry.value.kind = AMQP_FIELD_KIND_UTF8;
    entry.value.value.bytes = broker_bytes(value);
    return entry;
}

static amqp_table_entry_t number_argument(const char *key, int64_t value)
{
    amqp_table_entry_t entry = {.key = broker_bytes(key)};
    entry.value.kind = AMQP_FIELD_KIND_I64;
    entry.value.value.i64 = value;
    return entry;
}

#define QUEUE_ARGUMENTS_MAX 5

static int queue_arguments(const struct broker *b, const struct queue *q,
                           amqp_table_entry_t arguments[QUEUE_ARGUMENTS_MAX])
{
    int n = 0;
    if (q->max_bytes > 0) {
        arguments[n++] = number_argument("x-max-length-bytes", q->max_bytes);
    }
    if (q->max_length > 0) {
        arguments[n++] = number_argument("x-max-length", q->max_length);
    }
    if (q->overflow) {
        arguments[n++] = text_argument("x-overflow", q->overflow);
    }
    const struct queue *reports = topology_queue(b, b->watch.overflow_queue);
    const char *letters = q->dead_letter_queue;
    if (q->reports_overflow && reports) {
        letters = reports->at_broker;
    }
    if (letters) {
        arguments[n++] = text_argument("x-dead-letter-exchange", "");
        arguments[n++] = text_argument("x-dead-letter-routing-key", letters);
    }
    return n;
}

static void send_queue(struct broker *b, struct queue *q)
{
    if (!kept_is_due(&q->kept)) {
        amqp_queue_delete_t delete = {.queue = broker_bytes(q->at_broker)};
        q->kept.is_removing = true;
        request(b, &q->kept, CH_TOPOLOGY, AMQP_QUEUE_DELETE_METHOD, &delete);
        return;
    }
    amqp_table_entry_t arguments[QUEUE_ARGUMENTS_MAX];
    amqp_queue_declare_t declare = {
        .queue = broker_bytes(q->at_broker),
        .durable = q->is_durable,
        .exclusive = q->is_exclusive,
        .arguments = {queue_arguments(b, q, arguments), arguments},
    };
    request(b, &q->kept, CH_TOPOLOGY, AMQP_QUEUE_DECLARE_METHOD, &declare);
    for (struct list *n = q->groups.next; n != &q->groups;) {
        struct group *g = LIST_OWNER(n, struct group, queue_node);
        n = n->next; /* a group whose last binding goes is freed */
        restore_group(b, g);
    }
}

static void send_binding(struct broker *b, struct binding *x)
{
    const struct group *g = x->group;
    const char *queue = g->queue ? g->queue->at_broker : g->id;
    bool is_internal = g->queue && g->queue->is_internal;
    amqp_bytes_t key = {x->key_len, x->key};
    if (kept_is_due(&x->kept)) {
        amqp_queue_bind_t bind = {
            .queue = broker_bytes(queue),
            .exchange = broker_bytes(g->exchange),
            .routing_key = key,
        };
        b->stats.binds += !is_internal && !x->kept.is_present;
        request(b, &x->kept, CH_TOPOLOGY, AMQP_QUEUE_BIND_METHOD, &bind);
        return;
    }
    amqp_queue_unbind_t unbind = {
        .queue = broker_bytes(queue),
        .exchange = broker_bytes(g->exchange),
        .routing_key = key,
    };
    x->kept.is_removing = true;
    watch_unbinding(b, x);
    b->stats.unbinds += !is_internal;
    request(b, &x->kept, CH_TOPOLOGY, AMQP_QUEUE_UNBIND_METHOD, &unbind);
}

static void take_step(struct broker *b, struct kept *k)
{
    bool due = kept_is_due(k);
    if ((due == k->is_present && !(due && k->is_asserting)) || (due && kept_is_held(k))) {
        kept_reconcile(b, k);
        return;
    }
    switch (k->kind) {
    case KEPT_EXCHANGE:
        send_exchange(b, exchange_of(k));
        break;
    case KEPT_QUEUE:
        send_queue(b, queue_of(k));
        break;
    case KEPT_BINDING:
        send_binding(b, binding_of(k));
        break;
    }
}

void topology_pump(struct broker *b)
{
    const struct channel *ch = &b->channels[CH_TOPOLOGY];
    for (unsigned i = 0; i < WORK_N; i++) {
        size_t window = i == WORK_BACKGROUND ? TOPOLOGY_BACKGROUND_WINDOW : TOPOLOGY_WINDOW;
        while (!list_is_empty(&b->work[i]) && ch->n_requests < window && broker_is_connected(b)) {
            struct kept *k = LIST_OWNER(b->work[i].next, struct kept, work);
            list_remove(&k->work);
            take_step(b, k);
        }
    }
}

/* ---- Asserting, for the sweep ---- */

static void on_asserted(struct broker *b, struct request *r, const struct answer *a)
{
    struct kept *k = LIST_OWNER(r, struct kept, request);
    bool is_stale = k->is_stale;
    k->is_in_flight = false;
    k->is_stale = false;
    if (a->kind == ANSWER_OK) {
        k->stood_unix_ms = b->current_in_unix_ms;
    } else if (a->kind == ANSWER_REFUSED && a->code == 404 && !is_stale && k->is_wanted) {
        if (k->kind == KEPT_EXCHANGE) {
            exchange_vanished(b, slice_of(exchange_of(k)->name), k->stood_unix_ms);
        } else {
            queue_vanished(b, queue_of(k), k->stood_unix_ms);
        }
    }
    kept_reconcile(b, k);
}

void topology_assert(struct broker *b, struct kept *k)
{
    k->is_in_flight = true;
    if (k->kind == KEPT_EXCHANGE) {
        amqp_exchange_declare_t ask = {
            .exchange = broker_bytes(exchange_of(k)->name),
            .type = broker_bytes(exchange_of(k)->type),
            .passive = 1,
        };
        channel_request(b, CH_SCRATCH, &k->request, AMQP_EXCHANGE_DECLARE_METHOD, &ask,
                        AMQP_EXCHANGE_DECLARE_OK_METHOD, on_asserted);
        return;
    }
    amqp_queue_declare_t ask = {.queue = broker_bytes(queue_of(k)->at_broker), .passive = 1};
    channel_request(b, CH_SCRATCH, &k->request, AMQP_QUEUE_DECLARE_METHOD, &ask,
                    AMQP_QUEUE_DECLARE_OK_METHOD, on_asserted);
}
