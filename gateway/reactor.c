#include "gateway/reactor.h"

#include "common/log.h"
#include "gateway/client.h"
#include "gateway/transport/transport.h"
#include "persist/history.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <uv.h>

#define STATS_MS 1000

/* How a reactor ends. Only in this order. */
enum stage {
    STAGE_RUNNING,
    STAGE_DRAINING, /* no new clients; the old ones are told one by one */
    STAGE_CUTTING,  /* who is still there is cut */
    STAGE_STOPPING, /* broker and database connections say good-bye */
    STAGE_CLOSING   /* handles are closed; then the loop ends by itself */
};

struct reactor_uv {
    uv_loop_t loop;
    uv_prepare_t prepare;
    uv_check_t check;
    uv_timer_t tick;
    uv_timer_t pause;
    uint64_t delivered; /* of live_stats, at the end of the last turn */
    uv_async_t stop;
    uv_async_t certified;
    _Atomic(struct tls_pair *) pair; /* from another thread, NULL once it is taken */
    enum stage stage;
    uint64_t stage_ms;  /* when it began */
    size_t drain_quota; /* clients to tell per tick */
    int n_stopping;
    uint64_t stats_ms;
};

static uint64_t unix_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* ---- The broker ---- */

static void on_grace_over(struct wheel_timer *timer, uint64_t now_ms)
{
    struct reactor *r = LIST_OWNER(timer, struct reactor, grace);
    (void)now_ms;
    r->is_broker_gone = true;
    log_error(r->name, "broker.gone", "grace_ms=%d sessions=%zu", r->config->broker.grace_ms,
              r->clients.n);
    client_tell_all(r, SESSION_BROKER_GONE);
}

static void expect_broker(struct reactor *r)
{
    if (!r->is_broker_gone && !wheel_is_set(&r->grace)) {
        wheel_set(&r->wheel, &r->grace, r->now_ms + (uint64_t)r->config->broker.grace_ms);
    }
}

void reactor_broker_state(struct reactor *r, bool is_live_side, enum broker_state state)
{
    bool *is_up = is_live_side ? &r->is_live_up : &r->is_publish_up;
    *is_up = state == BROKER_UP;
    log_info(r->name, "broker.state", "side=%s state=%s", is_live_side ? "live" : "publish",
             broker_state_str(state));
    if (r->is_live_up && r->is_publish_up) {
        wheel_cancel(&r->wheel, &r->grace);
        r->is_broker_gone = false;
        r->has_room = true;
    } else {
        expect_broker(r);
    }
    metrics_set(&r->metrics, METRIC_BROKER_UP, r->is_live_up && r->is_publish_up);
}

static void on_publish_state(void *reactor, enum broker_state state)
{
    reactor_broker_state(reactor, false, state);
}

static void on_room(void *reactor)
{
    ((struct reactor *)reactor)->has_room = true;
}

static void on_settled(void *reactor, const struct broker_settled *settled)
{
    client_settled(reactor, settled);
}

/* What was put back without our asking had been deleted by somebody: what is bound to it as well.
 */
static void on_restored(void *reactor, const char *kind, const char *name)
{
    struct reactor *r = reactor;
    if (strcmp(kind, "exchange") == 0) {
        private_side_deleted(r->private, slice_of(name), (struct slice){NULL, 0},
                             (struct slice){NULL, 0});
    }
}

static void on_deleted(void *reactor, struct slice exchange, struct slice queue, struct slice key)
{
    private_side_deleted(((struct reactor *)reactor)->private, exchange, queue, key);
}

static const struct publish_host publish_host = {.deleted = on_deleted,

                                                 .settled = on_settled,
                                                 .room = on_room,
                                                 .state = on_publish_state,
                                                 .restored = on_restored};

/* ---- Figures ---- */

