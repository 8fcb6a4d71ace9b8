#include "gateway/client_internal.h"

#include "common/base64.h"
#include "gateway/access/auth.h"
#include "gateway/session/queue.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

/* ---- What the session asks ---- */

static struct message *new_message(const struct config *config, const char *bytes, size_t len)
{
    enum config_ws_frame frame = config->gateway.ws_frame;
    bool is_text =
        frame == CONFIG_FRAME_AUTO ? stomp_is_utf8(bytes, len) : frame == CONFIG_FRAME_TEXT;
    struct message *m = message_new(len, is_text);
    if (m) {
        memcpy(message_payload(m), bytes, len);
    }
    return m;
}

static void host_send(void *host, const char *bytes, size_t len)
{
    struct client *c = host;
    if (!c->connection || c->cut_ms) {
        return; /* nothing follows the close frame */
    }
    struct message *m =
        len == 1 ? message_ref(c->reactor->beat) : new_message(c->reactor->config, bytes, len);
    if (!m || outq_push_own(&c->outq, m) != OUTQ_OK) {
        client_doom(c, SESSION_SLOW);
    }
}

/* A password that is hashed takes milliseconds: checked on libuv's pool, with copies. */
struct login {
    uv_work_t work;
    struct reactor *reactor;
    uint64_t client;
    struct slice login;
    struct slice passcode;
    enum auth_verdict verdict;
    char bytes[];
};

static bool is_let_in(enum auth_verdict verdict, struct session_problem *problem)
{
    *problem =
        (struct session_problem){.reason = verdict == AUTH_FAILED ? CLOSE_INTERNAL : CLOSE_LOGIN};
    return verdict == AUTH_OK || verdict == AUTH_ANONYMOUS;
}

static void login_check(uv_work_t *work)
{
    struct login *l = work->data;
    l->verdict = auth_check(l->reactor->config, l->login, l->passcode);
}

static void login_checked(uv_work_t *work, int status)
{
    struct login *l = work->data;
    (void)status;
    struct client *c = map_get(&l->reactor->clients, &l->client, sizeof l->client);
    if (c) {
        struct session_problem problem;
        struct session_event event = {.type = SESSION_LOGIN, .now_ms = c->reactor->now_ms};
        event.answer.is_ok = is_let_in(l->verdict, &problem);
        event.answer.problem = &problem;
        client_step(c, &event);
    }
    free(l);
}

static enum session_verdict login_slowly(struct client *c, struct slice login,
                                         struct slice passcode, struct session_problem *problem)
{
    struct login *l = calloc(1, sizeof *l + login.len + passcode.len);
    problem->reason = CLOSE_INTERNAL;
    if (!l) {
        return SESSION_REFUSED;
    }
    l->work.data = l;
    l->reactor = c->reactor;
    l->client = c->id;
    memcpy(l->bytes, login.ptr, login.len);
    l->login = (struct slice){l->bytes, login.len};
    if (passcode.ptr) {
        memcpy(l->bytes + login.len, passcode.ptr, passcode.len);
        l->passcode = (struct slice){l->bytes + login.len, passcode.len};
    }
    if (uv_queue_work(c->reactor->loop, &l->work, login_check, login_checked) != 0) {
        free(l);
        return SESSION_REFUSED;
    }
    return SESSION_WAIT;
}

static enum session_verdict host_login(void *host, struct slice login, struct slice passcode,
                                       struct session_problem *problem)
{
    struct client *c = host;
    if (c->reactor->is_broker_gone) {
        problem->reason = CLOSE_BROKER;
        return SESSION_REFUSED;
    }
    if (login.ptr && auth_is_slow(c->reactor->config, login)) {
        return login_slowly(c, login, passcode, problem);
    }
    return is_let_in(auth_check(c->reactor->config, login, passcode), problem) ? SESSION_DONE
                                                                               : SESSION_REFUSED;
}

/* What a SEND has to declare; NULL: its session has a subscription that did. */
static const struct session_queue *declared_so(const struct client *c,
                                               const struct session_queue *queue)
{
    struct slice name = {queue->name, queue->name_len};
    return private_side_has_queue(c->reactor->private, c->id, name) ? NULL
                                                                    : client_queue_shape(c, queue);
}

static enum session_verdict host_publish(void *host, const struct session_send *send,
                                         struct session_problem *problem)
{
    struct client *c = host;
    struct reactor *r = c->reactor;
    struct session_send needed = *send;
    needed.queue = send->queue ? declared_so(c, send->queue) : NULL;
    /* While our own live queues do not stand, what is sent would not be heard here: own messages
     * too. */
    enum session_verdict verdict =
        r->is_live_up ? publish_send(r->publish, &needed, c->id, problem) : SESSION_WAIT;
    if (verdict == SESSION_WAIT && list_is_empty(&c->waiting)) {
        list_push(&r->waiting, &c->waiting);
    }
    if (verdict == SESSION_DONE) {
        metrics_add(&r->metrics, METRIC_SENDS, 1);
    }
    if (verdict == SESSION_DONE && needed.queue) {
        client_queue_sent(c, needed.queue);
    }
    return verdict;
}

