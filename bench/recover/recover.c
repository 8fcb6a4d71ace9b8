/* Commands come as lines on stdin, answers go as JSON lines to stdout:
 *
 *     (start)    {"event":"subscribed", …}     when every room has its receipt
 *     publish    marks go to random rooms from now on
 *     pause      … and no more
 *     sweep      one mark to each room: {"event":"swept","sent":N,"heard":M,…}
 *     end FILE   all marks and samples to FILE (tables, times in ms since 1970), then exit
 */
#include "bench/recover/recover.h"

#include <getopt.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define SWEEP_PATIENCE_MS 60000
#define SWEEP_SILENCE_MS 2000

uint64_t recover_now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static const struct option LONG[] = {
    {"ws-port", required_argument, NULL, 'w'},   {"ws-path", required_argument, NULL, 'p'},
    {"amqp-port", required_argument, NULL, 'a'}, {"connections", required_argument, NULL, 'c'},
    {"rooms", required_argument, NULL, 'r'},     {"rate", required_argument, NULL, 'm'},
    {"bystander", required_argument, NULL, 'b'}, {NULL, 0, NULL, 0},
};

static unsigned number(const char *text)
{
    char *end = NULL;
    unsigned long n = strtoul(text, &end, 10);
    if (end == text || *end || n == 0 || n > 10000000) {
        fprintf(stderr, "recover: not a number: %s\n", text);
        exit(2);
    }
    return (unsigned)n;
}

static void parse(struct recover_options *o, int argc, char **argv)
{
    int opt;
    while ((opt = getopt_long(argc, argv, "", LONG, NULL)) != -1) {
        switch (opt) {
        case 'w':
            o->ws_port = number(optarg);
            break;
        case 'p':
            o->ws_path = optarg;
            break;
        case 'a':
            o->amqp_port = number(optarg);
            break;
        case 'c':
            o->connections = number(optarg);
            break;
        case 'r':
            o->rooms = number(optarg);
            break;
        case 'm':
            o->rate = number(optarg);
            break;
        case 'b':
            o->bystander_rate = number(optarg);
            break;
        default:
            exit(2);
        }
    }
    if (!o->ws_port || !o->amqp_port || o->rooms < o->connections) {
        fprintf(stderr, "recover: --ws-port, --amqp-port; a connection has at least one room\n");
        exit(2);
    }
}

static void pause_ms(unsigned ms)
{
    usleep(ms * 1000);
}

static void await_subscribed(struct recover *run)
{
    uint64_t start_ns = recover_now_ns();
    while (atomic_load(&run->n_subscribed) < run->options.rooms) {
        if (atomic_load(&run->n_closed) > 0) {
            fprintf(stderr, "recover: %u connections ended\n", atomic_load(&run->n_closed));
            exit(1);
        }
        pause_ms(10);
    }
    printf("{\"event\":\"subscribed\",\"rooms\":%u,\"seconds\":%.3f}\n", run->options.rooms,
           (double)(recover_now_ns() - start_ns) / 1e9);
    fflush(stdout);
}

static unsigned heard_since(const struct recover *run, unsigned first, unsigned end)
{
    unsigned n = 0;
    for (unsigned i = first; i < end; i++) {
        n += atomic_load(&run->marks[i].heard_ns) != 0;
    }
    return n;
}

/* Until all are heard, or nothing more comes. */
static void sweep(struct recover *run)
{
    atomic_store(&run->is_publishing, false);
    pause_ms(100);
    unsigned first = atomic_load(&run->n_marks);
    uint64_t start_ns = recover_now_ns();
    atomic_store(&run->is_sweeping, true);
    unsigned silent_ms = 0;
    unsigned before = 0;
    for (unsigned ms = 0; ms < SWEEP_PATIENCE_MS && silent_ms < SWEEP_SILENCE_MS; ms += 50) {
        pause_ms(50);
        unsigned heard = heard_since(run, first, atomic_load(&run->n_marks));
        silent_ms = heard == before ? silent_ms + 50 : 0;
        before = heard;
        if (heard == run->options.rooms) {
            break;
        }
    }
    printf("{\"event\":\"swept\",\"sent\":%u,\"heard\":%u,\"seconds\":%.3f}\n",
           atomic_load(&run->n_marks) - first, before, (double)(recover_now_ns() - start_ns) / 1e9);
    fflush(stdout);
}

