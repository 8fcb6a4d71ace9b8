/* Where a stream is read on after a loss: at the oldest that was not settled, else behind the last.
 */
#include "gateway/private/private_internal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define MESSAGES 20000 /* unsettled at a time */

struct world {
    struct private_subscription sub;
    struct private_queue queue;
    struct broker_argument args[1];
    bool is_settled[4 * MESSAGES + 1]; /* by offset; tags are one higher */
    int64_t next;
    struct private_session session; /* the last: its name, which nobody asks for, would follow */
};

static struct world *begin(void)
{
    struct world *w = calloc(1, sizeof *w);
    assert_non_null(w);
    w->queue.kind = PRIVATE_STREAM;
    w->queue.consume_args = w->args;
    w->sub.queue = &w->queue;
    list_init(&w->session.subscriptions);
    list_push(&w->session.subscriptions, &w->sub.node);
    return w;
}

static void finish(struct world *w)
{
    private_stream_free(w->sub.stream);
    free(w);
}

static void deliver(struct world *w, int n)
{
    char text[24];
    for (int i = 0; i < n; i++, w->next++) {
        snprintf(text, sizeof text, "%lld", (long long)w->next);
        struct broker_header header = {SLICE_LITERAL("x-stream-offset"), slice_of(text)};
        struct broker_delivery delivery = {.tag = (uint64_t)w->next + 1};
        delivery.properties.headers = &header;
        delivery.properties.n_headers = 1;
        private_stream_take(&w->sub, &delivery);
    }
}

static void settle(struct world *w, int64_t offset, bool is_multiple)
{
    const struct session_settle settle = {.tag = (uint64_t)offset + 1, .is_multiple = is_multiple};
    for (int64_t i = is_multiple ? 0 : offset; i <= offset; i++) {
        w->is_settled[i] = true;
    }
    private_stream_settled(&w->session, &settle);
}

static void check(struct world *w)
{
    int64_t oldest = 0;
    while (oldest < w->next && w->is_settled[oldest]) {
        oldest++;
    }
    for (int losses = 0; losses < 2; losses++) { /* the second before anything comes again */
        private_stream_rewind(&w->sub);
        assert_int_equal(w->queue.n_consume_args, 1);
        assert_true(slice_is(w->args[0].name, "x-stream-offset"));
        assert_int_equal(w->args[0].number, oldest);
    }
}

static void test_goes_on_behind_the_last_when_all_is_settled(void **state)
{
    (void)state;
    struct world *w = begin();
    deliver(w, 100);
    settle(w, 60, true);
    for (int64_t i = 61; i < 100; i++) {
        settle(w, i, false);
    }
    check(w);
    finish(w);
}

/* The newest first, with one of another subscription between them: none of it may cost a walk. */
static void test_goes_on_at_the_oldest_unsettled_from_the_end(void **state)
{
    (void)state;
    struct world *w = begin();
    const struct session_settle other = {.tag = 10 * MESSAGES};
    deliver(w, MESSAGES);
    for (int64_t i = MESSAGES - 1; i > 0; i--) {
        settle(w, i, false);
        private_stream_settled(&w->session, &other);
    }
    deliver(w, MESSAGES); /* what was settled makes room */
    settle(w, MESSAGES, false);
    check(w);
    finish(w);
}

static void test_goes_on_where_any_order_left_it(void **state)
{
    (void)state;
    for (unsigned seed = 1; seed <= 200; seed++) {
        struct world *w = begin();
        uint32_t dice = seed;
        for (int i = 0; i < 300; i++) {
            dice = dice * 1664525u + 1013904223u;
            unsigned roll = dice >> 8;
            if (w->next == 0 || roll % 3 == 0) {
                deliver(w, 1 + (int)(roll % 7));
            } else {
                settle(w, (int64_t)(roll % (uint64_t)w->next), roll % 23 == 0);
            }
        }
        check(w);
        finish(w);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_goes_on_behind_the_last_when_all_is_settled),
        cmocka_unit_test(test_goes_on_at_the_oldest_unsettled_from_the_end),
        cmocka_unit_test(test_goes_on_where_any_order_left_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
