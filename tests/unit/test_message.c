/* One message's bytes as a WebSocket and as plain TCP get them, at each width of the header. */
#include "gateway/fanout/message.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct message *make(size_t payload_len, bool is_text)
{
    struct message *m = message_new(payload_len, is_text);
    assert_non_null(m);
    memset(message_payload(m), 'x', payload_len - 1);
    message_payload(m)[payload_len - 1] = 0;
    return m;
}

static void check_header(const struct message *m, const char *header, size_t len)
{
    assert_int_equal(m->payload_off, len);
    assert_memory_equal(m->bytes, header, len);
}

static void test_the_header_is_as_wide_as_it_must_be(void **state)
{
    (void)state;
    static const struct {
        size_t payload_len;
        bool is_text;
        size_t header_len;
        const char *header;
    } cases[] = {
        {2, true, 2, "\x81\x02"},
        {125, false, 2, "\x82\x7d"},
        {126, true, 4, "\x81\x7e\x00\x7e"},
        {65535, true, 4, "\x81\x7e\xff\xff"},
        {65536, false, 10, "\x82\x7f\x00\x00\x00\x00\x00\x01\x00\x00"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct message *m = make(cases[i].payload_len, cases[i].is_text);
        check_header(m, cases[i].header, cases[i].header_len);
        assert_int_equal(m->len, cases[i].header_len + cases[i].payload_len);
        message_unref(m);
    }
}

static void test_plain_is_the_frame_and_a_line_feed(void **state)
{
    (void)state;
    static const size_t lens[] = {2, 125, 126, 65535, 65536};
    for (size_t i = 0; i < sizeof lens / sizeof lens[0]; i++) {
        struct message *m = make(lens[i], true);
        size_t len;
        const uint8_t *plain = message_plain(m, &len);
        assert_ptr_equal(plain, message_payload(m));
        assert_int_equal(len, lens[i] + 1);
        assert_int_equal(plain[0], 'x');
        assert_int_equal(plain[len - 2], 0);
        assert_int_equal(plain[len - 1], '\n');
        message_unref(m);
    }
}

static void test_plain_heartbeat_is_one_line_feed(void **state)
{
    (void)state;
    struct message *m = message_new(1, true);
    assert_non_null(m);
    message_payload(m)[0] = '\n';
    size_t len;
    const uint8_t *plain = message_plain(m, &len);
    assert_int_equal(len, 1);
    assert_int_equal(plain[0], '\n');
    assert_int_equal(m->len, 3);
    message_unref(m);
}

static void test_a_close_frame_cuts_its_reason(void **state)
{
    (void)state;
    char reason[200];
    memset(reason, 'r', sizeof reason - 1);
    reason[sizeof reason - 1] = 0;
    reason[1] = '\n';
    struct message *m = message_new_close(1008, reason);
    assert_non_null(m);
    check_header(m, "\x88\x7d", 2);
    assert_memory_equal(message_payload(m), "\x03\xf0r r", 5);
    message_unref(m);
}

static struct message *frame(const char *text, size_t gap_at)
{
    size_t len = strlen(text) + 1;
    struct message *m = message_new(len, true);
    assert_non_null(m);
    memcpy(message_payload(m), text, len);
    m->gap_off = gap_at ? (uint32_t)(m->payload_off + gap_at) : 0;
    return m;
}

static void test_a_gap_is_written_into_a_copy(void **state)
{
    (void)state;
    char body[140];
    memset(body, 'b', sizeof body - 1);
    body[sizeof body - 1] = 0;
    static const char *const bodies[] = {"", NULL}; /* a header of 2 bytes that stays; one of 4 */
    for (size_t i = 0; i < 2; i++) {
        char text[256];
        char expected[256];
        snprintf(text, sizeof text, "MESSAGE\nid:1\n\n%s", bodies[i] ? bodies[i] : body);
        snprintf(expected, sizeof expected, "MESSAGE\ngap:true\nid:1\n\n%s",
                 bodies[i] ? bodies[i] : body);
        struct message *m = frame(text, strlen("MESSAGE\n"));
        struct message *told = message_with_gap(m);
        assert_ptr_not_equal(told, m);
        assert_string_equal((const char *)message_payload(told), expected);
        assert_int_equal(told->len - told->payload_off, strlen(expected) + 1);
        assert_string_equal((const char *)message_payload(m), text);
        struct message *again = message_with_gap(told);
        assert_ptr_equal(again, told);
        message_unref(again);
        message_unref(told);
        message_unref(m);
    }
}

static void test_a_pack_is_the_frames_one_behind_the_other(void **state)
{
    (void)state;
    struct message *first = frame("MESSAGE\n\na", 0);
    struct message *second = make(65536, false);
    first->next = second;
    struct message *pack = message_new_pack(first, first->len + second->len);
    assert_non_null(pack);
    assert_int_equal(pack->n_frames, 2);
    assert_int_equal(pack->len, first->len + second->len);
    assert_memory_equal(pack->bytes, first->bytes, first->len);
    assert_memory_equal(pack->bytes + first->len, second->bytes, second->len);
    message_unref(pack);
    message_unref(second);
    message_unref(first);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_header_is_as_wide_as_it_must_be),
        cmocka_unit_test(test_plain_is_the_frame_and_a_line_feed),
        cmocka_unit_test(test_plain_heartbeat_is_one_line_feed),
        cmocka_unit_test(test_a_close_frame_cuts_its_reason),
        cmocka_unit_test(test_a_gap_is_written_into_a_copy),
        cmocka_unit_test(test_a_pack_is_the_frames_one_behind_the_other),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
