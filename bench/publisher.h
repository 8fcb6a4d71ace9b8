/* When to send what: a closed loop with a window, or a schedule. Runs on the loop of the client_set
 * that holds the publishers.
 *
 * On a schedule a message is due at a moment that was fixed before; when the generator or the
 * server is late, the message goes out late but its latency counts from that moment (no coordinated
 * omission).
 */
#pragma once

#include "client.h"

struct publisher {
    struct client_set *set;
    unsigned n;              /* clients 0 to n-1 of the set are publishers */
    uint32_t *room_size;     /* deliveries of a message to each room */
    struct client **written; /* of this turn: what they were given is still to be flushed */
    unsigned n_written;
    uint8_t *body;
    const char *type;   /* of it */
    uint64_t start_ns;  /* of the schedule */
    uint64_t scheduled; /* messages of it that went out */
    uint64_t behind_ns; /* how much later than intended one went out, at the most */
    uint64_t expected;  /* deliveries, of all that was sent */
    int timer_fd;
};

/* Borrows the set. 0, or -1 with a message. */
int publisher_init(struct publisher *p, struct client_set *set);

/* The schedule begins now. */
void publisher_start(struct publisher *p, uint64_t now_ns);

/* Sends what is due. To be called each turn. */
void publisher_turn(struct publisher *p, uint64_t now_ns);

void publisher_fini(struct publisher *p);
