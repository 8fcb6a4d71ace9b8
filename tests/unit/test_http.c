#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>
#include <uv.h>

#include "common/log.h"
#include "persist/http.h"

#define TURNS_MAX 2000

struct world {
    uv_loop_t loop;
    struct http *http;
    int port;
    int n_answers;
    char path[256];
};

static int answer(void *owner, struct slice path, struct buf *body)
{
    struct world *w = owner;
    w->n_answers++;
    snprintf(w->path, sizeof(w->path), "%.*s", (int)path.len, path.ptr);
    if (slice_is(path, "/empty")) {
        return 503;
    }
    assert_int_equal(buf_append(body, "hello\n", 6), 0);
    return slice_is(path, "/ok") ? 200 : 404;
}

static void find_port(uv_handle_t *handle, void *arg)
{
    struct world *w = arg;
    struct sockaddr_in address;
    int len = sizeof(address);
    if (handle->type == UV_TCP &&
        uv_tcp_getsockname((uv_tcp_t *)handle, (struct sockaddr *)&address, &len) == 0) {
        w->port = ntohs(address.sin_port);
    }
}

static int open_world(void **state)
{
    struct world *w = calloc(1, sizeof(*w));
    assert_non_null(w);
    log_set_level(LOG_ERROR);
    assert_int_equal(uv_loop_init(&w->loop), 0);
    w->http = http_new(&w->loop, "127.0.0.1", 0, answer, w);
    assert_non_null(w->http);
    uv_walk(&w->loop, find_port, w);
    assert_true(w->port > 0);
    *state = w;
    return 0;
}

static int close_world(void **state)
{
    struct world *w = *state;
    http_free(w->http);
    uv_run(&w->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&w->loop), 0);
    free(w);
    return 0;
}

static int dial(const struct world *w)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)w->port),
                                  .sin_addr = {htonl(INADDR_LOOPBACK)}};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    return fd;
}

static void turn(struct world *w)
{
    uv_run(&w->loop, UV_RUN_NOWAIT);
    usleep(500);
}

/* All that comes until the other side closes; -1 when it does not. */
static ssize_t read_all(struct world *w, int fd, char *text, size_t size)
{
    size_t len = 0;
    for (int i = 0; i < TURNS_MAX; i++) {
        turn(w);
        ssize_t n = recv(fd, text + len, size - 1 - len, MSG_DONTWAIT);
        if (n == 0 || (n < 0 && errno == ECONNRESET)) {
            text[len] = '\0';
            return (ssize_t)len;
        }
        len += n > 0 ? (size_t)n : 0;
    }
    return -1;
}

static void ask(struct world *w, const char *request, char *text, size_t size)
{
    int fd = dial(w);
    for (const char *p = request; *p != '\0'; p++) { /* byte by byte */
        assert_int_equal(send(fd, p, 1, MSG_NOSIGNAL), 1);
        uv_run(&w->loop, UV_RUN_NOWAIT);
    }
    assert_true(read_all(w, fd, text, size) >= 0);
    close(fd);
}

static void test_http_answers(void **state)
{
    struct world *w = *state;
    char text[1024];
    ask(w, "GET /ok HTTP/1.1\r\nHost: x\r\n\r\n", text, sizeof(text));
    assert_non_null(strstr(text, "HTTP/1.1 200 OK\r\n"));
    assert_non_null(strstr(text, "Content-Length: 6\r\n"));
    assert_non_null(strstr(text, "\r\n\r\nhello\n"));
    assert_string_equal(w->path, "/ok");
    ask(w, "GET /other?x=1 HTTP/1.0\r\n\r\n", text, sizeof(text));
    assert_non_null(strstr(text, "HTTP/1.1 404 Not Found\r\n"));
    assert_string_equal(w->path, "/other?x=1");
    ask(w, "GET /empty HTTP/1.1\r\n\r\n", text, sizeof(text));
    assert_non_null(strstr(text, "HTTP/1.1 503 Service Unavailable\r\n"));
    assert_non_null(strstr(text, "Content-Length: 0\r\n"));
}

static void test_http_refuses_what_is_no_get(void **state)
{
    static const char *const requests[] = {"POST /ok HTTP/1.1\r\n\r\n", "GET\r\n\r\n",
                                           "GET /ok\r\n\r\n",           "\r\n\r\n",
                                           "get /ok HTTP/1.1\r\n\r\n",  "GET\t/ok HTTP\r\n\r\n"};
    struct world *w = *state;
    char text[1024];
    for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++) {
        ask(w, requests[i], text, sizeof(text));
        assert_non_null(strstr(text, "HTTP/1.1 400 Bad Request\r\n"));
    }
    assert_int_equal(w->n_answers, 0);
}

static void test_http_closes_on_a_request_that_is_too_long(void **state)
{
    struct world *w = *state;
    char text[1024];
    int fd = dial(w);
    for (int i = 0; i < HTTP_REQUEST_MAX * 2; i++) {
        if (send(fd, "x", 1, MSG_NOSIGNAL) != 1) {
            break;
        }
        uv_run(&w->loop, UV_RUN_NOWAIT);
    }
    assert_int_equal(read_all(w, fd, text, sizeof(text)), 0);
    assert_int_equal(w->n_answers, 0);
    close(fd);
}

static void test_http_serves_a_handful(void **state)
{
    struct world *w = *state;
    int fds[HTTP_CONNECTIONS_MAX];
    char text[1024];
    for (int i = 0; i < HTTP_CONNECTIONS_MAX; i++) {
        fds[i] = dial(w);
        turn(w);
    }
    int one_more = dial(w);
    assert_int_equal(read_all(w, one_more, text, sizeof(text)), 0);
    close(one_more);
    close(fds[0]);
    for (int i = 0; i < 20; i++) {
        turn(w);
    }
    ask(w, "GET /ok HTTP/1.1\r\n\r\n", text, sizeof(text));
    assert_non_null(strstr(text, "HTTP/1.1 200 OK\r\n"));
    for (int i = 1; i < HTTP_CONNECTIONS_MAX; i++) {
        close(fds[i]);
    }
}

static void test_http_port_in_use_fails(void **state)
{
    struct world *w = *state;
    assert_null(http_new(&w->loop, "127.0.0.1", w->port, answer, w));
    assert_null(http_new(&w->loop, "not an address", 0, answer, w));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_http_answers, open_world, close_world),
        cmocka_unit_test_setup_teardown(test_http_refuses_what_is_no_get, open_world, close_world),
        cmocka_unit_test_setup_teardown(test_http_closes_on_a_request_that_is_too_long, open_world,
                                        close_world),
        cmocka_unit_test_setup_teardown(test_http_serves_a_handful, open_world, close_world),
        cmocka_unit_test_setup_teardown(test_http_port_in_use_fails, open_world, close_world),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
