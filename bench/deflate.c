/* What permessage-deflate (RFC 7692) would save and cost: one MESSAGE after the other of a room is
 * compressed as a server would, and inflated again. Prints a table; docs/DESIGN.md has its figures
 * and what was decided by them. No server, no socket.
 *
 *     deflate
 *
 * shared: no context takeover, so one result serves every client. split: the same, but the body
 * knows nothing of the head, so one body serves any number of subscription ids. own: context
 * takeover, a compressor for each connection.
 */
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <zlib.h>

#define MESSAGES 400
#define MESSAGE_MAX 20000
#define TAIL_BYTES 4 /* 00 00 ff ff: what a flush ends in is not sent (RFC 7692, 7.2.1) */

struct text {
    char bytes[MESSAGE_MAX];
    size_t len;
    size_t head_len;
};

static struct text messages[MESSAGES];
static size_t allocated;
static uint32_t seed = 1;

static uint32_t any(uint32_t n)
{
    seed = seed * 1664525 + 1013904223;
    return (uint32_t)(((uint64_t)(seed >> 4) * n) >> 28);
}

/* ---- Messages: JSON as chats and dashboards send it ---- */

__attribute__((format(printf, 2, 3))) static void add(struct text *t, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    t->len += (size_t)vsnprintf(t->bytes + t->len, sizeof t->bytes - t->len, format, args);
    va_end(args);
}

/* Frequent words more often than others. */
static void add_words(struct text *t, size_t end)
{
    static const char words[] =
        "the of and to in is you that it he was for on are as with his they I at be this have from "
        "or one had by word but not what all were we when your can said there use an each which "
        "she do how their if will up other about out many then them these so some her would make "
        "tomorrow meeting budget invoice server deploy again thanks lunch really maybe quarter";
    while (t->len < end) {
        uint32_t at = any(any(sizeof words - 12) + 1);
        while (at > 0 && words[at - 1] != ' ') {
            at--;
        }
        add(t, "%.*s ", (int)strcspn(words + at, " "), words + at);
    }
    t->len = end;
}

static void add_id(struct text *t)
{
    add(t, "%08x-%04x-4%03x-a%03x-%08x%04x", any(1U << 28), any(65536), any(4096), any(4096),
        any(1U << 28), any(65536));
}

static void add_item(struct text *t, int i)
{
    static const char *const states[] = {"open", "filled", "cancelled", "rejected"};
    add(t, "{\"id\":\"");
    add_id(t);
    add(t, "\",\"account\":%u,\"symbol\":\"%c%c%c\",\"side\":\"%s\",\"price\":%u.%02u,", any(99999),
        'A' + any(26), 'A' + any(26), 'A' + any(26), any(2) ? "buy" : "sell", any(900), any(100));
    add(t, "\"quantity\":%u,\"state\":\"%s\",\"at\":%u%03d,\"note\":\"", any(5000), states[any(4)],
        1764133000 + any(9999), i % 1000);
    add_words(t, t->len + 20 + any(40));
    add(t, "\"}");
}

static void make_message(struct text *t, size_t body_len)
{
    t->len = 0;
    add(t, "MESSAGE\nsubscription:sub-0\ndestination:/topic/room.1\nmessage-id:01");
    add_id(t);
    add(t, "\nredelivered:false\ncontent-type:application/json\ncontent-length:%zu\n\n", body_len);
    t->head_len = t->len;
    size_t end = t->len + body_len;
    if (body_len < 512) {
        add(t, "{\"room\":\"room.1\",\"user\":%u,\"name\":\"user %u\",\"at\":%u%03u,\"text\":\"",
            any(99999), any(200), 1764133000 + any(9999), any(1000));
        add_words(t, end - 2);
        add(t, "\"}");
    } else {
        add(t, "{\"book\":\"main\",\"items\":[");
        for (int i = 0; t->len < end; i++) {
            add_item(t, i);
            add(t, ",");
        }
        t->len = end;
    }
    add(t, "%c", 0);
    t->len = end + 1;
}

