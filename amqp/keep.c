/* What the owner asks to keep, to bind and to drop. */
#include "amqp/broker_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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
    q->dead_letter_queue = spec->dead_letter_queue ? strdup(spec->dead_letter_queue) : NULL;
    q->prefix_key = spec->prefix_key ? strdup(spec->prefix_key) : NULL;
    if ((spec->overflow && !q->overflow) || (spec->prefix_key && !q->prefix_key) ||
        (spec->dead_letter_queue && !q->dead_letter_queue) ||
        map_put(&b->queues, q->name, len, q) < 0) {
        free(q->overflow);
        free(q->dead_letter_queue);
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
        (spec->prefix_key && strlen(spec->prefix_key) > CODEC_NAME_MAX) ||
        (spec->dead_letter_queue &&
         (spec->reports_overflow || strlen(spec->dead_letter_queue) > CODEC_NAME_MAX))) {
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
    want(b, &x->kept, is_heard || group_is_covered(g), waiter);
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
    topology_refuse_bindings(b, q, &dropped); /* they go with the queue, nobody unbinds them */
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
