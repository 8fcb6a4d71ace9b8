/* One connected client: its session, its out queue, its deadlines; the host of the session
 * (session.h) and the owner of its subscribers. Between a transport, which knows sockets and no
 * STOMP, and the reactor's live and publish sides. Belongs to one loop thread.
 */
#pragma once

#include "gateway/fanout/outq.h"
#include "gateway/session/session.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct client;
struct reactor;

/* What a transport does for one connection of its own. None of these may call back into the client.
 */
struct transport_functions {
    /* Write what is in client_outq(), as far as it goes without waiting, and tell client_wrote()
     * what went. */
    void (*flush)(void *connection);

    /* Read no more until true; takes effect at the end of the loop turn. */
    void (*read)(void *connection, bool wanted);

    /* When the out queue is empty: close with this code and reason (at most 123 bytes, borrowed).
     */
    void (*close)(void *connection, int code, const char *reason);

    /* End it now, whatever is unsent. */
    void (*cut)(void *connection);

    /* True: something that client_wrote() was told of stands in a buffer of the transport's own;
     * client_flushed() will be called. NULL: it has none. */
    bool (*is_buffering)(void *connection);
};

/* NULL when out of memory. `settings` are borrowed for its life. `address` is the peer's, for the
 * log (copied). */
struct client *client_new(struct reactor *r, const struct session_settings *settings,
                          const struct transport_functions *functions, void *connection,
                          const char *address);

/* Bytes from the peer; modified in place. */
void client_received(struct client *c, uint8_t *bytes, size_t len);

/* The peer answered a ping of the transport. */
void client_alive(struct client *c);

/* What the peer sent cannot be taken: ERROR is not owed (the transport's own protocol was broken),
 * the session ends with this reason. */
void client_refuse(struct client *c, enum close_reason reason, const char *text);

/* The connection has ended, for whatever reason; `connection` is not used any more. The client is
 * freed at the end of the turn. */
void client_gone(struct client *c);

/* Frames that came are still to be executed, or DISCONNECT to be answered. */
bool client_is_owed(const struct client *c);

struct outq *client_outq(struct client *c);

/* The transport gave `n` messages of the queue to the socket, or to its own buffer: they are
 * popped. */
void client_wrote(struct client *c, uint32_t n, size_t bytes);

/* All that client_wrote() was told of has gone to the socket. Only with is_buffering. */
void client_flushed(struct client *c);

/* ---- For the reactor ---- */

/* Flushes the client whose out queue this is. */
void client_flush(struct outq *q);

/* How many clients have not been sent all that they are due, and how much they are due: a message
 * that several wait for counts for each. */
void client_behind(const struct reactor *r, size_t *n, size_t *bytes);

/* Once per loop turn: SENDs that wait, clients to be closed, clients to be freed. */
void client_turn(struct reactor *r);
void client_reap(struct reactor *r);

/* The answer of the broker to a publish. */
void client_settled(struct reactor *r, const struct broker_settled *settled);

/* Tells up to n sessions that the server goes down, others than before. */
void client_drain(struct reactor *r, size_t n);

/* One event for everybody. */
void client_tell_all(struct reactor *r, enum session_event_type type);

/* Cuts everybody. */
void client_cut_all(struct reactor *r);

/* What went to sockets is told to sessions, which settle it. */
void client_written(struct reactor *r);

extern const struct live_host client_live_host;
extern const struct private_host client_private_host;
