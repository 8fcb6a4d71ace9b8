/* What comes in: content headers and their properties. */
#include "amqp/codec_internal.h"

#include <amqp.h>
#include <amqp_framing.h>
#include <float.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Reads from the front; once something does not fit, is_bad stays set and zeros come out. */
struct cursor {
    const uint8_t *at;
    size_t left;
    bool is_bad;
};

static const uint8_t *take(struct cursor *c, size_t n)
{
    static const uint8_t zeros[8];
    if (c->is_bad || c->left < n) {
        c->is_bad = true;
        return n <= sizeof(zeros) ? zeros : NULL;
    }
    const uint8_t *at = c->at;
    c->at += n;
    c->left -= n;
    return at;
}

static struct slice take_bytes(struct cursor *c, size_t n)
{
    const uint8_t *at = take(c, n);
    if (c->is_bad) {
        return (struct slice){NULL, 0};
    }
    return (struct slice){(const char *)at, n};
}

static struct slice take_short(struct cursor *c)
{
    return take_bytes(c, *take(c, 1));
}

static struct slice take_long(struct cursor *c)
{
    return take_bytes(c, codec_get32(take(c, 4)));
}

int codec_content(struct slice payload, uint64_t *body_size, struct slice *properties)
{
    const uint8_t *bytes = (const uint8_t *)payload.ptr;
    if (payload.len < 14 || codec_get16(bytes) != CODEC_CLASS_BASIC) {
        return -1;
    }
    *body_size = codec_get64(bytes + 4);
    *properties = (struct slice){payload.ptr + 12, payload.len - 12};
    return 0;
}

static struct slice number(char text[CODEC_NUMBER_MAX], int n)
{
    return (struct slice){text, n > 0 && n < CODEC_NUMBER_MAX ? (size_t)n : 0};
}

static struct slice signed_text(char text[CODEC_NUMBER_MAX], int64_t v)
{
    return number(text, snprintf(text, CODEC_NUMBER_MAX, "%lld", (long long)v));
}

static struct slice unsigned_text(char text[CODEC_NUMBER_MAX], uint64_t v)
{
    return number(text, snprintf(text, CODEC_NUMBER_MAX, "%llu", (unsigned long long)v));
}

/* The shortest text that reads as the same number. */
static struct slice float_text(char text[CODEC_NUMBER_MAX], double v, int digits, int digits_max,
                               bool is_single)
{
    int n = snprintf(text, CODEC_NUMBER_MAX, "%.*g", digits, v);
    while (digits < digits_max) {
        double read = strtod(text, NULL);
        if (is_single ? (float)read == (float)v : read == v) {
            break;
        }
        n = snprintf(text, CODEC_NUMBER_MAX, "%.*g", ++digits, v);
    }
    return number(text, n);
}

static struct slice float32_text(char text[CODEC_NUMBER_MAX], const uint8_t *p)
{
    uint32_t bits = codec_get32(p);
    float v;
    memcpy(&v, &bits, sizeof(v));
    return float_text(text, (double)v, FLT_DIG, 9, true);
}

static struct slice float64_text(char text[CODEC_NUMBER_MAX], const uint8_t *p)
{
    uint64_t bits = codec_get64(p);
    double v;
    memcpy(&v, &bits, sizeof(v));
    return float_text(text, v, DBL_DIG, 17, false);
}

/* A decimal is an integer that is divided by ten to the power of `scale`. */
static struct slice decimal_text(char text[CODEC_NUMBER_MAX], unsigned scale, int32_t v)
{
    char digits[CODEC_NUMBER_MAX];
    if (scale > 18) {
        return (struct slice){NULL, 0};
    }
    long long magnitude = v < 0 ? -(long long)v : v;
    int n = snprintf(digits, sizeof(digits), "%0*lld", (int)scale + 1, magnitude);
    int whole = n - (int)scale;
    return number(text, snprintf(text, CODEC_NUMBER_MAX, "%s%.*s%s%s", v < 0 ? "-" : "", whole,
                                 digits, scale ? "." : "", digits + whole));
}

