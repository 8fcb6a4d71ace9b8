/* persist/history.h against a real PostgreSQL: STOMPGATE_PG=postgresql://… */
#include "persist/history.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <uv.h>

#include "persist/pg.h"
#include "persist/schema.h"

#define DEADLINE_MS 15000
#define NAME "stompgate history test"
#define BODY_MAX 64

struct world {
    uv_loop_t loop;
    uv_timer_t deadline;
    struct pg *pg; /* writes and breaks things */
    struct pg_query query;
    bool is_ready;
    bool is_answered;
    bool is_ok;
    struct history *history;
    int n_stopped;
    int n_answers;
    int n_last; /* of these, so many were the last of their answer */
    uint64_t cookie;
    size_t n_rows;
    size_t n_bytes;
    char bodies[512]; /* of the answer, one after the other, when they are short */
    struct history_row first;
    char first_texts[6][BODY_MAX];
    char error[256];
};

static void on_deadline(uv_timer_t *timer)
{
    (void)timer;
    fputs("deadline passed\n", stderr);
    abort();
}

static void run_until(struct world *w, const bool *flag)
{
    uv_timer_start(&w->deadline, on_deadline, DEADLINE_MS, 0);
    while (!*flag) {
        uv_run(&w->loop, UV_RUN_ONCE);
    }
    uv_timer_stop(&w->deadline);
}

static void on_ready(void *owner)
{
    ((struct world *)owner)->is_ready = true;
}

static void on_sql(void *owner, const struct pg_answer *answer)
{
    struct world *w = owner;
    w->is_answered = true;
    w->is_ok = answer->outcome == PG_DONE;
    if (!w->is_ok) {
        fprintf(stderr, "%s %s\n", answer->sqlstate, answer->message);
    }
}

static void sql(struct world *w, const char *text)
{
    w->query = (struct pg_query){.sql = text, .done = on_sql, .owner = w};
    w->is_answered = false;
    assert_int_equal(pg_submit(w->pg, &w->query), 0);
    run_until(w, &w->is_answered);
    assert_true(w->is_ok);
}

/* The schema goes into a namespace of its own, through the connection string. */
static char *own_url(void)
{
    static char url[1024];
    const char *base = getenv("STOMPGATE_PG");
    if (base == NULL) {
        fputs("STOMPGATE_PG is not set\n", stderr);
        exit(1);
    }
    snprintf(url, sizeof(url), "%s%coptions=-csearch_path%%3Dhistory_test", base,
             strchr(base, '?') != NULL ? '&' : '?');
    return url;
}

static void wait_up(struct world *w)
{
    uv_timer_start(&w->deadline, on_deadline, DEADLINE_MS, 0);
    while (!history_is_up(w->history)) {
        uv_run(&w->loop, UV_RUN_ONCE);
    }
    uv_timer_stop(&w->deadline);
}

static int open_world(void **state)
{
    static const struct pg_events events = {.ready = on_ready};
    struct world *w = calloc(1, sizeof(*w));
    const struct pg_options options = {
        .url = own_url(), .name = "setup", .retry_min_ms = 100, .retry_max_ms = 100};
    assert_non_null(w);
    assert_int_equal(uv_loop_init(&w->loop), 0);
    w->pg = pg_new(&w->loop, &options, &events, w);
    assert_non_null(w->pg);
    uv_timer_init(&w->loop, &w->deadline);
    pg_start(w->pg);
    run_until(w, &w->is_ready);
    sql(w, "DROP SCHEMA IF EXISTS history_test CASCADE; CREATE SCHEMA history_test");
    uv_loop_t other;
    assert_int_equal(uv_loop_init(&other), 0);
    assert_int_equal(schema_migrate(&other, own_url()), 0);
    assert_int_equal(uv_loop_close(&other), 0);
    /* Ids 00…01 to 00…05 in room a, 06 in room b, 07 in a of another exchange. */
    sql(w, "INSERT INTO message SELECT ('00000000-0000-0000-0000-0000000000' || to_char(n, "
           "'FM00'))::uuid,"
           " CASE WHEN n = 7 THEN 'other' ELSE 'chat' END, CASE WHEN n = 6 THEN 'b' ELSE 'a' END,"
           " CASE WHEN n = 1 THEN '/topic/a' END, CASE WHEN n = 1 THEN 'ann' END,"
           " CASE WHEN n = 1 THEN 'text/plain' END, '{\"x\": \"y\"}', n::text::bytea,"
           " '2026-11-21T00:00:00.123Z' FROM generate_series(1, 7) n");
    w->history = history_new(&w->loop, own_url(), NAME, 2000, w);
    assert_non_null(w->history);
    assert_false(history_is_up(w->history));
    wait_up(w);
    *state = w;
    return 0;
}

