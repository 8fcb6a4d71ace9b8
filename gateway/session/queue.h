/* What a SUBSCRIBE or SEND says about queues: from its headers to the queue that a private
 * subscription consumes, or that a SEND needs. Pure; contracts: rabbitmq-stomp 1.2 to 1.5, design
 * section 6.
 *
 * | destination | queue |
 * |---|---|
 * | /queue/N, or N without any slash | N, declared: durable, not exclusive, not auto-delete |
 * | /amq/queue/N, /reply-queue/N | N, must exist |
 * | /topic/K, /exchange/X/K | x-queue-name, else "stomp-subscription-" and 22 characters; declared
 * exclusive and auto-delete, or with durable:true durable and auto-delete; bound to the exchange |
 * | a user destination of Spring (simpOrigDestination) | N, declared exclusive and auto-delete; a
 * SEND declares nothing |
 *
 * durable (or persistent, on SUBSCRIBE alone), auto-delete and exclusive change the flags; every
 * x-… header is an argument of the queue or, if it is one of those, of the consumer.
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

/* Borrows its slices from the frame (and from the destination). session_queue_keep() makes one that
 * owns everything. */
struct session_queue {
    char name[QUEUE_NAME_MAX + 1];
    size_t name_len;
    bool must_exist; /* else it is declared */
    bool is_durable;
    bool is_exclusive;
    bool is_auto_delete;
    bool is_bound; /* to the destination's exchange and key */
    bool is_named; /* the client chose the name, or the queue outlives its session */
    size_t n_args;
    size_t n_binding_args;
    size_t n_consume_args;
    struct broker_argument args[STOMP_MAX_HEADERS];
    struct broker_argument binding_args[STOMP_MAX_HEADERS];
    struct broker_argument consume_args[STOMP_MAX_HEADERS];
};

/* Whether the SUBSCRIBE wants a queue of its own: a destination of kind queue, client acks, or a
 * header that only such a queue can honour. Else it is shared. */
bool queue_is_wanted(const struct stomp_frame *frame, const struct destination *d);

/* Fills *queue from a SUBSCRIBE for which queue_is_wanted(). `random` has QUEUE_RANDOM_LEN
 * characters, for a name that nobody knows. `may_shape`: the user may name queues, keep them and
 * give them arguments (route key `queues`); without it such headers are refused. 0, or -1 with
 * *problem. */
int queue_from_subscribe(const struct config *config, const struct stomp_frame *frame,
                         const struct destination *d, const char *random, bool may_shape,
                         struct session_queue *queue, struct session_problem *problem)
    __attribute__((warn_unused_result));

/* The same for a SEND to a destination of kind DESTINATION_QUEUE. must_exist is true where it
 * declares nothing (Spring's user destinations). `persistent` says nothing about the queue here: it
 * is the message's. */
int queue_from_send(const struct config *config, const struct stomp_frame *frame,
                    const struct destination *d, bool may_shape, struct session_queue *queue,
                    struct session_problem *problem) __attribute__((warn_unused_result));

/* The name of a durable subscription's queue, the same bytes as RabbitMQ's plugin up to 4.3
 * (contract 1.4): "durable", "test.subscription" give "stomp-subscription-tMbeqL30tjlgaXMmaFM6Ew".
 * Terminated. */
void queue_durable_name(struct slice key, struct slice id, char name[QUEUE_NAME_MAX + 1]);

/* True for queues that no client may name by any spelling: those of the storage, of the gateways,
 * and amq.… but server-named ones. */
bool queue_is_reserved(const struct config *config, struct slice name);

/* A copy in one allocation, free with free(). NULL when out of memory. */
struct session_queue *session_queue_keep(const struct session_queue *queue);
