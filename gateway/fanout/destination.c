#include "gateway/fanout/destination.h"

#include "gateway/fanout/destination_internal.h"
#include "gateway/fanout/words.h"

/* A part (exchange or key) while it is decoded. */
struct part {
    char *text; /* DESTINATION_PART_MAX + 1 bytes */
    size_t len;
    bool is_too_long;
};

static void part_add(struct part *part, const char *bytes, size_t n)
{
    size_t room = DESTINATION_PART_MAX - part->len;
    part->is_too_long = part->is_too_long || n > room;
    n = n < room ? n : room;
    memcpy(part->text + part->len, bytes, n);
    part->len += n;
}

static bool is_plain(char c)
{
    return c != '%' && c != '/';
}

static void part_decode(struct part *part, struct slice text)
{
    part->len = 0;
    part->is_too_long = false;
    for (size_t i = 0; i < text.len; i++) {
        size_t from = i;
        while (i < text.len && is_plain(text.ptr[i])) {
            i++;
        }
        if (i > from) {
            part_add(part, text.ptr + from, i - from);
        }
        if (i == text.len) {
            break;
        }
        struct slice rest = {text.ptr + i, text.len - i};
        if (slice_starts_with(rest, SLICE_LITERAL("%2F"))) {
            part_add(part, "/", 1);
            i += 2;
        } else if (slice_starts_with(rest, SLICE_LITERAL("%25"))) {
            part_add(part, "%", 1);
            i += 2;
        } else {
            part_add(part, text.ptr[i] == '/' ? "." : "%", 1);
        }
    }
    part->text[part->len] = '\0';
}

bool destination_decode(struct slice text, char *mem, size_t *len)
{
    struct part part = {.text = mem};
    part_decode(&part, text);
    *len = part.len;
    return !part.is_too_long;
}

/* The route with the longest prefix of `name`; a name that is a prefix without its last slash
 * belongs to it as well. */
static const struct config_route *route_of_name(const struct config *config, struct slice name)
{
    const struct config_route *best = NULL;
    size_t best_len = 0;
    for (size_t i = 0; i < config->n_routes; i++) {
        struct slice prefix = slice_of(config->routes[i].prefix);
        struct slice bare = {prefix.ptr, prefix.len ? prefix.len - 1 : 0};
        bool is_match = slice_starts_with(name, prefix) || slice_equals(name, bare);
        if (is_match && prefix.len > best_len) {
            best = &config->routes[i];
            best_len = prefix.len;
        }
    }
    return best;
}

static const struct config_route *route_of_exchange(const struct config *config,
                                                    const char *exchange)
{
    for (size_t i = 0; i < config->n_routes; i++) {
        const struct config_route *route = &config->routes[i];
        if (destination_is_fixed(route) && strcmp(route->exchange, exchange) == 0) {
            return route;
        }
    }
    return NULL;
}

/* A client-named exchange that we may not touch, or could never declare. amq.rabbitmq.trace would
 * show everybody's messages. */
static bool is_reserved(const struct config_route *route, const char *exchange)
{
    struct slice name = slice_of(exchange);
    if (slice_starts_with(name, SLICE_LITERAL("amq.rabbitmq."))) {
        return true;
    }
    if (!route->declare || !slice_starts_with(name, SLICE_LITERAL("amq."))) {
        return false;
    }
    return !(route->type == CONFIG_FANOUT && slice_is(name, "amq.fanout")) &&
           !(route->type == CONFIG_TOPIC && slice_is(name, "amq.topic"));
}

static bool has_wildcard(struct slice key)
{
    struct slice word;
    while (words_next(&key, &word)) {
        if (slice_is(word, "*") || slice_is(word, "#")) {
            return true;
        }
    }
    return false;
}

/* Splits what stands behind the prefix into exchange and key; both are still encoded. key.ptr NULL:
 * there was none. */
static enum destination_error split_rest(const struct config_route *route, struct slice rest,
                                         struct slice *exchange, struct slice *key)
{
    if (rest.len == 0) {
        return DESTINATION_INVALID;
    }
    if (destination_is_fixed(route)) {
        *exchange = (struct slice){NULL, 0};
        *key = rest;
        return DESTINATION_OK;
    }
    const char *slash = memchr(rest.ptr, '/', rest.len);
    size_t len = slash ? (size_t)(slash - rest.ptr) : rest.len;
    *exchange = (struct slice){rest.ptr, len};
    *key = slash ? (struct slice){slash + 1, rest.len - len - 1} : (struct slice){NULL, 0};
    bool has_stray_key = slash && route->type == CONFIG_FANOUT;
    return len == 0 || has_stray_key ? DESTINATION_INVALID : DESTINATION_OK;
}

