#include "persist/history.h"

#include <stdlib.h>
#include <string.h>

#include <uv.h>

#include "common/log.h"
#include "persist/pg.h"
#include "persist/sql.h"

#define EPOCH_2000_MS 946684800000LL
#define RETRY_MIN_MS 200
#define RETRY_MAX_MS 10000

/* Owns copies of what the query borrows from. */
struct reading {
    struct history *history;
    struct pg_query query;
    struct id after;
    struct id before;
    char limit[4];
    history_fn done;
    void *owner;
    uint64_t cookie;
    char text[]; /* exchange, then routing key */
};

struct history {
    struct pg *pg;
    void *owner;
    size_t n_waiting;
    void (*stopped)(void *owner);
};

struct history *history_new(struct uv_loop_s *loop, const char *url, const char *name,
                            int statement_timeout_ms, void *owner)
{
    const struct pg_options options = {
        .url = url,
        .name = name,
        .statements = sql_history,
        .n_statements = sql_n_history,
        .statement_timeout_ms = statement_timeout_ms,
        .retry_min_ms = RETRY_MIN_MS,
        .retry_max_ms = RETRY_MAX_MS,
    };
    static const struct pg_events no_events;
    struct history *h = calloc(1, sizeof(*h));
    if (h == NULL) {
        return NULL;
    }
    h->owner = owner;
    h->pg = pg_new(loop, &options, &no_events, h);
    if (h->pg == NULL) {
        free(h);
        return NULL;
    }
    pg_start(h->pg);
    return h;
}

/* ---- Answers ---- */

static void row_read(struct history_row *row, const struct pg_answer *answer, int i)
{
    struct slice id = pg_value(answer, i, 0);
    memcpy(row->id.bytes, id.ptr, id.len == sizeof(row->id.bytes) ? id.len : 0);
    row->exchange = pg_value(answer, i, 1);
    row->routing_key = pg_value(answer, i, 2);
    row->destination = pg_value(answer, i, 3);
    row->sender = pg_value(answer, i, 4);
    row->content_type = pg_value(answer, i, 5);
    row->headers = pg_value(answer, i, 6);
    row->body = pg_value(answer, i, 7);
    int64_t sent_ms = pg_int(answer, i, 8) / 1000 + EPOCH_2000_MS;
    row->sent_unix_ms = sent_ms > 0 ? (uint64_t)sent_ms : 0;
}

static void reading_end(struct reading *r, const struct history_row *rows, size_t n,
                        const char *error)
{
    struct history *h = r->history;
    h->n_waiting--;
    r->done(r->owner, r->cookie, rows, n, error);
    free(r);
}

static void on_answer(void *owner, const struct pg_answer *answer)
{
    struct reading *r = owner;
    if (answer->outcome != PG_DONE) {
        if (answer->outcome != PG_LOST) {
            log_warn("-", "history.failed", "sqlstate=%s error=\"%s\"", answer->sqlstate,
                     answer->message);
        }
        reading_end(r, NULL, 0,
                    answer->outcome == PG_TIMEOUT ? "reading history took too long"
                                                  : "history is not available");
        return;
    }
    size_t n = (size_t)answer->n_rows;
    struct history_row *rows = n > 0 ? calloc(n, sizeof(*rows)) : NULL;
    if (n > 0 && rows == NULL) {
        reading_end(r, NULL, 0, "out of memory");
        return;
    }
    for (size_t i = 0; i < n; i++) {
        row_read(&rows[i], answer, (int)i);
    }
    reading_end(r, rows, n, NULL);
    free(rows);
}

/* ---- Questions ---- */

static bool id_is_zero(struct id id)
{
    static const struct id zero;
    return memcmp(id.bytes, zero.bytes, sizeof(zero.bytes)) == 0;
}

static struct reading *reading_new(struct history *h, const struct history_query *q)
{
    size_t exchange_len = strlen(q->exchange);
    size_t key_len = q->is_any_key ? 0 : q->routing_key.len;
    unsigned limit = q->limit < INT32_MAX ? q->limit : INT32_MAX;
    struct reading *r = calloc(1, sizeof(*r) + exchange_len + key_len + 1);
    if (r == NULL) {
        return NULL;
    }
    r->history = h;
    r->after = q->after;
    r->before = q->before;
    if (id_is_zero(q->before)) {
        memset(r->before.bytes, 0xff, sizeof(r->before.bytes));
    }
    for (int i = 0; i < 4; i++) {
        r->limit[i] = (char)(limit >> (24 - 8 * i));
    }
    memcpy(r->text, q->exchange, exchange_len);
    if (key_len > 0) {
        memcpy(r->text + exchange_len, q->routing_key.ptr, key_len);
    }
    const char *statement = q->is_any_key     ? q->is_ascending ? SQL_OLDEST_ANY : SQL_NEWEST_ANY
                            : q->is_ascending ? SQL_OLDEST
                                              : SQL_NEWEST;
    r->query = (struct pg_query){
        .statement = statement,
        .params = {{r->text, exchange_len},
                   {(char *)r->after.bytes, sizeof(r->after.bytes)},
                   {(char *)r->before.bytes, sizeof(r->before.bytes)},
                   {r->limit, sizeof(r->limit)},
                   {r->text + exchange_len, key_len}},
        .n_params = q->is_any_key ? 4 : 5,
        .done = on_answer,
        .owner = r,
    };
    return r;
}

int history_read(struct history *h, const struct history_query *query, history_fn done, void *owner,
                 uint64_t cookie)
{
    if (h->n_waiting >= HISTORY_WAITING_MAX || !pg_is_ready(h->pg)) {
        return -1;
    }
    struct reading *r = reading_new(h, query);
    if (r == NULL) {
        return -1;
    }
    r->done = done;
    r->owner = owner;
    r->cookie = cookie;
    if (pg_submit(h->pg, &r->query) < 0) {
        free(r);
        return -1;
    }
    h->n_waiting++;
    return 0;
}

bool history_is_up(const struct history *h)
{
    return pg_is_ready(h->pg);
}

/* ---- The end ---- */

static void on_stopped(void *owner)
{
    struct history *h = owner;
    h->stopped(h->owner);
}

void history_stop(struct history *h, void (*stopped)(void *owner))
{
    if (h->stopped == NULL) {
        h->stopped = stopped;
        pg_stop(h->pg, on_stopped);
    }
}

void history_free(struct history *h)
{
    if (h != NULL) {
        pg_free(h->pg);
        free(h);
    }
}
