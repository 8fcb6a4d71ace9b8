#include "gateway/fanout/audience.h"

#include <assert.h>
#include <stdlib.h>

struct member {
    struct outq *outq;
    struct subscriber *who;
};

/* Clients that get the same bytes: same subscription id, same spelling, same version. */
struct group {
    struct list node;
    struct room *room;
    struct member *members;
    uint32_t n;
    uint32_t cap;
    enum stomp_version version;
    struct slice id;       /* ptr NULL: subscribed without one */
    struct slice spelling; /* both point into key */
    size_t key_len;
    char key[]; /* version, has-id, id, NUL, spelling */
};

void audience_init(struct audience *a, const struct config *config, const char *exchange,
                   enum outq_policy policy)
{
    *a = (struct audience){.config = config, .exchange = exchange, .policy = policy};
    a->opcode = config->gateway.ws_frame == CONFIG_FRAME_TEXT     ? ENCODE_TEXT
                : config->gateway.ws_frame == CONFIG_FRAME_BINARY ? ENCODE_BINARY
                                                                  : ENCODE_AUTO;
    map_init(&a->exact);
    list_init(&a->patterns);
}

void audience_fini(struct audience *a)
{
    assert(a->n_rooms == 0);
    map_fini(&a->exact);
    patterns_fini(&a->by_pattern);
}

struct room *audience_find(const struct audience *a, struct slice key, bool is_pattern)
{
    return is_pattern ? patterns_get(&a->by_pattern, key) : map_get(&a->exact, key.ptr, key.len);
}

static int index_room(struct audience *a, struct room *room)
{
    if (!room->is_pattern) {
        return map_put(&a->exact, room->key, room->key_len, room);
    }
    return patterns_put(&a->by_pattern, (struct slice){room->key, room->key_len}, room);
}

struct room *audience_add(struct audience *a, struct slice key, bool is_pattern)
{
    struct room *room = calloc(1, sizeof *room + key.len + 1);
    if (!room) {
        return NULL;
    }
    room->audience = a;
    room->is_pattern = is_pattern;
    room->key_len = (uint16_t)key.len;
    memcpy(room->key, key.ptr ? key.ptr : "", key.len);
    list_init(&room->node);
    list_init(&room->groups);
    list_init(&room->waiting);
    map_init(&room->group_index);
    if (index_room(a, room) != 0) {
        free(room);
        return NULL;
    }
    if (is_pattern) {
        list_push(&a->patterns, &room->node);
    }
    a->n_rooms++;
    return room;
}

void audience_remove(struct room *room)
{
    assert(room_is_empty(room));
    struct audience *a = room->audience;
    if (room->is_pattern) {
        list_remove(&room->node);
        patterns_take(&a->by_pattern, (struct slice){room->key, room->key_len});
    } else {
        map_take(&a->exact, room->key, room->key_len);
    }
    map_fini(&room->group_index);
    free(room);
    a->n_rooms--;
}

static struct group *group_new(struct room *room, const char *key, size_t key_len, bool has_id,
                               size_t id_len)
{
    struct group *g = calloc(1, sizeof *g + key_len);
    if (!g) {
        return NULL;
    }
    memcpy(g->key, key, key_len);
    g->key_len = key_len;
    g->room = room;
    g->version = (enum stomp_version)g->key[0];
    g->id = (struct slice){has_id ? g->key + 2 : NULL, id_len};
    g->spelling = (struct slice){g->key + 2 + id_len + 1, key_len - 2 - id_len - 1};
    if (map_put(&room->group_index, g->key, key_len, g) != 0) {
        free(g);
        return NULL;
    }
    list_push(&room->groups, &g->node);
    return g;
}

static void group_free(struct group *g)
{
    map_take(&g->room->group_index, g->key, g->key_len);
    list_remove(&g->node);
    free(g->members);
    free(g);
}

/* The group for these bytes, made if need be; NULL when out of memory. */
static struct group *group_for(struct room *room, enum stomp_version version, struct slice id,
                               struct slice spelling)
{
    if (room->is_pattern) {
        spelling = (struct slice){"", 0}; /* it depends on the message, not on the subscriber */
    }
    size_t key_len = 2 + id.len + 1 + spelling.len;
    char on_stack[512];
    char *key = key_len <= sizeof on_stack ? on_stack : malloc(key_len);
    if (!key) {
        return NULL;
    }
    key[0] = (char)version;
    key[1] = id.ptr ? 1 : 0;
    memcpy(key + 2, id.ptr ? id.ptr : "", id.len);
    key[2 + id.len] = 0;
    memcpy(key + 3 + id.len, spelling.ptr, spelling.len);
    struct group *g = map_get(&room->group_index, key, key_len);
    if (!g) {
        g = group_new(room, key, key_len, id.ptr != NULL, id.len);
    }
    if (key != on_stack) {
        free(key);
    }
    return g;
}

