#include "gateway/client_internal.h"

#include "common/log.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#define CLIENT_MAGIC 0x434c4e54u
#define GONE_MS 10000 /* how long frames of a client that has gone may wait to be executed */

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

/* 0: nothing waits any more. */
static void set_stalled(struct client *c, uint64_t since_ms)
{
    if (since_ms == 0 && c->stalled_ms != 0) {
        list_remove(&c->behind);
    } else if (since_ms != 0 && c->stalled_ms == 0) {
        list_push(&c->reactor->behind, &c->behind);
        c->stalled_ms = since_ms;
        reschedule(c);
    }
    c->stalled_ms = since_ms;
}

/* A client that has gone stays until the frames that came before are executed. */
static void bury(struct client *c)
{
    if (list_is_empty(&c->dead)) {
        list_push(&c->reactor->dead, &c->dead);
    }
}

void client_step(struct client *c, const struct session_event *event)
{
    session_wrote(c->session, c->wrote_ms);
    session_step(c->session, event);
    if (!c->connection && !session_has_waiting(c->session)) {
        bury(c);
    }
    reschedule(c);
}

void client_step_plain(struct client *c, enum session_event_type type)
{
    struct session_event event = {.type = type, .now_ms = c->reactor->now_ms};
    client_step(c, &event);
}

void client_doom(struct client *c, enum session_event_type type)
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
    session_wrote(c->session, c->wrote_ms);
    if (c->cut_ms) {
        if (c->cut_ms <= now_ms) {
            cut(c);
            return;
        }
    } else if (stall_deadline(c) <= now_ms) {
        client_doom(c, SESSION_SLOW);
        return;
    } else if (session_deadline(c->session) <= now_ms) {
        client_step_plain(c, SESSION_TICK);
    }
    reschedule(c);
}

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
    list_init(&c->behind);
    list_init(&c->doomed);
    list_init(&c->waiting);
    list_init(&c->dead);
    list_init(&c->written);
    list_init(&c->shapes);
    wheel_timer_init(&c->timer, on_timer);
    outq_init(&c->outq, (size_t)r->config->limits.out_queue_bytes, &r->dirty);
    c->session = session_new(settings, &client_session_host, c, c->name, r->now_ms);
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
    client_step(c, &event);
}

void client_alive(struct client *c)
{
    client_step_plain(c, SESSION_ALIVE);
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
        client_session_host.unsubscribe(c, s, false);
    }
    return is_outstanding;
}

void client_refuse(struct client *c, enum close_reason reason, const char *text)
{
    uint32_t handle;
    (void)give_up_subscriptions(c, &handle);
    client_session_host.close(c, reason, text);
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
    set_stalled(c, 0);
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
        client_step(c, &event);
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
    if (c->outq.n > 0 || c->stalled_ms != 0) {
        set_stalled(c, c->outq.n > 0 ? r->now_ms : 0);
    }
    metrics_add(&r->metrics, METRIC_FLUSHES, 1);
    metrics_add(&r->metrics, METRIC_BYTES_OUT, (int64_t)bytes);
    c->wrote_ms = r->now_ms;
    if (!c->functions->is_buffering || !c->functions->is_buffering(c->connection)) {
        client_flushed(c);
    }
}

void client_flushed(struct client *c)
{
    c->flushed = c->outq.private_popped;
    if (c->flushed != c->told && list_is_empty(&c->written)) {
        list_push(&c->reactor->written, &c->written);
    }
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
        set_stalled(c, c->reactor->now_ms);
    }
}

/* What went to the socket is settled with the broker now, and no sooner. */
static void tell_written(struct client *c)
{
    struct reactor *r = c->reactor;
    size_t low = (size_t)r->config->limits.private_queue_bytes / 2;
    c->told = c->flushed;
    struct session_event event = {.type = SESSION_WRITTEN, .now_ms = r->now_ms};
    event.written = c->told;
    client_step(c, &event);
    if (c->is_private_full && c->outq.private_bytes <= low) {
        c->is_private_full = private_side_resume(r->private, c->id);
    }
}

void client_written(struct reactor *r)
{
    while (!list_is_empty(&r->written)) {
        struct client *c = LIST_OWNER(r->written.next, struct client, written);
        list_remove(&c->written);
        tell_written(c);
    }
}

void client_behind(const struct reactor *r, size_t *n, size_t *bytes)
{
    *n = *bytes = 0;
    for (struct list *node = r->behind.next; node != &r->behind; node = node->next) {
        *n += 1;
        *bytes += LIST_OWNER(node, struct client, behind)->outq.bytes;
    }
}

void client_turn(struct reactor *r)
{
    client_written(r);
    while (!list_is_empty(&r->doomed)) {
        struct client *c = LIST_OWNER(r->doomed.next, struct client, doomed);
        list_remove(&c->doomed);
        if (c->connection) {
            client_step_plain(c, c->doom);
        }
    }
    if (!r->has_room) {
        return;
    }
    r->has_room = false;
    private_side_room(r->private);
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
        client_step_plain(c, SESSION_ROOM);
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
        list_remove(&c->written);
        wheel_cancel(&r->wheel, &c->timer);
        session_free(c->session);
        private_side_leave(r->private, c->id);
        client_queues_free(c);
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
    client_step(c, &event);
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
    client_step_plain(c, (enum session_event_type)type);
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
            client_step_plain(c, SESSION_DRAIN);
            n--;
        }
    }
}

void client_cut_all(struct reactor *r)
{
    each(r, cut_one, 0);
}
