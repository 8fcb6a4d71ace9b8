/* Clients of one room that get the very same bytes: same subscription id, same spelling, same
 * version. Used by audience.c alone.
 *
 *     deliveries of a pass    m1 ─ m2 ─ m3     (pending: encoded once for the cohort)
 *                                │ cohort_settle(): once for the pass
 *     out queue of a member   ▼ [m1 m2 m3]     (one pack, shared by all members)
 *
 * What is pending is put on the members' out queues when the pass over the queues begins, before
 * the membership changes, and when it is as long as a write. So a message costs its members
 * nothing, a pass costs each one pointer and one write. A member whose queue is full, or to whom
 * something was dropped, and one without a WebSocket around its frames, gets the messages one by
 * one.
 *
 * Belongs to one loop thread. Invariants: a cohort has members, but for the moment of its birth;
 * members[i].who->index == i; it is on sink->dirty while something is pending.
 */
#pragma once

#include "gateway/fanout/audience.h"

struct member {
    struct outq *outq;
    struct subscriber *who;
};

struct cohort {
    struct list node;  /* in room->cohorts */
    struct list dirty; /* in sink->dirty */
    struct room *room;
    struct member *members;
    uint32_t n;
    uint32_t cap;
    struct message *pending; /* oldest first, linked by message->next */
    struct message *last;
    uint32_t n_pending;
    uint32_t pending_bytes;
    enum stomp_version version;
    struct slice id;       /* ptr NULL: subscribed without one */
    struct slice spelling; /* both point into key */
    size_t key_len;
    char key[]; /* version, has-id, id, NUL, spelling */
};

/* The cohort of these bytes, made if need be and then without members; NULL when out of memory. */
struct cohort *cohort_for(struct room *room, enum stomp_version version, struct slice id,
                          struct slice spelling);

/* Nobody is in it and nothing pending. */
void cohort_free(struct cohort *c);

/* -1: out of memory, and it is not in the cohort. */
int cohort_add(struct cohort *c, struct subscriber *s) __attribute__((warn_unused_result));

/* Frees the cohort when nobody is left. */
void cohort_remove(struct cohort *c, struct subscriber *s);

/* Encodes the delivery for this cohort. */
void cohort_deliver(struct cohort *c, struct encoder *e);

/* Puts what is pending on the members' out queues. */
void cohort_settle(struct cohort *c);
