/* The connections of one thread: they are opened a few at a time, shake hands, log in, subscribe,
 * and then read.
 *
 * A client_set is a loop of its own over epoll; nothing in it is touched by another thread but the
 * counters, which are atomic for readers. Publishers are clients that do not subscribe; publisher.c
 * writes through them.
 */
#pragma once

#include "bytes.h"
#include "deal.h"
#include "hist.h"
#include "inlet.h"
#include "ledger.h"
#include "options.h"
#include "tls.h"
#include "websocket.h"

#include <netinet/in.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CLIENT_FATES_MAX 8
#define CLIENT_STALLED_RCVBUF 4096 /* the kernel doubles it */
#define CLIENT_SUBSCRIBES_MAX 32   /* on their way at a time, per connection */

enum client_state {
    CLIENT_NEW,
    CLIENT_CONNECTING,  /* TCP */
    CLIENT_UPGRADING,   /* the handshake of WebSocket */
    CLIENT_OPENING,     /* the server has the first word */
    CLIENT_GREETING,    /* CONNECT was sent */
    CLIENT_SUBSCRIBING, /* SUBSCRIBE was sent */
    CLIENT_READY,
    CLIENT_STALLED, /* ready, and reads nothing */
    CLIENT_WAKING,  /* was stalled, and reads what there is to see what the server did */
    CLIENT_LEAVING, /* has said goodbye and waits for the server to end it */
    CLIENT_CLOSED
};

struct client {
    int fd;
    enum client_state state;
    uint32_t events; /* that epoll waits for */
    bool is_publisher;
    bool has_left;       /* had subscribed and said goodbye before it ended */
    bool is_stalled;     /* will be, when it has subscribed */
    unsigned close_code; /* of the server's close frame; 0: none came */
    unsigned first;      /* the number of its first subscription */
    unsigned room;       /* and the room of that; the others follow */
    unsigned n_asked;    /* SUBSCRIBEs that were sent */
    unsigned n_answered; /* and those that are in force */
    uint32_t *next;      /* of each subscription: the number within its room that comes next; of one
                            that hears all rooms: which row of next_all has those */
    struct tls *tls;     /* NULL: plain */
    struct bytes in;     /* the begin of a frame */
    struct bytes out;
};

/* How many stalled connections the server ended with this code. */
struct client_fate {
    unsigned code; /* 0: without one */
    uint64_t n;
};

struct client_counters {
    _Atomic uint64_t ready;
    _Atomic uint64_t subscribed;     /* subscriptions that are in force */
    _Atomic uint64_t closed;         /* connections that ended, for whatever reason */
    _Atomic uint64_t stalled_closed; /* of the stalled, which are none of the above */
    _Atomic uint64_t delivered;
    _Atomic uint64_t duplicated; /* or out of order */
    _Atomic uint64_t foreign;    /* messages that are none of this run */
};

/* What all threads of a run share. */
struct client_run {
    const struct options *options;
    struct sockaddr_in address;
    struct sockaddr_in publish_address;
    struct tls_context *tls; /* NULL: nobody speaks it */
    struct ledger *ledger;
    int wake_fd; /* an eventfd: the last delivery of a message was seen by another thread than the
                    publisher's */
    _Atomic uint64_t from_ns; /* latency counts for messages intended in [from_ns, until_ns) */
    _Atomic uint64_t until_ns;
    _Atomic bool is_waking; /* the stalled are to look what has become of them */
    _Atomic bool is_over;
};

struct client_set {
    struct client_run *run;
    int epoll_fd;
    bool is_storm; /* who has subscribed leaves */
    bool wakes;    /* this thread is not the publisher's */
    struct client *clients;
    uint32_t *next;     /* of all of them */
    uint32_t *next_all; /* and of those subscriptions that hear all rooms, for each room */
    unsigned n;
    unsigned n_opened;
    unsigned n_opening;
    uint64_t since_ns; /* the wheel of the heart-beats turns since then */
    uint64_t n_beats;  /* places that its hand has passed */
    bool is_awake;     /* has seen is_waking */
    struct client_counters counters;
    struct client_fate fates[CLIENT_FATES_MAX];
    struct hist latency;
    struct inlet inlet;
};

uint64_t client_now_ns(void);

/* Takes `clients` (calloc'ed, is_publisher, first and room filled in). 0, or -1 with a message. */
int client_set_init(struct client_set *set, struct client_run *run, struct client *clients,
                    unsigned n);

/* Connects one. */
void client_open(struct client_set *set, struct client *c);

/* Opens as many as may be opening at a time. To be called each turn until all are. */
void client_set_open(struct client_set *set);

/* One turn of the loop: waits at most `timeout_ms`, reads and writes. */
void client_set_turn(struct client_set *set, int timeout_ms);

/* A zeroed set is left alone. */
void client_set_fini(struct client_set *set);

/* A WebSocket message in three parts, each of which may be missing. */
struct client_message {
    enum websocket_opcode opcode;
    const char *head;
    size_t head_len;
    const uint8_t *body;
    size_t body_len;
    const char *tail;
    size_t tail_len;
};

/* Queues one; client_flush() sends. 0, or -1 when out of memory. */
int client_put(struct client *c, const struct client_message *m);
void client_flush(struct client_set *set, struct client *c);

/* Counts fates of one set, or of others. */
void client_fate_add(struct client_fate fates[CLIENT_FATES_MAX], unsigned code, uint64_t n);

/* A message's number stands in its body, in this form. */
#define CLIENT_MARK_LEN 14
void client_write_mark(char mark[CLIENT_MARK_LEN + 1], uint64_t number);
