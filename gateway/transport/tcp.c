/* Plain TCP: frames as they are, without a WebSocket around them. Sockets of our own on the loop,
 * which never block.
 *
 * Who has closed his side (a half-close, or all of it, which looks the same) will send nothing
 * more. What he sent is executed, and who said DISCONNECT gets his RECEIPT before we close too;
 * anybody else has gone. */
#include "gateway/transport/transport.h"

#include "common/list.h"
#include "common/log.h"
#include "gateway/client.h"
#include "gateway/reactor.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>
#include <uv.h>

#define READ_BYTES 65536
#define MESSAGES_PER_WRITE 64

/* A peer that answers no probe for so long is gone: as long as over WebSocket. */
#define PROBE_AFTER_S 25
#define PROBE_EVERY_S 10
#define PROBES 5

struct plain {
    struct reactor *reactor;
    struct client *client;
    int fd;
    uv_poll_t poll;
    int events;      /* what the loop looks for */
    struct list end; /* in tcp->leaving or tcp->ended, or in none */
    bool is_wanted;  /* the session wants to read */
    bool is_blocked; /* the socket takes no more for now */
    bool is_closing; /* the session has ended; what still comes is dropped */
    bool has_fin;    /* we have closed our side */
    bool has_left;   /* the peer has closed his side */
    bool has_ended;  /* to be closed at the end of the turn */
    char address[];
};

struct tcp {
    struct list leaving; /* has_left, but something is owed */
    struct list ended;
    uint8_t bytes[READ_BYTES];
};

/* ---- The end ---- */

/* Not closed here: this may be called from inside the session. */
static void end(struct plain *c)
{
    c->has_ended = true;
    list_remove(&c->end);
    list_push(&c->reactor->tcp->ended, &c->end);
}

static void on_closed(uv_handle_t *handle)
{
    free(handle->data);
}

/* After a reset, or when nothing could be written any more: what had come before is executed. */
static void read_rest(struct plain *c)
{
    struct tcp *t = c->reactor->tcp;
    ssize_t n = 1;
    while (n > 0 && c->is_wanted && !c->is_closing) {
        n = recv(c->fd, t->bytes, sizeof t->bytes, 0);
        if (n > 0) {
            client_received(c->client, t->bytes, (size_t)n);
        }
    }
}

static void finish(struct plain *c)
{
    struct reactor *r = c->reactor;
    read_rest(c);
    list_remove(&c->end);
    client_gone(c->client);
    uv_poll_stop(&c->poll);
    uv_close((uv_handle_t *)&c->poll, on_closed);
    close(c->fd);
    metrics_add(&r->metrics, METRIC_TCP_SESSIONS, -1);
    listener_gone(r->listener, c->address);
}

void tcp_turn(struct tcp *t)
{
    struct list *next;
    for (struct list *n = t->leaving.next; n != &t->leaving; n = next) {
        struct plain *c = LIST_OWNER(n, struct plain, end);
        next = n->next;
        if (client_outq(c->client)->n == 0 && (c->is_closing || !client_is_owed(c->client))) {
            end(c);
        }
    }
    while (!list_is_empty(&t->ended)) {
        finish(LIST_OWNER(t->ended.next, struct plain, end));
    }
}

/* ---- Out ---- */

static void on_event(uv_poll_t *handle, int status, int events);

static void watch(struct plain *c)
{
    bool is_read = (c->is_wanted || c->is_closing) && !c->has_left;
    int events = (is_read ? UV_READABLE : 0) | (c->is_blocked ? UV_WRITABLE : 0);
    if (events == c->events || c->has_ended) {
        return;
    }
    c->events = events;
    if (events) {
        uv_poll_start(&c->poll, events, on_event);
    } else {
        uv_poll_stop(&c->poll);
    }
}

static size_t gather(const struct outq *q, struct iovec pieces[MESSAGES_PER_WRITE])
{
    uint32_t n;
    for (n = 0; n < q->n && n < MESSAGES_PER_WRITE; n++) {
        size_t len;
        const uint8_t *bytes = message_plain(outq_at(q, n), &len);
        size_t off = n == 0 ? q->first_off : 0;
        pieces[n].iov_base = (void *)(uintptr_t)(bytes + off);
        pieces[n].iov_len = len - off;
    }
    return n;
}

/* Whole messages, and a part of the one behind them. */
static void tell_written(struct client *client, const struct iovec *pieces, size_t bytes)
{
    uint32_t n = 0;
    size_t whole = 0;
    while (whole < bytes && pieces[n].iov_len <= bytes - whole) {
        whole += pieces[n++].iov_len;
    }
    if (n > 0) {
        client_wrote(client, n, whole);
    }
    if (whole < bytes) {
        client_wrote(client, 0, bytes - whole);
    }
}