/* The queue as it was declared, its consumer as the SUBSCRIBE says. Borrows from both. */
static void take_shape(struct session_queue *queue, const struct session_queue *declared,
                       const struct session_queue *wanted)
{
    memcpy(queue, declared, offsetof(struct session_queue, room));
    queue->n_consume_args = wanted->n_consume_args;
    queue->consume_args = wanted->consume_args;
}

static enum session_verdict subscribe_private(struct client *c,
                                              struct session_subscription *subscription,
                                              const struct destination *destination,
                                              struct session_problem *problem)
{
    struct reactor *r = c->reactor;
    struct session_subscription asked = *subscription;
    struct session_queue queue;
    if (destination->kind == DESTINATION_QUEUE && !subscription->queue->must_exist) {
        take_shape(&queue, client_queue_shape(c, subscription->queue), subscription->queue);
        asked.queue = &queue;
    }
    enum session_verdict verdict =
        private_side_subscribe(r->private, c->id, c->name, &asked, destination, problem);
    if (verdict != SESSION_REFUSED) {
        subscription->host_data = r->private; /* that it was asked for; it is found by its handle */
        metrics_add(&r->metrics, METRIC_SUBSCRIPTIONS, 1);
    }
    return verdict;
}

static enum session_verdict host_subscribe(void *host, struct session_subscription *subscription,
                                           const struct destination *destination,
                                           struct session_problem *problem)
{
    struct client *c = host;
    if (!c->connection) {
        return SESSION_DONE; /* nobody is there to hear it, but what stands behind it is to be
                                executed */
    }
    if (subscription->queue) {
        return subscribe_private(c, subscription, destination, problem);
    }
    struct subscriber *s = calloc(1, sizeof *s);
    if (!s) {
        problem->reason = CLOSE_INTERNAL;
        return SESSION_REFUSED;
    }
    list_init(&s->waiting);
    s->handle = subscription->handle;
    s->version = session_version(c->session);
    s->id = subscription->id;
    s->spelling = subscription->spelling;
    s->outq = &c->outq;
    s->owner = c;
    enum session_verdict verdict = live_subscribe(c->reactor->live, destination, s, problem);
    if (verdict == SESSION_REFUSED) {
        free(s);
        return verdict;
    }
    subscription->host_data = s;
    metrics_add(&c->reactor->metrics, METRIC_SUBSCRIPTIONS, 1);
    return verdict;
}

static void host_unsubscribe(void *host, struct session_subscription *subscription,
                             bool deletes_queue)
{
    struct client *c = host;
    struct reactor *r = c->reactor;
    if (!subscription->host_data) {
        return;
    }
    if (subscription->queue) {
        private_side_unsubscribe(r->private, c->id, subscription->handle, deletes_queue);
    } else {
        live_unsubscribe(r->live, subscription->host_data);
        free(subscription->host_data);
    }
    subscription->host_data = NULL;
    metrics_add(&r->metrics, METRIC_SUBSCRIPTIONS, -1);
}

/* Its bound is kept by private_delivery(): what does not fit stays with the broker. */
static void host_deliver(void *host, struct message *message, uint64_t number)
{
    struct client *c = host;
    (void)number; /* the out queue counts as well */
    if (!c->connection || c->cut_ms) {
        message_unref(message);
        return;
    }
    if (outq_push_private(&c->outq, message) != OUTQ_OK) {
        client_doom(c, SESSION_SLOW);
    }
    metrics_add(&c->reactor->metrics, METRIC_PRIVATE_MESSAGES, 1);
}

static void host_settle(void *host, const struct session_settle *settle)
{
    struct client *c = host;
    private_side_settle(c->reactor->private, c->id, settle);
}

static bool host_sync(void *host, uint64_t token)
{
    struct client *c = host;
    return private_side_sync(c->reactor->private, c->id, token);
}

static void host_random(void *host, char *text)
{
    uint8_t bytes[16];
    (void)host;
    id_random(bytes, sizeof bytes);
    base64_16(bytes, text);
}

static void host_read(void *host, bool wanted)
{
    struct client *c = host;
    if (c->connection) {
        c->functions->read(c->connection, wanted);
    }
}

static void host_close(void *host, enum close_reason reason, const char *text)
{
    struct client *c = host;
    if (c->cut_ms || !c->connection) {
        return;
    }
    struct reactor *r = c->reactor;
    c->reason = reason;
    c->cut_ms = r->now_ms + (uint64_t)r->config->limits.close_linger_ms;
    outq_drop_live(&c->outq); /* what the broker keeps goes back when the channel is closed */
    private_side_leave(r->private, c->id);
    c->functions->close(c->connection, close_reason_code(reason), text);
    outq_mark(&c->outq); /* flushed even when empty: the close frame goes out from there */
}

