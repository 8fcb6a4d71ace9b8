#include "persist/pg_internal.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"

#define PG_ANSWER_GRACE_MS 5000 /* beyond statement_timeout before the server counts as gone */
#define PG_ANSWER_MAX_MS 300000 /* the same without a statement_timeout */
#define PG_TELL_EVERY_MS 60000

const char *pg_state_str(enum pg_state state)
{
    static const char *const names[] = {"idle",      "down",  "resolving", "connecting",
                                        "preparing", "ready", "stopped"};
    return names[state];
}

static void pg_pump(struct pg *pg);
static void on_io(uv_poll_t *handle, int status, int events);

void pg_set_state(struct pg *pg, enum pg_state state)
{
    assert(pg->state != PG_STOPPED);
    assert(state != PG_READY || pg->state == PG_PREPARING);
    log_debug(pg->name, "pg.state", "%s -> %s", pg_state_str(pg->state), pg_state_str(state));
    pg->state = state;
}

/* ---- The socket ---- */

static void on_poll_closed(uv_handle_t *handle)
{
    free(handle->data);
}

/* Before any call that may close the socket: libuv must let go of it first. */
void pg_unwatch(struct pg *pg)
{
    if (pg->poll != NULL) {
        uv_poll_stop(&pg->poll->handle);
        pg->poll->handle.data = pg->poll;
        pg->poll->pg = NULL;
        uv_close((uv_handle_t *)&pg->poll->handle, on_poll_closed);
        pg->poll = NULL;
    }
}

int pg_watch(struct pg *pg, int events)
{
    if (pg->poll == NULL) {
        struct pg_poll *poll = calloc(1, sizeof(*poll));
        if (poll == NULL || uv_poll_init(pg->loop, &poll->handle, PQsocket(pg->conn)) < 0) {
            free(poll);
            return -1;
        }
        poll->pg = pg;
        poll->handle.data = poll;
        pg->poll = poll;
    }
    return uv_poll_start(&pg->poll->handle, events, on_io);
}

/* ---- Going down ---- */

static void on_timer(uv_timer_t *timer);

void pg_set_timer(struct pg *pg, int ms)
{
    uv_timer_start(&pg->timer, on_timer, (uint64_t)ms, 0);
}

/* Half of the pause is fixed, half is chance, so that many workers do not come back in step. */
static int jittered(int ms)
{
    uint32_t random = 0;
    uv_random(NULL, NULL, &random, sizeof(random), 0, NULL);
    return ms / 2 + (int)(random % (uint32_t)(ms / 2 + 1));
}

static void answer_lost(struct pg *pg, struct pg_query *query, const char *why)
{
    struct pg_answer answer = {.outcome = PG_LOST, .sqlstate = "", .message = why};
    list_remove(&query->node);
    if (pg->active == query) {
        pg->active = NULL;
    }
    query->done(query->owner, &answer);
}

static void pg_disconnect(struct pg *pg, const char *why)
{
    pg_unwatch(pg);
    uv_timer_stop(&pg->timer);
    PQclear(pg->result);
    pg->result = NULL;
    PQfinish(pg->conn);
    pg->conn = NULL;
    pg->is_resetting = false;
    if (pg->active != NULL) {
        answer_lost(pg, pg->active, why);
    }
    while (!list_is_empty(&pg->queue)) {
        answer_lost(pg, LIST_OWNER(pg->queue.next, struct pg_query, node), why);
    }
}

/* Once per reason and minute: a database that is away for an hour is one fact, not thousands. */
static void pg_tell(struct pg *pg, const char *why, int pause_ms)
{
    uint64_t now_ms = uv_now(pg->loop);
    bool is_new = strncmp(why, pg->told, sizeof(pg->told) - 1) != 0;
    if (is_new || now_ms >= pg->told_ms + PG_TELL_EVERY_MS) {
        log_warn(pg->name, "pg.lost", "while=%s retry_ms=%d why=\"%s\"", pg_state_str(pg->state),
                 pause_ms, why);
        snprintf(pg->told, sizeof(pg->told), "%.*s", (int)sizeof(pg->told) - 1, why);
        pg->told_ms = now_ms;
    }
}

/* `why` may live in the connection that is about to be freed. */
void pg_drop(struct pg *pg, const char *why)
{
    char text[400];
    snprintf(text, sizeof(text), "%s", why);
    text[strcspn(text, "\n")] = '\0';
    int pause_ms = jittered(pg->retry_ms);
    pg->retry_ms = pg->retry_ms > pg->retry_max_ms / 2 ? pg->retry_max_ms : pg->retry_ms * 2;
    pg_tell(pg, text, pause_ms);
    pg_set_state(pg, PG_DOWN);
    pg_disconnect(pg, text);
    if (pg->state == PG_DOWN) {
        pg_set_timer(pg, pause_ms);
        if (pg->events->lost != NULL) {
            pg->events->lost(pg->owner, text);
        }
    }
}

