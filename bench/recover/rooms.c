/* The subscribers: each connection subscribes its share of the rooms, one SUBSCRIBE each, and
 * reads.
 */
#include "bench/recover/recover.h"
#include "bench/websocket.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define READ_BYTES ((size_t)64 * 1024)
#define CONNECTING_MAX 32

static const uint8_t MASK[4] = {0x37, 0xfa, 0x21, 0x3d};

struct line {
    int fd;
    bool is_open; /* the WebSocket handshake is over */
    bool is_done; /* all its rooms are subscribed */
    unsigned first;
    unsigned n;
    size_t len; /* of what lies in `in` */
    uint8_t in[READ_BYTES];
};

struct rooms {
    struct recover *run;
    struct line *lines;
    unsigned n_opened;
    unsigned n_done;
    int epoll_fd;
};

static void fatal(const char *what)
{
    fprintf(stderr, "recover: %s: %s\n", what, strerror(errno));
    exit(1);
}

/* The socket is non-blocking for reading; what is said is short and the peer reads. */
static void say(struct line *l, const void *bytes, size_t len)
{
    const uint8_t *p = bytes;
    while (len > 0) {
        ssize_t n = send(l->fd, p, len, MSG_NOSIGNAL);
        if (n > 0) {
            p += n;
            len -= (size_t)n;
        } else if (errno == EAGAIN) {
            usleep(1000);
        } else if (errno != EINTR) {
            fatal("send");
        }
    }
}

static void say_frame(struct line *l, const char *text, size_t len)
{
    uint8_t frame[512 + WEBSOCKET_HEAD_MAX];
    size_t head = websocket_head(frame, WEBSOCKET_TEXT, len, MASK);
    memcpy(frame + head, text, len);
    websocket_mask(frame + head, len, MASK);
    say(l, frame, head + len);
}

static void line_open(struct rooms *r, struct line *l)
{
    const struct recover_options *o = &r->run->options;
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)o->ws_port)};
    char text[1024];
    char host[160];
    int one = 1;
    inet_pton(AF_INET, o->host, &to.sin_addr);
    l->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (l->fd < 0 || connect(l->fd, (struct sockaddr *)&to, sizeof to) < 0) {
        fatal("connect");
    }
    setsockopt(l->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    fcntl(l->fd, F_SETFL, O_NONBLOCK);
    snprintf(host, sizeof host, "%s:%u", o->host, o->ws_port);
    say(l, text, websocket_request(text, sizeof text, host, o->ws_path, "v12.stomp"));
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = l};
    if (epoll_ctl(r->epoll_fd, EPOLL_CTL_ADD, l->fd, &event) < 0) {
        fatal("epoll_ctl");
    }
}

static void open_more(struct rooms *r)
{
    while (r->n_opened < r->run->options.connections && r->n_opened - r->n_done < CONNECTING_MAX) {
        line_open(r, &r->lines[r->n_opened++]);
    }
}

/* A receipt for each: how many stand is counted as they come. */
static void subscribe_all(struct rooms *r, struct line *l)
{
    char text[512];
    for (unsigned i = 0; i < l->n; i++) {
        int n =
            snprintf(text, sizeof text, "SUBSCRIBE\nid:%u\nreceipt:%u\ndestination:/topic/%s%u\n\n",
                     i, i, r->run->options.prefix, l->first + i);
        say_frame(l, text, (size_t)n + 1);
    }
}

static const char *find(const char *text, size_t len, const char *what)
{
    size_t n = strlen(what);
    for (size_t i = 0; i + n <= len; i++) {
        if (memcmp(text + i, what, n) == 0) {
            return text + i;
        }
    }
    return NULL;
}

/* The subscription says the room, the body the mark. */
static void hear(struct rooms *r, struct line *l, const char *text, size_t len)
{
    const char *id = find(text, len, "\nsubscription:");
    const char *body = find(text, len, "\n\n");
    unsigned mark = body ? (unsigned)strtoul(body + 2, NULL, 10) : 0;
    if (!id || !body || mark >= atomic_load(&r->run->n_marks)) {
        atomic_fetch_add(&r->run->n_foreign, 1);
        return;
    }
    struct recover_mark *m = &r->run->marks[mark];
    if (m->room != l->first + (unsigned)strtoul(id + strlen("\nsubscription:"), NULL, 10)) {
        atomic_fetch_add(&r->run->n_foreign, 1);
        return;
    }
    if (atomic_fetch_add(&m->n_heard, 1) == 0) {
        atomic_store(&m->heard_ns, recover_now_ns());
    }
}

