/* What is kept: for each exchange, queue and binding, what is wanted and what stands at the broker;
 * and the steps from one to the other. At most one step per thing is on its way; what comes
 * meanwhile is seen when its answer is there. */
#include "amqp/broker_internal.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- The three kinds ---- */

static struct exchange *exchange_of(struct kept *k)
{
    return LIST_OWNER(k, struct exchange, kept);
}

static struct queue *queue_of(struct kept *k)
{
    return LIST_OWNER(k, struct queue, kept);
}

static struct binding *binding_of(struct kept *k)
{
    return LIST_OWNER(k, struct binding, kept);
}

struct queue *topology_queue(const struct broker *b, const char *name)
{
    return map_get(&b->queues, name, strlen(name));
}

struct exchange *topology_exchange(const struct broker *b, struct slice name)
{
    return map_get(&b->exchanges, name.ptr, name.len);
}

static size_t group_id(char id[2 * (CODEC_NAME_MAX + 1)], const char *queue, const char *exchange)
{
    size_t queue_len = strlen(queue) + 1;
    size_t exchange_len = strlen(exchange) + 1;
    memcpy(id, queue, queue_len);
    memcpy(id + queue_len, exchange, exchange_len);
    return queue_len + exchange_len;
}

struct group *topology_group(const struct broker *b, const char *queue, const char *exchange)
{
    char id[2 * (CODEC_NAME_MAX + 1)];
    if (strlen(queue) > CODEC_NAME_MAX || strlen(exchange) > CODEC_NAME_MAX) {
        return NULL;
    }
    size_t len = group_id(id, queue, exchange);
    return map_get(&b->group_ids, id, len);
}

bool binding_is_prefix(const struct binding *x)
{
    return x == x->group->prefix;
}

void kept_set(struct kept *k, bool is_wanted, bool is_present)
{
    if (k->kind == KEPT_BINDING && !binding_is_prefix(binding_of(k))) {
        struct group *g = binding_of(k)->group;
        g->n_keys += (size_t)is_wanted - (size_t)k->is_wanted;
        g->n_standing +=
            (size_t)(is_wanted && is_present) - (size_t)(k->is_wanted && k->is_present);
    }
    k->is_wanted = is_wanted;
    k->is_present = is_present;
}

static bool is_due(const struct kept *k)
{
    if (k->kind != KEPT_BINDING) {
        return k->is_wanted;
    }
    const struct binding *x = LIST_OWNER(k, struct binding, kept);
    if (binding_is_prefix(x)) {
        return k->is_wanted || x->group->mode != GROUP_EXACT;
    }
    return k->is_wanted && (k->is_present || x->group->mode != GROUP_PREFIX);
}

/* The bindings of a queue that is not there come behind its declare. */
static bool is_held(const struct kept *k)
{
    if (k->kind != KEPT_BINDING) {
        return false;
    }
    const struct queue *q = LIST_OWNER(k, struct binding, kept)->group->queue;
    return q && !q->kept.is_present && !(q->kept.is_in_flight && !q->kept.is_removing);
}

static struct list *work_for(struct broker *b, const struct kept *k)
{
    if (!is_due(k)) {
        return &b->work[WORK_BACKGROUND];
    }
    switch (k->kind) {
    case KEPT_EXCHANGE:
        return &b->work[WORK_EXCHANGE];
    case KEPT_QUEUE:
        return &b->work[WORK_QUEUE];
    case KEPT_BINDING:
        break;
    }
    bool is_urgent = k->is_first || !list_is_empty(&k->waiters) ||
                     binding_is_prefix(LIST_OWNER(k, struct binding, kept));
    return &b->work[is_urgent ? WORK_BINDING : WORK_BACKGROUND];
}

void kept_settle(struct broker *b, struct kept *k)
{
    if (k->kind == KEPT_BINDING && k->is_first) {
        struct queue *q = binding_of(k)->group->queue;
        k->is_first = false;
        if (q) {
            q->n_first--;
            queue_check_whole(b, q);
        }
    }
    if (k->is_restoring) {
        k->is_restoring = false;
        b->n_restoring--;
        restore_check(b);
    }
}

void kept_disown_answer(struct kept *k)
{
    k->is_stale = k->is_in_flight;
}

/* ---- Birth and death ---- */

