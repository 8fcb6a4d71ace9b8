/* One gateway thread: a libuv loop that owns all it needs and shares nothing with its siblings
 * (DESIGN section 2).
 *
 *     listener ─┬► libwebsockets ─┬► client (session, out queue) ─► publish ─► RabbitMQ
 *               └► tcp ───────────┘            ▲
 *                     ▲                        ▲
 *                     └── flush, once a turn ──┼── live (queues, rooms) ◄─── RabbitMQ
 *                                              └── private (channels)  ◄───► RabbitMQ
 *
 * The struct is open to the files of gateway/ that hang on the loop; each field says whose it is.
 * What outlives a callback finds its client again by id. At the end of each loop turn (uv_prepare)
 * the reactor closes the doomed, asks the broker what subscribers brought up, flushes the dirty
 * (those with live messages alone when pace.h says so), applies pauses, and reaps the dead.
 */
#pragma once

#include "common/config.h"
#include "common/id.h"
#include "common/list.h"
#include "common/map.h"
#include "common/wheel.h"
#include "gateway/fanout/live.h"
#include "gateway/fanout/outq.h"
#include "gateway/fanout/pace.h"
#include "gateway/metrics.h"
#include "gateway/private.h"
#include "gateway/publish.h"
#include "gateway/session/session.h"

#include <stdbool.h>
#include <stdint.h>

struct history;
struct listener;
struct message;
struct tcp;
struct tls_pair;
struct transport;
struct uv_loop_s;
struct reactor_uv;

#define REACTOR_SCRATCH_BYTES                                                                      \
    (64 * 1024) /* what leaves in one write at the most: progress of a slow client is seen in such \
                   steps */

struct reactor {
    int number;
    char name[96]; /* "<gateway>.<number>" */
    char number_text[16];
    const struct config *config;
    struct session_settings settings;     /* of sessions over WebSocket */
    struct session_settings tcp_settings; /* over plain TCP */
    struct uv_loop_s *loop;
    struct reactor_uv *uv; /* handles; reactor.c */
    uint64_t now_ms;       /* of this loop turn, monotonic */
    struct wheel wheel;
    struct metrics metrics;
    struct id_generator ids;

    struct live *live;
    struct publish *publish;
    struct private_side *private;
    struct history *history; /* NULL: there is no database */
    struct listener *listener;
    struct transport *transport;
    struct tcp *tcp;

    struct map clients; /* id → client; client.c */
    uint64_t last_client;
    struct message *beat;    /* the LF of a heart-beat, the same for everybody */
    struct outq_dirty dirty; /* out queues to flush; outq.c fills it */
    struct pace pace;        /* of those with live messages alone */
    struct list behind;      /* clients that did not take all they are due; client.c */
    struct list doomed;      /* clients to close at the end of the turn; client.c */
    struct list waiting;     /* clients that were told SESSION_WAIT for a SEND; client.c */
    struct list dead;        /* clients to free at the end of the turn; client.c */
    struct list written;     /* clients to which private messages were written; client.c */
    bool has_room;           /* publish said that there is room again */

    bool is_live_up;
    bool is_publish_up;
    bool is_broker_gone; /* away for longer than the grace time */
    struct wheel_timer grace;
    bool is_draining;
    uint8_t scratch[REACTOR_SCRATCH_BYTES];
};

/* Everything but the socket; not yet running. `siblings` are all reactors' metrics, for /metrics:
 * the new one puts its own there. NULL with a log line. All reactors are made by one thread before
 * the first runs. */
struct reactor *reactor_new(const struct config *config, int number, struct metrics **siblings,
                            int n_siblings);

/* A port 0 takes any. */
struct reactor_ports {
    int gateway; /* WebSocket and HTTP */
    int tcp;     /* plain STOMP */
    int tls;     /* WebSocket and HTTP over TLS */
};

/* Opens the listening sockets: the first, and those of the others that are enabled. *ports is set
 * to what they are. -1 with a log line. */
int reactor_listen(struct reactor *r, struct reactor_ports *ports)
    __attribute__((warn_unused_result));

/* New handshakes over TLS use this certificate and key (shares). From any thread; once before
 * reactor_run() where tls.enabled. Not after reactor_stop(). */
void reactor_certify(struct reactor *r, struct tls_pair *pair);

/* Runs the loop until reactor_stop(): call it on the reactor's own thread (with a stack of 8 MiB).
 */
void reactor_run(struct reactor *r);

/* Asks the reactor to drain and end; from any thread, and from a signal watcher. May be called
 * twice. */
void reactor_stop(struct reactor *r);

void reactor_free(struct reactor *r);

/* One of the two AMQP connections changed its state. */
void reactor_broker_state(struct reactor *r, bool is_live_side, enum broker_state state);

/* Both AMQP connections stand. */
static inline bool reactor_is_ready(const struct reactor *r)
{
    return r->is_live_up && r->is_publish_up && !r->is_draining;
}