static void take_private_stats(struct reactor *r)
{
    struct private_stats s;
    struct metrics *m = &r->metrics;
    private_side_stats(r->private, &s);
    metrics_set(m, METRIC_PRIVATE_CONNECTIONS, s.connections);
    metrics_set(m, METRIC_PRIVATE_CHANNELS, s.channels);
    metrics_set(m, METRIC_PRIVATE_CONSUMERS, s.consumers);
    metrics_set(m, METRIC_PRIVATE_DELIVERIES, s.delivered);
    metrics_set(m, METRIC_PRIVATE_ACKED, s.acked);
    metrics_set(m, METRIC_PRIVATE_REQUEUED, s.requeued);
    metrics_set(m, METRIC_PRIVATE_HELD, s.held);
    metrics_set(m, METRIC_PRIVATE_RESTORED, s.restored);
    metrics_set(m, METRIC_PRIVATE_CHANNEL_ERRORS, s.channel_errors);
}

static void take_client_stats(struct reactor *r)
{
    size_t n;
    size_t bytes;
    client_behind(r, &n, &bytes);
    metrics_set(&r->metrics, METRIC_CLIENTS_BEHIND, n);
    metrics_set(&r->metrics, METRIC_OUT_QUEUE_BYTES, bytes);
}

static void take_stats(struct reactor *r)
{
    struct broker_stats live;
    struct broker_stats publish;
    struct live_stats rooms;
    broker_stats(live_broker(r->live), &live);
    broker_stats(publish_broker(r->publish), &publish);
    live_stats(r->live, &rooms);
    take_client_stats(r);
    take_private_stats(r);
    struct metrics *m = &r->metrics;
    metrics_set(m, METRIC_MESSAGES, rooms.queued);
    metrics_set(m, METRIC_MESSAGES_DROPPED, rooms.dropped);
    metrics_set(m, METRIC_DELIVERIES, rooms.delivered);
    metrics_set(m, METRIC_DELIVERIES_UNHEARD, rooms.unheard);
    metrics_set(m, METRIC_ROOMS, rooms.rooms);
    metrics_set(m, METRIC_BINDINGS_WAITING, live.bindings_missing);
    metrics_set(m, METRIC_PREFIXES, live.prefixes);
    metrics_set(m, METRIC_BINDS, live.binds);
    metrics_set(m, METRIC_UNBINDS, live.unbinds);
    metrics_set(m, METRIC_LIVE_QUEUES, rooms.queues);
    metrics_set(m, METRIC_GAPS, rooms.gaps);
    metrics_set(m, METRIC_FILLED, rooms.filled);
    metrics_set(m, METRIC_RESTORED, live.restored + publish.restored);
    metrics_set(m, METRIC_BROKER_BLOCKED, broker_is_blocked(publish_broker(r->publish)));
    metrics_set(m, METRIC_BROKER_CONNECTS, live.connects + publish.connects);
    metrics_set(m, METRIC_BROKER_CHANNEL_ERRORS, live.channel_errors + publish.channel_errors);
    metrics_set(m, METRIC_PUBLISH_CONFIRMED, publish.confirmed);
    metrics_set(m, METRIC_PUBLISH_NACKED, publish.nacked);
    metrics_set(m, METRIC_PUBLISH_RETURNED, publish.returned);
    metrics_set(m, METRIC_PUBLISH_REFUSED, publish.refused);
    metrics_set(m, METRIC_PUBLISH_REPUBLISHED, publish.republished);
    metrics_set(m, METRIC_PUBLISH_UNCONFIRMED, publish.unconfirmed);
    metrics_set(m, METRIC_HISTORY_QUERIES, r->history ? history_reads(r->history) : 0);
}

/* ---- The end ---- */

static void set_stage(struct reactor *r, enum stage stage)
{
    static const char *const names[] = {"running", "draining", "cutting", "stopping", "closing"};
    log_info(r->name, "reactor.stage", "%s -> %s sessions=%zu", names[r->uv->stage], names[stage],
             r->clients.n);
    r->uv->stage = stage;
    r->uv->stage_ms = r->now_ms;
}

