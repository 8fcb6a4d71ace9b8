/* The bytes of a MESSAGE and of its WebSocket frame, and who gets which: message.c, encode.c,
 * audience.c. */
#include "gateway/fanout/audience.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct config *config;

static int load_config(void **state)
{
    (void)state;
    char *errors = NULL;
    config = config_load(NULL, &errors);
    return config ? 0 : -1;
}

static int free_config(void **state)
{
    (void)state;
    config_free(config);
    return 0;
}

static struct slice s(const char *text)
{
    return slice_of(text);
}

static struct broker_delivery delivery(const char *key, const char *body)
{
    return (struct broker_delivery){
        .exchange = s("amq.topic"),
        .routing_key = s(key),
        .body = s(body),
        .properties = {.message_id = s("id-1")},
    };
}

/* ---- WebSocket headers ---- */

static void check_length(size_t len, size_t header_len, const uint8_t *header)
{
    struct message *m = message_new(len, false);
    assert_non_null(m);
    assert_int_equal(m->payload_off, header_len);
    assert_int_equal(m->len, header_len + len);
    assert_memory_equal(m->bytes, header, header_len);
    message_unref(m);
}

static void test_payload_lengths_have_three_forms(void **state)
{
    (void)state;
    check_length(0, 2, (const uint8_t[]){0x82, 0});
    check_length(125, 2, (const uint8_t[]){0x82, 125});
    check_length(126, 4, (const uint8_t[]){0x82, 126, 0, 126});
    check_length(65535, 4, (const uint8_t[]){0x82, 126, 0xff, 0xff});
    check_length(65536, 10, (const uint8_t[]){0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0});
}

static void test_a_close_frame_has_code_and_reason(void **state)
{
    (void)state;
    struct message *m = message_new_close(4500, "slow\nconsumer");
    assert_memory_equal(m->bytes, "\x88\x0f\x11\x94slow consumer", m->len);
    message_unref(m);
    char reason[300];
    memset(reason, 'x', sizeof reason);
    reason[299] = 0;
    m = message_new_close(1000, reason);
    assert_int_equal(m->len, 2 + 125);
    message_unref(m);
}

/* ---- MESSAGE ---- */

static void check_message(struct broker_delivery *d, enum stomp_version version, struct slice id,
                          bool gap, const char *expected, size_t expected_len)
{
    struct encoder e;
    encoder_init(&e, d, "fresh");
    struct message *m = encode_message(&e, version, id, s("/topic/a"), gap, ENCODE_AUTO);
    assert_non_null(m);
    assert_int_equal(m->len - m->payload_off, expected_len);
    assert_memory_equal(message_payload(m), expected, expected_len);
    message_unref(m);
    encoder_fini(&e);
}

#define CHECK(d, version, id, gap, expected)                                                       \
    check_message(d, version, id, gap, expected, sizeof(expected) - 1 + 1)

static void test_headers_stand_in_the_order_of_the_contract(void **state)
{
    (void)state;
    struct broker_delivery d = delivery("a", "hi");
    struct broker_header headers[] = {
        {s("k"), s("v")}, {s("x-stompgate-user"), s("ann")}, {s("ack"), s("forged")}};
    d.properties.headers = headers;
    d.properties.n_headers = 3;
    d.properties.content_type = s("text/plain");
    d.properties.has_delivery_mode = true;
    d.properties.delivery_mode = 2;
    CHECK(&d, STOMP_1_2, s("sub-0"), false,
          "MESSAGE\nsubscription:sub-0\ndestination:/topic/"
          "a\nmessage-id:id-1\nredelivered:false\nk:v\n"
          "persistent:true\ncontent-type:text/plain\ncontent-length:2\n\nhi");
}

static void test_a_gap_is_told(void **state)
{
    (void)state;
    struct broker_delivery d = delivery("a", "");
    CHECK(&d, STOMP_1_2, s("s"), true,
          "MESSAGE\nsubscription:s\ndestination:/topic/"
          "a\ngap:true\nmessage-id:id-1\nredelivered:false\n\n");
}

static void test_without_an_id_there_is_no_subscription_header(void **state)
{
    (void)state;
    struct broker_delivery d = delivery("a", "");
    CHECK(&d, STOMP_1_0, (struct slice){0}, false,
          "MESSAGE\ndestination:/topic/a\nmessage-id:id-1\nredelivered:false\n\n");
}

