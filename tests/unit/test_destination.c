#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "gateway/fanout/destination.h"

enum { TOPIC, FANOUT, EXCHANGE, CHAT, VIP, NEWS, STOCK, N_ROUTES };

static struct config_route routes[N_ROUTES] = {
    [TOPIC] = {.prefix = (char *)"/topic/", .exchange = (char *)"amq.topic", .type = CONFIG_TOPIC},
    [FANOUT] = {.prefix = (char *)"/fanout/",
                .exchange = (char *)"",
                .type = CONFIG_FANOUT,
                .declare = true},
    [EXCHANGE] = {.prefix = (char *)"/exchange/", .exchange = (char *)"", .type = CONFIG_ANY},
    [CHAT] = {.prefix = (char *)"/chat/", .exchange = (char *)"chat.rooms", .type = CONFIG_TOPIC},
    [VIP] = {.prefix = (char *)"/chat/vip/", .exchange = (char *)"chat.vip", .type = CONFIG_TOPIC},
    [NEWS] = {.prefix = (char *)"/news/", .exchange = (char *)"news", .type = CONFIG_FANOUT},
    [STOCK] = {.prefix = (char *)"/stock/",
               .exchange = (char *)"",
               .type = CONFIG_TOPIC,
               .declare = true},
};
static const struct config config = {.routes = routes, .n_routes = N_ROUTES};

#define A10 "aaaaaaaaaa"
#define A50 A10 A10 A10 A10 A10
#define A250 A50 A50 A50 A50 A50
#define OK DESTINATION_OK
#define UNKNOWN DESTINATION_UNKNOWN
#define INVALID DESTINATION_INVALID
#define CONTROL DESTINATION_CONTROL
#define TOO_LONG DESTINATION_TOO_LONG
#define RESERVED DESTINATION_RESERVED

