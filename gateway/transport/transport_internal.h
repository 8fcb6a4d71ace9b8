/* Shared by the files of gateway/transport/ that talk to libwebsockets. */
#pragma once

#include "common/list.h"
#include "common/slice.h"
#include "gateway/transport/quiet.h"
#include "gateway/transport/transport.h"
#include "stomp/stomp.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct lws;
struct lws_context;
struct lws_vhost;
struct client;
struct http_answer;
struct tls;

/* What libwebsockets keeps for one socket. */
struct connection {
    struct transport *transport;
    struct lws *wsi;
    struct client *client;      /* a WebSocket */
    struct http_answer *answer; /* an HTTP request that is being answered; http.c */
    struct list reading;        /* in transport->reading: is_wanted is to be applied */
    struct quiet quiet;
    bool is_wanted;         /* whether to read */
    bool is_closing;        /* our close frame is queued or sent */
    bool has_failed;        /* a write failed: libwebsockets will end it */
    bool is_buffering;      /* after the last write: libwebsockets holds a part of it */
    uint32_t n_fragments;   /* of the message that is coming in */
    struct stomp_utf8 text; /* the same, where it is text */
};

struct transport {
    struct reactor *reactor;
    struct metrics *const *siblings;
    int n_siblings;
    struct lws_context *context;
    bool is_stopped;
    struct lws_vhost *vhost;
    struct lws_vhost *tls_vhost; /* NULL: no TLS here */
    struct tls *tls;             /* the same */
    struct list reading;
    struct list answers; /* http.c: reads of history that are under way */
    uint64_t last_answer;
    uint64_t history_answer; /* of which history_text was made: http_history.c */
    char *history_text;
    void *protocols;
    void *mounts;
};

/* tls.c: TLS of one reactor. NULL when out of memory. */
struct tls *tls_new(void);
void tls_free(struct tls *t);

/* An SSL_CTX for libwebsockets' client side, which we do not use. Borrowed. */
void *tls_client_context(struct tls *t);

/* Sets up OpenSSL's context (an SSL_CTX) that libwebsockets has made for the vhost. 0, or -1. */
int tls_set_up(struct tls *t, void *ssl_ctx) __attribute__((warn_unused_result));

/* From the next handshake on; takes one reference. After tls_set_up(). */
void tls_use(struct tls *t, struct tls_pair *pair);

/* memory.c: before the first context is made. Called again it does nothing. */
void memory_init(size_t rx_buffer_bytes);

/* handshake.c: what stands before a WebSocket. */

#define HANDSHAKE_VERSIONS 3
#define HTTP_STATUS_UPGRADE_REQUIRED 426 /* libwebsockets has no name for it */

/* The subprotocols, the highest first. */
extern const char *const handshake_versions[HANDSHAKE_VERSIONS];

/* Remembers where the socket comes from, and ends it when neither a WebSocket nor an HTTP request
 * has come of it in limits.handshake_ms. -1: it is being ended. */
int handshake_begin(struct transport *t, struct lws *wsi, const char *address)
    __attribute__((warn_unused_result));

/* In time: the deadline is over. Gives the peer's address, borrowed for as long as the socket
 * lives. */
const char *handshake_done(struct lws *wsi);

/* The socket has gone: the listener counts it off. */
void handshake_gone(struct lws *wsi);

/* Before libwebsockets does anything with an Upgrade header. 0 lets it go on; else the return value
 * of its callback. */
int handshake_confirm(struct lws *wsi) __attribute__((warn_unused_result));

/* handshake.c: the path of the WebSocket, with or without a slash at its end. */
bool handshake_is_our_path(const struct reactor *r, struct slice uri);

/* http.c: GET on one of our own paths. The return values are those of a libwebsockets callback. */
int http_request(struct connection *c, const char *uri);
int http_writeable(struct connection *c);
void http_closed(struct connection *c);
