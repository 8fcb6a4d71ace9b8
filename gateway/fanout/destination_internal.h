/* What destination.c and destination_text.c share. */
#pragma once

#include "common/config.h"

#include <stdbool.h>

static inline bool destination_is_control(char c)
{
    return (unsigned char)c < 0x20 || c == 0x7f;
}

static inline bool destination_is_fixed(const struct config_route *route)
{
    return route->exchange && route->exchange[0] != '\0';
}