static const struct {
    const char *name;
    enum destination_error error;
    int route;
    const char *exchange;
    const char *key;
    bool is_pattern;
    bool is_client_named;
} table[] = {
    /* topics, by dots and by slashes */
    {"/topic/a", OK, TOPIC, "amq.topic", "a", false, false},
    {"/topic/a.b", OK, TOPIC, "amq.topic", "a.b", false, false},
    {"/topic/a/b", OK, TOPIC, "amq.topic", "a.b", false, false},
    {"/topic/a/b/c.d", OK, TOPIC, "amq.topic", "a.b.c.d", false, false},
    {"/topic/greetings/1", OK, TOPIC, "amq.topic", "greetings.1", false, false},
    {"/topic/a/", OK, TOPIC, "amq.topic", "a.", false, false},
    {"/topic//a", OK, TOPIC, "amq.topic", ".a", false, false},
    {"/topic/a//b", OK, TOPIC, "amq.topic", "a..b", false, false},
    {"/topic/A", OK, TOPIC, "amq.topic", "A", false, false},
    {"/topic/with blank", OK, TOPIC, "amq.topic", "with blank", false, false},
    {"/topic/a:b", OK, TOPIC, "amq.topic", "a:b", false, false},
    {"/topic/gr\xc3\xbc\xc3\x9f", OK, TOPIC, "amq.topic", "gr\xc3\xbc\xc3\x9f", false, false},
    {"/topic/topic/a", OK, TOPIC, "amq.topic", "topic.a", false, false},
    /* percent signs */
    {"/topic/a%2Fb", OK, TOPIC, "amq.topic", "a/b", false, false},
    {"/topic/a%2fb", OK, TOPIC, "amq.topic", "a%2fb", false, false},
    {"/topic/%2F", OK, TOPIC, "amq.topic", "/", false, false},
    {"/topic/%2F%2F", OK, TOPIC, "amq.topic", "//", false, false},
    {"/topic/100%25", OK, TOPIC, "amq.topic", "100%", false, false},
    {"/topic/a%252Fb", OK, TOPIC, "amq.topic", "a%2Fb", false, false},
    {"/topic/100%", OK, TOPIC, "amq.topic", "100%", false, false},
    {"/topic/a%2", OK, TOPIC, "amq.topic", "a%2", false, false},
    {"/topic/a%20b", OK, TOPIC, "amq.topic", "a%20b", false, false},
    {"/topic/%00", OK, TOPIC, "amq.topic", "%00", false, false},
    /* wildcards are words */
    {"/topic/*", OK, TOPIC, "amq.topic", "*", true, false},
    {"/topic/#", OK, TOPIC, "amq.topic", "#", true, false},
    {"/topic/a.*", OK, TOPIC, "amq.topic", "a.*", true, false},
    {"/topic/a/*/c", OK, TOPIC, "amq.topic", "a.*.c", true, false},
    {"/topic/#.c", OK, TOPIC, "amq.topic", "#.c", true, false},
    {"/topic/a.#.c", OK, TOPIC, "amq.topic", "a.#.c", true, false},
    {"/topic/a*", OK, TOPIC, "amq.topic", "a*", false, false},
    {"/topic/a#b", OK, TOPIC, "amq.topic", "a#b", false, false},
    {"/topic/**", OK, TOPIC, "amq.topic", "**", false, false},
    {"/topic/##", OK, TOPIC, "amq.topic", "##", false, false},
    {"/topic/*%2F", OK, TOPIC, "amq.topic", "*/", false, false},
    {"/topic/{var}", OK, TOPIC, "amq.topic", "{var}", false, false},
    /* nothing behind the prefix */
    {"/topic/", INVALID, 0, "", "", false, false},
    {"/topic", INVALID, 0, "", "", false, false},
    {"/fanout/", INVALID, 0, "", "", false, false},
    {"/fanout", INVALID, 0, "", "", false, false},
    {"/exchange/", INVALID, 0, "", "", false, false},
    {"/exchange", INVALID, 0, "", "", false, false},
    {"/exchange//key", INVALID, 0, "", "", false, false},
    {"/exchange//", INVALID, 0, "", "", false, false},
    {"/fanout//", INVALID, 0, "", "", false, false},
    {"/fanout/x/key", INVALID, 0, "", "", false, false},
    {"/fanout/x/", INVALID, 0, "", "", false, false},
    {"/chat/", INVALID, 0, "", "", false, false},
    {"/chat/vip/", INVALID, 0, "", "", false, false},
    {"/chat/vip", INVALID, 0, "", "", false, false},
    {"/news/", INVALID, 0, "", "", false, false},
    /* no such prefix */
    {"", DESTINATION_MISSING, 0, "", "", false, false},
    {"/", UNKNOWN, 0, "", "", false, false},
    {"//", UNKNOWN, 0, "", "", false, false},
    {"a", UNKNOWN, 0, "", "", false, false},
    {"topic/a", UNKNOWN, 0, "", "", false, false},
    {"topic", UNKNOWN, 0, "", "", false, false},
    {" /topic/a", UNKNOWN, 0, "", "", false, false},
    {"/topics/a", UNKNOWN, 0, "", "", false, false},
    {"/topi", UNKNOWN, 0, "", "", false, false},
    {"/Topic/a", UNKNOWN, 0, "", "", false, false},
    {"/TOPIC/a", UNKNOWN, 0, "", "", false, false},
    {"//topic/a", UNKNOWN, 0, "", "", false, false},
    {"%2Ftopic%2Fa", UNKNOWN, 0, "", "", false, false},
    {"/queue/a", UNKNOWN, 0, "", "", false, false},
    {"/amq/queue/a", UNKNOWN, 0, "", "", false, false},
    {"/user/queue/x", UNKNOWN, 0, "", "", false, false},
    /* exchanges named by clients */
    {"/exchange/x", OK, EXCHANGE, "x", "", false, true},
    {"/exchange/x/", OK, EXCHANGE, "x", "", false, true},
    {"/exchange/x/k", OK, EXCHANGE, "x", "k", false, true},
    {"/exchange/x/k.l", OK, EXCHANGE, "x", "k.l", false, true},
    {"/exchange/x/k/l/m", OK, EXCHANGE, "x", "k.l.m", false, true},
    {"/exchange/x/*", OK, EXCHANGE, "x", "*", true, true},
    {"/exchange/x/#", OK, EXCHANGE, "x", "#", true, true},
    {"/exchange/*/k", OK, EXCHANGE, "*", "k", false, true},
    {"/exchange/a%2Fb/k", OK, EXCHANGE, "a/b", "k", false, true},
    {"/exchange/amq.direct/k", OK, EXCHANGE, "amq.direct", "k", false, true},
    {"/fanout/x", OK, FANOUT, "x", "", false, true},
    {"/fanout/#", OK, FANOUT, "#", "", false, true},
    {"/fanout/x%2Fy", OK, FANOUT, "x/y", "", false, true},
    {"/fanout/amq.fanout", OK, FANOUT, "amq.fanout", "", false, true},
    {"/stock/x/k", OK, STOCK, "x", "k", false, true},
    {"/stock/x", OK, STOCK, "x", "", false, true},
    {"/stock/amq", OK, STOCK, "amq", "", false, true},
    /* what the broker keeps for itself */
    {"/fanout/amq.mine", RESERVED, 0, "", "", false, false},
    {"/fanout/amq.direct", RESERVED, 0, "", "", false, false},
    {"/stock/amq.mine/k", RESERVED, 0, "", "", false, false},
    {"/stock/amq.fanout/k", RESERVED, 0, "", "", false, false},
    {"/exchange/amq.rabbitmq.trace/#", RESERVED, 0, "", "", false, false},
    {"/exchange/amq.rabbitmq.event", RESERVED, 0, "", "", false, false},
    {"/exchange/amq.rabbitmq.log/x", RESERVED, 0, "", "", false, false},
    /* one identity: a fixed exchange is its route's, however it is spelled */
    {"/exchange/amq.topic/a.b", OK, TOPIC, "amq.topic", "a.b", false, false},
    {"/exchange/amq.topic/a/b", OK, TOPIC, "amq.topic", "a.b", false, false},
    {"/exchange/amq.topic/#", OK, TOPIC, "amq.topic", "#", true, false},
    {"/exchange/amq.topic", OK, TOPIC, "amq.topic", "", false, false},
    {"/stock/amq.topic/a", OK, TOPIC, "amq.topic", "a", false, false},
    {"/fanout/amq.topic", OK, TOPIC, "amq.topic", "", false, false},
    {"/exchange/chat.rooms/lobby", OK, CHAT, "chat.rooms", "lobby", false, false},
    {"/exchange/chat.vip/lobby", OK, VIP, "chat.vip", "lobby", false, false},
    {"/exchange/news/anything", OK, NEWS, "news", "", false, false},
    {"/fanout/news", OK, NEWS, "news", "", false, false},
    /* the longest prefix */
    {"/chat/lobby", OK, CHAT, "chat.rooms", "lobby", false, false},
    {"/chat/vips", OK, CHAT, "chat.rooms", "vips", false, false},
    {"/chat/vip.a", OK, CHAT, "chat.rooms", "vip.a", false, false},
    {"/chat/vip/lobby", OK, VIP, "chat.vip", "lobby", false, false},
    {"/chat/vip//", OK, VIP, "chat.vip", ".", false, false},
    {"/news/today", OK, NEWS, "news", "", false, false},
    {"/news/today/*", OK, NEWS, "news", "", false, false},
    /* control bytes */
    {"/topic/a\nb", CONTROL, 0, "", "", false, false},
    {"/topic/a\tb", CONTROL, 0, "", "", false, false},
    {"/topic/a\x7f", CONTROL, 0, "", "", false, false},
    {"\x01/topic/a", CONTROL, 0, "", "", false, false},
    {"/nowhere/\r", CONTROL, 0, "", "", false, false},
    /* lengths */
    {"/topic/" A250 "12345", OK, TOPIC, "amq.topic", A250 "12345", false, false},
    {"/topic/" A250 "123456", TOO_LONG, 0, "", "", false, false},
    {"/topic/" A250 "123%2F", OK, TOPIC, "amq.topic", A250 "123/", false, false},
    {"/topic/" A250 "1234%2F", OK, TOPIC, "amq.topic", A250 "1234/", false, false},
    {"/topic/" A250 "12345%2F", TOO_LONG, 0, "", "", false, false},
    {"/topic/" A250 "123\xc3\xbc", OK, TOPIC, "amq.topic", A250 "123\xc3\xbc", false, false},
    {"/topic/" A250 "1234\xc3\xbc", TOO_LONG, 0, "", "", false, false},
    {"/exchange/" A250 "12345/k", OK, EXCHANGE, A250 "12345", "k", false, true},
    {"/exchange/" A250 "123456/k", TOO_LONG, 0, "", "", false, false},
    {"/fanout/" A250 "123456", TOO_LONG, 0, "", "", false, false},
    {"/news/" A250 "123456", OK, NEWS, "news", "", false, false},
};

