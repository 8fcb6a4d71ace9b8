/* What client.c (sockets), client_join.c (the way to CLIENT_READY) and client_read.c (what comes
 * in) know of each other.
 */
#pragma once

#include "client.h"
#include "websocket.h"

static const uint8_t CLIENT_MASK[4] = {0x37, 0xfa, 0x21, 0x3d};

/* One writer, so no locked instruction. */
static inline void client_count(_Atomic uint64_t *counter, uint64_t n)
{
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + n,
                          memory_order_relaxed);
}

/* Ends a connection. The first of a run says why on stderr. */
void client_close(struct client_set *set, struct client *c, const char *why);

/* What epoll is to wait for, besides room in the socket. */
void client_watch(struct client_set *set, struct client *c, bool is_writing);

/* Sends a text message of the protocol. */
void client_say(struct client_set *set, struct client *c, const char *text, size_t len);

/* TCP is connected. */
void client_join(struct client_set *set, struct client *c);

/* The steps on the way, as the server's answers come. */
void client_join_upgraded(struct client_set *set, struct client *c);
void client_join_opened(struct client_set *set, struct client *c);
void client_join_connected(struct client_set *set, struct client *c);
void client_join_subscribed(struct client_set *set, struct client *c);

/* The socket has something. */
void client_read(struct client_set *set, struct client *c);