static void on_text(struct rooms *r, struct line *l, const char *text, size_t len)
{
    if (len > 8 && memcmp(text, "MESSAGE\n", 8) == 0) {
        hear(r, l, text, len);
    } else if (len > 8 && memcmp(text, "RECEIPT\n", 8) == 0) {
        atomic_fetch_add(&r->run->n_subscribed, 1);
        const char *id = find(text, len, "receipt-id:");
        if (id && strtoul(id + strlen("receipt-id:"), NULL, 10) == l->n - 1) {
            l->is_done = true;
            r->n_done++;
            open_more(r);
        }
    } else if (len > 10 && memcmp(text, "CONNECTED\n", 10) == 0) {
        subscribe_all(r, l);
    } else if (len > 6 && memcmp(text, "ERROR\n", 6) == 0) {
        fprintf(stderr, "recover: %.*s\n", (int)len, text);
    }
}

static size_t on_handshake(struct line *l)
{
    static const char hello[] = "CONNECT\naccept-version:1.2\nhost:/\nheart-beat:0,0\n\n";
    int n = websocket_answer((const char *)l->in, l->len);
    if (n < 0) {
        fatal("no 101 to the handshake");
    }
    if (n > 0) {
        l->is_open = true;
        say_frame(l, hello, sizeof hello);
    }
    return (size_t)n;
}

static void on_frame(struct rooms *r, struct line *l, struct websocket_frame *frame)
{
    if (frame->opcode == WEBSOCKET_PING) {
        uint8_t pong[WEBSOCKET_HEAD_MAX + 125];
        size_t head = websocket_head(pong, WEBSOCKET_PONG, frame->len, MASK);
        memcpy(pong + head, frame->payload, frame->len);
        websocket_mask(pong + head, frame->len, MASK);
        say(l, pong, head + frame->len);
    } else if (frame->opcode != WEBSOCKET_CLOSE) {
        on_text(r, l, (const char *)frame->payload, frame->len);
    }
}

static void line_read(struct rooms *r, struct line *l)
{
    ssize_t n = recv(l->fd, l->in + l->len, READ_BYTES - l->len, 0);
    if (n <= 0) {
        if (n == 0 || errno != EAGAIN) {
            epoll_ctl(r->epoll_fd, EPOLL_CTL_DEL, l->fd, NULL);
            atomic_fetch_add(&r->run->n_closed, 1);
        }
        return;
    }
    l->len += (size_t)n;
    size_t taken = l->is_open ? 0 : on_handshake(l);
    struct websocket_frame frame;
    while (l->is_open) {
        size_t took = websocket_take(l->in + taken, l->len - taken, &frame);
        if (took == 0) {
            break;
        }
        on_frame(r, l, &frame);
        taken += took;
    }
    l->len -= taken;
    memmove(l->in, l->in + taken, l->len);
}

void *rooms_run(void *arg)
{
    struct rooms r = {.run = arg};
    const struct recover_options *o = &r.run->options;
    r.lines = calloc(o->connections, sizeof *r.lines);
    r.epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (!r.lines || r.epoll_fd < 0) {
        fatal("out of memory");
    }
    for (unsigned i = 0; i < o->connections; i++) {
        r.lines[i].first = (unsigned)((uint64_t)o->rooms * i / o->connections);
        r.lines[i].n = (unsigned)((uint64_t)o->rooms * (i + 1) / o->connections) - r.lines[i].first;
    }
    open_more(&r);
    while (!atomic_load(&r.run->is_over)) {
        struct epoll_event events[256];
        int n = epoll_wait(r.epoll_fd, events, 256, 100);
        for (int i = 0; i < n; i++) {
            line_read(&r, events[i].data.ptr);
        }
    }
    for (unsigned i = 0; i < r.n_opened; i++) {
        close(r.lines[i].fd);
    }
    close(r.epoll_fd);
    free(r.lines);
    return NULL;
}
