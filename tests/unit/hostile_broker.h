/* A broker that a test scripts: a server on a socket of the same loop, one frame at a time, with
 * dice to say what it does. For test_broker_hostile.c and test_private_hostile.c, which say how it
 * answers, how it misbehaves and what must hold.
 *
 * Before it includes this, each defines what its server knows of a channel, `struct served`, and
 * how many there are, N_SERVED. Its `struct world` begins with a `struct server`. */
#pragma once

#include "amqp/broker.h"
#include "amqp/codec.h"
#include "common/buf.h"
#include "common/log.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <amqp.h>
#include <amqp_framing.h>
#include <uv.h>

static unsigned chance = 1;

static unsigned dice(unsigned n)
{
    chance = chance * 1103515245u + 12345u;
    return (chance >> 8) % n;
}

/* One in so many allocations fails, where the test arranges for it; 0: none. */
static unsigned poverty;

struct peer {
    uv_tcp_t tcp;
    struct buf in;
    struct buf out;
    bool has_greeted;
    bool is_closing;
    struct served served[N_SERVED];
};

struct server {
    uv_loop_t loop;
    uv_tcp_t listener;
    uv_timer_t driver;
    char host[32];
    const char *hosts[1];
    struct broker *b;
    struct peer *last;
    unsigned chaos; /* one in so many answers is wrong; 0: none */
    unsigned turns;
    unsigned n_up;
    unsigned n_stopped;
};

struct world;

/* The test's own: what the server does about a frame. */
static void on_client_frame(struct world *w, struct peer *p, const struct codec_frame *f);

static amqp_bytes_t text(const char *s)
{
    return amqp_cstring_bytes(s);
}

/* The server has memory enough. */
static void say(struct peer *p, uint16_t channel, amqp_method_number_t id, void *method)
{
    unsigned kept = poverty;
    poverty = 0;
    assert_int_equal(codec_put_method(&p->out, channel, id, method, 4096), 0);
    poverty = kept;
}

static void say_bytes(struct peer *p, const void *bytes, size_t n)
{
    unsigned kept = poverty;
    poverty = 0;
    assert_int_equal(buf_append(&p->out, bytes, n), 0);
    poverty = kept;
}

static void on_peer_closed(uv_handle_t *handle)
{
    struct peer *p = handle->data;
    buf_fini(&p->in);
    buf_fini(&p->out);
    free(p);
}

static void hang_up(struct peer *p)
{
    struct server *s = p->tcp.loop->data;
    if (!p->is_closing) {
        p->is_closing = true;
        s->last = s->last == p ? NULL : s->last;
        uv_close((uv_handle_t *)&p->tcp, on_peer_closed);
    }
}

static void send_out(struct peer *p)
{
    while (p->out.len > 0 && !p->is_closing) {
        uv_buf_t bytes = uv_buf_init((char *)buf_data(&p->out), (unsigned)p->out.len);
        int n = uv_try_write((uv_stream_t *)&p->tcp, &bytes, 1);
        if (n <= 0) {
            break;
        }
        buf_consume(&p->out, (size_t)n);
    }
}

/* Right frames around wrong insides. */
static void say_odd_frame(struct peer *p, uint16_t channel)
{
    static const uint8_t types[] = {CODEC_METHOD, CODEC_HEADER, CODEC_BODY, CODEC_HEARTBEAT, 9};
    static const uint8_t classes[] = {10, 20, 40, 50, 60, 85, 90};
    uint8_t frame[80];
    size_t n = dice(60);
    for (size_t i = 0; i < n; i++) {
        frame[7 + i] = (uint8_t)dice(dice(3) ? 8 : 256);
    }
    if (n >= 4 && dice(4)) {
        frame[7] = 0;
        frame[8] = classes[dice(7)];
        frame[9] = 0;
        frame[10] = (uint8_t)(dice(13) * 10 + dice(2));
    }
    frame[0] = types[dice(5)];
    frame[1] = 0;
    frame[2] = (uint8_t)channel;
    frame[3] = frame[4] = frame[5] = 0;
    frame[6] = (uint8_t)n;
    frame[7 + n] = 0xce;
    say_bytes(p, frame, n + 8);
}

static void answer_connection(struct peer *p, uint16_t channel_max, amqp_method_number_t id)
{
    amqp_connection_tune_t tune = {
        .channel_max = channel_max, .frame_max = dice(2) ? 131072 : 4096, .heartbeat = 60};
    amqp_connection_open_ok_t open_ok = {.known_hosts = amqp_empty_bytes};
    amqp_connection_close_ok_t close_ok = {0};
    if (id == AMQP_CONNECTION_START_OK_METHOD) {
        say(p, 0, AMQP_CONNECTION_TUNE_METHOD, &tune);
    } else if (id == AMQP_CONNECTION_OPEN_METHOD) {
        say(p, 0, AMQP_CONNECTION_OPEN_OK_METHOD, &open_ok);
    } else if (id == AMQP_CONNECTION_CLOSE_METHOD) {
        say(p, 0, AMQP_CONNECTION_CLOSE_OK_METHOD, &close_ok);
    }
}

