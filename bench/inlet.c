#include "inlet.h"
#include "websocket.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

static enum inlet_result end(int error)
{
    errno = error;
    return INLET_ENDED;
}

static enum inlet_result receive(const struct inlet_socket *s, uint8_t *bytes, size_t len,
                                 size_t *got)
{
    ssize_t n = s->tls ? tls_read(s->tls, bytes, len) : recv(s->fd, bytes, len, 0);
    if (n < 0) {
        return errno == EAGAIN || errno == EINTR ? INLET_EMPTY : INLET_ENDED;
    }
    *got = (size_t)n;
    return n > 0 ? INLET_READ : end(0);
}

/* Its memory holds the whole frame and nothing behind it. */
static enum inlet_result read_long(const struct inlet_socket *s, size_t total, inlet_take_fn take)
{
    size_t got = 0;
    uint8_t *behind = bytes_reserve(s->left, total - s->left->len);
    if (!behind) {
        return end(ENOMEM);
    }
    enum inlet_result result = receive(s, behind, total - s->left->len, &got);
    s->left->len += got;
    if (result != INLET_READ || s->left->len < total) {
        return result;
    }
    /* taken out, so that it lives as long as the taker looks at it */
    struct bytes frame = *s->left;
    *s->left = (struct bytes){0};
    size_t taken = take(s->owner, bytes_begin(&frame), frame.len);
    free(frame.mem);
    return taken == INLET_CLOSED ? INLET_GONE : INLET_READ;
}

static int reserve(struct inlet *inlet, size_t n)
{
    if (inlet->cap >= n) {
        return 0;
    }
    uint8_t *mem = realloc(inlet->mem, n);
    if (!mem) {
        return -1;
    }
    inlet->mem = mem;
    inlet->cap = n;
    return 0;
}

static enum inlet_result keep(struct bytes *left, const uint8_t *bytes, size_t len)
{
    if (len == 0) {
        bytes_drop(left, 0);
        return INLET_READ;
    }
    return bytes_append(left, bytes, len) < 0 ? end(ENOMEM) : INLET_READ;
}

static enum inlet_result read_shared(struct inlet *inlet, const struct inlet_socket *s,
                                     inlet_take_fn take)
{
    size_t before = s->left->len;
    size_t got = 0;
    if (reserve(inlet, before + INLET_BYTES) < 0) {
        return end(ENOMEM);
    }
    enum inlet_result result = receive(s, inlet->mem + before, INLET_BYTES, &got);
    if (result != INLET_READ) {
        return result;
    }
    if (before > 0) {
        memcpy(inlet->mem, bytes_begin(s->left), before);
        s->left->len = 0;
    }
    size_t taken = take(s->owner, inlet->mem, before + got);
    if (taken == INLET_CLOSED) {
        return INLET_GONE;
    }
    return keep(s->left, inlet->mem + taken, before + got - taken);
}

enum inlet_result inlet_read(struct inlet *inlet, struct inlet_socket socket, inlet_take_fn take)
{
    uint64_t total =
        socket.left->len > 0 ? websocket_length(bytes_begin(socket.left), socket.left->len) : 0;
    if (total > INLET_MAX) {
        return end(EMSGSIZE);
    }
    return total >= INLET_LONG ? read_long(&socket, (size_t)total, take)
                               : read_shared(inlet, &socket, take);
}

void inlet_fini(struct inlet *inlet)
{
    free(inlet->mem);
    *inlet = (struct inlet){0};
}
