/* The plain AMQP clients, each with a connection of its own. */
#include "bench/recover/recover.h"

#include <amqp_tcp_socket.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define OTHER_EXCHANGE "bench.recover.other"
#define BIND_EVERY_NS 50000000ull

static void fatal(const char *what)
{
    fprintf(stderr, "recover: %s\n", what);
    exit(1);
}

static void check(amqp_rpc_reply_t reply, const char *what)
{
    if (reply.reply_type != AMQP_RESPONSE_NORMAL) {
        fatal(what);
    }
}

static amqp_bytes_t text_bytes(const char *text)
{
    return amqp_cstring_bytes(text);
}

amqp_connection_state_t amqp_dial(const struct recover_options *o, const char *name)
{
    amqp_connection_state_t c = amqp_new_connection();
    amqp_socket_t *socket = c ? amqp_tcp_socket_new(c) : NULL;
    if (!socket || amqp_socket_open(socket, o->host, (int)o->amqp_port) != AMQP_STATUS_OK) {
        fatal("no AMQP connection");
    }
    amqp_table_entry_t entry = {.key = text_bytes("connection_name")};
    entry.value.kind = AMQP_FIELD_KIND_UTF8;
    entry.value.value.bytes = text_bytes(name);
    amqp_table_t properties = {1, &entry};
    check(amqp_login_with_properties(c, "/", 0, 131072, 0, &properties, AMQP_SASL_METHOD_PLAIN,
                                     "guest", "guest"),
          "AMQP login");
    amqp_channel_open(c, 1);
    check(amqp_get_rpc_reply(c), "channel.open");
    return c;
}

static void hang_up(amqp_connection_state_t c)
{
    amqp_connection_close(c, AMQP_REPLY_SUCCESS);
    amqp_destroy_connection(c);
}

static void sleep_until(uint64_t at_ns)
{
    struct timespec t = {.tv_sec = (time_t)(at_ns / 1000000000),
                         .tv_nsec = (long)(at_ns % 1000000000)};
    clock_nanosleep(CLOCK_REALTIME, TIMER_ABSTIME, &t, NULL);
}

static void add_sample(struct recover_samples *s, uint64_t at_ns, uint64_t took_ns)
{
    if (s->n < s->cap) {
        s->all[s->n++] = (struct recover_sample){at_ns, took_ns};
    }
}

/* ---- Marks ---- */

static void send_mark(struct recover *run, amqp_connection_state_t c, unsigned room)
{
    unsigned mark = atomic_load(&run->n_marks);
    if (mark >= run->options.max_marks) {
        return;
    }
    char key[128];
    char body[32];
    snprintf(key, sizeof key, "%s%u", run->options.prefix, room);
    snprintf(body, sizeof body, "%u", mark);
    run->marks[mark].room = room;
    run->marks[mark].sent_ns = recover_now_ns();
    atomic_store(&run->n_marks, mark + 1);
    if (amqp_basic_publish(c, 1, text_bytes(run->options.exchange), text_bytes(key), 0, 0, NULL,
                           text_bytes(body)) != AMQP_STATUS_OK) {
        fatal("basic.publish");
    }
}

void *publisher_run(void *arg)
{
    struct recover *run = arg;
    amqp_connection_state_t c = amqp_dial(&run->options, "recover publisher");
    uint64_t next_ns = recover_now_ns();
    while (!atomic_load(&run->is_over)) {
        if (atomic_load(&run->is_sweeping)) {
            for (unsigned room = 0; room < run->options.rooms; room++) {
                send_mark(run, c, room);
            }
            atomic_store(&run->is_sweeping, false);
            next_ns = recover_now_ns();
        } else if (atomic_load(&run->is_publishing)) {
            send_mark(run, c, (unsigned)(random() % run->options.rooms));
        }
        next_ns += 1000000000ull / run->options.rate;
        sleep_until(next_ns);
    }
    hang_up(c);
    return NULL;
}

