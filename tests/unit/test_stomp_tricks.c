/* Escapes and content-lengths that try it on, one test each, and every byte value at every place.
 */
#include "tests/unit/stomp_testing.h"

/* A value, and how it is refused in a SEND of 1.1 and 1.2 (threats A3). */
static const char *const bad_escapes[] = {
    "\\t",        "\\a",
    "\\b",        "\\f",
    "\\v",        "\\0",
    "\\1",        "\\x41",
    "\\u0041",    "\\N",
    "\\R",        "\\C",
    "\\:",        "\\/",
    "\\ ",        "\\ n",
    "\\\"",       "\\'",
    "\\e",        "\\s",
    "\\d",        "\\ca\\",
    "\\\\\\",     "\\",
    "a\\",        "a\\tb",
    "\\n\\t",     "\\\\\\t",
    "\\c\\c\\",   "\\n\\r\\z",
    "\\\xc3\xa9", "\\\t",
    "\\\x7f",     "\\\x01",
    "\\-n",       "\\.",
    "\\,",        "\\;",
    "\\%0a",      "\\&",
    "\\#",        "\\{n}",
    "\\\\c\\x",   "\\r\\",
    "\\cn\\o",    "\\\xf0\x9f\x98\x80",
};

/* The header lines of a SEND, and how the body "12345" NUL is taken with them (threats A5). */
struct length_trick {
    const char *headers;
    const char *want; /* what the text begins with, if that is "!", else ends with */
};

static const struct length_trick length_tricks[] = {
    {"content-length:5\n", "[12345]"},
    {"content-length:05\n", "[12345]"},
    {"content-length:00000000000000000000000000000000005\n", "[12345]"},
    {"content-length:5\ncontent-length:5\n", "[12345]"},
    {"content-length:5\nx:1\ncontent-length:05\n", "[12345]"},
    {"Content-length:2\n", "[12345]"},
    {"content-length\\c:2\n", "[12345]"},
    {"content-lengt:2\n", "[12345]"},
    {"content-lengthy:2\n", "[12345]"},
    {"content-length :2\n", "[12345]"},
    {"content-length:5\r\n", "[12345]"},
    {"content-length:-1\n", "!CONTENT_LENGTH"},
    {"content-length:-0\n", "!CONTENT_LENGTH"},
    {"content-length:-5\n", "!CONTENT_LENGTH"},
    {"content-length:+5\n", "!CONTENT_LENGTH"},
    {"content-length:0x5\n", "!CONTENT_LENGTH"},
    {"content-length:0x10\n", "!CONTENT_LENGTH"},
    {"content-length:5h\n", "!CONTENT_LENGTH"},
    {"content-length:1e3\n", "!CONTENT_LENGTH"},
    {"content-length:5.0\n", "!CONTENT_LENGTH"},
    {"content-length:5,0\n", "!CONTENT_LENGTH"},
    {"content-length:5,5\n", "!CONTENT_LENGTH"},
    {"content-length:5 \n", "!CONTENT_LENGTH"},
    {"content-length: 5\n", "!CONTENT_LENGTH"},
    {"content-length:\t5\n", "!CONTENT_LENGTH"},
    {"content-length:5\\r\n", "!CONTENT_LENGTH"},
    {"content-length:5\\n\n", "!CONTENT_LENGTH"},
    {"content-length:5\\c\n", "!CONTENT_LENGTH"},
    {"content-length:\n", "!CONTENT_LENGTH"},
    {"content-length: \n", "!CONTENT_LENGTH"},
    {"content-length::5\n", "!CONTENT_LENGTH"},
    {"content-length:five\n", "!CONTENT_LENGTH"},
    {"content-length:NaN\n", "!CONTENT_LENGTH"},
    {"content-length:'5'\n", "!CONTENT_LENGTH"},
    {"content-length:\xd9\xa5\n", "!CONTENT_LENGTH"},
    {"content-length:5_\n", "!CONTENT_LENGTH"},
    {"content-length:/\n", "!CONTENT_LENGTH"},
    {"content-length:5;\n", "!CONTENT_LENGTH"},
    {"content-length:5\ncontent-length:4\n", "!CONTENT_LENGTH"},
    {"content-length:4\ncontent-length:5\n", "!CONTENT_LENGTH"},
    {"content-length:5\ncontent-length:\n", "!CONTENT_LENGTH"},
    {"content-length:5\ncontent-length:x\n", "!CONTENT_LENGTH"},
    {"content-length:0\ncontent-length:5\n", "!CONTENT_LENGTH"},
    {"content-length:4\n", "!NO_NUL"},
    {"content-length:0\n", "!NO_NUL"},
    {"content-length:1048577\n", "!BODY_TOO_LONG"},
    {"content-length:2147483648\n", "!BODY_TOO_LONG"},
    {"content-length:4294967295\n", "!BODY_TOO_LONG"},
    {"content-length:4294967296\n", "!BODY_TOO_LONG"},
    {"content-length:4294967301\n", "!BODY_TOO_LONG"},
    {"content-length:9223372036854775807\n", "!BODY_TOO_LONG"},
    {"content-length:9223372036854775808\n", "!BODY_TOO_LONG"},
    {"content-length:18446744073709551615\n", "!BODY_TOO_LONG"},
    {"content-length:18446744073709551616\n", "!BODY_TOO_LONG"},
    {"content-length:18446744073709551621\n", "!BODY_TOO_LONG"},
    {"content-length:99999999999999999999999999999999999999999999\n", "!BODY_TOO_LONG"},
    {"content-length:6\n", "..."},
    {"content-length:1048576\n", "..."},
};

