#include "gateway/transport/sparse.h"

#include <assert.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>

#define ALIGN_BYTES 16

/* free[0] to free[n_free - 1] were given back; blocks from n_used on were never taken. */
struct sparse {
    pthread_mutex_t mutex;
    uint8_t *blocks;
    size_t block_bytes;
    size_t n_blocks;
    size_t n_used;
    uint32_t *free;
    size_t n_free;
};

static void *reserve(size_t bytes)
{
    void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
                   -1, 0);
    if (p == MAP_FAILED) {
        return NULL;
    }
    madvise(p, bytes, MADV_NOHUGEPAGE); /* or the first touch would cost 2 MiB */
    return p;
}

struct sparse *sparse_new(size_t block_bytes, size_t n_blocks)
{
    assert(block_bytes > 0 && n_blocks > 0 && n_blocks <= UINT32_MAX);
    struct sparse *s = calloc(1, sizeof *s);
    if (!s) {
        return NULL;
    }
    pthread_mutex_init(&s->mutex, NULL);
    s->block_bytes = (block_bytes + ALIGN_BYTES - 1) / ALIGN_BYTES * ALIGN_BYTES;
    s->n_blocks = n_blocks;
    s->blocks = reserve(s->block_bytes * n_blocks);
    s->free = reserve(sizeof *s->free * n_blocks);
    if (!s->blocks || !s->free) {
        sparse_free(s);
        return NULL;
    }
    return s;
}

void *sparse_take(struct sparse *s)
{
    void *block = NULL;
    pthread_mutex_lock(&s->mutex);
    if (s->n_free > 0) {
        block = s->blocks + s->free[--s->n_free] * s->block_bytes;
    } else if (s->n_used < s->n_blocks) {
        block = s->blocks + s->n_used++ * s->block_bytes;
    }
    pthread_mutex_unlock(&s->mutex);
    return block;
}

bool sparse_owns(const struct sparse *s, const void *block)
{
    uintptr_t first = (uintptr_t)s->blocks;
    uintptr_t at = (uintptr_t)block;
    return at >= first && at < first + s->block_bytes * s->n_blocks;
}

void sparse_give(struct sparse *s, void *block)
{
    size_t off = (size_t)((uint8_t *)block - s->blocks);
    assert(sparse_owns(s, block) && off % s->block_bytes == 0);
    pthread_mutex_lock(&s->mutex);
    assert(s->n_free < s->n_used);
    s->free[s->n_free++] = (uint32_t)(off / s->block_bytes);
    pthread_mutex_unlock(&s->mutex);
}

void sparse_free(struct sparse *s)
{
    if (!s) {
        return;
    }
    if (s->blocks) {
        munmap(s->blocks, s->block_bytes * s->n_blocks);
    }
    if (s->free) {
        munmap(s->free, sizeof *s->free * s->n_blocks);
    }
    pthread_mutex_destroy(&s->mutex);
    free(s);
}
