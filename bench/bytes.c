#include "bytes.h"

#include <stdlib.h>
#include <string.h>

uint8_t *bytes_begin(const struct bytes *b)
{
    return b->mem ? b->mem + b->at : NULL;
}

static int grow(struct bytes *b, size_t n)
{
    size_t cap = (b->len + n) * 2;
    uint8_t *mem = malloc(cap);
    if (!mem) {
        return -1;
    }
    if (b->len > 0) {
        memcpy(mem, b->mem + b->at, b->len);
    }
    free(b->mem);
    *b = (struct bytes){.mem = mem, .len = b->len, .cap = cap};
    return 0;
}

uint8_t *bytes_reserve(struct bytes *b, size_t n)
{
    if (b->at + b->len + n > b->cap && grow(b, n) < 0) {
        return NULL;
    }
    return b->mem + b->at + b->len;
}

int bytes_append(struct bytes *b, const void *more, size_t n)
{
    if (n == 0) {
        return 0;
    }
    uint8_t *free_bytes = bytes_reserve(b, n);
    if (!free_bytes) {
        return -1;
    }
    memcpy(free_bytes, more, n);
    b->len += n;
    return 0;
}

void bytes_drop(struct bytes *b, size_t n)
{
    b->at += n;
    b->len -= n;
    if (b->len == 0) {
        free(b->mem);
        *b = (struct bytes){0};
    }
}
