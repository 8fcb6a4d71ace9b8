/* Consumers that are kept, their deliveries and acks. */
#include "amqp/broker_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RETRY_MS 1000u /* more at each failure in a row */
#define RETRY_SLOWEST 10

static struct consumer *find(const struct broker *b, struct slice tag)
{
    return map_get(&b->consumer_tags, tag.ptr, tag.len);
}

/* One consumer has most of the deliveries, and the next is likely to be for it as well. */
static struct consumer *find_again(struct broker *b, struct slice tag)
{
    if (!b->last_consumer || !slice_is(tag, b->last_consumer->tag)) {
        b->last_consumer = find(b, tag);
    }
    return b->last_consumer;
}

/* Its tag is not its own any more. */
static void forget_tag(struct broker *b, struct consumer *c)
{
    map_take(&b->consumer_tags, c->tag, strlen(c->tag));
    if (b->last_consumer == c) {
        b->last_consumer = NULL;
    }
}

static void settle(struct broker *b, struct consumer *c)
{
    if (c->is_restoring) {
        c->is_restoring = false;
        b->n_restoring--;
        restore_check(b);
    }
}

static void drop(struct broker *b, struct consumer *c)
{
    settle(b, c);
    if (!c->is_cancelled) {
        forget_tag(b, c);
    }
    b->n_leaving -= c->is_leaving;
    list_remove(&c->node);
    if (!list_is_empty(&c->consume.node)) {
        channel_forget(&b->channels[CH_CONSUME], &c->consume);
    }
    free(c->queue);
    free(c);
}

static void wait_again(struct broker *b, struct consumer *c)
{
    c->state = CONSUMER_WAITS;
    c->tries += c->tries < RETRY_SLOWEST;
    c->retry_at_ms = uv_now(b->loop) + c->tries * RETRY_MS;
    settle(b, c);
}

static struct consumer *find_leaving(const struct broker *b, struct slice tag)
{
    for (struct list *n = b->consumers.next; n != &b->consumers; n = n->next) {
        struct consumer *c = LIST_OWNER(n, struct consumer, node);
        if (c->is_leaving && slice_is(tag, c->tag)) {
            return c;
        }
    }
    return NULL;
}

/* At most one of each tag: while it waits for its consume-ok no other of that tag is started. */
static struct consumer *find_starting(const struct broker *b, struct slice tag)
{
    for (struct list *n = b->consumers.next; n != &b->consumers; n = n->next) {
        struct consumer *c = LIST_OWNER(n, struct consumer, node);
        if (!list_is_empty(&c->consume.node) && c->consume.method == AMQP_BASIC_CONSUME_METHOD &&
            slice_is(tag, c->tag)) {
            return c;
        }
    }
    return NULL;
}

/* ---- Starting ---- */

/* Refused or lost with the channel: consumer_on_channel_error() knows whose fault it was. */
static void on_not_consuming(struct broker *b, struct request *r, const struct answer *a)
{
    struct consumer *c = LIST_OWNER(r, struct consumer, consume);
    (void)b;
    (void)a;
    c->state = CONSUMER_WAITS;
}

static void send_cancel(struct broker *b, struct consumer *c)
{
    amqp_basic_cancel_t method = {.consumer_tag = broker_bytes(c->tag)};
    channel_send(b, CH_CONSUME, AMQP_BASIC_CANCEL_METHOD, &method);
}

static void start(struct broker *b, struct consumer *c);

/* Like cancel-ok, consume-ok is sent by the queue's process: it may overtake other answers and be
 * overtaken, so it is matched by its tag. */
void consumer_on_consuming(struct broker *b, struct slice tag)
{
    struct consumer *c = find_starting(b, tag);
    if (!c) {
        conn_fail(b, "consume-ok for a consumer that was not started");
        return;
    }
    channel_forget(&b->channels[CH_CONSUME], &c->consume);
    if (c->is_leaving) {
        send_cancel(b, c);
        struct consumer *next = find(b, tag);
        if (next) {
            start(b, next);
        }
        return;
    }
    c->state = CONSUMER_RUNS;
    c->tries = 0;
    settle(b, c);
}

static bool names_queue(const char *text, const char *queue)
{
    char quoted[CODEC_NAME_MAX + 3];
    snprintf(quoted, sizeof(quoted), "'%s'", queue);
    return strstr(text, quoted) != NULL;
}