static void test_client_acks_have_their_headers(void **state)
{
    (void)state;
    struct broker_delivery d = delivery("a", "hi");
    struct broker_header header = {s("amqp-message-id"), s("forged")};
    d.properties.headers = &header;
    d.properties.n_headers = 1;
    d.properties.expiration = s("5");
    struct encoder e;
    encoder_init(&e, &d, "fresh");
    e.message_id = e.ack = s("T_s@@n@@1");
    e.amqp_message_id = s("id-1");
    struct message *m = encode_message(&e, STOMP_1_2, s("s"), s("/queue/a"), false, ENCODE_AUTO);
    assert_string_equal((const char *)message_payload(m),
                        "MESSAGE\nsubscription:s\ndestination:/queue/a\nmessage-id:T_s@@n@@1\n"
                        "redelivered:false\nack:T_s@@n@@1\namqp-message-id:id-1\nexpiration:5\n"
                        "content-length:2\n\nhi");
    message_unref(m);
    encoder_fini(&e);
}

static void check_reply_to(const char *reply_to, const char *expected)
{
    struct broker_delivery d = delivery("a", "");
    d.properties.reply_to = s(reply_to);
    struct encoder e;
    encoder_init(&e, &d, "fresh");
    struct message *m = encode_message(&e, STOMP_1_2, s("s"), s("/topic/a"), false, ENCODE_AUTO);
    char *at = strstr((char *)message_payload(m), "\nreply-to:") + strlen("\nreply-to:");
    at[strcspn(at, "\n")] = 0;
    assert_string_equal(at, expected);
    message_unref(m);
    encoder_fini(&e);
}

static void test_reply_to_becomes_a_destination(void **state)
{
    (void)state;
    check_reply_to("amq.gen-x", "/reply-queue/amq.gen-x");
    check_reply_to("/temp-queue/x", "/reply-queue//temp-queue/x");
    check_reply_to("/queue/x", "/queue/x");
    check_reply_to("/amq/queue/x", "/amq/queue/x");
    check_reply_to("/exchange/x", "/exchange/x");
    check_reply_to("/topic/x", "/topic/x");
    check_reply_to("/reply-queue/x", "/reply-queue/x");
    char longest[256];
    memset(longest, 'x', 255);
    longest[255] = 0;
    char expected[300] = "/reply-queue/";
    strcat(expected, longest);
    check_reply_to(longest, expected);
}

static void test_escapes_follow_the_version(void **state)
{
    (void)state;
    struct broker_delivery d = delivery("a", "");
    struct broker_header header = {s("k"), s("a:b\nc\\d")};
    d.properties.headers = &header;
    d.properties.n_headers = 1;
    CHECK(&d, STOMP_1_2, s("s"), false,
          "MESSAGE\nsubscription:s\ndestination:/topic/"
          "a\nmessage-id:id-1\nredelivered:false\nk:a\\cb\\nc\\\\d\n\n");
    CHECK(&d, STOMP_1_0, s("s"), false,
          "MESSAGE\nsubscription:s\ndestination:/topic/"
          "a\nmessage-id:id-1\nredelivered:false\nk:a:bc\\d\n\n");
}

static void test_a_message_without_an_id_gets_a_fresh_one(void **state)
{
    (void)state;
    struct broker_delivery d = delivery("a", "");
    d.properties.message_id = (struct slice){0};
    CHECK(&d, STOMP_1_2, s("s"), false,
          "MESSAGE\nsubscription:s\ndestination:/topic/a\nmessage-id:fresh\nredelivered:false\n\n");
}

static uint8_t opcode_of(struct broker_delivery *d, enum encode_opcode opcode)
{
    struct encoder e;
    encoder_init(&e, d, "fresh");
    struct message *m = encode_message(&e, STOMP_1_2, s("s"), s("/topic/a"), false, opcode);
    uint8_t first = m->bytes[0];
    message_unref(m);
    encoder_fini(&e);
    return first;
}

