#include "common/config_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct config_route *add_route(struct config *c)
{
    c->routes = config_alloc(c->routes, (c->n_routes + 1) * sizeof *c->routes);
    struct config_route *route = &c->routes[c->n_routes++];
    *route = (struct config_route){0};
    config_section_default(route, "route");
    return route;
}

static void set(char **text, const char *value)
{
    free(*text);
    *text = config_copy(value);
}

static void allow_nobody(struct config_strings *who)
{
    for (size_t i = 0; i < who->n; i++) {
        free(who->items[i]);
    }
    who->n = 0;
}

void config_routes_default(struct config *c)
{
    struct config_route *topic = add_route(c);
    set(&topic->prefix, "/topic/");
    set(&topic->exchange, "amq.topic");

    struct config_route *fanout = add_route(c);
    set(&fanout->prefix, "/fanout/");
    fanout->type = CONFIG_FANOUT;
    fanout->declare = true;

    /* These reach every exchange and every queue of the broker, so nobody may use them until
     * somebody is named. */
    static const struct {
        const char *prefix;
        enum config_exchange_type type;
        bool declare;
    } closed[] = {
        {"/exchange/", CONFIG_ANY, false},
        {"/queue/", CONFIG_QUEUE, true},
        {"/amq/queue/", CONFIG_QUEUE, false},
    };
    for (size_t i = 0; i < sizeof closed / sizeof *closed; i++) {
        struct config_route *route = add_route(c);
        set(&route->prefix, closed[i].prefix);
        route->type = closed[i].type;
        route->declare = closed[i].declare;
        allow_nobody(&route->send);
        allow_nobody(&route->subscribe);
    }
}

void config_routes_free(struct config *c)
{
    for (size_t i = 0; i < c->n_routes; i++) {
        config_section_free(&c->routes[i], "route");
    }
    free(c->routes);
    c->routes = NULL;
    c->n_routes = 0;
}

static struct config_route *find_route(const struct config *c, const char *prefix)
{
    for (size_t i = 0; i < c->n_routes; i++) {
        if (strcmp(c->routes[i].prefix, prefix) == 0) {
            return &c->routes[i];
        }
    }
    return NULL;
}

static bool is_given_before(const json_t *list, size_t i, const char *prefix)
{
    for (size_t j = 0; j < i; j++) {
        const char *other = json_string_value(json_object_get(json_array_get(list, j), "prefix"));
        if (other && strcmp(other, prefix) == 0) {
            return true;
        }
    }
    return false;
}

static void complain_route(struct config_reader *r, size_t i, const char *key, const char *reason)
{
    char where[64];
    snprintf(where, sizeof where, "route[%zu].%s", i, key);
    config_complain(r, CONFIG_AT_VALUE, where, "%s", reason);
}

/* These are no routes: their names are not the clients' to choose, and one is for reply-to alone.
 */
static bool is_reply(const char *prefix)
{
    return strncmp(prefix, "/reply-queue/", strlen("/reply-queue/")) == 0 ||
           strncmp(prefix, "/temp-queue/", strlen("/temp-queue/")) == 0;
}

static void check_prefix(struct config_reader *r, size_t i, const char *prefix)
{
    size_t len = strlen(prefix);
    if (len == 0) {
        return; /* was complained about when it was read */
    }
    if (prefix[0] != '/' || prefix[len - 1] != '/') {
        complain_route(r, i, "prefix", "must begin and end with a slash, like \"/topic/\"");
    } else if (strpbrk(prefix, " *#") || strstr(prefix, "//")) {
        complain_route(r, i, "prefix", "must not hold a space, *, # or an empty part");
    } else if (is_reply(prefix)) {
        complain_route(r, i, "prefix",
                       "/reply-queue/ and /temp-queue/ are no routes: who is asked may answer");
    }
}

/* A queue has one reader for each message: what is said of broadcasts means nothing there. */
static void check_queue(struct config_reader *r, size_t i, const struct config_route *route)
{
    if (route->type != CONFIG_QUEUE) {
        return;
    }
    if (route->exchange[0]) {
        complain_route(
            r, i, "exchange",
            "must be \"\" with type \"queue\": the rest of the destination names the queue");
    }
    if (route->store) {
        complain_route(r, i, "store",
                       "a route of type \"queue\" cannot be stored; say topic or fanout");
    }
    if (route->on_gap != CONFIG_GAP_MARK) {
        complain_route(r, i, "on_gap", "must be \"mark\" with type \"queue\"");
    }
    if (route->on_slow != CONFIG_SLOW_CLOSE) {
        complain_route(
            r, i, "on_slow",
            "must be \"close\" with type \"queue\": what a client does not read stays in "
            "its queue");
    }
}

static void check_route(struct config_reader *r, size_t i, const struct config_route *route)
{
    check_prefix(r, i, route->prefix);
    check_queue(r, i, route);
    if (route->type == CONFIG_ANY && route->declare) {
        complain_route(r, i, "declare",
                       "an exchange of type \"any\" cannot be declared; say topic or fanout");
    }
    if (route->type == CONFIG_ANY && route->store) {
        complain_route(r, i, "store",
                       "a route of type \"any\" cannot be stored; say topic or fanout");
    }
    if (route->on_gap == CONFIG_GAP_FILL && !route->store && route->type != CONFIG_QUEUE) {
        complain_route(r, i, "on_gap", "\"fill\" needs store = true");
    }
}

/* Rights and storage go by (exchange, routing key): two prefixes for one exchange would be two
 * answers to one question. */
static void check_exchange(struct config_reader *r, size_t i, const struct config *c,
                           const struct config_route *route)
{
    for (size_t j = 0; j < c->n_routes; j++) {
        const struct config_route *other = &c->routes[j];
        if (other != route && route->exchange[0] && strcmp(other->exchange, route->exchange) == 0) {
            complain_route(
                r, i, "exchange",
                "another route has the same exchange, and an exchange belongs to one route");
        }
    }
}

static void read_route(struct config_reader *r, struct config *c, const json_t *list, size_t i)
{
    char where[64];
    json_t *table = json_array_get(list, i);
    const char *prefix = json_string_value(json_object_get(table, "prefix"));
    snprintf(where, sizeof where, "route[%zu]", i);
    if (!json_object_get(table, "prefix")) {
        config_complain(r, CONFIG_AT_VALUE, where, "prefix must be given");
    }
    if (prefix && is_given_before(list, i, prefix)) {
        complain_route(r, i, "prefix", "another route has the same prefix");
    }
    struct config_route *route = prefix ? find_route(c, prefix) : NULL;
    bool is_new = !route;
    if (is_new) {
        route = add_route(c);
    }
    config_section_read(r, route, "route", where, table);
    if (is_new && (route->type == CONFIG_ANY || route->type == CONFIG_QUEUE)) {
        /* Like /exchange/ and /queue/: who may use it is said, not assumed. */
        if (!json_object_get(table, "send")) {
            allow_nobody(&route->send);
        }
        if (!json_object_get(table, "subscribe")) {
            allow_nobody(&route->subscribe);
        }
    }
    check_route(r, i, route);
    check_exchange(r, i, c, route);
}

void config_routes_read(struct config_reader *r, struct config *c, const json_t *list)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        read_route(r, c, list, i);
    }
}
