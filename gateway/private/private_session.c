#include "gateway/private/private_internal.h"

#include "common/log.h"
#include "gateway/publish.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct private_events channel_events;

/* ---- Life ---- */

struct private_session *private_session_for(struct private_side *p, uint64_t client,
                                            const char *name, struct session_problem *problem)
{
    struct private_session *s = map_get(&p->sessions, &client, sizeof client);
    if (s) {
        return s;
    }
    struct private_connection *c = private_pool_pick(p);
    if (!c) {
        *problem = (struct session_problem){.reason = CLOSE_LIMIT, .message = "resource_error"};
        snprintf(problem->text, sizeof problem->text,
                 "RESOURCE_ERROR - no channel is left for a subscription of its own; try again "
                 "later\n");
        return NULL;
    }
    size_t len = strlen(name);
    s = calloc(1, sizeof *s + len + 1);
    if (!s) {
        problem->reason = CLOSE_INTERNAL;
        return NULL;
    }
    memcpy(s->name, name, len);
    s->side = p;
    s->client = client;
    list_init(&s->node);
    list_init(&s->subscriptions);
    if (map_put(&p->sessions, &s->client, sizeof s->client, s) != 0) {
        free(s);
        problem->reason = CLOSE_INTERNAL;
        return NULL;
    }
    private_pool_enter(c, s);
    private_session_open(s);
    return s;
}

void private_session_free(struct private_session *s)
{
    for (struct list *node = s->subscriptions.next; node != &s->subscriptions;) {
        struct private_subscription *sub = LIST_OWNER(node, struct private_subscription, node);
        node = node->next;
        private_subscription_free(sub);
    }
    private_close(s->channel);
    map_take(&s->side->sessions, &s->client, sizeof s->client);
    private_pool_leave(s);
    free(s->syncs);
    free(s);
}

void private_session_tidy(struct private_session *s)
{
    if (s->is_leaving && s->n_inside == 0 && list_is_empty(&s->subscriptions)) {
        private_session_free(s);
    }
}

/* ---- Opening ---- */

/* Its connection gives no more channels than it has. */
static void move_elsewhere(struct private_session *s)
{
    struct private_side *p = s->side;
    struct private_connection *c = private_pool_pick(p);
    if (c && c != s->connection) {
        private_pool_leave(s);
        private_pool_enter(c, s);
    }
    wheel_set(p->options.wheel, &p->retry, *p->options.now_ms + PRIVATE_RETRY_MS);
}

static void ask_waiting(struct private_session *s)
{
    for (struct list *node = s->subscriptions.next; node != &s->subscriptions;) {
        struct private_subscription *sub = LIST_OWNER(node, struct private_subscription, node);
        node = node->next;
        if (sub->state == PRIVATE_WAITING || sub->state == PRIVATE_ENDING) {
            private_subscription_go_quietly(sub);
        }
    }
}

void private_session_open(struct private_session *s)
{
    if (s->channel || !private_pool_is_up(s->connection)) {
        return;
    }
    s->channel = private_open(s->connection->broker, &channel_events, s);
    if (!s->channel) {
        move_elsewhere(s);
        return;
    }
    s->epoch = private_epoch(s->channel);
    if (s->was_open && !s->is_leaving) {
        s->n_inside++;
        s->side->options.host->restored(s->side->options.reactor, s->client, s->epoch);
        s->n_inside--;
    }
    s->was_open = true;
    s->is_held = false;
    ask_waiting(s);
    private_session_tidy(s);
}

/* ---- Syncs ---- */

int private_session_sync(struct private_session *s, uint64_t token)
{
    if (s->n_syncs == s->cap_syncs) {
        size_t cap = s->cap_syncs ? s->cap_syncs * 2 : 4;
        uint64_t *syncs = realloc(s->syncs, cap * sizeof *syncs);
        if (!syncs) {
            return -1;
        }
        s->syncs = syncs;
        s->cap_syncs = cap;
    }
    if (private_sync(s->channel, PRIVATE_SYNC) != 0) {
        return -1;
    }
    s->syncs[s->n_syncs++] = token;
    return 0;
}

