/* Shared by the files of gateway/publish/. The face is gateway/publish.h.
 *
 *     publish.c           the face: life, what the configuration names, one SEND
 *     publish_exchange.c  exchanges that clients name
 *     publish_queue.c     queues that SENDs declare
 */
#pragma once

#include "common/id.h"
#include "common/list.h"
#include "common/map.h"
#include "gateway/publish.h"
#include "gateway/session/queue.h"

#define PUBLISH_KNOWN_MS 5000   /* what stands is asked for again after this */
#define PUBLISH_MISSING_MS 1000 /* what does not, after this */

/* Of an exchange or a queue that a client named. */
enum publish_state {
    PUBLISH_ASKED,  /* an answer is on its way */
    PUBLISH_STANDS, /* until due_ms, or for as long as it is used where we keep it */
    PUBLISH_MISSING /* code and text say why; until due_ms */
};

struct publish {
    struct publish_options options;
    struct broker *broker;
    struct map exchanges; /* by name */
    struct map exchanges_by_id;
    struct map queues; /* by all that a declare says */
    struct map queues_by_id;
    struct map queues_by_name;    /* the last declaration of each */
    struct list queues_by_answer; /* those that are not being asked for, the longest ago first */
    uint64_t last_id;
    uint64_t restored;
    struct id_generator ids;
    bool is_inside; /* of a probe, whose answer may come at once */
    void (*stopped)(void *reactor);
};

/* ---- publish_exchange.c ---- */

int publish_keep_exchange(struct publish *p, const struct config_route *route, const char *name,
                          broker_done_fn done, uint64_t cookie) __attribute__((warn_unused_result));
int publish_bind_storage(struct publish *p, const struct config_route *route, const char *exchange,
                         broker_done_fn done, uint64_t cookie) __attribute__((warn_unused_result));

/* A publish found its exchange gone: declared again where we may. */
bool publish_exchange_missing(void *owner, struct slice exchange);
void publish_exchanges_free(struct publish *p);

/* ---- publish_queue.c ---- */

/* SESSION_DONE when the queue has been declared so within the last seconds. */
enum session_verdict publish_queue_check(struct publish *p, const struct session_queue *queue,
                                         struct session_problem *problem);

/* A publish came back: its queue is declared again, as it was last, where a SEND had declared it.
 */
bool publish_queue_missing(void *owner, struct slice name);
void publish_queues_free(struct publish *p);
