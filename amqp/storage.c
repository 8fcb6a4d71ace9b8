#include "amqp/storage.h"

#include <stddef.h>

static int keep(struct broker *b, const char *name, const char *dead_queue, int64_t max_bytes,
                broker_done_fn done, uint64_t cookie)
{
    const struct broker_queue queue = {
        .name = name,
        .is_durable = true,
        .max_bytes = max_bytes,
        .overflow = "reject-publish",
        .dead_letter_queue = dead_queue,
    };
    return broker_keep_queue(b, &queue, done, cookie);
}

int broker_keep_storage_queue(struct broker *b, const char *name, const char *dead_queue,
                              int64_t max_bytes, broker_done_fn done, uint64_t cookie)
{
    /* The dead queue first: a letter to a queue that does not stand is lost. */
    if (broker_keep_dead_queue(b, dead_queue, max_bytes, done, cookie) < 0) {
        return -1;
    }
    return keep(b, name, dead_queue, max_bytes, done, cookie);
}

int broker_keep_dead_queue(struct broker *b, const char *name, int64_t max_bytes,
                           broker_done_fn done, uint64_t cookie)
{
    return keep(b, name, NULL, max_bytes, done, cookie);
}
