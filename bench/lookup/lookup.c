/* What it costs to find who listens to a message, without what is then done for each of them: rooms
 * that nobody is in are found and passed over. Keys come in random order, so the caches are as cold
 * as in life.
 *
 *     lookup              all cases: name, rooms with and without wildcards, ns per message
 *     lookup CASE         one of them, for callgrind
 */
#include "gateway/fanout/audience.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define MESSAGES 1000000u
#define KEY_MAX 128

struct test {
    const char *name;
    unsigned n_exact;
    unsigned n_patterns;
    const char *exact;   /* %u is the number of the room */
    const char *pattern; /* the same */
    const char *key;     /* of a message; %u is the number of a room, at random */
    unsigned n_keys;
    unsigned found; /* rooms for each message */
};

static const struct test TESTS[] = {
    {"1 room", 1, 0, "room.%u", NULL, "room.%u", 1, 1},
    {"1,000 rooms", 1000, 0, "room.%u", NULL, "room.%u", 1000, 1},
    {"10,000 rooms", 10000, 0, "room.%u", NULL, "room.%u", 10000, 1},
    {"100,000 rooms", 100000, 0, "room.%u", NULL, "room.%u", 100000, 1},
    {"100,000 rooms, another key", 100000, 0, "room.%u", NULL, "else.%u", 100000, 0},
    {"100,000 rooms beside 10,000 wildcards", 100000, 10000, "room.%u", "user.%u.*", "room.%u",
     100000, 1},
    {"1 wildcard", 0, 1, NULL, "user.%u.*", "user.%u.x", 1, 1},
    {"1,000 wildcards", 0, 1000, NULL, "user.%u.*", "user.%u.x", 1000, 1},
    {"10,000 wildcards", 0, 10000, NULL, "user.%u.*", "user.%u.x", 10000, 1},
    {"10,000 wildcards in front", 0, 10000, NULL, "*.user.%u", "x.user.%u", 10000, 1},
    {"10,000 wildcards behind #", 0, 10000, NULL, "#.user.%u", "a.b.c.user.%u", 10000, 1},
    {"1 deep wildcard", 0, 1, NULL, "a.*.#.b%u.*", "a.x.y.z.b%u.q", 1, 1},
    {"10,000 deep wildcards", 0, 10000, NULL, "a.*.#.b%u.*", "a.x.y.z.b%u.q", 10000, 1},
};

static struct slice spell(char text[KEY_MAX], const char *format, unsigned number)
{
    const char *mark = strstr(format, "%u");
    int n = snprintf(text, KEY_MAX, "%.*s%u%s", (int)(mark - format), format, number, mark + 2);
    return (struct slice){text, (size_t)n};
}

static void fill(struct audience *a, const char *format, unsigned n, bool is_pattern)
{
    char text[KEY_MAX];
    for (unsigned i = 0; i < n; i++) {
        if (!audience_add(a, spell(text, format, i), is_pattern)) {
            abort();
        }
    }
}

static void empty(struct audience *a, const char *format, unsigned n, bool is_pattern)
{
    char text[KEY_MAX];
    for (unsigned i = 0; i < n; i++) {
        audience_remove(audience_find(a, spell(text, format, i), is_pattern));
    }
}

static double now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

/* The keys lie ready, one behind the other, as they would in what the broker sent. */
static char *make_keys(const struct test *t, unsigned n)
{
    char *keys = malloc((size_t)n * KEY_MAX);
    if (!keys) {
        abort();
    }
    for (unsigned i = 0; i < n; i++) {
        spell(keys + (size_t)i * KEY_MAX, t->key, (unsigned)(random() % t->n_keys));
    }
    return keys;
}

static void run(const struct test *t, unsigned messages)
{
    struct audience a;
    struct audience_sink sink;
    audience_sink_init(&sink, NULL, NULL);
    audience_init(&a, &(struct config){0}, "amq.topic", OUTQ_CLOSE, &sink);
    fill(&a, t->exact, t->n_exact, false);
    fill(&a, t->pattern, t->n_patterns, true);
    char *keys = make_keys(t, messages);
    size_t found = 0;
    double start = now_ns();
    for (unsigned i = 0; i < messages; i++) {
        const char *key = keys + (size_t)i * KEY_MAX;
        found += audience_deliver(&a, NULL, slice_of(key));
    }
    double took = now_ns() - start;
    if (found != (size_t)messages * t->found) {
        fprintf(stderr, "lookup: %s: %zu rooms found\n", t->name, found);
        exit(1);
    }
    printf("%-40s %7u %7u %8.1f\n", t->name, t->n_exact, t->n_patterns, took / messages);
    free(keys);
    empty(&a, t->exact, t->n_exact, false);
    empty(&a, t->pattern, t->n_patterns, true);
    audience_fini(&a);
}

int main(int argc, char **argv)
{
    size_t n = sizeof TESTS / sizeof TESTS[0];
    if (argc > 1) {
        size_t one = (size_t)strtoul(argv[1], NULL, 10);
        if (one < n) {
            run(&TESTS[one], MESSAGES / 10);
        }
        return one < n ? 0 : 2;
    }
    for (size_t i = 0; i < n; i++) {
        run(&TESTS[i], MESSAGES);
    }
    return 0;
}