static void test_resolve_table(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        struct destination d;
        memset(&d, 0x55, sizeof(d));
        struct destination untouched = d;
        enum destination_error error = destination_resolve(&config, slice_of(table[i].name), &d);
        if (error != table[i].error) {
            fail_msg("'%s': error %d, not %d", table[i].name, error, table[i].error);
        }
        if (error != DESTINATION_OK) {
            assert_memory_equal(&d, &untouched, sizeof(d));
            continue;
        }
        assert_string_equal(d.exchange, table[i].exchange);
        assert_string_equal(d.key, table[i].key);
        assert_int_equal(d.exchange_len, strlen(table[i].exchange));
        assert_int_equal(d.key_len, strlen(table[i].key));
        if (d.route != &routes[table[i].route] || d.is_pattern != table[i].is_pattern ||
            d.is_client_named != table[i].is_client_named) {
            fail_msg("'%s': route %s, pattern %d, client named %d", table[i].name, d.route->prefix,
                     d.is_pattern, d.is_client_named);
        }
        assert_int_equal(destination_check_send(&d),
                         d.is_pattern ? DESTINATION_WILDCARD : DESTINATION_OK);
    }
}

static void test_resolve_nul_is_control(void **state)
{
    (void)state;
    struct destination d;
    assert_int_equal(destination_resolve(&config, (struct slice){"/topic/a\0b", 10}, &d),
                     DESTINATION_CONTROL);
}