#define N_OF(array) (sizeof(array) / sizeof((array)[0]))

static void assert_outcome(const struct run *r, const char *want)
{
    size_t n = strlen(want);
    if (want[0] == '!') {
        assert_memory_equal(r->text, want, n);
        assert_int_equal(r->text[n], ' ');
        return;
    }
    assert_true(r->text_len >= n);
    assert_string_equal(r->text + r->text_len - n, want);
}

/* Whole, byte by byte, and split at each point. */
static void check(const char *in, size_t len, enum stomp_version version, const char *want)
{
    static struct run r;
    struct stomp_case c = {"", version, in, len, want, NULL};
    run_in_steps(&r, &c, len + 1);
    assert_outcome(&r, want);
    run_in_steps(&r, &c, 1);
    assert_outcome(&r, want);
    for (size_t at = 0; at <= len; at++) {
        run_split(&r, &c, at);
        assert_outcome(&r, want);
    }
}

static void test_bad_escape(void **state)
{
    char in[256];
    int n = snprintf(in, sizeof(in), "SEND\nreceipt:1\nx:%s\n\n%c", (const char *)*state, 0);
    for (int version = STOMP_1_1; version <= STOMP_1_2; version++) {
        check(in, (size_t)n, (enum stomp_version)version, "!ESCAPE");
    }
}

static void test_length(void **state)
{
    const struct length_trick *trick = *state;
    char in[256];
    int n = snprintf(in, sizeof(in), "SEND\n%s\n12345%c", trick->headers, 0);
    check(in, (size_t)n, STOMP_1_2, trick->want);
}

/* Every byte value at one place of a frame. */
struct place {
    const char *name;
    const char *before;
    const char *behind; /* a NUL follows */
    enum stomp_version version;
    const char *(*want)(const struct place *place, unsigned char c);
};

/* The text with the byte in it as the runner shows it. */
static const char *with_byte(const char *before, unsigned char c, const char *behind)
{
    static struct run r;
    run_init(&r, NULL, STOMP_1_2);
    put_bytes(&r, slice_of(before));
    put_bytes(&r, (struct slice){(const char *)&c, 1});
    put_bytes(&r, slice_of(behind));
    return r.text;
}

static bool is_control(unsigned char c)
{
    return c < ' ' || c == 0x7f;
}

static const char *want_in_value(const struct place *place, unsigned char c)
{
    if (c == '\0') {
        return "!CONTROL SEND{}";
    }
    if (c == '\n') {
        return "!NO_COLON SEND{x=a}";
    }
    if (c == '\r') {
        return "!LINE_END SEND{}";
    }
    if (c == '\\' && place->version != STOMP_1_0) {
        return "!ESCAPE SEND{}";
    }
    return c >= 0x80 ? "!UTF8 SEND{}" : with_byte("SEND{x=a", c, "b}");
}

static const char *want_in_name(const struct place *place, unsigned char c)
{
    if (c == '\n') {
        return "!NO_COLON SEND{}";
    }
    if (c == '\r') {
        return "!LINE_END SEND{}";
    }
    if (c == ':') {
        return "SEND{a=b:1}";
    }
    if (c == '\\' && place->version != STOMP_1_0) {
        return "!ESCAPE SEND{}";
    }
    if (is_control(c)) {
        return "!CONTROL SEND{}";
    }
    return c >= 0x80 ? "!UTF8 SEND{}" : with_byte("SEND{a", c, "b=1}");
}

static const char *want_escaped_in_value(const struct place *place, unsigned char c)
{
    (void)place;
    switch (c) {
    case 'n':
        return "SEND{x=a\\x0ab}";
    case 'r':
        return "SEND{x=a\\x0db}";
    case 'c':
        return "SEND{x=a:b}";
    case '\\':
        return "SEND{x=a\\b}";
    default:
        return "!ESCAPE SEND{}";
    }
}

static const char *want_escaped_in_name(const struct place *place, unsigned char c)
{
    (void)place;
    switch (c) {
    case 'n':
    case 'r':
        return "!CONTROL SEND{}";
    case 'c':
        return "SEND{a:b=1}";
    case '\\':
        return "SEND{a\\b=1}";
    default:
        return "!ESCAPE SEND{}";
    }
}

