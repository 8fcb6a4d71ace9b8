/* One client's conversation, sans-IO: events go in with the time, actions come out through the
 * host's functions. Knows STOMP, destinations and rights; knows no socket, clock, lock, WebSocket
 * or broker connection. DESIGN section 5.
 *
 * The live MESSAGEs of shared subscriptions do not pass through here: the audience puts them on the
 * session's out queue (DESIGN section 7). Everything else does.
 *
 * Belongs to one loop thread. Actions run inside session_step(); they must not call session_step()
 * again.
 *
 * Waiting: while a login or a SUBSCRIBE is outstanding, the frames behind it wait in order. While
 * the host has no room for SENDs, SENDs wait and other frames go on (but DISCONNECT, which waits
 * for all SENDs). What waits is copied and bounded by limits.parked_bytes; at the bound the host is
 * told to stop reading.
 */
#pragma once

#include "amqp/broker.h"
#include "common/config.h"
#include "common/id.h"
#include "common/list.h"
#include "gateway/fanout/destination.h"
#include "gateway/session/reason.h"
#include "stomp/stomp.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct message;
struct session;
struct session_queue;

/* STOMP 1.2, SUBSCRIBE, "ack". */
enum session_ack { SESSION_ACK_AUTO, SESSION_ACK_CLIENT, SESSION_ACK_INDIVIDUAL };

/* One SUBSCRIBE. Owned by its session; the host reads it and keeps its own pointer in host_data. */
struct session_subscription {
    struct slice id;       /* as the client gave it; lives as long as the subscription */
    struct slice spelling; /* the destination as the client wrote it */
    bool is_pattern;
    bool is_live; /* the host said it stands: MESSAGEs may come */
    /* What a private subscription consumes (queue.h), owned; NULL: it shares a live queue. */
    struct session_queue *queue;
    enum session_ack ack;
    uint16_t prefetch;
    bool is_reply; /* a /temp-queue/ of a reply-to: no SUBSCRIBE made it, no UNSUBSCRIBE ends it */
    uint32_t handle;     /* unique in the session, for SESSION_SUBSCRIBED */
    void *host_data;     /* the host's; NULL at first */
    struct list unacked; /* the session's: what it delivered and nobody settled */
    size_t n_unacked;
};

/* How deliveries of private subscriptions end at the broker. */
struct session_settle {
    uint32_t epoch;
    uint64_t tag;
    /* And all before it that were given to the session. What the host has on the channel and has
     * not given to it yet (because the client had no room) is not meant: it is for the host to see
     * that it is not settled along. Of acks alone: for one of several nacks the host may have to
     * say something else. */
    bool is_multiple;
    bool is_nack;
    bool requeue; /* of a nack */
};

/* Why something was refused. A zeroed struct is valid: the session has words of its own for what it
 * knows. The session passes a zeroed one to its host; who makes one for an event begins with `=
 * {0}`. Texts are copied by the receiver. */
struct session_problem {
    /* CLOSE_NONE: what fits the frame (CLOSE_LOGIN for CONNECT, …). CLOSE_BROKER: it is away. */
    enum close_reason reason;
    char message[64]; /* of the ERROR's message header */
    char text[512];   /* its body */
};

enum session_verdict {
    SESSION_DONE, /* done, or accepted */
    /* Not now: publish is offered again after SESSION_ROOM; subscribe and login are answered by an
     * event. */
    SESSION_WAIT,
    SESSION_REFUSED /* never: *problem says why; becomes ERROR and close */
};

struct session_send {
    const struct destination *destination;
    struct broker_properties properties; /* complete but for message_id, which the host gives */
    struct slice body;
    uint64_t token; /* comes back in SESSION_SETTLED */
    const struct session_queue
        *queue;        /* of a destination of kind queue: what to declare before; NULL: nothing */
    bool is_mandatory; /* it is an error when no queue gets it */
};

/* What a session may ask of whoever holds it. All pointers are borrowed until the function returns.
 */
struct session_host {
    /* Queue one whole frame, or the single LF of a heart-beat, to the client. */
    void (*send)(void *host, const char *bytes, size_t len);

    /* Check credentials; login ptr NULL: none were given. SESSION_WAIT: SESSION_LOGIN comes. */
    enum session_verdict (*login)(void *host, struct slice login, struct slice passcode,
                                  struct session_problem *problem);

    enum session_verdict (*publish)(void *host, const struct session_send *send,
                                    struct session_problem *problem);

    /* SESSION_WAIT: SESSION_SUBSCRIBED with the handle comes. */
    enum session_verdict (*subscribe)(void *host, struct session_subscription *subscription,
                                      const struct destination *destination,
                                      struct session_problem *problem);

    /* Exactly once for each that subscribe answered with DONE or WAIT: also for one that is still
     * outstanding, was refused by its event, or was lost. The session frees it when this returns.
     * What a private one delivered can be settled after this as well. `deletes_queue`: its durable
     * queue is to be deleted too. */
    void (*unsubscribe)(void *host, struct session_subscription *subscription, bool deletes_queue);

    /* One MESSAGE of a private subscription, numbered from 1 without a gap; takes the reference.
     * SESSION_WRITTEN comes when it went to the socket. */
    void (*deliver)(void *host, struct message *message, uint64_t number);

