#include "options_internal.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char USAGE[] =
    "loadgen --url ws://127.0.0.1:8801/ws [options]     (wss: TLS, nothing is verified)\n"
    "  --protocol P      stomp, raw or socketio (stomp)\n"
    "  --publish-url U   where publishers connect to, if not to --url. With raw, %d in both is the "
    "room's number,\n"
    "                    and each room has a publisher's connection of its own\n"
    "  --subscribers N   connections that subscribe (1000)\n"
    "  --subscriptions N of each of them (1)\n"
    "  --rooms N         destinations that the subscriptions are spread over (1)\n"
    "  --destination T   of a room, %d is its number (/topic/bench.%d)\n"
    "  --wildcard SHARE  0 to 1: so many subscriptions use the destination with its last word "
    "replaced by * (0)\n"
    "  --stalled SHARE   0 to 1: so many subscribers read nothing any more once they have "
    "subscribed (0)\n"
    "  --publishers N    connections that send; a room belongs to one of them (1)\n"
    "  --body BYTES      of a message, at least 16 (200); --binary: bytes that are no UTF-8\n"
    "  --window N        closed loop: so many messages on their way at a time (20)\n"
    "  --rate X          instead: so many messages per second; latency counts from the intended "
    "moment\n"
    "  --warmup S        (2)   --duration S (10)   --settle S before memory is read (1)\n"
    "  --idle            connect and subscribe only; with --duration: what do they cost then?\n"
    "  --storm N         N connections that come, subscribe, say DISCONNECT and go, --connecting "
    "at a "
    "time, beside\n"
    "                    --subscribers (0) silent ones; --hasty: they do not wait for the answer "
    "to "
    "SUBSCRIBE\n"
    "  --heartbeat MS    both ways (0: none)\n"
    "  --threads N       of this program (1)   --connecting N handshakes at a time, per thread "
    "(32)\n"
    "  --pid NAME=PID    a server process to account for; may be repeated\n"
    "  --syscalls NAME   counts its system calls in a second after the measured span; may be "
    "repeated; "
    "wants root\n"
    "  --login, --passcode, --vhost, --label\n"
    "Prints one JSON object. Exit status: 0 measured, 1 it could not be, 2 wrong usage.\n";

/* How the value of an option is read. */
enum kind {
    COUNT,
    NUMBER,
    TEXT,
    FLAG,
    /* and those that want a function of their own */
    URL,
    PROTOCOL,
    PID,
    SYSCALLS,
    HELP
};

/* An option, and the field of struct options that it fills. */
static const struct rule {
    const char *name;
    enum kind kind;
    size_t offset;
} RULES[] = {
    {"url", URL, offsetof(struct options, url)},
    {"publish-url", URL, offsetof(struct options, publish_url)},
    {"protocol", PROTOCOL, 0},
    {"subscribers", COUNT, offsetof(struct options, subscribers)},
    {"subscriptions", COUNT, offsetof(struct options, subscriptions)},
    {"rooms", COUNT, offsetof(struct options, rooms)},
    {"destination", TEXT, offsetof(struct options, destination)},
    {"wildcard", NUMBER, offsetof(struct options, wildcard)},
    {"stalled", NUMBER, offsetof(struct options, stalled)},
    {"publishers", COUNT, offsetof(struct options, publishers)},
    {"body", COUNT, offsetof(struct options, body_bytes)},
    {"binary", FLAG, offsetof(struct options, is_binary)},
    {"window", COUNT, offsetof(struct options, window)},
    {"rate", NUMBER, offsetof(struct options, rate)},
    {"warmup", NUMBER, offsetof(struct options, warmup_s)},
    {"duration", NUMBER, offsetof(struct options, duration_s)},
    {"settle", NUMBER, offsetof(struct options, settle_s)},
    {"idle", FLAG, offsetof(struct options, is_idle)},
    {"storm", COUNT, offsetof(struct options, storm)},
    {"hasty", FLAG, offsetof(struct options, is_hasty)},
    {"heartbeat", COUNT, offsetof(struct options, login.heartbeat_ms)},
    {"threads", COUNT, offsetof(struct options, threads)},
    {"connecting", COUNT, offsetof(struct options, connecting)},
    {"pid", PID, 0},
    {"syscalls", SYSCALLS, 0},
    {"login", TEXT, offsetof(struct options, login.login)},
    {"passcode", TEXT, offsetof(struct options, login.passcode)},
    {"vhost", TEXT, offsetof(struct options, login.vhost)},
    {"label", TEXT, offsetof(struct options, label)},
    {"help", HELP, 0},
};

