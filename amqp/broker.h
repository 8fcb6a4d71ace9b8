/* One connection to RabbitMQ that is kept alive, and everything that is done over it. The face of
 * amqp/.
 *
 * A broker owns one AMQP 0-9-1 connection on the caller's libuv loop. It tries its hosts in turn,
 * reconnects with back-off and jitter, and puts back what it was told to keep: exchanges, queues,
 * bindings, consumers, and the publishes that nobody confirmed. It never blocks. Its channels:
 *
 *     topology   what we own: declares, binds, unbinds, deletes; pipelined
 *     scratch    what a client names is first touched here, passively; a 404 costs nobody else
 *     consume    the consumers
 *     fixed      publishes to exchanges named in the configuration, in confirm mode
 *     dynamic    publishes to exchanges named by clients, in confirm mode
 *
 * A request that fails closes its channel (AMQP 0-9-1, 1.5 "Channel"). The request at the head of
 * the channel's first-in-first-out is the culprit and gets the answer; the others are sent again on
 * the re-opened channel.
 *
 * Belongs to one loop thread; so do all callbacks. Callbacks run from the loop, never from inside a
 * call to broker_*, with one exception that is named below. Threads that run this loop need a stack
 * of 8 MiB (rabbitmq-c walks into nested tables of methods). Names and strings that are passed in
 * are copied.
 */
#pragma once

#include "common/slice.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct uv_loop_s;
struct broker;

/* ---- Life
 * ----------------------------------------------------------------------------------------------------------
 */

enum broker_state {
    BROKER_DOWN,       /* not connected; the next try is timed */
    BROKER_CONNECTING, /* resolving, TCP, AMQP handshake, opening channels */
    BROKER_RESTORING,  /* connected; what is kept is being put back */
    BROKER_UP,         /* all of it stands, publishes flow */
    BROKER_STOPPED     /* broker_stop() was called */
};

const char *broker_state_str(enum broker_state state);

struct broker_options {
    const char *const *hosts; /* "host:port" */
    size_t n_hosts;
    const char *vhost;
    const char *user;
    const char *password;
    const char *name; /* connection_name in the management UI, "stompgate chat-1 reactor 0 live" */
    int heartbeat_s;
    int reconnect_min_ms;
    int reconnect_max_ms;
    int sweep_ms;      /* everything kept is asserted again, slowly, at this interval; 0: never */
    bool is_publisher; /* opens the channels fixed and dynamic */
    size_t unconfirmed_bytes; /* publisher: bound of what is kept until confirmed */
    bool watches;             /* listens to amq.rabbitmq.event where the broker has it */
    /* For private channels alone (amqp/private.h): it opens no channel of its own, and of this face
     * only the functions of its life and broker_stats() may be called. Not with is_publisher. */
    bool is_private;
};

struct broker_settled;
struct broker_reply;

struct broker_events {
    /* The state changed. BROKER_UP comes after everything kept was restored. */
    void (*state)(void *owner, enum broker_state state);

    /* broker_publish() said BROKER_FULL before and would accept now; also after
     * connection.unblocked. */
    void (*room)(void *owner);

    /* A publish came to its end, exactly once for each that was accepted. */
    void (*settled)(void *owner, const struct broker_settled *settled);

    /* Messages for this kept queue may be missing: it did not exist between from_unix_ms and now,
     * or it overflowed. It stands again, its bindings too. Runs before the first delivery that
     * follows the gap. */
    void (*gap)(void *owner, const char *queue, uint64_t from_unix_ms);

    /* Something we keep had been deleted by somebody else and was put back: "queue", "exchange" or
     * "binding". */
    void (*restored)(void *owner, const char *kind, const char *name);

    /* A binding of this kept queue stood, and now the broker refuses it, in these words: rights
     * were taken away, or its exchange, which is not ours to declare, has gone. key.ptr NULL: the
     * queue itself is refused, or its consumer. It is tried again until it is dropped, and when it
     * stands after all that is a gap. May be NULL, and may be said more than once. */
    void (*broken)(void *owner, const char *queue, struct slice key,
                   const struct broker_reply *reply);
};

/* Borrows loop, owner and events, which must outlive the broker; copies the options. NULL when out
 * of memory. */
struct broker *broker_new(struct uv_loop_s *loop, const struct broker_options *options,
                          const struct broker_events *events, void *owner);

/* Begins to connect. */
void broker_start(struct broker *b);