/* ---- The bystander ---- */

static void own_topology(amqp_connection_state_t c)
{
    amqp_exchange_declare(c, 1, text_bytes(OTHER_EXCHANGE), text_bytes("topic"), 0, 0, 0, 0,
                          amqp_empty_table);
    check(amqp_get_rpc_reply(c), "exchange.declare");
}

static amqp_bytes_t own_queue(amqp_connection_state_t c)
{
    amqp_table_entry_t entry = {.key = text_bytes("x-max-length")};
    entry.value.kind = AMQP_FIELD_KIND_I64;
    entry.value.value.i64 = 1000;
    amqp_table_t arguments = {1, &entry};
    amqp_queue_declare_ok_t *ok = amqp_queue_declare(c, 1, amqp_empty_bytes, 0, 0, 1, 1, arguments);
    check(amqp_get_rpc_reply(c), "queue.declare");
    return amqp_bytes_malloc_dup(ok->queue);
}

static void await_confirm(amqp_connection_state_t c)
{
    amqp_frame_t frame;
    do {
        amqp_maybe_release_buffers(c);
        if (amqp_simple_wait_frame(c, &frame) != AMQP_STATUS_OK) {
            fatal("the bystander's connection is gone");
        }
    } while (frame.frame_type != AMQP_FRAME_METHOD ||
             frame.payload.method.id != AMQP_BASIC_ACK_METHOD);
}

/* Counted from when it should have been sent: what a stall holds up is late as well. */
void *bystander_run(void *arg)
{
    struct recover *run = arg;
    amqp_connection_state_t c = amqp_dial(&run->options, "recover bystander");
    own_topology(c);
    amqp_bytes_t queue = own_queue(c);
    amqp_queue_bind(c, 1, queue, text_bytes(OTHER_EXCHANGE), text_bytes("published"),
                    amqp_empty_table);
    check(amqp_get_rpc_reply(c), "queue.bind");
    amqp_confirm_select(c, 1);
    check(amqp_get_rpc_reply(c), "confirm.select");
    for (uint64_t next_ns = recover_now_ns(); !atomic_load(&run->is_over);) {
        next_ns += 1000000000ull / run->options.bystander_rate;
        sleep_until(next_ns);
        if (amqp_basic_publish(c, 1, text_bytes(OTHER_EXCHANGE), text_bytes("published"), 0, 0,
                               NULL, text_bytes("a word to somebody else")) != AMQP_STATUS_OK) {
            fatal("the bystander's publish");
        }
        await_confirm(c);
        add_sample(&run->confirms, next_ns, recover_now_ns() - next_ns);
    }
    amqp_bytes_free(queue);
    hang_up(c);
    return NULL;
}

void *binder_run(void *arg)
{
    struct recover *run = arg;
    amqp_connection_state_t c = amqp_dial(&run->options, "recover binder");
    own_topology(c);
    amqp_bytes_t queue = own_queue(c);
    for (uint64_t next_ns = recover_now_ns(); !atomic_load(&run->is_over);) {
        next_ns += BIND_EVERY_NS;
        sleep_until(next_ns);
        uint64_t at_ns = recover_now_ns();
        amqp_queue_bind(c, 1, queue, text_bytes(OTHER_EXCHANGE), text_bytes("bound.now"),
                        amqp_empty_table);
        check(amqp_get_rpc_reply(c), "queue.bind");
        amqp_queue_unbind(c, 1, queue, text_bytes(OTHER_EXCHANGE), text_bytes("bound.now"),
                          amqp_empty_table);
        check(amqp_get_rpc_reply(c), "queue.unbind");
        add_sample(&run->binds, at_ns, recover_now_ns() - at_ns);
        next_ns = recover_now_ns();
        amqp_maybe_release_buffers(c);
    }
    amqp_bytes_free(queue);
    hang_up(c);
    return NULL;
}
