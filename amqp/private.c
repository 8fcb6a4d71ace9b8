/* Private channels: their life and their numbers. */
#include "amqp/private_internal.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdlib.h>

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
    if (private_request(ch, 0, AMQP_CHANNEL_OPEN_METHOD, &open) < 0) {
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
    if (private_is_sending(b)) {
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
