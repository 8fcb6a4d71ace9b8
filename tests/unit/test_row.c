#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "persist/row.h"

#define NOW_MS 1795000000123ULL
#define V7_TEXT "01932c07-209d-7abc-8def-0123456789ab"

static struct row *make(const struct broker_delivery *d)
{
    static struct id_generator ids;
    struct row *row = row_new(d, &ids, NOW_MS);
    assert_non_null(row);
    return row;
}

static struct broker_delivery delivery(const char *key, const char *body)
{
    return (struct broker_delivery){
        .tag = 7,
        .exchange = SLICE_LITERAL("amq.topic"),
        .routing_key = slice_of(key),
        .body = slice_of(body),
    };
}

static void assert_headers(const struct row *row, const char *json)
{
    assert_int_equal(row->headers.len, strlen(json));
    assert_memory_equal(buf_data(&row->headers), json, strlen(json));
}

/* The key of a message from user, key, exchange, routing key; NULL: absent. */
static struct row *keyed(const char *user, const char *key, const char *routing_key,
                         const char *message_id)
{
    struct broker_header headers[2];
    struct broker_delivery d = delivery(routing_key, "body");
    size_t n = 0;
    if (user != NULL) {
        headers[n++] = (struct broker_header){SLICE_LITERAL(ROW_HEADER_USER), slice_of(user)};
    }
    if (key != NULL) {
        headers[n++] = (struct broker_header){SLICE_LITERAL(ROW_HEADER_KEY), slice_of(key)};
    }
    d.properties.headers = headers;
    d.properties.n_headers = n;
    d.properties.message_id = slice_of(message_id);
    return make(&d);
}

static void assert_keys(struct row *a, struct row *b, bool is_same)
{
    assert_true(a->has_key && b->has_key);
    assert_int_equal(memcmp(a->key, b->key, ROW_KEY_LEN) == 0, is_same);
    row_free(a);
    row_free(b);
}

static void test_row_outlives_its_delivery(void **state)
{
    (void)state;
    char key[] = "room.1";
    char body[] = "hello";
    char name[] = "color";
    char value[] = "blue";
    char type[] = "text/plain";
    struct broker_header header = {slice_of(name), slice_of(value)};
    struct broker_delivery d = delivery(key, body);
    d.properties.headers = &header;
    d.properties.n_headers = 1;
    d.properties.content_type = slice_of(type);
    struct row *row = make(&d);
    memset(key, 'x', sizeof(key));
    memset(body, 'x', sizeof(body));
    memset(name, 'x', sizeof(name));
    memset(value, 'x', sizeof(value));
    memset(type, 'x', sizeof(type));
    memset(&header, 0, sizeof(header));
    assert_int_equal(row->tag, 7);
    assert_true(slice_is(row->exchange, "amq.topic"));
    assert_true(slice_is(row->routing_key, "room.1"));
    assert_true(slice_is(row->body, "hello"));
    assert_true(slice_is(row->properties.content_type, "text/plain"));
    assert_true(slice_is(row->properties.headers[0].name, "color"));
    assert_true(slice_is(row->properties.headers[0].value, "blue"));
    assert_headers(row, "{\"color\":\"blue\"}");
    row_free(row);
}

static void test_row_absent_texts_are_empty_or_null(void **state)
{
    (void)state;
    struct broker_delivery d = {.tag = 1};
    struct row *row = make(&d);
    assert_non_null(row->exchange.ptr);
    assert_non_null(row->routing_key.ptr);
    assert_non_null(row->body.ptr);
    assert_int_equal(row->body.len, 0);
    assert_null(row->destination.ptr);
    assert_null(row->sender.ptr);
    assert_null(row->properties.content_type.ptr);
    assert_headers(row, "{}");
    row_free(row);
    row_free(NULL);
}

static void test_row_takes_a_uuidv7_as_id(void **state)
{
    (void)state;
    char text[ID_TEXT_LEN + 1];
    struct broker_delivery d = delivery("k", "");
    d.properties.message_id = SLICE_LITERAL(V7_TEXT);
    d.properties.has_timestamp = true;
    d.properties.timestamp = 5; /* the id knows better */
    struct row *row = make(&d);
    id_text(row->id, text);
    assert_string_equal(text, V7_TEXT);
    assert_false(row->is_id_ours);
    assert_false(row->has_key);
    assert_int_equal(row->sent_unix_us, (int64_t)id_unix_ms(row->id) * 1000);
    row_free(row);
}

