/* Publishes to a queue, through the default exchange, that come back because it is gone. Where its
 * owner declares it again they are sent again behind that, in their order, and what comes later for
 * that queue waits behind them; all else goes on. The steps for one queue:
 *
 *     returned     the first return: a basic.qos goes behind all that is on its way; from now on
 *                  nothing for this queue is sent
 *     handled      that is answered: no more returns will come. And what was returned is confirmed
 *     asked        the owner has declared the queue; a passive declare behind that tells when
 *     sent again   first what was returned, then what was held
 *
 * A declare before "handled" would let a publish that is still on its way overtake one that came
 * back. */
#include "amqp/publisher_internal.h"

#include <stdlib.h>
#include <string.h>

#define NO_ROUTE 312

struct absent {
    struct list node; /* in pc->ready, then in publisher.asked */
    struct request handled;
    struct pub_channel *pc;
    uint64_t id;
    struct list returned; /* and confirmed */
    struct list held;
    size_t n_unconfirmed; /* returned, the confirm is to come */
    bool is_handled;
    size_t len;
    char queue[];
};

static void free_absent(struct broker *b, struct absent *a)
{
    map_take(&a->pc->absents, a->queue, a->len);
    list_remove(&a->node);
    if (!list_is_empty(&a->handled.node)) {
        channel_forget(&b->channels[a->pc->number], &a->handled);
    }
    free(a);
}

static struct absent *find(const struct pub_channel *pc, const struct publication *p)
{
    if (pc->absents.n == 0 || p->exchange.len > 0) {
        return NULL;
    }
    return map_get(&pc->absents, p->routing_key.ptr, p->routing_key.len);
}

/* True once in the life of each: nothing is noted any more when it is handled. */
static void check_ready(struct broker *b, struct absent *a)
{
    if (a->is_handled && a->n_unconfirmed == 0) {
        list_push(&a->pc->ready, &a->node);
        broker_wake(b);
    }
}

static void on_handled(struct broker *b, struct request *r, const struct answer *answer)
{
    struct absent *a = LIST_OWNER(r, struct absent, handled);
    if (answer->kind == ANSWER_OK) { /* otherwise the channel is gone, and with it all of these */
        a->is_handled = true;
        check_ready(b, a);
    }
}

static struct absent *absent_new(struct broker *b, struct pub_channel *pc, struct slice queue)
{
    struct absent *a = calloc(1, sizeof(*a) + queue.len + 1);
    if (!a) {
        return NULL;
    }
    memcpy(a->queue, queue.ptr, queue.len);
    a->len = queue.len;
    a->pc = pc;
    a->id = ++b->publisher.last_absent;
    list_init(&a->node);
    list_init(&a->handled.node);
    list_init(&a->returned);
    list_init(&a->held);
    if (map_put(&pc->absents, a->queue, a->len, a) < 0) {
        free(a);
        return NULL;
    }
    amqp_basic_qos_t qos = {0};
    channel_request(b, pc->number, &a->handled, AMQP_BASIC_QOS_METHOD, &qos,
                    AMQP_BASIC_QOS_OK_METHOD, on_handled);
    return a;
}

void absent_note_return(struct broker *b, struct pub_channel *pc, struct publication *p)
{
    if (!b->publisher.missing_queue || p->code != NO_ROUTE || p->exchange.len > 0 ||
        p->routing_key.len == 0 || p->had_its_retry) {
        return;
    }
    struct absent *a = find(pc, p);
    a = a ? a : absent_new(b, pc, p->routing_key);
    /* Else it is settled as what it is: returned. Also when no more was to come for this queue. */
    if (a && !a->is_handled) {
        p->absent = a;
        a->n_unconfirmed++;
    }
}

void absent_forget(struct broker *b, struct publication *p)
{
    struct absent *a = p->absent;
    if (a) {
        p->absent = NULL;
        a->n_unconfirmed--;
        check_ready(b, a);
    }
}

