#include "stomp/stomp_internal.h"

#include <assert.h>

void stomp_writer_init(struct stomp_writer *w, char *mem, size_t cap, enum stomp_version version)
{
    w->mem = mem;
    w->cap = cap;
    w->len = 0;
    w->version = version;
    w->is_raw = version == STOMP_1_0;
}

/* Writes all of it or nothing. */
static void put(struct stomp_writer *w, const char *bytes, size_t n)
{
    if (n > 0 && w->len <= w->cap && n <= w->cap - w->len) {
        memcpy(w->mem + w->len, bytes, n);
    }
    w->len += n;
}

static void put_byte(struct stomp_writer *w, char byte)
{
    if (w->len < w->cap) {
        w->mem[w->len] = byte;
    }
    w->len++;
}

/* Where a byte cannot stand for itself. */
enum { IN_NAME = 1, IN_VALUE = 2, IN_RAW_NAME = 4, IN_RAW_VALUE = 8 };

#define ALL (IN_NAME | IN_VALUE | IN_RAW_NAME | IN_RAW_VALUE)
#define NAMES (IN_NAME | IN_RAW_NAME)
static const uint8_t refused_in[256] = {
    /* clang-format off */
    /* 00 */ ALL,   NAMES, NAMES, NAMES, NAMES, NAMES, NAMES, NAMES,
    /* 08 */ NAMES, NAMES, ALL,   NAMES, NAMES, ALL,   NAMES, NAMES,
    /* 10 */ NAMES, NAMES, NAMES, NAMES, NAMES, NAMES, NAMES, NAMES,
    /* 18 */ NAMES, NAMES, NAMES, NAMES, NAMES, NAMES, NAMES, NAMES,
    /* clang-format on */
    [':'] = NAMES | IN_VALUE,
    ['\\'] = IN_NAME | IN_VALUE,
    [0x7f] = NAMES,
};

/* The letter behind the backslash, or 0 when the byte cannot be written. */
static char escape_letter(const struct stomp_writer *w, char c, bool is_name)
{
    if (w->is_raw) {
        return 0;
    }
    switch (c) {
    case ':':
        return 'c';
    case '\\':
        return '\\';
    case '\n':
        return is_name ? 0 : 'n';
    case '\r':
        return is_name || w->version == STOMP_1_1 ? 0 : 'r';
    default:
        return 0;
    }
}

/* Eight bytes at a time, for texts of which most are plain: false when one may be a control byte, a
 * colon, a backslash or 0x7f. The tricks with words take now and then what stands in front of such
 * a byte for one as well; bytes from 0x80 on are none. */
static bool is_plain_8(const void *bytes)
{
    const uint64_t ones = 0x0101010101010101u;
    const uint64_t tops = 0x80 * ones;
    uint64_t word;
    memcpy(&word, bytes, sizeof(word));
    uint64_t colon = word ^ ':' * ones;
    uint64_t backslash = word ^ '\\' * ones;
    uint64_t delete = word ^ 0x7f * ones;
    uint64_t found = ((word - ' ' * ones) & ~word) | ((colon - ones) & ~colon) |
                     ((backslash - ones) & ~backslash) | ((delete - ones) & ~delete);
    return (found & tops) == 0;
}

/* The bytes from `at` on that stand for themselves; where they end. */
static size_t put_plain(struct stomp_writer *w, struct slice text, size_t at, uint8_t where)
{
    size_t from = at;
    while (text.len - at >= 8 && is_plain_8(text.ptr + at)) {
        at += 8;
    }
    while (at < text.len && !(refused_in[(unsigned char)text.ptr[at]] & where)) {
        at++;
    }
    put(w, text.ptr + from, at - from);
    return at;
}

static void put_text(struct stomp_writer *w, struct slice text, bool is_name)
{
    uint8_t where = (uint8_t)((is_name ? IN_NAME : IN_VALUE) << (w->is_raw ? 2 : 0));
    size_t at = put_plain(w, text, 0, where);
    while (at < text.len) {
        char letter = escape_letter(w, text.ptr[at++], is_name);
        if (letter) {
            put_byte(w, '\\');
            put_byte(w, letter);
        }
        at = put_plain(w, text, at, where);
    }
}

void stomp_writer_command(struct stomp_writer *w, enum stomp_command command)
{
    assert(command != STOMP_UNKNOWN);
    struct slice text = stomp_command_text(command);
    w->is_raw = w->version == STOMP_1_0 || command == STOMP_CONNECT || command == STOMP_CONNECTED;
    put(w, text.ptr, text.len);
    put_byte(w, '\n');
}

void stomp_writer_header(struct stomp_writer *w, struct slice name, struct slice value)
{
    size_t before = w->len;
    put_text(w, name, true);
    if (w->len == before) {
        return;
    }
    put_byte(w, ':');
    put_text(w, value, false);
    put_byte(w, '\n');
}

void stomp_writer_number(struct stomp_writer *w, const char *name, uint64_t value)
{
    char digits[20]; /* UINT64_MAX has 20 */
    size_t at = sizeof(digits);
    do {
        digits[--at] = (char)('0' + value % 10);
        value /= 10;
    } while (value > 0);
    stomp_writer_header(w, slice_of(name), (struct slice){digits + at, sizeof(digits) - at});
}

void stomp_writer_blank(struct stomp_writer *w, size_t body_len)
{
    if (body_len > 0) {
        stomp_writer_number(w, "content-length", body_len);
    }
    put_byte(w, '\n');
}

void stomp_writer_body(struct stomp_writer *w, struct slice body)
{
    stomp_writer_blank(w, body.len);
    put(w, body.ptr, body.len);
    put_byte(w, '\0');
}
