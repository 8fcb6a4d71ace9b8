#include "common/log.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define MAX_EVENTS 256
#define NAME_MAX_BYTES 48

/* How often an event was logged in the present second. Events are literals of the program, so there
 * are few; should there be more than fit, the last entry counts for all others together. */
struct event_count {
    char name[NAME_MAX_BYTES];
    uint64_t second;
    uint64_t suppressed;
    unsigned lines;
    enum log_level level; /* of the last line that was suppressed */
};

/* A line in the making. `text` always has room for TAIL behind `len`. */
struct line {
    char text[LOG_LINE_MAX];
    size_t len;
    bool is_cut;
};

#define TAIL "...\n"
#define TAIL_LEN (sizeof TAIL - 1)

static const char *const level_names[] = {"error", "warn", "info", "debug"};
static atomic_int max_level = LOG_INFO;
static atomic_uint_fast64_t n_dropped;

/* Guards the table, and the time between asking whether standard error has room and writing to it.
 * Nothing blocks while it is held. */
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static struct event_count events[MAX_EVENTS];
static size_t n_events;
static size_t n_suppressing;

void log_set_level(enum log_level level)
{
    atomic_store(&max_level, (int)level);
}

int log_level_parse(const char *text, enum log_level *level)
{
    for (size_t i = 0; i < sizeof level_names / sizeof *level_names; i++) {
        if (strcmp(text, level_names[i]) == 0) {
            *level = (enum log_level)i;
            return 0;
        }
    }
    return -1;
}

int log_is_on(enum log_level level)
{
    return (int)level <= atomic_load_explicit(&max_level, memory_order_relaxed);
}

uint64_t log_dropped(void)
{
    return atomic_load(&n_dropped);
}

/* The length of the valid UTF-8 sequence at `s` (RFC 3629), 0 when there is none. */
static size_t sequence_len(const unsigned char *s, size_t n)
{
    if (s[0] < 0x80) {
        return 1;
    }
    size_t len = s[0] >= 0xf0 ? 4 : s[0] >= 0xe0 ? 3 : 2;
    if (s[0] < 0xc2 || s[0] > 0xf4 || n < len) {
        return 0;
    }
    for (size_t i = 1; i < len; i++) {
        if ((s[i] & 0xc0) != 0x80) {
            return 0;
        }
    }
    bool is_bad = (s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f) ||
                  (s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] > 0x8f);
    return is_bad ? 0 : len;
}

/* Besides what ASCII calls control: U+0080 to U+009F, which terminals obey too, and the line and
 * paragraph separators. */
static bool is_control(const unsigned char *s, size_t len)
{
    return (len == 1 && (s[0] < 0x20 || s[0] == 0x7f)) ||
           (len == 2 && s[0] == 0xc2 && s[1] < 0xa0) ||
           (len == 3 && s[0] == 0xe2 && s[1] == 0x80 && (s[2] == 0xa8 || s[2] == 0xa9));
}

static void put(struct line *l, const char *bytes, size_t n)
{
    if (l->is_cut || l->len + n + TAIL_LEN > sizeof l->text) {
        l->is_cut = true;
        return;
    }
    memcpy(l->text + l->len, bytes, n);
    l->len += n;
}

static void put_escaped(struct line *l, const char *text)
{
    static const char hex[] = "0123456789abcdef";
    const unsigned char *s = (const unsigned char *)text;
    size_t n = strlen(text);
    while (n > 0) {
        size_t len = sequence_len(s, n);
        if (len == 0 || is_control(s, len)) {
            len = len == 0 ? 1 : len;
            for (size_t i = 0; i < len; i++) {
                char escape[4] = {'\\', 'x', hex[s[i] >> 4], hex[s[i] & 0x0f]};
                put(l, escape, sizeof escape);
            }
        } else {
            put(l, (const char *)s, len);
        }
        s += len;
        n -= len;
    }
}