/* One scalar as text, in RabbitMQ's reading of the type letters. Absent for "no value", and for a
 * decimal that nobody can mean. */
static struct slice take_scalar(struct cursor *c, uint8_t type, char text[CODEC_NUMBER_MAX])
{
    switch (type) {
    case 't':
        return *take(c, 1) ? SLICE_LITERAL("true") : SLICE_LITERAL("false");
    case 'b':
        return signed_text(text, (int8_t)*take(c, 1));
    case 'B':
        return unsigned_text(text, *take(c, 1));
    case 's':
        return signed_text(text, (int16_t)codec_get16(take(c, 2)));
    case 'u':
        return unsigned_text(text, codec_get16(take(c, 2)));
    case 'I':
        return signed_text(text, (int32_t)codec_get32(take(c, 4)));
    case 'i':
        return unsigned_text(text, codec_get32(take(c, 4)));
    case 'l':
        return signed_text(text, (int64_t)codec_get64(take(c, 8)));
    case 'L':
    case 'T':
        return unsigned_text(text, codec_get64(take(c, 8)));
    case 'f':
        return float32_text(text, take(c, 4));
    case 'd':
        return float64_text(text, take(c, 8));
    case 'D': {
        unsigned scale = *take(c, 1);
        return decimal_text(text, scale, (int32_t)codec_get32(take(c, 4)));
    }
    case 'S':
    case 'x':
        return take_long(c);
    case 'V':
        return (struct slice){NULL, 0};
    default:
        c->is_bad = true; /* unknown type: its length is unknown too */
        return (struct slice){NULL, 0};
    }
}

/* ---- Tables ---- */

/* The headers that were found so far. */
struct found {
    struct codec_room *room;
    size_t n;
    size_t names_len; /* of room->names */
    size_t n_fields;  /* looked at inside tables and arrays */
};

/* Where a walk through nested tables is: "x-death.0.queue". */
struct path {
    char text[CODEC_NAME_MAX];
    size_t len;
    unsigned depth;
};

static bool is_nested(uint8_t type)
{
    return type == 'F' || type == 'A';
}

static bool is_full(const struct found *f)
{
    return f->n == BROKER_MAX_HEADERS || f->n_fields == CODEC_FIELDS_MAX;
}

/* Appends ".name"; false when that is no name of a header any more. */
static bool descend(struct path *path, struct slice name)
{
    if (name.len == 0 || path->len + 1 + name.len > sizeof(path->text)) {
        return false;
    }
    path->text[path->len] = '.';
    memcpy(path->text + path->len + 1, name.ptr, name.len);
    path->len += 1 + name.len;
    return true;
}

static void add_found(struct found *f, const struct path *path, struct slice value)
{
    char *name = f->room->names + f->names_len;
    memcpy(name, path->text, path->len);
    f->names_len += path->len;
    f->room->headers[f->n++] = (struct broker_header){{name, path->len}, value};
}

static bool walk(struct found *f, struct path *path, uint8_t type, struct slice bytes);

/* One field of a table or array; `is_named`: `path` leads to it. */
static void take_field(struct found *f, struct cursor *c, struct path *path, bool is_named)
{
    uint8_t type = *take(c, 1);
    if (!is_nested(type)) {
        struct slice value = take_scalar(c, type, f->room->numbers[f->n]);
        if (is_named && value.ptr && !c->is_bad) {
            add_found(f, path, value);
        }
        return;
    }
    struct slice bytes = take_long(c);
    if (is_named && !c->is_bad && path->depth < CODEC_DEPTH_MAX && !walk(f, path, type, bytes)) {
        c->is_bad = true;
    }
}

/* Gives the scalars in a table or array headers of their own, up to the bounds. False when it is
 * malformed. */
static bool walk(struct found *f, struct path *path, uint8_t type, struct slice bytes)
{
    struct cursor c = {(const uint8_t *)bytes.ptr, bytes.len, false};
    size_t len = path->len;
    path->depth++;
    for (unsigned i = 0; c.left > 0 && !c.is_bad && !is_full(f); i++) {
        char index[CODEC_NUMBER_MAX];
        struct slice name = type == 'F' ? take_short(&c) : unsigned_text(index, i);
        f->n_fields++;
        take_field(f, &c, path, descend(path, name));
        path->len = len;
    }
    path->depth--;
    return !c.is_bad;
}

