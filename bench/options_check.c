#include "deal.h"
#include "options_internal.h"

#include <stdio.h>
#include <string.h>

#define SUBSCRIPTIONS_MAX 10000000
#define ROOMS_MAX 1000000
#define COUNTERS_MAX 100000000
#define BODY_MAX (16u << 20)

/* What names a room holds one %d and nothing else of that kind. */
static int check_pattern(const struct options *o, const char *pattern)
{
    const char *mark = strchr(pattern, '%');
    if (mark && (mark[1] != 'd' || strchr(mark + 1, '%'))) {
        return options_complain("one %d, or no %", pattern);
    }
    if (!mark && o->rooms > 1) {
        return options_complain("several rooms want a %d in what names them", pattern);
    }
    return strlen(pattern) > 200 ? options_complain("too long", pattern) : 0;
}

static int check_rooms(const struct options *o)
{
    if (!o->protocol->path_is_room) {
        return check_pattern(o, o->destination);
    }
    return check_pattern(o, o->url.path) < 0 ? -1 : check_pattern(o, o->publish_url.path);
}

/* /topic/a.%d gives /topic/a.*, which hears all rooms; /topic/a.%d.b gives /topic/a.%d.*, which
 * hears one. */
static void derive_pattern(struct options *o)
{
    const char *word = strrchr(o->destination, '.');
    const char *slash = strrchr(o->destination, '/');
    word = word && (!slash || word > slash) ? word + 1 : slash ? slash + 1 : o->destination;
    snprintf(o->pattern, sizeof(o->pattern), "%.*s*", (int)(word - o->destination), o->destination);
    o->pattern_hears_all = o->wildcard > 0 && !strchr(o->pattern, '%');
}

/* What follows from other options. */
static void complete(struct options *o)
{
    if (o->window == OPTIONS_NO_WINDOW) {
        o->window = o->rate > 0 ? 0 : 20;
    }
    if (!o->publish_url.text) {
        o->publish_url = o->url;
    }
    if (o->subscribers == OPTIONS_NO_SUBSCRIBERS) {
        o->subscribers = o->storm > 0 ? 0 : 1000;
    }
    o->is_idle = o->is_idle || o->storm > 0;
    if (o->duration_s < 0) {
        o->duration_s = o->is_idle ? 0 : 10;
    }
    if (o->protocol->path_is_room && !o->is_idle) {
        o->publishers = o->rooms;
    }
    derive_pattern(o);
    struct options_url *urls[] = {&o->url, &o->publish_url};
    for (int i = 0; i < 2; i++) {
        if (urls[i]->path[0] == '\0') {
            snprintf(urls[i]->path, sizeof(urls[i]->path), "%s", o->protocol->path);
        }
    }
}

static int check_wildcard(const struct options *o)
{
    if (o->wildcard > 1) {
        return options_complain("not a share", "--wildcard");
    }
    if (o->wildcard > 0 && strcmp(o->protocol->name, "stomp") != 0) {
        return options_complain("only STOMP has patterns", "--wildcard");
    }
    /* each that hears all rooms counts each of them */
    return deal_count_hears_all(o) * o->rooms > COUNTERS_MAX
               ? options_complain("too many rooms for so many that hear all", "--wildcard")
               : 0;
}

static int find_syscalls(struct options *o)
{
    for (unsigned i = 0; i < o->n_syscalls; i++) {
        bool is_found = false;
        for (unsigned p = 0; p < o->n_pids; p++) {
            if (strcmp(o->pids[p].name, o->syscalls[i]) == 0) {
                o->pids[p].counts_syscalls = is_found = true;
            }
        }
        if (!is_found) {
            return options_complain("--syscalls names no --pid", o->syscalls[i]);
        }
    }
    return 0;
}

static int check_subscriptions(const struct options *o)
{
    if (o->stalled > 1) {
        return options_complain("not a share", "--stalled");
    }
    if (o->subscriptions == 0 || deal_count(o) > SUBSCRIPTIONS_MAX) {
        return options_complain("none, or too many", "--subscriptions");
    }
    if (o->subscriptions > 1 && o->protocol->path_is_room) {
        return options_complain("a connection has one room", "--subscriptions");
    }
    if (o->subscriptions > o->rooms && !o->protocol->subscription) {
        return options_complain("more than rooms: who could tell them apart?", "--subscriptions");
    }
    if (o->rooms > ROOMS_MAX) {
        return options_complain("too many", "--rooms");
    }
    if (check_wildcard(o) < 0) {
        return -1;
    }
    return o->rooms > deal_count(o) && deal_count_hears_all(o) == 0 && o->storm == 0
               ? options_complain("each room needs a subscription", "--rooms")
               : 0;
}

static int check(const struct options *o)
{
    if (!o->url.text) {
        return options_complain("missing", "--url");
    }
    if ((o->subscribers == 0 && o->storm == 0) || o->rooms == 0 || o->threads == 0 ||
        o->connecting == 0) {
        return options_complain("must not be 0", "--subscribers, --rooms, --threads, --connecting");
    }
    if (check_subscriptions(o) < 0) {
        return -1;
    }
    if (!o->is_idle && (o->publishers == 0 || o->publishers > o->rooms)) {
        return options_complain("one to as many as there are rooms", "--publishers");
    }
    if (o->window > 0 ? o->rate > 0 : o->rate <= 0) {
        return options_complain("one of them", "--window and --rate");
    }
    if (o->body_bytes < 16 || o->body_bytes > BODY_MAX || o->window > 10000) {
        return options_complain("out of range", "--body or --window");
    }
    if (o->is_binary && o->protocol->is_text_only) {
        return options_complain("not with this protocol", "--binary");
    }
    if (o->login.heartbeat_ms > 0 && !o->protocol->beat) {
        return options_complain("only STOMP has them", "--heartbeat");
    }
    return check_rooms(o);
}

int options_finish(struct options *o)
{
    complete(o);
    return find_syscalls(o) < 0 ? -1 : check(o);
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
