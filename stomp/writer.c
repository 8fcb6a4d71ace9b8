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

static bool stands_for_itself(const struct stomp_writer *w, unsigned char c, bool is_name)
{
    if (c > '\\') {
        return c != 0x7f || !is_name;
    }
    switch (c) {
    case '\0':
    case '\n':
    case '\r':
        return false;
    case '\\':
        return w->is_raw;
    case ':':
        return w->is_raw && !is_name;
    default:
        return c >= ' ' || !is_name;
    }
}

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

static void put_text(struct stomp_writer *w, struct slice text, bool is_name)
{
    size_t at = 0;
    while (at < text.len) {
        size_t from = at;
        while (at < text.len && stands_for_itself(w, (unsigned char)text.ptr[at], is_name)) {
            at++;
        }
        put(w, text.ptr + from, at - from);
        if (at < text.len) {
            char letter = escape_letter(w, text.ptr[at], is_name);
            if (letter) {
                put_byte(w, '\\');
                put_byte(w, letter);
            }
            at++;
        }
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

void stomp_writer_body(struct stomp_writer *w, struct slice body)
{
    if (body.len > 0) {
        stomp_writer_number(w, "content-length", body.len);
    }
    put_byte(w, '\n');
    put(w, body.ptr, body.len);
    put_byte(w, '\0');
}
