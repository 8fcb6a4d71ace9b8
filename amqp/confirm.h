/* Which publishes of one channel wait for their confirm. Pure: tags to items and back, no broker,
 * no clock.
 *
 * In confirm mode the broker counts the publishes of a channel from 1 and answers with those
 * numbers (tags), one by one or "all up to this one", in any order. The items are kept in a ring:
 *
 *     first                     next
 *      | item . item item . item |      slot of tag t: t & (cap - 1);  . = settled already
 *
 * Invariants: first <= next; the slot of `first` is not empty unless first == next; n items.
 * Belongs to one thread.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct confirm {
    void **slots;
    size_t cap;
    uint64_t first;
    uint64_t next;
    size_t n;
};

/* The first tag is 1. */
void confirm_init(struct confirm *c);

/* Frees the ring, not the items. */
void confirm_fini(struct confirm *c);

/* Adds an item (not NULL) and returns its tag, 0 when out of memory. */
uint64_t confirm_push(struct confirm *c, void *item) __attribute__((warn_unused_result));

/* Takes the item out; NULL when the tag is unknown, settled already, or was never given. */
void *confirm_take(struct confirm *c, uint64_t tag);

/* Takes the oldest item if its tag is at most `up_to`; NULL when there is none such. For a multiple
 * ack: call until NULL. */
void *confirm_shift(struct confirm *c, uint64_t up_to);

/* Borrows; NULL when settled or unknown. */
void *confirm_get(const struct confirm *c, uint64_t tag);
