#include "persist/store.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <uv.h>

#include "amqp/storage.h"
#include "common/config.h"
#include "common/log.h"
#include "persist/batch.h"
#include "persist/dead.h"
#include "persist/sql.h"
#include "persist/store_internal.h"
#include "persist/upkeep.h"
#include "persist/writer.h"

#define TICK_MS 1000
#define TUNE_MS 60000
#define PARK_SHORT_MS 1000 /* after too many bytes: only until what is in flight has gone by */
#define PARK_LONG_MS 5000
#define PREFETCH_MAX 65535
#define RETRY_MIN_MS 200

static const char *store_state_str(enum store_state state)
{
    static const char *const names[] = {"idle",     "running", "parked",
                                        "stopping", "closing", "stopped"};
    return names[state];
}

static void store_set_state(struct store *s, enum store_state state)
{
    assert(state > s->state || (s->state == STORE_PARKED && state == STORE_RUNNING));
    log_debug(s->name, "store.state", "%s -> %s", store_state_str(s->state),
              store_state_str(state));
    s->state = state;
}

static void store_close(struct store *s);
static void store_fly(struct store *s);

/* ---- What is held ---- */

static size_t held_bytes(const struct store *s)
{
    return s->batches[0].bytes + s->batches[1].bytes;
}

/* Gives up everything that can be given up: it was, or will be, handed back to the queue. */
static void store_forget(struct store *s)
{
    batch_clear(s->filling);
    uv_timer_stop(&s->flush);
    s->is_void = s->flying != NULL;
    if (s->flying != NULL && (s->is_burying || writer_abort(s->writer))) {
        dead_abort(s->dead);
        s->is_burying = false;
        batch_clear(s->flying);
        s->flying = NULL;
    }
}

static void store_consume(struct store *s)
{
    const struct broker_consume consume = {
        .queue = s->config->store.queue,
        .tag = s->tag,
        .prefetch = (uint16_t)s->prefetch,
        .delivery = s->on_delivery,
        .owner = s,
    };
    if (broker_consume(s->broker, &consume) < 0) {
        log_error(s->name, "store.memory", "what=consume");
        s->state = STORE_PARKED; /* the tick tries again */
        s->park_until_ms = uv_now(s->loop) + PARK_LONG_MS;
        return;
    }
    if (s->state != STORE_RUNNING) {
        store_set_state(s, STORE_RUNNING);
    }
}

/* Everything unacknowledged goes back to the queue; what is still on the wire is sent back by the
 * broker's own cancel. */
static void store_park(struct store *s, const char *why, uint64_t pause_ms)
{
    log_warn(s->name, "store.parked", "why=\"%s\" rows=%zu bytes=%zu prefetch=%u", why,
             s->batches[0].n + s->batches[1].n, held_bytes(s), s->prefetch);
    store_set_state(s, STORE_PARKED);
    s->counts.parks++;
    s->park_until_ms = uv_now(s->loop) + pause_ms;
    broker_cancel(s->broker, s->tag);
    if (s->last_tag > s->settled_tag) {
        broker_nack(s->broker, s->epoch, s->last_tag, true, true);
        s->settled_tag = s->last_tag;
    }
    store_forget(s);
}

/* ---- Deliveries in ---- */

static unsigned prefetch_for(const struct store *s, size_t body_bytes)
{
    size_t most = (size_t)s->config->store.batch_rows * 2;
    size_t fits = s->held_max_bytes / 2 / (body_bytes + 1024);
    most = fits < most ? fits : most;
    return most < 1 ? 1 : most > PREFETCH_MAX ? PREFETCH_MAX : (unsigned)most;
}