void absent_take(struct broker *b, struct publication *p)
{
    list_push(&p->absent->returned, &p->node);
    absent_forget(b, p);
}

bool absent_holds(struct pub_channel *pc, struct publication *p)
{
    struct absent *a = find(pc, p);
    if (a) {
        list_push(&a->held, &p->node);
    }
    return a;
}

/* ---- Asking ---- */

static void send_again(struct broker *b, struct absent *a)
{
    for (struct list *n = a->returned.next; n != &a->returned; n = n->next) {
        struct publication *p = LIST_OWNER(n, struct publication, node);
        p->had_its_retry = true;
        p->is_returned = false;
        free(p->note);
        p->note = NULL;
    }
    publisher_put_first(a->pc, &a->held);
    publisher_put_first(a->pc, &a->returned);
    free_absent(b, a);
    broker_wake(b);
}

static void give_up(struct broker *b, struct absent *a)
{
    struct list returned;
    list_init(&returned);
    while (!list_is_empty(&a->returned)) {
        struct list *first = a->returned.next;
        list_remove(first);
        list_push(&returned, first);
    }
    publisher_put_first(a->pc, &a->held);
    free_absent(b, a);
    broker_wake(b);
    while (!list_is_empty(&returned)) {
        struct publication *p = LIST_OWNER(returned.next, struct publication, node);
        list_remove(&p->node);
        publisher_settle(b, p, BROKER_RETURNED, p->code, p->note ? p->note : "");
    }
}

/* Answers come in the order of the questions, so it is the first, or gone. */
static struct absent *find_asked(struct broker *b, uint64_t id)
{
    struct list *asked = &b->publisher.asked;
    for (struct list *n = asked->next; n != asked; n = n->next) {
        struct absent *a = LIST_OWNER(n, struct absent, node);
        if (a->id == id) {
            return a;
        }
    }
    return NULL;
}

/* Whether it stands now will be seen when the publishes are sent. */
static void on_declared(struct broker *b, uint64_t id, const struct broker_reply *reply)
{
    struct absent *a = find_asked(b, id);
    (void)reply;
    if (a) {
        send_again(b, a);
    }
}

static void ask(struct broker *b, struct absent *a)
{
    struct slice queue = {a->queue, a->len};
    list_remove(&a->node);
    list_push(&b->publisher.asked, &a->node);
    if (list_is_empty(&a->returned) || !b->publisher.missing_queue(b->owner, queue)) {
        give_up(b, a);
    } else if (declare_inside(b, queue, on_declared, a->id) < 0) {
        send_again(b, a);
    }
}

void absent_pump(struct broker *b, struct pub_channel *pc)
{
    while (!list_is_empty(&pc->ready)) {
        ask(b, LIST_OWNER(pc->ready.next, struct absent, node));
    }
}

void broker_on_missing_queue(struct broker *b, bool (*missing)(void *owner, struct slice queue))
{
    b->publisher.missing_queue = missing;
}

/* ---- When the channel is gone ---- */

void absent_put_back_held(struct pub_channel *pc)
{
    struct map_entry entry;
    for (size_t cursor = 0; map_next(&pc->absents, &cursor, &entry);) {
        struct absent *a = entry.value;
        publisher_put_first(pc, &a->held);
    }
}

void absent_put_back_returned(struct broker *b, struct pub_channel *pc)
{
    struct map_entry entry;
    for (size_t cursor = 0; map_next(&pc->absents, &cursor, &entry); cursor = 0) {
        struct absent *a = entry.value;
        for (struct list *n = a->returned.next; n != &a->returned; n = n->next) {
            struct publication *p = LIST_OWNER(n, struct publication, node);
            p->is_returned = false;
            free(p->note);
            p->note = NULL;
        }
        publisher_put_first(pc, &a->returned);
        free_absent(b, a);
    }
}
