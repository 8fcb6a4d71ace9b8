#include "common/buf.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define BUF_MIN_BYTES 256

void buf_init(struct buf *b)
{
    *b = (struct buf){0};
}

void buf_fini(struct buf *b)
{
    free(b->mem);
    buf_init(b);
}

static void move_to_front(struct buf *b)
{
    memmove(b->mem, b->mem + b->off, b->len);
    b->off = 0;
}

/* Moves the bytes to new memory of at least `need` bytes; doubling keeps appending cheap on
 * average. */
static int grow(struct buf *b, size_t need)
{
    size_t cap = b->cap < BUF_MIN_BYTES ? BUF_MIN_BYTES : b->cap;
    while (cap < need) {
        cap = cap > SIZE_MAX / 2 ? need : cap * 2;
    }
    uint8_t *mem = malloc(cap);
    if (!mem) {
        return -1;
    }
    if (b->mem) {
        memcpy(mem, b->mem + b->off, b->len);
    }
    free(b->mem);
    *b = (struct buf){.mem = mem, .len = b->len, .cap = cap};
    return 0;
}

uint8_t *buf_reserve(struct buf *b, size_t n)
{
    if (n > SIZE_MAX - b->len) {
        return NULL;
    }
    if (!b->mem || b->cap - b->off - b->len < n) {
        /* Moving is worth it only when at least as much was consumed as must be moved; otherwise a
         * buffer that is drained in small steps would copy itself again and again. */
        if (b->mem && b->off >= b->len && b->cap - b->len >= n) {
            move_to_front(b);
        } else if (grow(b, b->len + n) != 0) {
            return NULL;
        }
    }
    return b->mem + b->off + b->len;
}

void buf_commit(struct buf *b, size_t n)
{
    assert(n <= b->cap - b->off - b->len);
    b->len += n;
}

int buf_append(struct buf *b, const void *bytes, size_t n)
{
    if (n == 0) {
        return 0;
    }
    uint8_t *room = buf_reserve(b, n);
    if (!room) {
        return -1;
    }
    memcpy(room, bytes, n);
    b->len += n;
    return 0;
}

void buf_consume(struct buf *b, size_t n)
{
    assert(n <= b->len);
    b->len -= n;
    b->off = b->len == 0 ? 0 : b->off + n;
}

void buf_trim(struct buf *b)
{
    if (b->len == 0) {
        buf_fini(b);
    }
}
