/* The scanner: finds where the parts of one frame are. For the .c files of this folder.
 *
 * It reads each byte of the header block once, whatever the pieces that it comes in, and decodes
 * escapes in place; bodies are skipped by length or found with memchr. Positions count from the
 * first byte of the frame, because the bytes of an incomplete frame move as their memory grows. It
 * allocates nothing.
 */
#pragma once

#include "stomp/stomp.h"

/* Where a field lies. The header block is at most STOMP_MAX_BLOCK_BYTES long, so 32 bits are
 * enough. */
struct stomp_span {
    uint32_t at;
    uint32_t len;
};

/* What the next byte belongs to. */
enum stomp_place {
    STOMP_BETWEEN, /* nothing yet: a heart-beat or the first byte of a command */
    STOMP_IN_COMMAND,
    STOMP_IN_NAME, /* also at the beginning of a line that may turn out to be the blank one */
    STOMP_IN_VALUE,
    STOMP_IN_BODY
};

/* The field being read (command, name or value), here a value in which "\c" has been decoded:
 *
 *     start            write      pos
 *      | decoded bytes  | leftover | not looked at yet
 *
 * Invariants: start <= write <= pos; write == pos until the first escape of the field. In the body
 * only pos goes on. */
struct stomp_scan {
    enum stomp_place place;
    enum stomp_version version; /* as the frame began */
    enum stomp_command command;
    enum stomp_error error;     /* why stomp_scan_run said STOMP_BAD */
    enum stomp_error nul_error; /* what to say when the body is not followed by NUL */
    bool is_after_cr;
    bool is_after_backslash;
    bool is_raw;     /* no escapes in this frame */
    bool has_length; /* body_len is known before the body was seen */
    uint8_t seen;    /* the field's bytes, or-ed: below 0x80 it is ASCII */
    uint32_t start;
    uint32_t write;
    uint32_t block; /* where the header block begins */
    size_t pos;
    size_t body;
    size_t body_len;
    struct stomp_span command_text;
    unsigned n_headers; /* complete ones */
    struct {
        struct stomp_span name;
        struct stomp_span value;
    } headers[STOMP_MAX_HEADERS];
};

/* Before the first byte of a frame. Leaves headers[] as it is: they are many, and n_headers says
 * how many count. */
void stomp_scan_init(struct stomp_scan *s, enum stomp_version version);

/* Goes on where it stopped. `bytes` is the frame from its first byte, `len` how much of it (or
 * more) has arrived. STOMP_MORE: all was looked at; else pos is behind the heart-beat or the frame,
 * or on the byte that is wrong. */
enum stomp_result stomp_scan_run(struct stomp_scan *s, const struct stomp_limits *limits,
                                 uint8_t *bytes, size_t len) __attribute__((warn_unused_result));

/* Says in slices of `bytes` what was found; after STOMP_BAD without the body. */
void stomp_scan_get_frame(const struct stomp_scan *s, const uint8_t *bytes,
                          struct stomp_frame *frame);

/* line.c: reads ordinary bytes of the command, name or value up to `end` (> pos) and, if there is
 * one before it, the byte that is not ordinary. Moves to the next place where that byte ends this
 * one. */
enum stomp_error stomp_scan_line(struct stomp_scan *s, const struct stomp_limits *limits,
                                 uint8_t *bytes, size_t end);

/* body.c: the blank line was read. Says all that can be said before the first byte of the body, so
 * that a body that is too long is not even begun. */
enum stomp_error stomp_scan_begin_body(struct stomp_scan *s, const struct stomp_limits *limits,
                                       const uint8_t *bytes);

/* body.c: as stomp_scan_run, from the first byte of the body on. */
enum stomp_result stomp_scan_body(struct stomp_scan *s, const struct stomp_limits *limits,
                                  const uint8_t *bytes, size_t len);

/* Takes the blanks off the front: 1.0 clients write "login: user", as its specification does in the
 * examples. */
void stomp_scan_trim(struct stomp_span *value, const uint8_t *bytes);

static inline struct slice stomp_scan_slice(const uint8_t *bytes, struct stomp_span span)
{
    return (struct slice){(const char *)bytes + span.at, span.len};
}

static inline void stomp_scan_begin_field(struct stomp_scan *s, enum stomp_place place)
{
    s->place = place;
    s->seen = 0;
    s->start = s->write = (uint32_t)s->pos;
}

static inline enum stomp_result stomp_scan_fail(struct stomp_scan *s, enum stomp_error error)
{
    s->error = error;
    return STOMP_BAD;
}

static inline size_t stomp_smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* STOMP_UNKNOWN when there is no such command. "STOMP" is STOMP_CONNECT. */
enum stomp_command stomp_command_of(const char *text, size_t len);

/* The literal to send; absent for STOMP_UNKNOWN. */
struct slice stomp_command_text(enum stomp_command command);
