/* What was delivered and is not settled.
 *
 * Two lists in order of arrival, which is the order of the tags on the channel: `acks` waits for
 * the client, `autos` for the socket. Whoever stands first in its list, with an older tag than the
 * other list's first, has nothing unsettled before it: such a run is told to the broker in one word
 * (basic.ack, "multiple"), everything else one by one. The entries of one subscription are a ring
 * of their own, for acks that are cumulative: no ack looks at what it does not settle. */
#include "gateway/session/session_internal.h"

#include <stdlib.h>

/* How a number of them ends. */
struct settling {
    bool is_nack;
    bool requeue;
    uint64_t tag; /* of the last of those that can be told at once */
    size_t n;
};

static struct unacked *first(const struct list *list)
{
    return list_is_empty(list) ? NULL : LIST_OWNER(list->next, struct unacked, order);
}

static struct unacked_set *set_of(struct session *s)
{
    if (!s->unacked && (s->unacked = calloc(1, sizeof(*s->unacked))) != NULL) {
        list_init(&s->unacked->acks);
        list_init(&s->unacked->autos);
        map_init(&s->unacked->by_number);
    }
    return s->unacked;
}

int unacked_add(struct session *s, struct session_subscription *sub, uint64_t number, uint64_t tag,
                uint32_t id_hash)
{
    struct unacked_set *set = s->unacked;
    struct unacked *u = calloc(1, sizeof(*u));
    if (!u) {
        return -1;
    }
    u->sub = sub;
    u->number = number;
    u->tag = tag;
    u->id_hash = id_hash;
    u->ack = (uint8_t)sub->ack;
    bool is_auto = sub->ack == SESSION_ACK_AUTO;
    if (!is_auto && map_put(&set->by_number, &u->number, sizeof(u->number), u) != 0) {
        free(u);
        return -1;
    }
    list_push(is_auto ? &set->autos : &set->acks, &u->order);
    list_push(&sub->unacked, &u->siblings);
    sub->n_unacked++;
    return 0;
}

struct unacked *unacked_find(const struct session *s, uint64_t number)
{
    return s->unacked ? map_get(&s->unacked->by_number, &number, sizeof(number)) : NULL;
}

bool unacked_is_stale(const struct session *s, uint64_t number)
{
    return s->unacked && number <= s->unacked->stale_number;
}

static void forget(struct unacked_set *set, struct unacked *u)
{
    if (u->ack != SESSION_ACK_AUTO) {
        map_take(&set->by_number, &u->number, sizeof(u->number));
    }
    *(u->sub ? &u->sub->n_unacked : &set->n_orphans) -= 1;
    list_remove(&u->order);
    list_remove(&u->siblings);
    free(u);
}

static void forget_all(struct unacked_set *set)
{
    struct unacked *u;
    while ((u = first(&set->acks)) || (u = first(&set->autos))) {
        forget(set, u);
    }
}

/* ---- Settling ---- */

/* Everything before it on the channel is settled. */
static bool is_oldest(const struct unacked_set *set, const struct unacked *u)
{
    const struct unacked *ack = first(&set->acks);
    const struct unacked *written = first(&set->autos);
    return (!ack || u->tag <= ack->tag) && (!written || u->tag <= written->tag);
}

static void tell(struct session *s, const struct settling *settling, uint64_t tag, bool is_multiple)
{
    const struct session_settle settle = {
        .epoch = s->unacked->epoch,
        .tag = tag,
        .is_multiple = is_multiple,
        .is_nack = settling->is_nack,
        .requeue = settling->is_nack && settling->requeue,
    };
    s->has_settled = true;
    s->host->settle(s->host_data, &settle);
}

static void tell_run(struct session *s, struct settling *settling)
{
    if (settling->n > 0) {
        tell(s, settling, settling->tag, settling->n > 1);
        settling->n = 0;
    }
}

/* To be called in order of the tags, and tell_run() behind the last. */
static void settle(struct session *s, struct unacked *u, struct settling *settling)
{
    uint64_t tag = u->tag;
    bool is_in_run = !settling->is_nack && is_oldest(s->unacked, u);
    forget(s->unacked, u);
    if (is_in_run) {
        settling->tag = tag;
        settling->n++;
        return;
    }
    tell_run(s, settling);
    tell(s, settling, tag, false);
}

/* The ring has no head when the subscription has gone: there, and at the head, numbers do not go
 * down any more. */
static struct unacked *oldest_sibling(struct unacked *u)
{
    const struct list *head = u->sub ? &u->sub->unacked : NULL;
    while (u->siblings.prev != head) {
        struct unacked *before = LIST_OWNER(u->siblings.prev, struct unacked, siblings);
        if (before->number >= u->number) {
            break;
        }
        u = before;
    }
    return u;
}

static void settle_siblings(struct session *s, struct unacked *u, struct settling *settling)
{
    const struct unacked *last = u;
    struct unacked *next = oldest_sibling(u);
    bool is_last;
    do {
        u = next;
        is_last = u == last;
        next = LIST_OWNER(u->siblings.next, struct unacked, siblings);
        settle(s, u, settling);
    } while (!is_last);
}

static void settle_up_to(struct session *s, const struct list *list, uint64_t number,
                         struct settling *settling)
{
    struct unacked *u;
    while ((u = first(list)) && u->number <= number) {
        settle(s, u, settling);
    }
}

void unacked_answer(struct session *s, struct unacked *u, bool is_nack, bool requeue)
{
    struct settling settling = {.is_nack = is_nack, .requeue = requeue};
    if (u->ack != SESSION_ACK_CLIENT) {
        settle(s, u, &settling);
    } else if (s->settings->config->stomp.client_ack == CONFIG_ACK_CONNECTION) {
        settle_up_to(s, &s->unacked->acks, u->number, &settling);
    } else {
        settle_siblings(s, u, &settling);
    }
    tell_run(s, &settling);
}

void unacked_written(struct session *s, uint64_t number)
{
    struct settling settling = {0};
    if (s->unacked) {
        settle_up_to(s, &s->unacked->autos, number, &settling);
        tell_run(s, &settling);
    }
}

/* ---- Without settling ---- */

void unacked_restored(struct session *s, uint32_t epoch)
{
    struct unacked_set *set = s->unacked;
    if (set && set->epoch != epoch) {
        forget_all(set);
        set->stale_number = set->last_number;
        s->has_settled = false; /* what the old channel made of it, nobody will hear */
        set->epoch = epoch;
    }
}

uint64_t unacked_next_number(struct session *s, uint32_t epoch)
{
    struct unacked_set *set = set_of(s);
    if (!set) {
        return 0;
    }
    unacked_restored(s, epoch);
    return ++set->last_number;
}

void unacked_orphan(struct session *s, struct session_subscription *sub)
{
    for (struct list *at = sub->unacked.next; at != &sub->unacked; at = at->next) {
        LIST_OWNER(at, struct unacked, siblings)->sub = NULL;
        s->unacked->n_orphans++;
    }
    list_remove(&sub->unacked);
}

void unacked_clear(struct session *s)
{
    if (s->unacked) {
        forget_all(s->unacked);
        map_fini(&s->unacked->by_number);
        free(s->unacked);
        s->unacked = NULL;
    }
}