static void test_text_is_what_is_utf8_in_body_and_headers(void **state)
{
    (void)state;
    struct broker_delivery d = delivery("a", "\xf0\x9f\x98\x80");
    assert_int_equal(opcode_of(&d, ENCODE_AUTO), 0x81);
    d.body = s("\xff");
    assert_int_equal(opcode_of(&d, ENCODE_AUTO), 0x82);
    assert_int_equal(opcode_of(&d, ENCODE_TEXT), 0x81);
    d.body = s("x");
    struct broker_header header = {s("k"), s("\xc3")};
    d.properties.headers = &header;
    d.properties.n_headers = 1;
    assert_int_equal(opcode_of(&d, ENCODE_AUTO), 0x82);
    d.properties.n_headers = 0;
    assert_int_equal(opcode_of(&d, ENCODE_BINARY), 0x82);
}

static void check_spelling(const char *told, const char *exchange, const char *key,
                           const char *expected)
{
    struct broker_delivery d = delivery(key, "");
    struct broker_header header = {s(ENCODE_DESTINATION), s(told)};
    d.properties.headers = &header;
    d.properties.n_headers = 1;
    struct encoder e;
    encoder_init(&e, &d, "fresh");
    struct slice spelling = encoder_spelling(&e, config, exchange);
    assert_int_equal(spelling.len, strlen(expected));
    assert_memory_equal(spelling.ptr, expected, spelling.len);
    encoder_fini(&e);
}

static void test_the_senders_spelling_counts_only_where_it_means_the_same(void **state)
{
    (void)state;
    check_spelling("/topic/a/b", "amq.topic", "a.b", "/topic/a/b");
    check_spelling("/topic/a.c", "amq.topic", "a.b", "/topic/a.b"); /* forged */
    check_spelling("/fanout/a", "amq.topic", "a.b", "/topic/a.b");  /* another exchange */
    check_spelling("nonsense", "amq.topic", "a.b", "/topic/a.b");
    check_spelling("", "amq.topic", "x/y", "/topic/x%2Fy");
}

/* Each byte of either may take three. */
static void test_the_longest_names_still_make_a_spelling(void **state)
{
    (void)state;
    char name[256];
    memset(name, '/', 255);
    name[255] = '\0';
    struct encoder e;
    struct broker_delivery d = delivery(name, "x");
    d.exchange = s(name);
    encoder_init(&e, &d, "");
    assert_int_equal(encoder_spelling(&e, config, name).len, 10 + 765 + 1 + 765);
    assert_int_equal(encoder_pair_spelling(&e, config).len, 10 + 765 + 1 + 765);
    encoder_fini(&e);
}

static void test_the_name_of_a_queue_that_is_not_utf8_makes_a_binary_message(void **state)
{
    (void)state;
    struct encoder e;
    struct broker_delivery d = delivery("caf\xe9", "x");
    d.exchange = s("");
    encoder_init(&e, &d, "");
    struct slice spelling = encoder_pair_spelling(&e, config);
    assert_true(slice_is(spelling, "/queue/caf\xe9"));
    struct message *m =
        encode_message(&e, STOMP_1_2, s("/temp-queue/x"), spelling, false, ENCODE_AUTO);
    assert_int_equal(m->bytes[0], 0x82);
    message_unref(m);
    encoder_fini(&e);
}

static void test_a_spelling_that_is_not_utf8_makes_a_binary_message(void **state)
{
    (void)state;
    struct broker_delivery d = delivery("bad\xff", "x");
    struct encoder e;
    encoder_init(&e, &d, "fresh");
    struct slice spelling = encoder_spelling(&e, config, "amq.topic");
    struct message *m = encode_message(&e, STOMP_1_2, s("s"), spelling, false, ENCODE_AUTO);
    assert_int_equal(m->bytes[0], 0x82);
    message_unref(m);
    encoder_fini(&e);
}

/* ---- Who gets it ---- */

struct listener {
    struct subscriber subscriber;
    struct outq outq;
    unsigned n_over;
};

static struct outq_dirty dirty;
static struct audience_sink sink;

static void listen_to(struct listener *l, struct room *room, const char *id, const char *spelling,
                      size_t limit)
{
    memset(l, 0, sizeof *l);
    outq_init(&l->outq, limit, &dirty);
    list_init(&l->subscriber.waiting);
    l->subscriber.version = STOMP_1_2;
    l->subscriber.id = s(id);
    l->subscriber.spelling = s(spelling);
    l->subscriber.outq = &l->outq;
    l->subscriber.owner = l;
    assert_int_equal(room_join(room, &l->subscriber), 0);
}

static void leave(struct listener *l)
{
    room_leave(&l->subscriber);
    outq_fini(&l->outq);
}

static void over(void *owner)
{
    ((struct listener *)owner)->n_over++;
}

