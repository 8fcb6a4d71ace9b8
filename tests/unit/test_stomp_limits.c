/* Every limit, at it and one over: small limits with all the splits, the real ones in a few step
 * sizes (threats A4, A6). */
#include "tests/unit/stomp_testing.h"

#define V2 STOMP_1_2

/*                                         frame headers name value block body */
static const struct stomp_limits small = {0, 2, 4, 6, 24, 8};
static const struct stomp_limits frame_20 = {20, 2, 9, 9, 24, 16};
static const struct stomp_limits frame_26 = {26, 2, 16, 9, 24, 16};
static const struct stomp_limits nothing = {0, 0, 4, 6, 24, 0};
static const struct stomp_limits huge = {0, 1000, 1000, 8192, 65536, 16};

static const struct stomp_case cases[] = {
    /* clang-format off */
    {"name of 4", V2, IN("SEND\nabcd:1\n\n\0"), "SEND{abcd=1}", &small},
    {"name of 5", V2, IN("SEND\nabcde:1\n\n\0"), "!NAME_TOO_LONG SEND{}", &small},
    {"name of 5, colon not seen", V2, IN("SEND\nx:1\nabcde"), "!NAME_TOO_LONG SEND{x=1}", &small},
    {"line of 4 without colon", V2, IN("SEND\nabcd\n"), "!NO_COLON SEND{}", &small},
    {"line of 4 without colon, CR LF", V2, IN("SEND\nabcd\r\n"), "!NO_COLON SEND{}", &small},
    {"name of 4 as sent", V2, IN("SEND\nab\\c:1\n\n\0"), "SEND{ab:=1}", &small},
    {"name of 5 as sent", V2, IN("SEND\nabc\\c:1\n\n\0"), "!NAME_TOO_LONG SEND{}", &small},
    {"name of 6 as sent", V2, IN("SEND\nabcd\\c:1\n\n\0"), "!NAME_TOO_LONG SEND{}", &small},
    {"name of 5 in CONNECT", V2, IN("CONNECT\nabcde:1\n\n\0"), "!NAME_TOO_LONG CONNECT{}", &small},
    {"value of 6", V2, IN("SEND\na:123456\n\n\0"), "SEND{a=123456}", &small},
    {"value of 6, CR LF", V2, IN("SEND\na:123456\r\n\r\n\0"), "SEND{a=123456}", &small},
    {"value of 7", V2, IN("SEND\na:1234567\n\n\0"), "!VALUE_TOO_LONG SEND{}", &small},
    {"value of 7, end not seen", V2, IN("SEND\nx:1\na:1234567"), "!VALUE_TOO_LONG SEND{x=1}", &small},
    {"value of 6 as sent", V2, IN("SEND\na:\\n\\r\\c\n\n\0"), "SEND{a=\\x0a\\x0d:}", &small},
    {"value of 7 as sent", V2, IN("SEND\na:12345\\n\n\n\0"), "!VALUE_TOO_LONG SEND{}", &small},
    {"value of 8 as sent", V2, IN("SEND\na:123456\\n\n\n\0"), "!VALUE_TOO_LONG SEND{}", &small},
    {"value of 7 with blanks in 1.0", STOMP_1_0, IN("SEND\na: 123456\n\n\0"), "!VALUE_TOO_LONG SEND{}", &small},
    {"2 headers", V2, IN("SEND\na:1\nb:2\n\n\0"), "SEND{a=1;b=2}", &small},
    {"3 headers", V2, IN("SEND\na:1\nb:2\nc:3\n\n\0"), "!TOO_MANY SEND{a=1;b=2}", &small},
    {"3 headers of one name", V2, IN("SEND\na:1\na:2\na:3\n\n\0"), "!TOO_MANY SEND{a=1;a=2}", &small},
    {"no headers allowed, none sent", V2, IN("SEND\n\n\0"), "SEND{}", &nothing},
    {"no headers allowed, one sent", V2, IN("SEND\na:\n\n\0"), "!TOO_MANY SEND{}", &nothing},
    {"block of 24", V2, IN("SEND\nabcd:123456\nabcd:12345\n\nx\0"), "SEND{abcd=123456;abcd=12345}[x]", &small},
    {"block of 25", V2, IN("SEND\nabcd:123456\nabcd:123456\n\nx\0"), "!BLOCK_TOO_LONG SEND{abcd=123456;abcd=123456}", &small},
    {"block of 25, CR LF", V2, IN("SEND\nabcd:123456\nabcd:12345\n\r\nx\0"), "!BLOCK_TOO_LONG SEND{abcd=123456;abcd=12345}", &small},
    {"block does not count the command's CR", V2, IN("SEND\r\nabcd:123456\nabcd:12345\n\nx\0"), "SEND{abcd=123456;abcd=12345}[x]", &small},
    {"body of 8", V2, IN("SEND\n\n12345678\0"), "SEND{}[12345678]", &small},
    {"body of 9", V2, IN("SEND\na:1\n\n123456789\0"), "!BODY_TOO_LONG SEND{a=1}", &small},
    {"body of 9, end not seen", V2, IN("SEND\n\n123456789"), "!BODY_TOO_LONG SEND{}", &small},
    {"two bodies of 8", V2, IN("SEND\n\n12345678\0SEND\n\n12345678\0"), "SEND{}[12345678]SEND{}[12345678]", &small},
    {"no body allowed, none sent", V2, IN("SEND\n\n\0"), "SEND{}", &nothing},
    {"no body allowed, one sent", V2, IN("SEND\n\n1\0"), "!BODY_TOO_LONG SEND{}", &nothing},
    {"frame of 20", V2, IN("SEND\na:1\n\n123456789\0"), "SEND{a=1}[123456789]", &frame_20},
    {"frame of 21", V2, IN("SEND\na:1\n\n1234567890\0"), "!FRAME_TOO_LONG SEND{a=1}", &frame_20},
    {"frame of 20 without NUL", V2, IN("SEND\na:1\n\n1234567890"), "!FRAME_TOO_LONG SEND{a=1}", &frame_20},
    {"frame of 19 without NUL", V2, IN("SEND\na:1\n\n123456789"), "...", &frame_20},
    {"frames of 20", V2, IN("SEND\na:1\n\n123456789\0\nSEND\na:1\n\n123456789\0"), "SEND{a=1}[123456789]~SEND{a=1}[123456789]", &frame_20},
    {"frame of 20 headers", V2, IN("SEND\na:123456\nb:1234"), "...", &frame_20},
    {"frame of 21 headers", V2, IN("SEND\na:123456\nb:12345"), "!FRAME_TOO_LONG SEND{a=123456}", &frame_20},
    {"command over the frame limit", V2, IN("ABCDEFGHIJKLMNOPQRSTU"), "!FRAME_TOO_LONG {}", &frame_20},
    {"frame of 20 without a body", V2, IN("ACK\na:123456\nb:1\n\n\0"), "ACK{a=123456;b=1}", &frame_20},
    {"frame of 21 without a body", V2, IN("ACK\na:123456\nb:1234\n\n\0"), "!FRAME_TOO_LONG ACK{a=123456;b=1234}", &frame_20},
    {"announced frame of 26", V2, IN("SEND\ncontent-length:2\n\n12\0"), "SEND{content-length=2}[12]", &frame_26},
    {"announced frame of 27", V2, IN("SEND\ncontent-length:3\n\n"), "!FRAME_TOO_LONG SEND{content-length=3}", &frame_26},
    {"announced body over both", V2, IN("SEND\ncontent-length:17\n\n"), "!BODY_TOO_LONG SEND{content-length=17}", &frame_26},
    {"announced, on a frame without body", V2, IN("ACK\ncontent-length:17\n\n"), "!BODY ACK{content-length=17}", &frame_26},
    {"announced body of 16", V2, IN("SEND\ncontent-length:16\n\n1234567890123456\0"), "SEND{content-length=16}[1234567890123456]", &huge},
    {"announced body of 17", V2, IN("SEND\ncontent-length:17\n\n"), "!BODY_TOO_LONG SEND{content-length=17}", &huge},
    /* clang-format on */
};

