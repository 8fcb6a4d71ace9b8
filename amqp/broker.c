/* Life of a broker object, deferred callbacks, and the turn of the loop. */
#include "amqp/broker_internal.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#define TICK_MS 250
#define GOODBYE_MS 1000

const struct broker_reply BROKER_OK_REPLY = {.is_ok = true, .text = ""};

const char *broker_state_str(enum broker_state state)
{
    switch (state) {
    case BROKER_DOWN:
        return "down";
    case BROKER_CONNECTING:
        return "connecting";
    case BROKER_RESTORING:
        return "restoring";
    case BROKER_UP:
        return "up";
    case BROKER_STOPPED:
        return "stopped";
    }
    return "?";
}

uint64_t broker_unix_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

uint32_t broker_random(void)
{
    uint32_t value = 0;
    if (getrandom(&value, sizeof(value), 0) != sizeof(value)) {
        value = (uint32_t)uv_hrtime();
    }
    return value;
}

amqp_bytes_t broker_bytes(const char *text)
{
    return (amqp_bytes_t){strlen(text), (void *)(uintptr_t)text};
}

/* ---- Deferred callbacks ---- */

struct deferred *deferred_new(broker_done_fn done, uint64_t cookie)
{
    struct deferred *d = calloc(1, sizeof(*d));
    if (d) {
        list_init(&d->node);
        d->kind = DEFERRED_DONE;
        d->done = done;
        d->cookie = cookie;
    }
    return d;
}

void deferred_free(struct deferred *d)
{
    if (d) {
        list_remove(&d->node);
        free(d->text);
        free(d->about);
        free(d);
    }
}

static void defer(struct broker *b, struct deferred *d, const char *text)
{
    free(d->text);
    d->text = strdup(text ? text : "");
    list_remove(&d->node);
    list_push(&b->deferred, &d->node);
    broker_wake(b);
}

void broker_defer(struct broker *b, struct deferred *d, const struct broker_reply *reply)
{
    d->reply = *reply;
    defer(b, d, reply->text);
}

void broker_defer_all(struct broker *b, struct list *waiters, const struct broker_reply *reply)
{
    while (!list_is_empty(waiters)) {
        broker_defer(b, LIST_OWNER(waiters->next, struct deferred, node), reply);
    }
}

static void defer_event(struct broker *b, enum deferred_kind kind, const char *text,
                        const char *thing, uint64_t from_unix_ms)
{
    struct deferred *d = deferred_new(NULL, 0);
    if (!d) {
        log_error(b->name, "broker.no_memory", "event=%s name=%s", thing, text);
        return;
    }
    d->kind = kind;
    d->thing = thing;
    d->from_unix_ms = from_unix_ms;
    defer(b, d, text);
}

void broker_defer_gap(struct broker *b, const char *queue, uint64_t from_unix_ms)
{
    defer_event(b, DEFERRED_GAP, queue, "gap", from_unix_ms);
}

void broker_defer_restored(struct broker *b, const char *kind, const char *name)
{
    b->stats.restored++;
    log_warn(b->name, "broker.restored", "kind=%s name=%s", kind, name);
    defer_event(b, DEFERRED_RESTORED, name, kind, 0);
}

void broker_defer_broken(struct broker *b, const struct queue *q, struct slice key,
                         const struct broker_reply *reply)
{
    if (!b->events->broken || q->is_internal) {
        return;
    }
    size_t len = strlen(q->name) + 1;
    struct deferred *d = deferred_new(NULL, 0);
    char *about = d ? malloc(len + key.len) : NULL;
    if (!about) {
        log_error(b->name, "broker.no_memory", "event=broken name=%s", q->name);
        deferred_free(d);
        return;
    }
    memcpy(about, q->name, len);
    if (key.len > 0) {
        memcpy(about + len, key.ptr, key.len);
    }
    d->kind = DEFERRED_BROKEN;
    d->about = about;
    d->key = (struct slice){key.ptr ? about + len : NULL, key.len};
    broker_defer(b, d, reply);
}