static void on_stopped(void *owner)
{
    ((struct world *)owner)->n_stopped++;
}

static int close_world(void **state)
{
    struct world *w = *state;
    sql(w, "DROP SCHEMA history_test CASCADE");
    history_stop(w->history, on_stopped);
    history_stop(w->history, on_stopped);
    pg_stop(w->pg, on_stopped);
    uv_close((uv_handle_t *)&w->deadline, NULL);
    uv_run(&w->loop, UV_RUN_DEFAULT);
    assert_int_equal(w->n_stopped, 2);
    history_free(w->history);
    pg_free(w->pg);
    assert_int_equal(uv_loop_close(&w->loop), 0);
    free(w);
    return 0;
}

static void copy(char *to, struct slice s)
{
    snprintf(to, BODY_MAX, "%.*s", s.ptr != NULL ? (int)s.len : 4, s.ptr != NULL ? s.ptr : "NULL");
}

static void on_rows(void *owner, uint64_t cookie, const struct history_row *rows, size_t n,
                    const char *error)
{
    struct world *w = owner;
    size_t at = 0;
    w->n_answers++;
    w->n_last += history_is_last(w->history);
    w->is_answered = true;
    w->cookie = cookie;
    w->n_rows = n;
    w->n_bytes = 0;
    w->bodies[0] = '\0';
    snprintf(w->error, sizeof(w->error), "%s", error != NULL ? error : "");
    for (size_t i = 0; i < n; i++) {
        w->n_bytes += rows[i].body.len;
        if (rows[i].body.len < 4 && at < 400) {
            at += (size_t)snprintf(w->bodies + at, 100, "%.*s", (int)rows[i].body.len,
                                   rows[i].body.ptr);
        }
    }
    if (n > 0) {
        w->first = rows[0];
        const struct slice texts[6] = {rows[0].exchange, rows[0].routing_key,  rows[0].destination,
                                       rows[0].sender,   rows[0].content_type, rows[0].headers};
        for (size_t i = 0; i < 6; i++) {
            copy(w->first_texts[i], texts[i]);
        }
    }
}

static struct id id_of(unsigned n)
{
    struct id id = {{0}};
    id.bytes[15] = (uint8_t)n;
    return id;
}

static const char *read_rows(struct world *w, struct history_query query)
{
    w->is_answered = false;
    assert_int_equal(history_read(w->history, &query, on_rows, w, 42), 0);
    assert_false(w->is_answered);
    run_until(w, &w->is_answered);
    assert_int_equal(w->cookie, 42);
    return w->bodies;
}

static void test_history_spans(void **state)
{
    struct world *w = *state;
    struct history_query q = {.exchange = "chat", .routing_key = SLICE_LITERAL("a"), .limit = 100};
    assert_string_equal(read_rows(w, q), "12345");
    q.limit = 2;
    assert_string_equal(read_rows(w, q), "45");
    q.is_ascending = true;
    assert_string_equal(read_rows(w, q), "12");
    q.after = id_of(2);
    assert_string_equal(read_rows(w, q), "34");
    q.before = id_of(4);
    assert_string_equal(read_rows(w, q), "3");
    q.is_ascending = false;
    q.after = id_of(0);
    assert_string_equal(read_rows(w, q), "23");
    q.limit = 0;
    assert_string_equal(read_rows(w, q), "");
    assert_string_equal(w->error, "");
}

