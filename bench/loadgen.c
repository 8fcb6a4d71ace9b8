/* The load generator: connects, subscribes, sends, measures, prints. bench/README.md says what the
 * numbers mean.
 *
 * - options.c: the command line; report.c: JSON; process.c, syscalls.c: the servers
 * - client*.c: connections on one loop, tls.c under them; deal.c: who subscribes to what
 * - publisher.c: when to send what; ledger.c: what is on its way; storm.c: joins and leaves
 * - websocket.c, and stomp.c, raw.c, socketio.c within: bytes in, frames out; hist.c: latencies
 *
 * Thread 0 holds the publishers, its share of the subscribers and the phases below; the others hold
 * subscribers alone.
 */
#include "client.h"
#include "options.h"
#include "publisher.h"
#include "report.h"
#include "storm.h"
#include "syscalls.h"

#include <arpa/inet.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>

#define SECOND_NS 1000000000ull
#define PATIENCE_NS (20 * SECOND_NS) /* without any progress */
#define WAKING_NS (3 * SECOND_NS)
#define THREADS_MAX 16

struct loadgen {
    struct options options;
    struct client_run run;
    struct client_set sets[THREADS_MAX];
    pthread_t threads[THREADS_MAX];
    unsigned n_threads; /* that were started, besides the first */
    struct publisher publisher;
    struct report report;
};

/* ---- threads ---- */

static void *run_thread(void *argument)
{
    struct client_set *set = argument;
    while (!atomic_load(&set->run->is_over)) {
        client_set_open(set);
        client_set_turn(set, 20);
    }
    return NULL;
}

/* Thread 0 gets the publishers and the subscribers are dealt out like cards. */
static int deal(struct loadgen *g, unsigned thread)
{
    const struct options *o = &g->options;
    unsigned n_publishers = thread == 0 && !o->is_idle ? o->publishers : 0;
    unsigned n =
        n_publishers + o->subscribers / o->threads + (thread < o->subscribers % o->threads ? 1 : 0);
    struct client *clients = calloc(n ? n : 1, sizeof(*clients));
    if (!clients) {
        perror("loadgen: clients");
        return -1;
    }
    for (unsigned i = 0; i < n; i++) {
        uint64_t number = (uint64_t)(i - n_publishers) * o->threads + thread;
        clients[i].is_publisher = i < n_publishers;
        clients[i].is_stalled = !clients[i].is_publisher && deal_is_stalled(o, number);
        clients[i].first = clients[i].is_publisher ? 0 : (unsigned)(number * o->subscriptions);
        /* a publisher's room matters only where a connection has just one */
        clients[i].room = clients[i].is_publisher ? i : deal_room(o, clients[i].first);
    }
    int result = client_set_init(&g->sets[thread], &g->run, clients, n);
    g->sets[thread].wakes = thread > 0;
    return result;
}

static uint64_t sum(struct loadgen *g, size_t offset)
{
    uint64_t total = 0;
    for (unsigned i = 0; i < g->options.threads; i++) {
        _Atomic uint64_t *counter = (_Atomic uint64_t *)((char *)&g->sets[i].counters + offset);
        total += atomic_load_explicit(counter, memory_order_relaxed);
    }
    return total;
}

#define SUM(g, counter) sum((g), offsetof(struct client_counters, counter))

/* ---- phases ---- */

static void sample(struct loadgen *g, struct report_sample *s)
{
    report_sample(s, &g->options, client_now_ns(), SUM(g, delivered));
}

static int connect_all(struct loadgen *g)
{
    uint64_t total = g->options.subscribers + (g->options.is_idle ? 0 : g->options.publishers);
    uint64_t ready = 0;
    uint64_t progress = 0;
    uint64_t since_ns = client_now_ns();
    g->report.connections = total;
    while (ready < total) {
        client_set_open(&g->sets[0]);
        client_set_turn(&g->sets[0], 5);
        uint64_t now_subscribed = SUM(g, subscribed);
        ready = SUM(g, ready);
        since_ns = ready + now_subscribed > progress ? client_now_ns() : since_ns;
        progress = ready + now_subscribed;
        if (SUM(g, closed) > 0 || client_now_ns() - since_ns > PATIENCE_NS) {
            fprintf(stderr, "loadgen: %s: %llu of %llu connections were ready, %llu had ended\n",
                    g->options.label, (unsigned long long)ready, (unsigned long long)total,
                    (unsigned long long)SUM(g, closed));
            return -1;
        }
    }
    return 0;
}

