/* What private.c (life), private_ask.c (what is asked) and private_answer.c (what the broker says)
 * share. */
#pragma once

#include "amqp/broker_internal.h"
#include "amqp/private.h"

/* A request on its way. It stays in the channel's list until its turn to be told has come.
 *
 * RabbitMQ 3.10's channel crashes, and takes the whole connection with it (541), when a
 * basic.cancel reaches it before the consume-ok that the queue sends back through it. So a cancel
 * is held until its consumer runs, and all that is asked behind it, to keep the order. In the
 * channel's list the held ones are behind the sent ones. */
struct ask {
    struct request request;
    uint64_t cookie; /* 0: ours, nobody hears of its answer */
    bool is_held;
    bool is_answered;
    struct buf frame; /* held: what is to be sent */
    uint32_t messages;
    uint32_t consumers;
    const char *tag; /* consume, cancel: behind the queue's name */
    char queue[];    /* "" where there is none */
};

struct private_consumer {
    uint64_t cookie;
    bool is_running; /* consume-ok came */
    bool is_leaving; /* basic.cancel is on its way, or held */
    char tag[];
};

/* Invariants: while is_gone is false it is in privates.open, or in privates.lost when its
 * connection has gone and its owner is about to hear of it. Once is_gone it is in privates.dead, no
 * callback runs for it any more, and it is freed when no frame is being handled. */
struct private_channel {
    struct list node;
    struct broker *b;
    const struct private_events *events;
    void *owner;
    bool is_gone;
    int prefetch;         /* of the last basic.qos; -1: none was sent */
    unsigned n_held;      /* requests */
    struct map consumers; /* by tag */
    struct channel channel;
};

static inline struct private_channel *private_of(struct channel *ch)
{
    return LIST_OWNER(ch, struct private_channel, channel);
}

static inline struct ask *ask_of(struct list *node)
{
    return LIST_OWNER(node, struct ask, request.node);
}

/* Between a failure and the hour when the owner hears of it, requests go nowhere. */
static inline bool private_is_sending(const struct broker *b)
{
    return !b->conn.has_failed && b->conn.phase == CONN_OPEN;
}

/* No callback runs for it any more; freed by private_reap(). */
void private_bury(struct private_channel *ch);
/* A method without names that matter. -1 when out of memory. */
int private_request(struct private_channel *ch, uint64_t cookie, amqp_method_number_t id,
                    void *method) __attribute__((warn_unused_result));
void private_free_ask(struct ask *ask);
/* A consumer runs: what was held behind its cancel may go. */
void private_send_held(struct private_channel *ch);
/* Its number may be used again. */
void private_release(struct broker *b, uint16_t number);
