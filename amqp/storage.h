/* The two queues through which gateway and storage worker meet. Both declare them with the very
 * same arguments, for which this is the one place: RabbitMQ refuses (406) a declaration that
 * differs from the queue that stands.
 */
#pragma once

#include "amqp/broker.h"

#include <stdint.h>

/* Durable; over max_bytes it refuses what is published (reject-publish), so that a full storage
 * becomes a nack and an ERROR at the client instead of a loss. What the worker cannot even decode,
 * and what expires before it is stored, the broker itself puts into the dead queue, which is kept
 * as well: confirmed is never lost. (What reject-publish refuses is not a dead letter: only
 * reject-publish-dlx would make it one.) `done` runs for either queue; -1 as with
 * broker_keep_queue(). */
int broker_keep_storage_queue(struct broker *b, const char *name, const char *dead_queue,
                              int64_t max_bytes, broker_done_fn done, uint64_t cookie)
    __attribute__((warn_unused_result));

/* Durable, same bound, same answer, no dead letters of its own: while it is full, dead letters wait
 * in the storage queue and the worker's log says so. Nothing is ever dropped from it but by a
 * person. */
int broker_keep_dead_queue(struct broker *b, const char *name, int64_t max_bytes,
                           broker_done_fn done, uint64_t cookie)
    __attribute__((warn_unused_result));
