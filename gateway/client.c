#include "gateway/client.h"

#include "common/log.h"
#include "gateway/access/auth.h"
#include "gateway/reactor.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <uv.h>

#define CLIENT_MAGIC 0x434c4e54u
#define GONE_MS 10000 /* how long frames of a client that has gone may wait to be executed */

struct client {
    uint32_t magic;
    uint64_t id;
    struct reactor *reactor;
    struct session *session;
    const struct transport_functions *functions;
    void *connection; /* NULL when it has ended */
    struct outq outq;
    struct wheel_timer timer; /* the nearest of the session's deadline, the stall and the linger */
    uint64_t stalled_ms; /* since when nothing went out although something waits; 0: it flows */
    uint64_t cut_ms;     /* closing: cut at this time; 0: not closing */
    struct list doomed;  /* in reactor->doomed */
    struct list waiting; /* in reactor->waiting */
    struct list dead;    /* in reactor->dead */
    enum close_reason reason;
    enum session_event_type doom; /* what to tell the session when it is closed as doomed */
    bool is_told;                 /* that the server goes down */
    char name[];
};

/* ---- Deadlines ---- */

static uint64_t stall_deadline(const struct client *c)
{
    return c->stalled_ms ? c->stalled_ms + (uint64_t)c->reactor->config->limits.write_stall_ms
                         : UINT64_MAX;
}

static uint64_t next_deadline(const struct client *c)
{
    if (c->cut_ms) {
        return c->cut_ms;
    }
    uint64_t session = session_deadline(c->session);
    uint64_t stall = stall_deadline(c);
    return session < stall ? session : stall;
}

/* A timer that is set too early only looks again, so it is moved only when it is too late. */
static void reschedule(struct client *c)
{
    uint64_t deadline = next_deadline(c);
    if (deadline < UINT64_MAX && (!wheel_is_set(&c->timer) || c->timer.deadline_ms > deadline)) {
        wheel_set(&c->reactor->wheel, &c->timer, deadline);
    }
}

/* A client that has gone stays until the frames that came before are executed. */
static void bury(struct client *c)
{
    if (list_is_empty(&c->dead)) {
        list_push(&c->reactor->dead, &c->dead);
    }
}

static void step(struct client *c, const struct session_event *event)
{
    session_step(c->session, event);
    if (!c->connection && !session_has_waiting(c->session)) {
        bury(c);
    }
    reschedule(c);
}

static void step_plain(struct client *c, enum session_event_type type)
{
    struct session_event event = {.type = type, .now_ms = c->reactor->now_ms};
    step(c, &event);
}

/* To be told to the session at the end of the turn, not from inside whatever found it out. */
static void doom(struct client *c, enum session_event_type type)
{
    if (list_is_empty(&c->doomed) && c->cut_ms == 0 && c->connection) {
        c->doom = type;
        list_push(&c->reactor->doomed, &c->doomed);
    }
}

static void cut(struct client *c)
{
    if (c->connection) {
        c->functions->cut(c->connection);
    } else {
        bury(c);
    }
}

static void on_timer(struct wheel_timer *timer, uint64_t now_ms)
{
    struct client *c = LIST_OWNER(timer, struct client, timer);
    if (c->cut_ms) {
        if (c->cut_ms <= now_ms) {
            cut(c);
            return;
        }
    } else if (stall_deadline(c) <= now_ms) {
        doom(c, SESSION_SLOW);
        return;
    } else if (session_deadline(c->session) <= now_ms) {
        step_plain(c, SESSION_TICK);
    }
    reschedule(c);
}

/* ---- What the session asks ---- */

