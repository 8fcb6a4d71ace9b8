/* News from the broker about what is ours: its own events, where the plugin rabbitmq_event_exchange
 * is on, and overflow reports, which are the dead letters of queues that dropped messages. */
#include "amqp/broker_internal.h"
#include "common/id.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EVENTS_EXCHANGE "amq.rabbitmq.event"
#define EVENTS_MAX_LENGTH 10000
#define OVERFLOW_MAX_LENGTH 16 /* that something was dropped is the news, not how much */
#define OVERFLOW_TELL_MS 1000
#define OWN_UNBINDS_MAX 100000

/* The queue of ours that has this name at the broker. */
static struct queue *find_queue(const struct broker *b, struct slice at_broker)
{
    struct queue *q = map_get(&b->queues, at_broker.ptr, at_broker.len);
    if (!q && at_broker.len > QUEUE_SUFFIX_LEN) {
        q = map_get(&b->queues, at_broker.ptr, at_broker.len - QUEUE_SUFFIX_LEN);
    }
    return q && slice_is(at_broker, q->at_broker) ? q : NULL;
}

/* ---- Events ---- */

/* Our own unbinds are told as well. Each is noted when it is sent, so that its event is not taken
 * for an administrator's. */
struct own_unbind {
    size_t n;
    size_t len;
    char text[]; /* queue at the broker NUL exchange NUL key */
};

static size_t binding_text(char text[3 * CODEC_NAME_MAX + 3], struct slice queue,
                           struct slice exchange, struct slice key)
{
    struct slice parts[] = {queue, exchange, key};
    size_t len = 0;
    for (unsigned i = 0; i < 3; i++) {
        if (parts[i].len > CODEC_NAME_MAX) {
            return 0;
        }
        if (parts[i].len > 0) {
            memcpy(text + len, parts[i].ptr, parts[i].len);
        }
        len += parts[i].len;
        text[len++] = '\0';
    }
    return len;
}

void watch_unbinding(struct broker *b, const struct binding *x)
{
    const struct queue *events = topology_queue(b, b->watch.events_queue);
    const struct queue *q = x->group->queue;
    char text[3 * CODEC_NAME_MAX + 3];
    if (!b->watch.is_on || !events || !events->is_whole || !q ||
        b->watch.own_unbinds.n >= OWN_UNBINDS_MAX) {
        return;
    }
    size_t len = binding_text(text, slice_of(q->at_broker), slice_of(x->group->exchange),
                              (struct slice){x->key, x->key_len});
    struct own_unbind *own = map_get(&b->watch.own_unbinds, text, len);
    if (!own) {
        own = calloc(1, sizeof(*own) + len);
        if (!own) {
            return; /* at worst a binding of ours is asserted once too often */
        }
        own->len = len;
        memcpy(own->text, text, len);
        if (map_put(&b->watch.own_unbinds, own->text, len, own) < 0) {
            free(own);
            return;
        }
    }
    own->n++;
}

static bool was_our_own(struct broker *b, const char *text, size_t len)
{
    struct own_unbind *own = map_get(&b->watch.own_unbinds, text, len);
    if (!own) {
        return false;
    }
    if (--own->n == 0) {
        map_take(&b->watch.own_unbinds, text, len);
        free(own);
    }
    return true;
}

static void on_binding_deleted(struct broker *b, const struct broker_delivery *delivery)
{
    char text[3 * CODEC_NAME_MAX + 3];
    char exchange[CODEC_NAME_MAX + 1];
    struct slice source = codec_header(&delivery->properties, "source_name");
    struct slice destination = codec_header(&delivery->properties, "destination_name");
    struct slice key = codec_header(&delivery->properties, "routing_key");
    size_t len = binding_text(text, destination, source, key);
    if (len == 0 || !slice_is(codec_header(&delivery->properties, "destination_kind"), "queue") ||
        was_our_own(b, text, len)) {
        return;
    }
    struct queue *q = find_queue(b, destination);
    snprintf(exchange, sizeof(exchange), "%.*s", (int)source.len, source.ptr ? source.ptr : "");
    struct group *g = q ? topology_group(b, q->name, exchange) : NULL;
    struct binding *x = g ? map_get(&g->bindings, key.ptr, key.len) : NULL;
    if (x) {
        binding_vanished(b, x, b->last_in_unix_ms);
    }
}

static void tell_deleted(struct broker *b, const struct broker_delivery *delivery)
{
    struct slice none = {NULL, 0};
    if (!b->watch.deleted) {
        return;
    }
    if (slice_is(delivery->routing_key, "exchange.deleted")) {
        b->watch.deleted(b->owner, codec_header(&delivery->properties, "name"), none, none);
    } else if (slice_is(delivery->routing_key, "binding.deleted") &&
               slice_is(codec_header(&delivery->properties, "destination_kind"), "queue")) {
        b->watch.deleted(b->owner, codec_header(&delivery->properties, "source_name"),
                         codec_header(&delivery->properties, "destination_name"),
                         codec_header(&delivery->properties, "routing_key"));
    }
}