static void write_samples(FILE *file, const char *name, const struct recover_samples *s)
{
    for (unsigned i = 0; i < s->n; i++) {
        fprintf(file, "%s %.3f %.3f\n", name, (double)s->all[i].at_ns / 1e6,
                (double)s->all[i].took_ns / 1e6);
    }
}

static void write_all(const struct recover *run, const char *path)
{
    FILE *file = fopen(path, "w");
    if (!file) {
        perror(path);
        exit(1);
    }
    for (unsigned i = 0; i < atomic_load(&run->n_marks); i++) {
        const struct recover_mark *m = &run->marks[i];
        fprintf(file, "mark %.3f %.3f %u\n", (double)m->sent_ns / 1e6,
                (double)atomic_load(&m->heard_ns) / 1e6, atomic_load(&m->n_heard));
    }
    write_samples(file, "confirm", &run->confirms);
    write_samples(file, "bind", &run->binds);
    fprintf(file, "closed %u\nforeign %u\n", atomic_load(&run->n_closed),
            atomic_load(&run->n_foreign));
    fclose(file);
}

static void obey(struct recover *run, char *line)
{
    line[strcspn(line, "\n")] = '\0';
    if (strcmp(line, "publish") == 0) {
        atomic_store(&run->is_publishing, true);
    } else if (strcmp(line, "pause") == 0) {
        atomic_store(&run->is_publishing, false);
    } else if (strcmp(line, "sweep") == 0) {
        sweep(run);
    } else if (strncmp(line, "end ", 4) == 0) {
        atomic_store(&run->is_over, true);
        pause_ms(500);
        write_all(run, line + 4);
        printf("{\"event\":\"ended\"}\n");
        fflush(stdout);
        exit(0);
    }
}

static void start(struct recover *run, void *(*body)(void *))
{
    pthread_t thread;
    if (pthread_create(&thread, NULL, body, run) != 0) {
        fprintf(stderr, "recover: no thread\n");
        exit(1);
    }
    pthread_detach(thread);
}

int main(int argc, char **argv)
{
    static struct recover run = {.options = {.host = "127.0.0.1",
                                             .ws_path = "/ws",
                                             .exchange = "amq.topic",
                                             .prefix = "recover.",
                                             .connections = 400,
                                             .rooms = 100000,
                                             .rate = 1000,
                                             .bystander_rate = 200,
                                             .max_marks = 1000000}};
    parse(&run.options, argc, argv);
    run.confirms.cap = run.binds.cap = 1000000;
    run.marks = calloc(run.options.max_marks, sizeof *run.marks);
    run.confirms.all = calloc(run.confirms.cap, sizeof *run.confirms.all);
    run.binds.all = calloc(run.binds.cap, sizeof *run.binds.all);
    if (!run.marks || !run.confirms.all || !run.binds.all) {
        fprintf(stderr, "recover: out of memory\n");
        return 1;
    }
    /* What is measured is the broker, not how long this program waits for a processor. */
    if (setpriority(PRIO_PROCESS, 0, -10) != 0) {
        fprintf(stderr, "recover: without priority\n");
    }
    start(&run, bystander_run);
    start(&run, binder_run);
    start(&run, publisher_run);
    start(&run, rooms_run);
    await_subscribed(&run);
    char line[1024];
    while (fgets(line, sizeof line, stdin)) {
        obey(&run, line);
    }
    return 0;
}
