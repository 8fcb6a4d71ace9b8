/* The destinations that are queues. Contract: rabbitmq-stomp 1.1. */
#include "gateway/fanout/destination.h"

#include "gateway/fanout/destination_internal.h"

#define REPLY_PREFIX "/reply-queue/"
#define TEMP_PREFIX "/temp-queue/"
#define DECLARED_PREFIX "/queue/"
#define EXISTING_PREFIX "/amq/queue/"

bool destination_is_server_named(struct slice queue)
{
    return slice_starts_with(queue, SLICE_LITERAL("amq.gen-")) ||
           slice_starts_with(queue, SLICE_LITERAL("stomp.gen-"));
}

bool destination_is_own_queue(const struct config *config, struct slice queue)
{
    const char *store = config->store.queue;
    const char *dead = config->store.dead_queue;
    if ((store && slice_is(queue, store)) || (dead && slice_is(queue, dead))) {
        return true;
    }
    return slice_starts_with(queue, SLICE_LITERAL("stompgate.")) ||
           (slice_starts_with(queue, SLICE_LITERAL("amq.")) && !destination_is_server_named(queue));
}

/* The route of /queue/ or /amq/queue/, for what has no route of its own; NULL where the
 * configuration made it another type. */
static const struct config_route *door(const struct config *config, const char *prefix)
{
    for (size_t i = 0; i < config->n_routes; i++) {
        const struct config_route *route = &config->routes[i];
        if (route->type == CONFIG_QUEUE && strcmp(route->prefix, prefix) == 0) {
            return route;
        }
    }
    return NULL;
}

/* Where there is no such door, nobody may pass. */
static const struct config_route *existing_door(const struct config *config)
{
    static char none[] = "";
    static const struct config_route closed = {
        .prefix = none, .exchange = none, .type = CONFIG_QUEUE};
    const struct config_route *route = door(config, EXISTING_PREFIX);
    return route ? route : &closed;
}

static enum destination_error check_name(const struct config *config, struct destination *d)
{
    struct slice name = {d->key, d->key_len};
    if (destination_is_own_queue(config, name)) {
        return DESTINATION_OURS;
    }
    /* Whoever made that name has declared it, and nobody else can. */
    if (d->kind == DESTINATION_QUEUE && destination_is_server_named(name)) {
        d->kind = DESTINATION_AMQ_QUEUE;
    }
    return DESTINATION_OK;
}

/* One part, decoded: `rest` stands behind the prefix, or is a bare name. */
static enum destination_error fill_part(struct slice rest, struct destination *d)
{
    if (rest.len == 0 || memchr(rest.ptr, '/', rest.len)) {
        return DESTINATION_INVALID;
    }
    return destination_decode(rest, d->key, &d->key_len) ? DESTINATION_OK : DESTINATION_TOO_LONG;
}

static enum destination_error fill_raw(struct slice rest, struct destination *d)
{
    if (rest.len == 0) {
        return DESTINATION_INVALID;
    }
    if (rest.len > DESTINATION_PART_MAX) {
        return DESTINATION_TOO_LONG;
    }
    memcpy(d->key, rest.ptr, rest.len);
    d->key[rest.len] = '\0';
    d->key_len = rest.len;
    return DESTINATION_OK;
}

/* What stands behind the prefix; also for the prefix without its last slash: then nothing does. */
static struct slice behind(struct slice name, size_t prefix_len)
{
    size_t len = prefix_len < name.len ? prefix_len : name.len;
    return (struct slice){name.ptr + len, name.len - len};
}

/* Fills kind, route and the name; reserved names are told apart later. */
static enum destination_error fill(const struct config *config, const struct config_route *route,
                                   struct slice name, struct destination *d)
{
    bool is_bare = !memchr(name.ptr, '/', name.len);
    if (slice_starts_with(name, SLICE_LITERAL(REPLY_PREFIX))) {
        d->kind = DESTINATION_REPLY_QUEUE;
        d->route = existing_door(config);
        return fill_raw(behind(name, strlen(REPLY_PREFIX)), d);
    }
    if (slice_starts_with(name, SLICE_LITERAL(TEMP_PREFIX)) || slice_is(name, "/temp-queue")) {
        d->kind = DESTINATION_TEMP_QUEUE;
        d->route = existing_door(config);
        return fill_part(behind(name, strlen(TEMP_PREFIX)), d);
    }
    if (is_bare) {
        route = door(config, DECLARED_PREFIX);
    }
    if (!route || route->type != CONFIG_QUEUE) {
        return DESTINATION_UNKNOWN;
    }
    d->kind = route->declare ? DESTINATION_QUEUE : DESTINATION_AMQ_QUEUE;
    d->route = route;
    return fill_part(is_bare ? name : behind(name, strlen(route->prefix)), d);
}

enum destination_error destination_resolve_queue(const struct config *config,
                                                 const struct config_route *route,
                                                 struct slice name, struct destination *d)
{
    enum destination_error error = fill(config, route, name, d);
    if (error != DESTINATION_OK || d->kind == DESTINATION_TEMP_QUEUE) {
        return error;
    }
    return check_name(config, d);
}