static void host_send(void *host, const char *bytes, size_t len)
{
    struct client *c = host;
    if (!c->connection || c->cut_ms) {
        return; /* nothing follows the close frame */
    }
    enum config_ws_frame frame = c->reactor->config->gateway.ws_frame;
    bool is_text =
        frame == CONFIG_FRAME_AUTO ? stomp_is_utf8(bytes, len) : frame == CONFIG_FRAME_TEXT;
    struct message *m = message_new(len, is_text || len == 1); /* a heart-beat is always text */
    if (m) {
        memcpy(message_payload(m), bytes, len);
    }
    if (!m || outq_push_own(&c->outq, m) != OUTQ_OK) {
        doom(c, SESSION_SLOW);
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
        step(c, &event);
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

static enum session_verdict host_publish(void *host, const struct session_send *send,
                                         struct session_problem *problem)
{
    struct client *c = host;
    struct reactor *r = c->reactor;
    /* While our own live queues do not stand, what is sent would not be heard here: own messages
     * too. */
    enum session_verdict verdict =
        r->is_live_up ? publish_send(r->publish, send, c->id, problem) : SESSION_WAIT;
    if (verdict == SESSION_WAIT && list_is_empty(&c->waiting)) {
        list_push(&r->waiting, &c->waiting);
    }
    if (verdict == SESSION_DONE) {
        metrics_add(&r->metrics, METRIC_SENDS, 1);
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
    (void)deletes_queue;
    struct client *c = host;
    struct subscriber *s = subscription->host_data;
    if (s) {
        live_unsubscribe(c->reactor->live, s);
        free(s);
        subscription->host_data = NULL;
        metrics_add(&c->reactor->metrics, METRIC_SUBSCRIPTIONS, -1);
    }
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
    outq_drop_live(&c->outq);
    c->functions->close(c->connection, close_reason_code(reason), text);
    list_remove(&c->outq.dirty); /* flushed even when empty: the close frame goes out from there */
    list_push(&r->dirty, &c->outq.dirty);
}

static const struct session_host session_host = {
    .send = host_send,
    .login = host_login,
    .publish = host_publish,
    .subscribe = host_subscribe,
    .unsubscribe = host_unsubscribe,
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
    step(owner, &event);
}

static void live_over(void *owner)
{
    doom(owner, SESSION_SLOW);
}

static void live_gap_close(void *owner)
{
    doom(owner, SESSION_GAP);
}

static void live_state(void *reactor, enum broker_state state)
{
    reactor_broker_state(reactor, true, state);
}

const struct live_host client_live_host = {
    .subscribed = live_subscribed,
    .over = live_over,
    .flush = client_flush,
    .gap = live_gap_close,
    .state = live_state,
};

/* ---- What the transport tells ---- */

struct client *client_new(struct reactor *r, const struct session_settings *settings,
                          const struct transport_functions *functions, void *connection,
                          const char *address)
{
    char name[sizeof r->name + 20];
    int len = snprintf(name, sizeof name, "%s-%llx", r->name, (unsigned long long)++r->last_client);
    struct client *c = calloc(1, sizeof *c + (size_t)len + 1);
    if (!c) {
        return NULL;
    }
    memcpy(c->name, name, (size_t)len + 1);
    c->magic = CLIENT_MAGIC;
    c->id = r->last_client;
    c->reactor = r;
    c->functions = functions;
    c->connection = connection;
    list_init(&c->doomed);
    list_init(&c->waiting);
    list_init(&c->dead);
    wheel_timer_init(&c->timer, on_timer);
    outq_init(&c->outq, (size_t)r->config->limits.out_queue_bytes, &r->dirty);
    c->session = session_new(settings, &session_host, c, c->name, r->now_ms);
    if (!c->session || map_put(&r->clients, &c->id, sizeof c->id, c) != 0) {
        session_free(c->session);
        free(c);
        return NULL;
    }
    metrics_add(&r->metrics, METRIC_SESSIONS, 1);
    log_info(c->name, "session.open", "ip=%s", address);
    reschedule(c);
    return c;
}

void client_received(struct client *c, uint8_t *bytes, size_t len)
{
    assert(c->magic == CLIENT_MAGIC);
    metrics_add(&c->reactor->metrics, METRIC_BYTES_IN, (int64_t)len);
    struct session_event event = {.type = SESSION_BYTES, .now_ms = c->reactor->now_ms};
    event.bytes.data = bytes;
    event.bytes.len = len;
    step(c, &event);
}

void client_alive(struct client *c)
{
    step_plain(c, SESSION_ALIVE);
}

/* Where the session is not asked, so that it does not give them up by itself. True when one waits
 * for its answer. */
static bool give_up_subscriptions(struct client *c, uint32_t *handle)
{
    struct session_subscription *s;
    bool is_outstanding = false;
    for (size_t cursor = 0; (s = session_subscription_next(c->session, &cursor));) {
        if (!s->is_live) {
            is_outstanding = true;
            *handle = s->handle;
        }
        host_unsubscribe(c, s, false);
    }
    return is_outstanding;
}

void client_refuse(struct client *c, enum close_reason reason, const char *text)
{
    uint32_t handle;
    (void)give_up_subscriptions(c, &handle);
    host_close(c, reason, text);
}

void client_gone(struct client *c)
{
    assert(c->magic == CLIENT_MAGIC);
    struct reactor *r = c->reactor;
    enum close_reason reason = c->reason != CLOSE_NONE        ? c->reason
                               : session_has_left(c->session) ? CLOSE_DISCONNECT
                                                              : CLOSE_PEER;
    uint32_t handle = 0;
    c->connection = NULL;
    metrics_add(&r->metrics, METRIC_SESSIONS, -1);
    metrics_closed(&r->metrics, reason);
    log_info(c->name, "session.closed", "reason=%s user=%s", close_reason_str(reason),
             session_user(c->session));
    bool is_outstanding = give_up_subscriptions(c, &handle);
    c->cut_ms = r->now_ms + GONE_MS;
    if (is_outstanding) {
        struct session_event event = {.type = SESSION_SUBSCRIBED, .now_ms = r->now_ms};
        event.answer.handle = handle;
        event.answer.is_ok = true;
        step(c, &event);
    } else if (session_has_waiting(c->session)) {
        reschedule(c);
    } else {
        bury(c);
    }
}

bool client_is_owed(const struct client *c)
{
    return session_has_waiting(c->session) || session_is_leaving(c->session);
}

struct outq *client_outq(struct client *c)
{
    return &c->outq;
}

void client_wrote(struct client *c, uint32_t n, size_t bytes)
{
    struct reactor *r = c->reactor;
    if (n > 0) {
        outq_pop(&c->outq, n);
    } else {
        c->outq.first_off += bytes; /* a part of a long one */
    }
    c->stalled_ms = c->outq.n > 0 ? r->now_ms : 0;
    metrics_add(&r->metrics, METRIC_FLUSHES, 1);
    metrics_add(&r->metrics, METRIC_BYTES_OUT, (int64_t)bytes);
    session_wrote(c->session, r->now_ms);
}

/* ---- For the reactor ---- */

void client_flush(struct outq *q)
{
    struct client *c = LIST_OWNER(q, struct client, outq);
    assert(c->magic == CLIENT_MAGIC);
    if (!c->connection) {
        return;
    }
    c->functions->flush(c->connection);
    if (c->outq.n > 0 && c->stalled_ms == 0) {
        c->stalled_ms = c->reactor->now_ms;
        reschedule(c);
    }
}

void client_turn(struct reactor *r)
{
    while (!list_is_empty(&r->doomed)) {
        struct client *c = LIST_OWNER(r->doomed.next, struct client, doomed);
        list_remove(&c->doomed);
        if (c->connection) {
            step_plain(c, c->doom);
        }
    }
    if (!r->has_room) {
        return;
    }
    r->has_room = false;
    struct list again;
    list_init(&again);
    while (!list_is_empty(&r->waiting)) {
        struct list *node = r->waiting.next;
        list_remove(node);
        list_push(&again, node);
    }
    while (!list_is_empty(&again)) {
        struct client *c = LIST_OWNER(again.next, struct client, waiting);
        list_remove(&c->waiting);
        step_plain(c, SESSION_ROOM);
    }
}

void client_reap(struct reactor *r)
{
    while (!list_is_empty(&r->dead)) {
        struct client *c = LIST_OWNER(r->dead.next, struct client, dead);
        list_remove(&c->dead);
        map_take(&r->clients, &c->id, sizeof c->id);
        list_remove(&c->doomed);
        list_remove(&c->waiting);
        wheel_cancel(&r->wheel, &c->timer);
        session_free(c->session);
        outq_fini(&c->outq);
        c->magic = 0;
        free(c);
    }
}

void client_settled(struct reactor *r, const struct broker_settled *settled)
{
    struct client *c = map_get(&r->clients, &settled->session, sizeof settled->session);
    if (!c) {
        return; /* it left; the publish is counted by the broker side */
    }
    struct session_event event = {.type = SESSION_SETTLED, .now_ms = r->now_ms};
    event.settled.token = settled->token;
    event.settled.outcome = settled->outcome;
    event.settled.code = settled->code;
    event.settled.text = settled->text;
    step(c, &event);
}

/* Calls fn for everybody; fn does not take clients out of the map. */
static void each(struct reactor *r, void (*fn)(struct client *c, uint64_t arg), uint64_t arg)
{
    struct map_entry entry;
    for (size_t cursor = 0; map_next(&r->clients, &cursor, &entry);) {
        fn(entry.value, arg);
    }
}

static void tell(struct client *c, uint64_t type)
{
    step_plain(c, (enum session_event_type)type);
}

static void cut_one(struct client *c, uint64_t arg)
{
    (void)arg;
    if (c->connection) {
        cut(c);
    } else {
        c->cut_ms = 1; /* its timer buries it: the map is being walked */
        wheel_set(&c->reactor->wheel, &c->timer, 1);
    }
}

void client_tell_all(struct reactor *r, enum session_event_type type)
{
    each(r, tell, type);
}

void client_drain(struct reactor *r, size_t n)
{
    struct map_entry entry;
    for (size_t cursor = 0; n > 0 && map_next(&r->clients, &cursor, &entry);) {
        struct client *c = entry.value;
        if (!c->is_told) {
            c->is_told = true;
            step_plain(c, SESSION_DRAIN);
            n--;
        }
    }
}

void client_cut_all(struct reactor *r)
{
    each(r, cut_one, 0);
}