/* False: the socket takes no more for now, or has failed. */
static bool write_some(struct plain *c)
{
    struct iovec pieces[MESSAGES_PER_WRITE];
    struct msghdr message = {.msg_iov = pieces};
    message.msg_iovlen = gather(client_outq(c->client), pieces);
    ssize_t n = sendmsg(c->fd, &message, MSG_NOSIGNAL);
    if (n >= 0) {
        tell_written(c->client, pieces, (size_t)n);
        return true;
    }
    if (errno != EAGAIN && errno != EINTR) {
        end(c);
    }
    return false;
}

static void plain_flush(void *connection)
{
    struct plain *c = connection;
    const struct outq *q = client_outq(c->client);
    if (c->has_ended) {
        return;
    }
    while (q->n > 0 && write_some(c)) {
    }
    c->is_blocked = q->n > 0;
    if (c->is_closing && !c->has_fin && q->n == 0) {
        c->has_fin = true;
        shutdown(c->fd, SHUT_WR); /* the peer reads to the end, and closes; or is cut */
    }
    watch(c);
}

static void plain_read(void *connection, bool wanted)
{
    struct plain *c = connection;
    c->is_wanted = wanted;
    watch(c);
}

/* TCP has no close code: the ERROR that stands in the queue says why. */
static void plain_close(void *connection, int code, const char *reason)
{
    struct plain *c = connection;
    (void)code;
    (void)reason;
    c->is_closing = true;
    watch(c);
}

/* What the peer has not taken until now is dropped by the kernel as well. */
static void plain_cut(void *connection)
{
    struct plain *c = connection;
    struct linger none = {.l_onoff = 1, .l_linger = 0};
    setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &none, sizeof none);
    c->is_closing = true;
    end(c);
}

static const struct transport_functions functions = {
    .flush = plain_flush,
    .read = plain_read,
    .close = plain_close,
    .cut = plain_cut,
};

/* ---- In ---- */

static void read_some(struct plain *c)
{
    struct tcp *t = c->reactor->tcp;
    ssize_t n = recv(c->fd, t->bytes, sizeof t->bytes, 0);
    if (n > 0) {
        if (!c->is_closing) {
            client_received(c->client, t->bytes, (size_t)n);
        }
    } else if (n == 0) {
        c->has_left = true;
        list_push(&t->leaving, &c->end);
        watch(c);
    } else if (errno != EAGAIN && errno != EINTR) {
        end(c);
    }
}

/* One read in a turn, so that a client who sends much does not keep the others waiting. */
static void on_event(uv_poll_t *handle, int status, int events)
{
    struct plain *c = handle->data;
    if (status < 0) { /* a reset; libuv looks no more at this socket */
        end(c);
        return;
    }
    if ((events & UV_READABLE) && !c->has_ended) {
        read_some(c);
    }
    if ((events & UV_WRITABLE) && !c->has_ended) {
        plain_flush(c);
    }
}

/* ---- Life ---- */

static void keep_alive(int fd)
{
    int on = 1;
    int idle = PROBE_AFTER_S;
    int interval = PROBE_EVERY_S;
    int count = PROBES;
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof idle);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof interval);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &count, sizeof count);
}

int tcp_adopt(struct reactor *r, int fd, const char *address)
{
    size_t len = strlen(address) + 1;
    struct plain *c = calloc(1, sizeof *c + len);
    if (!c || uv_poll_init(r->loop, &c->poll, fd) != 0) {
        free(c);
        close(fd);
        return -1;
    }
    c->reactor = r;
    c->fd = fd;
    c->is_wanted = true;
    c->poll.data = c;
    list_init(&c->end);
    memcpy(c->address, address, len);
    c->client = client_new(r, &r->tcp_settings, &functions, c, address);
    if (!c->client) {
        uv_close((uv_handle_t *)&c->poll, on_closed);
        close(fd);
        return -1;
    }
    client_outq(c->client)->is_plain = true;
    metrics_add(&r->metrics, METRIC_TCP_SESSIONS, 1);
    keep_alive(fd);
    watch(c);
    return 0;
}

struct tcp *tcp_new(struct reactor *r)
{
    struct tcp *t = calloc(1, sizeof *t);
    if (!t) {
        log_error(r->name, "tcp.failed", "out of memory");
        return NULL;
    }
    list_init(&t->leaving);
    list_init(&t->ended);
    return t;
}

void tcp_free(struct tcp *t)
{
    free(t);
}
