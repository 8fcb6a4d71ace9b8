/* For the STOMP tests: feeds bytes to a parser in pieces and writes what comes out as a line of
 * text.
 *
 *     SEND{destination=/q;x=1}[body]   a frame; bytes that are not visible ASCII as \xNN
 *     ~                                a heart-beat
 *     ...                              at the end: a frame has begun
 *     !ESCAPE SEND{x=1}                STOMP_ERR_ESCAPE, and what the frame holds then
 *
 * Every piece ends right before an unreadable page, and the next piece overwrites it: reading too
 * far crashes, and a frame that still points into an earlier piece shows.
 */
#pragma once

#include "stomp/stomp.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#define PAGES_BYTES ((size_t)2 * 1024 * 1024)

static const struct stomp_limits default_limits = {0, 64, 128, 8192, 32768, 1024 * 1024};

struct stomp_case {
    const char *name;
    enum stomp_version version;
    const char *in;
    size_t in_len;
    const char *want;
    const struct stomp_limits *limits; /* NULL: default_limits */
};

#define IN(literal) literal, sizeof(literal) - 1

struct run {
    struct stomp_parser parser;
    struct stomp_frame frame;
    char text[8192]; /* what came out; the rest of a longer one is counted only */
    size_t text_len;
    enum stomp_result last;
};

static const char *error_name(enum stomp_error error)
{
    static const char *const names[] = {"OK",
                                        "COMMAND",
                                        "LINE_END",
                                        "CONTROL",
                                        "NO_COLON",
                                        "NO_NAME",
                                        "ESCAPE",
                                        "UTF8",
                                        "CONTENT_LENGTH",
                                        "NO_NUL",
                                        "BODY",
                                        "BETWEEN",
                                        "TOO_MANY",
                                        "NAME_TOO_LONG",
                                        "VALUE_TOO_LONG",
                                        "BLOCK_TOO_LONG",
                                        "BODY_TOO_LONG",
                                        "FRAME_TOO_LONG",
                                        "MEMORY"};
    return names[error];
}

static void put_char(struct run *r, char c)
{
    if (r->text_len + 1 < sizeof(r->text)) {
        r->text[r->text_len] = c;
        r->text[r->text_len + 1] = '\0';
    }
    r->text_len++;
}

static void put_bytes(struct run *r, struct slice bytes)
{
    static const char hex[] = "0123456789abcdef";
    for (size_t i = 0; i < bytes.len; i++) {
        unsigned char c = (unsigned char)bytes.ptr[i];
        if (c >= ' ' && c < 0x7f) {
            put_char(r, (char)c);
            continue;
        }
        put_char(r, '\\');
        put_char(r, 'x');
        put_char(r, hex[c >> 4]);
        put_char(r, hex[c & 15]);
    }
}

static void put_frame(struct run *r)
{
    put_bytes(r, r->frame.command_text);
    put_char(r, '{');
    for (unsigned i = 0; i < r->frame.n_headers; i++) {
        if (i > 0) {
            put_char(r, ';');
        }
        put_bytes(r, r->frame.headers[i].name);
        put_char(r, '=');
        put_bytes(r, r->frame.headers[i].value);
    }
    put_char(r, '}');
    if (r->frame.body.len > 0) {
        put_char(r, '[');
        put_bytes(r, r->frame.body);
        put_char(r, ']');
    }
}

static void put_result(struct run *r)
{
    if (r->last == STOMP_HEARTBEAT) {
        put_char(r, '~');
    } else if (r->last == STOMP_FRAME) {
        put_frame(r);
    } else if (r->last == STOMP_BAD) {
        put_char(r, '!');
        put_bytes(r, slice_of(error_name(stomp_parser_error(&r->parser))));
        put_char(r, ' ');
        put_frame(r);
    }
}

/* The first byte behind PAGES_BYTES of memory, itself unreadable. */
static uint8_t *guard_page(void)
{
    static uint8_t *guard;
    if (guard == NULL) {
        uint8_t *mem = mmap(NULL, PAGES_BYTES + 65536, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        assert_true(mem != MAP_FAILED);
        guard = mem + PAGES_BYTES;
        assert_int_equal(mprotect(guard, 65536, PROT_NONE), 0);
    }
    return guard;
}

static void run_init(struct run *r, const struct stomp_limits *limits, enum stomp_version version)
{
    stomp_parser_init(&r->parser, limits ? limits : &default_limits);
    stomp_parser_set_version(&r->parser, version);
    r->text[0] = '\0';
    r->text_len = 0;
    r->last = STOMP_MORE;
}

/* Feeds one piece until the parser wants more, or is broken. */
static void run_piece(struct run *r, const char *bytes, size_t len)
{
    assert_true(len <= PAGES_BYTES);
    uint8_t *at = guard_page() - len;
    if (r->last == STOMP_BAD) {
        return;
    }
    if (len > 0) {
        memcpy(at, bytes, len);
    }
    do {
        size_t used = 0;
        r->last = stomp_parser_feed(&r->parser, at, len, &used, &r->frame);
        assert_true(used <= len);
        at += used;
        len -= used;
        put_result(r);
    } while (r->last == STOMP_FRAME || r->last == STOMP_HEARTBEAT);
    if (r->last == STOMP_MORE) {
        assert_int_equal(len, 0);
    }
}

static void run_end(struct run *r)
{
    if (stomp_parser_is_inside(&r->parser)) {
        put_bytes(r, slice_of("..."));
    }
    stomp_parser_fini(&r->parser);
}

/* In pieces of `step` bytes. */
__attribute__((unused)) static void run_in_steps(struct run *r, const struct stomp_case *c,
                                                 size_t step)
{
    run_init(r, c->limits, c->version);
    for (size_t at = 0; at < c->in_len; at += step) {
        run_piece(r, c->in + at, c->in_len - at < step ? c->in_len - at : step);
    }
    run_end(r);
}

/* In two pieces. */
__attribute__((unused)) static void run_split(struct run *r, const struct stomp_case *c, size_t at)
{
    run_init(r, c->limits, c->version);
    run_piece(r, c->in, at);
    run_piece(r, c->in + at, c->in_len - at);
    run_end(r);
}

/* One test: whole, byte by byte, and split at each point. */
__attribute__((unused)) static void test_case(void **state)
{
    const struct stomp_case *c = *state;
    static struct run r;
    run_in_steps(&r, c, c->in_len + 1);
    assert_string_equal(r.text, c->want);
    run_in_steps(&r, c, 1);
    assert_string_equal(r.text, c->want);
    for (size_t at = 0; at <= c->in_len; at++) {
        run_split(&r, c, at);
        assert_string_equal(r.text, c->want);
    }
}

/* Runs one test for each case. The result is main()'s. */
__attribute__((unused)) static int run_cases(const char *group, const struct stomp_case *cases,
                                             size_t n_cases)
{
    struct CMUnitTest *tests = calloc(n_cases, sizeof(*tests));
    if (tests == NULL) {
        return 1;
    }
    for (size_t i = 0; i < n_cases; i++) {
        tests[i].name = cases[i].name;
        tests[i].test_func = test_case;
        tests[i].initial_state = (void *)(uintptr_t)&cases[i];
    }
    int result = _cmocka_run_group_tests(group, tests, n_cases, NULL, NULL);
    free(tests);
    return result;
}
