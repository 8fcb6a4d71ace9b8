#include "persist/writer.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include <uv.h>

#include "common/log.h"
#include "persist/columns.h"
#include "persist/sql.h"

#define RETRY_MIN_MS 50

enum writer_state {
    WRITER_FREE,
    WRITER_WAITING, /* for the connection or the end of a pause */
    WRITER_INSERTING,
    WRITER_LOOKING_UP, /* why rows were not inserted */
    WRITER_RELEASING   /* a key that was claimed for a row that conflicts */
};

/* Invariant: the rows being written are batch->picked[at] to picked[at + n - 1]; `losers` are those
 * that the insert left out. */
struct writer {
    uv_timer_t timer;
    struct pg *pg;
    const char *name;
    struct batch_limits limits;
    int retry_max_ms;
    int retry_ms;
    void (*done)(void *owner);
    void *owner;
    enum writer_state state;
    struct batch *batch;
    size_t at;
    size_t n;
    size_t n_max; /* rows of the next statement; halved by a refusal, doubled by success */
    struct row **losers;
    size_t n_losers;
    size_t losers_cap;
    struct row *release; /* WRITER_RELEASING: the conflicting row */
    struct pg_query query;
    struct columns columns;
    struct writer_stats stats;
};

static void writer_next(struct writer *w);
static void on_inserted(void *owner, const struct pg_answer *answer);
static void on_looked_up(void *owner, const struct pg_answer *answer);
static void on_released(void *owner, const struct pg_answer *answer);

/* ---- Trying again ---- */

static void on_timer(uv_timer_t *timer)
{
    struct writer *w = timer->data;
    if (w->state == WRITER_WAITING) {
        writer_next(w);
    }
}

/* Half of the pause is fixed, half is chance, so that two workers that clashed do not clash again.
 */
static void writer_pause(struct writer *w)
{
    uint32_t random = 0;
    uv_random(NULL, NULL, &random, sizeof(random), 0, NULL);
    int ms = w->retry_ms / 2 + (int)(random % (uint32_t)(w->retry_ms / 2 + 1));
    w->retry_ms = w->retry_ms > w->retry_max_ms / 2 ? w->retry_max_ms : w->retry_ms * 2;
    w->state = WRITER_WAITING;
    uv_timer_start(&w->timer, on_timer, (uint64_t)ms, 0);
}

/* True when the answer is good. Else the statement's rows stay pending and come again. */
static bool writer_is_done(struct writer *w, const struct pg_answer *answer)
{
    switch (answer->outcome) {
    case PG_DONE:
        w->stats.successes++;
        return true;
    case PG_CLASH:
        w->stats.clashes++;
        break;
    case PG_TIMEOUT:
        /* Perhaps it is only too much at once. */
        w->n_max = w->n > 1 ? w->n / 2 : 1;
        w->stats.timeouts++;
        break;
    case PG_REFUSED:
    case PG_FAILED:
        /* Another session may do better: a standby was promoted, a prepared statement vanished
         * behind a pooler. */
        log_error(w->name, "store.failed", "sqlstate=%s rows=%zu error=\"%s\"", answer->sqlstate,
                  w->n, answer->message);
        w->stats.failures++;
        if (strncmp(answer->sqlstate, "53", 2) != 0) {
            pg_reset(w->pg);
        }
        break;
    case PG_LOST:
        w->stats.failures++;
        break;
    }
    writer_pause(w);
    return false;
}

/* ---- Sending ---- */

static void writer_send(struct writer *w, enum writer_state state, const char *statement,
                        int n_params, void (*done)(void *owner, const struct pg_answer *answer))
{
    w->query.statement = statement;
    w->query.n_params = n_params;
    w->query.done = done;
    w->query.owner = w;
    w->state = state;
    w->stats.statements++;
    if (pg_submit(w->pg, &w->query) < 0) {
        w->state = WRITER_WAITING; /* writer_wake() goes on */
    }
}

static void writer_insert(struct writer *w)
{
    w->n = batch_span(w->batch, w->at, w->n_max, w->limits.bytes);
    if (columns_insert(&w->columns, w->batch->picked + w->at, w->n) < 0) {
        writer_pause(w);
        return;
    }
    for (size_t i = 0; i < COLUMNS_INSERT; i++) {
        w->query.params[i] = columns_param(&w->columns, i);
    }
    writer_send(w, WRITER_INSERTING, SQL_INSERT, COLUMNS_INSERT, on_inserted);
}

