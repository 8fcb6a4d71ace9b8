#define _GNU_SOURCE /* accept4(), which is POSIX since 2024 */
#include "common/list.h"
#include "common/log.h"
#include "common/map.h"
#include "common/wheel.h"
#include "gateway/reactor.h"
#include "gateway/transport/transport.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>
#include <uv.h>

#define ACCEPTS_PER_TURN 64
#define BACKLOG 4096
#define SEND_BUFFER_BYTES                                                                          \
    131072           /* bounds what the kernel holds for a client that does not read               \
                      */
#define PAUSE_MS 200 /* after running out of descriptors */
#define ADDRESS_LEN (INET6_ADDRSTRLEN + 4)

/* How many sockets one address has open; IPv6 counts by /64. */
struct peer {
    int n;
    char key[ADDRESS_LEN];
};

/* One listening socket. */
struct door {
    struct listener *listener;
    int fd;
    uv_poll_t poll;
    listener_adopt adopt;
};

struct listener {
    struct reactor *reactor;
    struct door doors[LISTENER_DOORS];
    int n_doors;
    bool is_open;
    struct wheel_timer resume;
    int n_open;
    struct map peers;
};

/* ---- Who is there ---- */

static void peer_key(const char *address, char key[ADDRESS_LEN])
{
    struct in6_addr a;
    snprintf(key, ADDRESS_LEN, "%s", address);
    if (strchr(address, ':') && inet_pton(AF_INET6, address, &a) == 1 &&
        !IN6_IS_ADDR_V4MAPPED(&a)) {
        memset(a.s6_addr + 8, 0, 8);
        if (inet_ntop(AF_INET6, &a, key, ADDRESS_LEN - 4)) {
            strncat(key, "/64", 4);
        }
    }
}

/* False when the address has as many as it may have. */
static bool peer_add(struct listener *l, const char *address)
{
    int limit = l->reactor->config->limits.connections_per_address;
    if (limit == 0) {
        return true;
    }
    char key[ADDRESS_LEN];
    peer_key(address, key);
    struct peer *p = map_get(&l->peers, key, strlen(key));
    if (!p) {
        p = calloc(1, sizeof *p);
        if (!p) {
            return false;
        }
        memcpy(p->key, key, sizeof key);
        if (map_put(&l->peers, p->key, strlen(p->key), p) != 0) {
            free(p);
            return false;
        }
    }
    if (p->n >= limit) {
        return false;
    }
    p->n++;
    return true;
}

void listener_gone(struct listener *l, const char *address)
{
    if (!l) {
        return;
    }
    l->n_open--;
    metrics_set(&l->reactor->metrics, METRIC_CONNECTIONS, (uint64_t)l->n_open);
    char key[ADDRESS_LEN];
    peer_key(address, key);
    struct peer *p = map_get(&l->peers, key, strlen(key));
    if (p && --p->n == 0) {
        map_take(&l->peers, key, strlen(key));
        free(p);
    }
}

/* ---- Accepting ---- */

static void on_listen(uv_poll_t *handle, int status, int events);

/* Out of descriptors (or of kernel memory): nobody is accepted until some are free again.
 * Connections wait in the backlog. */
static void pause_accepting(struct listener *l, int error)
{
    for (int i = 0; i < l->n_doors; i++) {
        uv_poll_stop(&l->doors[i].poll);
    }
    metrics_add(&l->reactor->metrics, METRIC_ACCEPT_PAUSED, 1);
    log_warn(l->reactor->name, "accept.paused", "error=%s open=%d", strerror(error), l->n_open);
    wheel_set(&l->reactor->wheel, &l->resume, l->reactor->now_ms + PAUSE_MS);
}

static void resume_accepting(struct listener *l)
{
    for (int i = 0; i < l->n_doors; i++) {
        uv_poll_start(&l->doors[i].poll, UV_READABLE, on_listen);
    }
}

static bool has_descriptor(void)
{
    int fd = dup(STDERR_FILENO);
    if (fd < 0) {
        return false;
    }
    close(fd);
    return true;
}

static void on_resume(struct wheel_timer *timer, uint64_t now_ms)
{
    struct listener *l = LIST_OWNER(timer, struct listener, resume);
    if (!has_descriptor()) {
        wheel_set(&l->reactor->wheel, timer, now_ms + PAUSE_MS);
        return;
    }
    log_info(l->reactor->name, "accept.resumed", "open=%d", l->n_open);
    resume_accepting(l);
}

static void address_of(const struct sockaddr_storage *a, socklen_t len, char text[ADDRESS_LEN])
{
    if (a->ss_family == AF_INET) {
        inet_ntop(AF_INET, &((const struct sockaddr_in *)a)->sin_addr, text, ADDRESS_LEN);
    } else if (getnameinfo((const struct sockaddr *)a, len, text, ADDRESS_LEN, NULL, 0,
                           NI_NUMERICHOST) != 0) {
        snprintf(text, ADDRESS_LEN, "?");
    }
}

