/* stompgate-store: the storage worker. Start, loop, stop.
 *
 * Start: configuration, log level, metrics port, database, dead letters, broker. Stop (SIGTERM,
 * SIGINT): consuming ends, what is held is written and acknowledged, then broker, dead letters,
 * database, metrics port. A second signal ends at once.
 */
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <uv.h>

#include "common/config.h"
#include "common/log.h"
#include "persist/http.h"
#include "persist/schema.h"
#include "persist/store.h"

enum action {
    ACTION_RUN,
    ACTION_CHECK,
    ACTION_MIGRATE,
    ACTION_VERSION,
    ACTION_HELP,
    ACTION_KEYS,
    ACTION_WRONG
};

struct worker {
    struct store *store;
    struct http *http;
    uv_signal_t signals[2];
    bool is_stopping;
};

static void print_help(void)
{
    puts("stompgate-store: takes messages from the storage queue and writes them into PostgreSQL\n"
         "\n"
         "  --config FILE    the configuration (TOML); without it all defaults hold\n"
         "  --check-config   check the configuration and exit: 0 good, 1 bad\n"
         "  --migrate        create or update the tables and exit: 0 done, 1 failed\n"
         "  --help-config    print every key with its type, default and range\n"
         "  --version        print the version\n"
         "  --help           print this");
}

static enum action parse(int argc, char **argv, const char **path)
{
    static const struct option options[] = {
        {"config", required_argument, NULL, 'c'},
        {"check-config", no_argument, NULL, ACTION_CHECK},
        {"migrate", no_argument, NULL, ACTION_MIGRATE},
        {"version", no_argument, NULL, ACTION_VERSION},
        {"help", no_argument, NULL, ACTION_HELP},
        {"help-config", no_argument, NULL, ACTION_KEYS},
        {NULL, 0, NULL, 0},
    };
    enum action action = ACTION_RUN;
    for (int o; (o = getopt_long(argc, argv, "c:", options, NULL)) != -1;) {
        if (o == 'c') {
            *path = optarg;
        } else {
            action = o == '?' ? ACTION_WRONG : (enum action)o;
        }
        if (action == ACTION_WRONG) {
            return action;
        }
    }
    if (optind < argc) {
        fprintf(stderr, "stompgate-store: unexpected argument \"%s\"\n", argv[optind]);
        return ACTION_WRONG;
    }
    return action;
}

static struct config *load(const char *path)
{
    char *errors = NULL;
    struct config *config = config_load(path, &errors);
    if (config == NULL) {
        fprintf(stderr, "%s\n", errors != NULL ? errors : "out of memory");
    }
    free(errors);
    return config;
}

/* ---- Running ---- */

static void on_stopped(void *owner)
{
    struct worker *w = owner;
    http_free(w->http);
    for (size_t i = 0; i < 2; i++) {
        uv_close((uv_handle_t *)&w->signals[i], NULL);
    }
}

static void on_signal(uv_signal_t *handle, int number)
{
    struct worker *w = handle->data;
    if (w->is_stopping) {
        _exit(1); /* asked twice: what is not acknowledged stays in the queue */
    }
    w->is_stopping = true;
    log_info("-", "store.signal", "signal=%d", number);
    store_stop(w->store, on_stopped, w);
}

static int run(uv_loop_t *loop, const struct config *config)
{
    static const int numbers[2] = {SIGTERM, SIGINT};
    struct worker w = {.store = store_new(loop, config)};
    if (w.store == NULL) {
        fputs("stompgate-store: out of memory\n", stderr);
        return 1;
    }
    if (config->store.metrics_port >= 0) {
        w.http = http_new(loop, config->store.metrics_bind, config->store.metrics_port, store_http,
                          w.store);
        if (w.http == NULL) {
            store_free(w.store);
            return 1;
        }
    }
    for (size_t i = 0; i < 2; i++) {
        uv_signal_init(loop, &w.signals[i]);
        w.signals[i].data = &w;
        uv_signal_start(&w.signals[i], on_signal, numbers[i]);
    }
    log_info("-", "store.start", "version=%s name=%s", STOMPGATE_VERSION, config->store.name);
    if (store_start(w.store) < 0) {
        fputs("stompgate-store: out of memory\n", stderr);
        return 1;
    }
    uv_run(loop, UV_RUN_DEFAULT);
    store_free(w.store);
    log_info("-", "store.stop", "name=%s", config->store.name);
    return 0;
}

static int work(const struct config *config, enum action action)
{
    uv_loop_t loop;
    enum log_level level;
    if (config->database.url[0] == '\0') {
        fputs("stompgate-store: database.url is not set in the configuration\n", stderr);
        return 1;
    }
    if (log_level_parse(config->gateway.log_level, &level) == 0) {
        log_set_level(level);
    }
    signal(SIGPIPE, SIG_IGN);
    if (uv_loop_init(&loop) < 0) {
        fputs("stompgate-store: cannot make an event loop\n", stderr);
        return 1;
    }
    int status = action == ACTION_MIGRATE ? (schema_migrate(&loop, config->database.url) < 0)
                                          : run(&loop, config);
    uv_loop_close(&loop);
    return status;
}

int main(int argc, char **argv)
{
    const char *path = NULL;
    enum action action = parse(argc, argv, &path);
    switch (action) {
    case ACTION_HELP:
        print_help();
        return 0;
    case ACTION_VERSION:
        puts("stompgate-store " STOMPGATE_VERSION);
        return 0;
    case ACTION_KEYS:
        config_print_keys();
        return 0;
    case ACTION_WRONG:
        fputs("try --help\n", stderr);
        return 1;
    case ACTION_RUN:
    case ACTION_CHECK:
    case ACTION_MIGRATE:
        break;
    }
    struct config *config = load(path);
    if (config == NULL) {
        return 1;
    }
    int status = action == ACTION_CHECK ? 0 : work(config, action);
    config_free(config);
    return status;
}
