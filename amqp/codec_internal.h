/* What codec.c (frames, what we publish) and codec_read.c (what comes in) share. */
#pragma once

#include "amqp/codec.h"

#define CODEC_CLASS_BASIC 60

static inline uint16_t codec_get16(const uint8_t *p)
{
    return (uint16_t)(p[0] << 8 | p[1]);
}

static inline uint32_t codec_get32(const uint8_t *p)
{
    return (uint32_t)codec_get16(p) << 16 | codec_get16(p + 2);
}

static inline uint64_t codec_get64(const uint8_t *p)
{
    return (uint64_t)codec_get32(p) << 32 | codec_get32(p + 4);
}