static void blame(struct broker *b, struct consumer *c, uint16_t code, const char *text)
{
    struct queue *q = topology_queue(b, c->queue);
    log_warn(b->name, "broker.consume_refused", "queue=%s code=%u reason=%s", c->queue, code, text);
    wait_again(b, c);
    if (q && code == 404) {
        queue_vanished(b, q, b->last_in_unix_ms);
    } else if (q) {
        struct broker_reply reply = {.code = code, .text = text};
        broker_defer_broken(b, q, (struct slice){NULL, 0}, &reply);
    }
}

/* A basic.consume closed the channel. Its words tell the queue; the consumer that asked first may
 * be innocent, because its consume-ok may have been on its way. */
void consumer_on_channel_error(struct broker *b, uint16_t code, const char *text)
{
    for (struct list *n = b->consumers.next; n != &b->consumers; n = n->next) {
        struct consumer *c = LIST_OWNER(n, struct consumer, node);
        const struct queue *q = topology_queue(b, c->queue);
        if (!c->is_cancelled && names_queue(text, q ? q->at_broker : c->queue)) {
            blame(b, c, code, text);
            return;
        }
    }
}

static void send_consume(struct broker *b, struct consumer *c, const char *queue)
{
    c->state = CONSUMER_STARTS;
    if (!c->no_ack) {
        /* For the consumers that come behind it. Its answer is passed over. */
        amqp_basic_qos_t qos = {.prefetch_count = c->prefetch};
        channel_send(b, CH_CONSUME, AMQP_BASIC_QOS_METHOD, &qos);
    }
    amqp_basic_consume_t consume = {
        .queue = broker_bytes(queue),
        .consumer_tag = broker_bytes(c->tag),
        .no_ack = c->no_ack,
    };
    channel_request(b, CH_CONSUME, &c->consume, AMQP_BASIC_CONSUME_METHOD, &consume,
                    AMQP_BASIC_CONSUME_OK_METHOD, on_not_consuming);
}

static void on_asked(struct broker *b, struct request *r, const struct answer *a)
{
    struct consumer *c = LIST_OWNER(r, struct consumer, consume);
    if (c->is_cancelled) {
        drop(b, c);
    } else if (a->kind == ANSWER_OK) {
        send_consume(b, c, c->queue);
    } else {
        wait_again(b, c);
    }
}

/* A queue of ours is consumed as soon as it is whole. Another's is asked for first on the scratch
 * channel: a basic.consume that fails would close the channel of all consumers. */
static void start(struct broker *b, struct consumer *c)
{
    const struct queue *q = topology_queue(b, c->queue);
    if (c->state != CONSUMER_WAITS || !list_is_empty(&c->consume.node) || !broker_is_connected(b)) {
        return;
    }
    if (b->n_leaving > 0 && find_starting(b, slice_of(c->tag))) {
        return;
    }
    if (q && q->kept.is_wanted) {
        if (q->is_whole) {
            send_consume(b, c, q->at_broker);
        }
        return;
    }
    amqp_queue_declare_t ask = {.queue = broker_bytes(c->queue), .passive = 1};
    c->state = CONSUMER_STARTS;
    channel_request(b, CH_SCRATCH, &c->consume, AMQP_QUEUE_DECLARE_METHOD, &ask,
                    AMQP_QUEUE_DECLARE_OK_METHOD, on_asked);
}

void consumer_start_all(struct broker *b, const char *queue)
{
    for (struct list *n = b->consumers.next; n != &b->consumers; n = n->next) {
        struct consumer *c = LIST_OWNER(n, struct consumer, node);
        if (!c->is_cancelled && strcmp(c->queue, queue) == 0) {
            start(b, c);
        }
    }
}

void consumer_tick(struct broker *b, uint64_t now_ms)
{
    for (struct list *n = b->consumers.next; n != &b->consumers; n = n->next) {
        struct consumer *c = LIST_OWNER(n, struct consumer, node);
        if (!c->is_cancelled && c->state == CONSUMER_WAITS && c->retry_at_ms <= now_ms) {
            start(b, c);
        }
    }
}