/* Closes the connection politely (connection.close, at most one second) and then calls
 * stopped(owner) from the loop. Unconfirmed publishes are settled as BROKER_UNKNOWN before. May be
 * called twice; the second does nothing. */
void broker_stop(struct broker *b, void (*stopped)(void *owner));

/* Only when stopped was called, or when broker_start() never was. NULL does nothing. */
void broker_free(struct broker *b);

enum broker_state broker_state(const struct broker *b);

/* True between connection.blocked and connection.unblocked. */
bool broker_is_blocked(const struct broker *b);

struct broker_stats {
    uint64_t connects;
    uint64_t disconnects;
    uint64_t channel_errors;
    uint64_t published; /* handed to the broker, republished ones counted again */
    uint64_t republished;
    uint64_t confirmed;
    uint64_t nacked;
    uint64_t returned;
    uint64_t refused;
    uint64_t delivered;
    uint64_t undecodable; /* deliveries dropped: too large, nested too deep, malformed */
    uint64_t restored;
    uint64_t bytes_in;
    uint64_t bytes_out;
    size_t unconfirmed;
    size_t unconfirmed_bytes;
    uint64_t binds;          /* queue.bind sent for queues of the owner, without the sweep's */
    uint64_t unbinds;        /* queue.unbind, the same */
    size_t bindings;         /* kept, of all queues */
    size_t bindings_missing; /* of these, those that are still to be put at the broker */
    size_t prefixes;         /* pairs of queue and exchange that are heard by their prefix */
};

void broker_stats(const struct broker *b, struct broker_stats *stats);

/* ---- Topology
 * ------------------------------------------------------------------------------------------------------
 */

struct broker_reply {
    bool is_ok;
    uint16_t code;     /* AMQP reply code when not ok; 320 when the broker was stopped meanwhile */
    const char *text;  /* the broker's own words when not ok; borrowed */
    uint32_t messages; /* of a queue */
    uint32_t consumers;
};

/* `cookie` is what was passed with the request: the owner finds its object by it again, or finds it
 * gone. */
typedef void (*broker_done_fn)(void *owner, uint64_t cookie, const struct broker_reply *reply);

struct broker_exchange {
    const char *name;
    const char *type; /* "topic", "fanout", "direct", "headers" */
    bool is_durable;
};

/* An exclusive queue dies with its connection, but a half-open old connection may hold its name for
 * minutes. So at the broker its name has a suffix that changes with each declare,
 * "stompgate.live.chat-1.0.topic.3fa2c1"; everywhere in this face it is called by the name that is
 * given here, at most 248 bytes. */
struct broker_queue {
    const char *name;
    bool is_durable;
    bool is_exclusive;
    int64_t max_bytes;    /* x-max-length-bytes, 0: none */
    const char *overflow; /* "drop-head" or "reject-publish"; NULL: the broker's default */
    /* Where the broker puts what was rejected or expired; NULL: nowhere. Not together with
     * reports_overflow. */
    const char *dead_letter_queue;
    const char
        *prefix_key; /* a binding key that covers all others ("#"), NULL where there is none */
    size_t
        bind_max; /* with prefix_key: over so many keys the prefix is bound instead; 0: no bound */
    bool reports_overflow; /* events.gap also when it dropped messages */
};

/* All of these are kept: they hold for the life of the broker object, are put back after every
 * reconnect, and while there is no connection they wait. `done` (may be NULL) runs once, when it
 * stands for the first time or was refused. What was refused is not kept. -1 when out of memory or
 * when a name is longer than 255 bytes; `done` does not run then. Keeping what is kept already is
 * not sent again: `done` runs when it stands. What is dropped before that gets the code 320. A type
 * of exchange that the broker does not know makes it close the whole connection: it is refused all
 * the same, but everybody pays a reconnect.
 *
 * Of a queue with prefix_key the exact bindings are put back behind the prefix: the prefix first,
 * the exact keys in the background, then the prefix is taken away, so that all keys are heard again
 * after one round trip. */
int broker_keep_exchange(struct broker *b, const struct broker_exchange *exchange,
                         broker_done_fn done, uint64_t cookie) __attribute__((warn_unused_result));
int broker_keep_queue(struct broker *b, const struct broker_queue *queue, broker_done_fn done,
                      uint64_t cookie) __attribute__((warn_unused_result));
int broker_bind(struct broker *b, const char *queue, const char *exchange, struct slice key,
                broker_done_fn done, uint64_t cookie) __attribute__((warn_unused_result));

