/* What the parser allocates and when it gives it back; and its state from one frame to the next.
 * The parser is compiled into this program with an allocator that counts and can fail. */
#include "tests/unit/stomp_testing.h"

static size_t live_bytes;
static size_t most_bytes;
static unsigned n_allocations;
static unsigned fail_at; /* the n-th allocation fails; 0: none does */

struct counted {
    size_t size;
    _Alignas(16) unsigned char mem[];
};

static void *counted_realloc(void *mem, size_t size)
{
    struct counted *old = mem ? (void *)((unsigned char *)mem - sizeof(struct counted)) : NULL;
    size_t old_size = old ? old->size : 0;
    if (++n_allocations == fail_at) {
        return NULL;
    }
    struct counted *grown = malloc(sizeof(*grown) + size); /* always moves */
    assert_non_null(grown);
    grown->size = size;
    if (old) {
        memcpy(grown->mem, old->mem, old_size < size ? old_size : size);
        free(old);
    }
    live_bytes += size - old_size;
    most_bytes = live_bytes > most_bytes ? live_bytes : most_bytes;
    return grown->mem;
}

static void counted_free(void *mem)
{
    if (mem) {
        struct counted *old = (void *)((unsigned char *)mem - sizeof(*old));
        live_bytes -= old->size;
        free(old);
    }
}

#define realloc counted_realloc
#define free counted_free
#include "stomp/parser.c"
#undef realloc
#undef free

static struct run r;

static int setup(void **state)
{
    (void)state;
    live_bytes = most_bytes = 0;
    n_allocations = fail_at = 0;
    run_init(&r, NULL, STOMP_1_2);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    stomp_parser_fini(&r.parser);
    stomp_parser_fini(&r.parser);
    return live_bytes == 0 ? 0 : -1;
}

static void test_whole_frames_are_not_copied(void **state)
{
    (void)state;
    char in[] = "\nSEND\na:b\\nc\n\nbody\0\n";
    size_t used;
    enum stomp_result result =
        stomp_parser_feed(&r.parser, (uint8_t *)in, sizeof(in) - 1, &used, &r.frame);
    assert_int_equal(result, STOMP_HEARTBEAT);
    assert_int_equal(used, 1);
    result = stomp_parser_feed(&r.parser, (uint8_t *)in + 1, sizeof(in) - 2, &used, &r.frame);
    assert_int_equal(result, STOMP_FRAME);
    assert_int_equal(used, sizeof(in) - 3);
    assert_ptr_equal(r.frame.command_text.ptr, in + 1);
    assert_ptr_equal(r.frame.headers[0].name.ptr, in + 6);
    assert_ptr_equal(r.frame.headers[0].value.ptr, in + 8);
    assert_ptr_equal(r.frame.body.ptr, in + sizeof(in) - 7);
    assert_int_equal(n_allocations, 0);
}

static void test_announced_length_allocates_nothing(void **state)
{
    (void)state;
    run_piece(&r, IN("SEND\ncontent-length:1048576\n\n0123456789"));
    assert_int_equal(r.last, STOMP_MORE);
    assert_true(most_bytes < 4096);
    run_piece(&r, IN("0123456789"));
    assert_true(most_bytes < 4096);
    assert_int_equal(n_allocations, 1);
}

static void test_memory_grows_with_what_arrived(void **state)
{
    (void)state;
    run_piece(&r, IN("SEND\ncontent-length:1048576\n\n"));
    for (size_t sent = 1; sent <= 1048576; sent++) {
        run_piece(&r, "x", 1);
        assert_true(live_bytes <= 2 * sent + 4096);
    }
    assert_true(n_allocations <= 16);
    assert_int_equal(r.last, STOMP_MORE);
    run_piece(&r, "\0", 1);
    assert_memory_equal(r.text, "SEND{content-length=1048576}[xxx", 32);
    assert_int_equal(live_bytes, 0);
}

