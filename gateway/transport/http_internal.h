/* Shared by http.c and http_history.c: one answer to one GET, ready at once or later. */
#pragma once

#include "gateway/transport/transport_internal.h"

#define HTTP_CHUNK_BYTES 16384

/* In transport->answers until it is sent, or until its maker finds that the client has left. */
struct http_answer {
    struct list node;
    uint64_t id; /* what is made later finds its answer again by this */
    struct transport *transport;
    struct connection *connection; /* NULL: the client has left */
    bool is_ready;
    unsigned status;
    const char *type;
    char *body;
    size_t len;
    size_t sent;
};

/* NULL when out of memory. */
struct http_answer *http_answer_new(struct connection *c);
void http_answer_free(struct http_answer *a);
struct http_answer *http_answer_find(struct transport *t, uint64_t id);

/* Sends it; takes body (NULL: out of memory, the connection is closed). Returns what a
 * libwebsockets callback returns; when it is given later than in the callback, -1 means that the
 * connection is to be ended. */
int http_answer_give(struct http_answer *a, unsigned status, const char *type, char *body);

/* GET /history?destination=…&limit=…&before=… : messages of a destination that were stored, the
 * newest `limit`, in ascending order. Who may subscribe may read; credentials by HTTP Basic. */
int http_history(struct connection *c);
