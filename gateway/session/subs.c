#include "gateway/session/session_internal.h"

#include <stdlib.h>

/* Linear: limits.subscriptions is small. */
struct session_subscription *subs_find(const struct session *s, struct slice id,
                                       struct slice spelling)
{
    for (uint32_t i = 0; i < s->n_subs; i++) {
        struct session_subscription *sub = s->subs[i];
        bool is_it = id.ptr ? sub->id.ptr && slice_equals(sub->id, id)
                            : !sub->id.ptr && slice_equals(sub->spelling, spelling);
        if (is_it) {
            return sub;
        }
    }
    return NULL;
}

bool subs_is_reply_id(struct slice id)
{
    return slice_starts_with(id, SLICE_LITERAL(TEMPS_PREFIX));
}

struct session_subscription *subs_find_handle(const struct session *s, uint32_t handle)
{
    for (uint32_t i = 0; i < s->n_subs; i++) {
        if (s->subs[i]->handle == handle) {
            return s->subs[i];
        }
    }
    return NULL;
}

/* Adds it to the session. -1 when out of memory. */
static int keep(struct session *s, struct session_subscription *sub)
{
    if (s->n_subs == s->cap_subs) {
        uint32_t cap = s->cap_subs ? s->cap_subs * 2 : 1;
        struct session_subscription **subs =
            realloc(s->subs, cap * sizeof(struct session_subscription *));
        if (!subs) {
            return -1;
        }
        s->subs = subs;
        s->cap_subs = cap;
    }
    s->subs[s->n_subs++] = sub;
    return 0;
}

bool subs_has_room(const struct session *s)
{
    return s->n_subs < (uint32_t)s->settings->config->limits.subscriptions;
}

/* What may come unacknowledged from all private subscriptions, and what is there from those that
 * have gone. */
static size_t unacked_bound(const struct session *s)
{
    size_t sum = s->unacked ? s->unacked->n_orphans : 0;
    for (uint32_t i = 0; i < s->n_subs; i++) {
        sum += s->subs[i]->prefetch;
    }
    return sum;
}

bool subs_grant_prefetch(struct session *s, const struct error_about *about, uint16_t wish,
                         uint16_t *granted)
{
    size_t used = unacked_bound(s);
    size_t max = (size_t)s->settings->config->limits.unacked;
    size_t left = used < max ? max - used : 0;
    size_t wanted = wish ? wish : (size_t)s->settings->config->limits.prefetch;
    if (left == 0 || wish > left) {
        error_refuse(s, CLOSE_LIMIT, about, "Too many unacknowledged messages",
                     "The prefetch-count of all subscriptions of a session may be %zu in all\n",
                     max);
        return false;
    }
    *granted = (uint16_t)(wanted < left ? wanted : left);
    return true;
}

static void free_subscription(struct session *s, struct session_subscription *sub)
{
    unacked_orphan(s, sub);
    free(sub->queue);
    free(sub);
}

void subs_drop(struct session *s, struct session_subscription *sub)
{
    uint32_t i = 0;
    while (i < s->n_subs && s->subs[i] != sub) {
        i++;
    }
    assert(i < s->n_subs);
    s->n_subs--;
    memmove(&s->subs[i], &s->subs[i + 1], (s->n_subs - i) * sizeof(struct session_subscription *));
    if (s->outstanding == sub) {
        s->outstanding = NULL;
    }
    free_subscription(s, sub);
}

struct session_subscription *subs_new(struct session *s, struct slice id, struct slice spelling)
{
    struct session_subscription *sub = calloc(1, sizeof(*sub) + id.len + spelling.len);
    if (!sub) {
        return NULL;
    }
    char *text = (char *)(sub + 1);
    memcpy(text, spelling.ptr, spelling.len);
    sub->spelling = (struct slice){text, spelling.len};
    if (id.ptr) {
        memcpy(text + spelling.len, id.ptr, id.len);
        sub->id = (struct slice){text + spelling.len, id.len};
    }
    sub->handle = ++s->last_handle;
    list_init(&sub->unacked);
    if (keep(s, sub) != 0) {
        free(sub);
        return NULL;
    }
    return sub;
}

bool subs_start(struct session *s, struct session_subscription *sub, const struct destination *d,
                const struct error_about *about, struct slice receipt)
{
    struct session_problem problem = {0};
    bool is_ok = true;
    switch (s->host->subscribe(s->host_data, sub, d, &problem)) {
    case SESSION_DONE:
        sub->is_live = true;
        return true;
    case SESSION_WAIT:
        s->outstanding = sub;
        s->receipt = session_copy(receipt, &is_ok);
        if (!is_ok) {
            error_out_of_memory(s);
        }
        return false;
    case SESSION_REFUSED:
        subs_drop(s, sub);
        error_problem(s, CLOSE_REFUSED_FRAME, about, "Subscription refused", &problem);
        return false;
    }
    return false;
}

/* ---- UNSUBSCRIBE ---- */

