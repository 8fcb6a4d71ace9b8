/* Random frames through the writer and, in random pieces, through the parser. Seeded, so a failure
 * comes again. */
#include "tests/unit/stomp_testing.h"

#define N_FRAMES 100000
#define MAX_TEXT 40
#define MAX_BODY 3000

static uint64_t random_state;

/* splitmix64: any seed will do. */
static uint64_t next_random(void)
{
    uint64_t z = random_state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static size_t below(size_t n)
{
    return (size_t)(next_random() % n);
}

struct text {
    char mem[MAX_TEXT * 4];
    size_t len;
};

/* A frame as it should come out. */
struct expected {
    enum stomp_version version;
    enum stomp_command command;
    unsigned n_headers;
    struct text names[6];
    struct text values[6];
    char body[MAX_BODY];
    size_t body_len;
};

static void add_piece(struct text *t, const char *piece)
{
    size_t n = strlen(piece);
    memcpy(t->mem + t->len, piece, n);
    t->len += n;
}

/* Letters, UTF-8, and often what must be escaped. Only what the version can carry. */
static void fill_text(struct text *t, bool is_name, const struct expected *e)
{
    static const char *const pieces[] = {"a",  "Z",    "0",  "-",  ".",  " ",        "é",      "€",
                                         "😀",  "c",    "n",  "r",  "\\", ":",        "\n",     "\r",
                                         "\t", "\x01", "\\", "\\", ":",  "content-", "length", "~"};
    bool is_raw =
        e->version == STOMP_1_0 || e->command == STOMP_CONNECT || e->command == STOMP_CONNECTED;
    size_t n = below(MAX_TEXT / 2);
    t->len = 0;
    if (is_name) {
        add_piece(t, "x");
    }
    for (size_t i = 0; i < n; i++) {
        const char *piece = pieces[below(sizeof(pieces) / sizeof(pieces[0]))];
        bool is_control = piece[0] == '\n' || piece[0] == '\r';
        if ((is_control && (is_raw || is_name)) || (*piece == '\r' && e->version == STOMP_1_1) ||
            (is_name && (*piece == '\t' || *piece == '\x01')) ||
            (is_name && is_raw && *piece == ':') ||
            (!is_name && t->len == 0 && *piece == ' ')) { /* 1.0 trims it */
            continue;
        }
        add_piece(t, piece);
    }
}

static void fill_frame(struct expected *e)
{
    e->version = (enum stomp_version)below(3);
    e->command = (enum stomp_command)(1 + below(STOMP_ERROR));
    e->n_headers = (unsigned)below(6);
    for (unsigned i = 0; i < e->n_headers; i++) {
        fill_text(&e->names[i], true, e);
        fill_text(&e->values[i], false, e);
    }
    bool has_body =
        e->command == STOMP_SEND || e->command == STOMP_MESSAGE || e->command == STOMP_ERROR;
    e->body_len = has_body ? below(below(4) == 0 ? MAX_BODY : 40) : 0;
    for (size_t i = 0; i < e->body_len; i++) {
        e->body[i] = (char)below(below(8) == 0 ? 1 : 256);
    }
}

static struct slice slice_of_text(const struct text *t)
{
    return (struct slice){t->mem, t->len};
}

static size_t write_frame(const struct expected *e, char *mem, size_t cap)
{
    struct stomp_writer w;
    stomp_writer_init(&w, mem, cap, e->version);
    stomp_writer_command(&w, e->command);
    for (unsigned i = 0; i < e->n_headers; i++) {
        stomp_writer_header(&w, slice_of_text(&e->names[i]), slice_of_text(&e->values[i]));
    }
    stomp_writer_body(&w, (struct slice){e->body, e->body_len});
    return w.len;
}

static void assert_frame(const struct stomp_frame *frame, const struct expected *e)
{
    unsigned n_headers = e->n_headers + (e->body_len > 0 ? 1 : 0);
    assert_int_equal(frame->command, e->command);
    assert_int_equal(frame->n_headers, n_headers);
    for (unsigned i = 0; i < e->n_headers; i++) {
        assert_true(slice_equals(frame->headers[i].name, slice_of_text(&e->names[i])));
        assert_true(slice_equals(frame->headers[i].value, slice_of_text(&e->values[i])));
    }
    assert_true(slice_equals(frame->body, (struct slice){e->body, e->body_len}));
    assert_true(e->body_len == 0 || stomp_frame_get(frame, "content-length").ptr != NULL);
}

/* Feeds in pieces of up to `most` bytes until the frame is out, which must be at the last byte. */
static void feed_frame(struct stomp_parser *p, uint8_t *bytes, size_t len, size_t most,
                       const struct expected *e)
{
    static struct stomp_frame frame;
    enum stomp_result result = STOMP_MORE;
    size_t at = 0;
    while (at < len) {
        size_t n = 1 + below(most);
        size_t used;
        assert_int_equal(result, STOMP_MORE);
        n = n > len - at ? len - at : n;
        result = stomp_parser_feed(p, bytes + at, n, &used, &frame);
        assert_int_equal(used, n);
        at += used;
    }
    assert_int_equal(result, STOMP_FRAME);
    assert_frame(&frame, e);
}

static void test_roundtrip(size_t most, uint64_t seed)
{
    static struct expected e;
    static char mem[32768];
    struct stomp_parser p;
    stomp_parser_init(&p, &default_limits);
    random_state = seed;
    for (unsigned i = 0; i < N_FRAMES / 4; i++) {
        fill_frame(&e);
        size_t len = write_frame(&e, NULL, 0);
        assert_true(len <= sizeof(mem));
        assert_int_equal(write_frame(&e, mem, len), len);
        stomp_parser_set_version(&p, e.version);
        feed_frame(&p, (uint8_t *)mem, len, most, &e);
    }
    stomp_parser_fini(&p);
}

static void test_roundtrip_whole(void **state)
{
    (void)state;
    test_roundtrip(100000, 1);
}

static void test_roundtrip_byte_by_byte(void **state)
{
    (void)state;
    test_roundtrip(1, 2);
}

static void test_roundtrip_small_pieces(void **state)
{
    (void)state;
    test_roundtrip(20, 3);
}

static void test_roundtrip_large_pieces(void **state)
{
    (void)state;
    test_roundtrip(500, 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_roundtrip_whole),
        cmocka_unit_test(test_roundtrip_byte_by_byte),
        cmocka_unit_test(test_roundtrip_small_pieces),
        cmocka_unit_test(test_roundtrip_large_pieces),
    };
    return cmocka_run_group_tests_name("stomp_roundtrip", tests, NULL, NULL);
}