/* A SEND whose only large part has `n` bytes or, of headers, is `n` many. */
struct large {
    const char *name;
    enum { NAME, VALUE, HEADERS, BLOCK, OPEN_BODY, KNOWN_BODY, FRAME } part;
    size_t n;
    const char *want; /* "!ERROR", or NULL when it is taken */
    const struct stomp_limits *limits;
};

static const struct stomp_limits before_connected = {16384, 64, 128, 8192, 32768, 1024 * 1024};

static const struct large larges[] = {
    {"name of 128", NAME, 128, NULL, &default_limits},
    {"name of 129", NAME, 129, "!NAME_TOO_LONG ", &default_limits},
    {"name of 255, limit 1000", NAME, 255, NULL, &huge},
    {"name of 256, limit 1000", NAME, 256, "!NAME_TOO_LONG ", &huge},
    {"value of 8192", VALUE, 8192, NULL, &default_limits},
    {"value of 8193", VALUE, 8193, "!VALUE_TOO_LONG ", &default_limits},
    {"64 headers", HEADERS, 64, NULL, &default_limits},
    {"65 headers", HEADERS, 65, "!TOO_MANY ", &default_limits},
    {"64 headers, limit 1000", HEADERS, 64, NULL, &huge},
    {"65 headers, limit 1000", HEADERS, 65, "!TOO_MANY ", &huge},
    {"block of 32768", BLOCK, 32768, NULL, &default_limits},
    {"block of 32769", BLOCK, 32769, "!BLOCK_TOO_LONG ", &default_limits},
    {"open body of 1 MiB", OPEN_BODY, 1048576, NULL, &default_limits},
    {"open body of 1 MiB + 1", OPEN_BODY, 1048577, "!BODY_TOO_LONG ", &default_limits},
    {"known body of 1 MiB", KNOWN_BODY, 1048576, NULL, &default_limits},
    {"known body of 1 MiB + 1", KNOWN_BODY, 1048577, "!BODY_TOO_LONG ", &default_limits},
    {"frame of 16384", FRAME, 16384, NULL, &before_connected},
    {"frame of 16385", FRAME, 16385, "!FRAME_TOO_LONG ", &before_connected},
};

