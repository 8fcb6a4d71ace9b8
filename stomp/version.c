#include "stomp/stomp.h"

const char *stomp_version_str(enum stomp_version version)
{
    switch (version) {
    case STOMP_1_0:
        return "1.0";
    case STOMP_1_1:
        return "1.1";
    case STOMP_1_2:
        return "1.2";
    }
    return "1.0";
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

/* Takes the text before the next comma off the front, without the blanks around it. */
static struct slice take_item(struct slice *list)
{
    const char *comma = memchr(list->ptr, ',', list->len);
    size_t len = comma ? (size_t)(comma - list->ptr) : list->len;
    size_t taken = comma ? len + 1 : len;
    struct slice item = {list->ptr, len};

    list->ptr += taken;
    list->len -= taken;
    while (item.len > 0 && is_blank(item.ptr[0])) {
        item.ptr++;
        item.len--;
    }
    while (item.len > 0 && is_blank(item.ptr[item.len - 1])) {
        item.len--;
    }
    return item;
}

int stomp_version_negotiate(struct slice accept_version, enum stomp_version *version)
{
    if (accept_version.ptr == NULL) {
        *version = STOMP_1_0;
        return 0;
    }
    int best = -1;
    while (accept_version.len > 0) {
        struct slice item = take_item(&accept_version);
        for (int v = STOMP_1_0; v <= STOMP_1_2; v++) {
            if (v > best && slice_is(item, stomp_version_str((enum stomp_version)v))) {
                best = v;
            }
        }
    }
    if (best < 0) {
        return -1;
    }
    *version = (enum stomp_version)best;
    return 0;
}
