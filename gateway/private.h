/* The private side of a reactor: subscriptions that have a queue or a consumer of their own, each
 * on a channel of its session. DESIGN section 9.
 *
 * A session gets one private channel with its first private subscription. Channels are spread over
 * AMQP connections "stompgate <reactor> private <n>", opened on demand, so that a backlog here
 * never stands in front of live deliveries or publishes. When a connection is lost, its sessions'
 * subscriptions are put back when it stands again; what was not acknowledged is delivered again.
 *
 * All consumers acknowledge: a message stays with the broker until private_side_settle().
 *
 * A client that has no room: its consumers are cancelled at the broker and what is on its way goes
 * back to its queues at once, for others to have; private_side_resume() starts them again, with a
 * prefetch that fits, and messages come in the queue's order. It grows again to what was asked for:
 * a client may acknowledge only when it has so many.
 *
 * Exclusive queues: sessions share AMQP connections, so to the broker they are one owner. That a
 * queue is locked for other sessions, and is deleted when its session leaves, is seen to here.
 *
 * Belongs to one loop thread. Callbacks run from the loop, never from inside a call to
 * private_side_* but private_side_room(); they find the client by its id. Inside a callback every
 * private_side_* function may be called.
 */
#pragma once

#include "amqp/broker.h"
#include "common/config.h"
#include "common/wheel.h"
#include "gateway/session/queue.h"
#include "gateway/session/session.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct private_side;
struct publish;
struct uv_loop_s;

struct private_host {
    /* The answer to private_side_subscribe(): problem NULL when it stands. A problem with a
     * broker's code means that the session's channel was closed over it: all its other
     * subscriptions are being restored. */
    void (*subscribed)(void *reactor, uint64_t client, uint32_t handle,
                       const struct session_problem *problem);

    /* `gap`: messages for this subscription may have been lost before this one. False: the client
     * has no room. Then it goes back to its queue, with all that follow for this client, until
     * private_side_resume(); a stream is read again from there. `must_take`: it may be from a
     * stream or not, so it can neither go back nor be read again. */
    bool (*delivery)(void *reactor, uint64_t client, uint32_t handle,
                     const struct broker_delivery *delivery, bool gap, bool must_take);

    /* How many of its deliveries are not settled. Asked inside private_side_resume() as well. */
    size_t (*unacked)(void *reactor, uint64_t client, uint32_t handle);

    /* A subscription that stood has ended: its queue is gone and is not ours to declare again. */
    void (*lost)(void *reactor, uint64_t client, uint32_t handle,
                 const struct session_problem *problem);

    /* Deliveries of epochs other than this will be delivered again: they cannot be settled any
     * more. */
    void (*restored)(void *reactor, uint64_t client, uint32_t epoch);

    /* The broker closed the session's channel: its words. */
    void (*failed)(void *reactor, uint64_t client, const struct session_problem *problem);

    /* The answer to private_side_sync(). */
    void (*synced)(void *reactor, uint64_t client, uint64_t token, bool is_ok);
};

struct private_options {
    struct uv_loop_s *loop;
    const struct config *config;
    struct wheel *wheel;
    const uint64_t *now_ms;
    const char *name;        /* of the reactor: "chat-1.0" */
    struct publish *publish; /* makes sure of the exchanges that are bound to */
    const struct private_host *host;
    void *reactor;
};

struct private_stats {
    uint64_t delivered;
    uint64_t acked;
    uint64_t requeued; /* nacked with requeue, by clients */
    uint64_t held;     /* deliveries put back because their client's queue was full */
    uint64_t restored; /* subscriptions put back after a lost connection or a deleted queue */
    uint64_t channel_errors;
    size_t connections;
    size_t channels;
    size_t consumers;
};

/* NULL when out of memory. Everything in the options is borrowed. Connections are opened on demand,
 * so there is nothing to start. */
struct private_side *private_side_new(const struct private_options *options);
void private_side_stop(struct private_side *p, void (*stopped)(void *reactor));
void private_side_free(struct private_side *p);

/* subscription->queue says what to declare, bind and consume; copied. SESSION_WAIT: host.subscribed
 * comes. `session_name` stands in the consumer's tag. While the broker is away it waits, for
 * broker.grace_ms at the most. */
enum session_verdict private_side_subscribe(struct private_side *p, uint64_t client,
                                            const char *session_name,
                                            const struct session_subscription *subscription,
                                            const struct destination *destination,
                                            struct session_problem *problem);

/* Ends the consumer; what it delivered can still be settled. `deletes_queue`: deletes the queue as
 * well. Exclusive queues are deleted always. Unknown ones are ignored. */
void private_side_unsubscribe(struct private_side *p, uint64_t client, uint32_t handle,
                              bool deletes_queue);

/* The client has room again: its consumers are started again, or with a wider prefetch. True: some
 * are still narrow, so it is to be called again when more was written. */
bool private_side_resume(struct private_side *p, uint64_t client);

/* Of the session's channel in that epoch; others are ignored. */
void private_side_settle(struct private_side *p, uint64_t client,
                         const struct session_settle *settle);

/* host.synced comes when the broker has handled everything before. False: there is no channel. */
bool private_side_sync(struct private_side *p, uint64_t client, uint64_t token);

/* The session has ended: closes its channel, deletes its exclusive queues. */
void private_side_leave(struct private_side *p, uint64_t client);

/* Whether a subscription of this session has declared the queue: then a SEND to it declares
 * nothing, whatever its headers say (as RabbitMQ remembers per session). */
bool private_side_has_queue(const struct private_side *p, uint64_t client, struct slice queue);

/* Exchanges that were asked for may stand now: subscriptions that wait for one go on. */
void private_side_room(struct private_side *p);

/* The broker's events say that somebody deleted an exchange, or (queue.ptr not NULL) a binding of
 * `queue` to it. What is ours among it is put back. */
void private_side_deleted(struct private_side *p, struct slice exchange, struct slice queue,
                          struct slice key);

void private_side_stats(const struct private_side *p, struct private_stats *stats);
