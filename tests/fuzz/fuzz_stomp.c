/* Any bytes, for the STOMP parser. What must hold:
 *
 * 1. Whole, byte by byte, or cut at random: the same frames, heart-beats, error and state come out.
 * 2. What the writer writes of a frame parses to that frame again.
 *
 * The first byte of the input picks version and limits, the rest is the stream.
 * tests/unit/test_stomp_corpus.c replays the corpus in the unit tests.
 */
#include "stomp/stomp.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct stomp_limits fuzz_limits[] = {
    {0, 64, 128, 8192, 32768, 1024 * 1024},
    {256, 64, 128, 8192, 32768, 1024 * 1024},
    {0, 3, 8, 10, 40, 12},
    {60, 4, 12, 16, 48, 24},
};

/* Everything that came out, one thing after the other. */
struct record {
    uint8_t *mem;
    size_t len;
    size_t cap;
};

static void record_bytes(struct record *r, const void *bytes, size_t n)
{
    if (r->cap - r->len < n) {
        r->cap = (r->cap + n) * 2;
        r->mem = realloc(r->mem, r->cap);
        assert(r->mem != NULL);
    }
    if (n > 0) {
        memcpy(r->mem + r->len, bytes, n);
        r->len += n;
    }
}

static void record_number(struct record *r, uint64_t number)
{
    record_bytes(r, &number, sizeof(number));
}

static void record_slice(struct record *r, struct slice s)
{
    record_number(r, s.ptr != NULL);
    record_number(r, s.len);
    record_bytes(r, s.ptr, s.len);
}

static void record_frame(struct record *r, const struct stomp_frame *frame)
{
    record_number(r, frame->command);
    record_slice(r, frame->command_text);
    record_number(r, frame->n_headers);
    for (unsigned i = 0; i < frame->n_headers; i++) {
        assert(frame->headers[i].name.len > 0);
        record_slice(r, frame->headers[i].name);
        record_slice(r, frame->headers[i].value);
    }
    record_slice(r, frame->body);
}

static void record_header(struct record *r, struct slice name, struct slice value)
{
    record_slice(r, name);
    record_slice(r, value);
}

/* The header block without content-length (the writer adds its own), and the body. */
static void record_essence(struct record *r, const struct stomp_frame *frame)
{
    record_number(r, frame->command);
    for (unsigned i = 0; i < frame->n_headers; i++) {
        if (!slice_is(frame->headers[i].name, "content-length")) {
            record_header(r, frame->headers[i].name, frame->headers[i].value);
        }
    }
    record_slice(r, frame->body);
}

static void assert_same(const struct record *a, const struct record *b)
{
    assert(a->len == b->len && (a->len == 0 || memcmp(a->mem, b->mem, a->len) == 0));
}

static size_t write_frame(const struct stomp_frame *frame, enum stomp_version version, char *mem,
                          size_t cap)
{
    struct stomp_writer w;
    stomp_writer_init(&w, mem, cap, version);
    stomp_writer_command(&w, frame->command);
    for (unsigned i = 0; i < frame->n_headers; i++) {
        if (!slice_is(frame->headers[i].name, "content-length")) {
            stomp_writer_header(&w, frame->headers[i].name, frame->headers[i].value);
        }
    }
    stomp_writer_body(&w, frame->body);
    return w.len;
}

/* 1.1 cannot say CR, which it is nevertheless read with: such a frame goes out as 1.2. */
static void check_writer(const struct stomp_frame *frame, enum stomp_version version)
{
    static const struct stomp_limits no_limits = {0,          STOMP_MAX_HEADERS, UINT32_MAX,
                                                  UINT32_MAX, UINT32_MAX,        UINT32_MAX};
    static struct stomp_frame again;
    struct stomp_parser p;
    struct record want = {0};
    struct record got = {0};
    size_t used = 0;
    if (frame->command == STOMP_UNKNOWN || frame->n_headers == STOMP_MAX_HEADERS) {
        return; /* has no room for content-length */
    }
    version = version == STOMP_1_1 ? STOMP_1_2 : version;
    size_t len = write_frame(frame, version, NULL, 0);
    char *mem = malloc(len);
    assert(mem != NULL && write_frame(frame, version, mem, len) == len);

    stomp_parser_init(&p, &no_limits);
    stomp_parser_set_version(&p, version);
    enum stomp_result result = stomp_parser_feed(&p, (uint8_t *)mem, len, &used, &again);
    assert(result == STOMP_FRAME && used == len);
    record_essence(&want, frame);
    record_essence(&got, &again);
    assert_same(&want, &got);
    stomp_parser_fini(&p);
    free(want.mem);
    free(got.mem);
    free(mem);
}