static void wait_for(struct loadgen *g, double seconds)
{
    uint64_t end_ns = client_now_ns() + (uint64_t)(seconds * 1e9);
    while (client_now_ns() < end_ns) {
        client_set_turn(&g->sets[0], 5);
    }
}

/* Sends for a while. -1 when nothing has come for too long. */
static int send_for(struct loadgen *g, double seconds)
{
    uint64_t now_ns = client_now_ns();
    uint64_t end_ns = now_ns + (uint64_t)(seconds * 1e9);
    uint64_t since_ns = now_ns;
    uint64_t delivered = SUM(g, delivered);
    for (; now_ns < end_ns; now_ns = client_now_ns()) {
        publisher_turn(&g->publisher, now_ns);
        client_set_turn(&g->sets[0], 5);
        uint64_t now_delivered = SUM(g, delivered);
        since_ns = now_delivered > delivered ? now_ns : since_ns;
        delivered = now_delivered;
        if (now_ns > since_ns + PATIENCE_NS) {
            g->report.has_given_up = true;
            return -1;
        }
    }
    return 0;
}

/* What is on its way may still come. */
static void drain(struct loadgen *g)
{
    uint64_t end_ns = client_now_ns() + PATIENCE_NS / 2;
    while (client_now_ns() < end_ns &&
           SUM(g, delivered) - SUM(g, duplicated) < g->publisher.expected) {
        client_set_turn(&g->sets[0], 5);
    }
}

/* Lets the stalled look what has become of them: an end of theirs may stand behind all that they
 * have not read. */
static void wake_stalled(struct loadgen *g)
{
    uint64_t end_ns = client_now_ns() + WAKING_NS;
    atomic_store(&g->run.is_waking, true);
    while (client_now_ns() < end_ns && SUM(g, stalled_closed) < deal_count_stalled(&g->options)) {
        client_set_turn(&g->sets[0], 5);
    }
}

static int run_storm(struct loadgen *g)
{
    struct storm storm;
    uint64_t gone = 0;
    uint64_t since_ns = client_now_ns();
    if (storm_init(&storm, &g->run) < 0) {
        return -1;
    }
    sample(g, &g->report.from);
    while (storm_turn(&storm) && client_now_ns() - since_ns < PATIENCE_NS) {
        client_set_turn(&g->sets[0], 0);
        since_ns = storm.gone > gone ? client_now_ns() : since_ns;
        gone = storm.gone;
    }
    sample(g, &g->report.until);
    g->report.storm_gone = storm.gone;
    g->report.storm_failed = storm.failed;
    g->report.has_given_up = storm.gone < g->options.storm;
    storm_fini(&storm);
    return 0;
}

/* In a second of its own: a tracepoint costs the server something. */
static void count_syscalls(struct loadgen *g)
{
    struct options *o = &g->options;
    struct syscalls *counts[OPTIONS_PIDS_MAX] = {NULL};
    for (unsigned i = 0; i < o->n_pids; i++) {
        counts[i] = o->pids[i].counts_syscalls ? syscalls_begin(o->pids[i].pid) : NULL;
    }
    uint64_t before = SUM(g, delivered);
    send_for(g, 1);
    g->report.syscalls_delivered = SUM(g, delivered) - before;
    for (unsigned i = 0; i < o->n_pids; i++) {
        g->report.syscalls[i] = syscalls_end(counts[i]);
    }
}

static void measure(struct loadgen *g)
{
    publisher_start(&g->publisher, client_now_ns());
    int result = send_for(g, g->options.warmup_s);
    sample(g, &g->report.from);
    atomic_store(&g->run.until_ns, UINT64_MAX);
    atomic_store(&g->run.from_ns, g->report.from.at_ns);
    g->publisher.behind_ns = 0;
    if (result == 0) {
        send_for(g, g->options.duration_s);
    }
    sample(g, &g->report.until);
    atomic_store(&g->run.until_ns, g->report.until.at_ns);
    g->report.behind_ns = g->publisher.behind_ns;
    if (g->options.n_syscalls > 0 && !g->report.has_given_up) {
        count_syscalls(g);
    }
    drain(g);
}

