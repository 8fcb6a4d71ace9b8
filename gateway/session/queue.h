/* What a SUBSCRIBE or SEND says about queues: from its headers to the queue that a private
 * subscription consumes, or that a SEND needs. Pure; contracts: rabbitmq-stomp 1.2 to 1.5, DESIGN
 * section 9.
 *
 * | destination | queue |
 * |---|---|
 * | /queue/N, or N without any slash | N, declared: durable, not exclusive, not auto-delete |
 * | the same on SUBSCRIBE with Spring's simpOrigDestination, N with "-user" inside | N, declared:
 *   exclusive, auto-delete; a SEND with it declares nothing |
 * | /amq/queue/N, /reply-queue/N | N, must exist: what shapes a queue is ignored |
 * | /topic/K, /exchange/X/K | bound to the exchange, and one of these: |
 * | … | "stomp-subscription-" and 22 random characters: exclusive, auto-delete |
 * | … with x-queue-name | that: durable, auto-delete, shared by all who name it. (RabbitMQ makes it
 *   transient up to 4.2 and refuses the second subscriber from 4.3 on.) |
 * | … with durable:true | x-queue-name, else "stomp-subscription-" and 22 characters made of key
 * and id: durable, auto-delete (say auto-delete:false to keep it) |
 *
 * The flags: `durable` (on SUBSCRIBE also `persistent`), then `exclusive` and `auto-delete` change
 * them one by one; durable:false also makes it exclusive and auto-delete, as RabbitMQ has it. They
 * are true or false (True, False). x-queue-type quorum or stream: durable, neither exclusive nor
 * auto-delete, and named. On SEND `exclusive:true` is refused: the queue would be the gateway's.
 *
 * Arguments of the queue, all that RabbitMQ 3.10 to 4.x knows:
 * | type | headers |
 * |---|---|
 * | integer | x-expires, x-message-ttl, x-max-length, x-max-length-bytes, x-max-in-memory-length,
 *   x-max-in-memory-bytes, x-max-priority, x-delivery-limit, x-consumer-timeout,
 *   x-consumer-disconnected-timeout, x-quorum-initial-group-size, x-quorum-target-group-size,
 *   x-initial-cluster-size, x-stream-max-segment-size-bytes, x-stream-filter-size-bytes,
 *   x-queue-version |
 * | boolean | x-single-active-consumer |
 * | text | x-queue-type, x-queue-mode, x-queue-leader-locator, x-queue-master-locator, x-overflow,
 *   x-dead-letter-exchange, x-dead-letter-routing-key, x-dead-letter-strategy |
 * | interval | x-max-age: 7D |
 * | by its look | on SUBSCRIBE, of users who may shape queues, every other x-… header but
 *   x-stompgate-…: digits, with or without a minus, are an integer; true and false a boolean;
 *   anything else is text. It asks for no queue of its own by itself, and others' are ignored: many
 *   a client sends an x-… header that means nothing to a broker. |
 *
 * Arguments of the consumer: x-priority (integer), x-stream-offset (first, last, next, offset=N,
 * timestamp=S, or an interval like 7D), x-stream-filter (a list with commas),
 * x-stream-match-unfiltered and x-cancel-on-ha-failover (boolean).
 *
 * Arguments of the binding, for exchanges of type headers, on routes of type "any" (/exchange/X):
 * x-match (all, any, all-with-x, any-with-x), and what to match: `x-bind-NAME:value` is text, as
 * the headers of every SEND are; `x-bind-integer-NAME:5` and `x-bind-boolean-NAME:true` are for
 * messages of AMQP applications.
 */
#pragma once

#include "amqp/broker.h"
#include "common/config.h"
#include "gateway/fanout/destination.h"
#include "gateway/session/session.h"
#include "stomp/stomp.h"

#define QUEUE_NAME_MAX 255
#define QUEUE_RANDOM_LEN 22 /* base64url of 16 random bytes */
#define QUEUE_SUBSCRIPTION_PREFIX "stomp-subscription-"
#define QUEUE_REPLY_PREFIX "stomp.gen-"

/* Of queue, binding and consumer each; more is refused, so that every method fits into one frame.
 */
#define QUEUE_MAX_ARGUMENTS 32
#define QUEUE_MAX_ITEMS 64            /* of a list */
#define QUEUE_MAX_ARGUMENT_BYTES 3000 /* names, texts, and 10 for each */

/* Borrows its slices from the frame; the pointers point at `room`, so it is not copied by
 * assignment: session_queue_keep() makes one that owns everything. */
struct session_queue {
    char name[QUEUE_NAME_MAX + 1];
    size_t name_len;
    bool must_exist; /* else it is declared */
    bool is_durable;
    bool is_exclusive;
    bool is_auto_delete;
    bool is_bound; /* to the destination's exchange and key */
    bool is_named; /* others can name it as well: all but random names */
    size_t n_args;
    size_t n_binding_args;
    size_t n_consume_args;
    const struct broker_argument *args;
    const struct broker_argument *binding_args;
    const struct broker_argument *consume_args;
    struct broker_argument room[STOMP_MAX_HEADERS]; /* one kept has less of it */
};

/* Whether the SUBSCRIBE wants a queue of its own: a destination of kind queue, client acks, or a
 * header that only such a queue can honour. Else it is shared. */
bool queue_is_wanted(const struct stomp_frame *frame, const struct destination *d);

/* Fills *queue from a SUBSCRIBE for which queue_is_wanted(). `random` has QUEUE_RANDOM_LEN
 * characters, for a name that nobody knows. `may_shape`: acl_may_shape(); without it headers that
 * name, keep or shape the queue are refused, where they ask for other than what it would be anyway.
 * 0, or -1 with *problem. */
int queue_from_subscribe(const struct config *config, const struct stomp_frame *frame,
                         const struct destination *d, const char *random, bool may_shape,
                         struct session_queue *queue, struct session_problem *problem)
    __attribute__((warn_unused_result));

/* The same for a SEND to a destination of kind DESTINATION_QUEUE. must_exist is true where it
 * declares nothing (Spring's user destinations). `persistent` says nothing about the queue here: it
 * is the message's. Only arguments that RabbitMQ knows count: any other x-… header is the
 * message's alone, and those are its headers too. */
int queue_from_send(const struct config *config, const struct stomp_frame *frame,
                    const struct destination *d, bool may_shape, struct session_queue *queue,
                    struct session_problem *problem) __attribute__((warn_unused_result));

/* The queue behind a /temp-queue/: "stomp.gen-" and `random`, exclusive, auto-delete. */
void queue_for_reply(const char *random, struct session_queue *queue);

/* The frame bears Spring's mark of a user destination (stomp.spring_user). */
bool queue_is_spring_user(const struct config *config, const struct stomp_frame *frame,
                          const struct destination *d);

/* The name of a durable subscription's queue, the same bytes as RabbitMQ's plugin up to 4.3
 * (contract 1.4): "durable", "test.subscription" give "stomp-subscription-tMbeqL30tjlgaXMmaFM6Ew".
 * Terminated. -1: out of memory, or libcrypto has no MD5. */
int queue_durable_name(struct slice key, struct slice id, char name[QUEUE_NAME_MAX + 1])
    __attribute__((warn_unused_result));

/* True for queues that no client may name in a header: destination_is_own_queue(), and what a
 * server made. */
bool queue_is_reserved(const struct config *config, struct slice name);

/* A copy in one allocation, free with free(). NULL when out of memory. */
struct session_queue *session_queue_keep(const struct session_queue *queue);
