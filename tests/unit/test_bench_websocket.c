#include "bench/websocket.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const uint8_t MASK[4] = {1, 2, 3, 4};

static void test_a_frame_is_taken_when_it_is_whole(void **state)
{
    (void)state;
    const size_t lengths[] = {0, 1, 7, 8, 125, 126, 65535, 65536};
    for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        size_t len = lengths[i];
        uint8_t *bytes = malloc(WEBSOCKET_HEAD_MAX + len);
        struct websocket_frame frame;
        assert_non_null(bytes);
        size_t head = websocket_head(bytes, WEBSOCKET_BINARY, len, MASK);
        memset(bytes + head, 'x', len);
        websocket_mask(bytes + head, len, MASK);
        assert_true(len == 0 || bytes[head] == ('x' ^ 1));
        assert_int_equal(websocket_take(bytes, head + len - 1, &frame), 0);
        assert_int_equal(websocket_length(bytes, head - 1), 0);
        assert_int_equal(websocket_length(bytes, head), head + len);
        assert_int_equal(websocket_take(bytes, head + len, &frame), head + len);
        assert_int_equal(frame.opcode, WEBSOCKET_BINARY);
        assert_int_equal(frame.len, len);
        for (size_t at = 0; at < len; at++) {
            assert_int_equal(frame.payload[at], 'x');
        }
        free(bytes);
    }
}

/* RFC 6455, 5.7, and the same twice as long. */
static void test_a_mask_goes_over_byte_by_byte(void **state)
{
    (void)state;
    static const uint8_t RFC_MASK[4] = {0x37, 0xfa, 0x21, 0x3d};
    uint8_t hello[] = {'H', 'e', 'l', 'l', 'o'};
    uint8_t zeros[10] = {0};
    websocket_mask(hello, 5, RFC_MASK);
    assert_memory_equal(hello, "\x7f\x9f\x4d\x51\x58", 5);
    websocket_mask(zeros, 10, RFC_MASK);
    assert_memory_equal(zeros, "\x37\xfa\x21\x3d\x37\xfa\x21\x3d\x37\xfa", 10);
}

static void test_an_absurd_length_is_not_taken(void **state)
{
    (void)state;
    uint8_t bytes[] = {0x82, 127, 255, 255, 255, 255, 255, 255, 255, 255, 0, 0};
    struct websocket_frame frame;
    assert_int_equal(websocket_take(bytes, sizeof(bytes), &frame), 0);
    assert_true(websocket_length(bytes, sizeof(bytes)) == UINT64_MAX);
}

static void test_a_handshake_wants_101_and_the_right_key(void **state)
{
    (void)state;
    static const char GOOD[] =
        "HTTP/1.1 101 Switching\r\nSec-WebSocket-Accept: " WEBSOCKET_ACCEPT "\r\n\r\n";
    static const char REFUSED[] = "HTTP/1.1 403 Forbidden\r\n\r\n";
    static const char FOREIGN[] = "HTTP/1.1 101 Switching\r\nSec-WebSocket-Accept: a\r\n\r\n";
    assert_int_equal(websocket_answer(GOOD, sizeof(GOOD) - 1), sizeof(GOOD) - 1);
    assert_int_equal(websocket_answer(GOOD, sizeof(GOOD) - 2), 0);
    assert_int_equal(websocket_answer(REFUSED, sizeof(REFUSED) - 1), -1);
    assert_int_equal(websocket_answer(FOREIGN, sizeof(FOREIGN) - 1), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_frame_is_taken_when_it_is_whole),
        cmocka_unit_test(test_a_mask_goes_over_byte_by_byte),
        cmocka_unit_test(test_an_absurd_length_is_not_taken),
        cmocka_unit_test(test_a_handshake_wants_101_and_the_right_key),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