/* The channel was opened anew: nobody consumes any more. */
void consumer_restore(struct broker *b)
{
    struct list *n = b->consumers.next;
    while (n != &b->consumers) {
        struct consumer *c = LIST_OWNER(n, struct consumer, node);
        bool is_asking = c->state == CONSUMER_STARTS && !list_is_empty(&c->consume.node);
        n = n->next;
        if (c->is_leaving) {
            drop(b, c);
            continue;
        }
        if (is_asking) {
            continue; /* on the scratch channel, which was not closed */
        }
        if (c->state == CONSUMER_WAITS && c->retry_at_ms > uv_now(b->loop)) {
            continue; /* it was refused a moment ago */
        }
        c->state = CONSUMER_WAITS;
        if (b->state == BROKER_RESTORING && !c->is_restoring) {
            c->is_restoring = true;
            b->n_restoring++;
        }
        start(b, c);
    }
}

void consumer_reset(struct broker *b)
{
    struct list *n = b->consumers.next;
    while (n != &b->consumers) {
        struct consumer *c = LIST_OWNER(n, struct consumer, node);
        n = n->next;
        c->is_restoring = false;
        c->state = CONSUMER_WAITS;
        c->retry_at_ms = 0;
        c->tries = 0;
        if (c->is_cancelled) {
            drop(b, c);
        }
    }
}

/* ---- Ending ---- */

/* It leaves when the broker has answered: until then deliveries with its tag are not for a new
 * consumer of that tag. A basic.cancel must not reach RabbitMQ's channel before the consume-ok that
 * the queue sends back through it: the channel would crash, and the connection with it. */
static void cancel(struct broker *b, struct consumer *c)
{
    bool is_waited_for = !list_is_empty(&c->consume.node);
    bool is_at_broker = c->state == CONSUMER_RUNS ||
                        (is_waited_for && c->consume.method == AMQP_BASIC_CONSUME_METHOD);
    if (!is_waited_for && !is_at_broker) {
        drop(b, c);
        return;
    }
    forget_tag(b, c);
    c->is_cancelled = true;
    settle(b, c);
    if (is_at_broker) {
        c->is_leaving = true;
        b->n_leaving++;
        if (!is_waited_for) {
            send_cancel(b, c);
        }
    }
}

void broker_cancel(struct broker *b, const char *tag)
{
    struct consumer *c = find(b, slice_of(tag));
    if (c) {
        cancel(b, c);
    }
}

void consumer_drop_queue(struct broker *b, const char *queue)
{
    struct list *n = b->consumers.next;
    while (n != &b->consumers) {
        struct consumer *c = LIST_OWNER(n, struct consumer, node);
        n = n->next;
        if (!c->is_cancelled && strcmp(c->queue, queue) == 0) {
            cancel(b, c);
        }
    }
}

void consumer_queue_vanished(struct broker *b, const char *queue)
{
    for (struct list *n = b->consumers.next; n != &b->consumers; n = n->next) {
        struct consumer *c = LIST_OWNER(n, struct consumer, node);
        if (c->state == CONSUMER_RUNS && !c->is_cancelled && strcmp(c->queue, queue) == 0) {
            c->state = CONSUMER_WAITS;
        }
    }
}

void consumer_on_cancelled(struct broker *b, struct slice tag)
{
    struct consumer *c = b->n_leaving > 0 ? find_leaving(b, tag) : NULL;
    if (c) {
        drop(b, c);
    }
}

/* The broker ends it: the queue was deleted, or its node failed. */
void consumer_on_cancel(struct broker *b, struct slice tag)
{
    struct consumer *c = find(b, tag);
    if (!c) {
        return;
    }
    log_warn(b->name, "broker.consumer_cancelled", "queue=%s tag=%s", c->queue, c->tag);
    struct queue *q = topology_queue(b, c->queue);
    wait_again(b, c);
    if (q) {
        queue_vanished(b, q, b->last_in_unix_ms);
    }
}

/* ---- Beginning ---- */