static void on_event(struct broker *b, const struct broker_delivery *delivery)
{
    struct slice vhost = codec_header(&delivery->properties, "vhost");
    struct slice name = codec_header(&delivery->properties, "name");
    if (vhost.ptr && !slice_is(vhost, b->options.vhost)) {
        return;
    }
    if (slice_is(delivery->routing_key, "binding.deleted")) {
        on_binding_deleted(b, delivery);
    } else if (slice_is(delivery->routing_key, "queue.deleted")) {
        struct queue *q = find_queue(b, name);
        if (q) {
            queue_vanished(b, q, b->last_in_unix_ms);
        }
    } else if (slice_is(delivery->routing_key, "exchange.deleted") && name.ptr) {
        exchange_vanished(b, name, b->last_in_unix_ms);
    }
    tell_deleted(b, delivery);
}

void broker_on_deleted(struct broker *b, void (*deleted)(void *owner, struct slice exchange,
                                                         struct slice queue, struct slice key))
{
    b->watch.deleted = deleted;
}

/* ---- Overflow ---- */

static void on_dropped(struct broker *b, const struct broker_delivery *delivery)
{
    struct queue *q = find_queue(b, codec_header(&delivery->properties, "x-first-death-queue"));
    if (!q || !slice_is(codec_header(&delivery->properties, "x-first-death-reason"), "maxlen")) {
        return;
    }
    uint64_t now_ms = uv_now(b->loop);
    if (q->overflow_told_ms && now_ms - q->overflow_told_ms < OVERFLOW_TELL_MS) {
        return;
    }
    q->overflow_told_ms = now_ms;
    /* What was dropped is older than what has arrived; its own time is the best there is. */
    uint64_t from = b->last_in_unix_ms;
    struct id id;
    if (id_parse(delivery->properties.message_id, &id) == 0 && id_is_v7(id) &&
        id_unix_ms(id) < from) {
        from = id_unix_ms(id);
    }
    log_warn(b->name, "broker.overflow", "queue=%s", q->name);
    broker_defer_gap(b, q->name, from);
}

/* ---- Life ---- */

static void name_queue(char name[128], const char *kind, const struct broker *b)
{
    const char *from = strncmp(b->name, "stompgate ", 10) == 0 ? b->name + 10 : b->name;
    snprintf(name, 128, "stompgate.%s.%s", kind, from);
    for (char *c = name; *c; c++) {
        if (!isalnum((unsigned char)*c) && !strchr("._-", *c)) {
            *c = '.';
        }
    }
}

static int begin_listening(struct broker *b, const char *queue, int64_t max_length,
                           void (*inside)(struct broker *, const struct broker_delivery *))
{
    const struct broker_queue spec = {.name = queue, .is_exclusive = true};
    const struct broker_consume consume = {.queue = queue, .tag = queue, .no_ack = true};
    if (topology_keep_queue(b, &spec, true, max_length, NULL) < 0) {
        return -1;
    }
    return consumer_add(b, &consume, inside);
}

int watch_overflow(struct broker *b)
{
    if (b->watch.has_overflow) {
        return 0;
    }
    name_queue(b->watch.overflow_queue, "overflow", b);
    if (begin_listening(b, b->watch.overflow_queue, OVERFLOW_MAX_LENGTH, on_dropped) < 0) {
        return -1;
    }
    b->watch.has_overflow = true;
    return 0;
}

static void on_asked(struct broker *b, uint64_t cookie, const struct broker_reply *reply)
{
    static const char *const keys[] = {"queue.deleted", "exchange.deleted", "binding.deleted"};
    struct watch *w = &b->watch;
    (void)cookie;
    if (!reply->is_ok || w->is_on) {
        return;
    }
    name_queue(w->events_queue, "events", b);
    int failed = begin_listening(b, w->events_queue, EVENTS_MAX_LENGTH, on_event);
    for (unsigned i = 0; i < 3 && !failed; i++) {
        failed = topology_bind(b, w->events_queue, EVENTS_EXCHANGE, slice_of(keys[i]), NULL);
    }
    if (failed) {
        log_error(b->name, "broker.no_memory", "queue=%s", w->events_queue);
        broker_drop_queue(b, w->events_queue);
        return;
    }
    w->is_on = true;
    log_info(b->name, "broker.watching", "exchange=%s", EVENTS_EXCHANGE);
}

void watch_begin(struct broker *b)
{
    if (b->options.watches && !b->watch.is_on && !b->is_stopping &&
        probe_exchange_inside(b, EVENTS_EXCHANGE, on_asked, 0) < 0) {
        log_error(b->name, "broker.no_memory", "exchange=%s", EVENTS_EXCHANGE);
    }
}

/* The events of the old connection's doings do not come any more. */
void watch_reset(struct broker *b)
{
    size_t cursor = 0;
    struct map_entry entry;
    while (map_next(&b->watch.own_unbinds, &cursor, &entry)) {
        free(entry.value);
    }
    map_fini(&b->watch.own_unbinds);
    map_init(&b->watch.own_unbinds);
}

void watch_free(struct broker *b)
{
    watch_reset(b);
}