static void run(struct broker *b, struct deferred *d)
{
    const char *text = d->text ? d->text : "";
    const struct broker_events *events = b->events;
    d->reply.text = text;
    switch (d->kind) {
    case DEFERRED_DONE:
        if (d->done) {
            d->done(b->owner, d->cookie, &d->reply);
        }
        break;
    case DEFERRED_INSIDE:
        d->inside(b, d->cookie, &d->reply);
        break;
    case DEFERRED_GAP:
        if (events->gap) {
            events->gap(b->owner, text, d->from_unix_ms);
        }
        break;
    case DEFERRED_RESTORED:
        if (events->restored) {
            events->restored(b->owner, d->thing, text);
        }
        break;
    case DEFERRED_BROKEN:
        events->broken(b->owner, d->about, d->key, &d->reply);
        break;
    case DEFERRED_STATE:
        if (events->state) {
            events->state(b->owner, d->state);
        }
        break;
    }
    deferred_free(d);
}

/* Runs what lies there now; what the callbacks add runs in the next turn, so that none can keep the
 * loop here. */
void broker_run_deferred(struct broker *b)
{
    struct list now;
    list_init(&now);
    while (!list_is_empty(&b->deferred)) {
        struct list *first = b->deferred.next;
        list_remove(first);
        list_push(&now, first);
    }
    for (struct list *n = now.next; n != &now; n = now.next) {
        list_remove(n);
        run(b, LIST_OWNER(n, struct deferred, node));
    }
}

void broker_set_state(struct broker *b, enum broker_state state)
{
    if (b->state == state || b->state == BROKER_STOPPED) {
        return;
    }
    log_info(b->name, "broker.state", "from=%s to=%s", broker_state_str(b->state),
             broker_state_str(state));
    b->state = state;
    struct deferred *d = deferred_new(NULL, 0);
    if (!d) {
        log_error(b->name, "broker.no_memory", "event=state");
        return;
    }
    d->kind = DEFERRED_STATE;
    d->state = state;
    defer(b, d, "");
}

/* ---- The turn of the loop ---- */

static void on_idle(uv_idle_t *idle)
{
    (void)idle; /* that it is active keeps the loop from sleeping; the work is done in prepare */
}

void broker_wake(struct broker *b)
{
    if (b->has_handles && !b->is_closing) {
        uv_idle_start(&b->idle, on_idle);
    }
}

static void stop_now(struct broker *b);

static void on_prepare(uv_prepare_t *prepare)
{
    struct broker *b = prepare->data;
    uv_idle_stop(&b->idle);
    conn_check(b);
    private_reap(b);
    conn_turn(b);
    if (broker_is_connected(b)) {
        topology_pump(b);
        probe_pump(b);
        declare_pump(b);
        publisher_pump(b);
    }
    publisher_check_room(b);
    broker_run_deferred(b);
    conn_flush(b);
    if (b->is_stopping) {
        stop_now(b);
    } else if (b->conn.has_failed || !list_is_empty(&b->deferred)) {
        broker_wake(b);
    }
}

static void on_tick(uv_timer_t *timer)
{
    struct broker *b = timer->data;
    uint64_t now_ms = uv_now(b->loop);
    conn_tick(b, now_ms);
    probe_tick(b, now_ms);
    if (broker_is_connected(b)) {
        consumer_tick(b, now_ms);
        restore_tick(b, now_ms);
    }
    if (b->is_stopping) {
        broker_wake(b);
    }
}

/* ---- Life ---- */

static char **copy_hosts(const char *const *hosts, size_t n)
{
    char **copy = calloc(n + 1, sizeof(*copy));
    for (size_t i = 0; copy && i < n; i++) {
        copy[i] = strdup(hosts[i]);
    }
    return copy;
}

