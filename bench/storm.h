/* A storm of joins and leaves: connections that come, log in, subscribe and go again, and whose
 * places are taken by the next, until so many have been there.
 *
 * Runs on the thread of whoever calls it, with a client_set of its own; a place is a client that is
 * used again and again.
 */
#pragma once

#include "client.h"

struct storm {
    struct client_set set;
    uint64_t begun;
    uint64_t gone;
    uint64_t failed; /* of those: ended before they had subscribed */
};

/* 0, or -1 with a message. */
int storm_init(struct storm *s, struct client_run *run);

/* One turn: the next take the places of those that have gone. Whether there is more to come. */
bool storm_turn(struct storm *s);

/* A zeroed storm is left alone. */
void storm_fini(struct storm *s);
