/* Who listens to what on one live queue: rooms by routing key, in each room cohorts of subscribers
 * that get the very same bytes.
 *
 *     audience ┬ exact: key → room      room ┬ cohort (id "sub-0", …) ── members: out queues
 *              └ patterns: room, room        ├ cohort (id "sub-1", …) ── members
 *                                            └ waiting: subscribers whose binding does not stand
 *
 * A pure data structure: knows no broker and no socket. Belongs to one loop thread.
 *
 * Invariant: a subscriber is in exactly one cohort (cohort.h) or on its room's waiting list.
 */
#pragma once

#include "common/config.h"
#include "common/list.h"
#include "common/map.h"
#include "gateway/fanout/encode.h"
#include "gateway/fanout/outq.h"
#include "gateway/fanout/patterns.h"
#include "stomp/stomp.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct room;
struct cohort;

/* One subscription of one client. Owned by the client's side; embedded or allocated there. */
struct subscriber {
    struct list waiting; /* node in room->waiting while cohort is NULL */
    struct room *room;
    struct cohort *cohort;
    uint32_t index;
    uint32_t handle; /* of the session's subscription */
    enum stomp_version version;
    struct slice id;       /* both borrowed from the session's subscription, */
    struct slice spelling; /* which outlives this */
    struct outq *outq;
    void *owner; /* the client */
};

/* A destination that somebody here listens to, or did a moment ago. */
struct room {
    struct audience *audience;
    struct list node; /* in audience->patterns when is_pattern */
    struct list cohorts;
    struct map by_bytes;
    struct list waiting;
    size_t n_members;
    void *host_data; /* binding state and linger: fanout/live.c */
    bool is_pattern;
    bool has_gap; /* the next MESSAGE says gap:true */
    uint16_t key_len;
    char key[]; /* routing key or pattern, terminated */
};

/* Where deliveries go, and what became of them: one for all audiences of a reactor. */
struct audience_sink {
    /* This client's queue is over its bound (or memory ran out): to be closed, but not from inside
     * this call. */
    void (*over)(void *owner);

    /* This queue is full, but its socket was not tried yet: many messages may come in one loop
     * turn. May be NULL. */
    void (*flush)(struct outq *q);
    struct list dirty; /* cohorts for which something is pending */
    uint64_t queued;   /* MESSAGEs, ever */
    uint64_t dropped;
};

struct audience {
    const struct config *config;
    const char *exchange; /* of the live queue; borrowed */
    enum outq_policy policy;
    enum encode_opcode opcode;
    struct audience_sink *sink; /* borrowed */
    struct map exact;
    struct list patterns;       /* rooms with wildcards, */
    struct patterns by_pattern; /* and how a routing key finds them */
    size_t n_rooms;
};

void audience_sink_init(struct audience_sink *sink, void (*over)(void *owner),
                        void (*flush)(struct outq *q));

/* Borrows all it is given. */
void audience_init(struct audience *a, const struct config *config, const char *exchange,
                   enum outq_policy policy, struct audience_sink *sink);

/* All rooms must be gone. */
void audience_fini(struct audience *a);

struct room *audience_find(const struct audience *a, struct slice key, bool is_pattern);

/* A new empty room; NULL when out of memory. The key is at most 255 bytes and not there yet. */
struct room *audience_add(struct audience *a, struct slice key, bool is_pattern);

/* Frees the room, which has no members and nobody waiting. */
void audience_remove(struct room *room);

/* Puts a subscriber on the waiting list; the caller has set everything from `handle` on. */
void room_wait(struct room *room, struct subscriber *s);

/* Puts it (waiting or new) into the cohort for its bytes. -1: out of memory, and it is nowhere. */
int room_join(struct room *room, struct subscriber *s) __attribute__((warn_unused_result));

/* Takes the subscriber out of its cohort or waiting list; does nothing when it is nowhere. */
void room_leave(struct subscriber *s);

/* Somebody who is in it, not only waiting; NULL when nobody is. */
struct subscriber *room_any(const struct room *room);

static inline bool room_is_empty(const struct room *room)
{
    return room->n_members == 0 && list_is_empty(&room->waiting);
}

/* Encodes the delivery for every cohort of the exact room and of each pattern that matches, one
 * copy per subscription; it is on the members' queues after audience_settle() at the latest.
 * Returns the number of rooms that it was for. */
size_t audience_deliver(struct audience *a, struct encoder *e, struct slice key);

/* The same for one room, whatever the key. */
void room_deliver(struct room *room, struct encoder *e);

/* Puts everything that is pending on the out queues, in the order in which cohorts had their first
 * message. Within a subscription messages keep their order; between the subscriptions of one client
 * they need not. */
void audience_settle(struct audience_sink *sink);

/* Calls `fn` for every member; fn may make that member leave, and no other. */
void room_each(struct room *room, void (*fn)(struct subscriber *s, void *arg), void *arg);