/* Forgets the binding and removes it at the broker. Unknown ones are ignored. */
void broker_unbind(struct broker *b, const char *queue, const char *exchange, struct slice key);

/* Forgets the queue with its bindings and consumer, and deletes it at the broker. */
void broker_drop_queue(struct broker *b, const char *queue);

/* Forgets the exchange; deletes it at the broker if nothing is bound to it (if-unused). */
void broker_drop_exchange(struct broker *b, const char *exchange);

/* Does it exist? Passive, on the scratch channel. Answers are remembered: an existing one until
 * something says otherwise but at most 5 s, a missing one for 1 s; from memory `done` runs INSIDE
 * this call (the one exception). -1: out of memory. */
int broker_probe_exchange(struct broker *b, const char *exchange, broker_done_fn done,
                          uint64_t cookie) __attribute__((warn_unused_result));

/* The same for a queue; never remembered, reply->messages and reply->consumers are filled. */
int broker_probe_queue(struct broker *b, const char *queue, broker_done_fn done, uint64_t cookie)
    __attribute__((warn_unused_result));

enum broker_argument_type {
    BROKER_TEXT,      /* long string */
    BROKER_INTEGER,   /* signed, 64 bits */
    BROKER_BOOLEAN,   /* number 0 or 1 */
    BROKER_TIMESTAMP, /* number: seconds since 1970 */
    BROKER_TEXTS      /* text, cut at its commas: an array of long strings */
};

/* One entry of a table of arguments. */
struct broker_argument {
    enum broker_argument_type type;
    struct slice name; /* 1 to 255 bytes */
    struct slice text;
    int64_t number;
};

/* queue.declare. A passive one asks only whether it exists; nothing but the name is sent then. */
struct broker_declare {
    struct slice name;
    bool is_passive;
    bool is_durable;
    bool is_exclusive;
    bool is_auto_delete;
    const struct broker_argument *args;
    size_t n_args;
};

/* Declares a queue once, on the scratch channel; it is not kept. An error (404, 405, 406, 403)
 * costs nobody else anything; reply has the broker's words. While there is no connection it waits;
 * it is sent again when the connection was lost before the answer came. Declares are sent in the
 * order of the calls. An exclusive one belongs to this connection: only it can consume from it.
 * `done` runs once, from the loop. Borrows until it returns. -1: out of memory or stopped, a name
 * that is empty or over 255 bytes, more than 32 arguments or over 3 KiB of them. */
int broker_declare_queue(struct broker *b, const struct broker_declare *queue, broker_done_fn done,
                         uint64_t cookie) __attribute__((warn_unused_result));

/* ---- Messages
 * ------------------------------------------------------------------------------------------------------
 */

#define BROKER_MAX_HEADERS 128

struct broker_header {
    struct slice name; /* 1 to 255 bytes */
    struct slice value;
};

/* Absent strings have ptr NULL. Sent, all header values are long strings. Received, scalar values
 * are given as text (integers and floats in decimal, true/false, timestamps as seconds), byte
 * arrays as they are; what is in tables and arrays is given with dotted names ("x-death.0.queue"),
 * within bounds of depth, number and length (amqp/codec.h). What comes behind the first
 * BROKER_MAX_HEADERS is left out. */
struct broker_properties {
    struct slice content_type;
    struct slice content_encoding;
    struct slice correlation_id;
    struct slice reply_to;
    struct slice expiration;
    struct slice message_id;
    struct slice type;
    struct slice user_id;
    struct slice app_id;
    bool has_priority;
    bool has_delivery_mode;
    bool has_timestamp;
    uint8_t priority;
    uint8_t delivery_mode;
    uint64_t timestamp;
    const struct broker_header *headers;
    size_t n_headers;
};

/* Everything in it is borrowed until the callback returns. */
struct broker_delivery {
    uint64_t tag;   /* for broker_ack() */
    uint32_t epoch; /* of the channel the tag belongs to */
    bool is_redelivered;
    struct slice exchange;
    struct slice routing_key;
    struct broker_properties properties;
    struct slice body;
};

struct broker_consume {
    const char *queue; /* kept with broker_keep_queue() or existing */
    const char *tag;   /* consumer tag, seen in the management UI; unique per broker object */
    bool no_ack;
    uint16_t prefetch; /* 0: no bound */
    void (*delivery)(void *owner, uint64_t cookie, const struct broker_delivery *delivery);
    void *owner;
    uint64_t cookie;
};