static void writer_look_up(struct writer *w)
{
    if (columns_lookup(&w->columns, w->losers, w->n_losers) < 0) {
        writer_pause(w);
        return;
    }
    for (size_t i = 0; i < COLUMNS_LOOKUP; i++) {
        w->query.params[i] = columns_param(&w->columns, i);
    }
    writer_send(w, WRITER_LOOKING_UP, SQL_LOOKUP, COLUMNS_LOOKUP, on_looked_up);
}

static void writer_release(struct writer *w, struct row *row)
{
    w->release = row;
    w->query.params[0] = (struct slice){(const char *)row->key, sizeof(row->key)};
    w->query.params[1] = (struct slice){(const char *)row->id.bytes, sizeof(row->id.bytes)};
    w->query.params[2] = (struct slice){(const char *)row->body_digest, DIGEST_LEN};
    writer_send(w, WRITER_RELEASING, SQL_RELEASE, 3, on_released);
}

/* The next statement of this round, or the next round, or the end. Also where a pause ends: what
 * was not settled is sent again from the insert on, which does no harm. */
static void writer_next(struct writer *w)
{
    if (!pg_is_ready(w->pg)) {
        w->state = WRITER_WAITING;
        return;
    }
    while (w->at < w->batch->n_picked && w->batch->picked[w->at]->fate != ROW_PENDING) {
        w->at++;
    }
    if (w->at == w->batch->n_picked) {
        batch_settle_followers(w->batch);
        w->at = 0;
        if (batch_pick(w->batch) == 0) {
            w->state = WRITER_FREE;
            w->batch = NULL;
            columns_fini(&w->columns);
            w->done(w->owner);
            return;
        }
    }
    writer_insert(w);
}

static void writer_advance(struct writer *w)
{
    w->retry_ms = RETRY_MIN_MS;
    w->n_max = w->n_max > w->limits.rows / 2 ? w->limits.rows : w->n_max * 2;
    writer_next(w);
}

/* ---- Answers ---- */

static int compare_id(const void *id, const void *row)
{
    return memcmp(id, (*(struct row *const *)row)->id.bytes, sizeof(struct id));
}

static int writer_collect_losers(struct writer *w)
{
    struct row **span = w->batch->picked + w->at;
    if (w->losers_cap < w->n) {
        struct row **losers = realloc(w->losers, w->n * sizeof(struct row *));
        if (losers == NULL) {
            return -1;
        }
        w->losers = losers;
        w->losers_cap = w->n;
    }
    w->n_losers = 0;
    for (size_t i = 0; i < w->n; i++) {
        if (span[i]->fate == ROW_PENDING) {
            w->losers[w->n_losers++] = span[i];
        }
    }
    return 0;
}

static void writer_refused(struct writer *w, const struct pg_answer *answer)
{
    struct row *row = w->batch->picked[w->at];
    w->stats.refusals++;
    w->stats.successes++;
    if (w->n > 1) {
        w->n_max = w->n / 2;
        writer_next(w);
        return;
    }
    row_condemn(row, ROW_REFUSED, answer->sqlstate, answer->message);
    writer_advance(w);
}

static void on_inserted(void *owner, const struct pg_answer *answer)
{
    struct writer *w = owner;
    if (answer->outcome == PG_REFUSED) {
        writer_refused(w, answer);
        return;
    }
    if (!writer_is_done(w, answer)) {
        return;
    }
    for (int i = 0; i < answer->n_rows; i++) {
        struct slice id = pg_value(answer, i, 0);
        struct row **row =
            bsearch(id.ptr, w->batch->picked + w->at, w->n, sizeof(struct row *), compare_id);
        if (row != NULL) {
            (*row)->fate = ROW_STORED;
        }
    }
    if (writer_collect_losers(w) < 0) {
        writer_pause(w);
    } else if (w->n_losers > 0) {
        writer_look_up(w);
    } else {
        writer_advance(w);
    }
}

/* Why was this row not inserted? True when its key was claimed in its own name although another
 * message has its id. */