static void greet(struct peer *p)
{
    amqp_connection_start_t start = {
        .version_minor = 9, .mechanisms = text("PLAIN"), .locales = text("en_US")};
    assert_memory_equal(buf_data(&p->in), "AMQP\0\0\11\1", 8);
    buf_consume(&p->in, 8);
    p->has_greeted = true;
    say(p, 0, AMQP_CONNECTION_START_METHOD, &start);
}

static void on_peer_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *room)
{
    struct peer *p = handle->data;
    unsigned kept = poverty;
    (void)suggested;
    poverty = 0;
    *room = uv_buf_init((char *)buf_reserve(&p->in, 65536), 65536);
    poverty = kept;
}

static void on_peer_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *room)
{
    struct peer *p = stream->data;
    struct world *w = stream->loop->data;
    (void)room;
    if (n < 0) {
        hang_up(p);
        return;
    }
    buf_commit(&p->in, (size_t)n);
    if (!p->has_greeted && p->in.len >= 8) {
        greet(p);
    }
    while (p->has_greeted && !p->is_closing) {
        struct codec_frame frame;
        ssize_t used = codec_next(buf_data(&p->in), p->in.len, 1 << 24, &frame);
        assert_true(used >= 0); /* what the client writes is always well formed */
        if (used == 0) {
            break;
        }
        on_client_frame(w, p, &frame);
        buf_consume(&p->in, (size_t)used);
    }
    send_out(p);
}

static void on_connection(uv_stream_t *listener, int status)
{
    struct server *s = listener->loop->data;
    assert_int_equal(status, 0);
    struct peer *p = calloc(1, sizeof(*p));
    uv_tcp_init(&s->loop, &p->tcp);
    p->tcp.data = p;
    assert_int_equal(uv_accept(listener, (uv_stream_t *)&p->tcp), 0);
    uv_read_start((uv_stream_t *)&p->tcp, on_peer_alloc, on_peer_read);
    s->last = p;
}

/* `owner` is a world: it begins with its server. */
static void on_state(void *owner, enum broker_state state)
{
    ((struct server *)owner)->n_up += state == BROKER_UP;
}

static void on_stopped(void *owner)
{
    ((struct server *)owner)->n_stopped++;
}

/* Listens; gives the options to reach it, which borrow from `s`. */
static struct broker_options server_listen(struct server *s)
{
    struct sockaddr_in address;
    int len = sizeof(address);
    uv_loop_init(&s->loop);
    s->loop.data = s;
    uv_tcp_init(&s->loop, &s->listener);
    uv_ip4_addr("127.0.0.1", 0, &address);
    assert_int_equal(uv_tcp_bind(&s->listener, (struct sockaddr *)&address, 0), 0);
    assert_int_equal(uv_listen((uv_stream_t *)&s->listener, 8, on_connection), 0);
    uv_tcp_getsockname(&s->listener, (struct sockaddr *)&address, &len);
    snprintf(s->host, sizeof(s->host), "127.0.0.1:%u", (unsigned)ntohs(address.sin_port));
    s->hosts[0] = s->host;
    return (struct broker_options){.hosts = s->hosts,
                                   .n_hosts = 1,
                                   .vhost = "/",
                                   .user = "u",
                                   .password = "p",
                                   .name = "hostile",
                                   .heartbeat_s = 60,
                                   .reconnect_min_ms = 1,
                                   .reconnect_max_ms = 2};
}

/* In the last turn. */
static void server_stop(struct server *s)
{
    uv_close((uv_handle_t *)&s->driver, NULL);
    broker_stop(s->b, on_stopped);
}

/* From the start of `s->b` until it has stopped and nothing is left. */
static void server_run(struct server *s, uv_timer_cb on_turn)
{
    broker_start(s->b);
    uv_timer_init(&s->loop, &s->driver);
    s->driver.data = s;
    uv_timer_start(&s->driver, on_turn, 1, 1);
    while (!s->n_stopped) {
        uv_run(&s->loop, UV_RUN_ONCE);
    }
    poverty = 0;
    broker_free(s->b);
    if (s->last) {
        hang_up(s->last);
    }
    uv_close((uv_handle_t *)&s->listener, NULL);
    uv_run(&s->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&s->loop), 0);
    assert_int_equal(s->n_stopped, 1);
}
