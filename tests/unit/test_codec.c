#include "amqp/codec.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

static unsigned seed = 1;

static unsigned dice(unsigned n)
{
    seed = seed * 1103515245u + 12345u;
    return (seed >> 8) % n;
}

/* Bytes that end where no memory follows: a read behind them is a crash. */
static uint8_t *guarded(const void *bytes, size_t len)
{
    static uint8_t *pages;
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t room = 64 * page;
    if (!pages) {
        pages = mmap(NULL, room + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        assert_ptr_not_equal(pages, MAP_FAILED);
        assert_int_equal(mprotect(pages + room, page, PROT_NONE), 0);
    }
    assert_true(len <= room);
    if (len > 0) {
        memcpy(pages + room - len, bytes, len);
    }
    return pages + room - len;
}

/* ---- What we publish, read back ---- */

static uint8_t encoded[CODEC_FRAME_MAX * 2];

/* Encodes, cuts the two frames out again, and decodes the second. */
static void round_trip(const struct broker_publish *p, struct broker_properties *out,
                       struct codec_room *room)
{
    struct codec_frame method;
    struct codec_frame header;
    size_t method_len = 0;
    size_t bound = codec_publish_bound(p, CODEC_FRAME_MAX);
    assert_true(bound > 0 && bound <= sizeof(encoded));
    ssize_t n = codec_publish_head(encoded, bound, 5, p, &method_len);
    assert_true(n > 0 && (size_t)n <= bound);
    ssize_t used = codec_next(encoded, (size_t)n, CODEC_FRAME_MAX, &method);
    assert_int_equal(used, method_len);
    assert_int_equal(method.type, CODEC_METHOD);
    assert_int_equal(method.channel, 5);
    /* method id (4), ticket (2), then the names */
    assert_int_equal(method.payload[6], p->exchange.len);
    assert_memory_equal(method.payload + 7, p->exchange.ptr, p->exchange.len);
    assert_int_equal(method.payload[7 + p->exchange.len], p->routing_key.len);
    assert_int_equal(codec_next(encoded + used, (size_t)(n - used), CODEC_FRAME_MAX, &header),
                     n - used);
    assert_int_equal(header.type, CODEC_HEADER);
    uint64_t body_size = 0;
    struct slice raw;
    const uint8_t *safe = guarded(header.payload, header.len);
    assert_int_equal(
        codec_content((struct slice){(const char *)safe, header.len}, &body_size, &raw), 0);
    assert_int_equal(body_size, p->body.len);
    assert_int_equal(codec_properties(raw, out, room), 0);
}

static struct codec_room room;

static void test_header_names_of_every_length_come_back(void **state)
{
    (void)state;
    char name[255];
    char value[300];
    for (size_t i = 0; i < sizeof(value); i++) {
        value[i] = (char)i;
    }
    for (size_t len = 1; len <= 255; len++) {
        memset(name, 'a' + (int)(len % 26), sizeof(name));
        struct broker_header headers[2] = {{{name, len}, {value, len}},
                                           {SLICE_LITERAL("last"), SLICE_LITERAL("")}};
        struct broker_publish p = {.exchange = {name, len},
                                   .routing_key = {name, 255 - len},
                                   .properties = {.headers = headers, .n_headers = 2}};
        struct broker_properties out;
        round_trip(&p, &out, &room);
        assert_int_equal(out.n_headers, 2);
        assert_true(slice_equals(out.headers[0].name, headers[0].name));
        assert_true(slice_equals(out.headers[0].value, headers[0].value));
        assert_true(slice_is(out.headers[1].name, "last"));
        assert_int_equal(out.headers[1].value.len, 0);
    }
}

/* A name of 257 bytes would be written with the length 1, and its rest read as fields of ours:
 * another routing key. */
static void test_names_over_255_are_never_encoded(void **state)
{
    (void)state;
    static const size_t lengths[] = {256, 257, 258, 511, 512, 513, 65536, 65537};
    char *name = malloc(65537);
    memset(name, 'x', 65537);
    for (unsigned i = 0; i < sizeof(lengths) / sizeof(*lengths); i++) {
        struct slice s = {name, lengths[i]};
        struct broker_header header = {s, SLICE_LITERAL("v")};
        struct broker_publish bad[] = {
            {.properties = {.headers = &header, .n_headers = 1}},
            {.exchange = s},
            {.routing_key = s},
            {.properties = {.message_id = s}},
            {.properties = {.content_type = s}},
            {.properties = {.content_encoding = s}},
            {.properties = {.correlation_id = s}},
            {.properties = {.reply_to = s}},
            {.properties = {.expiration = s}},
            {.properties = {.type = s}},
            {.properties = {.user_id = s}},
            {.properties = {.app_id = s}},
        };
        for (unsigned k = 0; k < sizeof(bad) / sizeof(*bad); k++) {
            assert_int_equal(codec_publish_bound(&bad[k], CODEC_FRAME_MAX), 0);
        }
    }
    struct broker_header empty = {SLICE_LITERAL(""), SLICE_LITERAL("v")};
    struct broker_publish p = {.properties = {.headers = &empty, .n_headers = 1}};
    assert_int_equal(codec_publish_bound(&p, CODEC_FRAME_MAX), 0);
    free(name);
}

static void test_headers_over_a_frame_are_refused(void **state)
{
    (void)state;
    char *value = calloc(1, CODEC_FRAME_MAX + 1);
    struct broker_header headers[BROKER_MAX_HEADERS + 1];
    for (unsigned i = 0; i <= BROKER_MAX_HEADERS; i++) {
        headers[i] = (struct broker_header){SLICE_LITERAL("n"), {value, 1000}};
    }
    struct broker_publish p = {.properties = {.headers = headers, .n_headers = 128}};
    assert_int_equal(codec_publish_bound(&p, 4096), 0);
    assert_true(codec_publish_bound(&p, CODEC_FRAME_MAX) == 0 ||
                codec_publish_bound(&p, CODEC_FRAME_MAX) < CODEC_FRAME_MAX + 1024);
    p.properties.n_headers = BROKER_MAX_HEADERS + 1;
    assert_int_equal(codec_publish_bound(&p, CODEC_FRAME_MAX), 0);
    headers[0].value.len = CODEC_FRAME_MAX;
    p.properties.n_headers = 1;
    assert_int_equal(codec_publish_bound(&p, CODEC_FRAME_MAX), 0);
    headers[0].value.len = SIZE_MAX;
    assert_int_equal(codec_publish_bound(&p, CODEC_FRAME_MAX), 0);
    free(value);
}

static struct slice random_string(char *from, unsigned max)
{
    unsigned len = dice(4) == 0 ? max : dice(max + 1);
    for (unsigned i = 0; i < len; i++) {
        from[i] = (char)dice(256);
    }
    return (struct slice){dice(5) ? from : NULL, len};
}

static void assert_same(struct slice a, struct slice b)
{
    assert_true((a.ptr == NULL) == (b.ptr == NULL));
    assert_true(slice_equals(a, b));
}

/* rabbitmq-c writes, our reader reads: two hands that know nothing of each other. */
static void test_random_properties_come_back(void **state)
{
    (void)state;
    static char texts[9][256];
    static char names[BROKER_MAX_HEADERS][256];
    static char values[BROKER_MAX_HEADERS][300];
    for (seed = 1; seed < 3000; seed++) {
        unsigned this_seed = seed;
        struct broker_header headers[BROKER_MAX_HEADERS];
        struct broker_publish p = {.exchange = SLICE_LITERAL("e"),
                                   .routing_key = SLICE_LITERAL("k")};
        struct broker_properties *in = &p.properties;
        struct slice *strings[] = {&in->content_type, &in->content_encoding, &in->correlation_id,
                                   &in->reply_to,     &in->expiration,       &in->message_id,
                                   &in->type,         &in->user_id,          &in->app_id};
        for (unsigned i = 0; i < 9; i++) {
            *strings[i] = random_string(texts[i], 255);
            strings[i]->len = strings[i]->ptr ? strings[i]->len : 0;
        }
        in->has_priority = dice(2);
        in->priority = in->has_priority ? (uint8_t)dice(256) : 0;
        in->has_delivery_mode = dice(2);
        in->delivery_mode = in->has_delivery_mode ? (uint8_t)dice(256) : 0;
        in->has_timestamp = dice(2);
        in->timestamp = in->has_timestamp ? (uint64_t)dice(1 << 20) << 40 | dice(1 << 20) : 0;
        in->n_headers = dice(BROKER_MAX_HEADERS + 1);
        in->headers = headers;
        for (size_t i = 0; i < in->n_headers; i++) {
            headers[i].name = random_string(names[i], 254);
            headers[i].name.ptr = names[i];
            headers[i].name.len += headers[i].name.len == 0;
            headers[i].value = random_string(values[i], 299);
            headers[i].value.ptr = values[i];
        }
        struct broker_properties out;
        round_trip(&p, &out, &room);
        struct slice *got[] = {&out.content_type, &out.content_encoding, &out.correlation_id,
                               &out.reply_to,     &out.expiration,       &out.message_id,
                               &out.type,         &out.user_id,          &out.app_id};
        for (unsigned i = 0; i < 9; i++) {
            assert_same(*got[i], *strings[i]);
        }
        assert_int_equal(out.has_priority, in->has_priority);
        assert_int_equal(out.priority, in->priority);
        assert_int_equal(out.has_delivery_mode, in->has_delivery_mode);
        assert_int_equal(out.delivery_mode, in->delivery_mode);
        assert_int_equal(out.has_timestamp, in->has_timestamp);
        assert_int_equal(out.timestamp, in->timestamp);
        assert_int_equal(out.n_headers, in->n_headers);
        for (size_t i = 0; i < out.n_headers; i++) {
            assert_true(slice_equals(out.headers[i].name, headers[i].name));
            assert_true(slice_equals(out.headers[i].value, headers[i].value));
        }
        seed = this_seed;
    }
}

/* ---- What others publish ---- */

/* Only headers: flags, then the table that is given. */
static struct slice with_table(const void *table, uint32_t len)
{
    static uint8_t bytes[200 * 1024];
    assert_true(len + 6 <= sizeof(bytes));
    bytes[0] = 0x20;
    bytes[1] = 0;
    bytes[2] = (uint8_t)(len >> 24);
    bytes[3] = (uint8_t)(len >> 16);
    bytes[4] = (uint8_t)(len >> 8);
    bytes[5] = (uint8_t)len;
    memcpy(bytes + 6, table, len);
    return (struct slice){(const char *)guarded(bytes, len + 6), len + 6};
}

static void assert_text(const struct broker_properties *p, size_t i, const char *name,
                        const char *value)
{
    assert_true(slice_is(p->headers[i].name, name));
    assert_int_equal(p->headers[i].value.len, strlen(value));
    assert_true(slice_is(p->headers[i].value, value));
}

static void test_scalars_come_as_text(void **state)
{
    (void)state;
    static const char table[] = "\1tt\1"
                                "\1ft\0"
                                "\1bb\xff"
                                "\1BB\xff"
                                "\1ss\xff\xfe"
                                "\1uu\xff\xfe"
                                "\1II\x80\0\0\0"
                                "\1ii\x80\0\0\0"
                                "\1ll\x80\0\0\0\0\0\0\0"
                                "\1TT\0\0\0\0\x65\0\0\0"
                                "\1gf\x3f\xc0\0\0"
                                "\1dd\xbf\xb9\x99\x99\x99\x99\x99\x9a"
                                "\1DD\2\xff\xff\xff\x85"
                                "\1EE"; /* cut below */
    static const char *const expected[][2] = {
        {"t", "true"},        {"f", "false"},      {"b", "-1"},
        {"B", "255"},         {"s", "-2"},         {"u", "65534"},
        {"I", "-2147483648"}, {"i", "2147483648"}, {"l", "-9223372036854775808"},
        {"T", "1694498816"},  {"g", "1.5"},        {"d", "-0.1"},
        {"D", "-1.23"},
    };
    struct broker_properties p;
    struct slice bytes = with_table(table, sizeof(table) - 1 - 3);
    assert_int_equal(codec_properties(bytes, &p, &room), 0);
    assert_int_equal(p.n_headers, 13);
    for (unsigned i = 0; i < 13; i++) {
        assert_text(&p, i, expected[i][0], expected[i][1]);
    }
    bytes = with_table(table, sizeof(table) - 1); /* type E, whatever that is */
    assert_int_equal(codec_properties(bytes, &p, &room), -1);
}

/* ---- Tables and arrays ---- */

/* Builds what others publish: a buffer that grows, with the lengths written when they are known. */
struct table {
    uint8_t bytes[190 * 1024];
    size_t len;
};

static void put(struct table *t, const void *bytes, size_t n)
{
    assert_true(t->len + n <= sizeof(t->bytes));
    if (n > 0) {
        memcpy(t->bytes + t->len, bytes, n);
    }
    t->len += n;
}

static void put_name(struct table *t, const char *name)
{
    uint8_t len = (uint8_t)strlen(name);
    put(t, &len, 1);
    put(t, name, len);
}

static void put_text(struct table *t, const char *value)
{
    uint8_t head[] = {'S', 0, 0, 0, (uint8_t)strlen(value)};
    put(t, head, 5);
    put(t, value, strlen(value));
}

/* 'F' or 'A'; gives the place for end_nested(). */
static size_t begin_nested(struct table *t, char type)
{
    uint8_t head[] = {(uint8_t)type, 0, 0, 0, 0};
    put(t, head, 5);
    return t->len;
}

static void end_nested(struct table *t, size_t at)
{
    size_t len = t->len - at;
    for (unsigned i = 0; i < 4; i++) {
        t->bytes[at - 4 + i] = (uint8_t)(len >> (24 - 8 * i));
    }
}

static struct table built;

static struct broker_properties read_built(void)
{
    struct broker_properties p;
    assert_int_equal(codec_properties(with_table(built.bytes, (uint32_t)built.len), &p, &room), 0);
    return p;
}

/* As RabbitMQ writes what happened to a dead letter. */
static void put_death(struct table *t, const char *queue)
{
    put_name(t, "x-death");
    size_t array = begin_nested(t, 'A');
    size_t table = begin_nested(t, 'F');
    put_name(t, "count");
    put(t, "l\0\0\0\0\0\0\0\2", 9);
    put_name(t, "queue");
    put_text(t, queue);
    put_name(t, "time");
    put(t, "T\0\0\0\0\x65\0\0\0", 9);
    put_name(t, "routing-keys");
    size_t keys = begin_nested(t, 'A');
    put_text(t, "a.b");
    put_text(t, "c");
    end_nested(t, keys);
    end_nested(t, table);
    put(t, "t\1", 2);
    end_nested(t, array);
}

static void test_tables_and_arrays_are_flattened(void **state)
{
    (void)state;
    built.len = 0;
    put_name(&built, "before");
    put_text(&built, "1");
    put_death(&built, "orders");
    put_name(&built, "empty");
    end_nested(&built, begin_nested(&built, 'F'));
    put_name(&built, "none");
    end_nested(&built, begin_nested(&built, 'A'));
    put_name(&built, "after");
    put_text(&built, "2");
    static const char *const expected[][2] = {
        {"before", "1"},
        {"x-death.0.count", "2"},
        {"x-death.0.queue", "orders"},
        {"x-death.0.time", "1694498816"},
        {"x-death.0.routing-keys.0", "a.b"},
        {"x-death.0.routing-keys.1", "c"},
        {"x-death.1", "true"},
        {"after", "2"},
    };
    struct broker_properties p = read_built();
    assert_int_equal(p.n_headers, 8);
    for (unsigned i = 0; i < 8; i++) {
        assert_text(&p, i, expected[i][0], expected[i][1]);
    }
}

/* What is wrong inside a table costs all of that table, at whatever depth, and nothing else. */
static void test_malformed_inside_is_left_out_alone(void **state)
{
    (void)state;
    built.len = 0;
    put_name(&built, "before");
    put_text(&built, "1");
    size_t from = built.len;
    put_death(&built, "orders");
    size_t to = built.len;
    put_name(&built, "after");
    put_text(&built, "2");
    struct table whole = built;
    unsigned n_bad = 0;
    for (size_t at = from + 13; at < to; at++) { /* behind name, type and length of the header */
        for (unsigned value = 0; value < 256; value += 51) {
            built = whole;
            built.bytes[at] = (uint8_t)value;
            struct broker_properties p = read_built();
            assert_text(&p, 0, "before", "1");
            assert_text(&p, p.n_headers - 1, "after", "2");
            n_bad += p.n_headers == 2;
            assert_in_range(p.n_headers, 2, 20);
        }
    }
    assert_true(n_bad > 50);
}

static void nest(struct table *t, unsigned depth)
{
    put_name(t, "d");
    size_t at[40];
    for (unsigned i = 0; i < depth; i++) {
        at[i] = begin_nested(t, 'F');
        put_name(t, "n");
    }
    put(t, "t\1", 2);
    while (depth-- > 0) {
        end_nested(t, at[depth]);
    }
}

static void test_depth_is_bounded(void **state)
{
    (void)state;
    for (unsigned depth = 0; depth < 20; depth++) {
        built.len = 0;
        nest(&built, depth);
        put_name(&built, "after");
        put_text(&built, "2");
        struct broker_properties p = read_built();
        assert_int_equal(p.n_headers, depth <= CODEC_DEPTH_MAX ? 2 : 1);
        assert_int_equal(p.headers[0].name.len, depth <= CODEC_DEPTH_MAX ? 1 + 2 * depth : 5);
    }
}

static void test_flattened_names_are_bounded(void **state)
{
    (void)state;
    char name[256];
    for (size_t len = 1; len <= 255; len++) {
        memset(name, 'x', len);
        name[len] = '\0';
        built.len = 0;
        put_name(&built, "p");
        size_t at = begin_nested(&built, 'F');
        put_name(&built, name);
        put_text(&built, "v");
        put_name(&built, "s"); /* fits behind one that does not */
        put_text(&built, "w");
        put_name(&built, "");
        put_text(&built, "nameless");
        end_nested(&built, at);
        struct broker_properties p = read_built();
        bool fits = len + 2 <= 255;
        assert_int_equal(p.n_headers, fits ? 2 : 1);
        assert_int_equal(p.headers[0].name.len, fits ? len + 2 : 3);
        assert_text(&p, p.n_headers - 1, "p.s", "w");
    }
}

static void test_flattened_headers_are_counted(void **state)
{
    (void)state;
    char name[16];
    built.len = 0;
    put_name(&built, "a");
    size_t at = begin_nested(&built, 'A');
    for (unsigned i = 0; i < 127; i++) {
        put(&built, "b\x7f", 2);
    }
    end_nested(&built, at);
    for (unsigned i = 0; i < 3; i++) {
        put_name(&built, "z");
        at = begin_nested(&built, 'A');
        put(&built, "t\1t\0", 4);
        end_nested(&built, at);
    }
    put_name(&built, "last");
    put_text(&built, "2");
    struct broker_properties p = read_built();
    assert_int_equal(p.n_headers, BROKER_MAX_HEADERS);
    for (unsigned i = 0; i < 127; i++) {
        snprintf(name, sizeof(name), "a.%u", i);
        assert_text(&p, i, name, "127");
    }
    assert_text(&p, 127, "z.0", "true");
}

/* Fields that give no header cost time all the same. */
static void test_fields_that_are_looked_at_are_counted(void **state)
{
    (void)state;
    built.len = 0;
    put_name(&built, "void");
    size_t at = begin_nested(&built, 'A');
    for (unsigned i = 0; i < CODEC_FIELDS_MAX - 1; i++) {
        put(&built, "V", 1);
    }
    put(&built, "t\1t\1", 4); /* one within the bound, one behind it */
    end_nested(&built, at);
    put_name(&built, "more");
    at = begin_nested(&built, 'A');
    put(&built, "t\1", 2);
    end_nested(&built, at);
    put_name(&built, "after");
    put_text(&built, "2");
    struct broker_properties p = read_built();
    assert_int_equal(p.n_headers, 2);
    assert_text(&p, 0, "void.511", "true");
    assert_text(&p, 1, "after", "2");
}

static void test_floats_are_short_and_exact(void **state)
{
    (void)state;
    static const double values[] = {0,   1,      0.1,     -2.5,     1.0 / 3, 1e100, 5e-324,
                                    2e9, 1e-100, 123.456, 1e17 + 2, 1e15,    0.3,   -0.0};
    for (unsigned i = 0; i < sizeof(values) / sizeof(*values); i++) {
        uint8_t bytes[] = {1, 'd', 'd', 0, 0, 0, 0, 0, 0, 0, 0, 1, 'f', 'f', 0, 0, 0, 0};
        uint64_t wide;
        uint32_t narrow;
        float single = (float)(values[i] < 1e30 ? values[i] : 1);
        memcpy(&wide, &values[i], 8);
        memcpy(&narrow, &single, 4);
        for (unsigned k = 0; k < 8; k++) {
            bytes[3 + k] = (uint8_t)(wide >> (56 - 8 * k));
        }
        for (unsigned k = 0; k < 4; k++) {
            bytes[14 + k] = (uint8_t)(narrow >> (24 - 8 * k));
        }
        struct broker_properties p;
        assert_int_equal(codec_properties(with_table(bytes, sizeof(bytes)), &p, &room), 0);
        char text[64];
        snprintf(text, sizeof(text), "%.*s", (int)p.headers[0].value.len, p.headers[0].value.ptr);
        assert_true(strtod(text, NULL) == values[i]);
        snprintf(text, sizeof(text), "%.*s", (int)p.headers[1].value.len, p.headers[1].value.ptr);
        assert_true(strtof(text, NULL) == single);
    }
    static const char short_ones[] = "\1af\x3d\xcc\xcc\xcd" /* 0.1f */
                                     "\1bd\x3f\xd3\x33\x33\x33\x33\x33\x33";
    struct broker_properties p;
    assert_int_equal(codec_properties(with_table(short_ones, sizeof(short_ones) - 1), &p, &room),
                     0);
    assert_text(&p, 0, "a", "0.1");
    assert_text(&p, 1, "b", "0.3");
}

static void test_byte_arrays_come_as_they_are(void **state)
{
    (void)state;
    static const char table[] = "\1xx\0\0\0\3a\0b";
    struct broker_properties p;
    assert_int_equal(codec_properties(with_table(table, sizeof(table) - 1), &p, &room), 0);
    assert_int_equal(p.n_headers, 1);
    assert_int_equal(p.headers[0].value.len, 3);
    assert_memory_equal(p.headers[0].value.ptr, "a\0b", 3);
}

/* 18,000 tables inside each other crash a reader that walks into all of them on a small stack. */
static void test_deep_nesting_is_passed_over(void **state)
{
    (void)state;
    enum { DEPTH = 18000 };
    size_t len = 0;
    static const uint8_t first[] = {1, 'a', 'S', 0, 0, 0, 1, 'x'};
    static const uint8_t last[] = {1, 'z', 'S', 0, 0, 0, 1, 'y'};
    uint8_t *table = malloc((size_t)DEPTH * 7 + 64);
    memcpy(table, first, sizeof(first));
    len = sizeof(first);
    for (unsigned i = 0; i < DEPTH; i++) {
        uint32_t inner = (DEPTH - i - 1) * 7;
        table[len++] = 1;
        table[len++] = 'n';
        table[len++] = 'F';
        table[len++] = (uint8_t)(inner >> 24);
        table[len++] = (uint8_t)(inner >> 16);
        table[len++] = (uint8_t)(inner >> 8);
        table[len++] = (uint8_t)inner;
    }
    memcpy(table + len, last, sizeof(last));
    len += sizeof(last);
    struct broker_properties p;
    assert_int_equal(codec_properties(with_table(table, (uint32_t)len), &p, &room), 0);
    assert_int_equal(p.n_headers, 2);
    assert_text(&p, 0, "a", "x");
    assert_text(&p, 1, "z", "y");
    free(table);
}

static void test_headers_behind_the_128th_are_left_out(void **state)
{
    (void)state;
    static const uint8_t one[] = {2, 'a', 'b', 'I', 0, 0, 0, 0};
    uint8_t *table = malloc((size_t)10000 * 8);
    for (size_t i = 0; i < 10000; i++) {
        memcpy(table + i * 8, one, sizeof(one));
    }
    struct broker_properties p;
    assert_int_equal(codec_properties(with_table(table, 10000 * 8), &p, &room), 0);
    assert_int_equal(p.n_headers, BROKER_MAX_HEADERS);
    free(table);
}

static void test_every_cut_is_malformed_and_none_reads_behind(void **state)
{
    (void)state;
    struct broker_header headers[] = {{SLICE_LITERAL("name"), SLICE_LITERAL("value")}};
    struct broker_publish p = {.exchange = SLICE_LITERAL("e"),
                               .properties = {.content_type = SLICE_LITERAL("text/plain"),
                                              .content_encoding = SLICE_LITERAL("utf-8"),
                                              .correlation_id = SLICE_LITERAL("1"),
                                              .reply_to = SLICE_LITERAL("r"),
                                              .expiration = SLICE_LITERAL("100"),
                                              .message_id = SLICE_LITERAL("m"),
                                              .type = SLICE_LITERAL("t"),
                                              .user_id = SLICE_LITERAL("u"),
                                              .app_id = SLICE_LITERAL("a"),
                                              .has_priority = true,
                                              .has_delivery_mode = true,
                                              .has_timestamp = true,
                                              .headers = headers,
                                              .n_headers = 1}};
    size_t method_len = 0;
    struct broker_properties out;
    ssize_t n = codec_publish_head(encoded, sizeof(encoded), 1, &p, &method_len);
    assert_true(n > 0);
    const uint8_t *properties = encoded + method_len + 7 + 12;
    size_t len = (size_t)n - method_len - 7 - 12 - 1;
    for (size_t cut = 0; cut < len; cut++) {
        struct slice bytes = {(const char *)guarded(properties, cut), cut};
        assert_int_equal(codec_properties(bytes, &out, &room), -1);
    }
    struct slice whole = {(const char *)guarded(properties, len), len};
    assert_int_equal(codec_properties(whole, &out, &room), 0);
    for (size_t cut = 0; cut < 14; cut++) {
        uint64_t size;
        struct slice bytes = {(const char *)guarded(encoded + method_len + 7, cut), cut};
        assert_int_equal(codec_content(bytes, &size, &whole), -1);
    }
}

static void test_random_bytes_never_read_behind(void **state)
{
    (void)state;
    static const char kinds[] = "tbBsuIilLTfdDSxFAV";
    for (seed = 1; seed < 40000; seed++) {
        unsigned this_seed = seed;
        uint8_t bytes[200];
        size_t len = dice(sizeof(bytes));
        for (size_t i = 0; i < len; i++) {
            /* mostly small numbers and known letters, so that it gets somewhere */
            unsigned kind = dice(4);
            bytes[i] = (uint8_t)(kind == 0   ? dice(256)
                                 : kind == 1 ? (unsigned)kinds[dice(sizeof(kinds) - 1)]
                                             : dice(6));
        }
        struct broker_properties p;
        struct slice s = {(const char *)guarded(bytes, len), len};
        if (codec_properties(s, &p, &room) == 0) {
            for (size_t i = 0; i < p.n_headers; i++) {
                assert_true(p.headers[i].name.len > 0 && p.headers[i].name.len <= 255);
                assert_non_null(p.headers[i].value.ptr);
            }
        }
        seed = this_seed;
    }
}

/* ---- Frames ---- */

static void test_frames_are_cut_at_every_byte(void **state)
{
    (void)state;
    struct buf out;
    struct codec_frame frame;
    buf_init(&out);
    assert_int_equal(codec_put_body(&out, 3, SLICE_LITERAL("0123456789"), 12), 0);
    assert_int_equal(codec_put_heartbeat(&out), 0);
    assert_int_equal(out.len, 10 + 3 * 8 + 8);
    size_t len = out.len;
    static const size_t lengths[] = {12, 12, 10, 8};
    size_t at = 0;
    for (unsigned i = 0; i < 4; i++) {
        for (size_t cut = 0; cut < lengths[i]; cut++) {
            const uint8_t *bytes = guarded(buf_data(&out) + at, cut);
            assert_int_equal(codec_next(bytes, cut, 4096, &frame), 0);
        }
        const uint8_t *bytes = guarded(buf_data(&out) + at, lengths[i]);
        assert_int_equal(codec_next(bytes, lengths[i], 4096, &frame), lengths[i]);
        assert_int_equal(frame.type, i < 3 ? CODEC_BODY : CODEC_HEARTBEAT);
        assert_int_equal(frame.channel, i < 3 ? 3 : 0);
        at += lengths[i];
    }
    assert_int_equal(at, len);
    buf_data(&out)[11] = 0; /* the end octet */
    assert_int_equal(codec_next(buf_data(&out), len, 4096, &frame), -1);
    static const uint8_t huge[] = {1, 0, 0, 0xff, 0xff, 0xff, 0xff};
    assert_int_equal(codec_next(huge, sizeof(huge), CODEC_FRAME_MAX, &frame), -1);
    buf_fini(&out);
}

static void test_bodies_are_cut_to_frame_max(void **state)
{
    (void)state;
    static const size_t sizes[] = {0, 1, 4087, 4088, 4089, 8176, 8177, 100000};
    char *body = malloc(100000);
    for (size_t i = 0; i < 100000; i++) {
        body[i] = (char)dice(256);
    }
    for (unsigned i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
        struct buf out;
        size_t at = 0;
        size_t got = 0;
        buf_init(&out);
        assert_int_equal(codec_put_body(&out, 4, (struct slice){body, sizes[i]}, 4096), 0);
        while (at < out.len) {
            struct codec_frame frame;
            ssize_t n = codec_next(buf_data(&out) + at, out.len - at, 4096, &frame);
            assert_true(n > 0 && n <= 4096);
            assert_memory_equal(frame.payload, body + got, frame.len);
            got += frame.len;
            at += (size_t)n;
        }
        assert_int_equal(got, sizes[i]);
        buf_fini(&out);
    }
    free(body);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_header_names_of_every_length_come_back),
        cmocka_unit_test(test_names_over_255_are_never_encoded),
        cmocka_unit_test(test_headers_over_a_frame_are_refused),
        cmocka_unit_test(test_random_properties_come_back),
        cmocka_unit_test(test_scalars_come_as_text),
        cmocka_unit_test(test_tables_and_arrays_are_flattened),
        cmocka_unit_test(test_malformed_inside_is_left_out_alone),
        cmocka_unit_test(test_depth_is_bounded),
        cmocka_unit_test(test_flattened_names_are_bounded),
        cmocka_unit_test(test_flattened_headers_are_counted),
        cmocka_unit_test(test_fields_that_are_looked_at_are_counted),
        cmocka_unit_test(test_floats_are_short_and_exact),
        cmocka_unit_test(test_byte_arrays_come_as_they_are),
        cmocka_unit_test(test_deep_nesting_is_passed_over),
        cmocka_unit_test(test_headers_behind_the_128th_are_left_out),
        cmocka_unit_test(test_every_cut_is_malformed_and_none_reads_behind),
        cmocka_unit_test(test_random_bytes_never_read_behind),
        cmocka_unit_test(test_frames_are_cut_at_every_byte),
        cmocka_unit_test(test_bodies_are_cut_to_frame_max),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
