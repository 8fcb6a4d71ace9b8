#include "common/id.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include <openssl/evp.h>

/* The layout of our version 7, most significant bit first:
 *
 *     48 time in ms | 4 version | 12 counter high | 2 variant | 20 counter low | 42 random
 *
 * The counter (RFC 9562, section 6.2, method 1) starts each millisecond at a random 31-bit number,
 * so that it has at least 2^31 steps before it is used up; then, or when the clock steps back, the
 * id's time runs ahead of the clock. */
#define COUNTER_START_MASK 0x7fffffffu
#define UNIX_MS_MASK 0xffffffffffffu

void id_random(void *bytes, size_t n)
{
    ssize_t got;
    do {
        got = getrandom(bytes, n, 0);
    } while (got < 0 && errno == EINTR);
    if (got != (ssize_t)n) {
        abort(); /* cannot happen for so few bytes; an id that is not random must not leave */
    }
}

static void set_version(struct id *id, unsigned version)
{
    id->bytes[6] = (uint8_t)(version << 4 | (id->bytes[6] & 0x0f));
    id->bytes[8] = (uint8_t)(0x80 | (id->bytes[8] & 0x3f));
}

/* The random bytes of one id. */
struct dice {
    uint8_t start[4];
    uint8_t tail[6];
};

static struct dice roll(struct id_generator *g)
{
    struct dice dice;
    if (g->n_random < sizeof dice) {
        id_random(g->random, sizeof g->random);
        g->n_random = sizeof g->random;
    }
    g->n_random -= (uint32_t)sizeof dice;
    memcpy(&dice, g->random + g->n_random, sizeof dice);
    return dice;
}

static uint32_t first_count(const struct dice *dice)
{
    uint32_t start;
    memcpy(&start, dice->start, sizeof start);
    return start & COUNTER_START_MASK;
}

struct id id_v7(struct id_generator *g, uint64_t unix_ms)
{
    struct dice r = roll(g);
    unix_ms &= UNIX_MS_MASK;
    if (unix_ms > g->last_ms) {
        g->last_ms = unix_ms;
        g->counter = first_count(&r);
    } else if (g->counter == UINT32_MAX) {
        g->last_ms++;
        g->counter = first_count(&r);
    } else {
        g->counter++;
    }
    struct id id;
    for (int i = 0; i < 6; i++) {
        id.bytes[i] = (uint8_t)(g->last_ms >> (40 - 8 * i));
    }
    id.bytes[6] = (uint8_t)(g->counter >> 28);
    id.bytes[7] = (uint8_t)(g->counter >> 20);
    id.bytes[8] = (uint8_t)(g->counter >> 14 & 0x3f);
    id.bytes[9] = (uint8_t)(g->counter >> 6);
    id.bytes[10] = (uint8_t)((g->counter & 0x3f) << 2 | (r.tail[0] & 0x03));
    memcpy(id.bytes + 11, r.tail + 1, 5);
    set_version(&id, 7);
    return id;
}

struct id id_v5(struct id space, const void *name, size_t name_len)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    if (!ctx || EVP_DigestInit_ex(ctx, EVP_sha1(), NULL) != 1 ||
        EVP_DigestUpdate(ctx, space.bytes, sizeof space.bytes) != 1 ||
        EVP_DigestUpdate(ctx, name, name_len) != 1 || EVP_DigestFinal_ex(ctx, digest, NULL) != 1) {
        /* Out of memory, or a libcrypto without SHA-1: another id than the derived one would store
         * a message twice. */
        fputs("stompgate: SHA-1 is not available\n", stderr);
        abort();
    }
    EVP_MD_CTX_free(ctx);
    struct id id;
    memcpy(id.bytes, digest, sizeof id.bytes);
    set_version(&id, 5);
    return id;
}

static bool is_hyphen_at(size_t i)
{
    return i == 8 || i == 13 || i == 18 || i == 23;
}

void id_text(struct id id, char text[ID_TEXT_LEN + 1])
{
    static const char hex[] = "0123456789abcdef";
    char *at = text;
    for (size_t i = 0; i < sizeof id.bytes; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10) {
            *at++ = '-';
        }
        *at++ = hex[id.bytes[i] >> 4];
        *at++ = hex[id.bytes[i] & 0x0f];
    }
    *at = '\0';
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    if (c >= 'a' && c <= 'f') {
        return c - 'a' + 10;
    }
    if (c >= 'A' && c <= 'F') {
        return c - 'A' + 10;
    }
    return -1;
}

int id_parse(struct slice text, struct id *id)
{
    if (text.len != ID_TEXT_LEN) {
        return -1;
    }
    struct id parsed = {{0}};
    size_t nibble = 0;
    for (size_t i = 0; i < ID_TEXT_LEN; i++) {
        if (is_hyphen_at(i)) {
            if (text.ptr[i] != '-') {
                return -1;
            }
            continue;
        }
        int value = hex_value(text.ptr[i]);
        if (value < 0) {
            return -1;
        }
        parsed.bytes[nibble / 2] = (uint8_t)(parsed.bytes[nibble / 2] << 4 | value);
        nibble++;
    }
    *id = parsed;
    return 0;
}

bool id_is_v7(struct id id)
{
    return id.bytes[6] >> 4 == 7 && id.bytes[8] >> 6 == 2;
}

uint64_t id_unix_ms(struct id id)
{
    uint64_t ms = 0;
    for (int i = 0; i < 6; i++) {
        ms = ms << 8 | id.bytes[i];
    }
    return ms;
}