static enum destination_error fill_exchange(const struct config *config,
                                            const struct config_route *route, struct slice exchange,
                                            struct destination *d)
{
    struct part part = {.text = d->exchange};
    if (!exchange.ptr) {
        /* Verbatim: the configuration is not written in our escapes. */
        part_add(&part, route->exchange, strlen(route->exchange));
        part.text[part.len] = '\0';
    } else {
        part_decode(&part, exchange);
    }
    if (part.is_too_long) {
        return DESTINATION_TOO_LONG;
    }
    d->exchange_len = part.len;
    const struct config_route *owner = route_of_exchange(config, d->exchange);
    d->route = owner ? owner : route;
    d->is_client_named = !owner;
    return d->is_client_named && is_reserved(route, d->exchange) ? DESTINATION_RESERVED
                                                                 : DESTINATION_OK;
}

static enum destination_error check_bytes(struct slice name)
{
    if (slice_has_control(name)) {
        return DESTINATION_CONTROL;
    }
    return name.len ? DESTINATION_OK : DESTINATION_MISSING;
}

/* A fanout exchange ignores the key, so it is no part of the identity. */
static enum destination_error fill_key(struct slice key, struct destination *d)
{
    struct part part = {.text = d->key};
    part.text[0] = '\0';
    if (d->route->type != CONFIG_FANOUT) {
        part_decode(&part, key);
    }
    d->key_len = part.len;
    d->is_pattern = has_wildcard((struct slice){d->key, d->key_len});
    return part.is_too_long ? DESTINATION_TOO_LONG : DESTINATION_OK;
}

static enum destination_error resolve_exchange(const struct config *config,
                                               const struct config_route *route, struct slice name,
                                               struct destination *d)
{
    size_t prefix_len = strlen(route->prefix) < name.len ? strlen(route->prefix) : name.len;
    struct slice rest = {name.ptr + prefix_len, name.len - prefix_len};
    struct slice exchange;
    struct slice key;
    enum destination_error error = split_rest(route, rest, &exchange, &key);
    if (error == DESTINATION_OK) {
        error = fill_exchange(config, route, exchange, d);
    }
    return error == DESTINATION_OK ? fill_key(key, d) : error;
}

static void destination_clear(struct destination *d)
{
    d->kind = DESTINATION_EXCHANGE;
    d->route = NULL;
    d->exchange[0] = d->key[0] = '\0';
    d->exchange_len = d->key_len = 0;
    d->is_pattern = d->is_client_named = false;
}

static void destination_copy(struct destination *to, const struct destination *from)
{
    to->kind = from->kind;
    to->route = from->route;
    to->exchange_len = from->exchange_len;
    to->key_len = from->key_len;
    to->is_pattern = from->is_pattern;
    to->is_client_named = from->is_client_named;
    memcpy(to->exchange, from->exchange, from->exchange_len + 1);
    memcpy(to->key, from->key, from->key_len + 1);
}

enum destination_error destination_resolve(const struct config *config, struct slice name,
                                           struct destination *out)
{
    enum destination_error error = check_bytes(name);
    if (error != DESTINATION_OK) {
        return error;
    }
    const struct config_route *route = route_of_name(config, name);
    struct destination d; /* its texts are large, and filled only as far as they are long */
    destination_clear(&d);
    error = destination_resolve_queue(config, route, name, &d);
    if (error == DESTINATION_UNKNOWN && route) {
        error = resolve_exchange(config, route, name, &d);
    }
    if (error == DESTINATION_OK) {
        destination_copy(out, &d);
    }
    return error;
}

enum destination_error destination_check_send(const struct destination *d)
{
    if (d->kind == DESTINATION_TEMP_QUEUE) {
        return DESTINATION_TEMP_SEND;
    }
    return d->is_pattern ? DESTINATION_WILDCARD : DESTINATION_OK;
}

enum destination_error destination_check_subscribe(const struct destination *d)
{
    return d->kind == DESTINATION_TEMP_QUEUE ? DESTINATION_TEMP_SUBSCRIBE : DESTINATION_OK;
}

/* What is left to match; ptr NULL when no word is left. */
struct position {
    struct slice pattern;
    struct slice key;
};

/* Glob matching by words. Only the last # needs to be remembered: what an earlier one could take,
 * the last one can take as well, so the cost is bounded by the product of the lengths whatever a
 * client writes. */
bool destination_matches(struct slice pattern, struct slice key)
{
    struct position here = {words_of(pattern), words_of(key)};
    struct position retry = {
        {NULL, 0}, {NULL, 0}}; /* behind the last #; its key grows shorter with every try */
    bool has_hash = false;
    for (;;) {
        struct position next = here;
        struct slice want;
        struct slice word;
        bool has_want = words_next(&next.pattern, &want);
        if (has_want && slice_is(want, "#")) {
            has_hash = true;
            here.pattern = next.pattern;
            retry = here;
            continue;
        }
        bool has_word = words_next(&next.key, &word);
        if (!has_want && !has_word) {
            return true;
        }
        if (has_want && has_word && (slice_is(want, "*") || slice_equals(want, word))) {
            here = next;
        } else if (has_hash && words_next(&retry.key, &word)) {
            here = retry;
        } else {
            return false;
        }
    }
}
