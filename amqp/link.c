/* A TCP socket to one broker host. TLS will sit between this file and conn.c. */
#include "amqp/broker_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define READ_BYTES 16384

/* Of private channels, in one turn of the loop: a backlog there lets everybody else have a turn
 * after some hundred messages. */
#define PRIVATE_TURN_BYTES 65536

struct link {
    uv_tcp_t tcp;
    uv_getaddrinfo_t resolve;
    uv_connect_t connect;
    uv_write_t write;
    struct broker *b; /* NULL once let go */
    struct broker *home;
    struct addrinfo *addresses;
    struct addrinfo *next;
    struct buf writing;
    bool is_resolving;
    bool is_writing;
    bool is_connected;
    bool is_paused; /* until the next turn */
    size_t turn_bytes;
    bool is_open;    /* tcp is a handle that must be closed */
    bool is_closing; /* uv_close() was called for it */
    char host[256];
    char port[8];
};

static void try_next_address(struct link *l);

static void free_when_idle(struct link *l)
{
    if (l->b || l->is_open || l->is_resolving) {
        return;
    }
    struct broker *home = l->home;
    if (l->addresses) {
        uv_freeaddrinfo(l->addresses);
    }
    buf_fini(&l->writing);
    free(l);
    broker_handle_closed(home);
}

static void on_closed(uv_handle_t *handle)
{
    struct link *l = handle->data;
    l->is_open = false;
    l->is_closing = false;
    if (l->b) {
        try_next_address(l);
    } else {
        free_when_idle(l);
    }
}

static void close_tcp(struct link *l)
{
    if (l->is_open && !l->is_closing) {
        l->is_closing = true;
        uv_close((uv_handle_t *)&l->tcp, on_closed);
    }
}

static void lost(struct link *l, const char *what, int status)
{
    char why[320];
    snprintf(why, sizeof(why), "%s %s:%s: %s", what, l->host, l->port, uv_strerror(status));
    conn_lost(l->b, why);
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *room)
{
    struct link *l = handle->data;
    (void)suggested;
    if (!l->b) {
        *room = uv_buf_init(NULL, 0);
        return;
    }
    /* libuv reads up to 32 times before it lets the loop go on: in small steps, so that what came
     * is given on before more comes. */
    struct conn *c = &l->b->conn;
    size_t n = CONN_IN_BYTES - c->in_len;
    *room = uv_buf_init((char *)c->in + c->in_len, (unsigned)(n < READ_BYTES ? n : READ_BYTES));
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *room)
{
    struct link *l = stream->data;
    (void)room;
    if (!l->b || n == 0) {
        return;
    }
    if (n < 0) {
        lost(l, "lost", (int)n);
        return;
    }
    l->turn_bytes += (size_t)n;
    if (l->b->options.is_private && l->turn_bytes >= PRIVATE_TURN_BYTES) {
        uv_read_stop(stream);
        l->is_paused = true;
        broker_wake(l->b);
    }
    conn_received(l->b, (size_t)n);
}

void link_turn(struct link *l)
{
    l->turn_bytes = 0;
    if (!l->is_paused) {
        return;
    }
    l->is_paused = false;
    int status = l->is_closing ? 0 : uv_read_start((uv_stream_t *)&l->tcp, on_alloc, on_read);
    if (status < 0) {
        conn_fail(l->b, "cannot read from %s:%s: %s", l->host, l->port, uv_strerror(status));
    }
}

static void on_connect(uv_connect_t *request, int status)
{
    struct link *l = request->data;
    if (!l->b || l->is_closing) {
        return;
    }
    if (status == 0) {
        uv_tcp_nodelay(&l->tcp, 1);
        status = uv_read_start((uv_stream_t *)&l->tcp, on_alloc, on_read);
    }
    if (status == 0) {
        l->is_connected = true;
        conn_connected(l->b);
        return;
    }
    if (l->next) {
        close_tcp(l); /* the next address is tried when it is closed */
        return;
    }
    lost(l, "cannot connect to", status);
}