/* One message of a pass. */
static size_t give(struct audience *a, const char *key)
{
    struct broker_delivery d = delivery(key, "body");
    struct encoder e;
    encoder_init(&e, &d, "fresh");
    size_t n_rooms = audience_deliver(a, &e, d.routing_key);
    encoder_fini(&e);
    return n_rooms;
}

/* A pass of one message: returns how many were queued. */
static uint64_t deliver(struct audience *a, const char *key)
{
    uint64_t before = sink.queued;
    give(a, key);
    audience_settle(&sink);
    return sink.queued - before;
}

static void test_members_of_a_cohort_share_one_frame(void **state)
{
    (void)state;
    outq_dirty_init(&dirty);
    audience_sink_init(&sink, over, NULL);
    struct audience a;
    audience_init(&a, config, "amq.topic", OUTQ_CLOSE, &sink);
    struct room *room = audience_add(&a, s("r"), false);
    struct listener l[4];
    listen_to(&l[0], room, "sub-0", "/topic/r", 1000);
    listen_to(&l[1], room, "sub-0", "/topic/r", 1000);
    listen_to(&l[2], room, "sub-1", "/topic/r", 1000);
    listen_to(&l[3], room, "sub-0", "/exchange/amq.topic/r", 1000);
    assert_int_equal(deliver(&a, "r"), 4);
    assert_ptr_equal(outq_first(&l[0].outq), outq_first(&l[1].outq));
    assert_int_equal(outq_first(&l[0].outq)->refs, 2);
    assert_ptr_not_equal(outq_first(&l[0].outq), outq_first(&l[2].outq));
    assert_ptr_not_equal(outq_first(&l[0].outq), outq_first(&l[3].outq));
    assert_int_equal(deliver(&a, "other"), 0);
    for (int i = 0; i < 4; i++) {
        leave(&l[i]);
    }
    assert_true(room_is_empty(room));
    audience_remove(room);
    audience_fini(&a);
}

static size_t n_frames(const struct outq *q)
{
    size_t n = 0;
    for (uint32_t i = 0; i < q->n; i++) {
        n += outq_at(q, i)->n_frames;
    }
    return n;
}

/* A pass of several messages: one pack for all, but those without a WebSocket and those who are to
 * hear of a gap. */
static void test_a_pass_gives_each_member_one_pack(void **state)
{
    (void)state;
    outq_dirty_init(&dirty);
    audience_sink_init(&sink, over, NULL);
    struct audience a;
    audience_init(&a, config, "amq.topic", OUTQ_CLOSE, &sink);
    struct room *room = audience_add(&a, s("r"), false);
    struct listener l[4];
    for (int i = 0; i < 4; i++) {
        listen_to(&l[i], room, "s", "/topic/r", 100000);
    }
    l[2].outq.is_plain = true;
    l[3].outq.has_gap = true;
    for (int i = 0; i < 3; i++) {
        assert_int_equal(give(&a, "r"), 1);
    }
    assert_int_equal(l[0].outq.n, 0);
    audience_settle(&sink);
    assert_int_equal(sink.queued, 12);
    assert_int_equal(l[0].outq.n, 1);
    assert_int_equal(outq_first(&l[0].outq)->n_frames, 3);
    assert_ptr_equal(outq_first(&l[0].outq), outq_first(&l[1].outq));
    assert_int_equal(l[2].outq.n, 3);
    assert_int_equal(l[3].outq.n, 3);
    assert_non_null(strstr((const char *)message_payload(outq_at(&l[3].outq, 0)), "\ngap:true\n"));
    assert_null(strstr((const char *)message_payload(outq_at(&l[3].outq, 1)), "\ngap:true\n"));
    uint32_t at = 0;
    for (int i = 0; i < 3; i++) { /* the pack is those three */
        struct message *m = outq_at(&l[2].outq, (uint32_t)i);
        assert_memory_equal(outq_first(&l[0].outq)->bytes + at, m->bytes, m->len);
        at += m->len;
    }
    assert_int_equal(outq_first(&l[0].outq)->len, at);
    for (int i = 0; i < 4; i++) {
        leave(&l[i]);
    }
    audience_remove(room);
    audience_fini(&a);
}

static bool says_gap(const struct message *m)
{
    return strstr((const char *)m->bytes + m->payload_off, "\ngap:true\n") != NULL;
}