static void test_row_makes_an_id_where_there_is_none(void **state)
{
    (void)state;
    struct broker_delivery d = delivery("k", "");
    struct row *a = make(&d);
    struct row *b = make(&d);
    assert_true(a->is_id_ours && b->is_id_ours);
    assert_false(a->has_key || b->has_key);
    assert_true(id_is_v7(a->id));
    assert_int_equal(id_unix_ms(a->id), NOW_MS);
    assert_true(memcmp(a->id.bytes, b->id.bytes, 16) < 0);
    assert_int_equal(a->sent_unix_us, (int64_t)NOW_MS * 1000);
    row_free(a);
    row_free(b);
}

static void test_row_sent_at_is_the_timestamp_unless_it_is_noise(void **state)
{
    (void)state;
    static const struct {
        uint64_t timestamp;
        int64_t sent_us;
    } cases[] = {
        {1700000000, 1700000000000000LL},
        {1, 1000000},
        {0, (int64_t)NOW_MS * 1000},
        {253402300799ULL, 253402300799000000LL},
        {253402300800ULL, (int64_t)NOW_MS * 1000},
        {UINT64_MAX, (int64_t)NOW_MS * 1000},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct broker_delivery d = delivery("k", "");
        d.properties.has_timestamp = true;
        d.properties.timestamp = cases[i].timestamp;
        struct row *row = make(&d);
        assert_int_equal(row->sent_unix_us, cases[i].sent_us);
        row_free(row);
    }
}

static void test_row_other_message_ids_are_keys(void **state)
{
    (void)state;
    static const char *const texts[] = {"order 17",
                                        "9b2f1d1c-7d4b-4f0c-8a3e-2f6d9f1c0a11", /* version 4 */
                                        V7_TEXT "0", "01932c07209d7abc8def0123456789ab"};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct row *row = keyed(NULL, NULL, "k", texts[i]);
        assert_true(row->is_id_ours);
        assert_true(row->has_key);
        row_free(row);
    }
    struct row *empty = keyed(NULL, NULL, "k", "");
    assert_false(empty->has_key);
    row_free(empty);
}

static void test_row_key_is_per_user_destination_and_kind(void **state)
{
    (void)state;
    assert_keys(keyed("ann", "1", "k", V7_TEXT), keyed("ann", "1", "k", NULL), true);
    assert_keys(keyed("ann", "1", "k", V7_TEXT), keyed("bob", "1", "k", V7_TEXT), false);
    assert_keys(keyed("ann", "1", "k", V7_TEXT), keyed("ann", "2", "k", V7_TEXT), false);
    assert_keys(keyed("ann", "1", "k", V7_TEXT), keyed("ann", "1", "l", V7_TEXT), false);
    assert_keys(keyed("ann", "1", "k", V7_TEXT), keyed("ann1", "", "k", V7_TEXT), false);
    assert_keys(keyed(NULL, NULL, "k", "m"), keyed(NULL, NULL, "k", "m"), true);
    assert_keys(keyed(NULL, NULL, "k", "m"), keyed("ann", NULL, "k", "m"), true);
    assert_keys(keyed(NULL, NULL, "k", "m"), keyed(NULL, NULL, "l", "m"), false);
    assert_keys(keyed(NULL, NULL, "k", "m"), keyed("", "m", "k", NULL), false);
}

static void test_row_headers_leave_ours_out_and_keep_properties(void **state)
{
    (void)state;
    const struct broker_header headers[] = {
        {SLICE_LITERAL("a"), SLICE_LITERAL("1")},
        {SLICE_LITERAL("x-stompgate-user"), SLICE_LITERAL("ann")},
        {SLICE_LITERAL("x-stompgate-destination"), SLICE_LITERAL("/topic/a")},
        {SLICE_LITERAL("x-stompgate-anything"), SLICE_LITERAL("?")},
        {SLICE_LITERAL("b"), SLICE_LITERAL("")},
    };
    struct broker_delivery d = delivery("k", "");
    d.properties.headers = headers;
    d.properties.n_headers = 5;
    d.properties.correlation_id = SLICE_LITERAL("c");
    d.properties.reply_to = SLICE_LITERAL("r");
    d.properties.has_priority = true;
    d.properties.priority = 255;
    struct row *row = make(&d);
    assert_headers(row, "{\"a\":\"1\",\"b\":\"\",\"correlation-id\":\"c\",\"reply-to\":\"r\","
                        "\"priority\":\"255\"}");
    assert_true(slice_is(row->sender, "ann"));
    assert_true(slice_is(row->destination, "/topic/a"));
    row_free(row);
}

