#include "options.h"
#include "deal.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SUBSCRIPTIONS_MAX 10000000

static const char USAGE[] =
    "loadgen --url ws://127.0.0.1:8801/ws [options]\n"
    "  --protocol P      stomp, raw or socketio (stomp)\n"
    "  --publish-url U   where publishers connect to, if not to --url. With raw, %d in both is the "
    "room's number,\n"
    "                    and each room has a publisher's connection of its own\n"
    "  --subscribers N   connections that subscribe (1000)\n"
    "  --subscriptions N of each of them (1)\n"
    "  --rooms N         destinations that the subscriptions are spread over (1)\n"
    "  --destination T   of a room, %d is its number (/topic/bench.%d)\n"
    "  --publishers N    connections that send; a room belongs to one of them (1)\n"
    "  --body BYTES      of a message, at least 16 (200)\n"
    "  --window N        closed loop: so many messages on their way at a time (20)\n"
    "  --rate X          instead: so many messages per second; latency counts from the intended "
    "moment\n"
    "  --warmup S        (2)   --duration S (10)   --settle S before memory is read (1)\n"
    "  --idle            connect and subscribe only\n"
    "  --threads N       of this program (1)   --connecting N handshakes at a time, per thread "
    "(32)\n"
    "  --pid NAME=PID    a server process to account for; may be repeated\n"
    "  --login, --passcode, --vhost, --label\n"
    "Prints one JSON object. Exit status: 0 measured, 1 it could not be, 2 wrong usage.\n";

enum {
    OPT_URL = 256,
    OPT_PUBLISH_URL,
    OPT_PROTOCOL,
    OPT_SUBSCRIBERS,
    OPT_SUBSCRIPTIONS,
    OPT_ROOMS,
    OPT_DESTINATION,
    OPT_PUBLISHERS,
    OPT_BODY,
    OPT_WINDOW,
    OPT_RATE,
    OPT_WARMUP,
    OPT_DURATION,
    OPT_SETTLE,
    OPT_IDLE,
    OPT_THREADS,
    OPT_CONNECTING,
    OPT_PID,
    OPT_LOGIN,
    OPT_PASSCODE,
    OPT_VHOST,
    OPT_LABEL,
    OPT_HELP
};

static const struct option LONG[] = {
    {"url", required_argument, NULL, OPT_URL},
    {"publish-url", required_argument, NULL, OPT_PUBLISH_URL},
    {"protocol", required_argument, NULL, OPT_PROTOCOL},
    {"subscribers", required_argument, NULL, OPT_SUBSCRIBERS},
    {"subscriptions", required_argument, NULL, OPT_SUBSCRIPTIONS},
    {"rooms", required_argument, NULL, OPT_ROOMS},
    {"destination", required_argument, NULL, OPT_DESTINATION},
    {"publishers", required_argument, NULL, OPT_PUBLISHERS},
    {"body", required_argument, NULL, OPT_BODY},
    {"window", required_argument, NULL, OPT_WINDOW},
    {"rate", required_argument, NULL, OPT_RATE},
    {"warmup", required_argument, NULL, OPT_WARMUP},
    {"duration", required_argument, NULL, OPT_DURATION},
    {"settle", required_argument, NULL, OPT_SETTLE},
    {"idle", no_argument, NULL, OPT_IDLE},
    {"threads", required_argument, NULL, OPT_THREADS},
    {"connecting", required_argument, NULL, OPT_CONNECTING},
    {"pid", required_argument, NULL, OPT_PID},
    {"login", required_argument, NULL, OPT_LOGIN},
    {"passcode", required_argument, NULL, OPT_PASSCODE},
    {"vhost", required_argument, NULL, OPT_VHOST},
    {"label", required_argument, NULL, OPT_LABEL},
    {"help", no_argument, NULL, OPT_HELP},
    {NULL, 0, NULL, 0},
};

static int complain(const char *what, const char *value)
{
    fprintf(stderr, "loadgen: %s: %s\n", what, value);
    return -1;
}

static int parse_count(const char *text, unsigned *value)
{
    char *end = NULL;
    unsigned long n = strtoul(text, &end, 10);
    if (end == text || *end != '\0' || n > 1000000) {
        return complain("not a count", text);
    }
    *value = (unsigned)n;
    return 0;
}

static int parse_number(const char *text, double *value)
{
    char *end = NULL;
    *value = strtod(text, &end);
    return end == text || *end != '\0' || *value < 0 ? complain("not a number", text) : 0;
}

static int parse_url(struct options_url *u, const char *text)
{
    unsigned port = 0;
    u->text = text;
    int n = sscanf(text, "ws://%127[^:/]:%u%255s", u->host, &port, u->path);
    if (n < 2 || port == 0 || port > 65535) {
        return complain("not ws://ADDRESS:PORT/PATH", text);
    }
    u->port = (uint16_t)port;
    return 0;
}

static int parse_protocol(struct options *o, const char *name)
{
    o->protocol = protocol_find(name);
    return o->protocol ? 0 : complain("not a protocol", name);
}

static int parse_pid(struct options *o, char *text)
{
    char *equals = strchr(text, '=');
    if (!equals || atol(equals + 1) <= 0 || o->n_pids == OPTIONS_PIDS_MAX) {
        return complain("not NAME=PID, or too many", text);
    }
    *equals = '\0';
    o->pids[o->n_pids++] = (struct options_pid){.name = text, .pid = (pid_t)atol(equals + 1)};
    return 0;
}

