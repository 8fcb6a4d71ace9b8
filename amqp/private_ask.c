/* Private channels: what is asked on them. */
#include "amqp/private_internal.h"

#include <stdlib.h>
#include <string.h>

#define METHOD_CAP 4096

static struct ask *ask_new(struct slice queue, const char *tag)
{
    size_t tag_len = tag ? strlen(tag) : 0;
    struct ask *ask = calloc(1, sizeof(*ask) + queue.len + tag_len + 2);
    if (!ask) {
        return NULL;
    }
    list_init(&ask->request.node);
    if (queue.len > 0) {
        memcpy(ask->queue, queue.ptr, queue.len);
    }
    char *copy = ask->queue + queue.len + 1;
    if (tag_len > 0) {
        memcpy(copy, tag, tag_len);
    }
    ask->tag = copy;
    return ask;
}

void private_free_ask(struct ask *ask)
{
    if (ask) {
        buf_fini(&ask->frame);
        free(ask);
    }
}

static bool must_wait(const struct private_channel *ch, amqp_method_number_t id, const char *tag)
{
    if (id != AMQP_BASIC_CANCEL_METHOD) {
        return false;
    }
    const struct private_consumer *c = map_get(&ch->consumers, tag, strlen(tag));
    return c && !c->is_running;
}

/* Sends it, or holds it, and takes `ask`, which may be NULL: out of memory. */
static int post(struct private_channel *ch, struct ask *ask, uint64_t cookie,
                amqp_method_number_t id, void *method)
{
    struct broker *b = ch->b;
    if (!ask) {
        return -1;
    }
    ask->cookie = cookie;
    ask->is_held = ch->n_held > 0 || must_wait(ch, id, ask->tag);
    struct buf *out = ask->is_held ? &ask->frame : &b->conn.out;
    if ((ask->is_held || private_is_sending(b)) &&
        codec_put_method(out, ch->channel.number, id, method, METHOD_CAP) < 0) {
        private_free_ask(ask);
        return -1;
    }
    ch->n_held += ask->is_held;
    /* The answer to a request has the next number, in all classes that are used here. */
    channel_await(&ch->channel, &ask->request, id, id + 1, NULL);
    broker_wake(b);
    return 0;
}

void private_send_held(struct private_channel *ch)
{
    struct list *requests = &ch->channel.requests;
    struct broker *b = ch->b;
    for (struct list *n = requests->next; n != requests && ch->n_held > 0; n = n->next) {
        struct ask *ask = ask_of(n);
        if (!ask->is_held) {
            continue;
        }
        if (must_wait(ch, ask->request.method, ask->tag)) {
            return;
        }
        if (buf_append(&b->conn.out, buf_data(&ask->frame), ask->frame.len) < 0) {
            conn_fail(b, "out of memory");
            return;
        }
        buf_fini(&ask->frame);
        ask->is_held = false;
        ch->n_held--;
        broker_wake(b);
    }
}

int private_request(struct private_channel *ch, uint64_t cookie, amqp_method_number_t id,
                    void *method)
{
    return post(ch, ask_new(SLICE_LITERAL(""), NULL), cookie, id, method);
}

static amqp_bytes_t bytes_of(struct slice s)
{
    return (amqp_bytes_t){s.len, (void *)(uintptr_t)s.ptr};
}

static bool is_queue_name(struct slice name)
{
    return name.len > 0 && name.len <= CODEC_NAME_MAX;
}

int private_declare(struct private_channel *ch, const struct broker_declare *queue, uint64_t cookie)
{
    struct argument_room room;
    amqp_queue_declare_t method;
    if (declare_method(queue, &room, &method) < 0) {
        return -1;
    }
    return private_request(ch, cookie, AMQP_QUEUE_DECLARE_METHOD, &method);
}

int private_bind(struct private_channel *ch, struct slice queue, struct slice exchange,
                 struct slice key, const struct broker_argument *args, size_t n_args,
                 uint64_t cookie)
{
    struct argument_room room;
    amqp_queue_bind_t method = {
        .queue = bytes_of(queue),
        .exchange = bytes_of(exchange),
        .routing_key = bytes_of(key),
    };
    if (!is_queue_name(queue) || exchange.len > CODEC_NAME_MAX || key.len > CODEC_NAME_MAX ||
        argument_table(args, n_args, &room, &method.arguments) < 0) {
        return -1;
    }
    return private_request(ch, cookie, AMQP_QUEUE_BIND_METHOD, &method);
}