static void free_options(struct broker *b)
{
    for (size_t i = 0; b->hosts && i < b->options.n_hosts; i++) {
        free(b->hosts[i]);
    }
    free(b->hosts);
    free((void *)(uintptr_t)b->options.vhost);
    free((void *)(uintptr_t)b->options.user);
    free((void *)(uintptr_t)b->options.password);
    free(b->name);
}

static int copy_options(struct broker *b, const struct broker_options *from)
{
    struct broker_options *o = &b->options;
    *o = *from;
    b->hosts = copy_hosts(from->hosts, from->n_hosts);
    o->hosts = NULL;
    o->vhost = strdup(from->vhost);
    o->user = strdup(from->user);
    o->password = strdup(from->password);
    b->name = strdup(from->name);
    o->name = b->name;
    if (!b->hosts || !o->vhost || !o->user || !o->password || !b->name) {
        return -1;
    }
    for (size_t i = 0; i < from->n_hosts; i++) {
        if (!b->hosts[i]) {
            return -1;
        }
    }
    if (o->reconnect_min_ms < 1) {
        o->reconnect_min_ms = 1;
    }
    if (o->reconnect_max_ms < o->reconnect_min_ms) {
        o->reconnect_max_ms = o->reconnect_min_ms;
    }
    return 0;
}

static bool are_usable(const struct broker_options *o)
{
    return o->n_hosts > 0 && strlen(o->vhost) <= CODEC_NAME_MAX &&
           strlen(o->user) <= CODEC_NAME_MAX && strlen(o->password) <= CODEC_NAME_MAX &&
           strlen(o->name) <= 1024 && o->heartbeat_s >= 0 && o->heartbeat_s <= UINT16_MAX;
}

static void init_lists(struct broker *b)
{
    list_init(&b->deferred);
    list_init(&b->kept);
    list_init(&b->broken);
    list_init(&b->groups);
    list_init(&b->consumers);
    for (unsigned i = 0; i < WORK_N; i++) {
        list_init(&b->work[i]);
    }
    for (unsigned i = 0; i < CH_N; i++) {
        channel_init(&b->channels[i], (uint16_t)i);
    }
    for (unsigned i = CH_TOPOLOGY; i <= CH_CONSUME; i++) {
        b->channels[i].is_wanted = !b->options.is_private;
    }
    b->channels[CH_FIXED].is_wanted = b->options.is_publisher;
    b->channels[CH_DYNAMIC].is_wanted = b->options.is_publisher;
}

struct broker *broker_new(struct uv_loop_s *loop, const struct broker_options *options,
                          const struct broker_events *events, void *owner)
{
    struct broker *b = are_usable(options) ? calloc(1, sizeof(*b)) : NULL;
    if (!b) {
        return NULL;
    }
    b->loop = loop;
    b->events = events;
    b->owner = owner;
    b->state = BROKER_DOWN;
    init_amqp_pool(&b->conn.pool, 4096);
    publisher_init(b);
    probe_init(b);
    private_init(b);
    declare_init(b);
    int failed = copy_options(b, options);
    init_lists(b);
    b->conn.in = malloc(CONN_IN_BYTES);
    if (failed || !b->conn.in) {
        broker_free(b);
        return NULL;
    }
    return b;
}

static void on_first(uv_timer_t *timer)
{
    struct broker *b = timer->data;
    if (!b->is_stopping && b->conn.phase == CONN_NONE) {
        conn_try(b);
    }
}

void broker_start(struct broker *b)
{
    if (b->is_started) {
        return;
    }
    b->is_started = true;
    b->has_handles = true;
    b->n_open += 4;
    uv_timer_init(b->loop, &b->tick);
    uv_timer_init(b->loop, &b->retry);
    uv_prepare_init(b->loop, &b->prepare);
    uv_idle_init(b->loop, &b->idle);
    b->tick.data = b;
    b->retry.data = b;
    b->prepare.data = b;
    b->idle.data = b;
    uv_timer_start(&b->tick, on_tick, TICK_MS, TICK_MS);
    uv_timer_start(&b->retry, on_first, 0, 0);
    uv_prepare_start(&b->prepare, on_prepare);
    broker_wake(b); /* for what was asked before */
}

