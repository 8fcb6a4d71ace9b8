/* Shared by live.c (subscribing, life), live_queue.c (queues and deliveries), live_binding.c
 * (rooms) and gap.c (what happens after a gap). */
#pragma once

#include "common/id.h"
#include "common/map.h"
#include "gateway/fanout/live.h"

/* One queue at the broker and the rooms that it feeds. */
struct live_queue {
    uint64_t id;
    struct live *live;
    const struct config_route *route;
    struct audience audience;
    struct room *
        tapped; /* a tap: the one room that it feeds, whatever the routing keys of its deliveries */
    bool is_tap;
    bool is_fixed; /* of an exchange named in the configuration: stays when its last room goes */
    bool is_client_named;       /* its exchange is: ours to delete when nobody needs it */
    bool is_asked;              /* an answer about the exchange is on its way */
    bool has_exchange;          /* the exchange is known to stand; until then rooms wait */
    struct list turn;           /* in live->turn: something is to be asked of the broker */
    struct gap_fill *fill;      /* a fill that is under way: gap.c */
    struct live_recent *recent; /* ids given lately, where the route fills gaps: gap.c */
    char *exchange;
    char *queue;
    size_t key_len; /* of the key in live->by_key */
    char key[];
};

/* Binding of one room; room->host_data. */
struct live_binding {
    uint64_t id;
    struct live_queue *queue;
    struct room *room;
    bool is_asked;
    bool is_bound;
    struct wheel_timer linger;
};

struct live {
    struct live_options options;
    struct broker *broker;
    struct map by_key;   /* exchange [NUL tap key] → live_queue */
    struct map by_id;    /* live_queue.id → live_queue */
    struct map by_queue; /* queue name → live_queue */
    struct map bindings; /* live_binding.id → live_binding */
    struct audience_sink sink;
    struct list turn;
    uint64_t last_id;
    struct id_generator ids;
    struct live_stats stats;
    void (*stopped)(void *reactor);
};

/* gap.c: what the route says. */
void live_gap(struct live_queue *q, uint64_t from_unix_ms);

/* gap.c: true when a fill is under way for this queue: the delivery was kept and comes later. */
bool live_gap_hold(struct live_queue *q, const struct broker_delivery *delivery);

/* gap.c: the queue goes. */
void live_gap_cancel(struct live_queue *q);

/* live_queue.c: the queue that feeds this destination, made if need be; NULL when out of memory. */
struct live_queue *live_queue_for(struct live *live, const struct destination *d);

/* live_queue.c: makes sure of the exchange, then of the queue, then asks for the bindings of all
 * rooms. -1: out of memory. */
int live_queue_open(struct live_queue *q);
void live_queue_free(struct live_queue *q);

/* live_queue.c: the rooms of this binding key, or with key.ptr NULL all of them, hear nothing any
 * more. */
void live_queue_lose(struct live_queue *q, struct slice key, const struct broker_reply *reply);

/* live_queue.c: asks for the bindings of all its rooms that were not asked for. */
void live_queue_ask(struct live_queue *q);

/* live_binding.c: a new room; NULL when out of memory. */
struct live_binding *live_binding_new(struct live_queue *q, struct slice key, bool is_pattern);

/* live_binding.c: asks the broker, unless that was done or the exchange does not stand yet. */
void live_binding_ask(struct live_binding *b);

/* live_binding.c: tells everybody who waits: problem NULL: the binding stands. */
void live_binding_answer(struct room *room, const struct session_problem *problem);

/* live_binding.c: tells everybody in the room and everybody who waits that nothing will come, and
 * forgets the binding. */
void live_binding_lose(struct room *room, const struct session_problem *problem);

/* live_binding.c: the room goes after the linger if nobody is in it. */
void live_binding_linger(struct live_binding *b);

/* live_binding.c: the room goes, and with the last one a queue that nobody named in the
 * configuration. */
void live_binding_free(struct live_binding *b);

/* live_binding.c: the broker's refusal in the words of a session. */
void live_problem(const struct broker_reply *reply, struct session_problem *problem);

/* live_queue.c: gives one delivery to whom it is for. */
void live_give(struct live_queue *q, const struct broker_delivery *delivery);

/* live_queue.c: calls fn for every room of the queue; fn must not remove it. */
void live_each_room(struct live_queue *q, void (*fn)(struct room *room, void *arg), void *arg);

/* live_queue.c: wall-clock time. */
uint64_t live_unix_ms(void);