const struct session_host client_session_host = {
    .send = host_send,
    .login = host_login,
    .publish = host_publish,
    .subscribe = host_subscribe,
    .unsubscribe = host_unsubscribe,
    .deliver = host_deliver,
    .settle = host_settle,
    .sync = host_sync,
    .random = host_random,
    .read = host_read,
    .close = host_close,
};

/* ---- What the live side tells ---- */

static void live_subscribed(void *owner, struct subscriber *s,
                            const struct session_problem *problem)
{
    struct session_event event = {.type = SESSION_SUBSCRIBED,
                                  .now_ms = ((struct client *)owner)->reactor->now_ms};
    event.answer.handle = s->handle;
    event.answer.is_ok = problem == NULL;
    event.answer.problem = problem;
    client_step(owner, &event);
}

static void live_lost(void *owner, struct subscriber *s, const struct session_problem *problem)
{
    struct session_event event = {.type = SESSION_LOST,
                                  .now_ms = ((struct client *)owner)->reactor->now_ms};
    event.answer.handle = s->handle;
    event.answer.problem = problem;
    client_step(owner, &event);
}

static void live_over(void *owner)
{
    client_doom(owner, SESSION_SLOW);
}

static void live_gap_close(void *owner)
{
    client_doom(owner, SESSION_GAP);
}

static void live_state(void *reactor, enum broker_state state)
{
    reactor_broker_state(reactor, true, state);
}

const struct live_host client_live_host = {
    .subscribed = live_subscribed,
    .lost = live_lost,
    .over = live_over,
    .flush = client_flush,
    .gap = live_gap_close,
    .state = live_state,
};

/* ---- What the private side tells ---- */

static struct client *find(void *reactor, uint64_t id)
{
    return map_get(&((struct reactor *)reactor)->clients, &id, sizeof id);
}

/* Does nothing for a client that has gone. */
static void tell(void *reactor, uint64_t id, struct session_event *event)
{
    struct client *c = find(reactor, id);
    if (c) {
        event->now_ms = c->reactor->now_ms;
        client_step(c, event);
    }
}

static void private_subscribed(void *reactor, uint64_t client, uint32_t handle,
                               const struct session_problem *problem)
{
    struct session_event event = {.type = SESSION_SUBSCRIBED};
    event.answer.handle = handle;
    event.answer.is_ok = problem == NULL;
    event.answer.problem = problem;
    tell(reactor, client, &event);
}

/* The bound is on what waits already: a message that finds less is taken whatever its size. */
static bool private_delivery(void *reactor, uint64_t client, uint32_t handle,
                             const struct broker_delivery *delivery, bool gap, bool must_take)
{
    struct client *c = find(reactor, client);
    if (!c || !c->connection) {
        return true; /* not settled: it goes back with the channel */
    }
    if (c->outq.private_bytes >= (size_t)c->reactor->config->limits.private_queue_bytes &&
        !must_take) {
        c->is_private_full = true;
        return false;
    }
    struct session_event event = {.type = SESSION_DELIVERY};
    event.delivery.handle = handle;
    event.delivery.delivery = delivery;
    event.delivery.gap = gap;
    tell(reactor, client, &event);
    return true;
}

static size_t private_unacked(void *reactor, uint64_t client, uint32_t handle)
{
    struct client *c = find(reactor, client);
    const struct session_subscription *sub;
    for (size_t cursor = 0; c && (sub = session_subscription_next(c->session, &cursor));) {
        if (sub->handle == handle) {
            return sub->n_unacked;
        }
    }
    return 0;
}

static void private_lost(void *reactor, uint64_t client, uint32_t handle,
                         const struct session_problem *problem)
{
    struct session_event event = {.type = SESSION_LOST};
    event.answer.handle = handle;
    event.answer.problem = problem;
    tell(reactor, client, &event);
}

static void private_restored(void *reactor, uint64_t client, uint32_t epoch)
{
    struct session_event event = {.type = SESSION_RESTORED};
    event.epoch = epoch;
    tell(reactor, client, &event);
}

static void private_failed(void *reactor, uint64_t client, const struct session_problem *problem)
{
    struct session_event event = {.type = SESSION_FAILED};
    event.answer.problem = problem;
    tell(reactor, client, &event);
}

static void private_synced(void *reactor, uint64_t client, uint64_t token, bool is_ok)
{
    struct session_event event = {.type = SESSION_SYNCED};
    event.synced.token = token;
    event.synced.is_ok = is_ok;
    tell(reactor, client, &event);
}

const struct private_host client_private_host = {
    .subscribed = private_subscribed,
    .delivery = private_delivery,
    .unacked = private_unacked,
    .lost = private_lost,
    .restored = private_restored,
    .failed = private_failed,
    .synced = private_synced,
};
