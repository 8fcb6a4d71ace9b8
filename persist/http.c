#include "persist/http.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <uv.h>

#include "common/list.h"
#include "common/log.h"

#define HTTP_BACKLOG 16

struct http {
    uv_tcp_t listener;
    uv_timer_t timer; /* looks for connections past their deadline */
    int n_handles;    /* of ours, not closed yet */
    int n_clients;
    struct list clients;
    http_fn answer;
    void *owner;
};

struct client {
    uv_tcp_t tcp;
    uv_write_t write;
    struct list node;
    struct http *http;
    uint64_t deadline_ms;
    size_t len;
    char request[HTTP_REQUEST_MAX];
    struct buf body;
    char head[256];
};

static void http_released(struct http *h)
{
    if (--h->n_handles == 0) {
        free(h);
    }
}

static void on_client_closed(uv_handle_t *handle)
{
    struct client *c = handle->data;
    struct http *h = c->http;
    buf_fini(&c->body);
    free(c);
    http_released(h);
}

static void client_close(struct client *c)
{
    if (!uv_is_closing((uv_handle_t *)&c->tcp)) {
        list_remove(&c->node);
        c->http->n_clients--;
        uv_close((uv_handle_t *)&c->tcp, on_client_closed);
    }
}

static void on_written(uv_write_t *write, int status)
{
    (void)status;
    client_close(write->data);
}

static void client_answer(struct client *c, int status)
{
    const char *text = status == 200   ? "OK"
                       : status == 404 ? "Not Found"
                       : status == 400 ? "Bad Request"
                                       : "Service Unavailable";
    int len =
        snprintf(c->head, sizeof(c->head),
                 "HTTP/1.1 %d %s\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n"
                 "X-Content-Type-Options: nosniff\r\nContent-Length: %zu\r\n"
                 "Connection: close\r\n\r\n",
                 status, text, c->body.len);
    uv_buf_t bufs[2] = {uv_buf_init(c->head, (unsigned)len),
                        uv_buf_init((char *)buf_data(&c->body), (unsigned)c->body.len)};
    uv_read_stop((uv_stream_t *)&c->tcp);
    c->write.data = c;
    if (uv_write(&c->write, (uv_stream_t *)&c->tcp, bufs, c->body.len > 0 ? 2 : 1, on_written) <
        0) {
        client_close(c);
    }
}

/* The request line is all that matters; what follows is only waited for. */
static void client_serve(struct client *c)
{
    char *path = c->request + 4;
    char *end = memchr(c->request, '\r', c->len);
    char *space = end != NULL && end > path ? memchr(path, ' ', (size_t)(end - path)) : NULL;
    if (strncmp(c->request, "GET ", 4) != 0 || space == NULL) {
        client_answer(c, 400);
        return;
    }
    struct slice name = {path, (size_t)(space - path)};
    client_answer(c, c->http->answer(c->http->owner, name, &c->body));
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    struct client *c = handle->data;
    (void)suggested;
    *buf = uv_buf_init(c->request + c->len, (unsigned)(sizeof(c->request) - 1 - c->len));
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct client *c = stream->data;
    (void)buf;
    if (n < 0) { /* also UV_ENOBUFS: the request is too long */
        client_close(c);
        return;
    }
    c->len += (size_t)n;
    c->request[c->len] = '\0';
    if (strstr(c->request, "\r\n\r\n") != NULL) {
        client_serve(c);
    }
}

static void on_connection(uv_stream_t *listener, int status)
{
    struct http *h = listener->data;
    struct client *c = status == 0 ? calloc(1, sizeof(*c)) : NULL;
    if (c == NULL) {
        return;
    }
    uv_tcp_init(listener->loop, &c->tcp);
    c->tcp.data = c;
    c->http = h;
    c->deadline_ms = uv_now(listener->loop) + HTTP_DEADLINE_MS;
    h->n_handles++;
    h->n_clients++;
    list_init(&c->node);
    list_push(&h->clients, &c->node);
    if (uv_accept(listener, (uv_stream_t *)&c->tcp) < 0 || h->n_clients > HTTP_CONNECTIONS_MAX ||
        uv_read_start((uv_stream_t *)&c->tcp, on_alloc, on_read) < 0) {
        client_close(c);
    }
}

static void on_timer(uv_timer_t *timer)
{
    struct http *h = timer->data;
    while (!list_is_empty(&h->clients)) { /* in the order of their deadlines */
        struct client *c = LIST_OWNER(h->clients.next, struct client, node);
        if (uv_now(timer->loop) < c->deadline_ms) {
            break;
        }
        client_close(c);
    }
}

static int http_listen(struct http *h, const char *bind, int port)
{
    struct sockaddr_storage address;
    int status = uv_ip4_addr(bind, port, (struct sockaddr_in *)&address);
    if (status < 0) {
        status = uv_ip6_addr(bind, port, (struct sockaddr_in6 *)&address);
    }
    if (status == 0) {
        status = uv_tcp_bind(&h->listener, (struct sockaddr *)&address, 0);
    }
    if (status == 0) {
        status = uv_listen((uv_stream_t *)&h->listener, HTTP_BACKLOG, on_connection);
    }
    int len = sizeof(address);
    if (status == 0) {
        status = uv_tcp_getsockname(&h->listener, (struct sockaddr *)&address, &len);
    }
    if (status < 0) {
        log_error("-", "http.failed", "bind=%s port=%d error=\"%s\"", bind, port,
                  uv_strerror(status));
        return -1;
    }
    log_info("-", "http.open", "bind=%s port=%u", bind,
             (unsigned)ntohs(((struct sockaddr_in *)&address)->sin_port)); /* same place in v6 */
    return 0;
}

static void on_own_closed(uv_handle_t *handle)
{
    http_released(handle->data);
}

struct http *http_new(struct uv_loop_s *loop, const char *bind, int port, http_fn answer,
                      void *owner)
{
    struct http *h = calloc(1, sizeof(*h));
    if (h == NULL) {
        return NULL;
    }
    h->answer = answer;
    h->owner = owner;
    h->n_handles = 2;
    list_init(&h->clients);
    uv_tcp_init(loop, &h->listener);
    uv_timer_init(loop, &h->timer);
    h->listener.data = h;
    h->timer.data = h;
    if (http_listen(h, bind, port) < 0) {
        http_free(h);
        return NULL;
    }
    uv_timer_start(&h->timer, on_timer, HTTP_DEADLINE_MS, 1000);
    return h;
}

void http_free(struct http *h)
{
    if (h == NULL) {
        return;
    }
    while (!list_is_empty(&h->clients)) {
        client_close(LIST_OWNER(h->clients.next, struct client, node));
    }
    uv_close((uv_handle_t *)&h->listener, on_own_closed);
    uv_close((uv_handle_t *)&h->timer, on_own_closed);
}