#define N_RULES (sizeof(RULES) / sizeof(RULES[0]))

int options_complain(const char *what, const char *value)
{
    fprintf(stderr, "loadgen: %s: %s\n", what, value);
    return -1;
}

static int parse_count(const char *text, unsigned *value)
{
    char *end = NULL;
    unsigned long n = strtoul(text, &end, 10);
    if (end == text || *end != '\0' || n > 100000000) {
        return options_complain("not a count", text);
    }
    *value = (unsigned)n;
    return 0;
}

static int parse_number(const char *text, double *value)
{
    char *end = NULL;
    *value = strtod(text, &end);
    return end == text || *end != '\0' || *value < 0 ? options_complain("not a number", text) : 0;
}

static int parse_url(struct options_url *u, const char *text)
{
    unsigned port = 0;
    u->text = text;
    u->is_tls = strncmp(text, "wss:", 4) == 0;
    int n = sscanf(text, u->is_tls ? "wss://%127[^:/]:%u%255s" : "ws://%127[^:/]:%u%255s", u->host,
                   &port, u->path);
    if (n < 2 || port == 0 || port > 65535) {
        return options_complain("not ws://ADDRESS:PORT/PATH or wss://ADDRESS:PORT/PATH", text);
    }
    u->port = (uint16_t)port;
    return 0;
}

static int parse_protocol(struct options *o, const char *name)
{
    o->protocol = protocol_find(name);
    return o->protocol ? 0 : options_complain("not a protocol", name);
}

static int parse_pid(struct options *o, char *text)
{
    char *equals = strchr(text, '=');
    if (!equals || atol(equals + 1) <= 0 || o->n_pids == OPTIONS_PIDS_MAX) {
        return options_complain("not NAME=PID, or too many", text);
    }
    *equals = '\0';
    o->pids[o->n_pids++] = (struct options_pid){.name = text, .pid = (pid_t)atol(equals + 1)};
    return 0;
}

static int parse_syscalls(struct options *o, const char *name)
{
    if (o->n_syscalls == OPTIONS_PIDS_MAX) {
        return options_complain("too many", "--syscalls");
    }
    o->syscalls[o->n_syscalls++] = name;
    return 0;
}

static int apply(struct options *o, const struct rule *rule, char *value)
{
    void *field = (char *)o + rule->offset;
    switch (rule->kind) {
    case COUNT:
        return parse_count(value, field);
    case NUMBER:
        return parse_number(value, field);
    case TEXT:
        *(const char **)field = value;
        return 0;
    case FLAG:
        *(bool *)field = true;
        return 0;
    case URL:
        return parse_url(field, value);
    case PROTOCOL:
        return parse_protocol(o, value);
    case PID:
        return parse_pid(o, value);
    case SYSCALLS:
        return parse_syscalls(o, value);
    case HELP:
        fputs(USAGE, stdout);
        return 1;
    }
    return -1;
}

static int parse_all(struct options *o, int argc, char **argv)
{
    struct option names[N_RULES + 1] = {{NULL, 0, NULL, 0}};
    int number;
    for (size_t i = 0; i < N_RULES; i++) {
        bool is_alone = RULES[i].kind == FLAG || RULES[i].kind == HELP;
        names[i] = (struct option){RULES[i].name, is_alone ? no_argument : required_argument, NULL,
                                   256 + (int)i};
    }
    while ((number = getopt_long(argc, argv, "", names, NULL)) != -1) {
        if (number < 256) {
            fputs(USAGE, stderr);
            return -1;
        }
        int result = apply(o, &RULES[number - 256], optarg);
        if (result != 0) {
            return result;
        }
    }
    return optind < argc ? options_complain("unknown argument", argv[optind]) : 0;
}

int options_parse(struct options *o, int argc, char **argv)
{
    *o = (struct options){.label = "",
                          .protocol = &protocol_stomp,
                          .destination = "/topic/bench.%d",
                          .subscribers = OPTIONS_NO_SUBSCRIBERS,
                          .subscriptions = 1,
                          .rooms = 1,
                          .publishers = 1,
                          .threads = 1,
                          .connecting = 32,
                          .body_bytes = 200,
                          .window = OPTIONS_NO_WINDOW,
                          .settle_s = 1,
                          .warmup_s = 2,
                          .duration_s = OPTIONS_NO_DURATION};
    int result = parse_all(o, argc, argv);
    return result == 0 ? options_finish(o) : result;
}
