#include "bench/protocol.h"

#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct received {
    const struct protocol *protocol;
    const char *payload;
    size_t len; /* 0: as long as the string */
    enum protocol_event event;
    const char *body; /* NULL: nothing is said of it */
};

/* On memory that ends where the payload does. */
static void assert_received(const struct received *r)
{
    size_t len = r->len ? r->len : strlen(r->payload);
    uint8_t *payload = malloc(len ? len : 1);
    const uint8_t *body = NULL;
    size_t body_len = 0;
    assert_non_null(payload);
    memcpy(payload, r->payload, len);
    assert_int_equal(r->protocol->receive(payload, len, &body, &body_len), r->event);
    if (r->body) {
        assert_int_equal(body_len, strlen(r->body));
        assert_memory_equal(body, r->body, body_len);
    }
    free(payload);
}

static void test_what_servers_say_is_understood(void **state)
{
    (void)state;
    const struct received all[] = {
        {&protocol_stomp, "CONNECTED\nversion:1.2\n\n", 0, PROTOCOL_CONNECTED, NULL},
        {&protocol_stomp, "RECEIPT\nreceipt-id:sub\n\n", 0, PROTOCOL_SUBSCRIBED, NULL},
        {&protocol_stomp, "MESSAGE\nsubscription:sub-0\n\nbody", 0, PROTOCOL_MESSAGE, "body"},
        {&protocol_stomp, "MESSAGE\nsubscription:sub-0\n\n\n\n", 0, PROTOCOL_MESSAGE, "\n\n"},
        {&protocol_stomp, "MESSAGE\nsubscription:sub-0", 0, PROTOCOL_MESSAGE, ""},
        {&protocol_stomp, "ERROR\nmessage:no\n\n", 0, PROTOCOL_REFUSED, "ERROR\nmessage:no\n\n"},
        {&protocol_stomp, "\n", 0, PROTOCOL_NOTHING, NULL},
        {&protocol_raw, "anything", 0, PROTOCOL_MESSAGE, "anything"},
        {&protocol_raw, "", 0, PROTOCOL_MESSAGE, ""},
        {&protocol_socketio, "0{\"sid\":\"a\"}", 0, PROTOCOL_OPENED, NULL},
        {&protocol_socketio, "40{\"sid\":\"a\"}", 0, PROTOCOL_CONNECTED, NULL},
        {&protocol_socketio, "430[]", 0, PROTOCOL_SUBSCRIBED, NULL},
        {&protocol_socketio, "42[\"m\",\"body\"]", 0, PROTOCOL_MESSAGE, "body"},
        {&protocol_socketio, "42[\"m\",\"\"]", 0, PROTOCOL_MESSAGE, ""},
        {&protocol_socketio, "42[\"m\",\"", 0, PROTOCOL_NOTHING, NULL},
        {&protocol_socketio, "42[\"n\",\"body\"]", 0, PROTOCOL_NOTHING, NULL},
        {&protocol_socketio, "2", 0, PROTOCOL_PING, NULL},
        {&protocol_socketio, "41", 0, PROTOCOL_REFUSED, "41"},
        {&protocol_socketio, "44{\"message\":\"no\"}", 0, PROTOCOL_REFUSED, NULL},
    };
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        assert_received(&all[i]);
    }
}

static unsigned subscription_of(const char *frame)
{
    return protocol_stomp.subscription((const uint8_t *)frame, strlen(frame));
}

static void test_a_message_names_its_subscription(void **state)
{
    (void)state;
    assert_int_equal(subscription_of("MESSAGE\nsubscription:sub-0\n\n"), 0);
    assert_int_equal(subscription_of("MESSAGE\na:b\nsubscription:sub-249\nc:d\n\nx"), 249);
    assert_int_equal(subscription_of("MESSAGE\na:b\n\nsubscription:sub-249\n"), UINT_MAX);
    assert_int_equal(subscription_of("MESSAGE\nsubscription:sub-\n\n"), UINT_MAX);
    assert_int_equal(subscription_of("MESSAGE\nsubscription:sub-x\n\n"), UINT_MAX);
    assert_int_equal(subscription_of("MESSAGE\nsubscription:sub-"), UINT_MAX);
    assert_int_equal(subscription_of("MESSAGE"), UINT_MAX);
}

static void assert_says(size_t len, const char *text, const char *wanted)
{
    assert_int_equal(len, strlen(wanted));
    assert_memory_equal(text, wanted, len);
}

static void test_socketio_says_what_its_server_waits_for(void **state)
{
    (void)state;
    char text[PROTOCOL_TEXT_MAX];
    const struct protocol *p = &protocol_socketio;
    assert_says(p->hello(text, &(struct protocol_login){0}), text, "40");
    assert_says(p->subscribe(text, 7, "/topic/a"), text, "420[\"sub\",\"/topic/a\"]");
    assert_says(p->publish_head(text, "/topic/a", "text/plain", 3), text,
                "42[\"pub\",\"/topic/a\",\"");
    assert_says(p->publish_tail(text), text, "\"]");
}

static void test_raw_says_nothing_but_bodies(void **state)
{
    (void)state;
    char text[PROTOCOL_TEXT_MAX];
    const struct protocol *p = &protocol_raw;
    assert_true(p->path_is_room);
    assert_int_equal(p->hello(text, &(struct protocol_login){0}), 0);
    assert_int_equal(p->subscribe(text, 0, "a"), 0);
    assert_int_equal(p->publish_head(text, "a", "text/plain", 3) + p->publish_tail(text), 0);
}

static void test_stomp_offers_heart_beats(void **state)
{
    (void)state;
    char text[PROTOCOL_TEXT_MAX];
    struct protocol_login login = {.login = "a", .passcode = "b", .heartbeat_ms = 5000};
    size_t n = protocol_stomp.hello(text, &login);
    assert_int_equal(text[n - 1], '\0');
    assert_non_null(strstr(text, "\nheart-beat:5000,5000\n"));
    assert_non_null(strstr(text, "\nlogin:a\npasscode:b\n\n"));
}

static void test_protocols_are_found_by_name(void **state)
{
    (void)state;
    assert_ptr_equal(protocol_find("stomp"), &protocol_stomp);
    assert_ptr_equal(protocol_find("raw"), &protocol_raw);
    assert_ptr_equal(protocol_find("socketio"), &protocol_socketio);
    assert_null(protocol_find("mqtt"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_servers_say_is_understood),
        cmocka_unit_test(test_a_message_names_its_subscription),
        cmocka_unit_test(test_socketio_says_what_its_server_waits_for),
        cmocka_unit_test(test_raw_says_nothing_but_bodies),
        cmocka_unit_test(test_stomp_offers_heart_beats),
        cmocka_unit_test(test_protocols_are_found_by_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