/* A header that is a table or an array. It is skipped by its length, so that what is wrong inside
 * it costs nothing but itself: all of it is left out then. */
static void take_nested(struct found *f, struct cursor *c, struct slice name, uint8_t type)
{
    struct slice bytes = take_long(c);
    if (c->is_bad || name.len == 0 || is_full(f)) {
        return;
    }
    struct found before = *f;
    struct path path = {.len = name.len};
    memcpy(path.text, name.ptr, name.len);
    if (!walk(f, &path, type, bytes)) {
        before.n_fields = f->n_fields;
        *f = before;
    }
}

static void take_table(struct cursor *outer, struct broker_properties *p, struct codec_room *room)
{
    struct slice bytes = take_long(outer);
    struct cursor c = {(const uint8_t *)bytes.ptr, bytes.len, false};
    struct found f = {.room = room};
    while (c.left > 0 && !c.is_bad) {
        char spare[CODEC_NUMBER_MAX];
        struct slice name = take_short(&c);
        uint8_t type = *take(&c, 1);
        if (is_nested(type)) {
            take_nested(&f, &c, name, type);
            continue;
        }
        bool has_room = f.n < BROKER_MAX_HEADERS;
        struct slice value = take_scalar(&c, type, has_room ? room->numbers[f.n] : spare);
        if (!c.is_bad && value.ptr && name.len > 0 && has_room) {
            room->headers[f.n++] = (struct broker_header){name, value};
        }
    }
    outer->is_bad = outer->is_bad || c.is_bad;
    p->headers = room->headers;
    p->n_headers = f.n;
}

/* ---- Properties ---- */

int codec_properties(struct slice bytes, struct broker_properties *p, struct codec_room *room)
{
    struct cursor c = {(const uint8_t *)bytes.ptr, bytes.len, false};
    unsigned flags = codec_get16(take(&c, 2));
    memset(p, 0, sizeof(*p));
    if (flags & 1) {
        return -1; /* a second flags word: the class basic has none */
    }
    if (flags & AMQP_BASIC_CONTENT_TYPE_FLAG) {
        p->content_type = take_short(&c);
    }
    if (flags & AMQP_BASIC_CONTENT_ENCODING_FLAG) {
        p->content_encoding = take_short(&c);
    }
    if (flags & AMQP_BASIC_HEADERS_FLAG) {
        take_table(&c, p, room);
    }
    if (flags & AMQP_BASIC_DELIVERY_MODE_FLAG) {
        p->has_delivery_mode = true;
        p->delivery_mode = *take(&c, 1);
    }
    if (flags & AMQP_BASIC_PRIORITY_FLAG) {
        p->has_priority = true;
        p->priority = *take(&c, 1);
    }
    struct slice *strings[] = {&p->correlation_id, &p->reply_to, &p->expiration, &p->message_id};
    for (unsigned i = 0; i < 4; i++) {
        if (flags & (unsigned)AMQP_BASIC_CORRELATION_ID_FLAG >> i) {
            *strings[i] = take_short(&c);
        }
    }
    if (flags & AMQP_BASIC_TIMESTAMP_FLAG) {
        p->has_timestamp = true;
        p->timestamp = codec_get64(take(&c, 8));
    }
    struct slice *last[] = {&p->type, &p->user_id, &p->app_id};
    for (unsigned i = 0; i < 3; i++) {
        if (flags & (unsigned)AMQP_BASIC_TYPE_FLAG >> i) {
            *last[i] = take_short(&c);
        }
    }
    return c.is_bad ? -1 : 0;
}

struct slice codec_header(const struct broker_properties *properties, const char *name)
{
    for (size_t i = 0; i < properties->n_headers; i++) {
        if (slice_is(properties->headers[i].name, name)) {
            return properties->headers[i].value;
        }
    }
    return (struct slice){NULL, 0};
}
