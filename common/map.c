#include "common/map.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

/* Linear probing; the table's size is a power of two, at most three quarters full. An entry whose
 * value is NULL is free. Taking an entry moves later ones back, so there are no tombstones. */
#define MAP_MIN_CAP 2

static uint64_t seed[2];
static pthread_once_t seed_once = PTHREAD_ONCE_INIT;

static void make_seed(void)
{
    ssize_t n;
    do {
        n = getrandom(seed, sizeof seed, 0);
    } while (n < 0 && errno == EINTR);
    if (n != (ssize_t)sizeof seed) {
        abort();
    }
}

static inline uint64_t rotate(uint64_t x, unsigned bits)
{
    return x << bits | x >> (64 - bits);
}

static inline void sip_round(uint64_t v[4])
{
    v[0] += v[1];
    v[2] += v[3];
    v[1] = rotate(v[1], 13) ^ v[0];
    v[3] = rotate(v[3], 16) ^ v[2];
    v[0] = rotate(v[0], 32);
    v[2] += v[1];
    v[0] += v[3];
    v[1] = rotate(v[1], 17) ^ v[2];
    v[3] = rotate(v[3], 21) ^ v[0];
    v[2] = rotate(v[2], 32);
}

/* SipHash-1-3: keys come from clients, who must not be able to make them collide. */
static uint32_t hash_of(const void *key, size_t len)
{
    uint64_t v[4] = {seed[0] ^ 0x736f6d6570736575, seed[1] ^ 0x646f72616e646f6d,
                     seed[0] ^ 0x6c7967656e657261, seed[1] ^ 0x7465646279746573};
    const uint8_t *p = key;
    size_t left = len;
    for (; left >= 8; left -= 8, p += 8) {
        uint64_t word;
        memcpy(&word, p, 8);
        v[3] ^= word;
        sip_round(v);
        v[0] ^= word;
    }
    uint64_t last = (uint64_t)len << 56;
    for (size_t i = 0; i < left; i++) {
        last |= (uint64_t)p[i] << 8 * i;
    }
    v[3] ^= last;
    sip_round(v);
    v[0] ^= last;
    v[2] ^= 0xff;
    for (int i = 0; i < 3; i++) {
        sip_round(v);
    }
    uint64_t h = v[0] ^ v[1] ^ v[2] ^ v[3];
    return (uint32_t)(h ^ h >> 32);
}

void map_init(struct map *m)
{
    *m = (struct map){0};
}

void map_fini(struct map *m)
{
    free(m->entries);
    map_init(m);
}

/* The entry of the key, or the free entry where it would go. The table has at least one free entry.
 */
static struct map_entry *probe(const struct map *m, const void *key, size_t len, uint32_t hash)
{
    for (size_t i = hash & (m->cap - 1);; i = (i + 1) & (m->cap - 1)) {
        struct map_entry *e = &m->entries[i];
        if (!e->value) {
            return e;
        }
        if (e->hash == hash && e->key_len == len && (len == 0 || memcmp(e->key, key, len) == 0)) {
            return e;
        }
    }
}

static int resize(struct map *m, size_t cap)
{
    struct map bigger = {.entries = calloc(cap, sizeof *bigger.entries), .n = m->n, .cap = cap};
    if (!bigger.entries) {
        return -1;
    }
    for (size_t i = 0; i < m->cap; i++) {
        const struct map_entry *e = &m->entries[i];
        if (e->value) {
            *probe(&bigger, e->key, e->key_len, e->hash) = *e;
        }
    }
    free(m->entries);
    *m = bigger;
    return 0;
}

void *map_get(const struct map *m, const void *key, size_t key_len)
{
    if (m->n == 0) {
        return NULL;
    }
    return probe(m, key, key_len, hash_of(key, key_len))->value;
}

int map_put(struct map *m, const void *key, size_t key_len, void *value)
{
    assert(value && key_len <= UINT32_MAX);
    pthread_once(&seed_once, make_seed);
    uint32_t hash = hash_of(key, key_len);
    if (m->cap == 0 && resize(m, MAP_MIN_CAP) != 0) {
        return -1;
    }
    struct map_entry *e = probe(m, key, key_len, hash);
    if (!e->value) {
        if ((m->n + 1) * 4 > m->cap * 3) {
            if (resize(m, m->cap * 2) != 0) {
                return -1;
            }
            e = probe(m, key, key_len, hash);
        }
        m->n++;
    }
    *e = (struct map_entry){.key = key, .value = value, .key_len = (uint32_t)key_len, .hash = hash};
    return 0;
}

/* Frees an entry, and moves those behind it back that would not be found any more with a gap before
 * them. */
static void close_gap(struct map *m, size_t gap)
{
    size_t mask = m->cap - 1;
    for (size_t i = (gap + 1) & mask; m->entries[i].value; i = (i + 1) & mask) {
        size_t home = m->entries[i].hash & mask;
        if (((i - home) & mask) >= ((i - gap) & mask)) {
            m->entries[gap] = m->entries[i];
            gap = i;
        }
    }
    m->entries[gap] = (struct map_entry){0};
}

void *map_take(struct map *m, const void *key, size_t key_len)
{
    if (m->n == 0) {
        return NULL;
    }
    struct map_entry *e = probe(m, key, key_len, hash_of(key, key_len));
    void *value = e->value;
    if (!value) {
        return NULL;
    }
    close_gap(m, (size_t)(e - m->entries));
    m->n--;
    if (m->cap > MAP_MIN_CAP && m->n < m->cap / 8) {
        /* Without memory for a smaller table the big one does as well. */
        int shrunk = resize(m, m->cap / 2);
        (void)shrunk;
    }
    return value;
}

bool map_next(const struct map *m, size_t *cursor, struct map_entry *entry)
{
    while (*cursor < m->cap) {
        const struct map_entry *e = &m->entries[(*cursor)++];
        if (e->value) {
            *entry = *e;
            return true;
        }
    }
    return false;
}
