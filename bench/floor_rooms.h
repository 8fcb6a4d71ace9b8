/* Who of the floor's peers hears what: rooms, and in each the subscribers with the same
 * subscription id, because a message is encoded once for all of those.
 */
#pragma once

#include "bytes.h"

#include <stddef.h>
#include <stdint.h>

struct peer;

struct member {
    struct peer *peer;
    uint32_t seat; /* which of the peer's seats this is */
};

struct group {
    char id[24]; /* of the subscription */
    struct member *members;
    uint32_t n;
    uint32_t cap;
    struct bytes frames; /* that are gathered in this turn */
};

struct room {
    char *name;
    size_t name_len;
    struct group *groups; /* mostly one */
    uint32_t n_groups;
};

/* Where a peer sits; it has one for each subscription. A group is found by its number, since the
 * array of groups moves. */
struct seat {
    struct room *room;
    uint32_t group;
    uint32_t member;
};

struct seats {
    struct seat *seats;
    uint32_t n;
};

/* Found, or made. Running out of memory ends the program, here and below. */
struct room *rooms_get(const char *name, size_t len);

void rooms_join(struct room *room, const char *id, size_t id_len, struct peer *peer,
                struct seats *seats);

/* Takes the peer out of all rooms. `seats_of` finds the seats of another peer. */
void rooms_leave(struct seats *seats, struct seats *(*seats_of)(struct peer *));

void *need(void *memory);