static void close_handles(struct reactor *r)
{
    struct reactor_uv *uv = r->uv;
    set_stage(r, STAGE_CLOSING);
    transport_stop(r->transport);
    uv_close((uv_handle_t *)&uv->prepare, NULL);
    uv_close((uv_handle_t *)&uv->check, NULL);
    uv_close((uv_handle_t *)&uv->tick, NULL);
    uv_close((uv_handle_t *)&uv->pause, NULL);
    uv_close((uv_handle_t *)&uv->stop, NULL);
    uv_close((uv_handle_t *)&uv->certified, NULL);
}

static void on_part_stopped(void *reactor)
{
    struct reactor *r = reactor;
    if (--r->uv->n_stopping == 0) {
        close_handles(r);
    }
}

static void stop_parts(struct reactor *r)
{
    set_stage(r, STAGE_STOPPING);
    r->uv->n_stopping = r->history ? 4 : 3;
    if (r->history) {
        history_stop(r->history, on_part_stopped);
    }
    private_side_stop(r->private, on_part_stopped);
    publish_stop(r->publish, on_part_stopped);
    live_stop(r->live, on_part_stopped);
}

/* Once per tick. Closes are spread over drain_ms, so that the clients' reconnects are, too. */
static void end_step(struct reactor *r)
{
    struct reactor_uv *uv = r->uv;
    uint64_t since = r->now_ms - uv->stage_ms;
    const struct config *c = r->config;
    bool is_empty = r->clients.n == 0 && list_is_empty(&r->dead);
    switch (uv->stage) {
    case STAGE_DRAINING:
        client_drain(r, uv->drain_quota);
        if (is_empty) {
            stop_parts(r);
        } else if (since > (uint64_t)c->gateway.drain_ms + (uint64_t)c->limits.close_linger_ms) {
            set_stage(r, STAGE_CUTTING);
        }
        break;
    case STAGE_CUTTING:
        client_cut_all(r);
        if (is_empty) {
            stop_parts(r);
        }
        break;
    case STAGE_RUNNING:
    case STAGE_STOPPING:
    case STAGE_CLOSING:
        break;
    }
}

static void on_stop(uv_async_t *handle)
{
    struct reactor *r = handle->data;
    if (r->uv->stage != STAGE_RUNNING) {
        return;
    }
    r->is_draining = true;
    int ticks = r->config->gateway.drain_ms / WHEEL_TICK_MS;
    r->uv->drain_quota = r->clients.n / (size_t)(ticks > 0 ? ticks : 1) + 1;
    listener_stop(r->listener);
    set_stage(r, STAGE_DRAINING);
}

void reactor_stop(struct reactor *r)
{
    uv_async_send(&r->uv->stop);
}

/* ---- Certificates ---- */

static void take_pair(struct reactor *r)
{
    struct tls_pair *pair = atomic_exchange(&r->uv->pair, NULL);
    if (pair) {
        transport_certify(r->transport, pair);
    }
}

static void on_certified(uv_async_t *handle)
{
    take_pair(handle->data);
}

void reactor_certify(struct reactor *r, struct tls_pair *pair)
{
    tls_pair_unref(atomic_exchange(&r->uv->pair, tls_pair_ref(pair)));
    uv_async_send(&r->uv->certified);
}

/* ---- The loop ---- */

static void on_tick(uv_timer_t *handle)
{
    struct reactor *r = handle->data;
    r->now_ms = uv_now(&r->uv->loop);
    wheel_advance(&r->wheel, r->now_ms);
    if (r->now_ms - r->uv->stats_ms >= STATS_MS) {
        r->uv->stats_ms = r->now_ms;
        take_stats(r);
    }
    end_step(r);
}

/* Just after the sockets were read: what the events left to do, so that what it asks of the broker
 * leaves in this turn. */
