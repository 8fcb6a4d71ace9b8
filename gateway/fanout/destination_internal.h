/* What destination.c, destination_queue.c and destination_text.c share. */
#pragma once

#include "gateway/fanout/destination.h"

#include <stdbool.h>

static inline bool destination_is_control(char c)
{
    return (unsigned char)c < 0x20 || c == 0x7f;
}

static inline bool destination_is_fixed(const struct config_route *route)
{
    return route->exchange && route->exchange[0] != '\0';
}

/* Decodes what stands in a name into an exchange or a key of DESTINATION_PART_MAX + 1 bytes,
 * terminated. False when it does not fit. */
bool destination_decode(struct slice text, char *part, size_t *len);

/* The names that are no exchange: those of routes of type queue (`route`, may be NULL), and those
 * that no route has: a bare name, /reply-queue/, /temp-queue/. Fills *d; DESTINATION_UNKNOWN: it is
 * none of these. */
enum destination_error destination_resolve_queue(const struct config *config,
                                                 const struct config_route *route,
                                                 struct slice name, struct destination *d)
    __attribute__((warn_unused_result));