static const char *want_in_command(const struct place *place, unsigned char c)
{
    (void)place;
    if (c == '\n') {
        return "!NO_COLON SE{}";
    }
    if (c == '\r') {
        return "!LINE_END {}";
    }
    return c <= ' ' || c >= 0x7f ? "!COMMAND {}" : with_byte("SE", c, "ND{}");
}

static const char *want_first(const struct place *place, unsigned char c)
{
    (void)place;
    if (c == '\n') {
        return "~ACK{}";
    }
    if (c == '\r') {
        return "!LINE_END {}";
    }
    return c <= ' ' || c >= 0x7f ? "!BETWEEN {}" : with_byte("", c, "ACK{}");
}

static const char *want_behind_body(const struct place *place, unsigned char c)
{
    (void)place;
    return c == '\0' ? "SEND{content-length=1}[x]" : "!NO_NUL SEND{content-length=1}";
}

static const char *want_in_body(const struct place *place, unsigned char c)
{
    (void)place;
    return with_byte("SEND{content-length=3}[a", c, "b]");
}

static const struct place places[] = {
    {"every byte in a value, 1.0", "SEND\nx:a", "b\n\n", STOMP_1_0, want_in_value},
    {"every byte in a value, 1.1", "SEND\nx:a", "b\n\n", STOMP_1_1, want_in_value},
    {"every byte in a value, 1.2", "SEND\nx:a", "b\n\n", STOMP_1_2, want_in_value},
    {"every byte in a name, 1.0", "SEND\na", "b:1\n\n", STOMP_1_0, want_in_name},
    {"every byte in a name, 1.1", "SEND\na", "b:1\n\n", STOMP_1_1, want_in_name},
    {"every byte in a name, 1.2", "SEND\na", "b:1\n\n", STOMP_1_2, want_in_name},
    {"every escape in a value, 1.1", "SEND\nx:a\\", "b\n\n", STOMP_1_1, want_escaped_in_value},
    {"every escape in a value, 1.2", "SEND\nx:a\\", "b\n\n", STOMP_1_2, want_escaped_in_value},
    {"every escape in a name, 1.1", "SEND\na\\", "b:1\n\n", STOMP_1_1, want_escaped_in_name},
    {"every escape in a name, 1.2", "SEND\na\\", "b:1\n\n", STOMP_1_2, want_escaped_in_name},
    {"every byte in the command", "SE", "ND\n\n", STOMP_1_2, want_in_command},
    {"every byte first", "", "ACK\n\n", STOMP_1_2, want_first},
    {"every byte behind a body", "SEND\ncontent-length:1\n\nx", NULL, STOMP_1_2, want_behind_body},
    {"every byte in a body", "SEND\ncontent-length:3\n\na", "b", STOMP_1_2, want_in_body},
};

static void test_every_byte(void **state)
{
    const struct place *place = *state;
    static struct run r;
    for (unsigned c = 0; c < 256; c++) {
        char in[128];
        int n = place->behind
                    ? snprintf(in, sizeof(in), "%s%c%s%c", place->before, (int)c, place->behind, 0)
                    : snprintf(in, sizeof(in), "%s%c", place->before, (int)c);
        struct stomp_case one = {"", place->version, in, (size_t)n, "", NULL};
        const char *want = place->want(place, (unsigned char)c);
        run_in_steps(&r, &one, one.in_len);
        assert_string_equal(r.text, want);
        for (size_t at = 0; at <= one.in_len; at++) {
            run_split(&r, &one, at);
            assert_string_equal(r.text, want);
        }
    }
}

static char names[N_OF(bad_escapes) + N_OF(length_tricks)][96];
static struct CMUnitTest tests[N_OF(bad_escapes) + N_OF(length_tricks) + N_OF(places)];
static size_t n_tests;

static void add(const char *what, const char *text, CMUnitTestFunction function, const void *state)
{
    static struct run shown;
    run_init(&shown, NULL, STOMP_1_2);
    put_bytes(&shown, slice_of(text));
    snprintf(names[n_tests], sizeof(names[0]), "%s %.64s", what, shown.text);
    tests[n_tests] =
        (struct CMUnitTest){names[n_tests], function, NULL, NULL, (void *)(uintptr_t)state};
    n_tests++;
}

int main(void)
{
    for (size_t i = 0; i < N_OF(bad_escapes); i++) {
        add("bad escape", bad_escapes[i], test_bad_escape, bad_escapes[i]);
    }
    for (size_t i = 0; i < N_OF(length_tricks); i++) {
        add("length", length_tricks[i].headers, test_length, &length_tricks[i]);
    }
    for (size_t i = 0; i < N_OF(places); i++) {
        tests[n_tests++] = (struct CMUnitTest){places[i].name, test_every_byte, NULL, NULL,
                                               (void *)(uintptr_t)&places[i]};
    }
    return _cmocka_run_group_tests("stomp_tricks", tests, n_tests, NULL, NULL);
}
