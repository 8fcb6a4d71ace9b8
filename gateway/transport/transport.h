/* Bytes in and out: WebSocket and HTTP by libwebsockets, with TLS and without, plain TCP, and the
 * listener of all. The face of gateway/transport/. Knows no STOMP.
 *
 * Belongs to one loop thread. libwebsockets contexts must all be created before the first loop
 * runs, by one thread.
 */
#pragma once

#include <stdint.h>

struct config;
struct metrics;
struct reactor;
struct tls_pair;
struct transport;

/* `siblings` are the metrics of all reactors, for GET /metrics; borrowed. NULL with a log line. */
struct transport *transport_new(struct reactor *r, struct metrics *const *siblings, int n_siblings);

/* Takes the accepted socket: WebSocket or HTTP. `address` is the peer's (copied). -1: it was
 * closed. */
int transport_adopt(struct reactor *r, int fd, const char *address)
    __attribute__((warn_unused_result));

/* The same over TLS, where tls.enabled and transport_certify() came before. */
int transport_adopt_tls(struct reactor *r, int fd, const char *address)
    __attribute__((warn_unused_result));

/* New handshakes over TLS use this certificate and key; takes one reference. Connections that stand
 * keep theirs. */
void transport_certify(struct transport *t, struct tls_pair *pair);

/* Once per loop turn: starts and stops reading as sessions wanted. Never done inside a RECEIVE
 * callback, where libwebsockets would spin (libwebsockets issue 2360). */
void transport_turn(struct transport *t);

/* Ends the context. The loop has to run on until its handles are closed; then transport_free(). */
void transport_stop(struct transport *t);
void transport_free(struct transport *t);

/* ---- tls.c: what wss:// and https:// show for themselves ---- */

/* Reads tls.certificate (PEM, the chain behind it) and tls.key, and makes sure that they belong
 * together. The pair is shared and immutable: any thread may hold it. NULL with a log line that
 * names the file. */
struct tls_pair *tls_pair_read(const struct config *c);
struct tls_pair *tls_pair_ref(struct tls_pair *p);
void tls_pair_unref(struct tls_pair *p);

/* ---- tcp.c: STOMP without a WebSocket around it ---- */

struct tcp;

/* The plain connections of one reactor. NULL when out of memory. */
struct tcp *tcp_new(struct reactor *r);

/* Takes the accepted socket, as transport_adopt() does. */
int tcp_adopt(struct reactor *r, int fd, const char *address) __attribute__((warn_unused_result));

/* Once per loop turn, behind the flushes: connections that have ended are closed. */
void tcp_turn(struct tcp *t);

/* After the loop has ended. NULL does nothing. */
void tcp_free(struct tcp *t);

/* ---- listener.c: who comes in. One for all, so that the limits on connections are on the sum. */

#define LISTENER_DOORS 3

struct listener;

/* Takes a socket that is non-blocking. -1: it was closed. Else listener_gone() is called when it
 * is. */
typedef int (*listener_adopt)(struct reactor *r, int fd, const char *address);

/* Without a socket yet. NULL when out of memory. */
struct listener *listener_new(struct reactor *r);

/* Opens a listening socket of this reactor. For the first of several it is first bound without
 * SO_REUSEPORT, so that a port in use is found out. `port` 0 takes any; *port is set to what it is.
 * -1 with a log line. At most LISTENER_DOORS, before listener_start(). */
int listener_open(struct listener *l, const char *address, int *port, listener_adopt adopt)
    __attribute__((warn_unused_result));

/* Begins to accept. */
void listener_start(struct listener *l);

/* A socket that was accepted from this address is closed. NULL does nothing. */
void listener_gone(struct listener *l, const char *address);

/* Stops accepting and closes the sockets; the loop has to run on once before listener_free(). */
void listener_stop(struct listener *l);
void listener_free(struct listener *l);
