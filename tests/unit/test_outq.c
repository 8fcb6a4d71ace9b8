/* A client's out queue: order, bounds, both policies, and a random walk beside a naive model. */
#include "gateway/fanout/outq.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct fixture {
    struct outq_dirty dirty;
    struct outq q;
};

static void open_queue(struct fixture *f, size_t limit)
{
    outq_dirty_init(&f->dirty);
    outq_init(&f->q, limit, &f->dirty);
}

/* A message of exactly `len` bytes on the wire that begins with `mark`. */
static struct message *make(size_t len, char mark)
{
    assert_true(len >= 3 && len < 126);
    struct message *m = message_new(len - 2, true);
    assert_non_null(m);
    assert_int_equal(m->len, len);
    memset(message_payload(m), mark, len - 2);
    return m;
}

static enum outq_result push(struct outq *q, size_t len, char mark, enum outq_policy policy)
{
    struct message *m = make(len, mark);
    enum outq_result result = outq_push(q, m, policy);
    message_unref(m);
    return result;
}

/* The marks that are queued, in order. */
static const char *marks(const struct outq *q)
{
    static char text[64];
    size_t n = 0;
    for (uint32_t i = 0; i < q->n && n < sizeof text - 1; i++) {
        text[n++] = (char)message_payload(outq_at(q, i))[0];
    }
    text[n] = 0;
    return text;
}

static void test_messages_keep_their_order(void **state)
{
    (void)state;
    struct fixture f;
    open_queue(&f, 1000);
    assert_null(outq_first(&f.q));
    assert_true(list_is_empty(&f.dirty.later));
    for (char c = 'a'; c <= 'h'; c++) {
        assert_int_equal(push(&f.q, 10, c, OUTQ_CLOSE), OUTQ_OK);
    }
    assert_string_equal(marks(&f.q), "abcdefgh");
    assert_int_equal(f.q.bytes, 80);
    outq_pop(&f.q, 3);
    assert_int_equal(push(&f.q, 10, 'i', OUTQ_CLOSE), OUTQ_OK);
    assert_string_equal(marks(&f.q), "defghi");
    assert_int_equal(f.q.bytes, 60);
    outq_fini(&f.q);
    assert_true(list_is_empty(&f.dirty.later));
}

static void test_what_the_session_says_does_not_wait_with_live_messages(void **state)
{
    (void)state;
    struct fixture f;
    open_queue(&f, 1000);
    assert_int_equal(push(&f.q, 10, 'a', OUTQ_CLOSE), OUTQ_OK);
    assert_true(list_is_empty(&f.dirty.now));
    assert_int_equal(outq_push_own(&f.q, make(10, 'b')), OUTQ_OK);
    assert_true(list_is_empty(&f.dirty.later));
    assert_ptr_equal(f.dirty.now.next, &f.q.node);
    assert_int_equal(push(&f.q, 10, 'c', OUTQ_CLOSE), OUTQ_OK);
    assert_true(list_is_empty(&f.dirty.later));
    assert_ptr_equal(f.q.node.next, &f.dirty.now);
    assert_string_equal(marks(&f.q), "abc");
    outq_fini(&f.q);
    assert_true(list_is_empty(&f.dirty.now));
}

static void test_a_queue_is_on_the_dirty_list_once(void **state)
{
    (void)state;
    struct fixture f;
    open_queue(&f, 1000);
    push(&f.q, 10, 'a', OUTQ_CLOSE);
    push(&f.q, 10, 'b', OUTQ_CLOSE);
    assert_ptr_equal(f.dirty.later.next, &f.q.node);
    assert_ptr_equal(f.q.node.next, &f.dirty.later);
    list_remove(&f.q.node);
    push(&f.q, 10, 'c', OUTQ_CLOSE);
    assert_ptr_equal(f.dirty.later.next, &f.q.node);
    outq_fini(&f.q);
}

