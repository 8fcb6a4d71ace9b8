/* A growing byte buffer that is filled at its end and emptied at its front.
 *
 *     mem          mem+off            mem+off+len        mem+cap
 *      | consumed   | the bytes        | room             |
 *
 * Invariants: off + len <= cap; an empty buffer has off == 0. A zeroed struct is a valid empty
 * buffer without memory. Belongs to one thread. Knows no bound of its own: its owner checks buf.len
 * before it appends.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct buf {
    uint8_t *mem;
    size_t off;
    size_t len;
    size_t cap;
};

void buf_init(struct buf *b);

/* Frees the memory and leaves a valid empty buffer. */
void buf_fini(struct buf *b);

/* The first byte; borrowed until the next call that changes the buffer. NULL when the buffer has no
 * memory. */
static inline uint8_t *buf_data(const struct buf *b)
{
    return b->mem ? b->mem + b->off : NULL;
}

/* Gives room for at least `n` more bytes behind the last and returns where they go; NULL when out
 * of memory, the buffer unchanged. Follow with buf_commit(). */
uint8_t *buf_reserve(struct buf *b, size_t n) __attribute__((warn_unused_result));

/* Says that `n` bytes of the reserved room are now filled. */
void buf_commit(struct buf *b, size_t n);

/* Copies `n` bytes to the end. 0, or -1 when out of memory (nothing appended). */
int buf_append(struct buf *b, const void *bytes, size_t n) __attribute__((warn_unused_result));

/* Drops `n` bytes at the front; n <= len. */
void buf_consume(struct buf *b, size_t n);

/* Gives the memory back when the buffer is empty. An idle connection holds no buffer. */
void buf_trim(struct buf *b);
