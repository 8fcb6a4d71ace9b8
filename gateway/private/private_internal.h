/* Shared by the files of gateway/private/. The face is gateway/private.h.
 *
 *     private.c               the face: life, and what is asked of sessions
 *     private_pool.c          AMQP connections, opened and closed on demand
 *     private_session.c       the channel of a session: opened, lost, opened again
 *     private_subscription.c  one consumer: declare, bind, consume; its end
 *     private_loss.c          what becomes of it when something goes
 *     private_flow.c          a client that has no room
 *     private_queue.c         what a subscription consumes, copied; who owns an exclusive name
 *     private_stream.c        where a stream is to be read on after a loss
 *
 * A request to the broker carries a cookie: the subscription's id, the generation of its consumer,
 * and what was asked.
 */
#pragma once

#include "amqp/private.h"
#include "common/list.h"
#include "common/map.h"
#include "gateway/private.h"

#define PRIVATE_RETRY_MS 1000
#define PRIVATE_IDLE_MS 30000
#define PRIVATE_MAX_TRIES 3 /* of connections or channels that were lost over one subscription */

struct private_connection;
struct private_session;
struct private_subscription;

struct private_side {
    struct private_options options;
    struct private_connection *connections; /* broker.private_connections of them */
    size_t n_connections;
    struct map sessions;      /* client → private_session */
    struct map subscriptions; /* id → private_subscription */
    struct map names;         /* queue → private_name */
    struct list exchanges;    /* subscriptions that wait for their exchange */
    uint64_t last_id;
    struct wheel_timer retry; /* sessions that got no channel */
    struct wheel_timer end;
    struct private_stats stats;
    void (*stopped)(void *reactor); /* not NULL: it is being stopped */
};

/* ---- private_pool.c ---- */

struct private_connection {
    struct private_side *side;
    int number;
    struct broker *broker; /* NULL: not opened */
    bool is_stopping;
    bool is_stopped; /* the broker object can be freed */
    size_t n_sessions;
    struct list sessions;
    struct wheel_timer idle;
};

/* The least loaded one that has room for one more session, opened if need be; NULL: all are full,
 * or out of memory. */
struct private_connection *private_pool_pick(struct private_side *p);
void private_pool_enter(struct private_connection *c, struct private_session *s);
void private_pool_leave(struct private_session *s);
bool private_pool_is_up(const struct private_connection *c);
void private_pool_stop(struct private_side *p);
bool private_pool_is_stopped(const struct private_side *p);
void private_pool_free(struct private_side *p);

/* ---- private_session.c ---- */

struct private_session {
    struct private_side *side;
    uint64_t client;
    struct private_connection *connection;
    struct private_channel *channel; /* NULL: not open now */
    uint32_t epoch;                  /* of the channel */
    bool was_open;
    bool is_held;    /* the client has no room */
    bool is_leaving; /* the client has gone; queues are still being deleted */
    int n_inside;    /* callbacks to the host that are running: not to be freed */
    struct list node;
    struct list subscriptions;
    uint64_t *syncs; /* tokens, oldest first */
    size_t n_syncs;
    size_t cap_syncs;
    char name[];
};

struct private_session *private_session_for(struct private_side *p, uint64_t client,
                                            const char *name, struct session_problem *problem);

/* Opens the channel if the connection stands, and asks for everything that waits. */
void private_session_open(struct private_session *s);

/* Closes and frees it if it is leaving and owes nothing any more. */
void private_session_tidy(struct private_session *s);
void private_session_free(struct private_session *s);
int private_session_sync(struct private_session *s, uint64_t token)
    __attribute__((warn_unused_result));

/* ---- private_queue.c ---- */

/* RabbitMQ tells nobody what kind a queue is that he did not declare. */
enum private_kind {
    PRIVATE_EITHER, /* had to exist */
    PRIVATE_QUEUE,
    PRIVATE_STREAM /* declared so, or consumed with an offset, which no other takes */
};

/* What a subscription consumes: what of a session_queue is needed, in one allocation. */
struct private_queue {
    bool must_exist;
    bool is_durable;
    bool is_exclusive;
    bool is_auto_delete;
    enum private_kind kind;
    struct slice name;
    struct slice exchange; /* bound to; ptr NULL: not bound */
    struct slice key;
    size_t n_args;
    size_t n_binding_args;
    size_t n_consume_args;
    struct broker_argument *args;
    struct broker_argument *binding_args;
    struct broker_argument *consume_args; /* with room for one more: the offset in a stream */
};