static uint64_t unix_ms(void)
{
    uv_timeval64_t now;
    return uv_gettimeofday(&now) == 0 ? (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_usec / 1000
                                      : (uint64_t)time(NULL) * 1000;
}

static void on_flush(uv_timer_t *timer)
{
    store_fly(timer->data);
}

static void store_new_epoch(struct store *s, uint32_t epoch)
{
    if (s->has_epoch) {
        store_forget(s);
    }
    s->has_epoch = true;
    s->epoch = epoch;
    s->settled_tag = 0;
}

static void store_deliver(void *owner, uint64_t cookie, const struct broker_delivery *d)
{
    struct store *s = owner;
    (void)cookie;
    if (s->state != STORE_RUNNING) {
        return;
    }
    if (!s->has_epoch || d->epoch != s->epoch) {
        store_new_epoch(s, d->epoch);
    }
    s->last_tag = d->tag;
    s->counts.redelivered += d->is_redelivered;
    s->largest = d->body.len > s->largest ? d->body.len : s->largest;
    struct row *row = row_new(d, &s->ids, unix_ms());
    if (row == NULL || batch_push(s->filling, row, uv_now(s->loop)) < 0) {
        store_park(s, "out of memory", PARK_LONG_MS);
    } else if (held_bytes(s) > s->held_max_bytes && s->filling->n > 1) {
        s->prefetch = prefetch_for(s, s->largest);
        store_park(s, "large messages: taking fewer at a time", PARK_SHORT_MS);
    } else {
        store_fly(s);
    }
}

/* ---- Batches out ---- */

static void store_fly(struct store *s)
{
    uint64_t now_ms = uv_now(s->loop);
    if (s->flying != NULL || s->filling->n == 0 || !pg_is_ready(s->pg)) {
        return;
    }
    if (s->state != STORE_STOPPING && !batch_is_due(s->filling, &s->limits, now_ms)) {
        if (!uv_is_active((uv_handle_t *)&s->flush)) {
            uv_timer_start(&s->flush, on_flush, s->filling->opened_ms + s->limits.ms - now_ms, 0);
        }
        return;
    }
    uv_timer_stop(&s->flush);
    s->flying = s->filling;
    s->filling = s->flying == &s->batches[0] ? &s->batches[1] : &s->batches[0];
    s->is_void = false;
    writer_write(s->writer, s->flying);
}

static void store_count(struct store *s, const struct batch *b)
{
    s->counts.batches++;
    s->counts.stored += batch_count(b, ROW_STORED);
    s->counts.duplicates += batch_count(b, ROW_DUPLICATE);
    s->counts.conflicts += batch_count(b, ROW_CONFLICT);
    s->counts.refused += batch_count(b, ROW_REFUSED);
    for (size_t i = 0; i < b->n; i++) {
        s->counts.unidentified += b->rows[i]->is_id_ours && !b->rows[i]->has_key;
        s->counts.bytes += b->rows[i]->body.len;
    }
}

/* Every row is in the database or in the dead queue. Batches end in the order in which they came,
 * so one ack covers all up to here. */
static void store_landed(struct store *s)
{
    struct batch *b = s->flying;
    store_count(s, b);
    if (!s->is_void) {
        s->settled_tag = b->rows[b->n - 1]->tag;
        broker_ack(s->broker, s->epoch, s->settled_tag, true);
    }
    batch_clear(b);
    s->flying = NULL;
    s->is_burying = false;
    store_fly(s);
    if (s->state == STORE_STOPPING && s->flying == NULL) {
        store_close(s);
    }
}

static void on_written(void *owner)
{
    struct store *s = owner;
    size_t n_condemned = batch_count(s->flying, ROW_CONFLICT) + batch_count(s->flying, ROW_REFUSED);
    if (n_condemned == 0 || s->is_void) {
        store_landed(s); /* void: they come again, and are buried then */
        return;
    }
    s->is_burying = true;
    dead_bury(s->dead, s->flying);
}

static void on_buried(void *owner)
{
    store_landed(owner);
}

/* ---- Time ---- */

/* When the bodies have become small again, more of them may be taken. */
static void store_tune(struct store *s, uint64_t now_ms)
{
    if (now_ms < s->tune_ms) {
        return;
    }
    unsigned prefetch = prefetch_for(s, s->largest);
    s->tune_ms = now_ms + TUNE_MS;
    s->largest = 0;
    if (prefetch / 2 >= s->prefetch) {
        s->prefetch = prefetch;
        store_park(s, "small messages: taking more at a time", PARK_SHORT_MS);
    }
}

/* Nothing is unacknowledged for long but what could not be written: a batch that goes on, however
 * slowly, is left alone. */
static bool is_stuck(struct store *s, uint64_t now_ms)
{
    const struct batch *oldest = s->flying != NULL ? s->flying : s->filling;
    uint64_t progress = writer_stats(s->writer)->successes + dead_stats(s->dead)->buried;
    if (progress != s->progress || oldest->n == 0 || s->is_void) {
        s->progress = progress;
        s->progress_ms = now_ms;
    }
    return oldest->n > 0 && ((now_ms >= s->progress_ms + STORE_PARK_MS &&
                              now_ms >= oldest->opened_ms + STORE_PARK_MS) ||
                             now_ms >= oldest->opened_ms + STORE_PARK_AT_LAST_MS);
}

static void on_tick(uv_timer_t *timer)
{
    struct store *s = timer->data;
    uint64_t now_ms = uv_now(s->loop);
    switch (s->state) {
    case STORE_RUNNING:
        if (is_stuck(s, now_ms)) {
            store_park(s, "nothing could be written for too long", PARK_LONG_MS);
        } else {
            store_tune(s, now_ms);
        }
        break;
    case STORE_PARKED:
        if (now_ms >= s->park_until_ms && pg_is_ready(s->pg) && s->flying == NULL) {
            store_consume(s);
        }
        break;
    case STORE_STOPPING:
        if (now_ms >= s->stop_ms || !pg_is_ready(s->pg)) {
            log_warn(s->name, "store.unwritten", "rows=%zu", s->batches[0].n + s->batches[1].n);
            store_close(s);
        }
        break;
    case STORE_IDLE:
    case STORE_CLOSING:
    case STORE_STOPPED:
        break;
    }
}

/* ---- What others tell ---- */

static void on_pg_ready(void *owner)
{
    struct store *s = owner;
    upkeep_wake(s->upkeep);
    writer_wake(s->writer);
    store_fly(s);
}

static void on_broker_state(void *owner, enum broker_state state)
{
    struct store *s = owner;
    log_info(s->name, "store.broker", "state=%s", broker_state_str(state));
    if (state == BROKER_DOWN) {
        store_forget(s); /* the broker gives all of it to whoever comes first */
    }
}

static void on_broker_restored(void *owner, const char *kind, const char *name)
{
    struct store *s = owner;
    log_warn(s->name, "store.restored", "kind=%s name=%s", kind, name);
}

static void on_queue(void *owner, uint64_t cookie, const struct broker_reply *reply)
{
    struct store *s = owner;
    (void)cookie;
    if (!reply->is_ok) {
        log_error(s->name, "store.queue", "queue=%s code=%u text=\"%s\"", s->config->store.queue,
                  (unsigned)reply->code, reply->text);
    }
}

/* ---- Life ---- */

static int store_make_broker(struct store *s)
{
    static const struct broker_events events = {.state = on_broker_state,
                                                .restored = on_broker_restored};
    const struct config *c = s->config;
    const struct broker_options options = {
        .hosts = (const char *const *)c->broker.hosts.items,
        .n_hosts = c->broker.hosts.n,
        .vhost = c->broker.vhost,
        .user = c->broker.user,
        .password = c->broker.password,
        .name = s->name,
        .heartbeat_s = c->broker.heartbeat_s,
        .reconnect_min_ms = c->broker.reconnect_min_ms,
        .reconnect_max_ms = c->broker.reconnect_max_ms,
        .sweep_ms = c->broker.sweep_ms,
    };
    s->broker = broker_new(s->loop, &options, &events, s);
    return s->broker != NULL &&
                   broker_keep_storage_queue(s->broker, c->store.queue, c->store.dead_queue,
                                             c->store.queue_max_bytes, on_queue, 0) == 0
               ? 0
               : -1;
}

static int store_make_pg(struct store *s)
{
    static const struct pg_events events = {.ready = on_pg_ready};
    const struct config *c = s->config;
    const struct pg_options options = {
        .url = c->database.url,
        .name = s->name,
        .statements = sql_store,
        .n_statements = sql_n_store,
        .statement_timeout_ms = c->database.statement_timeout_ms,
        .retry_min_ms = RETRY_MIN_MS,
        .retry_max_ms = c->store.retry_max_ms,
    };
    s->pg = pg_new(s->loop, &options, &events, s);
    return s->pg != NULL ? 0 : -1;
}

struct store *store_new(struct uv_loop_s *loop, const struct config *config)
{
    struct store *s = calloc(1, sizeof(*s));
    if (s == NULL) {
        return NULL;
    }
    s->loop = loop;
    s->config = config;
    s->on_delivery = store_deliver;
    s->filling = &s->batches[0];
    s->limits = (struct batch_limits){.rows = (size_t)config->store.batch_rows,
                                      .bytes = (size_t)config->store.batch_bytes,
                                      .ms = (uint64_t)config->store.batch_ms};
    s->held_max_bytes = s->limits.bytes * STORE_HELD_BATCHES;
    if (s->held_max_bytes < STORE_HELD_MIN_BYTES) {
        s->held_max_bytes = STORE_HELD_MIN_BYTES;
    }
    s->prefetch = prefetch_for(s, 0);
    snprintf(s->name, sizeof(s->name), "stompgate-store %s", config->store.name);
    snprintf(s->tag, sizeof(s->tag), "%s", s->name);
    s->dead = dead_new(loop, config, on_buried, s);
    if (s->dead == NULL || store_make_broker(s) < 0 || store_make_pg(s) < 0) {
        store_free(s);
        return NULL;
    }
    return s;
}

int store_start(struct store *s)
{
    s->writer = writer_new(s->loop, s->pg, s->name, &s->limits, s->config->store.retry_max_ms,
                           on_written, s);
    s->upkeep = upkeep_new(s->loop, s->pg, s->config, s->name);
    if (s->writer == NULL || s->upkeep == NULL) {
        writer_free(s->writer);
        upkeep_free(s->upkeep);
        return -1;
    }
    uv_timer_init(s->loop, &s->flush);
    uv_timer_init(s->loop, &s->tick);
    s->flush.data = s;
    s->tick.data = s;
    uv_timer_start(&s->tick, on_tick, TICK_MS, TICK_MS);
    s->tune_ms = uv_now(s->loop) + TUNE_MS;
    pg_start(s->pg);
    dead_start(s->dead);
    broker_start(s->broker);
    store_consume(s);
    return 0;
}

static void on_timer_closed(uv_handle_t *handle)
{
    struct store *s = handle->data;
    if (--s->n_timers == 0) {
        store_set_state(s, STORE_STOPPED);
        s->stopped(s->stopped_owner);
    }
}

static void on_pg_stopped(void *owner)
{
    struct store *s = owner;
    writer_free(s->writer);
    upkeep_free(s->upkeep);
    s->n_timers = 2;
    uv_close((uv_handle_t *)&s->flush, on_timer_closed);
    uv_close((uv_handle_t *)&s->tick, on_timer_closed);
}

static void on_dead_stopped(void *owner)
{
    struct store *s = owner;
    pg_stop(s->pg, on_pg_stopped);
}

static void on_broker_stopped(void *owner)
{
    struct store *s = owner;
    dead_stop(s->dead, on_dead_stopped);
}

static void store_close(struct store *s)
{
    store_set_state(s, STORE_CLOSING);
    broker_stop(s->broker, on_broker_stopped);
}

void store_stop(struct store *s, void (*stopped)(void *owner), void *owner)
{
    if (s->state >= STORE_STOPPING) {
        return;
    }
    s->stopped = stopped;
    s->stopped_owner = owner;
    s->stop_ms = uv_now(s->loop) + STORE_STOP_MS;
    store_set_state(s, STORE_STOPPING);
    log_info(s->name, "store.stopping", "rows=%zu", s->batches[0].n + s->batches[1].n);
    broker_cancel(s->broker, s->tag);
    store_fly(s);
    if (s->flying == NULL) {
        store_close(s);
    }
}

void store_free(struct store *s)
{
    if (s == NULL) {
        return;
    }
    broker_free(s->broker);
    dead_free(s->dead);
    pg_free(s->pg);
    batch_fini(&s->batches[0]);
    batch_fini(&s->batches[1]);
    free(s);
}

bool store_is_ready(const struct store *s)
{
    return s->state == STORE_RUNNING && pg_is_ready(s->pg) && broker_state(s->broker) == BROKER_UP;
}
