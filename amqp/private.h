/* Private channels: a channel of one session on a broker connection that many sessions share.
 *
 * Requests are sent in the order of the calls, without waiting for one another, and answered in
 * that order. (One exception: a cancel whose consumer has not begun yet waits for that, and with it
 * the requests behind it.) A request that fails closes its channel (AMQP 0-9-1, 1.5 "Channel") and
 * no other: that is what the channel is for.
 * Nothing on it is kept: when it closes, or the connection goes, its consumers are gone, the broker
 * puts what was not acknowledged back, and the owner hears `closed` and opens another when
 * broker_state() is BROKER_UP again.
 *
 * A broker object made with broker_options.is_private has no other channels, so it is BROKER_UP as
 * soon as the connection stands. Belongs to the loop thread of its broker. Callbacks run from the
 * loop, never from inside a call to private_*; inside a callback any private_* function may be
 * called, private_close() of the same channel too. Strings and arguments are copied.
 */
#pragma once

#include "amqp/broker.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct private_channel;

struct private_events {
    /* The answer to one request, in the order of the requests. Always ok: what fails closes the
     * channel, and then neither it nor the requests behind it are answered. Of a declare it says
     * the queue's messages and consumers, of a delete the messages that were in it. */
    void (*answered)(void *owner, uint64_t cookie, const struct broker_reply *reply);

    /* For the consumer that was started with this cookie; it may come before the answer to that. To
     * be settled with private_ack() or private_nack(). */
    void (*delivery)(void *owner, uint64_t consumer, const struct broker_delivery *delivery);

    /* The broker ended this consumer (basic.cancel): its queue is gone. The channel stands. Not
     * told of one for which private_cancel() was called. */
    void (*cancelled)(void *owner, uint64_t consumer);

    /* The channel is gone, and everything on it; `ch` is freed after this. code 0: the connection
     * was lost, or the broker object is being stopped. Else the broker closed the channel over
     * `cookie`, the request to blame (0: none, or it cannot be told), and these are its words,
     * borrowed. Requests that were sent before that one were handled. */
    void (*closed)(void *owner, uint64_t cookie, uint16_t code, const char *text);
};

/* NULL when the broker is not BROKER_UP, has no free channel number, or out of memory. Borrows
 * events and owner until it is closed. */
struct private_channel *private_open(struct broker *b, const struct private_events *events,
                                     void *owner);

/* Closes it at the broker, which puts back what was not acknowledged; what was acknowledged before
 * counts. No callback runs after this, and `ch` must not be used any more. Its number is free when
 * the broker has answered. NULL does nothing, nor does a channel inside its own `closed`. */
void private_close(struct private_channel *ch);

/* How many more channels could be opened on this connection now; 0 when it is not BROKER_UP. */
size_t private_room(const struct broker *b);

/* Of the channel; unique among all channels of this process. It comes with each delivery. */
uint32_t private_epoch(const struct private_channel *ch);

/* Each takes part in the order, and is answered by events.answered with its cookie (never 0). -1:
 * out of memory, a string over 255 bytes, no name of a queue, or arguments over the bounds of
 * broker_declare_queue(); nothing was sent then. */
int private_declare(struct private_channel *ch, const struct broker_declare *queue, uint64_t cookie)
    __attribute__((warn_unused_result));
int private_bind(struct private_channel *ch, struct slice queue, struct slice exchange,
                 struct slice key, const struct broker_argument *args, size_t n_args,
                 uint64_t cookie) __attribute__((warn_unused_result));
int private_delete_queue(struct private_channel *ch, struct slice queue, uint64_t cookie)
    __attribute__((warn_unused_result));

/* Always with acks: without them RabbitMQ would keep nothing back from a client that does not read,
 * and over a stream it closes the connection (540). */
struct private_consume {
    struct slice queue;
    /* 1 to 255 bytes, seen in the management UI. Unique on the channel (-1 otherwise) until the
     * cancel of its consumer is answered, or events.cancelled told its end. */
    const char *tag;
    bool is_exclusive;
    uint16_t prefetch; /* of this consumer; 0: no bound. Sent as basic.qos in front (RabbitMQ: per
                          consumer) */
    const struct broker_argument *args;
    size_t n_args;
};

int private_consume(struct private_channel *ch, const struct private_consume *consume,
                    uint64_t cookie) __attribute__((warn_unused_result));

/* The consumer that was started with this cookie; answered as well when there is none any more.
 * Deliveries that were on their way may still come until it is answered. What they delivered can be
 * settled after that as well. */
int private_cancel(struct private_channel *ch, uint64_t consumer, uint64_t cookie)
    __attribute__((warn_unused_result));

/* Asks the broker something harmless: its answer says that everything before it was handled, acks
 * included: the broker has given them on to their queues, and they count whatever happens to this
 * connection. */
int private_sync(struct private_channel *ch, uint64_t cookie) __attribute__((warn_unused_result));

/* The tag must be one of this channel's, not settled before. */
void private_ack(struct private_channel *ch, uint64_t tag, bool is_multiple);
void private_nack(struct private_channel *ch, uint64_t tag, bool is_multiple, bool requeue);