/* ---- Measuring ---- */

enum mode { SHARED, SPLIT, OWN };

struct zip {
    z_stream deflate;
    z_stream inflate;
    enum mode mode;
    uint8_t out[MESSAGES][MESSAGE_MAX];
    size_t lens[MESSAGES];
};

static void *counted(void *unused, unsigned n, unsigned size)
{
    (void)unused;
    allocated += (size_t)n * size;
    return calloc(n, size);
}

static double cpu_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static void zip(struct zip *z, int i)
{
    const struct text *t = &messages[i];
    z_stream *s = &z->deflate;
    size_t head = z->mode == SPLIT ? t->head_len : 0;
    if (z->mode != OWN) {
        deflateReset(s);
    }
    s->next_out = z->out[i];
    s->avail_out = MESSAGE_MAX;
    s->next_in = (Bytef *)(uintptr_t)t->bytes;
    s->avail_in = (uInt)head;
    if (head > 0) {
        deflate(s, Z_FULL_FLUSH);
    }
    s->avail_in = (uInt)(t->len - head);
    deflate(s, Z_SYNC_FLUSH);
    z->lens[i] = MESSAGE_MAX - s->avail_out;
}

static void unzip(struct zip *z, int i)
{
    static char back[MESSAGE_MAX];
    z_stream *s = &z->inflate;
    if (z->mode != OWN) {
        inflateReset(s);
    }
    s->next_in = z->out[i];
    s->avail_in = (uInt)z->lens[i];
    s->next_out = (Bytef *)back;
    s->avail_out = sizeof back;
    if (inflate(s, Z_SYNC_FLUSH) != Z_OK || memcmp(back, messages[i].bytes, messages[i].len)) {
        exit(1);
    }
}

static void measure(enum mode mode, int level, int window, int memory)
{
    static const char *const names[] = {"shared", "split", "own"};
    static struct zip z;
    z = (struct zip){.deflate.zalloc = counted, .inflate.zalloc = counted, .mode = mode};
    allocated = 0;
    if (deflateInit2(&z.deflate, level, Z_DEFLATED, -window, memory, Z_DEFAULT_STRATEGY) != Z_OK ||
        inflateInit2(&z.inflate, -window) != Z_OK) {
        exit(1);
    }
    size_t plain = 0;
    size_t sent = 0;
    double began = cpu_us();
    for (int i = 0; i < MESSAGES; i++) {
        zip(&z, i);
        plain += messages[i].len;
        sent += z.lens[i] - TAIL_BYTES;
    }
    double zipped = cpu_us();
    for (int i = 0; i < MESSAGES; i++) {
        unzip(&z, i);
    }
    double unzipped = cpu_us();
    printf("%-7s %5d %6d %6d %8zu %8zu %5.0f %% %10.1f %10.1f %8zu\n", names[mode], level, window,
           memory, plain / MESSAGES, sent / MESSAGES, 100 - 100.0 * (double)sent / (double)plain,
           (zipped - began) / MESSAGES, (unzipped - zipped) / MESSAGES, allocated / 1024);
    deflateEnd(&z.deflate);
    inflateEnd(&z.inflate);
}

int main(void)
{
    static const size_t bodies[] = {200, 1024, 16384};
    printf(
        "form    level window memory    plain deflated   saved deflate us inflate us      KiB\n");
    for (size_t i = 0; i < sizeof bodies / sizeof bodies[0]; i++) {
        for (int m = 0; m < MESSAGES; m++) {
            make_message(&messages[m], bodies[i]);
        }
        for (enum mode mode = SHARED; mode <= OWN; mode++) {
            measure(mode, 1, 15, 8);
            measure(mode, 6, 15, 8);
            measure(mode, 6, 11, 4);
        }
    }
    return 0;
}
