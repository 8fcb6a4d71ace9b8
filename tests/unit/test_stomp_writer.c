/* What the writer writes, what it refuses to, and that the parser reads all of it back. */
#include "tests/unit/stomp_testing.h"

static char mem[8192];

/* Frame by frame as a table: a command, one header, a body. */
struct written {
    const char *name;
    enum stomp_version version;
    enum stomp_command command;
    struct slice header;
    struct slice value;
    struct slice body;
    const char *want; /* as the runner shows bytes */
};

#define TEXT(literal)                                                                              \
    {                                                                                              \
        literal, sizeof(literal) - 1                                                               \
    }
#define V0 STOMP_1_0
#define V1 STOMP_1_1
#define V2 STOMP_1_2

static const struct written table[] = {
    /* clang-format off */
    {"plain", V2, STOMP_MESSAGE, TEXT("a"), TEXT("b"), TEXT("body"), "MESSAGE\\x0aa:b\\x0acontent-length:4\\x0a\\x0abody\\x00"},
    {"no body", V2, STOMP_RECEIPT, TEXT("receipt-id"), TEXT("1"), TEXT(""), "RECEIPT\\x0areceipt-id:1\\x0a\\x0a\\x00"},
    {"body of a NUL", V2, STOMP_MESSAGE, TEXT("a"), TEXT("b"), TEXT("\0"), "MESSAGE\\x0aa:b\\x0acontent-length:1\\x0a\\x0a\\x00\\x00"},
    {"body is not escaped", V2, STOMP_MESSAGE, TEXT("a"), TEXT("b"), TEXT("\\:\r\n"), "MESSAGE\\x0aa:b\\x0acontent-length:4\\x0a\\x0a\\:\\x0d\\x0a\\x00"},
    {"escapes in 1.2", V2, STOMP_MESSAGE, TEXT("a"), TEXT("\n\r:\\"), TEXT(""), "MESSAGE\\x0aa:\\n\\r\\c\\\\\\x0a\\x0a\\x00"},
    {"escapes in 1.1", V1, STOMP_MESSAGE, TEXT("a"), TEXT("\n\r:\\"), TEXT(""), "MESSAGE\\x0aa:\\n\\c\\\\\\x0a\\x0a\\x00"},
    {"none in 1.0", V0, STOMP_MESSAGE, TEXT("a"), TEXT("x\n\r:\\y"), TEXT(""), "MESSAGE\\x0aa:x:\\y\\x0a\\x0a\\x00"},
    {"none in CONNECTED", V2, STOMP_CONNECTED, TEXT("session"), TEXT("a:b\\c"), TEXT(""), "CONNECTED\\x0asession:a:b\\c\\x0a\\x0a\\x00"},
    {"no line is smuggled into CONNECTED", V2, STOMP_CONNECTED, TEXT("user-name"), TEXT("u\nrole:admin\r\n\n\0SEND"), TEXT(""), "CONNECTED\\x0auser-name:urole:adminSEND\\x0a\\x0a\\x00"},
    {"none in CONNECT", V2, STOMP_CONNECT, TEXT("passcode"), TEXT("a\\b"), TEXT(""), "CONNECT\\x0apasscode:a\\b\\x0a\\x0a\\x00"},
    {"no line is smuggled in 1.0", V0, STOMP_MESSAGE, TEXT("a"), TEXT("b\nc:d"), TEXT(""), "MESSAGE\\x0aa:bc:d\\x0a\\x0a\\x00"},
    {"no line is smuggled in 1.2", V2, STOMP_MESSAGE, TEXT("a"), TEXT("b\nc:d"), TEXT(""), "MESSAGE\\x0aa:b\\nc\\cd\\x0a\\x0a\\x00"},
    {"no line is smuggled in a name", V2, STOMP_MESSAGE, TEXT("a\nb"), TEXT("c"), TEXT(""), "MESSAGE\\x0aab:c\\x0a\\x0a\\x00"},
    {"NUL is dropped", V2, STOMP_MESSAGE, TEXT("a\0b"), TEXT("c\0d"), TEXT(""), "MESSAGE\\x0aab:cd\\x0a\\x0a\\x00"},
    {"control bytes of names are dropped", V2, STOMP_MESSAGE, TEXT("\x01" "a\tb\x7f"), TEXT("c\td\x7f"), TEXT(""), "MESSAGE\\x0aab:c\\x09d\\x7f\\x0a\\x0a\\x00"},
    {"colon in a name", V2, STOMP_MESSAGE, TEXT("a:b\\"), TEXT("c"), TEXT(""), "MESSAGE\\x0aa\\cb\\\\:c\\x0a\\x0a\\x00"},
    {"colon in a name in 1.0", V0, STOMP_MESSAGE, TEXT("a:b\\"), TEXT("c"), TEXT(""), "MESSAGE\\x0aab\\:c\\x0a\\x0a\\x00"},
    {"empty name", V2, STOMP_MESSAGE, TEXT(""), TEXT("c"), TEXT(""), "MESSAGE\\x0a\\x0a\\x00"},
    {"nothing left of a name", V2, STOMP_MESSAGE, TEXT("\r\n"), TEXT("c"), TEXT(""), "MESSAGE\\x0a\\x0a\\x00"},
    {"nothing left of a name in 1.0", V0, STOMP_MESSAGE, TEXT(":"), TEXT("c"), TEXT(""), "MESSAGE\\x0a\\x0a\\x00"},
    {"empty value", V2, STOMP_MESSAGE, TEXT("a"), TEXT(""), TEXT(""), "MESSAGE\\x0aa:\\x0a\\x0a\\x00"},
    {"absent value", V2, STOMP_MESSAGE, TEXT("a"), {NULL, 0}, {NULL, 0}, "MESSAGE\\x0aa:\\x0a\\x0a\\x00"},
    {"UTF-8", V2, STOMP_MESSAGE, TEXT("\xc3\xa9"), TEXT("\xf0\x9f\x98\x80"), TEXT(""), "MESSAGE\\x0a\\xc3\\xa9:\\xf0\\x9f\\x98\\x80\\x0a\\x0a\\x00"},
    /* clang-format on */
};

