/* What is kept: for each exchange, queue and binding, what is wanted and what stands at the broker.
 * Their birth, their death, and what has to be done next. */
#include "amqp/broker_internal.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

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

bool group_is_covered(const struct group *g)
{
    return g->mode != GROUP_EXACT && g->prefix && g->prefix->kept.is_present &&
           !g->prefix->kept.is_removing;
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

bool kept_is_due(const struct kept *k)
{
    if (k->kind != KEPT_BINDING) {
        return k->is_wanted;
    }
    const struct binding *x = LIST_OWNER(k, struct binding, kept);
    if (binding_is_prefix(x)) {
        return k->is_wanted || x->group->mode != GROUP_EXACT;
    }
    if (x->group->mode != GROUP_PREFIX) {
        return k->is_wanted;
    }
    return k->is_wanted && k->is_present && !group_is_covered(x->group);
}

bool kept_is_held(const struct kept *k)
{
    if (k->kind != KEPT_BINDING) {
        return false;
    }
    const struct queue *q = LIST_OWNER(k, struct binding, kept)->group->queue;
    return q && !q->kept.is_present && !(q->kept.is_in_flight && !q->kept.is_removing);
}

static struct list *work_for(struct broker *b, const struct kept *k)
{
    if (!kept_is_due(k)) {
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
    publisher_check_waiting(b);
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

void kept_init(struct broker *b, struct kept *k, enum kept_kind kind)
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

void group_attach(struct group *g, struct queue *q)
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

void group_free(struct broker *b, struct group *g)
{
    map_take(&b->group_ids, g->id, g->id_len);
    list_remove(&g->node);
    list_remove(&g->queue_node);
    map_fini(&g->bindings);
    free(g);
}

struct group *group_new(struct broker *b, const char *queue, const char *exchange)
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

void kept_free(struct broker *b, struct kept *k)
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
        free(q->dead_letter_queue);
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
    bool due = kept_is_due(k);
    if (due == k->is_present && !(due && k->is_asserting)) {
        list_remove(&k->work);
        if (!due && !k->is_wanted) {
            kept_free(b, k);
        }
        return;
    }
    if (due && kept_is_held(k)) {
        list_remove(&k->work);
        return;
    }
    if (list_is_empty(&k->work)) {
        list_push(work_for(b, k), &k->work);
        broker_wake(b);
    }
}

void kept_requeue(struct broker *b, struct kept *k)
{
    list_remove(&k->work);
    if (!(k->is_broken && k->is_wanted) && kept_is_due(k) != k->is_present && !kept_is_held(k)) {
        list_push(work_for(b, k)->next, &k->work);
        broker_wake(b);
    } else {
        kept_reconcile(b, k);
    }
}
