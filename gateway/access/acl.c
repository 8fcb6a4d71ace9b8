#include "gateway/access/acl.h"

static bool names(const struct config_strings *list, struct slice user)
{
    for (size_t i = 0; i < list->n; i++) {
        if (slice_is(user, list->items[i]) || strcmp(list->items[i], "*") == 0) {
            return true;
        }
    }
    return false;
}

static struct slice queue_of(const struct destination *d)
{
    return d->kind == DESTINATION_EXCHANGE ? (struct slice){"", 0}
                                           : (struct slice){d->key, d->key_len};
}

bool acl_may_send(const struct destination *d, struct slice user)
{
    if (d->kind == DESTINATION_TEMP_QUEUE) {
        return false;
    }
    return (d->kind == DESTINATION_REPLY_QUEUE && destination_is_server_named(queue_of(d))) ||
           names(&d->route->send, user);
}

bool acl_may_subscribe(const struct destination *d, struct slice user)
{
    return d->kind != DESTINATION_TEMP_QUEUE &&
           !slice_starts_with(queue_of(d), SLICE_LITERAL("stomp.gen-")) &&
           names(&d->route->subscribe, user);
}

bool acl_may_shape(const struct destination *d, struct slice user)
{
    return names(&d->route->queues, user);
}
