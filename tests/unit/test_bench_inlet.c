#include "bench/inlet.h"
#include "bench/websocket.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define LONG_BYTES (3u * INLET_LONG)

struct taken {
    unsigned frames;
    size_t bytes; /* of payload, each of which was the frame's number */
    size_t given; /* to the taker, each time anew */
    int says_closed;
};

static size_t take(void *owner, uint8_t *bytes, size_t len)
{
    struct taken *t = owner;
    struct websocket_frame frame;
    size_t taken = 0;
    size_t n;
    t->given += len;
    while ((n = websocket_take(bytes + taken, len - taken, &frame)) > 0) {
        for (size_t i = 0; i < frame.len; i++) {
            assert_int_equal(frame.payload[i], t->frames & 255);
        }
        t->frames++;
        t->bytes += frame.len;
        taken += n;
    }
    return t->says_closed ? INLET_CLOSED : taken;
}

/* Frames of these lengths, behind each other. */
static uint8_t *make_stream(const size_t *lengths, unsigned n, size_t *len)
{
    size_t cap = 0;
    for (unsigned i = 0; i < n; i++) {
        cap += lengths[i] + WEBSOCKET_HEAD_MAX;
    }
    uint8_t *stream = malloc(cap);
    assert_non_null(stream);
    *len = 0;
    for (unsigned i = 0; i < n; i++) {
        *len += websocket_head(stream + *len, WEBSOCKET_TEXT, lengths[i], NULL);
        memset(stream + *len, (int)(i & 255), lengths[i]);
        *len += lengths[i];
    }
    return stream;
}

static void make_pair(int fds[2])
{
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
}

/* Pushes the stream through in pieces and reads after each. */
static struct taken pass(const size_t *lengths, unsigned n, size_t piece)
{
    struct inlet inlet = {0};
    struct bytes left = {0};
    struct taken taken = {0};
    int fds[2];
    size_t len;
    uint8_t *stream = make_stream(lengths, n, &len);
    make_pair(fds);
    struct inlet_socket socket = {.fd = fds[0], .left = &left, .owner = &taken};
    for (size_t at = 0; at < len;) {
        ssize_t sent = write(fds[1], stream + at, piece < len - at ? piece : len - at);
        assert_true(sent > 0);
        at += (size_t)sent;
        while (inlet_read(&inlet, socket, take) == INLET_READ) {
        }
    }
    assert_int_equal(left.len, 0);
    assert_null(left.mem);
    close(fds[1]);
    assert_int_equal(inlet_read(&inlet, socket, take), INLET_ENDED);
    assert_int_equal(errno, 0);
    close(fds[0]);
    free(stream);
    inlet_fini(&inlet);
    return taken;
}

static void test_frames_come_whole_however_they_are_cut(void **state)
{
    (void)state;
    const size_t lengths[] = {3, 200, 0, 126, LONG_BYTES, 5, INLET_LONG, 1};
    const size_t pieces[] = {7, 1000, 40000, 1000000};
    for (int i = 0; i < 4; i++) {
        struct taken taken = pass(lengths, 8, pieces[i]);
        assert_int_equal(taken.frames, 8);
        assert_int_equal(taken.bytes, 3 + 200 + 126 + LONG_BYTES + 5 + INLET_LONG + 1);
    }
}

/* The taker looks at a long frame when it begins and when it is whole. */
static void test_a_long_frame_is_not_looked_at_again_and_again(void **state)
{
    (void)state;
    const size_t lengths[] = {LONG_BYTES};
    struct taken taken = pass(lengths, 1, 1000);
    assert_int_equal(taken.frames, 1);
    assert_true(taken.given < LONG_BYTES + 2000);
}

static void test_a_frame_beyond_all_bounds_ends_the_socket(void **state)
{
    (void)state;
    struct inlet inlet = {0};
    struct bytes left = {0};
    struct taken taken = {0};
    uint8_t head[WEBSOCKET_HEAD_MAX];
    int fds[2];
    make_pair(fds);
    struct inlet_socket socket = {.fd = fds[0], .left = &left, .owner = &taken};
    size_t n = websocket_head(head, WEBSOCKET_TEXT, INLET_MAX + 1, NULL);
    assert_int_equal(write(fds[1], head, n), n);
    assert_int_equal(inlet_read(&inlet, socket, take), INLET_READ);
    assert_int_equal(inlet_read(&inlet, socket, take), INLET_ENDED);
    assert_int_equal(errno, EMSGSIZE);
    bytes_drop(&left, left.len);
    close(fds[0]);
    close(fds[1]);
    inlet_fini(&inlet);
}

static void test_a_taker_may_close_the_socket(void **state)
{
    (void)state;
    struct inlet inlet = {0};
    struct bytes left = {0};
    struct taken taken = {.says_closed = 1};
    int fds[2];
    make_pair(fds);
    struct inlet_socket socket = {.fd = fds[0], .left = &left, .owner = &taken};
    assert_int_equal(inlet_read(&inlet, socket, take), INLET_EMPTY);
    assert_int_equal(write(fds[1], "\x81\x05", 2), 2);
    assert_int_equal(inlet_read(&inlet, socket, take), INLET_GONE);
    assert_int_equal(left.len, 0);
    close(fds[0]);
    close(fds[1]);
    inlet_fini(&inlet);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_frames_come_whole_however_they_are_cut),
        cmocka_unit_test(test_a_long_frame_is_not_looked_at_again_and_again),
        cmocka_unit_test(test_a_frame_beyond_all_bounds_ends_the_socket),
        cmocka_unit_test(test_a_taker_may_close_the_socket),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