static void test_below_the_bound_is_taken_and_at_it_is_refused(void **state)
{
    (void)state;
    struct fixture f;
    open_queue(&f, 100);
    assert_int_equal(push(&f.q, 50, 'a', OUTQ_CLOSE), OUTQ_OK); /* on its way */
    assert_int_equal(push(&f.q, 60, 'b', OUTQ_CLOSE), OUTQ_OK);
    assert_int_equal(push(&f.q, 39, 'c', OUTQ_CLOSE), OUTQ_OK);
    assert_int_equal(push(&f.q, 3, 'd', OUTQ_CLOSE), OUTQ_OK);
    assert_int_equal(push(&f.q, 3, 'e', OUTQ_CLOSE), OUTQ_OVER);
    assert_string_equal(marks(&f.q), "abcd");
    outq_pop(&f.q, 1);
    assert_int_equal(push(&f.q, 3, 'f', OUTQ_CLOSE), OUTQ_OK);
    assert_string_equal(marks(&f.q), "bcdf");
    outq_fini(&f.q);
}

/* Messages of the largest size with small ones around them in one loop turn: an idle client is not
 * slow. */
static void test_the_largest_message_is_taken_beside_small_ones(void **state)
{
    (void)state;
    struct fixture f;
    open_queue(&f, 50);
    assert_int_equal(outq_push_own(&f.q, make(10, 'R')), OUTQ_OK);
    assert_int_equal(push(&f.q, 100, 'a', OUTQ_CLOSE), OUTQ_OK);
    assert_int_equal(outq_push_own(&f.q, make(10, 'S')), OUTQ_OK);
    assert_int_equal(push(&f.q, 3, 'b', OUTQ_CLOSE), OUTQ_OVER);
    outq_pop(&f.q, 1);
    f.q.first_off = 20;
    assert_int_equal(push(&f.q, 3, 'c', OUTQ_CLOSE), OUTQ_OK);
    assert_int_equal(push(&f.q, 100, 'd', OUTQ_CLOSE), OUTQ_OK);
    assert_int_equal(push(&f.q, 3, 'e', OUTQ_CLOSE), OUTQ_OVER);
    assert_string_equal(marks(&f.q), "aScd");
    outq_fini(&f.q);
}

static void test_drop_oldest_makes_room_and_counts(void **state)
{
    (void)state;
    struct fixture f;
    open_queue(&f, 100);
    for (char c = 'a'; c <= 'k'; c++) {
        assert_int_equal(push(&f.q, 10, c, OUTQ_DROP_OLDEST), OUTQ_OK);
    }
    assert_int_equal(push(&f.q, 10, 'l', OUTQ_DROP_OLDEST), OUTQ_DROPPED);
    /* a quarter at a time: down to 75 and the new one */
    assert_string_equal(marks(&f.q), "efghijkl");
    assert_int_equal(f.q.dropped, 4);
    assert_int_equal(f.q.bytes, 80);
    outq_fini(&f.q);
}

static void test_drop_oldest_spares_what_the_session_says(void **state)
{
    (void)state;
    struct fixture f;
    open_queue(&f, 100);
    push(&f.q, 40, 'a', OUTQ_DROP_OLDEST);
    assert_int_equal(outq_push_own(&f.q, make(20, 'R')), OUTQ_OK);
    push(&f.q, 100, 'b', OUTQ_DROP_OLDEST);
    assert_int_equal(push(&f.q, 40, 'c', OUTQ_DROP_OLDEST), OUTQ_DROPPED);
    assert_string_equal(marks(&f.q), "Rc");
    outq_drop_live(&f.q);
    assert_string_equal(marks(&f.q), "R");
    outq_fini(&f.q);
}

/* What the broker keeps until it is settled: never dropped for slowness, no part of the bound, gone
 * when the client is closed, and counted when it was written. */
