/* Private channels: their life, their numbers, and what is asked on them. What the broker says is
 * in private_answer.c. */
#include "amqp/private_internal.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define METHOD_CAP 4096
#define NUMBER_MIN CH_N

static uint32_t new_epoch(void)
{
    static atomic_uint_least32_t last;
    return (uint32_t)atomic_fetch_add(&last, 1) + 1;
}

/* ---- Numbers ---- */

static struct private_slot *slot_of(struct broker *b, uint16_t number)
{
    assert(number >= NUMBER_MIN && (size_t)(number - NUMBER_MIN) < b->privates.n_slots);
    return &b->privates.slots[number - NUMBER_MIN];
}

size_t private_room(const struct broker *b)
{
    size_t max = b->conn.channel_max;
    if (b->state != BROKER_UP || !broker_is_connected(b) || max < NUMBER_MIN) {
        return 0;
    }
    return max - NUMBER_MIN + 1 - b->privates.n_used;
}

static int grow_slots(struct privates *p)
{
    size_t cap = p->cap ? p->cap * 2 : 16;
    struct private_slot *slots = realloc(p->slots, cap * sizeof(*slots));
    if (!slots) {
        return -1;
    }
    p->slots = slots;
    p->cap = cap;
    return 0;
}

/* A number that is free, 0 when out of memory. There is room. */
static uint16_t take_number(struct broker *b, struct private_channel *ch)
{
    struct privates *p = &b->privates;
    uint16_t number = p->first_free;
    if (number) {
        p->first_free = slot_of(b, number)->next_free;
    } else if (p->n_slots == p->cap && grow_slots(p) < 0) {
        return 0;
    } else {
        number = (uint16_t)(NUMBER_MIN + p->n_slots++);
    }
    *slot_of(b, number) = (struct private_slot){.ch = ch};
    p->n_used++;
    return number;
}

void private_release(struct broker *b, uint16_t number)
{
    *slot_of(b, number) = (struct private_slot){.next_free = b->privates.first_free};
    b->privates.first_free = number;
    b->privates.n_used--;
}

/* ---- Asking ---- */