static void kept_init(struct broker *b, struct kept *k, enum kept_kind kind)
{
    k->kind = kind;
    list_init(&k->work);
    list_init(&k->waiters);
    list_init(&k->request.node);
    list_push(&b->kept, (list_init(&k->ring), &k->ring));
    b->n_kept++;
}

static void group_count_again(struct group *g)
{
    g->n_keys = 0;
    g->n_standing = 0;
    for (struct list *n = g->keys.next; n != &g->keys; n = n->next) {
        struct binding *x = LIST_OWNER(n, struct binding, node);
        if (!binding_is_prefix(x) && x->kept.is_wanted) {
            g->n_keys++;
            g->n_standing += x->kept.is_present;
        }
    }
}

/* The group's queue begins or ceases to be one that we keep. */
static void group_attach(struct group *g, struct queue *q)
{
    list_remove(&g->queue_node);
    g->queue = q;
    g->prefix = NULL;
    if (q) {
        list_push(&q->groups, &g->queue_node);
        if (q->prefix_key) {
            g->prefix = map_get(&g->bindings, q->prefix_key, strlen(q->prefix_key));
        }
    } else {
        g->mode = GROUP_EXACT;
    }
    group_count_again(g);
}

static void group_free(struct broker *b, struct group *g)
{
    map_take(&b->group_ids, g->id, g->id_len);
    list_remove(&g->node);
    list_remove(&g->queue_node);
    map_fini(&g->bindings);
    free(g);
}

static struct group *group_new(struct broker *b, const char *queue, const char *exchange)
{
    struct group *g = calloc(1, sizeof(*g) + strlen(queue) + strlen(exchange) + 2);
    if (!g) {
        return NULL;
    }
    list_init(&g->node);
    list_init(&g->queue_node);
    list_init(&g->keys);
    g->id_len = group_id(g->id, queue, exchange);
    g->exchange = g->id + strlen(queue) + 1;
    if (map_put(&b->group_ids, g->id, g->id_len, g) < 0) {
        free(g);
        return NULL;
    }
    list_push(&b->groups, &g->node);
    group_attach(g, topology_queue(b, queue));
    return g;
}

struct binding *binding_get(struct broker *b, struct group *g, struct slice key)
{
    struct binding *x = map_get(&g->bindings, key.ptr, key.len);
    if (x) {
        return x;
    }
    x = calloc(1, sizeof(*x) + key.len + 1);
    if (!x) {
        return NULL;
    }
    x->group = g;
    x->key_len = key.len;
    if (key.len > 0) {
        memcpy(x->key, key.ptr, key.len);
    }
    if (map_put(&g->bindings, x->key, key.len, x) < 0) {
        free(x);
        return NULL;
    }
    list_push(&g->keys, (list_init(&x->node), &x->node));
    kept_init(b, &x->kept, KEPT_BINDING);
    if (g->queue && g->queue->prefix_key && slice_is(key, g->queue->prefix_key)) {
        g->prefix = x;
    }
    return x;
}

static void kept_free(struct broker *b, struct kept *k)
{
    static const struct broker_reply dropped = {.code = 320, .text = "dropped by its owner"};
    assert(!k->is_in_flight);
    kept_settle(b, k);
    broker_defer_all(b, &k->waiters, &dropped);
    list_remove(&k->ring);
    list_remove(&k->work);
    b->n_kept--;
    switch (k->kind) {
    case KEPT_EXCHANGE: {
        struct exchange *e = exchange_of(k);
        map_take(&b->exchanges, e->name, strlen(e->name));
        free(e->type);
        free(e);
        return;
    }
    case KEPT_QUEUE: {
        struct queue *q = queue_of(k);
        map_take(&b->queues, q->name, strlen(q->name));
        while (!list_is_empty(&q->groups)) {
            group_attach(LIST_OWNER(q->groups.next, struct group, queue_node), NULL);
        }
        free(q->overflow);
        free(q->prefix_key);
        free(q);
        return;
    }
    case KEPT_BINDING: {
        struct binding *x = binding_of(k);
        struct group *g = x->group;
        kept_set(k, false, false);
        map_take(&g->bindings, x->key, x->key_len);
        list_remove(&x->node);
        if (g->prefix == x) {
            g->prefix = NULL;
        }
        free(x);
        if (list_is_empty(&g->keys)) {
            group_free(b, g);
        }
        return;
    }
    }
}

