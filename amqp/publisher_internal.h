/* What publisher.c and absent.c share. */
#pragma once

#include "amqp/broker_internal.h"

struct absent;

/* One accepted publish. Its memory: the struct, the two encoded frames, the body, the message id.
 */
struct publication {
    struct list node; /* in unsent, or with an absent queue */
    uint64_t session;
    uint64_t token;
    size_t bytes; /* of the whole */
    size_t head_len;
    size_t method_len; /* the first of the two frames */
    size_t body_len;
    struct slice exchange;
    struct slice routing_key;
    struct slice message_id;
    unsigned tries; /* for an exchange that was declared again for it */
    bool is_mandatory;
    bool was_sent;
    bool is_returned;
    bool had_its_retry;    /* for a queue that was declared again for it */
    struct absent *absent; /* returned, and to be sent again when its queue stands */
    uint16_t code;         /* of the return */
    char *note;            /* of the return */
    uint8_t mem[];
};

/* `p` is in no list any more. */
void publisher_settle(struct broker *b, struct publication *p, enum broker_outcome outcome,
                      uint16_t code, const char *text);
/* Puts all of `from` in front of what waits to be sent. */
void publisher_put_first(struct pub_channel *pc, struct list *from);

/* ---- Queues that are gone (absent.c) ---- */

/* `p` was returned. Takes note of that when it may be sent again. */
void absent_note_return(struct broker *b, struct pub_channel *pc, struct publication *p);
/* `p`, of which note was taken, is confirmed: takes it. */
void absent_take(struct broker *b, struct publication *p);
/* `p` was nacked, or the channel that it was sent on is gone. */
void absent_forget(struct broker *b, struct publication *p);
/* Takes `p`, which was about to be sent, when it must wait for its queue. */
bool absent_holds(struct pub_channel *pc, struct publication *p);
/* Asks the owner, at the end of the turn. */
void absent_pump(struct broker *b, struct pub_channel *pc);
/* The channel is gone: what was held is to be sent again behind what was on its way, and what was
 * returned in front of that. */
void absent_put_back_held(struct pub_channel *pc);
void absent_put_back_returned(struct broker *b, struct pub_channel *pc);