static void test_history_destinations_are_apart(void **state)
{
    struct world *w = *state;
    struct history_query q = {.exchange = "chat", .is_any_key = true, .limit = UINT32_MAX};
    assert_string_equal(read_rows(w, q), "123456");
    q.is_ascending = true;
    q.limit = 1;
    assert_string_equal(read_rows(w, q), "1");
    q.exchange = "other";
    assert_string_equal(read_rows(w, q), "7");
    q.exchange = "none";
    assert_string_equal(read_rows(w, q), "");
    assert_int_equal(w->n_rows, 0);
    assert_string_equal(w->error, "");
    q = (struct history_query){.exchange = "chat", .routing_key = SLICE_LITERAL(""), .limit = 9};
    assert_string_equal(read_rows(w, q), "");
    q.routing_key = SLICE_LITERAL("a' OR 'a' = 'a");
    assert_string_equal(read_rows(w, q), "");
}

static void test_history_rows_are_whole(void **state)
{
    struct world *w = *state;
    struct history_query q = {
        .exchange = "chat", .routing_key = SLICE_LITERAL("a"), .is_ascending = true, .limit = 1};
    read_rows(w, q);
    static const char *const full[6] = {"chat", "a",          "/topic/a",
                                        "ann",  "text/plain", "{\"x\": \"y\"}"};
    for (size_t i = 0; i < 6; i++) {
        assert_string_equal(w->first_texts[i], full[i]);
    }
    assert_int_equal(w->first.id.bytes[15], 1);
    assert_int_equal(w->first.sent_unix_ms, 1795219200123ULL);
    q.after = id_of(1);
    read_rows(w, q);
    static const char *const bare[3] = {"NULL", "NULL", "NULL"};
    for (size_t i = 0; i < 3; i++) {
        assert_string_equal(w->first_texts[2 + i], bare[i]);
    }
}

static void test_history_is_cut_by_bytes(void **state)
{
    struct world *w = *state;
    sql(w, "INSERT INTO message SELECT ('10000000-0000-0000-0000-0000000000' || to_char(n, "
           "'FM00'))::uuid,"
           " 'big', '', NULL, NULL, NULL, '{}', repeat('x', 5 * 1024 * 1024)::bytea, now()"
           " FROM generate_series(1, 6) n;"
           "INSERT INTO message SELECT '20000000-0000-0000-0000-000000000000',"
           " 'huge', '', NULL, NULL, NULL, '{}', repeat('x', 20 * 1024 * 1024)::bytea, now()");
    struct history_query q = {.exchange = "big", .is_ascending = true, .limit = 100};
    read_rows(w, q);
    assert_int_equal(w->n_rows, 4); /* the fourth begins within 16 MiB */
    assert_int_equal(w->first.id.bytes[15], 1);
    q.is_ascending = false;
    read_rows(w, q);
    assert_int_equal(w->n_rows, 4);
    assert_int_equal(w->first.id.bytes[15], 3);
    q.exchange = "huge";
    read_rows(w, q);
    assert_int_equal(w->n_rows, 1);
    assert_int_equal(w->n_bytes, 20 * 1024 * 1024);
}

static void test_history_waiting_is_bounded(void **state)
{
    struct world *w = *state;
    struct history_query q = {.exchange = "chat", .is_any_key = true};
    w->n_answers = 0;
    for (q.limit = 1; q.limit <= HISTORY_WAITING_MAX; q.limit++) {
        assert_int_equal(history_read(w->history, &q, on_rows, w, 1), 0);
    }
    assert_int_equal(history_read(w->history, &q, on_rows, w, 1), -1);
    uv_timer_start(&w->deadline, on_deadline, DEADLINE_MS, 0);
    while (w->n_answers < HISTORY_WAITING_MAX) {
        uv_run(&w->loop, UV_RUN_ONCE);
    }
    uv_timer_stop(&w->deadline);
    assert_int_equal(history_read(w->history, &q, on_rows, w, 1), 0);
    while (w->n_answers == HISTORY_WAITING_MAX) {
        uv_run(&w->loop, UV_RUN_ONCE);
    }
}