/* Not with the next pass: there may be none for long. */
static void test_who_loses_messages_in_a_pass_hears_of_it_in_the_same(void **state)
{
    (void)state;
    outq_dirty_init(&dirty);
    audience_sink_init(&sink, over, NULL);
    struct audience a;
    audience_init(&a, config, "amq.topic", OUTQ_DROP_OLDEST, &sink);
    struct room *room = audience_add(&a, s("r"), false);
    struct listener l[2];
    listen_to(&l[0], room, "s", "/topic/r", 1 << 20);
    listen_to(&l[1], room, "s", "/topic/r", 1000);
    while (!outq_is_full(&l[1].outq)) {
        deliver(&a, "r");
    }
    for (int i = 0; i < 3; i++) {
        give(&a, "r");
    }
    audience_settle(&sink);
    assert_true(l[1].outq.dropped > 0);
    bool is_told = false;
    for (uint32_t i = 0; i < l[1].outq.n; i++) {
        is_told = is_told || says_gap(outq_at(&l[1].outq, i));
    }
    assert_true(is_told);
    leave(&l[0]);
    leave(&l[1]);
    audience_remove(room);
    audience_fini(&a);
}

static void test_those_who_hear_of_a_gap_share_one_frame(void **state)
{
    (void)state;
    outq_dirty_init(&dirty);
    audience_sink_init(&sink, over, NULL);
    struct audience a;
    audience_init(&a, config, "amq.topic", OUTQ_DROP_OLDEST, &sink);
    struct room *room = audience_add(&a, s("r"), false);
    struct listener l[2];
    for (int i = 0; i < 2; i++) {
        listen_to(&l[i], room, "s", "/topic/r", 100000);
        l[i].outq.has_gap = true;
    }
    give(&a, "r");
    give(&a, "r");
    audience_settle(&sink);
    assert_true(says_gap(outq_first(&l[0].outq)));
    assert_ptr_equal(outq_first(&l[0].outq), outq_first(&l[1].outq));
    assert_int_equal(outq_first(&l[0].outq)->refs, 2);
    leave(&l[0]);
    leave(&l[1]);
    audience_remove(room);
    audience_fini(&a);
}

static void test_who_joins_or_leaves_within_a_pass(void **state)
{
    (void)state;
    outq_dirty_init(&dirty);
    audience_sink_init(&sink, over, NULL);
    struct audience a;
    audience_init(&a, config, "amq.topic", OUTQ_CLOSE, &sink);
    struct room *room = audience_add(&a, s("r"), false);
    struct listener first;
    struct listener second;
    listen_to(&first, room, "s", "/topic/r", 100000);
    give(&a, "r");
    listen_to(&second, room, "s", "/topic/r", 100000); /* not for this one */
    give(&a, "r");
    give(&a, "r");
    room_leave(&first.subscriber); /* has had all of them */
    give(&a, "r");
    audience_settle(&sink);
    assert_int_equal(n_frames(&first.outq), 3);
    assert_int_equal(n_frames(&second.outq), 3);
    give(&a, "r");
    leave(&second); /* the last: nothing stays pending for nobody */
    assert_true(list_is_empty(&sink.dirty));
    outq_fini(&first.outq);
    audience_remove(room);
    audience_fini(&a);
}

/* A pass is no longer than a write: what is more goes to the queues at once. */
static void test_a_long_pass_is_put_on_the_queues_in_between(void **state)
{
    (void)state;
    outq_dirty_init(&dirty);
    audience_sink_init(&sink, over, NULL);
    struct audience a;
    audience_init(&a, config, "amq.topic", OUTQ_CLOSE, &sink);
    struct room *room = audience_add(&a, s("r"), false);
    struct listener l[2];
    listen_to(&l[0], room, "s", "/topic/r", 1 << 20);
    listen_to(&l[1], room, "s", "/topic/r", 1 << 20);
    for (int i = 0; i < 2000; i++) {
        give(&a, "r");
    }
    assert_true(l[0].outq.n > 1);
    audience_settle(&sink);
    assert_int_equal(n_frames(&l[0].outq), 2000);
    for (uint32_t i = 0; i < l[0].outq.n; i++) {
        assert_in_range(outq_at(&l[0].outq, i)->len, 1, 64 * 1024);
    }
    leave(&l[0]);
    leave(&l[1]);
    audience_remove(room);
    audience_fini(&a);
}