static void on_check(uv_check_t *handle)
{
    struct reactor *r = handle->data;
    r->now_ms = uv_now(&r->uv->loop);
    client_turn(r);
    live_turn(r->live);
}

static void flush_all(struct list *dirty)
{
    while (!list_is_empty(dirty)) {
        struct outq *q = LIST_OWNER(dirty->next, struct outq, node);
        list_remove(&q->node);
        client_flush(q);
    }
}

static void on_pause_over(uv_timer_t *timer)
{
    (void)timer; /* what is to be done is done at the end of this turn */
}

/* Live messages: what comes while the loop is busy writing them gathers (pace.h). */
static void flush_live(struct reactor *r)
{
    struct reactor_uv *uv = r->uv;
    struct live_stats stats;
    live_stats(r->live, &stats);
    uint64_t n_new = stats.delivered - uv->delivered;
    uv->delivered = stats.delivered;
    if (!live_is_pending(r->live) && list_is_empty(&r->dirty.later)) {
        return;
    }
    uint32_t wait_ms = pace_wait_ms(&r->pace, uv_now(&uv->loop), n_new);
    if (wait_ms > 0) {
        uv_timer_start(&uv->pause, on_pause_over, wait_ms, 0);
        return;
    }
    uint64_t began_ns = uv_hrtime();
    live_settle(r->live);
    flush_all(&r->dirty.later);
    uint64_t took_us = (uv_hrtime() - began_ns) / 1000;
    uv_update_time(&uv->loop);
    pace_passed(&r->pace, took_us, uv_now(&uv->loop));
}

/* Just before the loop waits: everything that this turn brought to clients goes out. */
static void on_prepare(uv_prepare_t *handle)
{
    struct reactor *r = handle->data;
    client_turn(r);
    live_turn(r->live);
    flush_live(r);
    do {
        flush_all(&r->dirty.now);
        client_written(r);
    } while (!list_is_empty(&r->dirty.now));
    transport_turn(r->transport);
    tcp_turn(r->tcp);
    client_reap(r);
}

static int open_loop(struct reactor *r)
{
    struct reactor_uv *uv = calloc(1, sizeof *uv);
    if (!uv || uv_loop_init(&uv->loop) != 0) {
        free(uv);
        return -1;
    }
    r->uv = uv;
    r->loop = &uv->loop;
    uv_prepare_init(&uv->loop, &uv->prepare);
    uv_check_init(&uv->loop, &uv->check);
    uv_timer_init(&uv->loop, &uv->tick);
    uv_timer_init(&uv->loop, &uv->pause);
    uv_async_init(&uv->loop, &uv->stop, on_stop);
    uv_async_init(&uv->loop, &uv->certified, on_certified);
    uv->prepare.data = uv->check.data = uv->tick.data = uv->stop.data = uv->certified.data = r;
    r->now_ms = uv_now(&uv->loop);
    return 0;
}

static struct private_side *open_private(struct reactor *r)
{
    struct private_options options = {
        .loop = r->loop,
        .config = r->config,
        .wheel = &r->wheel,
        .now_ms = &r->now_ms,
        .name = r->name,
        .publish = r->publish,
        .host = &client_private_host,
        .reactor = r,
    };
    return private_side_new(&options);
}

/* A heart-beat is always TEXT. */
static int make_beat(struct reactor *r)
{
    r->beat = message_new(1, true);
    if (!r->beat) {
        return -1;
    }
    *message_payload(r->beat) = '\n';
    return 0;
}