/* Every byte value behind "/topic/": resolved as itself, or refused. */
static void test_resolve_every_byte(void **state)
{
    (void)state;
    for (int c = 0; c < 256; c++) {
        char name[] = "/topic/a?b";
        name[8] = (char)c;
        struct destination d;
        enum destination_error error = destination_resolve(&config, (struct slice){name, 10}, &d);
        assert_int_equal(error, c < 0x20 || c == 0x7f ? DESTINATION_CONTROL : DESTINATION_OK);
        if (error == DESTINATION_OK) {
            assert_int_equal((unsigned char)d.key[1], c == '/' ? '.' : c);
        }
    }
}

static void test_resolve_without_routes(void **state)
{
    (void)state;
    struct destination d;
    const struct config empty = {0};
    assert_int_equal(destination_resolve(&empty, SLICE_LITERAL("/topic/a"), &d),
                     DESTINATION_UNKNOWN);
}

/* The name that is written for a pair leads back to the pair. */
static void test_spell_leads_back(void **state)
{
    (void)state;
    size_t n = 0;
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        if (table[i].error != DESTINATION_OK) {
            continue;
        }
        char name[2000];
        struct destination d;
        size_t len = destination_spell(&config, slice_of(table[i].exchange), slice_of(table[i].key),
                                       name, sizeof(name));
        assert_int_equal(len, strlen(name));
        if (destination_resolve(&config, (struct slice){name, len}, &d) != DESTINATION_OK ||
            strcmp(d.exchange, table[i].exchange) != 0 || strcmp(d.key, table[i].key) != 0) {
            fail_msg("'%s' was spelled '%s', which is another", table[i].name, name);
        }
        n++;
    }
    assert_true(n > 50);
}

static void test_spell_random_pairs_lead_back(void **state)
{
    (void)state;
    static const char bytes[] = "%%%2225Ff//..*#a-\xc3\xbc";
    srand(11);
    for (int i = 0; i < 100000; i++) {
        char key[32];
        size_t key_len = 1 + (size_t)rand() % 12;
        for (size_t k = 0; k < key_len; k++) {
            key[k] = bytes[(size_t)rand() % (sizeof(bytes) - 1)];
        }
        struct slice exchange = rand() % 2 ? SLICE_LITERAL("amq.topic") : SLICE_LITERAL("%2F/x");
        char name[200];
        struct destination d;
        size_t len =
            destination_spell(&config, exchange, (struct slice){key, key_len}, name, sizeof(name));
        assert_true(len > 0);
        assert_int_equal(destination_resolve(&config, (struct slice){name, len}, &d),
                         DESTINATION_OK);
        assert_true(slice_equals((struct slice){d.key, d.key_len}, (struct slice){key, key_len}));
        assert_true(slice_equals((struct slice){d.exchange, d.exchange_len}, exchange));
    }
}