static bool judge(struct row *row, const struct pg_answer *answer, int i)
{
    struct slice exchange = pg_value(answer, i, 1);
    struct slice key_id = pg_value(answer, i, 4);
    bool has_row = exchange.ptr != NULL;
    bool is_same = has_row && row_is_same_message(row, exchange, pg_value(answer, i, 2),
                                                  pg_value(answer, i, 3));
    struct slice own_id = {(const char *)row->id.bytes, sizeof(row->id.bytes)};
    struct slice own_body = {(const char *)row->body_digest, DIGEST_LEN};
    bool is_key_ours = slice_equals(key_id, own_id);
    if (row->has_key && key_id.ptr != NULL && !is_key_ours) {
        if (slice_equals(pg_value(answer, i, 5), own_body)) {
            row->fate = ROW_DUPLICATE;
        } else {
            row_condemn(row, ROW_CONFLICT, "", "its idempotency key stands for another body");
        }
    } else if (is_same || (row->has_key && is_key_ours && !has_row)) {
        /* In the second case it was stored once and then removed by somebody. */
        row->fate = ROW_DUPLICATE;
    } else if (has_row) {
        row_condemn(row, ROW_CONFLICT, "", "its id stands for another message");
        return row->has_key && is_key_ours && slice_equals(pg_value(answer, i, 5), own_body);
    }
    /* Else what stood in the way has gone meanwhile: still pending, comes again. */
    return false;
}

static void on_looked_up(void *owner, const struct pg_answer *answer)
{
    struct writer *w = owner;
    struct row *release = NULL;
    size_t n_settled = 0;
    if (!writer_is_done(w, answer)) {
        return;
    }
    for (int i = 0; i < answer->n_rows; i++) {
        size_t number = (size_t)pg_int(answer, i, 0);
        assert(number < w->n_losers);
        struct row *row = w->losers[number];
        if (judge(row, answer, i)) {
            /* One at a time: it stays pending until its key is released, so that a crash in between
             * loses nothing. */
            row->fate = ROW_PENDING;
            release = row;
        }
        n_settled += row->fate != ROW_PENDING;
    }
    if (release != NULL) {
        writer_release(w, release);
    } else if (n_settled == 0) {
        writer_pause(w); /* neither inserted nor there: somebody's trigger, perhaps. Do not spin. */
    } else {
        writer_advance(w);
    }
}

static void on_released(void *owner, const struct pg_answer *answer)
{
    struct writer *w = owner;
    if (writer_is_done(w, answer)) {
        row_condemn(w->release, ROW_CONFLICT, "", "its id stands for another message");
        writer_advance(w);
    }
}

/* ---- The face ---- */

struct writer *writer_new(struct uv_loop_s *loop, struct pg *pg, const char *name,
                          const struct batch_limits *limits, int retry_max_ms,
                          void (*done)(void *owner), void *owner)
{
    struct writer *w = calloc(1, sizeof(*w));
    if (w == NULL) {
        return NULL;
    }
    uv_timer_init(loop, &w->timer);
    w->timer.data = w;
    w->pg = pg;
    w->name = name;
    w->limits = *limits;
    w->n_max = limits->rows;
    w->retry_ms = RETRY_MIN_MS;
    w->retry_max_ms = retry_max_ms;
    w->done = done;
    w->owner = owner;
    return w;
}

void writer_write(struct writer *w, struct batch *batch)
{
    assert(w->state == WRITER_FREE && batch->n > 0);
    w->batch = batch;
    w->at = 0;
    batch_pick(batch);
    writer_next(w);
}

void writer_wake(struct writer *w)
{
    if (w->state == WRITER_WAITING && !uv_is_active((uv_handle_t *)&w->timer)) {
        writer_next(w);
    }
}

bool writer_abort(struct writer *w)
{
    if (w->state != WRITER_WAITING) {
        return w->state == WRITER_FREE;
    }
    uv_timer_stop(&w->timer);
    columns_fini(&w->columns);
    w->batch = NULL;
    w->state = WRITER_FREE;
    return true;
}

const struct writer_stats *writer_stats(const struct writer *w)
{
    return &w->stats;
}

static void on_closed(uv_handle_t *handle)
{
    struct writer *w = handle->data;
    columns_fini(&w->columns);
    free(w->losers);
    free(w);
}

void writer_free(struct writer *w)
{
    if (w != NULL) {
        uv_close((uv_handle_t *)&w->timer, on_closed);
    }
}