static void write_it(struct stomp_writer *w, const struct written *t, size_t cap)
{
    stomp_writer_init(w, cap > 0 ? mem : NULL, cap, t->version);
    stomp_writer_command(w, t->command);
    stomp_writer_header(w, t->header, t->value);
    stomp_writer_body(w, t->body);
}

/* Also with every smaller memory: the length is the same, and nothing is written behind it. */
static void test_written(void **state)
{
    const struct written *t = *state;
    struct stomp_writer w;
    static struct run r;
    write_it(&w, t, sizeof(mem));
    run_init(&r, NULL, t->version);
    put_bytes(&r, (struct slice){mem, w.len});
    assert_string_equal(r.text, t->want);
    assert_true(stomp_writer_fits(&w));

    size_t len = w.len;
    for (size_t cap = 0; cap <= len; cap++) {
        memset(mem, '#', sizeof(mem));
        write_it(&w, t, cap);
        assert_int_equal(w.len, len);
        assert_int_equal(stomp_writer_fits(&w), cap >= len);
        assert_int_equal(mem[cap], '#');
    }
    assert_int_equal(mem[len - 1], '\0');
}

static void test_every_command(void **state)
{
    (void)state;
    static struct run r;
    for (int command = STOMP_CONNECT; command <= STOMP_ERROR; command++) {
        struct stomp_writer w;
        stomp_writer_init(&w, mem, sizeof(mem), STOMP_1_2);
        stomp_writer_command(&w, (enum stomp_command)command);
        stomp_writer_body(&w, (struct slice){NULL, 0});
        size_t used;
        stomp_parser_init(&r.parser, &default_limits);
        enum stomp_result result =
            stomp_parser_feed(&r.parser, (uint8_t *)mem, w.len, &used, &r.frame);
        assert_int_equal(result, STOMP_FRAME);
        assert_int_equal(r.frame.command, command);
        stomp_parser_fini(&r.parser);
    }
}

static void test_numbers(void **state)
{
    (void)state;
    static const struct {
        uint64_t number;
        const char *want;
    } numbers[] = {{0, "n:0\n"},
                   {7, "n:7\n"},
                   {10, "n:10\n"},
                   {4294967296, "n:4294967296\n"},
                   {UINT64_MAX, "n:18446744073709551615\n"}};
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        struct stomp_writer w;
        stomp_writer_init(&w, mem, sizeof(mem), STOMP_1_2);
        stomp_writer_number(&w, "n", numbers[i].number);
        assert_int_equal(w.len, strlen(numbers[i].want));
        assert_memory_equal(mem, numbers[i].want, w.len);
    }
}

/* Any bytes whatever in the header: it stays one header, and the frame one frame (threats A3). */
static void test_every_byte_stays_in_its_header(void **state)
{
    (void)state;
    static struct run r;
    for (int version = STOMP_1_0; version <= STOMP_1_2; version++) {
        for (int command = STOMP_CONNECT; command <= STOMP_ERROR; command++) {
            for (unsigned c = 0; c < 0x80; c++) {
                char text[] = {'a', (char)c, 'b', (char)c, (char)c};
                struct slice bytes = {text, sizeof(text)};
                struct stomp_writer w;
                stomp_writer_init(&w, mem, sizeof(mem), (enum stomp_version)version);
                stomp_writer_command(&w, (enum stomp_command)command);
                stomp_writer_header(&w, SLICE_LITERAL("first"), bytes);
                stomp_writer_header(&w, bytes, bytes);
                stomp_writer_header(&w, SLICE_LITERAL("last"), SLICE_LITERAL("1"));
                stomp_writer_body(&w, (struct slice){NULL, 0});
                run_init(&r, NULL, (enum stomp_version)version);
                size_t used;
                enum stomp_result result =
                    stomp_parser_feed(&r.parser, (uint8_t *)mem, w.len, &used, &r.frame);
                assert_int_equal(result, STOMP_FRAME);
                assert_int_equal(used, w.len);
                assert_int_equal(r.frame.n_headers, 3);
                assert_true(slice_is(r.frame.headers[0].name, "first"));
                assert_true(slice_is(stomp_frame_get(&r.frame, "last"), "1"));
                stomp_parser_fini(&r.parser);
            }
        }
    }
}

#define N_OF(array) (sizeof(array) / sizeof((array)[0]))

int main(void)
{
    static struct CMUnitTest tests[N_OF(table) + 3];
    size_t n = 0;
    for (size_t i = 0; i < N_OF(table); i++) {
        tests[n++] = (struct CMUnitTest){table[i].name, test_written, NULL, NULL,
                                         (void *)(uintptr_t)&table[i]};
    }
    tests[n++] = (struct CMUnitTest)cmocka_unit_test(test_every_command);
    tests[n++] = (struct CMUnitTest)cmocka_unit_test(test_numbers);
    tests[n++] = (struct CMUnitTest)cmocka_unit_test(test_every_byte_stays_in_its_header);
    return _cmocka_run_group_tests("stomp_writer", tests, n, NULL, NULL);
}