/* Flat: one line per option. */
static int parse_one(struct options *o, int opt,
                     char *value) /* NOLINT(readability-function-size) */
{
    unsigned n = 0;
    switch (opt) {
    case OPT_URL:
        return parse_url(&o->url, value);
    case OPT_PUBLISH_URL:
        return parse_url(&o->publish_url, value);
    case OPT_PROTOCOL:
        return parse_protocol(o, value);
    case OPT_SUBSCRIBERS:
        return parse_count(value, &o->subscribers);
    case OPT_SUBSCRIPTIONS:
        return parse_count(value, &o->subscriptions);
    case OPT_ROOMS:
        return parse_count(value, &o->rooms);
    case OPT_DESTINATION:
        o->destination = value;
        return 0;
    case OPT_PUBLISHERS:
        return parse_count(value, &o->publishers);
    case OPT_BODY:
        if (parse_count(value, &n) < 0) {
            return -1;
        }
        o->body_bytes = n;
        return 0;
    case OPT_WINDOW:
        o->rate = 0;
        return parse_count(value, &o->window);
    case OPT_RATE:
        o->window = 0;
        return parse_number(value, &o->rate);
    case OPT_WARMUP:
        return parse_number(value, &o->warmup_s);
    case OPT_DURATION:
        return parse_number(value, &o->duration_s);
    case OPT_SETTLE:
        return parse_number(value, &o->settle_s);
    case OPT_IDLE:
        o->is_idle = 1;
        return 0;
    case OPT_THREADS:
        return parse_count(value, &o->threads);
    case OPT_CONNECTING:
        return parse_count(value, &o->connecting);
    case OPT_PID:
        return parse_pid(o, value);
    case OPT_LOGIN:
        o->login.login = value;
        return 0;
    case OPT_PASSCODE:
        o->login.passcode = value;
        return 0;
    case OPT_VHOST:
        o->login.vhost = value;
        return 0;
    case OPT_LABEL:
        o->label = value;
        return 0;
    case OPT_HELP:
        fputs(USAGE, stdout);
        return 1;
    default:
        fputs(USAGE, stderr);
        return -1;
    }
}

/* What names a room holds one %d and nothing else of that kind. */
static int check_pattern(const struct options *o, const char *pattern)
{
    const char *mark = strchr(pattern, '%');
    if (mark && (mark[1] != 'd' || strchr(mark + 1, '%'))) {
        return complain("one %d, or no %", pattern);
    }
    if (!mark && o->rooms > 1) {
        return complain("several rooms want a %d in what names them", pattern);
    }
    return strlen(pattern) > 200 ? complain("too long", pattern) : 0;
}

static int check_rooms(const struct options *o)
{
    if (!o->protocol->path_is_room) {
        return check_pattern(o, o->destination);
    }
    return check_pattern(o, o->url.path) < 0 ? -1 : check_pattern(o, o->publish_url.path);
}

/* What follows from other options. */
static void complete(struct options *o)
{
    if (!o->publish_url.text) {
        o->publish_url = o->url;
    }
    if (o->protocol->path_is_room) {
        o->publishers = o->rooms;
    }
    struct options_url *urls[] = {&o->url, &o->publish_url};
    for (int i = 0; i < 2; i++) {
        if (urls[i]->path[0] == '\0') {
            snprintf(urls[i]->path, sizeof(urls[i]->path), "%s", o->protocol->path);
        }
    }
}

static int check_subscriptions(const struct options *o)
{
    if (o->subscriptions == 0 || deal_count(o) > SUBSCRIPTIONS_MAX) {
        return complain("none, or too many", "--subscriptions");
    }
    if (o->subscriptions > 1 && o->protocol->path_is_room) {
        return complain("a connection has one room", "--subscriptions");
    }
    if (o->subscriptions > o->rooms && !o->protocol->subscription) {
        return complain("more than rooms: who could tell them apart?", "--subscriptions");
    }
    return o->rooms > deal_count(o) ? complain("each room needs a subscription", "--rooms") : 0;
}

static int check(const struct options *o)
{
    if (!o->url.text) {
        return complain("missing", "--url");
    }
    if (o->subscribers == 0 || o->rooms == 0 || o->threads == 0 || o->connecting == 0) {
        return complain("must not be 0", "--subscribers, --rooms, --threads, --connecting");
    }
    if (check_subscriptions(o) < 0) {
        return -1;
    }
    if (!o->is_idle && (o->publishers == 0 || o->publishers > o->rooms)) {
        return complain("one to as many as there are rooms", "--publishers");
    }
    if (o->body_bytes < 16 || (o->window == 0 && o->rate <= 0) || o->window > 10000) {
        return complain("out of range", "--body, --window or --rate");
    }
    return check_rooms(o);
}

int options_parse(struct options *o, int argc, char **argv)
{
    *o = (struct options){.label = "",
                          .protocol = &protocol_stomp,
                          .destination = "/topic/bench.%d",
                          .subscribers = 1000,
                          .subscriptions = 1,
                          .rooms = 1,
                          .publishers = 1,
                          .threads = 1,
                          .connecting = 32,
                          .body_bytes = 200,
                          .window = 20,
                          .settle_s = 1,
                          .warmup_s = 2,
                          .duration_s = 10};
    int opt;
    while ((opt = getopt_long(argc, argv, "", LONG, NULL)) != -1) {
        int result = parse_one(o, opt, optarg);
        if (result != 0) {
            return result;
        }
    }
    if (optind < argc) {
        return complain("unknown argument", argv[optind]);
    }
    complete(o);
    return check(o);
}

void options_room(const char *pattern, unsigned room, char *text, size_t len)
{
    const char *mark = strchr(pattern, '%');
    if (mark) {
        snprintf(text, len, "%.*s%u%s", (int)(mark - pattern), pattern, room, mark + 2);
    } else {
        snprintf(text, len, "%s", pattern);
    }
}
