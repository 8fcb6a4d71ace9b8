#include "common/config_internal.h"

#include "common/toml.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void check_name(struct config_reader *r, const char *where, const char *name)
{
    if (name[strspn(name, CONFIG_NAME_CHARS)] != '\0') {
        config_complain(r, CONFIG_AT_VALUE, where, "must be letters, digits, _ and - only");
    }
}

static void check_address(struct config_reader *r, const char *where, const char *address)
{
    unsigned char bytes[sizeof(struct in6_addr)];
    if (inet_pton(AF_INET, address, bytes) != 1 && inet_pton(AF_INET6, address, bytes) != 1) {
        config_complain(r, CONFIG_AT_VALUE, where, "must be an IPv4 or IPv6 address, is \"%s\"",
                        address);
    }
}

static bool is_port(const char *text)
{
    size_t len = strlen(text);
    return len >= 1 && len <= 5 && strspn(text, "0123456789") == len && atol(text) >= 1 &&
           atol(text) <= 65535;
}

/* "host:port", "[::1]:port". */
static bool is_host_and_port(const char *text)
{
    const char *colon = strrchr(text, ':');
    if (!colon || colon == text || !is_port(colon + 1)) {
        return false;
    }
    size_t host_len = (size_t)(colon - text);
    if (text[0] == '[') {
        return host_len > 2 && text[host_len - 1] == ']';
    }
    return !memchr(text, ':', host_len) && !strpbrk(text, " /@[]");
}

static void check_hosts(struct config_reader *r, const struct config_strings *hosts)
{
    for (size_t i = 0; i < hosts->n; i++) {
        if (*hosts->items[i] && !is_host_and_port(hosts->items[i])) {
            char where[64];
            snprintf(where, sizeof where, "broker.hosts[%zu]", i);
            config_complain(r, CONFIG_AT_VALUE, where, "must be \"host:port\", is \"%s\"",
                            hosts->items[i]);
        }
    }
}

/* "*", or [scheme://]host[:port], where the host may begin with "*.": a browser sends no path. */
static bool is_origin(const char *text)
{
    const char *scheme_end = strstr(text, "://");
    const char *host = scheme_end ? scheme_end + 3 : text;
    return scheme_end != text && *host && strcmp(text, "null") != 0 && !strpbrk(host, "/?#@ ");
}

static void check_origins(struct config_reader *r, const struct config_strings *origins)
{
    for (size_t i = 0; i < origins->n; i++) {
        if (*origins->items[i] && !is_origin(origins->items[i])) {
            char where[64];
            snprintf(where, sizeof where, "gateway.origins[%zu]", i);
            config_complain(r, CONFIG_AT_VALUE, where,
                            "must be \"*\" or like \"https://example.org\", is \"%s\"",
                            origins->items[i]);
        }
    }
}

/* One address and port. */
struct door {
    const char *where; /* the key of the port */
    const char *bind;
    int port;
    bool is_open;
};

/* Where port 0 takes any, there are two. */
static void check_doors_differ(struct config_reader *r, const struct door *a, const struct door *b)
{
    if (a->is_open && b->is_open && a->port && a->port == b->port &&
        strcmp(a->bind, b->bind) == 0) {
        config_complain(r, CONFIG_AT_VALUE, a->where, "must not be %s (%d)", b->where, b->port);
    }
}

static void check_doors(struct config_reader *r, const struct config *c)
{
    const struct door gateway = {"gateway.port", c->gateway.bind, c->gateway.port, true};
    const struct door tcp = {"tcp.port", c->tcp.bind, c->tcp.port, c->tcp.enabled};
    const struct door tls = {"tls.port", c->tls.bind, c->tls.port, c->tls.enabled};
    check_address(r, "tcp.bind", c->tcp.bind);
    check_address(r, "tls.bind", c->tls.bind);
    check_doors_differ(r, &tcp, &gateway);
    check_doors_differ(r, &tls, &gateway);
    check_doors_differ(r, &tls, &tcp);
}

/* Whether the files are there and fit is seen at start: certificates change, configurations stay.
 */
static void check_tls(struct config_reader *r, const struct config *c)
{
    if (c->tls.enabled && !*c->tls.certificate) {
        config_complain(r, CONFIG_AT_VALUE, "tls.certificate", "is needed: a PEM file");
    }
    if (c->tls.enabled && !*c->tls.key) {
        config_complain(r, CONFIG_AT_VALUE, "tls.key", "is needed: a PEM file");
    }
}

static void check_gateway(struct config_reader *r, const struct config *c)
{
    check_name(r, "gateway.name", c->gateway.name);
    check_address(r, "gateway.bind", c->gateway.bind);
    check_origins(r, &c->gateway.origins);
    if (c->gateway.path[0] != '/' || strpbrk(c->gateway.path, " ?#%")) {
        config_complain(r, CONFIG_AT_VALUE, "gateway.path",
                        "must begin with a slash and be without space, ?, # and %%");
    }
    if (c->limits.header_value_bytes > c->limits.header_block_bytes) {
        config_complain(r, CONFIG_AT_VALUE, "limits.header_value_bytes",
                        "must be at most limits.header_block_bytes (%d)",
                        c->limits.header_block_bytes);
    }
}

static void check_broker(struct config_reader *r, const struct config *c)
{
    const json_t *broker = json_object_get(toml_json(r->doc), "broker");
    check_hosts(r, &c->broker.hosts);
    if (c->broker.reconnect_min_ms > c->broker.reconnect_max_ms) {
        config_complain(r, CONFIG_AT_VALUE, "broker.reconnect_min_ms",
                        "must be at most broker.reconnect_max_ms (%d)", c->broker.reconnect_max_ms);
    }
    const char *file = json_string_value(json_object_get(broker, "password_file"));
    if (file && *file && json_object_get(broker, "password")) {
        config_complain(r, CONFIG_AT_KEY, "broker.password_file",
                        "broker.password is given as well; give one of the two");
    }
}

static void check_history(struct config_reader *r, const struct config *c)
{
    if (c->history.enabled && !*c->database.url) {
        config_complain(r, CONFIG_AT_VALUE, "history.enabled", "needs database.url");
    }
    for (size_t i = 0; i < c->n_routes && !c->history.enabled; i++) {
        if (c->routes[i].on_gap == CONFIG_GAP_FILL) {
            config_complain(r, CONFIG_AT_VALUE, "history.enabled",
                            "must be true: the route %s has on_gap = \"fill\"",
                            c->routes[i].prefix);
        }
    }
}

static void check_store(struct config_reader *r, const struct config *c)
{
    check_name(r, "store.name", c->store.name);
    check_address(r, "store.metrics_bind", c->store.metrics_bind);
    if (strcmp(c->store.queue, c->store.dead_queue) == 0) {
        config_complain(r, CONFIG_AT_VALUE, "store.dead_queue", "must not be store.queue itself");
    }
}

void config_check(struct config_reader *r, const struct config *c)
{
    check_gateway(r, c);
    check_doors(r, c);
    check_tls(r, c);
    check_broker(r, c);
    check_store(r, c);
    check_history(r, c);
}
