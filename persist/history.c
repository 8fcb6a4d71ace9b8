#include "persist/history.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <uv.h>

#include "common/list.h"
#include "common/log.h"
#include "common/map.h"
#include "persist/pg.h"
#include "persist/sql.h"

#define EPOCH_2000_MS 946684800000LL
#define RETRY_MIN_MS 200
#define RETRY_MAX_MS 10000

/* Whoever waits for a reading. */
struct asker {
    struct list node;
    history_fn done;
    void *owner;
    uint64_t cookie;
};

/* What is asked. Owns copies of what the query borrows from; all of it but the query is the key by
 * which another asker finds it. */
struct question {
    struct id after;
    struct id before;
    char limit[4];
    bool is_any_key;
    bool is_ascending;
    char text[]; /* exchange NUL routing key */
};

struct reading {
    struct history *history;
    struct pg_query query;
    struct list askers;
    size_t question_len;
    struct question question;
};

struct history {
    struct pg *pg;
    void *owner;
    struct map readings; /* question → the latest reading of it */
    size_t n_waiting;
    uint64_t n_answers;
    uint64_t n_reads;
    bool is_last; /* of those who get the answer that is being given */
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

/* Nobody joins it any more. */
static void reading_hide(struct reading *r)
{
    struct map *readings = &r->history->readings;
    if (map_get(readings, &r->question, r->question_len) == r) {
        map_take(readings, &r->question, r->question_len);
    }
}

static void reading_end(struct reading *r, const struct history_row *rows, size_t n,
                        const char *error)
{
    struct history *h = r->history;
    h->n_waiting--;
    h->n_answers++;
    reading_hide(r);
    while (!list_is_empty(&r->askers)) {
        struct asker *a = LIST_OWNER(r->askers.next, struct asker, node);
        list_remove(&a->node);
        h->is_last = list_is_empty(&r->askers);
        a->done(a->owner, a->cookie, rows, n, error);
        free(a);
    }
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

static void ask(struct reading *r, const struct history_query *q, size_t exchange_len)
{
    struct question *question = &r->question;
    question->after = q->after;
    question->before = q->before;
    question->is_any_key = q->is_any_key;
    question->is_ascending = q->is_ascending;
    if (id_is_zero(q->before)) {
        memset(question->before.bytes, 0xff, sizeof(question->before.bytes));
    }
    unsigned limit = q->limit < INT32_MAX ? q->limit : INT32_MAX;
    for (int i = 0; i < 4; i++) {
        question->limit[i] = (char)(limit >> (24 - 8 * i));
    }
    memcpy(question->text, q->exchange, exchange_len);
    if (!q->is_any_key && q->routing_key.len > 0) {
        memcpy(question->text + exchange_len + 1, q->routing_key.ptr, q->routing_key.len);
    }
}

static struct reading *reading_new(struct history *h, const struct history_query *q)
{
    size_t exchange_len = strlen(q->exchange);
    size_t key_len = q->is_any_key ? 0 : q->routing_key.len;
    struct reading *r = calloc(1, sizeof(*r) + exchange_len + 1 + key_len);
    if (r == NULL) {
        return NULL;
    }
    r->history = h;
    list_init(&r->askers);
    r->question_len = offsetof(struct question, text) + exchange_len + 1 + key_len;
    ask(r, q, exchange_len);
    struct question *question = &r->question;
    const char *statement = q->is_any_key     ? q->is_ascending ? SQL_OLDEST_ANY : SQL_NEWEST_ANY
                            : q->is_ascending ? SQL_OLDEST
                                              : SQL_NEWEST;
    r->query = (struct pg_query){
        .statement = statement,
        .params = {{question->text, exchange_len},
                   {(char *)question->after.bytes, sizeof(question->after.bytes)},
                   {(char *)question->before.bytes, sizeof(question->before.bytes)},
                   {question->limit, sizeof(question->limit)},
                   {question->text + exchange_len + 1, key_len}},
        .n_params = q->is_any_key ? 4 : 5,
        .done = on_answer,
        .owner = r,
    };
    return r;
}

/* The reading goes to PostgreSQL, or is thrown away for one that waits with the same question.
 * Gives the one that will be answered; NULL when there is none. */
static struct reading *reading_submit(struct history *h, struct reading *r)
{
    struct reading *same = map_get(&h->readings, &r->question, r->question_len);
    if (same && !pg_has_begun(h->pg, &same->query)) {
        free(r);
        return same;
    }
    if (h->n_waiting >= HISTORY_WAITING_MAX ||
        map_put(&h->readings, &r->question, r->question_len, r) != 0) {
        free(r);
        return NULL;
    }
    if (pg_submit(h->pg, &r->query) < 0) {
        reading_hide(r);
        free(r);
        return NULL;
    }
    h->n_waiting++;
    h->n_reads++;
    return r;
}

int history_read(struct history *h, const struct history_query *query, history_fn done, void *owner,
                 uint64_t cookie)
{
    if (!pg_is_ready(h->pg)) {
        return -1;
    }
    struct asker *a = calloc(1, sizeof(*a));
    struct reading *r = a ? reading_new(h, query) : NULL;
    r = r ? reading_submit(h, r) : NULL;
    if (!r) {
        free(a);
        return -1;
    }
    *a = (struct asker){.done = done, .owner = owner, .cookie = cookie};
    list_init(&a->node);
    list_push(&r->askers, &a->node);
    return 0;
}

uint64_t history_answer(const struct history *h)
{
    return h->n_answers;
}

bool history_is_last(const struct history *h)
{
    return h->is_last;
}

uint64_t history_reads(const struct history *h)
{
    return h->n_reads;
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
        map_fini(&h->readings);
        free(h);
    }
}