static void begin(struct line *l, enum log_level level, const char *id, const char *event)
{
    l->len = 0;
    l->is_cut = false;
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    struct tm utc;
    gmtime_r(&now.tv_sec, &utc);
    char stamp[64];
    size_t n = strftime(stamp, sizeof stamp, "%Y-%m-%dT%H:%M:%S", &utc);
    n += (size_t)snprintf(stamp + n, sizeof stamp - n, ".%03dZ ", (int)(now.tv_nsec / 1000000));
    put(l, stamp, n);
    put_escaped(l, level_names[level]);
    put(l, " ", 1);
    put_escaped(l, event);
    put(l, " id=", 4);
    put_escaped(l, id);
    put(l, " ", 1);
}

/* A pipe that polls writable has a page free, and a line is shorter, so the write does not block.
 * (Where several processes share one stuck pipe, another may take that page in between; it would
 * then wait for the reader.) */
static void emit(struct line *l)
{
    if (l->is_cut) {
        memcpy(l->text + l->len, TAIL, TAIL_LEN);
        l->len += TAIL_LEN;
    } else {
        l->text[l->len++] = '\n';
    }
    struct pollfd p = {.fd = STDERR_FILENO, .events = POLLOUT};
    if (poll(&p, 1, 0) != 1 || (p.revents & (POLLOUT | POLLERR | POLLNVAL)) != POLLOUT ||
        write(STDERR_FILENO, l->text, l->len) != (ssize_t)l->len) {
        atomic_fetch_add(&n_dropped, 1);
    }
}

static void tell_suppressed(struct event_count *e)
{
    struct line l;
    char count[64];
    begin(&l, e->level, "-", "log.suppressed");
    put_escaped(&l, "event=");
    put_escaped(&l, e->name);
    snprintf(count, sizeof count, " lines=%llu", (unsigned long long)e->suppressed);
    put_escaped(&l, count);
    emit(&l);
    e->suppressed = 0;
    n_suppressing--;
}

/* There is no timer here: what was held back in a second that is over is told by the next line of
 * any event. */
static void tell_all_suppressed(uint64_t second)
{
    for (size_t i = 0; n_suppressing > 0 && i < n_events; i++) {
        if (events[i].suppressed > 0 && events[i].second != second) {
            tell_suppressed(&events[i]);
        }
    }
}

static struct event_count *find_event(const char *name)
{
    for (size_t i = 0; i < n_events; i++) {
        if (strncmp(events[i].name, name, NAME_MAX_BYTES - 1) == 0) {
            return &events[i];
        }
    }
    if (n_events == MAX_EVENTS) {
        return &events[MAX_EVENTS - 1];
    }
    struct event_count *e = &events[n_events++];
    snprintf(e->name, sizeof e->name, "%s", n_events == MAX_EVENTS ? "other" : name);
    return e;
}

static bool is_too_frequent(enum log_level level, const char *event, uint64_t second)
{
    struct event_count *e = find_event(event);
    if (e->second != second) {
        e->second = second;
        e->lines = 0;
    }
    if (++e->lines <= LOG_BURST) {
        return false;
    }
    e->level = level;
    n_suppressing += e->suppressed++ == 0;
    atomic_fetch_add(&n_dropped, 1);
    return true;
}

void log_write(enum log_level level, const char *id, const char *event, const char *format, ...)
{
    if (!log_is_on(level)) {
        return;
    }
    int saved = errno;
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    uint64_t second =
        (uint64_t)now.tv_sec + 1; /* never 0, which is an entry that was not used yet */
    pthread_mutex_lock(&mutex);
    tell_all_suppressed(second);
    if (!is_too_frequent(level, event, second)) {
        char text[LOG_LINE_MAX];
        va_list args;
        va_start(args, format);
        if (vsnprintf(text, sizeof text, format, args) < 0) {
            text[0] = '\0';
        }
        va_end(args);
        struct line l;
        begin(&l, level, id ? id : "-", event);
        put_escaped(&l, text);
        emit(&l);
    }
    pthread_mutex_unlock(&mutex);
    errno = saved;
}