/* NULL when out of memory; free with free(). */
struct private_queue *private_queue_copy(const struct session_queue *queue,
                                         const struct destination *d);

/* Subscriptions of all sessions to one queue. */
struct private_name {
    struct list subscriptions;
    struct private_session *owner; /* an exclusive queue's */
    size_t len;
    char text[];
};

/* Enters the subscription under the name of its queue. -1: out of memory. */
int private_name_enter(struct private_subscription *sub) __attribute__((warn_unused_result));

/* Others that waited for the name go on. */
void private_name_leave(struct private_subscription *sub);

enum private_lock {
    PRIVATE_FREE,
    PRIVATE_BUSY,  /* an owner who is leaving: soon free */
    PRIVATE_LOCKED /* another session's */
};

enum private_lock private_name_lock(const struct private_subscription *sub);

/* ---- private_subscription.c ---- */

enum private_state {
    PRIVATE_WAITING, /* for a channel, an exchange or a name, or until its timer */
    PRIVATE_ASKED,   /* declare, bind, consume are on their way */
    PRIVATE_STANDS,
    PRIVATE_ENDING /* its session knows it no more; what is owed to the broker is on its way */
};

enum private_flow {
    PRIVATE_FLOWING,
    PRIVATE_ANCHORING, /* a second consumer is being started, see private_flow.c */
    PRIVATE_CLOSING,   /* the consumer is being cancelled */
    PRIVATE_CLOSED     /* until the client has room */
};

enum private_request {
    PRIVATE_DECLARE = 1,
    PRIVATE_BIND,
    PRIVATE_BIND_AGAIN, /* of a subscription that stands */
    PRIVATE_CONSUME,
    PRIVATE_ANCHOR, /* consume */
    PRIVATE_CANCEL,
    PRIVATE_CANCEL_ANCHOR,
    PRIVATE_DELETE,
    PRIVATE_SYNC /* of the session */
};

struct private_subscription {
    uint64_t id;
    struct private_session *session;
    uint32_t handle;
    enum private_state state;
    enum private_flow flow;
    uint8_t generation;
    bool has_stood;         /* host.subscribed was told so */
    bool has_gap;           /* the next delivery says so */
    bool is_declared;       /* the queue may be there because of us */
    bool owes_delete;       /* ending */
    bool owes_touch;        /* ending: a consumer that comes and goes makes auto-delete happen */
    bool has_exchange;      /* it was made sure of */
    bool has_lost_exchange; /* it was found gone */
    int n_tries;
    size_t n_asked; /* answers that are still to come */
    uint64_t consumer;
    uint64_t anchor;
    uint16_t prefetch;
    uint16_t window;      /* what of it is asked for */
    size_t n_given;       /* by this consumer, to the host */
    size_t last_bytes;    /* of the last of them */
    bool has_refused;     /* what comes goes back: something in front of it did */
    uint64_t anchor_tag;  /* of its message, to put back; 0: it has none */
    bool is_anchor_first; /* what the anchor gets now stands in front of all others */
    uint64_t *held;       /* tags of the others to put back */
    size_t n_held;
    size_t cap_held;
    struct private_queue *queue;
    struct destination *destination; /* where bound */
    struct private_stream *stream;   /* NULL: not a stream, as far as we know */
    struct private_name *name;
    struct wheel_timer timer; /* waiting: gives up, or tries again; standing: binds again */
    uint64_t give_up_ms;
    uint64_t retry_ms;     /* not asked for before */
    struct list node;      /* in session->subscriptions */
    struct list by_name;   /* in name->subscriptions */
    struct list exchanges; /* in side->exchanges */
    char tag[240];
};

struct private_subscription *private_subscription_new(struct private_session *s,
                                                      const struct session_subscription *from,
                                                      const struct destination *d);
void private_subscription_free(struct private_subscription *sub);
struct private_subscription *private_subscription_get(const struct private_side *p,
                                                      uint64_t cookie);
static inline enum private_request private_request_of(uint64_t cookie)
{
    return (enum private_request)(cookie & 0xff);
}

