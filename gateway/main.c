/* stompgate, the gateway. Start: configuration, certificate, reactors (loops, AMQP connections,
 * libwebsockets contexts), sockets, threads. SIGHUP: certificate and key are read anew. Stop, on
 * SIGTERM or SIGINT: each reactor drains and ends its own loop; then the threads are joined. A
 * second signal ends at once. */
#include "common/config.h"
#include "common/log.h"
#include "gateway/reactor.h"
#include "gateway/transport/transport.h"

#include <getopt.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#define STACK_BYTES (8 * 1024 * 1024) /* rabbitmq-c decodes nested tables by recursion */
#define MAX_REACTORS 64

static const char usage[] =
    "usage: stompgate [--config FILE]\n"
    "\n"
    "  --config FILE    read this TOML file; without it every key has its default\n"
    "  --check-config   say what is wrong with the file, and end: 0 nothing, 1 something\n"
    "  --help-config    list every key: type, default, range, unit\n"
    "  --version        print the version\n"
    "  --help           print this\n";

/* NULL when it said on standard error what is wrong. */
static struct config *load(const char *path)
{
    char *errors = NULL;
    struct config *c = config_load(path, &errors);
    if (!c) {
        fputs(errors ? errors : "stompgate: out of memory\n", stderr);
    }
    free(errors);
    return c;
}

static int check_config(const char *path)
{
    log_set_level(LOG_WARN);
    struct config *c = load(path);
    struct tls_pair *pair = c && c->tls.enabled ? tls_pair_read(c) : NULL;
    bool is_fine = c && (pair || !c->tls.enabled);
    tls_pair_unref(pair);
    config_free(c);
    return is_fine ? 0 : 1;
}

/* The value of --config, or ends the program. */
static const char *read_arguments(int argc, char **argv)
{
    static const struct option options[] = {
        {"config", required_argument, NULL, 'c'}, {"check-config", no_argument, NULL, 'k'},
        {"help-config", no_argument, NULL, 'p'},  {"version", no_argument, NULL, 'v'},
        {"help", no_argument, NULL, 'h'},         {NULL, 0, NULL, 0},
    };
    const char *path = NULL;
    bool is_check = false;
    for (int o; (o = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        switch (o) {
        case 'c':
            path = optarg;
            break;
        case 'k':
            is_check = true;
            break;
        case 'p':
            config_print_keys();
            exit(0);
        case 'v':
            puts("stompgate " STOMPGATE_VERSION);
            exit(0);
        case 'h':
            fputs(usage, stdout);
            exit(0);
        default:
            fputs(usage, stderr);
            exit(2);
        }
    }
    if (optind < argc) {
        fprintf(stderr, "stompgate: what is \"%s\"?\n%s", argv[optind], usage);
        exit(2);
    }
    if (is_check) {
        exit(check_config(path));
    }
    return path;
}

static void set_descriptor_limit(int wanted)
{
    struct rlimit limit;
    if (wanted > 0 && getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = (rlim_t)wanted < limit.rlim_max ? (rlim_t)wanted : limit.rlim_max;
        if (setrlimit(RLIMIT_NOFILE, &limit) != 0) {
            log_warn("-", "limit.failed", "max_fds=%d", wanted);
        }
    }
}

/* Reads certificate and key, and gives them to all reactors. -1 with a log line: whoever had a pair
 * keeps it. */
static int certify(const struct config *c, struct reactor *const *reactors)
{
    struct tls_pair *pair = tls_pair_read(c);
    for (int i = 0; pair && i < c->gateway.threads; i++) {
        reactor_certify(reactors[i], pair);
    }
    tls_pair_unref(pair);
    return pair ? 0 : -1;
}

static void log_ports(const struct config *c, const struct reactor_ports *ports)
{
    const char *name = c->gateway.name;
    int threads = c->gateway.threads;
    if (c->tcp.enabled) {
        log_info(name, "tcp.open", "address=%s port=%d threads=%d", c->tcp.bind, ports->tcp,
                 threads);
    }
    if (c->tls.enabled) {
        log_info(name, "tls.open", "address=%s port=%d path=%s threads=%d", c->tls.bind, ports->tls,
                 c->gateway.path, threads);
    }
    log_info(name, "listener.open", "address=%s port=%d path=%s threads=%d", c->gateway.bind,
             ports->gateway, c->gateway.path, threads);
}

static int make_reactors(const struct config *c, struct reactor **reactors,
                         struct metrics **metrics)
{
    struct reactor_ports ports = {c->gateway.port, c->tcp.port, c->tls.port};
    for (int i = 0; i < c->gateway.threads; i++) {
        reactors[i] = reactor_new(c, i, metrics, c->gateway.threads);
        if (!reactors[i] || reactor_listen(reactors[i], &ports) != 0) {
            return -1;
        }
    }
    if (c->tls.enabled && certify(c, reactors) != 0) {
        return -1;
    }
    log_ports(c, &ports);
    return 0;
}

static void *run(void *reactor)
{
    reactor_run(reactor);
    return NULL;
}

static int start_threads(const struct config *c, struct reactor **reactors, pthread_t *threads)
{
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, STACK_BYTES);
    int failed = 0;
    for (int i = 0; i < c->gateway.threads && !failed; i++) {
        failed = pthread_create(&threads[i], &attributes, run, reactors[i]);
    }
    pthread_attr_destroy(&attributes);
    return failed ? -1 : 0;
}

/* Signals come to the main thread only, which has nothing else to do. Until one that ends it. */
static void handle_signals(const sigset_t *signals, const struct config *c,
                           struct reactor *const *reactors)
{
    int which = SIGHUP;
    while (which == SIGHUP) {
        if (sigwait(signals, &which) != 0) {
            continue;
        }
        log_info("-", "signal", "number=%d", which);
        if (which == SIGHUP && c->tls.enabled && certify(c, reactors) != 0) {
            log_warn("-", "tls.kept", "the certificate and key that were read before stay in use");
        }
    }
}

int main(int argc, char **argv)
{
    const char *path = read_arguments(argc, argv);
    struct config *c = load(path);
    enum log_level level = LOG_INFO;
    if (!c || log_level_parse(c->gateway.log_level, &level) != 0) {
        return 1;
    }
    log_set_level(level);
    set_descriptor_limit(c->gateway.max_fds);
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGHUP);
    pthread_sigmask(SIG_BLOCK, &signals, NULL);
    signal(SIGPIPE, SIG_IGN);

    struct reactor *reactors[MAX_REACTORS] = {NULL};
    struct metrics *metrics[MAX_REACTORS] = {NULL};
    pthread_t threads[MAX_REACTORS];
    if (make_reactors(c, reactors, metrics) != 0 || start_threads(c, reactors, threads) != 0) {
        _Exit(1); /* nothing has run yet, and the kernel takes back what was opened */
    }
    handle_signals(&signals, c, reactors);
    sigdelset(&signals, SIGHUP);
    pthread_sigmask(SIG_UNBLOCK, &signals, NULL); /* the next one ends the program as it is */
    for (int i = 0; i < c->gateway.threads; i++) {
        reactor_stop(reactors[i]);
    }
    for (int i = 0; i < c->gateway.threads; i++) {
        pthread_join(threads[i], NULL);
    }
    for (int i = 0; i < c->gateway.threads; i++) {
        reactor_free(reactors[i]);
    }
    config_free(c);
    return 0;
}
