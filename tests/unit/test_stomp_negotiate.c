/* Versions, heart-beats, UTF-8: the small pure functions. */
#include "tests/unit/stomp_testing.h"

#define N_OF(array) (sizeof(array) / sizeof((array)[0]))

struct version_case {
    const char *accept; /* NULL: absent */
    int want;           /* -1: nothing in common */
};

static const struct version_case versions[] = {
    {NULL, STOMP_1_0},
    {"1.0", STOMP_1_0},
    {"1.1", STOMP_1_1},
    {"1.2", STOMP_1_2},
    {"1.2,1.1,1.0", STOMP_1_2},
    {"1.0,1.1,1.2", STOMP_1_2},
    {"1.1,1.0", STOMP_1_1},
    {"1.1,1.2", STOMP_1_2},
    {"1.2, 1.1, 1.0", STOMP_1_2},
    {" 1.0 , 1.1 ", STOMP_1_1},
    {"\t1.1\t", STOMP_1_1},
    {"1.3,1.1", STOMP_1_1},
    {"2.0,1.0,foo", STOMP_1_0},
    {",,1.0", STOMP_1_0},
    {"1.0,", STOMP_1_0},
    {"", -1},
    {" ", -1},
    {",", -1},
    {"1.3", -1},
    {"1.", -1},
    {"1.20", -1},
    {"01.2", -1},
    {"1.2;1.1", -1},
    {"v12.stomp", -1},
    {"1 .2", -1},
};

static void test_version(void **state)
{
    const struct version_case *c = *state;
    enum stomp_version version = STOMP_1_0;
    int result = stomp_version_negotiate(slice_of(c->accept), &version);
    assert_int_equal(result, c->want < 0 ? -1 : 0);
    if (c->want >= 0) {
        assert_int_equal(version, c->want);
    }
}

static void test_version_str(void **state)
{
    (void)state;
    assert_string_equal(stomp_version_str(STOMP_1_0), "1.0");
    assert_string_equal(stomp_version_str(STOMP_1_1), "1.1");
    assert_string_equal(stomp_version_str(STOMP_1_2), "1.2");
}

struct heartbeat_case {
    const char *value; /* NULL: absent */
    int result;
    uint32_t cx_ms;
    uint32_t cy_ms;
};

#define DAY 86400000u

static const struct heartbeat_case heartbeats[] = {
    {NULL, 0, 0, 0},
    {"0,0", 0, 0, 0},
    {"10000,10000", 0, 10000, 10000},
    {"1000,0", 0, 1000, 0},
    {"0,1", 0, 0, 1},
    {"10000, 20000", 0, 10000, 20000},
    {" 10000 ,\t20000 ", 0, 10000, 20000},
    {"00010,5", 0, 10, 5},
    {"86400000,86400001", 0, DAY, DAY},
    {"4294967296,4294967297", 0, DAY, DAY},
    {"18446744073709551617,99999999999999999999999999", 0, DAY, DAY},
    {"", -1, 0, 0},
    {" ", -1, 0, 0},
    {",", -1, 0, 0},
    {"1", -1, 0, 0},
    {"1,", -1, 0, 0},
    {",1", -1, 0, 0},
    {"1,2,3", -1, 0, 0},
    {"1,2,", -1, 0, 0},
    {"-1,5", -1, 0, 0},
    {"1,-5", -1, 0, 0},
    {"+1,5", -1, 0, 0},
    {"1.5,2", -1, 0, 0},
    {"1;2", -1, 0, 0},
    {"1 2", -1, 0, 0},
    {"1 2,3", -1, 0, 0},
    {"0x10,1", -1, 0, 0},
    {"abc", -1, 0, 0},
    {"a,b", -1, 0, 0},
    {"1,2x", -1, 0, 0},
};

static void test_heartbeat(void **state)
{
    const struct heartbeat_case *c = *state;
    uint32_t cx_ms = 77;
    uint32_t cy_ms = 88;
    assert_int_equal(stomp_heartbeat_parse(slice_of(c->value), &cx_ms, &cy_ms), c->result);
    assert_int_equal(cx_ms, c->result == 0 ? c->cx_ms : 77);
    assert_int_equal(cy_ms, c->result == 0 ? c->cy_ms : 88);
}

static void test_heartbeat_agree(void **state)
{
    (void)state;
    assert_int_equal(stomp_heartbeat_agree(0, 0), 0);
    assert_int_equal(stomp_heartbeat_agree(0, 1000), 0);
    assert_int_equal(stomp_heartbeat_agree(1000, 0), 0);
    assert_int_equal(stomp_heartbeat_agree(1000, 2000), 2000);
    assert_int_equal(stomp_heartbeat_agree(2000, 1000), 2000);
    assert_int_equal(stomp_heartbeat_agree(5, 5), 5);
}

/* The same answer by the definition: decode, and look at the number (RFC 3629, section 3). */
static bool is_utf8_slowly(const unsigned char *at, size_t len)
{
    while (len > 0) {
        size_t n = at[0] < 0x80 ? 1 : at[0] < 0xe0 ? 2 : at[0] < 0xf0 ? 3 : 4;
        uint32_t number = at[0] < 0x80 ? at[0] : at[0] & (0xffu >> (n + 1));
        static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
        if ((at[0] >= 0x80 && at[0] < 0xc0) || at[0] >= 0xf8 || n > len) {
            return false;
        }
        for (size_t i = 1; i < n; i++) {
            if ((at[i] & 0xc0) != 0x80) {
                return false;
            }
            number = number << 6 | (at[i] & 0x3f);
        }
        if (number < least[n] || number > 0x10ffff || (number >= 0xd800 && number <= 0xdfff)) {
            return false;
        }
        at += n;
        len -= n;
    }
    return true;
}