/* Asks for all that is needed, if there is a channel and nothing to wait for. False: refused, with
 * *problem; nothing was told to the host. */
bool private_subscription_start(struct private_subscription *sub, struct session_problem *problem);

/* The same for one that may call the host. */
void private_subscription_go(struct private_subscription *sub);

/* The same for one that may not: a refusal is found again, and told, by the timer. */
void private_subscription_go_quietly(struct private_subscription *sub);
void private_subscription_answered(struct private_subscription *sub, enum private_request request);
void private_subscription_delivery(struct private_subscription *sub, uint64_t consumer,
                                   const struct broker_delivery *delivery);

/* Binds again where somebody unbound. */
void private_subscription_bind_again(struct private_subscription *sub);

uint64_t private_subscription_cookie(const struct private_subscription *sub,
                                     enum private_request request);

/* Starts a consumer, or the anchor. */
int private_subscription_consume(struct private_subscription *sub, enum private_request request,
                                 uint16_t prefetch) __attribute__((warn_unused_result));

/* A request was sent, and its answer is to come; or it was not, and *failed becomes -1. */
void private_subscription_count(struct private_subscription *sub, int *failed, int result);

/* ---- private_loss.c ---- */

/* The broker ended its consumer: the queue has gone. May call the host, may free it. */
void private_subscription_cancelled(struct private_subscription *sub, uint64_t consumer);
/* The channel has gone. `is_connection`: the connection as well. May free it. */
void private_subscription_lost(struct private_subscription *sub, bool is_connection);

/* The broker closed the channel over this. May call the host, may free it. */
void private_subscription_blame(struct private_subscription *sub, enum private_request request,
                                uint16_t code, const char *text);

/* The session forgets it; the broker is told what it has to know. May free it. */
void private_subscription_end(struct private_subscription *sub, bool deletes_queue);

/* Tells the host that it will not stand, or no longer does, and ends it. */
void private_subscription_fail(struct private_subscription *sub,
                               const struct session_problem *problem);

/* The exchange has gone: it is looked for, or declared, before it is bound to again. */
void private_subscription_exchange_gone(struct private_subscription *sub);

/* Ending: tells the broker what is owed to it. May free it. */
void private_subscription_pay(struct private_subscription *sub);

/* ---- private_flow.c ---- */

/* Something that came before was, or is to be, put back: what comes now must not overtake it. */
bool private_flow_holds(const struct private_subscription *sub, uint64_t consumer);

/* Puts it back, and stops the consumer. */
void private_flow_hold(struct private_subscription *sub, uint64_t consumer,
                       const struct broker_delivery *delivery);
void private_flow_answered(struct private_subscription *sub, enum private_request request);

/* Starts it again, or with a wider window. */
void private_flow_resume(struct private_subscription *sub);

/* Everything that is held goes back to its queue now. */
void private_flow_put_back(struct private_subscription *sub);

/* ---- private_stream.c ---- */

struct private_stream;

/* Remembers it until it is settled, when it comes from a stream. */
void private_stream_take(struct private_subscription *sub, const struct broker_delivery *delivery);

/* It says that it is from a stream, and nothing else does: a message that somebody took from a
 * stream and sent to a queue looks the same. */
bool private_stream_is_unsure(const struct private_subscription *sub,
                              const struct broker_delivery *delivery);

/* False: it does not come from a stream. True: the next consumer will get it, if it is the first
 * that was refused, and what came behind it; nothing is to be put back. */
bool private_stream_refuse(struct private_subscription *sub,
                           const struct broker_delivery *delivery);

/* The subscription of this tag, if it came from a stream, or may have; else NULL. */
const struct private_subscription *private_stream_settled(struct private_session *s,
                                                          const struct session_settle *settle);

/* Where to read on, after a loss and after a refusal: changes the arguments of the consumer. */
void private_stream_rewind(struct private_subscription *sub);
void private_stream_resume(struct private_subscription *sub);

/* Its consumer stands: what may be a stream is one, if an offset was given. */
void private_stream_stands(struct private_subscription *sub);

/* Its consumer was refused: true when that may be because of the offset. It is none, then, and is
 * consumed without. */
bool private_stream_is_none(struct private_subscription *sub);
void private_stream_free(struct private_stream *stream);