static void try_next_address(struct link *l)
{
    struct addrinfo *address = l->next;
    l->next = address->ai_next;
    int status = uv_tcp_init(l->home->loop, &l->tcp);
    if (status == 0) {
        l->tcp.data = l;
        l->is_open = true;
        l->connect.data = l;
        status = uv_tcp_connect(&l->connect, &l->tcp, address->ai_addr, on_connect);
    }
    if (status < 0) {
        lost(l, "cannot connect to", status);
    }
}

static void on_resolved(uv_getaddrinfo_t *request, int status, struct addrinfo *addresses)
{
    struct link *l = request->data;
    l->is_resolving = false;
    l->addresses = addresses;
    if (!l->b) {
        free_when_idle(l);
        return;
    }
    if (status < 0) {
        lost(l, "cannot resolve", status);
        return;
    }
    l->next = addresses;
    try_next_address(l);
}

/* "host:port" or "[v6]:port" */
static int split(struct link *l, const char *host_port)
{
    const char *colon = strrchr(host_port, ':');
    if (!colon || colon == host_port || strlen(colon + 1) >= sizeof(l->port) || !colon[1]) {
        return -1;
    }
    size_t len = (size_t)(colon - host_port);
    if (host_port[0] == '[' && host_port[len - 1] == ']') {
        host_port++;
        len -= 2;
    }
    if (len == 0 || len >= sizeof(l->host)) {
        return -1;
    }
    memcpy(l->host, host_port, len);
    memcpy(l->port, colon + 1, strlen(colon + 1) + 1);
    return 0;
}

struct link *link_open(struct broker *b, const char *host_port)
{
    struct link *l = calloc(1, sizeof(*l));
    if (!l || split(l, host_port) < 0) {
        free(l);
        return NULL;
    }
    buf_init(&l->writing);
    l->b = b;
    l->home = b;
    l->resolve.data = l;
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_family = AF_UNSPEC};
    if (uv_getaddrinfo(b->loop, &l->resolve, on_resolved, l->host, l->port, &hints) < 0) {
        free(l);
        return NULL;
    }
    l->is_resolving = true;
    b->n_open++;
    return l;
}

void link_close(struct link *l)
{
    l->b = NULL;
    l->is_connected = false;
    if (l->is_resolving) {
        uv_cancel((uv_req_t *)&l->resolve);
    }
    if (l->is_open) {
        close_tcp(l);
    } else if (!l->is_resolving) {
        free_when_idle(l);
    }
}

static void on_written(uv_write_t *request, int status)
{
    struct link *l = request->data;
    l->is_writing = false;
    buf_consume(&l->writing, l->writing.len);
    if (!l->b) {
        return;
    }
    if (status < 0) {
        lost(l, "lost", status);
        return;
    }
    broker_wake(l->b); /* the next flush, and publishes that wait for room in the output */
}

void link_flush(struct link *l, struct buf *out)
{
    if (!l->is_connected || l->is_writing || out->len == 0) {
        return;
    }
    uv_buf_t bytes = uv_buf_init((char *)buf_data(out), (unsigned)out->len);
    int n = uv_try_write((uv_stream_t *)&l->tcp, &bytes, 1);
    if (n > 0) {
        buf_consume(out, (size_t)n);
    } else if (n < 0 && n != UV_EAGAIN) {
        conn_fail(l->b, "cannot write to %s:%s: %s", l->host, l->port, uv_strerror(n));
        return;
    }
    if (out->len == 0) {
        return;
    }
    /* The socket is full. What is left is handed over whole; what comes meanwhile gathers in the
     * buffer that is empty now. */
    struct buf empty = l->writing;
    l->writing = *out;
    *out = empty;
    bytes = uv_buf_init((char *)buf_data(&l->writing), (unsigned)l->writing.len);
    l->write.data = l;
    int status = uv_write(&l->write, (uv_stream_t *)&l->tcp, &bytes, 1, on_written);
    if (status < 0) {
        conn_fail(l->b, "cannot write to %s:%s: %s", l->host, l->port, uv_strerror(status));
        return;
    }
    l->is_writing = true;
}