static void test_history_same_questions_share_a_read(void **state)
{
    struct world *w = *state;
    struct history_query q = {.exchange = "chat", .routing_key = SLICE_LITERAL("a"), .limit = 2};
    uint64_t before = history_reads(w->history);
    w->n_answers = 0;
    w->n_last = 0;
    for (int i = 0; i < 1000; i++) {
        assert_int_equal(history_read(w->history, &q, on_rows, w, 1), 0);
    }
    q.limit = 3;
    assert_int_equal(history_read(w->history, &q, on_rows, w, 1), 0);
    uv_timer_start(&w->deadline, on_deadline, DEADLINE_MS, 0);
    while (w->n_answers < 1001) {
        uv_run(&w->loop, UV_RUN_ONCE);
        if (w->n_answers == 1000) {
            assert_string_equal(w->bodies, "45");
        }
    }
    uv_timer_stop(&w->deadline);
    assert_string_equal(w->bodies, "345");
    /* The first was sent at once and may not see what is stored by the time the others ask. */
    assert_int_equal(history_reads(w->history) - before, 3);
    assert_int_equal(w->n_last, 3);
}

static void test_history_comes_back_after_its_session_was_ended(void **state)
{
    struct world *w = *state;
    struct history_query q = {.exchange = "chat", .routing_key = SLICE_LITERAL("a"), .limit = 100};
    sql(w, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = '" NAME
           "'");
    w->is_answered = false;
    if (history_read(w->history, &q, on_rows, w, 1) == 0) {
        run_until(w, &w->is_answered);
        assert_string_equal(w->error, "history is not available");
        assert_int_equal(w->n_rows, 0);
    }
    assert_false(history_is_up(w->history));
    assert_int_equal(history_read(w->history, &q, on_rows, w, 1), -1);
    wait_up(w);
    assert_string_equal(read_rows(w, q), "12345");
}

static void test_history_gives_up_when_it_takes_too_long(void **state)
{
    struct world *w = *state;
    struct history_query q = {.exchange = "chat", .routing_key = SLICE_LITERAL("a"), .limit = 100};
    sql(w, "BEGIN; LOCK TABLE message IN ACCESS EXCLUSIVE MODE");
    read_rows(w, q);
    assert_string_not_equal(w->error, "");
    assert_int_equal(w->n_rows, 0);
    sql(w, "ROLLBACK");
    assert_string_equal(read_rows(w, q), "12345");
}

static void test_history_stop_answers_what_waits(void **state)
{
    struct world *w = *state;
    const struct history_query q = {.exchange = "chat", .is_any_key = true, .limit = 1};
    w->n_answers = 0;
    for (int i = 0; i < 10; i++) {
        assert_int_equal(history_read(w->history, &q, on_rows, w, 1), 0);
    }
    history_stop(w->history, on_stopped);
    assert_int_equal(w->n_answers, 10);
    assert_string_equal(w->error, "history is not available");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_history_spans, open_world, close_world),
        cmocka_unit_test_setup_teardown(test_history_destinations_are_apart, open_world,
                                        close_world),
        cmocka_unit_test_setup_teardown(test_history_rows_are_whole, open_world, close_world),
        cmocka_unit_test_setup_teardown(test_history_is_cut_by_bytes, open_world, close_world),
        cmocka_unit_test_setup_teardown(test_history_waiting_is_bounded, open_world, close_world),
        cmocka_unit_test_setup_teardown(test_history_same_questions_share_a_read, open_world,
                                        close_world),
        cmocka_unit_test_setup_teardown(test_history_comes_back_after_its_session_was_ended,
                                        open_world, close_world),
        cmocka_unit_test_setup_teardown(test_history_gives_up_when_it_takes_too_long, open_world,
                                        close_world),
        cmocka_unit_test_setup_teardown(test_history_stop_answers_what_waits, open_world,
                                        close_world),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
