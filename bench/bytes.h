/* Bytes that wait for a socket, or for the rest of a frame. Holds no memory while there are none.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

/*     mem      at             at + len   cap
 *      | dropped | what waits     | free  |
 */
struct bytes {
    uint8_t *mem; /* NULL while len is 0 */
    size_t at;
    size_t len;
    size_t cap;
};

/* The first of `len` bytes; NULL when there are none. */
uint8_t *bytes_begin(const struct bytes *b);

/* Makes room for `n` more behind the last one and tells where; NULL when out of memory. */
uint8_t *bytes_reserve(struct bytes *b, size_t n);

/* 0, or -1 when out of memory. */
int bytes_append(struct bytes *b, const void *more, size_t n);

/* Drops the first `n`. */
void bytes_drop(struct bytes *b, size_t n);