static void test_spell_table(void **state)
{
    (void)state;
    static const struct {
        const char *exchange;
        const char *key;
        const char *name;
    } spellings[] = {
        {"amq.topic", "a.b", "/topic/a.b"},
        {"amq.topic", "a/b", "/topic/a%2Fb"},
        {"amq.topic", "100%", "/topic/100%25"},
        {"amq.topic", "", "/fanout/amq.topic"},
        {"chat.rooms", "lobby", "/chat/lobby"},
        /* /chat/vip/… would be another route, but a dot is no slash */
        {"chat.rooms", "vip.lobby", "/chat/vip.lobby"},
        {"chat.vip", "lobby", "/chat/vip/lobby"},
        {"news", "", "/news/news"},
        {"x", "", "/fanout/x"},
        {"x", "k", "/exchange/x/k"},
        {"x", "k/l", "/exchange/x/k%2Fl"},
        {"x", "a\nb", "/exchange/x/a%0Ab"},
        {"", "orders", "/queue/orders"},
        {"", "a/b", "/queue/a%2Fb"},
        {"amq.rabbitmq.trace", "publish.x", "/exchange/amq.rabbitmq.trace/publish.x"},
    };
    for (size_t i = 0; i < sizeof(spellings) / sizeof(spellings[0]); i++) {
        char name[100];
        destination_spell(&config, slice_of(spellings[i].exchange), slice_of(spellings[i].key),
                          name, sizeof(name));
        assert_string_equal(name, spellings[i].name);
    }
}

static void test_spell_that_does_not_fit(void **state)
{
    (void)state;
    char name[] = "xxxxxxxxxxxxxxx";
    struct slice exchange = SLICE_LITERAL("amq.topic");
    assert_int_equal(destination_spell(&config, exchange, SLICE_LITERAL("abc"), name, 10), 0);
    assert_string_equal(name, "");
    assert_int_equal(destination_spell(&config, exchange, SLICE_LITERAL("abc"), name, 11), 10);
    assert_string_equal(name, "/topic/abc");
    assert_int_equal(destination_spell(&config, exchange, SLICE_LITERAL("abc"), name, 0), 0);
    assert_string_equal(name, "/topic/abc");
}

static void test_error_texts(void **state)
{
    (void)state;
    static const struct {
        enum destination_error error;
        const char *name;
        const char *message;
        const char *body;
    } texts[] = {
        {DESTINATION_MISSING, "", "Invalid destination", "Destination cannot be blank"},
        {DESTINATION_UNKNOWN, "/x", "Unknown destination",
         "'/x' is not a valid destination.\nValid destination types are: /temp-queue, /exchange, "
         "/topic, /queue, /amq/queue, /reply-queue/.\n"},
        {DESTINATION_INVALID, "/topic/", "Invalid destination",
         "'/' is not a valid topic destination\n"},
        {DESTINATION_INVALID, "/fanout/x/y", "Invalid destination",
         "'/x/y' is not a valid fanout destination\n"},
        {DESTINATION_INVALID, "/exchange", "Invalid destination",
         "'' is not a valid exchange destination\n"},
        {DESTINATION_CONTROL, "/topic/a\nb", "Invalid destination",
         "'/topic/a?b' is not a valid destination: it has a control character.\n"},
        {DESTINATION_TOO_LONG, "/topic/aaa", "Invalid destination",
         "'/topic/aaa' is too long: exchange and routing key may have 255 bytes each.\n"},
        {DESTINATION_WILDCARD, "/topic/*", "Invalid destination",
         "'/topic/*' has a wildcard: it can be subscribed, not sent to.\n"},
        {DESTINATION_RESERVED, "/fanout/amq.x", "Invalid destination",
         "'/fanout/amq.x' is not a valid destination: the broker keeps that exchange for "
         "itself.\n"},
    };
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        char body[512];
        destination_error_body(texts[i].error, slice_of(texts[i].name), body, sizeof(body));
        assert_string_equal(body, texts[i].body);
        assert_string_equal(destination_error_message(texts[i].error), texts[i].message);
    }
}

/* A long name is cut between two characters, and the body stays within what was given. */
static void test_error_body_is_bounded(void **state)
{
    (void)state;
    char name[1000];
    for (size_t i = 0; i < sizeof(name) - 1; i += 2) {
        memcpy(name + i, "\xc3\xbc", 2);
    }
    char body[400];
    destination_error_body(DESTINATION_TOO_LONG, (struct slice){name, 999}, body, sizeof(body));
    assert_non_null(strstr(body, "\xc3\xbc' is too long"));
    char small[8] = "ABCDEFG";
    destination_error_body(DESTINATION_TOO_LONG, (struct slice){name, 999}, small, 4);
    assert_int_equal(small[3], '\0');
    assert_int_equal(small[4], 'E');
}

/* The definition, word by word: what destination_matches() must agree with. */
static bool oracle(const char **pattern, size_t n_pattern, const char **key, size_t n_key)
{
    if (n_pattern == 0) {
        return n_key == 0;
    }
    if (strcmp(pattern[0], "#") == 0) {
        return oracle(pattern + 1, n_pattern - 1, key, n_key) ||
               (n_key > 0 && oracle(pattern, n_pattern, key + 1, n_key - 1));
    }
    return n_key > 0 && (strcmp(pattern[0], "*") == 0 || strcmp(pattern[0], key[0]) == 0) &&
           oracle(pattern + 1, n_pattern - 1, key + 1, n_key - 1);
}