void room_wait(struct room *room, struct subscriber *s)
{
    s->room = room;
    s->group = NULL;
    list_push(&room->waiting, &s->waiting);
}

static int group_add(struct group *g, struct subscriber *s)
{
    if (g->n == g->cap) {
        uint32_t cap = g->cap ? g->cap * 2 : 2;
        struct member *members = realloc(g->members, cap * sizeof *members);
        if (!members) {
            return -1;
        }
        g->members = members;
        g->cap = cap;
    }
    s->group = g;
    s->index = g->n;
    g->members[g->n++] = (struct member){s->outq, s};
    return 0;
}

int room_join(struct room *room, struct subscriber *s)
{
    list_remove(&s->waiting);
    s->room = room;
    struct group *g = group_for(room, s->version, s->id, s->spelling);
    if (!g || group_add(g, s) != 0) {
        if (g && g->n == 0) {
            group_free(g);
        }
        s->room = NULL;
        return -1;
    }
    room->n_members++;
    return 0;
}

void room_leave(struct subscriber *s)
{
    struct group *g = s->group;
    list_remove(&s->waiting);
    s->group = NULL;
    if (!g) {
        return;
    }
    assert(g->members[s->index].who == s);
    g->members[s->index] = g->members[--g->n];
    g->members[s->index].who->index = s->index;
    g->room->n_members--;
    if (g->n == 0) {
        group_free(g);
    }
}

/* What one member gets. `told` is the same frame with gap:true, made for the first who needs it:
 * one whose queue dropped messages. */
static struct message *frame_for(struct outq *q, struct message *m, struct message **told,
                                 struct group *g, struct encoder *e, struct slice spelling)
{
    if (!q->has_gap || g->room->has_gap) {
        return m;
    }
    if (!*told) {
        *told = encode_message(e, g->version, g->id, spelling, true, g->room->audience->opcode);
    }
    return *told;
}

static void group_deliver(struct group *g, struct encoder *e, struct audience_sink *sink)
{
    struct room *room = g->room;
    const struct audience *a = room->audience;
    struct slice spelling =
        room->is_pattern ? encoder_spelling(e, a->config, a->exchange) : g->spelling;
    struct message *m = encode_message(e, g->version, g->id, spelling, room->has_gap, a->opcode);
    struct message *told = NULL;
    for (uint32_t i = 0; i < g->n; i++) {
        struct outq *q = g->members[i].outq;
        if (outq_is_full(q) && sink->flush) {
            sink->flush(q);
        }
        uint64_t dropped = q->dropped;
        struct message *frame = frame_for(q, m, &told, g, e, spelling);
        q->has_gap = false;
        switch (frame ? outq_push(q, frame, a->policy) : OUTQ_MEMORY) {
        case OUTQ_DROPPED:
            sink->dropped += q->dropped - dropped;
            sink->queued++;
            break;
        case OUTQ_OK:
            sink->queued++;
            break;
        case OUTQ_OVER:
        case OUTQ_MEMORY:
            sink->over(g->members[i].who->owner);
            break;
        }
    }
    message_unref(told);
    message_unref(m);
}

void room_deliver(struct room *room, struct encoder *e, struct audience_sink *sink)
{
    if (room->n_members == 0) {
        return;
    }
    for (struct list *n = room->groups.next; n != &room->groups; n = n->next) {
        group_deliver(LIST_OWNER(n, struct group, node), e, sink);
    }
    room->has_gap = false;
}

struct pattern_delivery {
    struct encoder *encoder;
    struct audience_sink *sink;
    size_t n_rooms;
};

static void deliver_pattern(void *room, void *arg)
{
    struct pattern_delivery *d = arg;
    room_deliver(room, d->encoder, d->sink);
    d->n_rooms++;
}

size_t audience_deliver(struct audience *a, struct encoder *e, struct slice key,
                        struct audience_sink *sink)
{
    struct pattern_delivery d = {.encoder = e, .sink = sink};
    struct room *exact = map_get(&a->exact, key.ptr, key.len);
    if (exact) {
        room_deliver(exact, e, sink);
        d.n_rooms++;
    }
    patterns_match(&a->by_pattern, key, deliver_pattern, &d);
    return d.n_rooms;
}

struct subscriber *room_any(const struct room *room)
{
    if (list_is_empty(&room->groups)) {
        return NULL;
    }
    return LIST_OWNER(room->groups.next, struct group, node)->members[0].who;
}

void room_each(struct room *room, void (*fn)(struct subscriber *s, void *arg), void *arg)
{
    struct list *next;
    for (struct list *node = room->groups.next; node != &room->groups; node = next) {
        struct group *g = LIST_OWNER(node, struct group, node);
        next = node->next;
        /* From the end: a member that leaves is replaced by the last, which was visited already. */
        for (uint32_t i = g->n; i-- > 0;) {
            bool is_last = g->n == 1;
            fn(g->members[i].who, arg);
            if (is_last) {
                break; /* the group may be gone */
            }
        }
    }
}
