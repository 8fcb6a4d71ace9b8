/* Reads sockets into whole frames. What came whole is taken straight from memory that all sockets
 * of a loop share; what is left over waits in the socket's own bytes. A long frame whose begin is
 * there is read into memory of its own to its end, so that none of it is copied again and again.
 */
#pragma once

#include "bytes.h"
#include "tls.h"

#include <stddef.h>
#include <stdint.h>

#define INLET_BYTES 262144     /* that are read at a time */
#define INLET_LONG 65536       /* a frame from here on is long */
#define INLET_MAX (64ul << 20) /* no frame is longer */
#define INLET_CLOSED                                                                               \
    ((size_t)-1) /* the taker has closed the socket; nothing of it may be touched */

/* Of one loop. Zeroed is empty. */
struct inlet {
    uint8_t *mem;
    size_t cap;
};

struct inlet_socket {
    int fd;
    struct tls *tls;    /* NULL: plain */
    struct bytes *left; /* what has not been taken */
    void *owner;        /* given to the taker */
};

/* Is given all that is there; returns how much it took, or INLET_CLOSED. What begins behind that is
 * the begin of a WebSocket frame. */
typedef size_t (*inlet_take_fn)(void *owner, uint8_t *bytes, size_t len);

enum inlet_result {
    INLET_READ,
    INLET_EMPTY, /* nothing to read now */
    INLET_ENDED, /* errno, 0 at the end of the stream */
    INLET_GONE   /* the taker said INLET_CLOSED */
};

/* One read, and what it brought to the taker. */
enum inlet_result inlet_read(struct inlet *inlet, struct inlet_socket socket, inlet_take_fn take);

void inlet_fini(struct inlet *inlet);
