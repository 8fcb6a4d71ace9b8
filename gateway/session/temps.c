/* Request and reply (contracts: rabbitmq-stomp 1.5): a SEND with reply-to:/temp-queue/x makes, once
 * in a session and for each x, a queue with a name that nobody can guess, and hears what comes
 * there. The queue's name goes along as the AMQP reply_to. */
#include "gateway/session/outgoing.h"
#include "gateway/session/session_internal.h"

#include <stdlib.h>

static bool is_temp(struct slice reply_to)
{
    return slice_starts_with(reply_to, SLICE_LITERAL(TEMPS_PREFIX));
}

static struct session_subscription *find(const struct session *s, struct slice reply_to)
{
    struct session_subscription *sub = subs_find(s, reply_to, reply_to);
    return sub && sub->is_reply ? sub : NULL;
}

struct slice temps_name(const struct session *s, struct slice reply_to)
{
    const struct session_subscription *sub = find(s, reply_to);
    return sub ? (struct slice){sub->queue->name, sub->queue->name_len} : (struct slice){NULL, 0};
}

/* ERROR and false when there can be none of that name. */
static bool check(struct session *s, const struct error_about *about, struct slice reply_to,
                  struct destination *d, uint16_t *prefetch)
{
    enum destination_error error = destination_resolve(s->settings->config, reply_to, d);
    if (error == DESTINATION_OK && reply_to.len > SESSION_ID_MAX) {
        error = DESTINATION_TOO_LONG;
    }
    if (error != DESTINATION_OK) {
        char body[512];
        destination_error_body(error, reply_to, body, sizeof(body));
        error_refuse(s, CLOSE_REFUSED_FRAME, about, destination_error_message(error), "%s", body);
        return false;
    }
    if (!subs_has_room(s)) {
        error_refuse(s, CLOSE_LIMIT, about, "Too many subscriptions",
                     "A session may have %d subscriptions, reply-to queues included\n",
                     s->settings->config->limits.subscriptions);
        return false;
    }
    return subs_grant_prefetch(s, about, 0, prefetch);
}

static struct session_queue *new_queue(const struct session *s)
{
    struct session_queue queue;
    char random[QUEUE_RANDOM_LEN + 1];
    s->host->random(s->host_data, random);
    queue_for_reply(random, &queue);
    return session_queue_keep(&queue);
}

/* NULL when out of memory. */
static struct session_subscription *new_temp(struct session *s, struct slice reply_to,
                                             uint16_t prefetch)
{
    struct session_queue *queue = new_queue(s);
    struct session_subscription *sub = queue ? subs_new(s, reply_to, reply_to) : NULL;
    if (!sub) {
        free(queue);
        return NULL;
    }
    sub->queue = queue;
    sub->prefetch = prefetch;
    sub->is_reply = true;
    return sub;
}

enum temps_verdict temps_prepare(struct session *s, const struct stomp_frame *frame,
                                 uint64_t arrived_ms)
{
    struct slice reply_to = stomp_frame_get(frame, "reply-to");
    struct error_about about = error_about_frame(frame);
    struct destination d;
    uint16_t prefetch;
    bool is_ignored;
    if (!is_temp(reply_to)) {
        return TEMPS_NONE;
    }
    if (find(s, reply_to)) {
        return TEMPS_STANDS;
    }
    if (!outgoing_check(s, frame, &is_ignored)) {
        return TEMPS_REFUSED;
    }
    if (is_ignored) {
        return TEMPS_NONE;
    }
    if (!check(s, &about, reply_to, &d, &prefetch)) {
        return TEMPS_REFUSED;
    }
    struct session_subscription *sub = new_temp(s, reply_to, prefetch);
    if (!sub) {
        error_out_of_memory(s);
        return TEMPS_REFUSED;
    }
    if (subs_start(s, sub, &d, &about, (struct slice){NULL, 0})) {
        return TEMPS_STANDS;
    }
    if (s->outstanding != sub) {
        return TEMPS_REFUSED;
    }
    if (parked_push_front(s, &s->waiting, frame, arrived_ms) != 0) {
        error_out_of_memory(s);
    }
    return TEMPS_WAITS;
}

void temps_refused(struct session *s, const struct session_problem *problem)
{
    struct parked_frame *parked = parked_pop(s, &s->waiting);
    struct stomp_frame frame;
    if (!parked) {
        return; /* the server goes down, and nothing waits any more */
    }
    parked_frame(parked, &frame);
    struct error_about about = error_about_frame(&frame);
    error_problem(s, CLOSE_REFUSED_FRAME, &about, "Reply queue refused", problem);
    tx_spoil(s, &frame);
    parked_free(parked);
}