static void test_private_messages_stand_outside_of_the_bound(void **state)
{
    (void)state;
    struct fixture f;
    open_queue(&f, 100);
    for (char c = 'A'; c <= 'D'; c++) {
        assert_int_equal(outq_push_private(&f.q, make(90, c)), OUTQ_OK);
    }
    assert_int_equal(f.q.private_bytes, 360);
    assert_int_equal(push(&f.q, 60, 'a', OUTQ_CLOSE), OUTQ_OK);
    assert_int_equal(outq_push_own(&f.q, make(20, 'R')), OUTQ_OK);
    assert_int_equal(push(&f.q, 50, 'b', OUTQ_CLOSE), OUTQ_OK);
    assert_int_equal(push(&f.q, 3, 'c', OUTQ_CLOSE), OUTQ_OVER);
    assert_int_equal(push(&f.q, 3, 'c', OUTQ_DROP_OLDEST), OUTQ_DROPPED);
    assert_string_equal(marks(&f.q), "ABCDRbc");
    outq_pop(&f.q, 2);
    assert_int_equal(f.q.private_popped, 2);
    assert_int_equal(f.q.private_bytes, 180);
    f.q.first_off = 1;
    outq_drop_live(&f.q);
    assert_string_equal(marks(&f.q), "CR");
    assert_int_equal(f.q.private_bytes, 90);
    outq_pop(&f.q, 1);
    assert_int_equal(f.q.private_popped, 3);
    assert_int_equal(f.q.private_bytes, 0);
    assert_int_equal(f.q.dropped, 3);
    outq_fini(&f.q);
}

static void test_drop_oldest_keeps_the_newest_whatever_its_size(void **state)
{
    (void)state;
    struct fixture f;
    open_queue(&f, 50);
    push(&f.q, 10, 'a', OUTQ_DROP_OLDEST);
    assert_int_equal(push(&f.q, 60, 'b', OUTQ_DROP_OLDEST), OUTQ_OK);
    assert_int_equal(push(&f.q, 60, 'c', OUTQ_DROP_OLDEST), OUTQ_DROPPED);
    assert_string_equal(marks(&f.q), "c");
    assert_int_equal(f.q.dropped, 2);
    outq_fini(&f.q);
}

static void test_a_message_that_was_begun_is_not_dropped(void **state)
{
    (void)state;
    struct fixture f;
    open_queue(&f, 40);
    push(&f.q, 100, 'a', OUTQ_DROP_OLDEST);
    push(&f.q, 30, 'b', OUTQ_DROP_OLDEST);
    push(&f.q, 20, 'c', OUTQ_DROP_OLDEST);
    f.q.first_off = 10;
    assert_int_equal(push(&f.q, 40, 'd', OUTQ_DROP_OLDEST), OUTQ_DROPPED);
    assert_string_equal(marks(&f.q), "acd");
    outq_drop_live(&f.q);
    assert_string_equal(marks(&f.q), "a");
    outq_pop(&f.q, 1);
    assert_int_equal(f.q.first_off, 0);
    outq_fini(&f.q);
}

static void test_the_sessions_own_frames_have_a_bound_too(void **state)
{
    (void)state;
    struct fixture f;
    open_queue(&f, 50);
    assert_int_equal(push(&f.q, 120, 'a', OUTQ_CLOSE), OUTQ_OK);
    assert_int_equal(outq_push_own(&f.q, make(49, 'R')), OUTQ_OK);
    assert_int_equal(outq_push_own(&f.q, make(60, 'S')), OUTQ_OK);
    assert_int_equal(outq_push_own(&f.q, make(3, 'T')), OUTQ_OVER);
    outq_pop(&f.q, 1);
    assert_int_equal(outq_push_own(&f.q, make(3, 'T')), OUTQ_OVER);
    outq_pop(&f.q, 1);
    assert_int_equal(outq_push_own(&f.q, make(3, 'T')), OUTQ_OVER);
    outq_pop(&f.q, 1);
    assert_int_equal(outq_push_own(&f.q, make(3, 'T')), OUTQ_OK);
    assert_int_equal(f.q.own_bytes, 3);
    assert_int_equal(f.q.bytes, 3);
    outq_fini(&f.q);
}

/* Else each live message would find the queue full, and walk it for nothing: a client that has its
 * RECEIPTs wait could make a busy room expensive. */
static void test_what_the_session_says_takes_no_room_from_live_messages(void **state)
{
    (void)state;
    struct fixture f;
    open_queue(&f, 100);
    for (char c = 'A'; c <= 'J'; c++) {
        assert_int_equal(outq_push_own(&f.q, make(10, c)), OUTQ_OK);
    }
    assert_int_equal(outq_push_own(&f.q, make(10, 'K')), OUTQ_OVER);
    for (char c = 'a'; c <= 'j'; c++) {
        assert_int_equal(push(&f.q, 10, c, OUTQ_DROP_OLDEST), OUTQ_OK);
    }
    assert_int_equal(push(&f.q, 10, 'k', OUTQ_DROP_OLDEST), OUTQ_DROPPED);
    assert_int_equal(f.q.dropped, 3); /* down to 75 */
    assert_string_equal(marks(&f.q), "ABCDEFGHIJdefghijk");
    outq_fini(&f.q);
}

