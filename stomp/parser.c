#include "stomp/stomp_internal.h"

#include <assert.h>
#include <stdlib.h>

#define FIRST_PARTIAL_BYTES 512

/* At most so much is copied before the scanner has seen it and the limits have been applied to it.
 */
#define PIECE_BYTES ((size_t)16 * 1024)

/* A frame that comes in pieces, gathered from its first byte. It grows with what has arrived, never
 * with what was announced. Invariant: while it is incomplete the scanner has looked at all of it.
 */
struct stomp_partial {
    struct stomp_scan scan;
    bool is_over; /* complete or bad, in the caller's hands: goes with the next call */
    size_t len;
    size_t cap;
    uint8_t bytes[];
};

void stomp_parser_init(struct stomp_parser *p, const struct stomp_limits *limits)
{
    p->limits = limits;
    p->partial = NULL;
    p->version = STOMP_1_0;
    p->error = STOMP_OK;
}

void stomp_parser_fini(struct stomp_parser *p)
{
    free(p->partial);
    p->partial = NULL;
}

void stomp_parser_set_version(struct stomp_parser *p, enum stomp_version version)
{
    p->version = version;
}

void stomp_parser_set_limits(struct stomp_parser *p, const struct stomp_limits *limits)
{
    p->limits = limits;
}

enum stomp_error stomp_parser_error(const struct stomp_parser *p)
{
    return p->error;
}

bool stomp_parser_is_inside(const struct stomp_parser *p)
{
    return p->partial != NULL && !p->partial->is_over;
}

/* Makes room for `more` bytes. 0, or -1 when out of memory: then nothing has changed. */
static int partial_reserve(struct stomp_parser *p, size_t more)
{
    struct stomp_partial *partial = p->partial;
    size_t needed = (partial ? partial->len : 0) + more;
    size_t cap = partial ? partial->cap : FIRST_PARTIAL_BYTES;
    while (cap < needed) {
        cap *= 2;
    }
    if (partial && cap == partial->cap) {
        return 0;
    }
    struct stomp_partial *grown = realloc(partial, sizeof(*grown) + cap);
    if (grown == NULL) {
        return -1;
    }
    if (partial == NULL) {
        grown->is_over = false;
        grown->len = 0;
    }
    grown->cap = cap;
    p->partial = grown;
    return 0;
}

static void partial_append(struct stomp_partial *partial, const uint8_t *bytes, size_t n)
{
    memcpy(partial->bytes + partial->len, bytes, n);
    partial->len += n;
}

static size_t up_to(const uint8_t *bytes, size_t len, int last)
{
    const uint8_t *found = memchr(bytes, last, len);
    return found ? (size_t)(found - bytes) + 1 : len;
}

/* How many of the bytes surely belong to the frame being gathered: a line, the rest of the body, or
 * less. */
static size_t piece_len(const struct stomp_scan *s, const uint8_t *bytes, size_t len)
{
    size_t n = len < PIECE_BYTES ? len : PIECE_BYTES;
    if (s->place != STOMP_IN_BODY) {
        return up_to(bytes, n, '\n');
    }
    if (!s->has_length) {
        return up_to(bytes, n, '\0');
    }
    size_t missing = s->body + s->body_len + 1 - s->pos;
    return n < missing ? n : missing;
}

static enum stomp_result conclude(struct stomp_parser *p, enum stomp_result result,
                                  const struct stomp_scan *s, const uint8_t *bytes,
                                  struct stomp_frame *frame)
{
    if (result == STOMP_FRAME || result == STOMP_BAD) {
        stomp_scan_get_frame(s, bytes, frame);
    }
    p->error = s->error;
    return result;
}

/* A frame begins with the first byte. */
static enum stomp_result feed_new(struct stomp_parser *p, uint8_t *bytes, size_t len, size_t *used,
                                  struct stomp_frame *frame)
{
    struct stomp_scan scan;
    stomp_scan_init(&scan, p->version);
    enum stomp_result result = stomp_scan_run(&scan, p->limits, bytes, len);
    *used = scan.pos;
    if (result == STOMP_MORE && len > 0) {
        if (partial_reserve(p, len) < 0) {
            scan.error = STOMP_ERR_MEMORY;
            return conclude(p, STOMP_BAD, &scan, bytes, frame);
        }
        p->partial->scan = scan;
        partial_append(p->partial, bytes, len);
    }
    return conclude(p, result, &scan, bytes, frame);
}

/* The bytes go on where the last ones stopped. */
static enum stomp_result feed_more(struct stomp_parser *p, const uint8_t *bytes, size_t len,
                                   size_t *used, struct stomp_frame *frame)
{
    enum stomp_result result = STOMP_MORE;
    while (result == STOMP_MORE && *used < len) {
        size_t n = piece_len(&p->partial->scan, bytes + *used, len - *used);
        assert(n > 0); /* or the loop would not end */
        if (partial_reserve(p, n) < 0) {
            p->partial->scan.error = STOMP_ERR_MEMORY;
            result = STOMP_BAD;
            break;
        }
        partial_append(p->partial, bytes + *used, n);
        *used += n;
        result = stomp_scan_run(&p->partial->scan, p->limits, p->partial->bytes, p->partial->len);
    }
    struct stomp_partial *partial = p->partial;
    partial->is_over = result != STOMP_MORE;
    assert(result == STOMP_BAD || partial->scan.pos == partial->len);
    return conclude(p, result, &partial->scan, partial->bytes, frame);
}

enum stomp_result stomp_parser_feed(struct stomp_parser *p, uint8_t *bytes, size_t len,
                                    size_t *used, struct stomp_frame *frame)
{
    *used = 0;
    if (p->partial && p->partial->is_over) {
        stomp_parser_fini(p);
    }
    if (p->error != STOMP_OK) {
        frame->command = STOMP_UNKNOWN;
        frame->command_text = (struct slice){NULL, 0};
        frame->n_headers = 0;
        frame->body = (struct slice){NULL, 0};
        return STOMP_BAD;
    }
    return p->partial ? feed_more(p, bytes, len, used, frame)
                      : feed_new(p, bytes, len, used, frame);
}