int consumer_add(struct broker *b, const struct broker_consume *spec,
                 void (*inside)(struct broker *, const struct broker_delivery *))
{
    size_t tag_len = strlen(spec->tag);
    if (tag_len == 0 || tag_len > CODEC_NAME_MAX || strlen(spec->queue) > CODEC_NAME_MAX ||
        find(b, slice_of(spec->tag))) {
        return -1;
    }
    struct consumer *c = calloc(1, sizeof(*c) + tag_len + 1);
    char *queue = strdup(spec->queue);
    if (c) {
        memcpy(c->tag, spec->tag, tag_len + 1);
    }
    if (!c || !queue || map_put(&b->consumer_tags, c->tag, tag_len, c) < 0) {
        free(queue);
        free(c);
        return -1;
    }
    list_init(&c->node);
    list_init(&c->consume.node);
    c->spec = *spec;
    c->spec.queue = NULL;
    c->spec.tag = NULL;
    c->queue = queue;
    c->no_ack = spec->no_ack;
    c->prefetch = spec->prefetch;
    c->inside = inside;
    list_push(&b->consumers, &c->node);
    start(b, c);
    return 0;
}

int broker_consume(struct broker *b, const struct broker_consume *consume)
{
    return consumer_add(b, consume, NULL);
}

void consumer_free(struct broker *b)
{
    for (struct list *n = b->consumers.next; n != &b->consumers;) {
        struct consumer *c = LIST_OWNER(n, struct consumer, node);
        n = n->next;
        drop(b, c);
    }
    map_fini(&b->consumer_tags);
}

/* ---- Deliveries ---- */

static void reject(struct broker *b, uint64_t tag, bool requeue)
{
    amqp_basic_reject_t reject = {.delivery_tag = tag, .requeue = requeue};
    channel_send(b, CH_CONSUME, AMQP_BASIC_REJECT_METHOD, &reject);
}

/* Nobody can read it, here or after another delivery. Where the queue has a dead letter exchange,
 * it goes there. */
static void drop_delivery(struct broker *b, const struct consumer *consumer,
                          const struct content *c)
{
    b->stats.undecodable++;
    log_warn(b->name, "broker.undecodable", "queue=%s exchange=%s body_bytes=%llu", consumer->queue,
             c->exchange, (unsigned long long)c->body_size);
    if (!consumer->no_ack) {
        reject(b, c->tag, false);
    }
}

void consumer_on_delivery(struct broker *b, const struct content *c, struct slice body)
{
    struct slice tag = {c->consumer, c->consumer_len};
    struct consumer *leaving = b->n_leaving > 0 ? find_leaving(b, tag) : NULL;
    struct consumer *consumer = find_again(b, tag);
    if (leaving && !leaving->no_ack) {
        reject(b, c->tag, true); /* was on its way when its consumer was cancelled: for others */
    }
    if (leaving || !consumer || b->is_stopping) {
        return;
    }
    struct broker_delivery delivery = {
        .tag = c->tag,
        .epoch = b->channels[CH_CONSUME].epoch,
        .is_redelivered = c->is_redelivered,
        .exchange = {c->exchange, c->exchange_len},
        .routing_key = {c->routing_key, c->routing_key_len},
        .body = body,
    };
    struct slice header = {(const char *)buf_data(&c->header), c->header.len};
    if (c->is_dropped || codec_properties(header, &delivery.properties, &b->room) < 0) {
        drop_delivery(b, consumer, c);
        return;
    }
    if (consumer->inside) {
        consumer->inside(b, &delivery);
        return;
    }
    b->stats.delivered++;
    consumer->spec.delivery(consumer->spec.owner, consumer->spec.cookie, &delivery);
}

void broker_ack(struct broker *b, uint32_t epoch, uint64_t tag, bool is_multiple)
{
    amqp_basic_ack_t ack = {.delivery_tag = tag, .multiple = is_multiple};
    if (broker_is_connected(b) && epoch == b->channels[CH_CONSUME].epoch) {
        channel_send(b, CH_CONSUME, AMQP_BASIC_ACK_METHOD, &ack);
    }
}

void broker_nack(struct broker *b, uint32_t epoch, uint64_t tag, bool is_multiple, bool requeue)
{
    amqp_basic_nack_t nack = {.delivery_tag = tag, .multiple = is_multiple, .requeue = requeue};
    if (broker_is_connected(b) && epoch == b->channels[CH_CONSUME].epoch) {
        channel_send(b, CH_CONSUME, AMQP_BASIC_NACK_METHOD, &nack);
    }
}