/* Between a failure and the hour when the owner hears of it, requests go nowhere. */
static bool is_sending(const struct broker *b)
{
    return !b->conn.has_failed && b->conn.phase == CONN_OPEN;
}

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
    if ((ask->is_held || is_sending(b)) &&
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

static int request(struct private_channel *ch, uint64_t cookie, amqp_method_number_t id,
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
    amqp_table_entry_t entries[ARGUMENTS_MAX];
    amqp_queue_declare_t method;
    if (declare_method(queue, entries, &method) < 0) {
        return -1;
    }
    return request(ch, cookie, AMQP_QUEUE_DECLARE_METHOD, &method);
}

int private_bind(struct private_channel *ch, struct slice queue, struct slice exchange,
                 struct slice key, const struct broker_argument *args, size_t n_args,
                 uint64_t cookie)
{
    amqp_table_entry_t entries[ARGUMENTS_MAX];
    amqp_queue_bind_t method = {
        .queue = bytes_of(queue),
        .exchange = bytes_of(exchange),
        .routing_key = bytes_of(key),
    };
    if (!is_queue_name(queue) || exchange.len > CODEC_NAME_MAX || key.len > CODEC_NAME_MAX ||
        argument_table(args, n_args, entries, &method.arguments) < 0) {
        return -1;
    }
    return request(ch, cookie, AMQP_QUEUE_BIND_METHOD, &method);
}

int private_delete_queue(struct private_channel *ch, struct slice queue, uint64_t cookie)
{
    amqp_queue_delete_t method = {.queue = bytes_of(queue)};
    return is_queue_name(queue) ? request(ch, cookie, AMQP_QUEUE_DELETE_METHOD, &method) : -1;
}

/* For the consumers that come behind it: RabbitMQ counts per consumer when it is not global. */
static int send_qos(struct private_channel *ch, uint16_t prefetch, uint64_t cookie)
{
    amqp_basic_qos_t method = {.prefetch_count = prefetch};
    if (request(ch, cookie, AMQP_BASIC_QOS_METHOD, &method) < 0) {
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

static struct private_consumer *consumer_add_to(struct private_channel *ch,
                                                const struct private_consume *consume,
                                                uint64_t cookie)
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
    c->no_ack = consume->no_ack;
    if (map_put(&ch->consumers, c->tag, len, c) < 0) {
        free(c);
        return NULL;
    }
    return c;
}

static int send_consume(struct private_channel *ch, const struct private_consume *consume,
                        uint64_t cookie)
{
    amqp_table_entry_t entries[ARGUMENTS_MAX];
    amqp_basic_consume_t method = {
        .queue = bytes_of(consume->queue),
        .consumer_tag = broker_bytes(consume->tag),
        .no_ack = consume->no_ack,
        .exclusive = consume->is_exclusive,
    };
    if (!is_queue_name(consume->queue) ||
        argument_table(consume->args, consume->n_args, entries, &method.arguments) < 0) {
        return -1;
    }
    struct ask *ask = ask_new(consume->queue, consume->tag);
    bool is_known = consume->no_ack || ch->prefetch == consume->prefetch;
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
    if (is_sending(ch->b)) {
        channel_send(ch->b, ch->channel.number, AMQP_BASIC_ACK_METHOD, &ack);
    }
}

void private_nack(struct private_channel *ch, uint64_t tag, bool is_multiple, bool requeue)
{
    amqp_basic_nack_t nack = {.delivery_tag = tag, .multiple = is_multiple, .requeue = requeue};
    if (is_sending(ch->b)) {
        channel_send(ch->b, ch->channel.number, AMQP_BASIC_NACK_METHOD, &nack);
    }
}

/* ---- Life ---- */

static void free_channel(struct private_channel *ch)
{
    struct map_entry entry;
    for (size_t cursor = 0; map_next(&ch->consumers, &cursor, &entry);) {
        free(entry.value);
    }
    map_fini(&ch->consumers);
    while (!list_is_empty(&ch->channel.requests)) {
        struct ask *ask = ask_of(ch->channel.requests.next);
        list_remove(&ask->request.node);
        private_free_ask(ask);
    }
    list_remove(&ch->node);
    channel_fini(&ch->channel);
    free(ch);
}

struct private_channel *private_open(struct broker *b, const struct private_events *events,
                                     void *owner)
{
    struct private_channel *ch = private_room(b) > 0 ? calloc(1, sizeof(*ch)) : NULL;
    if (!ch) {
        return NULL;
    }
    amqp_channel_open_t open = {.out_of_band = amqp_empty_bytes};
    channel_init(&ch->channel, 0);
    list_init(&ch->node);
    ch->b = b;
    ch->events = events;
    ch->owner = owner;
    ch->prefetch = -1;
    ch->channel.epoch = new_epoch();
    ch->channel.is_open = true;
    ch->channel.number = take_number(b, ch);
    if (!ch->channel.number) {
        free_channel(ch);
        return NULL;
    }
    if (request(ch, 0, AMQP_CHANNEL_OPEN_METHOD, &open) < 0) {
        private_release(b, ch->channel.number);
        free_channel(ch);
        return NULL;
    }
    list_push(&b->privates.open, &ch->node);
    return ch;
}

uint32_t private_epoch(const struct private_channel *ch)
{
    return ch->channel.epoch;
}

void private_bury(struct private_channel *ch)
{
    ch->is_gone = true;
    list_remove(&ch->node);
    list_push(&ch->b->privates.dead, &ch->node);
    broker_wake(ch->b); /* to be reaped */
}

void private_close(struct private_channel *ch)
{
    if (!ch || ch->is_gone) {
        return;
    }
    struct broker *b = ch->b;
    if (is_sending(b)) {
        amqp_channel_close_t close = {.reply_code = 200, .reply_text = broker_bytes("bye")};
        channel_send(b, ch->channel.number, AMQP_CHANNEL_CLOSE_METHOD, &close);
        *slot_of(b, ch->channel.number) = (struct private_slot){.is_closing = true};
    }
    private_bury(ch);
}

void private_init(struct broker *b)
{
    list_init(&b->privates.open);
    list_init(&b->privates.lost);
    list_init(&b->privates.dead);
}

static void lose_all(struct broker *b)
{
    struct privates *p = &b->privates;
    while (!list_is_empty(&p->open)) {
        struct list *first = p->open.next;
        list_remove(first);
        list_push(&p->lost, first);
    }
}

void private_reset(struct broker *b)
{
    lose_all(b);
    b->privates.n_slots = 0;
    b->privates.n_used = 0;
    b->privates.first_free = 0;
}

void private_tell_lost(struct broker *b, const char *why)
{
    while (!list_is_empty(&b->privates.lost)) {
        struct private_channel *ch =
            LIST_OWNER(b->privates.lost.next, struct private_channel, node);
        private_bury(ch);
        ch->events->closed(ch->owner, 0, 0, why);
    }
}

/* Their numbers stay taken: what the broker still says on them is passed over. */
void private_stop(struct broker *b, const char *why)
{
    for (struct list *n = b->privates.open.next; n != &b->privates.open; n = n->next) {
        struct private_channel *ch = LIST_OWNER(n, struct private_channel, node);
        *slot_of(b, ch->channel.number) = (struct private_slot){.is_closing = true};
    }
    lose_all(b);
    private_tell_lost(b, why);
}

void private_reap(struct broker *b)
{
    while (!list_is_empty(&b->privates.dead)) {
        free_channel(LIST_OWNER(b->privates.dead.next, struct private_channel, node));
    }
}

void private_free(struct broker *b)
{
    assert(list_is_empty(&b->privates.open) && list_is_empty(&b->privates.lost));
    private_reap(b);
    free(b->privates.slots);
}
