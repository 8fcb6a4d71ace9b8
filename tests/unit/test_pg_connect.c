/* What the log says of a connection string that does not work: nothing of the string itself. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <uv.h>

#include "persist/pg.h"

#define CANARY "s3cr"
#define FIXED "database.url is not a valid connection string"
#define DEADLINE_MS 10000

struct world {
    uv_loop_t loop;
    uv_timer_t deadline;
    struct pg *pg;
    int n_lost;
    char why[400];
    char log[16384];
};

static void on_stopped(void *owner)
{
    (void)owner;
}

static void stop(struct world *w)
{
    pg_stop(w->pg, on_stopped);
    uv_close((uv_handle_t *)&w->deadline, NULL);
}

static void on_deadline(uv_timer_t *timer)
{
    stop(timer->data);
}

static void on_lost(void *owner, const char *why)
{
    struct world *w = owner;
    if (w->n_lost++ == 0) {
        snprintf(w->why, sizeof(w->why), "%s", why);
        stop(w);
    }
}

/* One try to connect. Standard error is a pipe meanwhile, which has room for the few lines. */
static void connect_once(struct world *w, const char *url)
{
    static const struct pg_events events = {.lost = on_lost};
    const struct pg_options options = {
        .url = url, .name = "test", .retry_min_ms = 60000, .retry_max_ms = 60000};
    int fds[2];
    memset(w, 0, sizeof(*w));
    assert_int_equal(uv_loop_init(&w->loop), 0);
    w->pg = pg_new(&w->loop, &options, &events, w);
    assert_non_null(w->pg);
    uv_timer_init(&w->loop, &w->deadline);
    w->deadline.data = w;
    uv_timer_start(&w->deadline, on_deadline, DEADLINE_MS, 0);
    assert_int_equal(pipe(fds), 0);
    int real_stderr = dup(STDERR_FILENO);
    dup2(fds[1], STDERR_FILENO);
    close(fds[1]);
    pg_start(w->pg);
    uv_run(&w->loop, UV_RUN_DEFAULT);
    dup2(real_stderr, STDERR_FILENO);
    close(real_stderr);
    ssize_t n = read(fds[0], w->log, sizeof(w->log) - 1);
    close(fds[0]);
    assert_true(n > 0);
    w->log[n] = '\0';
    pg_free(w->pg);
    assert_int_equal(uv_loop_close(&w->loop), 0);
}

static void test_pg_connect_tells_nothing_of_a_bad_url(void **state)
{
    (void)state;
    static const char *const urls[] = {
        "postgresql://bob:" CANARY "%t-pw@127.0.0.1/db",
        "postgresql://bob:x@" CANARY "@127.0.0.1/db",
        "postgresql://127.0.0.1:" CANARY "/x@127.0.0.1/db",
        "postgresql://bob:[" CANARY "@[127.0.0.1/" CANARY,
        "postgresql://bob:x@127.0.0.1/db?" CANARY "=1",
        "postgresql://bob:x@127.0.0.1/db?sslmode=" CANARY,
        "host=127.0.0.1 password=x " CANARY,
        "host=127.0.0.1 password='" CANARY,
        "host=127.0.0.1 " CANARY "=x",
        CANARY,
    };
    for (size_t i = 0; i < sizeof(urls) / sizeof(urls[0]); i++) {
        struct world w;
        connect_once(&w, urls[i]);
        if (w.n_lost != 1 || strcmp(w.why, FIXED) != 0 || strstr(w.log, CANARY) != NULL ||
            strstr(w.log, FIXED) == NULL) {
            fail_msg("%s: %s\n%s", urls[i], w.why, w.log);
        }
    }
}

/* What a server that was tried is told with stays, but for the password. */
static void test_pg_connect_tells_why_a_server_is_not_reached(void **state)
{
    (void)state;
    static const char *const urls[] = {
        "postgresql://bob:" CANARY "@127.0.0.1:1/db",
        "host=/nowhere password=" CANARY,
        "host=@nowhere password=" CANARY,
    };
    for (size_t i = 0; i < sizeof(urls) / sizeof(urls[0]); i++) {
        struct world w;
        connect_once(&w, urls[i]);
        if (w.n_lost != 1 || strstr(w.why, "connection to server ") != w.why ||
            strstr(w.log, "pg.lost") == NULL || strstr(w.log, CANARY) != NULL) {
            fail_msg("%s: %s\n%s", urls[i], w.why, w.log);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pg_connect_tells_nothing_of_a_bad_url),
        cmocka_unit_test(test_pg_connect_tells_why_a_server_is_not_reached),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