static size_t join(const char **words, size_t n, char *text)
{
    text[0] = '\0';
    for (size_t i = 0; i < n; i++) {
        strcat(text, i ? "." : "");
        strcat(text, words[i]);
    }
    return strlen(text);
}

static void test_matches_like_the_definition(void **state)
{
    (void)state;
    static const char *const vocabulary[] = {"a", "b", "ab", "*", "#", "*a", ""};
    srand(7);
    int n_true = 0;
    for (int i = 0; i < 300000; i++) {
        const char *pattern[6];
        const char *key[6];
        size_t n_pattern = (size_t)rand() % 7;
        size_t n_key = (size_t)rand() % 7;
        for (size_t w = 0; w < n_pattern; w++) {
            pattern[w] = vocabulary[rand() % 7];
        }
        for (size_t w = 0; w < n_key; w++) {
            key[w] = vocabulary[rand() % 2 ? rand() % 2 : rand() % 7];
        }
        /* One empty word and no word look the same as text: they are no word. */
        if ((n_pattern == 1 && !*pattern[0]) || (n_key == 1 && !*key[0])) {
            continue;
        }
        char pattern_text[32];
        char key_text[32];
        struct slice p = {pattern_text, join(pattern, n_pattern, pattern_text)};
        struct slice k = {key_text, join(key, n_key, key_text)};
        bool expected = oracle(pattern, n_pattern, key, n_key);
        n_true += expected;
        if (destination_matches(p, k) != expected) {
            fail_msg("'%s' and '%s': not %d", pattern_text, key_text, expected);
        }
    }
    assert_true(n_true > 10000);
}

static void test_matches_examples(void **state)
{
    (void)state;
    static const struct {
        const char *pattern;
        const char *key;
        bool is_match;
    } examples[] = {
        {"a.b", "a.b", true},
        {"a.b", "a.c", false},
        {"a.*", "a.b", true},
        {"a.*", "a", false},
        {"a.*", "a.b.c", false},
        {"a.#", "a", true},
        {"a.#", "a.b.c", true},
        {"#", "", true},
        {"*", "", false},
        {"#.c", "a.b.c", true},
        {"#.c", "c", true},
        {"#.c", "a.c.b", false},
        {"a.#.c.#.e", "a.c.e", true},
        {"a.#.c.#.e", "a.e.c", false},
        {"", "", true},
        {"", "a", false},
        {"a", "", false},
        {"*.*", "a.", true},
        {"A", "a", false},
        {"a*", "ab", false},
        {"#.#", "a", true},
    };
    for (size_t i = 0; i < sizeof(examples) / sizeof(examples[0]); i++) {
        if (destination_matches(slice_of(examples[i].pattern), slice_of(examples[i].key)) !=
            examples[i].is_match) {
            fail_msg("'%s' and '%s'", examples[i].pattern, examples[i].key);
        }
    }
    assert_true(destination_matches((struct slice){NULL, 0}, (struct slice){NULL, 0}));
}

/* 120 times "#.a" against 127 words: the naive way would take longer than the universe. */
static void test_matches_many_hashes_quickly(void **state)
{
    (void)state;
    char pattern[600] = "";
    char key[300] = "a";
    for (int i = 0; i < 120; i++) {
        strcat(pattern, "#.a.");
    }
    strcat(pattern, "b");
    for (int i = 0; i < 126; i++) {
        strcat(key, ".a");
    }
    assert_false(destination_matches(slice_of(pattern), slice_of(key)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_resolve_table),
        cmocka_unit_test(test_resolve_nul_is_control),
        cmocka_unit_test(test_resolve_every_byte),
        cmocka_unit_test(test_resolve_without_routes),
        cmocka_unit_test(test_spell_leads_back),
        cmocka_unit_test(test_spell_random_pairs_lead_back),
        cmocka_unit_test(test_spell_table),
        cmocka_unit_test(test_spell_that_does_not_fit),
        cmocka_unit_test(test_error_texts),
        cmocka_unit_test(test_error_body_is_bounded),
        cmocka_unit_test(test_matches_like_the_definition),
        cmocka_unit_test(test_matches_examples),
        cmocka_unit_test(test_matches_many_hashes_quickly),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