void kept_reconcile(struct broker *b, struct kept *k)
{
    if (k->is_in_flight || (k->is_broken && k->is_wanted)) {
        return;
    }
    bool due = is_due(k);
    if (due == k->is_present && !(due && k->is_asserting)) {
        list_remove(&k->work);
        if (!due && !k->is_wanted) {
            kept_free(b, k);
        }
        return;
    }
    if (due && is_held(k)) {
        list_remove(&k->work);
        return;
    }
    if (list_is_empty(&k->work)) {
        list_push(work_for(b, k), &k->work);
        broker_wake(b);
    }
}

/* It was on its way when its channel closed: first in line again. */
static void requeue_in_front(struct broker *b, struct kept *k)
{
    list_remove(&k->work);
    if (!(k->is_broken && k->is_wanted) && is_due(k) != k->is_present && !is_held(k)) {
        list_push(work_for(b, k)->next, &k->work);
        broker_wake(b);
    } else {
        kept_reconcile(b, k);
    }
}

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
    if (k->kind == KEPT_QUEUE) {
        const amqp_queue_declare_ok_t *ok = a->method;
        reply.messages = ok->message_count;
        reply.consumers = ok->consumer_count;
    }
    broker_defer_all(b, &k->waiters, &reply);
    switch (k->kind) {
    case KEPT_EXCHANGE:
        probe_forget_exchange(b, slice_of(exchange_of(k)->name));
        publisher_exchange_settled(b, exchange_of(k)->name);
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
static void refuse_bindings(struct broker *b, struct queue *q, const struct broker_reply *reply)
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
    if (k->kind == KEPT_EXCHANGE) {
        publisher_exchange_settled(b, exchange_of(k)->name);
    } else if (k->kind == KEPT_QUEUE) {
        refuse_bindings(b, queue_of(k), &reply);
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

static void on_refused(struct broker *b, struct kept *k, const struct answer *a)
{
    k->is_asserting = false;
    if (is_due(k) && is_fault_of_another(b, k, a)) {
        return;
    }
    log_warn(b->name, "broker.topology_refused", "code=%u reason=%s", a->code, a->text);
    if (k->kind == KEPT_BINDING && binding_is_prefix(binding_of(k)) && !k->is_wanted) {
        group_fall_back(b, binding_of(k)->group);
    } else if (k->has_stood && list_is_empty(&k->waiters)) {
        kept_break(b, k, TOPOLOGY_RETRY_MS);
        if (k->kind == KEPT_EXCHANGE) {
            publisher_exchange_settled(b, exchange_of(k)->name);
        }
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
        requeue_in_front(b, k);
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
    if (!is_due(&e->kept)) {
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

static int queue_arguments(const struct broker *b, const struct queue *q,
                           amqp_table_entry_t arguments[5])
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
    if (q->reports_overflow && reports) {
        arguments[n++] = text_argument("x-dead-letter-exchange", "");
        arguments[n++] = text_argument("x-dead-letter-routing-key", reports->at_broker);
    }
    return n;
}

static void send_queue(struct broker *b, struct queue *q)
{
    if (!is_due(&q->kept)) {
        amqp_queue_delete_t delete = {.queue = broker_bytes(q->at_broker)};
        q->kept.is_removing = true;
        request(b, &q->kept, CH_TOPOLOGY, AMQP_QUEUE_DELETE_METHOD, &delete);
        return;
    }
    amqp_table_entry_t arguments[5];
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
    amqp_bytes_t key = {x->key_len, x->key};
    if (is_due(&x->kept)) {
        amqp_queue_bind_t bind = {
            .queue = broker_bytes(queue),
            .exchange = broker_bytes(g->exchange),
            .routing_key = key,
        };
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
    request(b, &x->kept, CH_TOPOLOGY, AMQP_QUEUE_UNBIND_METHOD, &unbind);
}

static void take_step(struct broker *b, struct kept *k)
{
    bool due = is_due(k);
    if ((due == k->is_present && !(due && k->is_asserting)) || (due && is_held(k))) {
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

/* ---- What the owner asks for ---- */

static void wait_or_answer(struct broker *b, struct kept *k, bool stands, struct deferred *waiter)
{
    if (!waiter) {
        return;
    }
    if (stands) {
        broker_defer(b, waiter, &BROKER_OK_REPLY);
        return;
    }
    list_push(&k->waiters, &waiter->node);
}

/* What is wanted (again): a broken one is tried at once. */
static void want(struct broker *b, struct kept *k, bool stands, struct deferred *waiter)
{
    kept_set(k, true, k->is_present);
    wait_or_answer(b, k, stands, waiter);
    k->is_broken = false;
    list_remove(&k->work);
    if (broker_is_connected(b)) {
        kept_reconcile(b, k);
    }
}

int broker_keep_exchange(struct broker *b, const struct broker_exchange *spec, broker_done_fn done,
                         uint64_t cookie)
{
    size_t len = strlen(spec->name);
    if (len == 0 || len > CODEC_NAME_MAX || strlen(spec->type) > CODEC_NAME_MAX) {
        return -1;
    }
    struct deferred *waiter = deferred_new(done, cookie);
    struct exchange *e = topology_exchange(b, slice_of(spec->name));
    if (waiter && !e) {
        e = calloc(1, sizeof(*e) + len + 1);
        char *type = strdup(spec->type);
        if (e) {
            memcpy(e->name, spec->name, len + 1);
        }
        if (!e || !type || map_put(&b->exchanges, e->name, len, e) < 0) {
            free(type);
            free(e);
            e = NULL;
        } else {
            e->type = type;
            e->is_durable = spec->is_durable;
            kept_init(b, &e->kept, KEPT_EXCHANGE);
        }
    }
    if (!waiter || !e) {
        deferred_free(waiter);
        return -1;
    }
    want(b, &e->kept, e->kept.is_present && !e->kept.is_removing, waiter);
    return 0;
}

void queue_rename(struct queue *q)
{
    if (q->is_exclusive) {
        snprintf(q->at_broker, sizeof(q->at_broker), "%s.%06x", q->name,
                 (unsigned)(broker_random() & 0xffffff));
    } else {
        snprintf(q->at_broker, sizeof(q->at_broker), "%s", q->name);
    }
}

static struct queue *queue_new(struct broker *b, const struct broker_queue *spec)
{
    size_t len = strlen(spec->name);
    struct queue *q = calloc(1, sizeof(*q) + len + 1);
    if (!q) {
        return NULL;
    }
    memcpy(q->name, spec->name, len + 1);
    q->overflow = spec->overflow ? strdup(spec->overflow) : NULL;
    q->prefix_key = spec->prefix_key ? strdup(spec->prefix_key) : NULL;
    if ((spec->overflow && !q->overflow) || (spec->prefix_key && !q->prefix_key) ||
        map_put(&b->queues, q->name, len, q) < 0) {
        free(q->overflow);
        free(q->prefix_key);
        free(q);
        return NULL;
    }
    list_init(&q->groups);
    q->is_durable = spec->is_durable;
    q->is_exclusive = spec->is_exclusive;
    q->reports_overflow = spec->reports_overflow;
    q->max_bytes = spec->max_bytes;
    q->bind_max = spec->bind_max;
    queue_rename(q);
    kept_init(b, &q->kept, KEPT_QUEUE);
    for (struct list *n = b->groups.next; n != &b->groups; n = n->next) {
        struct group *g = LIST_OWNER(n, struct group, node);
        if (strcmp(g->id, q->name) == 0) {
            group_attach(g, q);
        }
    }
    return q;
}

int topology_keep_queue(struct broker *b, const struct broker_queue *spec, bool is_internal,
                        int64_t max_length, struct deferred *waiter)
{
    struct queue *q = topology_queue(b, spec->name);
    if (!q) {
        q = queue_new(b, spec);
        if (!q) {
            return -1;
        }
        q->is_internal = is_internal;
        q->max_length = max_length;
    }
    want(b, &q->kept, q->kept.is_present && !q->kept.is_removing, waiter);
    return 0;
}

int broker_keep_queue(struct broker *b, const struct broker_queue *spec, broker_done_fn done,
                      uint64_t cookie)
{
    size_t len = strlen(spec->name) + (spec->is_exclusive ? QUEUE_SUFFIX_LEN : 0);
    if (spec->name[0] == '\0' || len > CODEC_NAME_MAX ||
        (spec->prefix_key && strlen(spec->prefix_key) > CODEC_NAME_MAX)) {
        return -1;
    }
    if (spec->reports_overflow && watch_overflow(b) < 0) {
        return -1;
    }
    struct deferred *waiter = deferred_new(done, cookie);
    if (!waiter || topology_keep_queue(b, spec, false, 0, waiter) < 0) {
        deferred_free(waiter);
        return -1;
    }
    return 0;
}

int topology_bind(struct broker *b, const char *queue, const char *exchange, struct slice key,
                  struct deferred *waiter)
{
    struct group *g = topology_group(b, queue, exchange);
    if (!g) {
        g = group_new(b, queue, exchange);
        if (!g) {
            return -1;
        }
    }
    struct binding *x = binding_get(b, g, key);
    if (!x) {
        if (list_is_empty(&g->keys)) {
            group_free(b, g);
        }
        return -1;
    }
    bool is_heard = x->kept.is_present && !x->kept.is_removing;
    bool is_covered = g->prefix && g->prefix->kept.is_present && !g->prefix->kept.is_removing &&
                      g->mode != GROUP_EXACT;
    want(b, &x->kept, is_heard || is_covered, waiter);
    group_review(b, g);
    return 0;
}

int broker_bind(struct broker *b, const char *queue, const char *exchange, struct slice key,
                broker_done_fn done, uint64_t cookie)
{
    if (strlen(queue) > CODEC_NAME_MAX || strlen(exchange) > CODEC_NAME_MAX ||
        key.len > CODEC_NAME_MAX) {
        return -1;
    }
    struct deferred *waiter = deferred_new(done, cookie);
    if (!waiter || topology_bind(b, queue, exchange, key, waiter) < 0) {
        deferred_free(waiter);
        return -1;
    }
    return 0;
}

static bool outlives_connection(struct kept *k)
{
    const struct queue *q = NULL;
    switch (k->kind) {
    case KEPT_EXCHANGE:
        return true;
    case KEPT_QUEUE:
        q = queue_of(k);
        break;
    case KEPT_BINDING:
        q = binding_of(k)->group->queue;
        break;
    }
    return !q || !q->is_exclusive;
}

static void unwant(struct broker *b, struct kept *k)
{
    static const struct broker_reply dropped = {.code = 320, .text = "dropped by its owner"};
    broker_defer_all(b, &k->waiters, &dropped);
    /* What outlived the connection is taken away when there is one again. */
    bool is_left = !broker_is_connected(b) && k->has_stood && outlives_connection(k);
    kept_set(k, false, k->is_present || is_left);
    kept_reconcile(b, k);
}

void broker_unbind(struct broker *b, const char *queue, const char *exchange, struct slice key)
{
    struct group *g = topology_group(b, queue, exchange);
    struct binding *x = g ? map_get(&g->bindings, key.ptr, key.len) : NULL;
    if (!x || !x->kept.is_wanted) {
        return;
    }
    unwant(b, &x->kept);
    g = topology_group(b, queue, exchange); /* it goes with its last binding */
    if (g) {
        group_review(b, g);
    }
}

void broker_drop_queue(struct broker *b, const char *queue)
{
    static const struct broker_reply dropped = {.code = 320, .text = "dropped by its owner"};
    struct queue *q = topology_queue(b, queue);
    if (!q || !q->kept.is_wanted) {
        return;
    }
    consumer_drop_queue(b, queue);
    refuse_bindings(b, q, &dropped); /* they go with the queue, nobody unbinds them */
    unwant(b, &q->kept);
}

void broker_drop_exchange(struct broker *b, const char *exchange)
{
    struct exchange *e = topology_exchange(b, slice_of(exchange));
    if (e && e->kept.is_wanted) {
        unwant(b, &e->kept);
    }
}

/* ---- The end ---- */

void topology_stop(struct broker *b, const struct broker_reply *reply)
{
    for (struct list *n = b->kept.next; n != &b->kept; n = n->next) {
        broker_defer_all(b, &LIST_OWNER(n, struct kept, ring)->waiters, reply);
    }
}

void topology_free(struct broker *b)
{
    while (!list_is_empty(&b->kept)) {
        struct kept *k = LIST_OWNER(b->kept.next, struct kept, ring);
        k->is_in_flight = false;
        k->is_first = false;
        k->is_restoring = false;
        kept_free(b, k);
    }
    map_fini(&b->exchanges);
    map_fini(&b->queues);
    map_fini(&b->group_ids);
}