static bool is_utf8_in_two(const unsigned char *bytes, size_t len, size_t cut)
{
    struct stomp_utf8 text = {0};
    return stomp_utf8_feed(&text, bytes, cut, false) &&
           stomp_utf8_feed(&text, bytes + cut, len - cut, true);
}

static bool is_utf8_by_byte(const unsigned char *bytes, size_t len)
{
    struct stomp_utf8 text = {0};
    for (size_t i = 0; i < len; i++) {
        if (!stomp_utf8_feed(&text, bytes + i, 1, i + 1 == len)) {
            return false;
        }
    }
    return true;
}

/* At the end of readable memory, and behind 0, 15 and 16 bytes of ASCII. */
static void assert_same_answer(const unsigned char *bytes, size_t len)
{
    bool want = is_utf8_slowly(bytes, len);
    uint8_t *end = guard_page();
    memcpy(end - len, bytes, len);
    memset(end - len - 16, 'a', 16);
    assert_int_equal(stomp_is_utf8(end - len, len), want);
    assert_int_equal(stomp_is_utf8(end - len - 15, len + 15), want);
    assert_int_equal(stomp_is_utf8(end - len - 16, len + 16), want);
    for (size_t cut = 0; cut <= len; cut++) {
        assert_int_equal(is_utf8_in_two(end - len, len, cut), want);
    }
    assert_int_equal(is_utf8_by_byte(end - len, len), want);
}

/* What cannot become valid is told at once; what can is not, before its end. */
static void test_utf8_in_pieces(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        bool can_go_on;
    } begun[] = {
        {"\xc2", true},         {"\xe0", true},          {"\xe0\xa0", true},
        {"\xf4\x8f\xbf", true}, {"\xed\x9f", true},      {"\xc1", false},
        {"\xe0\x9f", false},    {"\xed\xa0", false},     {"\xf4\x90", false},
        {"\xf0\x8f", false},    {"\xf5", false},         {"\x80", false},
        {"\xe1\x41", false},    {"\xf1\x80\x41", false}, {"\xf1\x80\x80", true},
    };
    for (size_t i = 0; i < N_OF(begun); i++) {
        struct stomp_utf8 text = {0};
        size_t len = strlen(begun[i].bytes);
        assert_int_equal(stomp_utf8_feed(&text, begun[i].bytes, len, false), begun[i].can_go_on);
        text = (struct stomp_utf8){0};
        assert_false(stomp_utf8_feed(&text, begun[i].bytes, len, true));
    }
}

static void test_utf8_all_of_two_bytes(void **state)
{
    (void)state;
    assert_true(stomp_is_utf8(NULL, 0));
    for (unsigned n = 0; n < 65536; n++) {
        unsigned char bytes[] = {(unsigned char)(n >> 8), (unsigned char)n};
        assert_same_answer(bytes + 1, 1);
        assert_same_answer(bytes, 2);
    }
}

/* Every first and second byte, with thirds and fourths at the borders. */
static void test_utf8_three_and_four_bytes(void **state)
{
    (void)state;
    static const unsigned char borders[] = {0x00, 0x7f, 0x80, 0xbf, 0xc0, 0xff};
    for (unsigned n = 0x8000; n < 65536; n++) {
        for (size_t i = 0; i < sizeof(borders); i++) {
            for (size_t j = 0; j < sizeof(borders); j++) {
                unsigned char bytes[] = {(unsigned char)(n >> 8), (unsigned char)n, borders[i],
                                         borders[j]};
                assert_same_answer(bytes, 3);
                assert_same_answer(bytes, 4);
            }
        }
    }
}

static void test_utf8_one_bad_byte_anywhere(void **state)
{
    (void)state;
    unsigned char text[80];
    for (size_t at = 0; at < sizeof(text); at++) {
        memset(text, 'x', sizeof(text));
        assert_true(stomp_is_utf8(text, sizeof(text)));
        text[at] = 0xff;
        assert_false(stomp_is_utf8(text, sizeof(text)));
        assert_true(stomp_is_utf8(text, at));
    }
}

int main(void)
{
    static char names[N_OF(versions) + N_OF(heartbeats)][64];
    static struct CMUnitTest tests[N_OF(versions) + N_OF(heartbeats) + 6];
    size_t n = 0;
    for (size_t i = 0; i < N_OF(versions); i++, n++) {
        const char *accept = versions[i].accept;
        snprintf(names[n], sizeof(names[n]), "accept-version '%s'", accept ? accept : "(absent)");
        tests[n] = (struct CMUnitTest){names[n], test_version, NULL, NULL,
                                       (void *)(uintptr_t)&versions[i]};
    }
    for (size_t i = 0; i < N_OF(heartbeats); i++, n++) {
        const char *value = heartbeats[i].value;
        snprintf(names[n], sizeof(names[n]), "heart-beat '%s'", value ? value : "(absent)");
        tests[n] = (struct CMUnitTest){names[n], test_heartbeat, NULL, NULL,
                                       (void *)(uintptr_t)&heartbeats[i]};
    }
    tests[n++] = (struct CMUnitTest)cmocka_unit_test(test_version_str);
    tests[n++] = (struct CMUnitTest)cmocka_unit_test(test_heartbeat_agree);
    tests[n++] = (struct CMUnitTest)cmocka_unit_test(test_utf8_all_of_two_bytes);
    tests[n++] = (struct CMUnitTest)cmocka_unit_test(test_utf8_three_and_four_bytes);
    tests[n++] = (struct CMUnitTest)cmocka_unit_test(test_utf8_one_bad_byte_anywhere);
    tests[n++] = (struct CMUnitTest)cmocka_unit_test(test_utf8_in_pieces);
    return _cmocka_run_group_tests("stomp_negotiate", tests, n, NULL, NULL);
}