int private_delete_queue(struct private_channel *ch, struct slice queue, uint64_t cookie)
{
    amqp_queue_delete_t method = {.queue = bytes_of(queue)};
    return is_queue_name(queue) ? private_request(ch, cookie, AMQP_QUEUE_DELETE_METHOD, &method)
                                : -1;
}

/* For the consumers that come behind it: RabbitMQ counts per consumer when it is not global. */
static int send_qos(struct private_channel *ch, uint16_t prefetch, uint64_t cookie)
{
    amqp_basic_qos_t method = {.prefetch_count = prefetch};
    if (private_request(ch, cookie, AMQP_BASIC_QOS_METHOD, &method) < 0) {
        return -1;
    }
    ch->prefetch = prefetch;
    return 0;
}

/* The same basic.qos once more changes nothing, needs no permission and no queue. It is handled by
 * the broker's channel, which handles all methods in order. */
int private_sync(struct private_channel *ch, uint64_t cookie)
{
    return send_qos(ch, ch->prefetch < 0 ? 0 : (uint16_t)ch->prefetch, cookie);
}

static struct private_consumer *
consumer_add_to(struct private_channel *ch, const struct private_consume *consume, uint64_t cookie)
{
    size_t len = strlen(consume->tag);
    if (len == 0 || len > CODEC_NAME_MAX || map_get(&ch->consumers, consume->tag, len)) {
        return NULL;
    }
    struct private_consumer *c = calloc(1, sizeof(*c) + len + 1);
    if (!c) {
        return NULL;
    }
    memcpy(c->tag, consume->tag, len + 1);
    c->cookie = cookie;
    if (map_put(&ch->consumers, c->tag, len, c) < 0) {
        free(c);
        return NULL;
    }
    return c;
}

static int send_consume(struct private_channel *ch, const struct private_consume *consume,
                        uint64_t cookie)
{
    struct argument_room room;
    amqp_basic_consume_t method = {
        .queue = bytes_of(consume->queue),
        .consumer_tag = broker_bytes(consume->tag),
        .exclusive = consume->is_exclusive,
    };
    if (!is_queue_name(consume->queue) ||
        argument_table(consume->args, consume->n_args, &room, &method.arguments) < 0) {
        return -1;
    }
    struct ask *ask = ask_new(consume->queue, consume->tag);
    bool is_known = ch->prefetch == consume->prefetch;
    if (!ask || (!is_known && send_qos(ch, consume->prefetch, 0) < 0)) {
        private_free_ask(ask);
        return -1;
    }
    return post(ch, ask, cookie, AMQP_BASIC_CONSUME_METHOD, &method);
}

int private_consume(struct private_channel *ch, const struct private_consume *consume,
                    uint64_t cookie)
{
    struct private_consumer *c = consumer_add_to(ch, consume, cookie);
    if (!c) {
        return -1;
    }
    if (send_consume(ch, consume, cookie) < 0) {
        map_take(&ch->consumers, c->tag, strlen(c->tag));
        free(c);
        return -1;
    }
    return 0;
}

static struct private_consumer *find_consumer(const struct private_channel *ch, uint64_t cookie)
{
    struct map_entry entry;
    for (size_t cursor = 0; map_next(&ch->consumers, &cursor, &entry);) {
        struct private_consumer *c = entry.value;
        if (c->cookie == cookie) {
            return c;
        }
    }
    return NULL;
}

int private_cancel(struct private_channel *ch, uint64_t consumer, uint64_t cookie)
{
    struct private_consumer *c = find_consumer(ch, consumer);
    if (!c || c->is_leaving) {
        return private_sync(ch, cookie); /* the broker was quicker: there is only to be answered */
    }
    amqp_basic_cancel_t method = {.consumer_tag = broker_bytes(c->tag)};
    if (post(ch, ask_new(SLICE_LITERAL(""), c->tag), cookie, AMQP_BASIC_CANCEL_METHOD, &method) <
        0) {
        return -1;
    }
    c->is_leaving = true;
    return 0;
}

void private_ack(struct private_channel *ch, uint64_t tag, bool is_multiple)
{
    amqp_basic_ack_t ack = {.delivery_tag = tag, .multiple = is_multiple};
    if (private_is_sending(ch->b)) {
        channel_send(ch->b, ch->channel.number, AMQP_BASIC_ACK_METHOD, &ack);
    }
}

void private_nack(struct private_channel *ch, uint64_t tag, bool is_multiple, bool requeue)
{
    amqp_basic_nack_t nack = {.delivery_tag = tag, .multiple = is_multiple, .requeue = requeue};
    if (private_is_sending(ch->b)) {
        channel_send(ch->b, ch->channel.number, AMQP_BASIC_NACK_METHOD, &nack);
    }
}
