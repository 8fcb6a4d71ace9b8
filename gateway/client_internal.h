/* Shared by client.c (life, deadlines, the transport's side) and client_host.c (what the session
 * asks for, what the live, publish and private sides tell it). */
#pragma once

#include "gateway/client.h"
#include "gateway/reactor.h"

/* What a write to many clients touches stands first, on as few cache lines as may be. */
struct client {
    uint32_t magic;
    void *connection; /* NULL when it has ended */
    const struct transport_functions *functions;
    struct reactor *reactor;
    uint64_t stalled_ms; /* since when nothing went out although something waits; 0: it flows */
    uint64_t wrote_ms;   /* when something last went out; told to the session when it is asked */
    uint64_t flushed;    /* of outq.private_popped: what went to the socket */
    uint64_t told;       /* of outq.private_popped: what the session knows of */
    struct outq outq;

    uint64_t id;
    struct session *session;
    struct wheel_timer timer; /* the nearest of the session's deadline, the stall and the linger */
    struct list behind;       /* in reactor->behind while something waits */
    uint64_t cut_ms;          /* closing: cut at this time; 0: not closing */
    struct list doomed;       /* in reactor->doomed */
    struct list waiting;      /* in reactor->waiting */
    struct list dead;         /* in reactor->dead */
    struct list written;      /* in reactor->written */
    bool is_private_full; /* the private side was told that there is no room, and has not yet all
                             the room again that it had */
    struct list shapes;   /* queues that its SENDs declared in their own way; client_queues.c */
    size_t n_shapes;
    enum close_reason reason;
    enum session_event_type doom; /* what to tell the session when it is closed as doomed */
    bool is_told;                 /* that the server goes down */
    char name[];
};

/* Every event goes through here: what may follow from it is looked at once. */
void client_step(struct client *c, const struct session_event *event);
void client_step_plain(struct client *c, enum session_event_type type);

/* To be told to the session at the end of the turn, not from inside whatever found it out. */
void client_doom(struct client *c, enum session_event_type type);

/* ---- client_queues.c ---- */

/* How the session has declared this queue; `queue` itself when it has not. */
const struct session_queue *client_queue_shape(const struct client *c,
                                               const struct session_queue *queue);

/* A SEND with this declaration was taken. */
void client_queue_sent(struct client *c, const struct session_queue *queue);
void client_queues_free(struct client *c);

extern const struct session_host client_session_host;