static void on_timer(uv_timer_t *timer)
{
    struct pg *pg = timer->data;
    switch (pg->state) {
    case PG_DOWN:
        pg_connect(pg);
        break;
    case PG_CONNECTING:
        pg_drop(pg, "connecting took too long");
        break;
    case PG_PREPARING:
    case PG_READY:
        pg_drop(pg, pg->is_resetting ? "asked for a new session" : "no answer in time");
        break;
    case PG_RESOLVING: /* libuv's resolver has its own end, and cannot be interrupted */
    case PG_IDLE:
    case PG_STOPPED:
        break;
    }
}

/* ---- Commands ---- */

int pg_flush(struct pg *pg)
{
    int left = PQflush(pg->conn);
    return left < 0 ? -1 : pg_watch(pg, left > 0 ? UV_READABLE | UV_WRITABLE : UV_READABLE);
}

static enum pg_outcome classify(const char *state)
{
    if (strncmp(state, "22", 2) == 0 || strncmp(state, "23", 2) == 0 ||
        strncmp(state, "54", 2) == 0) {
        return PG_REFUSED;
    }
    if (strcmp(state, "40001") == 0 || strcmp(state, "40P01") == 0 || strcmp(state, "55P03") == 0) {
        return PG_CLASH;
    }
    return strcmp(state, "57014") == 0 ? PG_TIMEOUT : PG_FAILED;
}

static void pg_answered(struct pg *pg)
{
    struct pg_query *query = pg->active;
    PGresult *result = pg->result;
    struct pg_answer answer = {.outcome = PG_DONE, .sqlstate = "", .message = "", .result = result};
    ExecStatusType status = PQresultStatus(result);
    if (status == PGRES_TUPLES_OK) {
        answer.n_rows = PQntuples(result);
    } else if (status != PGRES_COMMAND_OK) {
        const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
        const char *message = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
        answer.sqlstate = state != NULL ? state : "";
        answer.message = message != NULL ? message : PQresultErrorMessage(result);
        answer.outcome = classify(answer.sqlstate);
    }
    uv_timer_stop(&pg->timer);
    pg->result = NULL;
    pg->active = NULL;
    list_remove(&query->node);
    pg->is_calling = true;
    query->done(query->owner, &answer);
    pg->is_calling = false;
    PQclear(result);
    pg_pump(pg);
}

static void pg_keep_result(struct pg *pg, PGresult *result)
{
    if (pg->result != NULL && PQresultStatus(pg->result) == PGRES_FATAL_ERROR) {
        PQclear(result);
        return;
    }
    PQclear(pg->result);
    pg->result = result;
}

static void pg_read(struct pg *pg)
{
    if (!PQconsumeInput(pg->conn)) {
        pg_drop(pg, PQerrorMessage(pg->conn));
        return;
    }
    while (!PQisBusy(pg->conn)) {
        PGresult *result = PQgetResult(pg->conn);
        if (result != NULL) {
            pg_keep_result(pg, result);
            continue;
        }
        if (PQstatus(pg->conn) == CONNECTION_BAD) {
            pg_drop(pg, PQerrorMessage(pg->conn));
        } else if (pg->result == NULL) {
            /* Nothing was asked: a notice, or the server's farewell that the next read will tell.
             */
        } else if (pg->state == PG_PREPARING) {
            pg_connect_prepared(pg);
        } else if (pg->active != NULL) {
            pg_answered(pg);
        }
        return;
    }
    if (pg_flush(pg) < 0) {
        pg_drop(pg, PQerrorMessage(pg->conn));
    }
}

static void on_io(uv_poll_t *handle, int status, int events)
{
    struct pg *pg = ((struct pg_poll *)handle->data)->pg;
    (void)events;
    if (pg == NULL) {
        return;
    }
    if (pg->state == PG_CONNECTING) {
        pg_connect_poll(pg);
    } else if (status < 0) {
        /* libuv only says that something is wrong with the socket; reading from it tells what. */
        PQconsumeInput(pg->conn);
        const char *why = PQerrorMessage(pg->conn);
        pg_drop(pg, why[0] != '\0' ? why : uv_strerror(status));
    } else {
        pg_read(pg);
    }
}