static void let_in(const struct door *door, int fd, const char *address)
{
    struct listener *l = door->listener;
    struct reactor *r = l->reactor;
    int limit = r->config->limits.connections;
    if ((limit > 0 && l->n_open >= limit) || !peer_add(l, address)) {
        metrics_add(&r->metrics, METRIC_ACCEPT_REFUSED, 1);
        log_info(r->name, "accept.refused", "ip=%s open=%d", address, l->n_open);
        close(fd);
        return;
    }
    l->n_open++;
    metrics_add(&r->metrics, METRIC_ACCEPTED, 1);
    metrics_set(&r->metrics, METRIC_CONNECTIONS, (uint64_t)l->n_open);
    if (door->adopt(r, fd, address) != 0) {
        listener_gone(l, address);
    }
}

static void on_listen(uv_poll_t *handle, int status, int events)
{
    struct door *door = handle->data;
    (void)status;
    (void)events;
    for (int i = 0; i < ACCEPTS_PER_TURN; i++) {
        struct sockaddr_storage from;
        socklen_t len = sizeof from;
        int fd = accept4(door->fd, (struct sockaddr *)&from, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0) {
            if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
                pause_accepting(door->listener, errno);
            }
            return;
        }
        char address[ADDRESS_LEN];
        address_of(&from, len, address);
        let_in(door, fd, address);
    }
}

/* ---- Life ---- */

/* Linux gives them on to the sockets that are accepted: no calls for each. */
static void set_options(int fd)
{
    int one = 1;
    int bytes = SEND_BUFFER_BYTES;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes);
}

/* A bound and listening socket, or -1 with errno. */
static int open_socket(const char *address, int port, bool is_shared)
{
    char service[16];
    snprintf(service, sizeof service, "%d", port);
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM,
                             .ai_flags = AI_PASSIVE | AI_NUMERICHOST | AI_NUMERICSERV};
    struct addrinfo *found;
    if (getaddrinfo(address, service, &hints, &found) != 0) {
        errno = EADDRNOTAVAIL;
        return -1;
    }
    int one = 1;
    int fd = socket(found->ai_family, SOCK_STREAM, 0);
    if (fd >= 0) {
        fcntl(fd, F_SETFL, O_NONBLOCK);
        fcntl(fd, F_SETFD, FD_CLOEXEC);
        set_options(fd);
        bool failed = is_shared && setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof one) != 0;
        if (failed || bind(fd, found->ai_addr, found->ai_addrlen) != 0 ||
            listen(fd, BACKLOG) != 0) {
            int error = errno;
            close(fd);
            errno = error;
            fd = -1;
        }
    }
    freeaddrinfo(found);
    return fd;
}

static int port_of(int fd)
{
    struct sockaddr_storage a;
    socklen_t len = sizeof a;
    if (getsockname(fd, (struct sockaddr *)&a, &len) != 0) {
        return 0;
    }
    return ntohs(a.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&a)->sin6_port
                                         : ((struct sockaddr_in *)&a)->sin_port);
}

static void complain(const struct listener *l, const char *address, int port)
{
    log_error(l->reactor->name, "listener.failed", "address=%s port=%d error=%s", address, port,
              errno == EADDRINUSE ? "port in use" : strerror(errno));
}

struct listener *listener_new(struct reactor *r)
{
    struct listener *l = calloc(1, sizeof *l);
    if (!l) {
        return NULL;
    }
    l->reactor = r;
    map_init(&l->peers);
    wheel_timer_init(&l->resume, on_resume);
    return l;
}

int listener_open(struct listener *l, const char *address, int *port, listener_adopt adopt)
{
    assert(l->n_doors < LISTENER_DOORS && !l->is_open);
    if (l->reactor->number == 0) {
        int probe = open_socket(address, *port, false);
        if (probe < 0) {
            complain(l, address, *port);
            return -1;
        }
        *port = port_of(probe);
        close(probe);
    }
    int fd = open_socket(address, *port, true);
    if (fd < 0) {
        complain(l, address, *port);
        return -1;
    }
    l->doors[l->n_doors++] = (struct door){.listener = l, .fd = fd, .adopt = adopt};
    return 0;
}

void listener_start(struct listener *l)
{
    for (int i = 0; i < l->n_doors; i++) {
        struct door *door = &l->doors[i];
        uv_poll_init(l->reactor->loop, &door->poll, door->fd);
        door->poll.data = door;
    }
    l->is_open = true;
    resume_accepting(l);
}

void listener_stop(struct listener *l)
{
    if (!l->is_open) {
        return;
    }
    l->is_open = false;
    wheel_cancel(&l->reactor->wheel, &l->resume);
    for (int i = 0; i < l->n_doors; i++) {
        struct door *door = &l->doors[i];
        uv_poll_stop(&door->poll);
        uv_close((uv_handle_t *)&door->poll, NULL);
        close(door->fd);
        door->fd = -1;
    }
}

void listener_free(struct listener *l)
{
    if (!l) {
        return;
    }
    for (int i = 0; i < l->n_doors; i++) {
        if (l->doors[i].fd >= 0) {
            close(l->doors[i].fd);
        }
    }
    struct map_entry entry;
    for (size_t cursor = 0; map_next(&l->peers, &cursor, &entry);) {
        free(entry.value);
    }
    map_fini(&l->peers);
    free(l);
}
