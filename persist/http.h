/* The worker's small window: GET only, one answer per connection, a handful of connections. Inside
 * of persist/ only. Knows no paths: its owner writes the answers. Belongs to one loop thread.
 */
#pragma once

#include "common/buf.h"
#include "common/slice.h"

struct uv_loop_s;
struct http;

#define HTTP_CONNECTIONS_MAX 16
#define HTTP_REQUEST_MAX 4096
#define HTTP_DEADLINE_MS 5000

/* Appends the body (text/plain) and returns the status: 200, 404 or 503. */
typedef int (*http_fn)(void *owner, struct slice path, struct buf *body);

/* Listens; the port (0: any free one) is logged as http.open. NULL on failure, which was logged. */
struct http *http_new(struct uv_loop_s *loop, const char *bind, int port, http_fn answer,
                      void *owner);

/* Closes all; the memory goes when libuv is done with its handles. NULL does nothing. */
void http_free(struct http *h);