static void test_header_bomb_byte_by_byte(void **state)
{
    (void)state;
    run_piece(&r, IN("SEND\nreceipt:7\nbomb:"));
    size_t sent = 0;
    while (sent < (size_t)10 * 1024 * 1024 && r.last == STOMP_MORE) {
        run_piece(&r, "a", 1);
        sent++;
    }
    assert_int_equal(sent, 8193);
    assert_string_equal(r.text, "!VALUE_TOO_LONG SEND{receipt=7}");
    assert_true(most_bytes < 65536);
}

static void test_header_bomb_at_once(void **state)
{
    (void)state;
    static char bomb[1024 * 1024];
    memset(bomb, 'a', sizeof(bomb));
    run_piece(&r, IN("SEND\nx:"));
    run_piece(&r, bomb, sizeof(bomb));
    assert_string_equal(r.text, "!VALUE_TOO_LONG SEND{}");
    assert_true(most_bytes < 65536);
}

static void test_gathered_frame_lives_until_the_next_call(void **state)
{
    (void)state;
    uint8_t in[] = "SEND\na:1\n\nbody";
    size_t used;
    enum stomp_result result = stomp_parser_feed(&r.parser, in, 12, &used, &r.frame);
    assert_int_equal(result, STOMP_MORE);
    assert_int_equal(used, 12);
    assert_true(stomp_parser_is_inside(&r.parser));
    result = stomp_parser_feed(&r.parser, in + 12, 3, &used, &r.frame);
    assert_int_equal(result, STOMP_FRAME);
    assert_false(stomp_parser_is_inside(&r.parser));
    memset(in, 'X', sizeof(in));
    assert_true(slice_is(r.frame.body, "body"));
    assert_true(slice_is(stomp_frame_get(&r.frame, "a"), "1"));
    assert_true(live_bytes > 0);
    result = stomp_parser_feed(&r.parser, NULL, 0, &used, &r.frame);
    assert_int_equal(result, STOMP_MORE);
    assert_int_equal(live_bytes, 0);
}

static void test_idle_parser_holds_nothing(void **state)
{
    (void)state;
    run_piece(&r, IN("SEND\n\nab"));
    run_piece(&r, IN("c\0\nACK\n\n\0\n"));
    assert_string_equal(r.text, "SEND{}[abc]~ACK{}~");
    assert_int_equal(live_bytes, 0);
}

static void test_bad_frame_lives_until_the_next_call(void **state)
{
    (void)state;
    uint8_t in[] = "SEND\nreceipt:1\noops\n\n";
    size_t used;
    enum stomp_result result = stomp_parser_feed(&r.parser, in, 16, &used, &r.frame);
    assert_int_equal(result, STOMP_MORE);
    result = stomp_parser_feed(&r.parser, in + 16, 6, &used, &r.frame);
    assert_int_equal(result, STOMP_BAD);
    memset(in, 'X', sizeof(in));
    assert_true(slice_is(stomp_frame_get(&r.frame, "receipt"), "1"));
    assert_null(r.frame.body.ptr);
    assert_int_equal(stomp_parser_error(&r.parser), STOMP_ERR_NO_COLON);
    assert_false(stomp_parser_is_inside(&r.parser));

    uint8_t good[] = "ACK\n\n";
    result = stomp_parser_feed(&r.parser, good, sizeof(good), &used, &r.frame);
    assert_int_equal(result, STOMP_BAD);
    assert_int_equal(used, 0);
    assert_int_equal(r.frame.n_headers, 0);
    assert_int_equal(r.frame.command, STOMP_UNKNOWN);
    assert_int_equal(stomp_parser_error(&r.parser), STOMP_ERR_NO_COLON);
    assert_int_equal(live_bytes, 0);
}

/* Whichever allocation fails: the parser says so, keeps the headers and loses no memory. */
static void test_every_allocation_fails_once(void **state)
{
    (void)state;
    for (fail_at = 1; fail_at <= 3; fail_at++) {
        n_allocations = 0;
        run_init(&r, NULL, STOMP_1_2);
        run_piece(&r, IN("SEND\nreceipt:1\n\n0"));
        for (unsigned i = 0; i < 2000; i++) {
            run_piece(&r, "x", 1);
        }
        assert_string_equal(r.text, "!MEMORY SEND{receipt=1}");
        assert_int_equal(n_allocations, fail_at);
        stomp_parser_fini(&r.parser);
        assert_int_equal(live_bytes, 0);
    }
}

