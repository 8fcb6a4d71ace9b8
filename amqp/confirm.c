#include "amqp/confirm.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_CAP 64

void confirm_init(struct confirm *c)
{
    memset(c, 0, sizeof(*c));
    c->first = 1;
    c->next = 1;
}

void confirm_fini(struct confirm *c)
{
    free(c->slots);
    confirm_init(c);
}

static int grow(struct confirm *c)
{
    size_t cap = c->cap ? c->cap * 2 : FIRST_CAP;
    void **slots = calloc(cap, sizeof(*slots));
    if (!slots) {
        return -1;
    }
    for (uint64_t tag = c->first; tag < c->next; tag++) {
        slots[tag & (cap - 1)] = c->slots[tag & (c->cap - 1)];
    }
    free(c->slots);
    c->slots = slots;
    c->cap = cap;
    return 0;
}

uint64_t confirm_push(struct confirm *c, void *item)
{
    assert(item);
    if (c->next - c->first >= c->cap && grow(c) < 0) {
        return 0;
    }
    c->slots[c->next & (c->cap - 1)] = item;
    c->n++;
    return c->next++;
}

void *confirm_get(const struct confirm *c, uint64_t tag)
{
    if (tag < c->first || tag >= c->next) {
        return NULL;
    }
    return c->slots[tag & (c->cap - 1)];
}

void *confirm_take(struct confirm *c, uint64_t tag)
{
    void *item = confirm_get(c, tag);
    if (!item) {
        return NULL;
    }
    c->slots[tag & (c->cap - 1)] = NULL;
    c->n--;
    while (c->first < c->next && !c->slots[c->first & (c->cap - 1)]) {
        c->first++;
    }
    return item;
}

void *confirm_shift(struct confirm *c, uint64_t up_to)
{
    return c->first <= up_to ? confirm_take(c, c->first) : NULL;
}