static void pg_send(struct pg *pg, struct pg_query *query)
{
    const char *values[PG_MAX_PARAMS];
    int lengths[PG_MAX_PARAMS];
    int formats[PG_MAX_PARAMS];
    for (int i = 0; i < query->n_params; i++) {
        values[i] = query->params[i].ptr;
        lengths[i] = (int)query->params[i].len;
        formats[i] = 1;
    }
    int is_sent = query->statement != NULL
                      ? PQsendQueryPrepared(pg->conn, query->statement, query->n_params, values,
                                            lengths, formats, 1)
                      : PQsendQuery(pg->conn, query->sql);
    if (!is_sent || pg_flush(pg) < 0) {
        /* Not dropped here: pg_submit() may be on the stack, and `done` must not run inside it. */
        pg->is_resetting = true;
        pg_set_timer(pg, 0);
        return;
    }
    pg_set_timer(pg, pg->statement_timeout_ms > 0 ? pg->statement_timeout_ms + PG_ANSWER_GRACE_MS
                                                  : PG_ANSWER_MAX_MS);
}

static void pg_pump(struct pg *pg)
{
    if (pg->state != PG_READY || pg->active != NULL || pg->is_calling) {
        return;
    }
    if (pg->is_resetting) {
        pg_set_timer(pg, 0);
    } else if (!list_is_empty(&pg->queue)) {
        pg->active = LIST_OWNER(pg->queue.next, struct pg_query, node);
        pg_send(pg, pg->active);
    }
}

/* ---- The face ---- */

struct slice pg_value(const struct pg_answer *answer, int row, int column)
{
    if (PQgetisnull(answer->result, row, column)) {
        return (struct slice){NULL, 0};
    }
    return (struct slice){PQgetvalue(answer->result, row, column),
                          (size_t)PQgetlength(answer->result, row, column)};
}

int64_t pg_int(const struct pg_answer *answer, int row, int column)
{
    struct slice v = pg_value(answer, row, column);
    uint64_t value = 0;
    for (size_t i = 0; i < v.len && i < 8; i++) {
        value = value << 8 | (uint8_t)v.ptr[i];
    }
    return v.len == 8 ? (int64_t)value : v.len == 4 ? (int32_t)(uint32_t)value : 0;
}

struct pg *pg_new(struct uv_loop_s *loop, const struct pg_options *options,
                  const struct pg_events *events, void *owner)
{
    struct pg *pg = calloc(1, sizeof(*pg));
    if (pg == NULL) {
        return NULL;
    }
    pg->url = strdup(options->url);
    pg->name = strdup(options->name);
    if (pg->url == NULL || pg->name == NULL) {
        pg_free(pg);
        return NULL;
    }
    pg->loop = loop;
    pg->events = events;
    pg->owner = owner;
    pg->statements = options->statements;
    pg->n_statements = options->n_statements;
    pg->statement_timeout_ms = options->statement_timeout_ms;
    pg->retry_min_ms = options->retry_min_ms;
    pg->retry_max_ms = options->retry_max_ms;
    pg->retry_ms = options->retry_min_ms;
    list_init(&pg->queue);
    return pg;
}

static void pg_init_timer(struct pg *pg)
{
    uv_timer_init(pg->loop, &pg->timer); /* cannot fail */
    pg->timer.data = pg;
    pg->has_timer = true;
}

void pg_start(struct pg *pg)
{
    assert(pg->state == PG_IDLE);
    pg_init_timer(pg);
    pg_set_state(pg, PG_DOWN);
    pg_set_timer(pg, 0);
}

bool pg_is_ready(const struct pg *pg)
{
    return pg->state == PG_READY && !pg->is_resetting;
}

int pg_submit(struct pg *pg, struct pg_query *query)
{
    assert(query->n_params <= PG_MAX_PARAMS);
    if (!pg_is_ready(pg)) {
        return -1;
    }
    list_init(&query->node);
    list_push(&pg->queue, &query->node);
    pg_pump(pg);
    return 0;
}

bool pg_has_begun(const struct pg *pg, const struct pg_query *query)
{
    return pg->active == query;
}

void pg_reset(struct pg *pg)
{
    if (pg->state == PG_READY) {
        pg->is_resetting = true;
        pg_pump(pg);
    }
}

static void on_timer_closed(uv_handle_t *handle)
{
    struct pg *pg = handle->data;
    pg->has_timer = false;
    pg_finish_stop(pg);
}

void pg_finish_stop(struct pg *pg)
{
    if (pg->hosts == NULL && !pg->has_timer && pg->stopped != NULL) {
        pg->stopped(pg->owner);
    }
}

void pg_stop(struct pg *pg, void (*stopped)(void *owner))
{
    if (pg->state == PG_STOPPED) {
        return;
    }
    if (!pg->has_timer) {
        pg_init_timer(pg);
    }
    pg_set_state(pg, PG_STOPPED);
    pg->stopped = stopped;
    pg_disconnect(pg, "stopping");
    uv_close((uv_handle_t *)&pg->timer, on_timer_closed);
}

void pg_free(struct pg *pg)
{
    if (pg != NULL) {
        free(pg->url);
        free(pg->name);
        free(pg);
    }
}
