/* Bytes in and out: WebSocket and HTTP by libwebsockets, and the listener. The face of
 * gateway/transport/. Knows no STOMP.
 *
 * Belongs to one loop thread. libwebsockets contexts must all be created before the first loop
 * runs, by one thread.
 */
#pragma once

#include <stdint.h>

struct metrics;
struct reactor;
struct transport;

/* `siblings` are the metrics of all reactors, for GET /metrics; borrowed. NULL with a log line. */
struct transport *transport_new(struct reactor *r, struct metrics *const *siblings, int n_siblings);

/* Takes the accepted socket. `address` is the peer's (copied). -1: it was closed. */
int transport_adopt(struct transport *t, int fd, const char *address)
    __attribute__((warn_unused_result));

/* Once per loop turn: starts and stops reading as sessions wanted. Never done inside a RECEIVE
 * callback, where libwebsockets would spin (libwebsockets issue 2360). */
void transport_turn(struct transport *t);

/* About once a second: who is not read from cannot show that he is alive, and is not hung up for
 * it. */
void transport_tick(struct transport *t);

/* Ends the context. The loop has to run on until its handles are closed; then transport_free(). */
void transport_stop(struct transport *t);
void transport_free(struct transport *t);

struct listener;

/* Opens the listening socket of this reactor. For the first of several it is first bound without
 * SO_REUSEPORT, so that a port in use is found out. `port` 0 takes any; *port is set to what it is.
 * NULL with a log line. */
struct listener *listener_new(struct reactor *r, int *port);

/* Begins to accept. */
void listener_start(struct listener *l);

/* A socket that was accepted from this address is closed. NULL does nothing. */
void listener_gone(struct listener *l, const char *address);

/* Stops accepting and closes the socket; the loop has to run on once before listener_free(). */
void listener_stop(struct listener *l);
void listener_free(struct listener *l);
