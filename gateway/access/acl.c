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

bool acl_may_send(const struct destination *d, struct slice user)
{
    return names(&d->route->send, user);
}

bool acl_may_subscribe(const struct destination *d, struct slice user)
{
    return names(&d->route->subscribe, user);
}