static char large_in[1100 * 1024];

static size_t add_fill(size_t len, char byte, size_t n)
{
    memset(large_in + len, byte, n);
    return len + n;
}

static size_t add_text(size_t len, const char *text)
{
    memcpy(large_in + len, text, strlen(text));
    return len + strlen(text);
}

/* Header lines of `n` bytes in sum, none of them over another limit. */
static size_t add_lines(size_t len, size_t n)
{
    while (n > 0) {
        size_t line = n > 8000 ? 8000 : n;
        line = n - line > 0 && n - line < 10 ? line - 10 : line;
        len = add_text(len, "a:");
        len = add_fill(len, 'v', line - 3);
        len = add_text(len, "\n");
        n -= line;
    }
    return len;
}

static size_t build(const struct large *l)
{
    char known[64];
    size_t len = add_text(0, "SEND\n");
    switch (l->part) {
    case NAME:
        len = add_fill(len, 'n', l->n);
        len = add_text(len, ":1\n\n");
        break;
    case VALUE:
        len = add_text(len, "a:");
        len = add_fill(len, 'v', l->n);
        len = add_text(len, "\n\n");
        break;
    case HEADERS:
        for (size_t i = 0; i < l->n; i++) {
            len = add_text(len, "a:1\n");
        }
        len = add_text(len, "\n");
        break;
    case BLOCK:
        len = add_lines(len, l->n - 1);
        len = add_text(len, "\n");
        break;
    case KNOWN_BODY:
        snprintf(known, sizeof(known), "content-length:%zu\n\n", l->n);
        len = add_text(len, known);
        len = add_fill(len, 'b', l->n);
        break;
    case OPEN_BODY:
        len = add_text(len, "\n");
        len = add_fill(len, 'b', l->n);
        break;
    case FRAME:
        len = add_text(len, "\n");
        len = add_fill(len, 'b', l->n - len - 1);
        break;
    }
    return add_fill(len, '\0', 1);
}

static void test_large(void **state)
{
    const struct large *l = *state;
    static struct run r;
    struct stomp_case c = {l->name, V2, large_in, build(l), "", l->limits};
    static const size_t steps[] = {sizeof(large_in), 1, 1000, 16384, 65536};
    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        run_in_steps(&r, &c, steps[i]);
        if (l->want) {
            assert_memory_equal(r.text, l->want, strlen(l->want));
        } else {
            assert_memory_equal(r.text, "SEND{", 5);
            assert_int_equal(r.parser.error, STOMP_OK);
            assert_true(r.text_len >= l->n - 16); /* so all of it came out, and no "..." */
            assert_true(r.text_len >= sizeof(r.text) || strstr(r.text, "...") == NULL);
        }
    }
}

#define N_OF(array) (sizeof(array) / sizeof((array)[0]))

static void test_which_errors_are_limits(void **state)
{
    (void)state;
    for (int e = STOMP_OK; e <= STOMP_ERR_MEMORY; e++) {
        const char *name = error_name((enum stomp_error)e);
        bool is_limit = strstr(name, "TOO_") != NULL;
        assert_int_equal(stomp_error_is_limit((enum stomp_error)e), is_limit);
    }
}

static void test_error_texts_differ(void **state)
{
    (void)state;
    for (int a = STOMP_OK; a <= STOMP_ERR_MEMORY; a++) {
        assert_true(strlen(stomp_error_str((enum stomp_error)a)) > 5);
        for (int b = STOMP_OK; b < a; b++) {
            assert_string_not_equal(stomp_error_str((enum stomp_error)a),
                                    stomp_error_str((enum stomp_error)b));
        }
    }
}

int main(void)
{
    static struct CMUnitTest tests[N_OF(cases) + N_OF(larges) + 2];
    size_t n = 0;
    for (size_t i = 0; i < N_OF(cases); i++) {
        tests[n++] =
            (struct CMUnitTest){cases[i].name, test_case, NULL, NULL, (void *)(uintptr_t)&cases[i]};
    }
    for (size_t i = 0; i < N_OF(larges); i++) {
        tests[n++] = (struct CMUnitTest){larges[i].name, test_large, NULL, NULL,
                                         (void *)(uintptr_t)&larges[i]};
    }
    tests[n++] = (struct CMUnitTest)cmocka_unit_test(test_which_errors_are_limits);
    tests[n++] = (struct CMUnitTest)cmocka_unit_test(test_error_texts_differ);
    return _cmocka_run_group_tests("stomp_limits", tests, n, NULL, NULL);
}