static void synced(struct private_session *s, bool is_ok)
{
    uint64_t token = s->syncs[0];
    s->n_syncs--;
    memmove(s->syncs, s->syncs + 1, s->n_syncs * sizeof *s->syncs);
    if (!s->is_leaving) {
        s->side->options.host->synced(s->side->options.reactor, s->client, token, is_ok);
    }
}

/* ---- What the channel tells ---- */

static void on_answered(void *owner, uint64_t cookie, const struct broker_reply *reply)
{
    struct private_session *s = owner;
    (void)reply;
    s->n_inside++;
    if (private_request_of(cookie) == PRIVATE_SYNC) {
        synced(s, true);
    } else {
        struct private_subscription *sub = private_subscription_get(s->side, cookie);
        if (sub) {
            private_subscription_answered(sub, private_request_of(cookie));
        }
    }
    s->n_inside--;
    private_session_tidy(s);
}

static void on_delivery(void *owner, uint64_t consumer, const struct broker_delivery *delivery)
{
    struct private_session *s = owner;
    struct private_subscription *sub = private_subscription_get(s->side, consumer);
    if (!sub) {
        return; /* the session is leaving: the broker puts it back when the channel is closed */
    }
    s->n_inside++;
    private_subscription_delivery(sub, consumer, delivery);
    s->n_inside--;
    private_session_tidy(s);
}

static void on_cancelled(void *owner, uint64_t consumer)
{
    struct private_session *s = owner;
    struct private_subscription *sub = private_subscription_get(s->side, consumer);
    s->n_inside++;
    if (sub) {
        private_subscription_cancelled(sub, consumer);
    }
    s->n_inside--;
    private_session_tidy(s);
}

/* What was asked for again and again, and every time the connection went: it is not tried for
 * ever. */
static void give_up_tired(struct private_session *s)
{
    for (struct list *node = s->subscriptions.next; node != &s->subscriptions; node = node->next) {
        struct private_subscription *sub = LIST_OWNER(node, struct private_subscription, node);
        if (sub->state != PRIVATE_ENDING && sub->n_tries > PRIVATE_MAX_TRIES) {
            struct session_problem problem;
            publish_problem(&problem, 541,
                            "INTERNAL_ERROR - the broker closed the connection over and over");
            private_subscription_fail(sub, &problem);
            give_up_tired(s);
            return;
        }
    }
}

static void blame(struct private_session *s, uint64_t cookie, uint16_t code, const char *text)
{
    struct private_subscription *sub = private_subscription_get(s->side, cookie);
    s->side->stats.channel_errors++;
    log_warn(s->name, "private.channel_closed", "code=%u text=%s", code, text);
    if (sub) {
        private_subscription_blame(sub, private_request_of(cookie), code, text);
    } else if (!s->is_leaving) {
        struct session_problem problem;
        publish_problem(&problem, code, text);
        s->side->options.host->failed(s->side->options.reactor, s->client, &problem);
    }
}

static void on_closed(void *owner, uint64_t cookie, uint16_t code, const char *text)
{
    struct private_session *s = owner;
    s->channel = NULL;
    s->n_inside++;
    for (struct list *node = s->subscriptions.next; node != &s->subscriptions;) {
        struct private_subscription *sub = LIST_OWNER(node, struct private_subscription, node);
        node = node->next;
        private_subscription_lost(sub, code == 0);
    }
    while (s->n_syncs > 0) {
        synced(s, false);
    }
    if (code != 0) {
        blame(s, cookie, code, text ? text : "");
    } else {
        give_up_tired(s);
    }
    s->n_inside--;
    if (!(s->is_leaving && list_is_empty(&s->subscriptions))) {
        private_session_open(s);
    } else {
        private_session_tidy(s);
    }
}

static const struct private_events channel_events = {
    .answered = on_answered,
    .delivery = on_delivery,
    .cancelled = on_cancelled,
    .closed = on_closed,
};