static int open_parts(struct reactor *r, struct metrics **siblings, int n_siblings)
{
    const struct config *c = r->config;
    if (c->history.enabled && c->database.url[0]) {
        char name[128];
        snprintf(name, sizeof name, "stompgate %s", r->name);
        r->history =
            history_new(r->loop, c->database.url, name, c->database.statement_timeout_ms, r);
    }
    struct live_options live = {
        .loop = r->loop,
        .config = c,
        .wheel = &r->wheel,
        .now_ms = &r->now_ms,
        .history = r->history,
        .name = r->name,
        .host = &client_live_host,
        .reactor = r,
    };
    struct publish_options publish = {
        .loop = r->loop,
        .config = c,
        .wheel = &r->wheel,
        .now_ms = &r->now_ms,
        .name = r->name,
        .host = &publish_host,
        .reactor = r,
    };
    r->live = live_new(&live);
    r->publish = publish_new(&publish);
    r->private = open_private(r);
    r->transport = transport_new(r, siblings, n_siblings);
    r->tcp = tcp_new(r);
    return r->live && r->publish && r->private && r->transport && r->tcp ? 0 : -1;
}

struct reactor *reactor_new(const struct config *config, int number, struct metrics **siblings,
                            int n_siblings)
{
    struct reactor *r = calloc(1, sizeof *r);
    if (!r) {
        return NULL;
    }
    r->config = config;
    r->number = number;
    snprintf(r->name, sizeof r->name, "%s.%d", config->gateway.name, number);
    snprintf(r->number_text, sizeof r->number_text, "%d", number);
    r->metrics.reactor = r->number_text;
    siblings[number] = &r->metrics;
    r->last_client = unix_ms() << 16; /* ids do not come again after a restart */
    session_settings_init(&r->settings, config, false);
    session_settings_init(&r->tcp_settings, config, true);
    outq_dirty_init(&r->dirty);
    pace_init(&r->pace, (uint32_t)config->gateway.gather_ms);
    list_init(&r->behind);
    list_init(&r->doomed);
    list_init(&r->waiting);
    list_init(&r->dead);
    list_init(&r->written);
    map_init(&r->clients);
    if (make_beat(r) != 0 || open_loop(r) != 0) {
        message_unref(r->beat);
        free(r);
        return NULL;
    }
    wheel_init(&r->wheel, r->now_ms);
    wheel_timer_init(&r->grace, on_grace_over);
    if (open_parts(r, siblings, n_siblings) != 0) {
        log_error(r->name, "reactor.failed", "a part could not be made; see the lines above");
        return NULL; /* the program ends */
    }
    return r;
}

int reactor_listen(struct reactor *r, struct reactor_ports *ports)
{
    const struct config *c = r->config;
    struct listener *l = r->listener = listener_new(r);
    if (!l || listener_open(l, c->gateway.bind, &ports->gateway, transport_adopt) != 0) {
        return -1;
    }
    if (c->tcp.enabled && listener_open(l, c->tcp.bind, &ports->tcp, tcp_adopt) != 0) {
        return -1;
    }
    return c->tls.enabled ? listener_open(l, c->tls.bind, &ports->tls, transport_adopt_tls) : 0;
}

void reactor_run(struct reactor *r)
{
    struct reactor_uv *uv = r->uv;
    uv_update_time(&uv->loop);
    r->now_ms = uv_now(&uv->loop);
    uv_prepare_start(&uv->prepare, on_prepare);
    uv_check_start(&uv->check, on_check);
    uv_timer_start(&uv->tick, on_tick, WHEEL_TICK_MS, WHEEL_TICK_MS);
    expect_broker(r);
    live_start(r->live);
    publish_start(r->publish);
    take_pair(r); /* before who comes in needs it */
    listener_start(r->listener);
    uv_run(&uv->loop, UV_RUN_DEFAULT);
}

void reactor_free(struct reactor *r)
{
    if (!r) {
        return;
    }
    client_reap(r);
    private_side_free(r->private);
    live_free(r->live);
    publish_free(r->publish);
    history_free(r->history);
    listener_free(r->listener);
    transport_free(r->transport);
    tcp_free(r->tcp);
    map_fini(&r->clients);
    message_unref(r->beat);
    tls_pair_unref(atomic_load(&r->uv->pair));
    uv_loop_close(&r->uv->loop);
    free(r->uv);
    free(r);
}