/* How the stream is cut: into pieces of 1 to `most` bytes, or exactly `most` if there is no
 * randomness. */
struct cut {
    size_t most;
    uint32_t random;
};

static size_t next_piece(struct cut *cut)
{
    if (cut->random == 0) {
        return cut->most;
    }
    cut->random ^= cut->random << 13; /* xorshift32 */
    cut->random ^= cut->random >> 17;
    cut->random ^= cut->random << 5;
    return 1 + cut->random % cut->most;
}

/* Each piece is a block of its own, so that the sanitizer sees a read beyond it or after it.
 * Returns false after STOMP_BAD. */
static bool feed_piece(struct stomp_parser *p, const uint8_t *bytes, size_t len, struct record *r,
                       bool is_writer_checked)
{
    static struct stomp_frame frame;
    uint8_t *piece = malloc(len > 0 ? len : 1);
    assert(piece != NULL);
    if (len > 0) {
        memcpy(piece, bytes, len);
    }
    enum stomp_result result;
    size_t at = 0;
    do {
        size_t used = 0;
        result = stomp_parser_feed(p, piece + at, len - at, &used, &frame);
        assert(used <= len - at);
        assert(used > 0 || result == STOMP_BAD || at == len);
        at += used;
        if (result != STOMP_MORE) {
            record_number(r, result);
        }
        if (result == STOMP_FRAME || result == STOMP_BAD) {
            record_frame(r, &frame);
        }
        if (result == STOMP_FRAME && is_writer_checked) {
            check_writer(&frame, p->version);
        }
    } while (result == STOMP_FRAME || result == STOMP_HEARTBEAT);
    assert(result == STOMP_BAD || at == len);
    free(piece);
    return result == STOMP_MORE;
}

static void run(const uint8_t *bytes, size_t len, uint8_t choice, struct cut cut, struct record *r)
{
    struct stomp_parser p;
    bool is_whole = cut.most >= len;
    size_t at = 0;
    bool is_good = true;
    stomp_parser_init(&p, &fuzz_limits[(choice >> 2) % 4]);
    stomp_parser_set_version(&p, (enum stomp_version)(choice % 3));
    while (is_good && at < len) {
        size_t n = next_piece(&cut);
        n = n < len - at ? n : len - at;
        is_good = feed_piece(&p, bytes + at, n, r, is_whole);
        at += n;
    }
    record_number(r, stomp_parser_error(&p));
    record_number(r, stomp_parser_is_inside(&p));
    stomp_parser_fini(&p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1) {
        return 0;
    }
    uint8_t choice = data[0];
    const uint8_t *bytes = data + 1;
    size_t len = size - 1;
    uint32_t seed = 2166136261u;
    for (size_t i = 0; i < size; i++) {
        seed = (seed ^ data[i]) * 16777619u;
    }
    const struct cut cuts[] = {{1, 0}, {2, 0}, {4, seed | 1}, {64, seed | 1}};

    struct record whole = {0};
    run(bytes, len, choice, (struct cut){SIZE_MAX, 0}, &whole);
    for (size_t i = 0; i < sizeof(cuts) / sizeof(cuts[0]); i++) {
        struct record other = {0};
        run(bytes, len, choice, cuts[i], &other);
        assert_same(&whole, &other);
        free(other.mem);
    }
    free(whole.mem);
    return 0;
}
