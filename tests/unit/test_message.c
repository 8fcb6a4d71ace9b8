/* One message's bytes as a WebSocket and as plain TCP get them, at each width of the header. */
#include "gateway/fanout/message.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_header_is_as_wide_as_it_must_be),
        cmocka_unit_test(test_plain_is_the_frame_and_a_line_feed),
        cmocka_unit_test(test_plain_heartbeat_is_one_line_feed),
        cmocka_unit_test(test_a_close_frame_cuts_its_reason),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