void broker_handle_closed(struct broker *b)
{
    assert(b->n_open > 0);
    b->n_open--;
    if (b->n_open == 0 && b->is_closing && b->stopped) {
        void (*stopped)(void *) = b->stopped;
        b->stopped = NULL;
        stopped(b->owner); /* it may free the broker */
    }
}

static void on_handle_closed(uv_handle_t *handle)
{
    struct broker *b = handle->data;
    b->has_handles = false;
    broker_handle_closed(b);
}

static void close_handles(struct broker *b)
{
    b->is_closing = true;
    uv_close((uv_handle_t *)&b->tick, on_handle_closed);
    uv_close((uv_handle_t *)&b->retry, on_handle_closed);
    uv_close((uv_handle_t *)&b->prepare, on_handle_closed);
    uv_close((uv_handle_t *)&b->idle, on_handle_closed);
}

/* Everything that waits is answered first; then the goodbye, then the handles. Called once per turn
 * until it is done. */
static void stop_now(struct broker *b)
{
    static const struct broker_reply gone = {.code = 320, .text = "the gateway stops"};
    if (b->is_closing) {
        return;
    }
    publisher_stop(b);
    probe_stop(b, &gone);
    declare_stop(b, &gone);
    private_stop(b, gone.text);
    topology_stop(b, &gone);
    broker_run_deferred(b);
    if (b->conn.phase == CONN_OPEN) {
        b->stop_at_ms = uv_now(b->loop) + GOODBYE_MS;
        conn_say_goodbye(b);
        return;
    }
    if (b->conn.phase == CONN_CLOSING && uv_now(b->loop) < b->stop_at_ms) {
        return;
    }
    conn_drop(b);
    close_handles(b);
}

void broker_stop(struct broker *b, void (*stopped)(void *owner))
{
    if (b->is_stopping) {
        return;
    }
    if (!b->is_started) {
        broker_start(b); /* for the handles that call back */
    }
    b->is_stopping = true;
    b->stopped = stopped;
    uv_timer_stop(&b->retry);
    broker_set_state(b, BROKER_STOPPED);
    broker_wake(b);
}

void broker_free(struct broker *b)
{
    if (!b) {
        return;
    }
    assert(b->n_open == 0);
    private_free(b);
    publisher_free(b);
    consumer_free(b);
    topology_free(b);
    probe_free(b);
    declare_free(b);
    watch_free(b);
    for (struct list *n = b->deferred.next; n != &b->deferred;) {
        struct deferred *d = LIST_OWNER(n, struct deferred, node);
        n = n->next;
        deferred_free(d);
    }
    for (unsigned i = 0; i < CH_N; i++) {
        channel_fini(&b->channels[i]);
    }
    buf_fini(&b->conn.out);
    free(b->conn.in);
    empty_amqp_pool(&b->conn.pool);
    free_options(b);
    free(b);
}

enum broker_state broker_state(const struct broker *b)
{
    return b->state;
}

bool broker_is_blocked(const struct broker *b)
{
    return b->is_blocked;
}

void broker_stats(const struct broker *b, struct broker_stats *stats)
{
    *stats = b->stats;
    stats->unconfirmed = b->publisher.n;
    stats->unconfirmed_bytes = b->publisher.bytes;
    for (const struct list *n = b->groups.next; n != &b->groups; n = n->next) {
        const struct group *g = LIST_OWNER(n, struct group, node);
        stats->bindings += g->n_keys;
        stats->bindings_missing += g->mode == GROUP_PREFIX ? 0 : g->n_keys - g->n_standing;
        stats->prefixes += g->mode != GROUP_EXACT;
    }
}
