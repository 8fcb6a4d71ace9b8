/* Queues that are declared once, at somebody's wish, on the scratch channel. The whole method is
 * encoded when it is asked for, so that nothing else need be copied; it is sent again when its
 * channel or connection was lost before the answer. */
#include "amqp/broker_internal.h"

#include <stdlib.h>

#define WINDOW 64
#define METHOD_CAP 4096

/* There are arguments over which RabbitMQ does not close the channel but loses it, and the
 * connection with it, without a word about whose fault it was. What was on its way then is sent
 * again alone, and not for ever. */
#define MAX_LOST 3

struct declare {
    struct list node;
    struct request request;
    struct deferred *waiter;
    int n_lost; /* connections, while the answer was to come */
    struct buf frame;
};

void declare_init(struct broker *b)
{
    list_init(&b->declare_asks);
    list_init(&b->declare_sent);
}

static void drop(struct declare *d)
{
    list_remove(&d->node);
    list_remove(&d->request.node);
    deferred_free(d->waiter);
    buf_fini(&d->frame);
    free(d);
}

static void finish(struct broker *b, struct declare *d, const struct broker_reply *reply)
{
    broker_defer(b, d->waiter, reply);
    d->waiter = NULL;
    drop(d);
}

static void on_answer(struct broker *b, struct request *r, const struct answer *a)
{
    struct declare *d = LIST_OWNER(r, struct declare, request);
    struct broker_reply reply = BROKER_OK_REPLY;
    if (a->kind == ANSWER_LOST) {
        list_remove(&d->node);
        list_push(b->declare_asks.next, &d->node);
        broker_wake(b);
        return;
    }
    if (a->kind == ANSWER_REFUSED) {
        reply = (struct broker_reply){.code = a->code, .text = a->text};
    } else {
        const amqp_queue_declare_ok_t *ok = a->method;
        reply.messages = ok->message_count;
        reply.consumers = ok->consumer_count;
    }
    finish(b, d, &reply);
}

void declare_pump(struct broker *b)
{
    struct channel *ch = &b->channels[CH_SCRATCH];
    bool is_alone = false;
    while (!list_is_empty(&b->declare_asks) && ch->n_requests < WINDOW && broker_is_connected(b) &&
           !is_alone) {
        struct declare *d = LIST_OWNER(b->declare_asks.next, struct declare, node);
        is_alone = d->n_lost > 0;
        if (is_alone && ch->n_requests > 0) {
            return;
        }
        if (buf_append(&b->conn.out, buf_data(&d->frame), d->frame.len) < 0) {
            conn_fail(b, "out of memory");
            return;
        }
        list_remove(&d->node);
        list_push(&b->declare_sent, &d->node);
        channel_await(ch, &d->request, AMQP_QUEUE_DECLARE_METHOD, AMQP_QUEUE_DECLARE_OK_METHOD,
                      on_answer);
    }
}

/* The connection is gone: what was sent comes in front of what was not, in the old order. */
void declare_reset(struct broker *b)
{
    static const struct broker_reply refused = {
        .code = 541, .text = "INTERNAL_ERROR - the broker closed the connection over and over"};
    while (!list_is_empty(&b->declare_sent)) {
        struct declare *last = LIST_OWNER(b->declare_sent.prev, struct declare, node);
        list_remove(&last->node);
        if (++last->n_lost == MAX_LOST) {
            finish(b, last, &refused);
        } else {
            list_push(b->declare_asks.next, &last->node);
        }
    }
}

void declare_stop(struct broker *b, const struct broker_reply *reply)
{
    struct list *lists[] = {&b->declare_sent, &b->declare_asks};
    for (unsigned i = 0; i < 2; i++) {
        while (!list_is_empty(lists[i])) {
            struct declare *d = LIST_OWNER(lists[i]->next, struct declare, node);
            if (!list_is_empty(&d->request.node)) {
                channel_forget(&b->channels[CH_SCRATCH], &d->request);
            }
            finish(b, d, reply);
        }
    }
}

void declare_free(struct broker *b)
{
    declare_reset(b);
    while (!list_is_empty(&b->declare_asks)) {
        drop(LIST_OWNER(b->declare_asks.next, struct declare, node));
    }
}

static int encode(struct buf *frame, uint16_t channel, const struct broker_declare *queue)
{
    struct argument_room room;
    amqp_queue_declare_t method;
    if (declare_method(queue, &room, &method) < 0) {
        return -1;
    }
    return codec_put_method(frame, channel, AMQP_QUEUE_DECLARE_METHOD, &method, METHOD_CAP);
}

int declare_method(const struct broker_declare *queue, struct argument_room *room,
                   amqp_queue_declare_t *method)
{
    if (queue->name.len == 0 || queue->name.len > CODEC_NAME_MAX) {
        return -1;
    }
    *method = (amqp_queue_declare_t){
        .queue = {queue->name.len, (void *)(uintptr_t)queue->name.ptr},
        .passive = queue->is_passive,
    };
    if (queue->is_passive) {
        return 0;
    }
    method->durable = queue->is_durable;
    method->exclusive = queue->is_exclusive;
    method->auto_delete = queue->is_auto_delete;
    return argument_table(queue->args, queue->n_args, room, &method->arguments);
}

/* Takes the waiter, NULL: out of memory. */
static int add(struct broker *b, const struct broker_declare *queue, struct deferred *waiter)
{
    struct declare *d = calloc(1, sizeof(*d));
    if (!d) {
        deferred_free(waiter);
        return -1;
    }
    list_init(&d->node);
    list_init(&d->request.node);
    d->waiter = waiter;
    if (!waiter || encode(&d->frame, CH_SCRATCH, queue) < 0) {
        drop(d);
        return -1;
    }
    list_push(&b->declare_asks, &d->node);
    broker_wake(b);
    return 0;
}

int broker_declare_queue(struct broker *b, const struct broker_declare *queue, broker_done_fn done,
                         uint64_t cookie)
{
    if (b->is_stopping || b->options.is_private) {
        return -1;
    }
    return add(b, queue, deferred_new(done, cookie));
}

int declare_inside(struct broker *b, struct slice queue,
                   void (*inside)(struct broker *, uint64_t, const struct broker_reply *),
                   uint64_t cookie)
{
    struct broker_declare passive = {.name = queue, .is_passive = true};
    struct deferred *waiter = deferred_new(NULL, cookie);
    if (waiter) {
        waiter->kind = DEFERRED_INSIDE;
        waiter->inside = inside;
    }
    return add(b, &passive, waiter);
}
