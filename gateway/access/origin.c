#include "gateway/access/origin.h"

/* scheme://host:port, taken apart. Slices of what was given. */
struct parts {
    struct slice scheme; /* ptr NULL where none is written */
    struct slice host;   /* with the brackets of an IPv6 address */
    unsigned port;       /* 0 where none is written */
};

static char lower(char c)
{
    if (c >= 'A' && c <= 'Z') {
        c = (char)(c + ('a' - 'A'));
    }
    return c;
}

static bool equals_nocase(struct slice a, struct slice b)
{
    if (a.len != b.len) {
        return false;
    }
    for (size_t i = 0; i < a.len; i++) {
        if (lower(a.ptr[i]) != lower(b.ptr[i])) {
            return false;
        }
    }
    return true;
}

static unsigned default_port(struct slice scheme)
{
    if (equals_nocase(scheme, SLICE_LITERAL("https"))) {
        return 443;
    }
    return equals_nocase(scheme, SLICE_LITERAL("http")) ? 80 : 0;
}

/* Letters, digits, and what names, addresses and wildcards need. Everything else (user names,
 * paths, blanks, a second origin) makes the whole ill-formed. Other letters come as Punycode. */
static bool is_host_byte(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '.' || c == '_' || c == '*';
}

static bool parse_port(struct slice text, unsigned *port)
{
    unsigned value = 0;
    if (text.len == 0 || text.len > 5) {
        return false;
    }
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] < '0' || text.ptr[i] > '9') {
            return false;
        }
        value = value * 10 + (unsigned)(text.ptr[i] - '0');
    }
    *port = value;
    return value > 0 && value <= 65535;
}

static bool is_host(struct slice host)
{
    bool is_address = host.len > 2 && host.ptr[0] == '[' && host.ptr[host.len - 1] == ']';
    size_t end = is_address ? host.len - 1 : host.len;
    for (size_t i = is_address ? 1 : 0; i < end; i++) {
        if (!is_host_byte(host.ptr[i]) && !(is_address && host.ptr[i] == ':')) {
            return false;
        }
    }
    return host.len > 0;
}

/* host[:port] */
static bool parse_authority(struct slice text, struct parts *parts)
{
    const char *colon = NULL;
    for (size_t i = text.len; i > 0 && text.ptr[i - 1] != ']'; i--) {
        if (text.ptr[i - 1] == ':') {
            colon = text.ptr + i - 1;
            break;
        }
    }
    parts->port = 0;
    parts->host = text;
    if (colon) {
        parts->host.len = (size_t)(colon - text.ptr);
        if (!parse_port((struct slice){colon + 1, text.len - parts->host.len - 1}, &parts->port)) {
            return false;
        }
    }
    return is_host(parts->host);
}

/* scheme://host[:port], or without the scheme. */
static bool parse(struct slice text, struct parts *parts)
{
    parts->scheme = (struct slice){NULL, 0};
    for (size_t i = 0; i + 3 <= text.len; i++) {
        if (memcmp(text.ptr + i, "://", 3) == 0) {
            parts->scheme = (struct slice){text.ptr, i};
            text = (struct slice){text.ptr + i + 3, text.len - i - 3};
            break;
        }
    }
    return parse_authority(text, parts);
}

static bool host_matches(struct slice want, struct slice host)
{
    if (!slice_starts_with(want, SLICE_LITERAL("*."))) {
        return equals_nocase(want, host);
    }
    struct slice suffix = {want.ptr + 1, want.len - 1};
    if (host.len <= suffix.len) {
        return false;
    }
    return equals_nocase(suffix, (struct slice){host.ptr + host.len - suffix.len, suffix.len});
}

static bool entry_matches(const char *entry, const struct parts *origin)
{
    struct parts want;
    if (strcmp(entry, "*") == 0) {
        return true;
    }
    if (!parse(slice_of(entry), &want)) {
        return false;
    }
    if (want.scheme.ptr ? !equals_nocase(want.scheme, origin->scheme)
                        : default_port(origin->scheme) == 0) {
        return false;
    }
    unsigned port = want.port ? want.port : default_port(origin->scheme);
    return port == origin->port && host_matches(want.host, origin->host);
}

static bool is_same_origin(const struct parts *origin, struct slice host, bool is_tls)
{
    struct parts here;
    if (is_tls && !equals_nocase(origin->scheme, SLICE_LITERAL("https"))) {
        return false;
    }
    if (!host.ptr || default_port(origin->scheme) == 0 || !parse_authority(host, &here)) {
        return false;
    }
    unsigned port = here.port ? here.port : default_port(origin->scheme);
    return port == origin->port && equals_nocase(here.host, origin->host);
}

bool origin_is_allowed(const struct config *config, struct slice origin, struct slice host,
                       bool is_tls)
{
    if (!origin.ptr) {
        return !config->gateway.require_origin;
    }
    struct parts parts;
    /* "null" has no scheme. A host with a star in it is no host. */
    if (!parse(origin, &parts) || !parts.scheme.ptr ||
        memchr(parts.host.ptr, '*', parts.host.len)) {
        return false;
    }
    if (parts.port == 0) {
        parts.port = default_port(parts.scheme);
    }
    if (is_same_origin(&parts, host, is_tls)) {
        return true;
    }
    for (size_t i = 0; i < config->gateway.origins.n; i++) {
        if (entry_matches(config->gateway.origins.items[i], &parts)) {
            return true;
        }
    }
    return false;
}