/* ---- start and stop ---- */

/* Each connection is a file, and a server's fan-out is felt only with many. */
static void raise_files(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
}

static int find_address(struct sockaddr_in *address, const struct options_url *url)
{
    *address = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(url->port)};
    if (inet_pton(AF_INET, url->host, &address->sin_addr) != 1) {
        fprintf(stderr, "loadgen: not an IPv4 address: %s\n", url->host);
        return -1;
    }
    return 0;
}

static int start(struct loadgen *g)
{
    raise_files();
    g->run.options = &g->options;
    g->run.ledger = calloc(1, sizeof(*g->run.ledger));
    g->run.wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (find_address(&g->run.address, &g->options.url) < 0 ||
        find_address(&g->run.publish_address, &g->options.publish_url) < 0) {
        return -1;
    }
    if ((g->options.url.is_tls || g->options.publish_url.is_tls) &&
        !(g->run.tls = tls_context_client())) {
        return -1;
    }
    if (!g->run.ledger || g->run.wake_fd < 0) {
        perror("loadgen");
        return -1;
    }
    for (unsigned i = 0; i < g->options.threads; i++) {
        if (deal(g, i) < 0) {
            return -1;
        }
    }
    if (publisher_init(&g->publisher, &g->sets[0]) < 0) {
        return -1;
    }
    sample(g, &g->report.start);
    for (unsigned i = 1; i < g->options.threads; i++) {
        if (pthread_create(&g->threads[i], NULL, run_thread, &g->sets[i]) != 0) {
            fprintf(stderr, "loadgen: no thread\n");
            return -1;
        }
        g->n_threads++;
    }
    return 0;
}

static void stop(struct loadgen *g)
{
    atomic_store(&g->run.is_over, true);
    for (unsigned i = 1; i <= g->n_threads; i++) {
        pthread_join(g->threads[i], NULL);
    }
    for (unsigned i = 0; i < g->options.threads; i++) {
        hist_add(&g->report.latency, &g->sets[i].latency);
        for (unsigned f = 0; f < CLIENT_FATES_MAX; f++) {
            client_fate_add(g->report.fates, g->sets[i].fates[f].code, g->sets[i].fates[f].n);
        }
    }
    g->report.delivered = SUM(g, delivered);
    g->report.duplicated = SUM(g, duplicated);
    g->report.foreign = SUM(g, foreign);
    g->report.closed = SUM(g, closed);
    g->report.sent = g->run.ledger ? g->run.ledger->sent : 0;
    g->report.expected = g->publisher.expected;
    publisher_fini(&g->publisher);
    for (unsigned i = 0; i < g->options.threads; i++) {
        client_set_fini(&g->sets[i]);
    }
    free(g->run.ledger);
    tls_context_free(g->run.tls);
}

static int run(struct loadgen *g)
{
    if (start(g) < 0 || connect_all(g) < 0) {
        return -1;
    }
    sample(g, &g->report.connected);
    wait_for(g, g->options.settle_s);
    sample(g, &g->report.settled);
    if (!g->options.is_idle) {
        measure(g);
    }
    if (g->options.is_idle && g->options.duration_s > 0) {
        g->report.from = g->report.settled;
        wait_for(g, g->options.duration_s);
        sample(g, &g->report.until);
    }
    wake_stalled(g);
    return g->options.storm > 0 ? run_storm(g) : 0;
}

int main(int argc, char **argv)
{
    static struct loadgen g; /* large, and zeroed */
    int usage = options_parse(&g.options, argc, argv);
    if (usage != 0 || g.options.threads > THREADS_MAX) {
        return usage > 0 ? 0 : 2;
    }
    int result = run(&g);
    stop(&g);
    if (result == 0) {
        report_print(&g.report, &g.options);
    }
    return result == 0 && !g.report.has_given_up ? 0 : 1;
}