    void (*settle)(void *host, const struct session_settle *settle);

    /* SESSION_SYNCED with the token comes when the broker has handled everything that was settled
     * before. False: there is no channel, so nothing is handled any more. */
    bool (*sync)(void *host, uint64_t token);

    /* Writes QUEUE_RANDOM_LEN random characters (base64url) and a NUL. */
    void (*random)(void *host, char *text);

    /* False: read nothing more from the client until true. */
    void (*read)(void *host, bool wanted);

    /* Flush what was sent, then close with close_reason_code() and `text` (at most 123 bytes).
     * Before it all subscriptions were unsubscribed, so that no MESSAGE follows the last frame. The
     * session does nothing any more after it has called this: every later event is ignored. */
    void (*close)(void *host, enum close_reason reason, const char *text);
};

/* What all sessions of a gateway share; immutable. */
struct session_settings {
    const struct config *config;
    struct stomp_limits limits_before; /* before CONNECTED */
    struct stomp_limits limits;
    const char *server; /* of CONNECTED: "stompgate/0.1.0" */
    bool error_close; /* ERROR is followed by close, always; false: only where the session cannot go
                         on */
};

/* Derives the settings of one listener; the struct borrows config. `is_tcp`: [tcp] has its own
 * error_close. */
void session_settings_init(struct session_settings *settings, const struct config *config,
                           bool is_tcp);

/* Borrows settings, host and host_data for the session's life. `name` is its id text (copied), told
 * in CONNECTED and in log lines. NULL when out of memory. */
struct session *session_new(const struct session_settings *settings,
                            const struct session_host *host, void *host_data, const char *name,
                            uint64_t now_ms);

/* Unsubscribes what is left through the host, and frees. NULL does nothing. */
void session_free(struct session *s);

enum session_event_type {
    SESSION_BYTES,      /* from the client */
    SESSION_LOGIN,      /* the answer to host.login */
    SESSION_SUBSCRIBED, /* the answer to host.subscribe */
    SESSION_LOST,       /* a subscription that stood ended: `handle`, problem (may be NULL) */
    SESSION_SETTLED,    /* a publish ended */
    SESSION_DELIVERY,   /* a message for a private subscription */
    SESSION_WRITTEN,    /* all of host.deliver up to this number went to the socket */
    SESSION_SYNCED,     /* the answer to host.sync */
    SESSION_RESTORED,   /* deliveries of another epoch than `epoch` come again: they are not to be
                           settled */
    SESSION_FAILED, /* the broker closed the session's channel: ERROR with its words, and close */
    SESSION_ROOM,   /* publish may be tried again */
    SESSION_TICK,   /* session_deadline() has passed */
    SESSION_ALIVE,  /* a WebSocket PONG: counts as a beat where the interval is 5 s or more */
    SESSION_BROKER_GONE, /* the broker has been away for longer than the grace time */
    SESSION_GAP,         /* messages were lost and the route says close */
    SESSION_SLOW,        /* the out queue is over its bound */
    SESSION_DRAIN        /* the server goes down: closes when SENDs are settled, soon in any case */
};

struct session_event {
    enum session_event_type type;
    uint64_t now_ms;
    union {
        struct {
            uint8_t *data; /* modified in place by the parser */
            size_t len;
        } bytes;
        struct {
            uint32_t handle; /* of the subscription; not for SESSION_LOGIN */
            bool is_ok;
            const struct session_problem *problem; /* when not ok; NULL: no words */
        } answer;
        struct {
            uint64_t token;
            enum broker_outcome outcome;
            uint16_t code;
            const char *text;
        } settled;
        struct {
            uint32_t handle;
            const struct broker_delivery *delivery; /* borrowed */
            bool gap;                               /* messages before it may have been lost */
        } delivery;
        uint64_t written;
        struct {
            uint64_t token;
            bool is_ok; /* false: the channel went first, so nobody knows */
        } synced;
        uint32_t epoch;
    };
};

void session_step(struct session *s, const struct session_event *event);

/* When SESSION_TICK is due at the latest (monotonic ms); UINT64_MAX: never. Changes with every
 * step. */
uint64_t session_deadline(const struct session *s);

/* The host wrote something to the client: the next outgoing heart-beat is due that much later. */
void session_wrote(struct session *s, uint64_t now_ms);

/* Of CONNECT; "" before, "anonymous" when no login was given. Borrowed. */
const char *session_user(const struct session *s);
enum stomp_version session_version(const struct session *s);
bool session_is_connected(const struct session *s);
bool session_is_closing(const struct session *s);

/* Frames that came wait for a login, a SUBSCRIBE or room, or the ACKs of a COMMIT for the confirms
 * of its SENDs: they are to be executed although the client has gone. */
bool session_has_waiting(const struct session *s);

/* DISCONNECT came: a client that closes now has said good-bye. */
bool session_has_left(const struct session *s);

/* DISCONNECT came, and is not answered yet: SENDs before it are not settled. */
bool session_is_leaving(const struct session *s);
size_t session_subscription_count(const struct session *s);

/* Walks the subscriptions: start with *cursor = 0; NULL when done. */
struct session_subscription *session_subscription_next(struct session *s, size_t *cursor);