/* ERROR and false. */
static bool check_unsubscribe(struct session *s, const struct stomp_frame *frame)
{
    struct slice id = stomp_frame_get(frame, "id");
    struct error_about about = error_about_frame(frame);
    if (!id.ptr && (s->version != STOMP_1_0 || !stomp_frame_get(frame, "destination").ptr)) {
        error_refuse(s, CLOSE_REFUSED_FRAME, &about, "Missing destination or id", "%s",
                     s->version == STOMP_1_0
                         ? "UNSUBSCRIBE must include a 'destination' or 'id' header\n"
                         : "UNSUBSCRIBE must include an 'id' header\n");
        return false;
    }
    if (subs_is_reply_id(id)) {
        error_refuse(s, CLOSE_REFUSED_FRAME, &about, "Invalid id",
                     "UNSUBSCRIBE 'id' may not start with " TEMPS_PREFIX "\n");
        return false;
    }
    return true;
}

static bool says_true(const struct stomp_frame *frame, const char *name)
{
    struct slice text = stomp_frame_get(frame, name);
    return slice_is(text, "true") || slice_is(text, "True");
}

/* The durable subscription itself is to end, not only this consumer of it. What its queue is called
 * was said by its SUBSCRIBE: nothing in this frame can name another. */
static bool deletes_queue(const struct session_subscription *sub, const struct stomp_frame *frame)
{
    return sub->queue && sub->queue->is_bound && sub->queue->is_durable &&
           (says_true(frame, "durable") || says_true(frame, "persistent"));
}

/* An unknown id is no error: Spring's relay passes on what was never subscribed here (contracts:
 * spring 2.1, 3). */
void subs_unsubscribe(struct session *s, const struct stomp_frame *frame)
{
    struct slice receipt = stomp_frame_get(frame, "receipt");
    if (!check_unsubscribe(s, frame)) {
        return;
    }
    struct session_subscription *sub =
        subs_find(s, stomp_frame_get(frame, "id"), stomp_frame_get(frame, "destination"));
    bool is_private = sub && sub->queue;
    bool is_deleting = sub && deletes_queue(sub, frame);
    if (sub) {
        s->host->unsubscribe(s->host_data, sub, is_deleting);
        subs_drop(s, sub);
    }
    if (is_private && receipt.ptr) {
        /* A channel that goes ends the consumer, but does not delete the queue. */
        syncs_add(s, receipt, !is_deleting);
    } else {
        reply_receipt_of(s, frame);
    }
}

/* ---- What the host says later ---- */

/* Takes the receipt of the outstanding SUBSCRIBE out; the caller frees it. */
static struct slice take_receipt(struct session *s)
{
    struct slice receipt = s->receipt;
    s->receipt = (struct slice){NULL, 0};
    s->outstanding = NULL;
    return receipt;
}

/* Where its ERROR did not end the session. */
static void give_up(struct session *s, struct session_subscription *sub)
{
    if (s->state != SESSION_STATE_CLOSED) {
        s->host->unsubscribe(s->host_data, sub, false);
        subs_drop(s, sub);
    }
}

static void refused(struct session *s, struct session_subscription *sub, struct slice receipt,
                    const struct session_problem *problem)
{
    if (sub->is_reply) {
        temps_refused(s, problem);
    } else {
        const struct error_about about = {receipt, sub->id, sub->spelling};
        error_problem(s, CLOSE_REFUSED_FRAME, &about, "Subscription refused", problem);
    }
    give_up(s, sub);
}

void subs_answer(struct session *s, uint32_t handle, bool is_ok,
                 const struct session_problem *problem)
{
    struct session_subscription *sub = s->outstanding;
    if (!sub || sub->handle != handle) {
        return;
    }
    struct slice receipt = take_receipt(s);
    if (!is_ok) {
        refused(s, sub, receipt, problem);
    } else {
        sub->is_live = true;
        if (receipt.ptr) {
            reply_receipt(s, receipt);
        }
    }
    free((void *)(uintptr_t)receipt.ptr);
}

/* RabbitMQ's words for a consumer that the broker cancelled. */
void subs_lost(struct session *s, uint32_t handle, const struct session_problem *problem)
{
    struct session_subscription *sub = subs_find_handle(s, handle);
    if (!sub) {
        return;
    }
    const struct error_about about = {.subscription = sub->id, .destination = sub->spelling};
    if (problem && problem->message[0]) {
        struct session_problem told = *problem;
        if (told.reason == CLOSE_REFUSED_FRAME) {
            told.reason = CLOSE_BROKER; /* it stood: no frame is to blame */
        }
        error_problem(s, CLOSE_BROKER, &about, "", &told);
    } else {
        struct slice key = sub->id.ptr ? sub->id : sub->spelling;
        error_refuse(s, CLOSE_BROKER, &about, "Server cancelled subscription",
                     "The server has canceled a subscription.\nNo more messages will be delivered "
                     "for \"%s='%.*s'\".\n",
                     sub->id.ptr ? "id" : "destination", (int)key.len, key.ptr);
    }
    give_up(s, sub);
}

void subs_drop_private(struct session *s)
{
    for (uint32_t i = s->n_subs; i-- > 0;) {
        struct session_subscription *sub = s->subs[i];
        if (sub->queue && !sub->is_reply && sub != s->outstanding) {
            s->host->unsubscribe(s->host_data, sub, false);
            subs_drop(s, sub);
        }
    }
}

void subs_drop_all(struct session *s)
{
    for (uint32_t i = 0; i < s->n_subs; i++) {
        s->host->unsubscribe(s->host_data, s->subs[i], false);
        free_subscription(s, s->subs[i]);
    }
    free(s->subs);
    s->subs = NULL;
    s->n_subs = 0;
    s->cap_subs = 0;
    s->outstanding = NULL;
}