/* A kept consumer: started as soon as its queue stands, and again after every reconnect,
 * basic.cancel or channel error. A queue that is not kept is asked for every second until it
 * exists. Deliveries that cannot be read (a body over 64 MiB, malformed properties) are counted
 * and, where acks are used, rejected without requeue. -1 when out of memory or when the tag is
 * taken. */
int broker_consume(struct broker *b, const struct broker_consume *consume)
    __attribute__((warn_unused_result));

/* Stops and forgets it. No delivery callback runs for it after this returns. */
void broker_cancel(struct broker *b, const char *tag);

/* A tag of an earlier epoch is ignored: the broker delivers that message again. */
void broker_ack(struct broker *b, uint32_t epoch, uint64_t tag, bool is_multiple);
void broker_nack(struct broker *b, uint32_t epoch, uint64_t tag, bool is_multiple, bool requeue);

struct broker_publish {
    struct slice exchange;
    struct slice routing_key; /* at most 255 bytes */
    bool is_mandatory;
    bool is_client_named; /* goes over the channel "dynamic" */
    struct broker_properties properties;
    struct slice body;
    uint64_t session; /* both come back with broker_settled */
    uint64_t token;
};

enum broker_publish_status {
    BROKER_ACCEPTED, /* copied; will be settled exactly once */
    BROKER_FULL, /* not taken: blocked, not up, or over unconfirmed_bytes; events.room tells when to
                    try again */
    BROKER_INVALID /* not taken: a string over 255 bytes, or headers over frame_max; never right
                      later */
};

/* Borrows everything; encodes it once. Publishes leave in one send at the end of the loop turn.
 * They are sent in the order of the calls (per channel), and again in that order, with the same
 * message id, after a channel or the connection was lost. */
enum broker_publish_status broker_publish(struct broker *b, const struct broker_publish *publish)
    __attribute__((warn_unused_result));

/* Whether broker_publish() would say BROKER_FULL. */
bool broker_is_full(const struct broker *b);

enum broker_outcome {
    BROKER_CONFIRMED, /* basic.ack, and it was not returned */
    BROKER_NACKED,    /* basic.nack: a queue refused it (full with reject-publish, or its leader
                         failed) */
    BROKER_RETURNED,  /* basic.return: mandatory, and no queue was there */
    BROKER_REFUSED,   /* the broker closed the channel over it; code and text say why */
    BROKER_UNKNOWN    /* the broker object was stopped before an answer came */
};

struct broker_settled {
    uint64_t session;
    uint64_t token;
    enum broker_outcome outcome;
    uint16_t code;
    const char *text; /* the broker's own words, "" when confirmed */
    size_t bytes;     /* of the body */
};

/* Only for the publisher's refusals: called when the broker says 404 for an exchange named in
 * unconfirmed publishes. Return true when the owner has called broker_keep_exchange() to declare it
 * again: the publishes are then sent again behind it; false: they are settled as BROKER_REFUSED.
 * NULL means always false. Set before broker_start(). */
void broker_on_missing_exchange(struct broker *b,
                                bool (*missing)(void *owner, struct slice exchange));

/* The same for queues: a mandatory publish to a queue, through the default exchange, came back with
 * 312. Called from the loop, once for all publishes to this queue that came back. Return true when
 * the owner has called broker_declare_queue() for it inside this callback: the publishes are then
 * sent again behind that, whether it succeeded or not; false: they are settled as BROKER_RETURNED.
 *
 * Each publish is sent again for this reason once at the most: one that comes back again is settled
 * as BROKER_RETURNED, so that the callback runs at most once per publish. Each is settled once. The
 * order of the publishes to one queue (per channel) is kept: what came back goes first, and later
 * ones to that queue wait; publishes to elsewhere do not. (Only when somebody else makes the queue
 * at the very moment may what was already on its way come before what came back.) While they wait
 * they count in unconfirmed_bytes. NULL means always false. Set before broker_start(). */
void broker_on_missing_queue(struct broker *b, bool (*missing)(void *owner, struct slice queue));

/* With options.watches, where the broker has amq.rabbitmq.event: an exchange of this virtual host
 * was deleted by anybody, or (queue.ptr not NULL) a binding of a queue to it. For what others than
 * this object keep; called from the loop, in the order of the events. Borrowed. Set before
 * broker_start(). */
void broker_on_deleted(struct broker *b, void (*deleted)(void *owner, struct slice exchange,
                                                         struct slice queue, struct slice key));
