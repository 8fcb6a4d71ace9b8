/* The dot-separated words of a routing key or pattern, one after the other. */
#pragma once

#include "common/slice.h"

#include <stdbool.h>

/* Where to begin. RabbitMQ sees no word in an empty key, not one empty word. */
static inline struct slice words_of(struct slice text)
{
    return text.len ? text : (struct slice){NULL, 0};
}

/* The next word of *rest; false when there is none. *rest has ptr NULL behind the last. */
static inline bool words_next(struct slice *rest, struct slice *word)
{
    if (!rest->ptr) {
        return false;
    }
    const char *dot = rest->len ? memchr(rest->ptr, '.', rest->len) : NULL;
    if (!dot) {
        *word = *rest;
        *rest = (struct slice){NULL, 0};
        return true;
    }
    size_t len = (size_t)(dot - rest->ptr);
    *word = (struct slice){rest->ptr, len};
    *rest = (struct slice){dot + 1, rest->len - len - 1};
    return true;
}