static void test_row_headers_are_escaped(void **state)
{
    (void)state;
    const struct broker_header headers[] = {
        {SLICE_LITERAL("q\"\\"), {"\0\n\x1f\x7f\xff/", 6}},
    };
    struct broker_delivery d = delivery("k", "");
    d.properties.headers = headers;
    d.properties.n_headers = 1;
    struct row *row = make(&d);
    assert_headers(row, "{\"q\\\"\\\\\":\"\\u0000\\u000a\\u001f\\u007f\xff/\"}");
    row_free(row);
}

static void test_row_is_same_message_compares_all(void **state)
{
    (void)state;
    uint8_t same[DIGEST_LEN];
    uint8_t other[DIGEST_LEN];
    struct broker_delivery d = delivery("k", "body");
    struct row *row = make(&d);
    assert_int_equal(digest_bytes(same, SLICE_LITERAL("body")), 0);
    assert_int_equal(digest_bytes(other, SLICE_LITERAL("Body")), 0);
    struct slice s = {(const char *)same, DIGEST_LEN};
    struct slice o = {(const char *)other, DIGEST_LEN};
    assert_true(row_is_same_message(row, SLICE_LITERAL("amq.topic"), SLICE_LITERAL("k"), s));
    assert_false(row_is_same_message(row, SLICE_LITERAL("amq.topic"), SLICE_LITERAL("k"), o));
    assert_false(row_is_same_message(row, SLICE_LITERAL("amq.topic"), SLICE_LITERAL("l"), s));
    assert_false(row_is_same_message(row, SLICE_LITERAL("amq.topi"), SLICE_LITERAL("k"), s));
    row_free(row);
}

static void test_row_condemn_keeps_the_reason_short(void **state)
{
    (void)state;
    char text[1000];
    struct broker_delivery d = delivery("k", "");
    struct row *row = make(&d);
    memset(text, 'e', sizeof(text));
    text[sizeof(text) - 1] = '\0';
    row_condemn(row, ROW_REFUSED, "22021", text);
    assert_string_equal(row_reason(row), "refused");
    assert_string_equal(row->sqlstate, "22021");
    assert_int_equal(strlen(row->error), ROW_ERROR_MAX - 1);
    row_condemn(row, ROW_CONFLICT, "", "why");
    assert_string_equal(row_reason(row), "id-conflict");
    row_free(row);
}

static void test_digest_known_answer(void **state)
{
    (void)state;
    static const uint8_t abc[4] = {0xba, 0x78, 0x16, 0xbf}; /* FIPS 180-2, appendix B.1 */
    uint8_t digest[DIGEST_LEN];
    uint8_t other[DIGEST_LEN];
    assert_int_equal(digest_bytes(digest, SLICE_LITERAL("abc")), 0);
    assert_memory_equal(digest, abc, sizeof(abc));
    const struct slice one[] = {SLICE_LITERAL("ab"), SLICE_LITERAL("c")};
    const struct slice two[] = {SLICE_LITERAL("a"), SLICE_LITERAL("bc")};
    assert_int_equal(digest_fields(digest, one, 2), 0);
    assert_int_equal(digest_fields(other, two, 2), 0);
    assert_memory_not_equal(digest, other, DIGEST_LEN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_row_outlives_its_delivery),
        cmocka_unit_test(test_row_absent_texts_are_empty_or_null),
        cmocka_unit_test(test_row_takes_a_uuidv7_as_id),
        cmocka_unit_test(test_row_makes_an_id_where_there_is_none),
        cmocka_unit_test(test_row_sent_at_is_the_timestamp_unless_it_is_noise),
        cmocka_unit_test(test_row_other_message_ids_are_keys),
        cmocka_unit_test(test_row_key_is_per_user_destination_and_kind),
        cmocka_unit_test(test_row_headers_leave_ours_out_and_keep_properties),
        cmocka_unit_test(test_row_headers_are_escaped),
        cmocka_unit_test(test_row_is_same_message_compares_all),
        cmocka_unit_test(test_row_condemn_keeps_the_reason_short),
        cmocka_unit_test(test_digest_known_answer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