static void test_each_matching_subscription_gets_a_copy(void **state)
{
    (void)state;
    outq_dirty_init(&dirty);
    audience_sink_init(&sink, over, NULL);
    struct audience a;
    audience_init(&a, config, "amq.topic", OUTQ_CLOSE, &sink);
    static const char *const patterns[] = {"a.*", "a.#", "#", "b.*"};
    struct room *rooms[5];
    struct listener l[5];
    for (int i = 0; i < 4; i++) {
        rooms[i] = audience_add(&a, s(patterns[i]), true);
        listen_to(&l[i], rooms[i], "p", "/topic/pattern", 1000);
    }
    rooms[4] = audience_add(&a, s("a.b"), false);
    listen_to(&l[4], rooms[4], "e", "/topic/a.b", 1000);
    assert_int_equal(deliver(&a, "a.b"), 4);
    assert_int_equal(deliver(&a, "a.b.c"), 2);
    assert_int_equal(l[3].outq.n, 0);
    assert_ptr_equal(audience_find(&a, s("a.#"), true), rooms[1]);
    assert_null(audience_find(&a, s("a.#"), false));
    for (int i = 0; i < 5; i++) {
        leave(&l[i]);
        audience_remove(rooms[i]);
    }
    audience_fini(&a);
}

static void test_one_slow_member_costs_the_others_nothing(void **state)
{
    (void)state;
    outq_dirty_init(&dirty);
    audience_sink_init(&sink, over, NULL);
    struct audience a;
    audience_init(&a, config, "amq.topic", OUTQ_CLOSE, &sink);
    struct room *room = audience_add(&a, s("r"), false);
    struct listener slow;
    struct listener fast;
    listen_to(&slow, room, "s", "/topic/r", 100);
    listen_to(&fast, room, "s", "/topic/r", 100000);
    for (int i = 0; i < 10; i++) {
        deliver(&a, "r");
    }
    assert_int_equal(fast.outq.n, 10);
    assert_int_equal(fast.n_over, 0);
    assert_int_equal(slow.outq.n, 2); /* the one that is being sent, and one behind it */
    assert_int_equal(slow.n_over, 8);
    leave(&slow);
    leave(&fast);
    audience_remove(room);
    audience_fini(&a);
}

static void test_a_gap_is_told_once(void **state)
{
    (void)state;
    outq_dirty_init(&dirty);
    audience_sink_init(&sink, over, NULL);
    struct audience a;
    audience_init(&a, config, "amq.topic", OUTQ_CLOSE, &sink);
    struct room *room = audience_add(&a, s("r"), false);
    struct listener l;
    listen_to(&l, room, "s", "/topic/r", 100000);
    room->has_gap = true;
    deliver(&a, "r");
    deliver(&a, "r");
    const char *first = (const char *)message_payload(outq_at(&l.outq, 0));
    const char *second = (const char *)message_payload(outq_at(&l.outq, 1));
    assert_non_null(strstr(first, "\ngap:true\n"));
    assert_null(strstr(second, "\ngap:true\n"));
    leave(&l);
    audience_remove(room);
    audience_fini(&a);
}

static void take_all(struct outq *q)
{
    outq_pop(q, q->n);
}

static void test_a_full_queue_is_tried_before_it_is_judged(void **state)
{
    (void)state;
    outq_dirty_init(&dirty);
    audience_sink_init(&sink, over, take_all);
    struct audience a;
    audience_init(&a, config, "amq.topic", OUTQ_CLOSE, &sink);
    struct room *room = audience_add(&a, s("r"), false);
    struct listener l;
    listen_to(&l, room, "s", "/topic/r", 100);
    for (int i = 0; i < 10; i++) {
        deliver(&a, "r");
    }
    assert_int_equal(l.n_over, 0);
    leave(&l);
    audience_remove(room);
    audience_fini(&a);
}

static size_t n_with_gap(const struct outq *q)
{
    size_t n = 0;
    for (uint32_t i = 0; i < q->n; i++) {
        struct message *m = outq_at(q, i);
        n += strstr((const char *)message_payload(m), "\ngap:true\n") != NULL;
    }
    return n;
}

