/* Queues that SENDs go to: declared before the first message, and again after a few seconds. What
 * is remembered is the whole declaration, so that another one gets its own answer from the broker.
 */
#include "gateway/publish/publish_internal.h"

#include "common/buf.h"
#include "common/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Declarations remembered at a time; behind it the one that was answered the longest ago is
 * forgotten, so that nobody's names are in the way of another's. */
#define QUEUES_MAX 100000

/* That long behind its time a message may still come back. */
#define FORGET_AFTER_MS 60000

struct queue {
    uint64_t id;
    struct publish *publish;
    enum publish_state state;
    uint64_t due_ms;
    uint16_t code;
    char text[256];
    struct wheel_timer forget;
    struct list answered; /* in publish->queues_by_answer */
    struct session_queue *declaration;
    size_t name_len;
    size_t key_len;
    char key[]; /* name, NUL, flags, arguments */
};

static void queue_free(struct queue *q)
{
    struct publish *p = q->publish;
    wheel_cancel(p->options.wheel, &q->forget);
    list_remove(&q->answered);
    map_take(&p->queues, q->key, q->key_len);
    map_take(&p->queues_by_id, &q->id, sizeof q->id);
    if (map_get(&p->queues_by_name, q->key, q->name_len) == q) {
        map_take(&p->queues_by_name, q->key, q->name_len);
    }
    free(q->declaration);
    free(q);
}

static void on_forget(struct wheel_timer *timer, uint64_t now_ms)
{
    struct queue *q = LIST_OWNER(timer, struct queue, forget);
    (void)now_ms;
    if (q->state != PUBLISH_ASKED) {
        queue_free(q);
    }
}

/* ---- The key ---- */

static int add_text(struct buf *key, struct slice text)
{
    uint32_t len = (uint32_t)text.len;
    return buf_append(key, &len, sizeof len) | buf_append(key, text.ptr ? text.ptr : "", text.len);
}

static int make_key(struct buf *key, const struct session_queue *queue)
{
    uint8_t flags =
        (uint8_t)(queue->is_durable | queue->is_exclusive << 1 | queue->is_auto_delete << 2);
    int failed = buf_append(key, queue->name, queue->name_len) | buf_append(key, "", 1) |
                 buf_append(key, &flags, 1);
    for (size_t i = 0; i < queue->n_args && !failed; i++) {
        const struct broker_argument *a = &queue->args[i];
        uint8_t type = (uint8_t)a->type;
        failed = buf_append(key, &type, 1) | add_text(key, a->name) | add_text(key, a->text) |
                 buf_append(key, &a->number, sizeof a->number);
    }
    return failed ? -1 : 0;
}

/* ---- Declaring ---- */

static void queue_done(void *owner, uint64_t cookie, const struct broker_reply *reply)
{
    struct publish *p = owner;
    struct queue *q = map_get(&p->queues_by_id, &cookie, sizeof cookie);
    if (!q) {
        return;
    }
    q->state = reply->is_ok ? PUBLISH_STANDS : PUBLISH_MISSING;
    list_remove(&q->answered); /* it may have been asked for twice */
    list_push(&p->queues_by_answer, &q->answered);
    q->due_ms = *p->options.now_ms + (reply->is_ok ? PUBLISH_KNOWN_MS : PUBLISH_MISSING_MS);
    q->code = reply->code;
    snprintf(q->text, sizeof q->text, "%s", reply->text ? reply->text : "");
    wheel_set(p->options.wheel, &q->forget, q->due_ms + (reply->is_ok ? FORGET_AFTER_MS : 0));
    p->options.host->room(p->options.reactor);
}

static int queue_ask(struct queue *q)
{
    const struct session_queue *queue = q->declaration;
    struct broker_declare declare = {
        .name = {queue->name, queue->name_len},
        .is_durable = queue->is_durable,
        .is_exclusive = queue->is_exclusive,
        .is_auto_delete = queue->is_auto_delete,
        .args = queue->args,
        .n_args = queue->n_args,
    };
    q->state = PUBLISH_ASKED;
    list_remove(&q->answered);
    return broker_declare_queue(q->publish->broker, &declare, queue_done, q->id);
}

static struct queue *queue_new(struct publish *p, const struct buf *key,
                               const struct session_queue *queue)
{
    if (p->queues.n == QUEUES_MAX && !list_is_empty(&p->queues_by_answer)) {
        queue_free(LIST_OWNER(p->queues_by_answer.next, struct queue, answered));
    }
    struct queue *q = p->queues.n < QUEUES_MAX ? calloc(1, sizeof *q + key->len) : NULL;
    if (!q) {
        return NULL;
    }
    list_init(&q->answered);
    q->id = ++p->last_id;
    q->publish = p;
    q->name_len = queue->name_len;
    q->key_len = key->len;
    memcpy(q->key, buf_data(key), key->len);
    wheel_timer_init(&q->forget, on_forget);
    q->declaration = session_queue_keep(queue);
    if (!q->declaration || map_put(&p->queues, q->key, q->key_len, q) != 0 ||
        map_put(&p->queues_by_id, &q->id, sizeof q->id, q) != 0 ||
        map_put(&p->queues_by_name, q->key, q->name_len, q) != 0 || queue_ask(q) != 0) {
        queue_free(q);
        return NULL;
    }
    return q;
}

/* The one for this declaration, asked for where that is due; NULL: too many, or out of memory. */
static struct queue *queue_for(struct publish *p, const struct session_queue *queue)
{
    struct buf key;
    buf_init(&key);
    struct queue *q = NULL;
    if (make_key(&key, queue) == 0) {
        q = map_get(&p->queues, buf_data(&key), key.len);
        q = q ? q : queue_new(p, &key, queue);
    }
    buf_fini(&key);
    if (q && q->state != PUBLISH_ASKED && q->due_ms <= *p->options.now_ms && queue_ask(q) != 0) {
        queue_free(q);
        return NULL;
    }
    return q;
}

enum session_verdict publish_queue_check(struct publish *p, const struct session_queue *queue,
                                         struct session_problem *problem)
{
    struct queue *q = queue_for(p, queue);
    if (!q) {
        *problem = (struct session_problem){.reason = CLOSE_LIMIT, .message = "too many queues"};
        snprintf(problem->text, sizeof problem->text,
                 "Too many queues are in use; try again later.\n");
        return SESSION_REFUSED;
    }
    switch (q->state) {
    case PUBLISH_ASKED:
        return SESSION_WAIT;
    case PUBLISH_STANDS:
        return SESSION_DONE;
    case PUBLISH_MISSING:
        break;
    }
    publish_problem(problem, q->code, q->text);
    return SESSION_REFUSED;
}

bool publish_queue_missing(void *owner, struct slice name)
{
    struct publish *p = owner;
    struct queue *q = map_get(&p->queues_by_name, name.ptr, name.len);
    if (!q) {
        return false;
    }
    log_warn(p->options.name, "queue.redeclared", "queue=%.*s", (int)name.len, name.ptr);
    return queue_ask(q) == 0;
}

void publish_queues_free(struct publish *p)
{
    struct map_entry entry;
    for (size_t cursor = 0; map_next(&p->queues_by_id, &cursor, &entry); cursor = 0) {
        queue_free(entry.value);
    }
    map_fini(&p->queues_by_id);
    map_fini(&p->queues_by_name);
    map_fini(&p->queues);
}
