#include "persist/schema.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <uv.h>

#include "common/log.h"
#include "persist/pg.h"
#include "persist/sql.h"

enum step { STEP_BEGIN, STEP_VERSION, STEP_MIGRATE, STEP_END };

struct schema {
    uv_loop_t *loop;
    uv_timer_t timer;
    struct pg *pg;
    struct pg_query query;
    enum step step;
    size_t version;
    bool is_done;
    bool has_failed;
};

static void schema_next(struct schema *m);

static void on_stopped(void *owner)
{
    (void)owner; /* the loop ends by itself: nothing is left on it */
}

static void schema_end(struct schema *m, bool is_done)
{
    m->is_done = is_done;
    uv_close((uv_handle_t *)&m->timer, NULL);
    pg_stop(m->pg, on_stopped);
}

static void schema_fail(struct schema *m)
{
    if (!m->has_failed && !m->is_done) {
        m->has_failed = true;
        schema_end(m, false);
    }
}

static void on_timeout(uv_timer_t *timer)
{
    struct schema *m = timer->data;
    log_error("-", "schema.failed", "error=\"no database within %d ms\"", SCHEMA_WAIT_MS);
    schema_fail(m);
}

/* Without parameters values are text. */
static size_t version_of(const struct pg_answer *answer)
{
    char text[16];
    struct slice v = pg_value(answer, 0, 0);
    snprintf(text, sizeof(text), "%.*s", (int)v.len, v.ptr);
    return (size_t)strtoul(text, NULL, 10);
}

static void on_answer(void *owner, const struct pg_answer *answer)
{
    struct schema *m = owner;
    if (answer->outcome != PG_DONE) {
        log_error("-", "schema.failed", "version=%zu sqlstate=%s error=\"%s\"", m->version,
                  answer->sqlstate, answer->message);
        schema_fail(m);
        return;
    }
    switch (m->step) {
    case STEP_BEGIN:
        m->step = STEP_VERSION;
        break;
    case STEP_VERSION:
        m->version = version_of(answer);
        m->step = m->version < sql_n_migrations ? STEP_MIGRATE : STEP_END;
        break;
    case STEP_MIGRATE:
        m->version++;
        log_info("-", "schema.applied", "version=%zu", m->version);
        m->step = m->version < sql_n_migrations ? STEP_MIGRATE : STEP_END;
        break;
    case STEP_END:
        log_info("-", "schema.ready", "version=%zu known=%zu", m->version, sql_n_migrations);
        schema_end(m, true);
        return;
    }
    schema_next(m);
}

static void schema_next(struct schema *m)
{
    const char *const sql[] = {sql_migrate_begin, sql_migrate_version,
                               m->step == STEP_MIGRATE ? sql_migrations[m->version] : NULL,
                               sql_migrate_end};
    m->query = (struct pg_query){.sql = sql[m->step], .done = on_answer, .owner = m};
    if (pg_submit(m->pg, &m->query) < 0) {
        schema_fail(m);
    }
}

static void on_ready(void *owner)
{
    struct schema *m = owner;
    uv_timer_stop(&m->timer);
    m->step = STEP_BEGIN;
    schema_next(m);
}

int schema_migrate(struct uv_loop_s *loop, const char *url)
{
    static const struct pg_events events = {.ready = on_ready};
    /* Waiting for the lock while another migrates may take long, so there is no statement_timeout.
     */
    const struct pg_options options = {
        .url = url, .name = "stompgate-store --migrate", .retry_min_ms = 200, .retry_max_ms = 1000};
    struct schema m = {.loop = loop};
    m.pg = pg_new(loop, &options, &events, &m);
    if (m.pg == NULL) {
        log_error("-", "schema.failed", "error=\"out of memory\"");
        return -1;
    }
    uv_timer_init(loop, &m.timer);
    m.timer.data = &m;
    uv_timer_start(&m.timer, on_timeout, SCHEMA_WAIT_MS, 0);
    pg_start(m.pg);
    uv_run(loop, UV_RUN_DEFAULT);
    pg_free(m.pg);
    return m.is_done ? 0 : -1;
}