static void test_references_are_counted(void **state)
{
    (void)state;
    struct fixture f;
    open_queue(&f, 1000);
    struct message *m = make(10, 'a');
    assert_int_equal(outq_push(&f.q, m, OUTQ_CLOSE), OUTQ_OK);
    assert_int_equal(outq_push(&f.q, m, OUTQ_CLOSE), OUTQ_OK);
    assert_int_equal(m->refs, 3);
    outq_pop(&f.q, 1);
    assert_int_equal(m->refs, 2);
    outq_fini(&f.q);
    assert_int_equal(m->refs, 1);
    message_unref(m);
    message_unref(NULL);
}

static void test_an_emptied_queue_holds_little(void **state)
{
    (void)state;
    struct fixture f;
    open_queue(&f, 100000);
    for (int i = 0; i < 1000; i++) {
        assert_int_equal(push(&f.q, 10, 'x', OUTQ_CLOSE), OUTQ_OK);
    }
    assert_true(f.q.cap >= 1000);
    outq_pop(&f.q, 1000);
    assert_true(f.q.cap <= 16);
    assert_int_equal(f.q.bytes, 0);
    outq_fini(&f.q);
}

/* The same pushes and pops on an array that simply shifts. */
static void test_a_random_walk_is_what_a_naive_queue_does(void **state)
{
    (void)state;
    struct fixture f;
    open_queue(&f, 500);
    char model[1000];
    size_t n = 0;
    size_t bytes = 0;
    srand(7);
    for (int step = 0; step < 100000; step++) {
        size_t len = 10 + (size_t)(rand() % 3) * 10;
        if (rand() % 3 > 0) {
            char mark = (char)('a' + len / 10);
            bool fits = n == 0 || bytes - (size_t)(model[0] - 'a') * 10 < 500;
            assert_int_equal(push(&f.q, len, mark, OUTQ_CLOSE), fits ? OUTQ_OK : OUTQ_OVER);
            if (fits) {
                model[n++] = mark;
                bytes += len;
            }
        } else if (n > 0) {
            size_t k = 1 + (size_t)rand() % n;
            for (size_t i = 0; i < k; i++) {
                bytes -= (size_t)(model[i] - 'a') * 10;
            }
            memmove(model, model + k, n - k);
            n -= k;
            outq_pop(&f.q, (uint32_t)k);
        }
        assert_int_equal(f.q.n, n);
        assert_int_equal(f.q.bytes, bytes);
        if (n > 0) {
            assert_int_equal(message_payload(outq_first(&f.q))[0], model[0]);
        }
    }
    outq_fini(&f.q);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_messages_keep_their_order),
        cmocka_unit_test(test_a_queue_is_on_the_dirty_list_once),
        cmocka_unit_test(test_what_the_session_says_does_not_wait_with_live_messages),
        cmocka_unit_test(test_below_the_bound_is_taken_and_at_it_is_refused),
        cmocka_unit_test(test_the_largest_message_is_taken_beside_small_ones),
        cmocka_unit_test(test_drop_oldest_makes_room_and_counts),
        cmocka_unit_test(test_drop_oldest_spares_what_the_session_says),
        cmocka_unit_test(test_private_messages_stand_outside_of_the_bound),
        cmocka_unit_test(test_drop_oldest_keeps_the_newest_whatever_its_size),
        cmocka_unit_test(test_a_message_that_was_begun_is_not_dropped),
        cmocka_unit_test(test_the_sessions_own_frames_have_a_bound_too),
        cmocka_unit_test(test_what_the_session_says_takes_no_room_from_live_messages),
        cmocka_unit_test(test_references_are_counted),
        cmocka_unit_test(test_an_emptied_queue_holds_little),
        cmocka_unit_test(test_a_random_walk_is_what_a_naive_queue_does),
    };
    return cmocka_run_group_tests_name("outq", tests, NULL, NULL);
}