static void test_version_counts_from_the_next_frame_on(void **state)
{
    (void)state;
    stomp_parser_set_version(&r.parser, STOMP_1_0);
    run_piece(&r, IN("SEND\na:"));
    stomp_parser_set_version(&r.parser, STOMP_1_2);
    run_piece(&r, IN("\\c\n\n\0SEND\na:\\c\n\n\0"));
    assert_string_equal(r.text, "SEND{a=\\c}SEND{a=:}");
}

static void test_limits_count_at_once(void **state)
{
    (void)state;
    static const struct stomp_limits tight = {0, 1, 1, 1, 4, 1};
    run_piece(&r, IN("SEND\na:123"));
    stomp_parser_set_limits(&r.parser, &tight);
    run_piece(&r, IN("4"));
    assert_string_equal(r.text, "!BLOCK_TOO_LONG SEND{}");
}

static void test_parser_starts_as_1_0(void **state)
{
    (void)state;
    stomp_parser_init(&r.parser, &default_limits);
    run_piece(&r, IN("SEND\na: \\c\n\n\0"));
    assert_string_equal(r.text, "SEND{a=\\c}");
}

static void test_parser_can_be_used_again(void **state)
{
    (void)state;
    run_piece(&r, IN("SEND\nx\n"));
    assert_int_equal(r.last, STOMP_BAD);
    stomp_parser_fini(&r.parser);
    run_init(&r, NULL, STOMP_1_2);
    run_piece(&r, IN("ACK\n\n\0"));
    assert_string_equal(r.text, "ACK{}");
}

static void test_is_inside(void **state)
{
    (void)state;
    assert_false(stomp_parser_is_inside(&r.parser));
    run_piece(&r, IN(""));
    assert_false(stomp_parser_is_inside(&r.parser));
    run_piece(&r, IN("\n"));
    assert_false(stomp_parser_is_inside(&r.parser));
    run_piece(&r, IN("A"));
    assert_true(stomp_parser_is_inside(&r.parser));
    run_piece(&r, IN("CK\n\n\0"));
    assert_false(stomp_parser_is_inside(&r.parser));
    run_piece(&r, IN("ACK\n\n\0A"));
    assert_true(stomp_parser_is_inside(&r.parser));
}

static void test_first_header_of_a_name_wins(void **state)
{
    (void)state;
    uint8_t in[] = "SEND\nfoo:World\nfo:short\nfoo:Hello\nempty:\n\n";
    size_t used;
    enum stomp_result result = stomp_parser_feed(&r.parser, in, sizeof(in), &used, &r.frame);
    assert_int_equal(result, STOMP_FRAME);
    assert_int_equal(r.frame.command, STOMP_SEND);
    assert_true(slice_is(stomp_frame_get(&r.frame, "foo"), "World"));
    assert_non_null(stomp_frame_get(&r.frame, "empty").ptr);
    assert_int_equal(stomp_frame_get(&r.frame, "empty").len, 0);
    assert_null(stomp_frame_get(&r.frame, "fooo").ptr);
    assert_null(stomp_frame_get(&r.frame, "").ptr);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_whole_frames_are_not_copied),
        TEST(test_announced_length_allocates_nothing),
        TEST(test_memory_grows_with_what_arrived),
        TEST(test_header_bomb_byte_by_byte),
        TEST(test_header_bomb_at_once),
        TEST(test_gathered_frame_lives_until_the_next_call),
        TEST(test_idle_parser_holds_nothing),
        TEST(test_bad_frame_lives_until_the_next_call),
        TEST(test_every_allocation_fails_once),
        TEST(test_version_counts_from_the_next_frame_on),
        TEST(test_limits_count_at_once),
        TEST(test_parser_starts_as_1_0),
        TEST(test_parser_can_be_used_again),
        TEST(test_is_inside),
        TEST(test_first_header_of_a_name_wins),
    };
    return cmocka_run_group_tests_name("stomp_memory", tests, NULL, NULL);
}