static void test_what_was_dropped_is_told_to_him_alone(void **state)
{
    (void)state;
    outq_dirty_init(&dirty);
    audience_sink_init(&sink, over, NULL);
    struct audience a;
    audience_init(&a, config, "amq.topic", OUTQ_DROP_OLDEST, &sink);
    struct room *room = audience_add(&a, s("r"), false);
    struct listener slow;
    struct listener fast;
    listen_to(&slow, room, "s", "/topic/r", 150);
    listen_to(&fast, room, "s", "/topic/r", 100000);
    for (int i = 0; i < 8; i++) {
        deliver(&a, "r");
    }
    assert_true(slow.outq.dropped > 0);
    assert_true(n_with_gap(&slow.outq) > 0);
    assert_int_equal(n_with_gap(&fast.outq), 0);
    leave(&slow);
    leave(&fast);
    audience_remove(room);
    audience_fini(&a);
}

/* Joins and leaves at random: every message reaches exactly those who are there. */
static void test_random_joins_and_leaves(void **state)
{
    (void)state;
    enum { N = 60 };
    outq_dirty_init(&dirty);
    audience_sink_init(&sink, over, NULL);
    struct audience a;
    audience_init(&a, config, "amq.topic", OUTQ_CLOSE, &sink);
    struct room *room = audience_add(&a, s("r"), false);
    static struct listener l[N];
    bool is_in[N] = {false};
    static const char *const ids[] = {"sub-0", "sub-1", "sub-2"};
    srand(11);
    for (int step = 0; step < 20000; step++) {
        int i = rand() % N;
        if (is_in[i]) {
            leave(&l[i]);
        } else {
            listen_to(&l[i], room, ids[rand() % 3], "/topic/r", 100000);
        }
        is_in[i] = !is_in[i];
        if (step % 10 == 0) {
            size_t n = 0;
            for (int j = 0; j < N; j++) {
                n += is_in[j];
            }
            assert_int_equal(deliver(&a, "r"), n);
            for (int j = 0; j < N; j++) {
                if (is_in[j]) {
                    assert_int_equal(l[j].outq.n, 1);
                    outq_pop(&l[j].outq, 1);
                }
            }
        }
    }
    for (int i = 0; i < N; i++) {
        if (is_in[i]) {
            leave(&l[i]);
        }
    }
    assert_int_equal(room->n_members, 0);
    audience_remove(room);
    audience_fini(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_payload_lengths_have_three_forms),
        cmocka_unit_test(test_a_close_frame_has_code_and_reason),
        cmocka_unit_test(test_headers_stand_in_the_order_of_the_contract),
        cmocka_unit_test(test_a_gap_is_told),
        cmocka_unit_test(test_without_an_id_there_is_no_subscription_header),
        cmocka_unit_test(test_client_acks_have_their_headers),
        cmocka_unit_test(test_reply_to_becomes_a_destination),
        cmocka_unit_test(test_escapes_follow_the_version),
        cmocka_unit_test(test_a_message_without_an_id_gets_a_fresh_one),
        cmocka_unit_test(test_text_is_what_is_utf8_in_body_and_headers),
        cmocka_unit_test(test_the_senders_spelling_counts_only_where_it_means_the_same),
        cmocka_unit_test(test_the_longest_names_still_make_a_spelling),
        cmocka_unit_test(test_the_name_of_a_queue_that_is_not_utf8_makes_a_binary_message),
        cmocka_unit_test(test_a_spelling_that_is_not_utf8_makes_a_binary_message),
        cmocka_unit_test(test_members_of_a_cohort_share_one_frame),
        cmocka_unit_test(test_a_pass_gives_each_member_one_pack),
        cmocka_unit_test(test_who_loses_messages_in_a_pass_hears_of_it_in_the_same),
        cmocka_unit_test(test_those_who_hear_of_a_gap_share_one_frame),
        cmocka_unit_test(test_who_joins_or_leaves_within_a_pass),
        cmocka_unit_test(test_a_long_pass_is_put_on_the_queues_in_between),
        cmocka_unit_test(test_each_matching_subscription_gets_a_copy),
        cmocka_unit_test(test_one_slow_member_costs_the_others_nothing),
        cmocka_unit_test(test_a_full_queue_is_tried_before_it_is_judged),
        cmocka_unit_test(test_what_was_dropped_is_told_to_him_alone),
        cmocka_unit_test(test_a_gap_is_told_once),
        cmocka_unit_test(test_random_joins_and_leaves),
    };
    return cmocka_run_group_tests_name("encode", tests, load_config, free_config);
}
