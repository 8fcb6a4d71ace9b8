#include "gateway/private/private_internal.h"

#include <stdlib.h>
#include <string.h>

/* ---- What is consumed, copied ---- */

static size_t args_bytes(const struct broker_argument *args, size_t n)
{
    size_t bytes = 0;
    for (size_t i = 0; i < n; i++) {
        bytes += args[i].name.len + args[i].text.len;
    }
    return bytes;
}

static struct slice copy_slice(char **at, struct slice s)
{
    struct slice copy = {*at, s.len};
    if (s.len > 0) {
        memcpy(*at, s.ptr, s.len);
    }
    *at += s.len;
    return copy;
}

static void copy_args(struct broker_argument *to, const struct broker_argument *args, size_t n,
                      char **at)
{
    for (size_t i = 0; i < n; i++) {
        to[i] = args[i];
        to[i].name = copy_slice(at, args[i].name);
        to[i].text = copy_slice(at, args[i].text);
    }
}

static enum private_kind kind_of(const struct session_queue *queue)
{
    for (size_t i = 0; i < queue->n_args; i++) {
        if (slice_is(queue->args[i].name, "x-queue-type")) {
            return slice_is(queue->args[i].text, "stream") ? PRIVATE_STREAM : PRIVATE_QUEUE;
        }
    }
    for (size_t i = 0; i < queue->n_consume_args; i++) {
        if (slice_is(queue->consume_args[i].name, "x-stream-offset")) {
            return PRIVATE_STREAM;
        }
    }
    return queue->must_exist ? PRIVATE_EITHER : PRIVATE_QUEUE;
}

struct private_queue *private_queue_copy(const struct session_queue *queue,
                                         const struct destination *d)
{
    size_t n = queue->n_args + queue->n_binding_args + queue->n_consume_args + 1;
    size_t bytes = queue->name_len + args_bytes(queue->args, queue->n_args) +
                   args_bytes(queue->binding_args, queue->n_binding_args) +
                   args_bytes(queue->consume_args, queue->n_consume_args);
    bytes += queue->is_bound ? d->exchange_len + d->key_len : 0;
    struct private_queue *q = calloc(1, sizeof *q + n * sizeof *q->args + bytes);
    if (!q) {
        return NULL;
    }
    q->must_exist = queue->must_exist;
    q->is_durable = queue->is_durable;
    q->is_exclusive = queue->is_exclusive && !queue->must_exist;
    q->is_auto_delete = queue->is_auto_delete;
    q->kind = kind_of(queue);
    q->args = (struct broker_argument *)(q + 1);
    q->n_args = queue->n_args;
    q->binding_args = q->args + q->n_args;
    q->n_binding_args = queue->n_binding_args;
    q->consume_args = q->binding_args + q->n_binding_args;
    q->n_consume_args = queue->n_consume_args;
    char *at = (char *)(q->args + n);
    q->name = copy_slice(&at, (struct slice){queue->name, queue->name_len});
    copy_args(q->args, queue->args, q->n_args, &at);
    copy_args(q->binding_args, queue->binding_args, q->n_binding_args, &at);
    copy_args(q->consume_args, queue->consume_args, q->n_consume_args, &at);
    if (queue->is_bound) {
        q->exchange = copy_slice(&at, (struct slice){d->exchange, d->exchange_len});
        q->key = copy_slice(&at, (struct slice){d->key, d->key_len});
    }
    return q;
}

/* ---- Names ---- */

static struct private_name *name_for(struct private_side *p, struct slice text)
{
    struct private_name *name = map_get(&p->names, text.ptr, text.len);
    if (name) {
        return name;
    }
    name = calloc(1, sizeof *name + text.len);
    if (!name) {
        return NULL;
    }
    list_init(&name->subscriptions);
    name->len = text.len;
    memcpy(name->text, text.ptr, text.len);
    if (map_put(&p->names, name->text, name->len, name) != 0) {
        free(name);
        return NULL;
    }
    return name;
}

int private_name_enter(struct private_subscription *sub)
{
    struct private_name *name = name_for(sub->session->side, sub->queue->name);
    if (!name) {
        return -1;
    }
    /* Where others consume already it is not exclusive: the broker will say so. */
    if (sub->queue->is_exclusive && list_is_empty(&name->subscriptions)) {
        name->owner = sub->session;
    }
    sub->name = name;
    list_push(&name->subscriptions, &sub->by_name);
    return 0;
}

static void wake_others(struct private_name *name, struct private_side *p)
{
    for (struct list *node = name->subscriptions.next; node != &name->subscriptions;
         node = node->next) {
        struct private_subscription *sub = LIST_OWNER(node, struct private_subscription, by_name);
        if (sub->state == PRIVATE_WAITING) {
            name->owner = name->owner || !sub->queue->is_exclusive ? name->owner : sub->session;
            wheel_set(p->options.wheel, &sub->timer, 0);
        }
    }
}

void private_name_leave(struct private_subscription *sub)
{
    struct private_name *name = sub->name;
    struct private_side *p = sub->session->side;
    if (!name) {
        return;
    }
    list_remove(&sub->by_name);
    sub->name = NULL;
    if (list_is_empty(&name->subscriptions)) {
        map_take(&p->names, name->text, name->len);
        free(name);
        return;
    }
    bool is_owned = !name->owner;
    for (struct list *node = name->subscriptions.next; node != &name->subscriptions && !is_owned;
         node = node->next) {
        is_owned = LIST_OWNER(node, struct private_subscription, by_name)->session == name->owner;
    }
    if (!is_owned) {
        name->owner = NULL;
        wake_others(name, p);
    }
}

enum private_lock private_name_lock(const struct private_subscription *sub)
{
    const struct private_name *name = sub->name;
    if (!name->owner || name->owner == sub->session) {
        return PRIVATE_FREE;
    }
    for (const struct list *node = name->subscriptions.next; node != &name->subscriptions;
         node = node->next) {
        const struct private_subscription *other =
            LIST_OWNER(node, struct private_subscription, by_name);
        if (other->session == name->owner && other->state != PRIVATE_ENDING) {
            return PRIVATE_LOCKED;
        }
    }
    return PRIVATE_BUSY;
}
