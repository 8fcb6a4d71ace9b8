/* What libwebsockets allocates. For each WebSocket it keeps a buffer as large as one read, and uses
 * it for the payloads of control frames alone: nearly half of what a silent connection would hold.
 * These stand apart (sparse.h); everything else comes from the heap. */
#include "gateway/transport/transport_internal.h"

#include "gateway/transport/sparse.h"

#include <libwebsockets.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#define SLACK_BYTES 64      /* that libwebsockets adds to what it was told */
#define BLOCKS_MAX 1048576u /* 2 GiB of addresses */

static struct sparse *rx_blocks; /* of all contexts; NULL: all from the heap */
static size_t rx_bytes;

/* Of whatever it is that grows or shrinks, no more than a block needs to be kept. */
static void *move(void *block, size_t size)
{
    void *moved = malloc(size);
    if (moved) {
        memcpy(moved, block, size < rx_bytes ? size : rx_bytes);
        sparse_give(rx_blocks, block);
    }
    return moved;
}

/* libwebsockets says what it is for. Another name in another version, and it comes from the heap.
 */
static void *allocate(void *ptr, size_t size, const char *reason)
{
    bool is_block = ptr && rx_blocks && sparse_owns(rx_blocks, ptr);
    if (size == 0) {
        if (is_block) {
            sparse_give(rx_blocks, ptr);
        } else {
            free(ptr);
        }
        return NULL;
    }
    if (is_block) {
        return move(ptr, size);
    }
    void *block = NULL;
    if (!ptr && rx_blocks && size <= rx_bytes && strcmp(reason, "rx_ubuf") == 0) {
        block = sparse_take(rx_blocks);
    }
    return block ? block : realloc(ptr, size);
}

void memory_init(size_t rx_buffer_bytes)
{
    struct rlimit limit;
    if (rx_blocks) {
        return;
    }
    size_t n = BLOCKS_MAX;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < n && limit.rlim_cur > 0) {
        n = (size_t)limit.rlim_cur; /* a WebSocket has a descriptor */
    }
    rx_bytes = rx_buffer_bytes + SLACK_BYTES;
    rx_blocks = sparse_new(rx_bytes, n);
    lws_set_allocator(allocate);
}
