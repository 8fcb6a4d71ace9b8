/* "Does it exist?", asked passively on the scratch channel, where a 404 costs nobody else anything.
 * Questions for the same exchange share one probe, and its answer is remembered for a while. */
#include "amqp/broker_internal.h"

#include <stdlib.h>
#include <string.h>

#define EXISTS_MS 5000
#define MISSING_MS 1000
#define REMEMBERED_MAX 10000
#define WINDOW 64

struct probe {
    struct list node;
    struct request request;
    struct list waiters;
    enum { PROBE_ASKS, PROBE_EXISTS, PROBE_MISSING } state;
    bool is_queue;
    bool is_sent;
    uint16_t code;
    uint64_t until_ms;
    char *text;
    size_t len;
    char name[];
};

void probe_init(struct broker *b)
{
    list_init(&b->probe_asks);
    list_init(&b->probe_list);
}

static void drop(struct broker *b, struct probe *p)
{
    if (!p->is_queue) {
        map_take(&b->probes, p->name, p->len);
    }
    list_remove(&p->request.node);
    list_remove(&p->node);
    free(p->text);
    free(p);
}

static struct probe *get(const struct broker *b, struct slice name)
{
    return map_get(&b->probes, name.ptr, name.len);
}

static bool is_remembered(const struct broker *b, const struct probe *p)
{
    return p && p->state != PROBE_ASKS && p->until_ms > uv_now(b->loop);
}

bool probe_peek_exchange(const struct broker *b, struct slice name, bool *exists)
{
    const struct probe *p = get(b, name);
    if (!is_remembered(b, p)) {
        return false;
    }
    *exists = p->state == PROBE_EXISTS;
    return true;
}

void probe_forget_exchange(struct broker *b, struct slice name)
{
    struct probe *p = get(b, name);
    if (p && p->state != PROBE_ASKS) {
        drop(b, p);
    }
}

static void answer_all(struct broker *b, struct probe *p, const struct broker_reply *reply)
{
    broker_defer_all(b, &p->waiters, reply);
}

static void on_answer(struct broker *b, struct request *r, const struct answer *a)
{
    struct probe *p = LIST_OWNER(r, struct probe, request);
    struct broker_reply reply = BROKER_OK_REPLY;
    list_remove(&p->node);
    p->is_sent = false;
    if (a->kind == ANSWER_LOST) {
        list_push(b->probe_asks.next, &p->node);
        broker_wake(b);
        return;
    }
    list_push(&b->probe_list, &p->node);
    if (a->kind == ANSWER_REFUSED) {
        reply = (struct broker_reply){.code = a->code, .text = a->text};
    } else if (p->is_queue) {
        const amqp_queue_declare_ok_t *ok = a->method;
        reply.messages = ok->message_count;
        reply.consumers = ok->consumer_count;
    }
    answer_all(b, p, &reply);
    bool is_full = b->probes.n > REMEMBERED_MAX;
    if (p->is_queue || is_full || (a->kind == ANSWER_REFUSED && a->code != 404)) {
        drop(b, p);
        return;
    }
    p->state = reply.is_ok ? PROBE_EXISTS : PROBE_MISSING;
    p->until_ms = uv_now(b->loop) + (reply.is_ok ? EXISTS_MS : MISSING_MS);
    p->code = reply.code;
    p->text = strdup(reply.text);
}

static void ask(struct broker *b, struct probe *p)
{
    list_remove(&p->node);
    list_push(&b->probe_list, &p->node);
    p->is_sent = true;
    if (p->is_queue) {
        amqp_queue_declare_t declare = {.queue = broker_bytes(p->name), .passive = 1};
        channel_request(b, CH_SCRATCH, &p->request, AMQP_QUEUE_DECLARE_METHOD, &declare,
                        AMQP_QUEUE_DECLARE_OK_METHOD, on_answer);
        return;
    }
    amqp_exchange_declare_t declare = {
        .exchange = broker_bytes(p->name),
        .type = broker_bytes("direct"), /* not looked at when passive */
        .passive = 1,
    };
    channel_request(b, CH_SCRATCH, &p->request, AMQP_EXCHANGE_DECLARE_METHOD, &declare,
                    AMQP_EXCHANGE_DECLARE_OK_METHOD, on_answer);
}

void probe_pump(struct broker *b)
{
    while (!list_is_empty(&b->probe_asks) && b->channels[CH_SCRATCH].n_requests < WINDOW &&
           broker_is_connected(b)) {
        ask(b, LIST_OWNER(b->probe_asks.next, struct probe, node));
    }
}

static struct probe *probe_new(struct broker *b, const char *name, bool is_queue)
{
    size_t len = strlen(name);
    struct probe *p = calloc(1, sizeof(*p) + len + 1);
    if (!p) {
        return NULL;
    }
    memcpy(p->name, name, len + 1);
    p->len = len;
    p->is_queue = is_queue;
    list_init(&p->node);
    list_init(&p->request.node);
    list_init(&p->waiters);
    if (!is_queue && map_put(&b->probes, p->name, len, p) < 0) {
        free(p);
        return NULL;
    }
    list_push(&b->probe_asks, &p->node);
    broker_wake(b);
    return p;
}

/* Takes the waiter. */
static int ask_exchange(struct broker *b, const char *exchange, struct deferred *waiter)
{
    struct probe *p = get(b, slice_of(exchange));
    if (p && p->state != PROBE_ASKS) {
        drop(b, p);
        p = NULL;
    }
    if (!p) {
        p = probe_new(b, exchange, false);
    }
    if (!waiter || !p) {
        deferred_free(waiter);
        return -1;
    }
    list_push(&p->waiters, &waiter->node);
    return 0;
}

int broker_probe_exchange(struct broker *b, const char *exchange, broker_done_fn done,
                          uint64_t cookie)
{
    if (strlen(exchange) > CODEC_NAME_MAX) {
        return -1;
    }
    const struct probe *p = get(b, slice_of(exchange));
    bool is_default = exchange[0] == '\0'; /* always there, and not to be asked about */
    if (is_default || is_remembered(b, p)) {
        struct broker_reply reply = BROKER_OK_REPLY;
        if (!is_default && p->state == PROBE_MISSING) {
            reply = (struct broker_reply){.code = p->code, .text = p->text ? p->text : ""};
        }
        if (done) {
            done(b->owner, cookie, &reply);
        }
        return 0;
    }
    return ask_exchange(b, exchange, deferred_new(done, cookie));
}

int probe_exchange_inside(struct broker *b, const char *exchange,
                          void (*inside)(struct broker *, uint64_t, const struct broker_reply *),
                          uint64_t cookie)
{
    struct deferred *waiter = deferred_new(NULL, cookie);
    if (waiter) {
        waiter->kind = DEFERRED_INSIDE;
        waiter->inside = inside;
    }
    return ask_exchange(b, exchange, waiter);
}

int broker_probe_queue(struct broker *b, const char *queue, broker_done_fn done, uint64_t cookie)
{
    if (strlen(queue) > CODEC_NAME_MAX || queue[0] == '\0') {
        return -1;
    }
    struct deferred *waiter = deferred_new(done, cookie);
    struct probe *p = waiter ? probe_new(b, queue, true) : NULL;
    if (!p) {
        deferred_free(waiter);
        return -1;
    }
    list_push(&p->waiters, &waiter->node);
    return 0;
}

/* What was asked is asked again; what was remembered may have changed while we were away. */
void probe_reset(struct broker *b)
{
    struct list *n = b->probe_list.next;
    while (n != &b->probe_list) {
        struct probe *p = LIST_OWNER(n, struct probe, node);
        n = n->next;
        if (p->state != PROBE_ASKS) {
            drop(b, p);
            continue;
        }
        p->is_sent = false;
        list_remove(&p->node);
        list_push(&b->probe_asks, &p->node);
    }
}

void probe_tick(struct broker *b, uint64_t now_ms)
{
    struct list *n = b->probe_list.next;
    while (n != &b->probe_list) {
        struct probe *p = LIST_OWNER(n, struct probe, node);
        n = n->next;
        if (p->state != PROBE_ASKS && p->until_ms <= now_ms) {
            drop(b, p);
        }
    }
}

void probe_stop(struct broker *b, const struct broker_reply *reply)
{
    struct list *lists[] = {&b->probe_asks, &b->probe_list};
    for (unsigned i = 0; i < 2; i++) {
        for (struct list *n = lists[i]->next; n != lists[i]; n = n->next) {
            answer_all(b, LIST_OWNER(n, struct probe, node), reply);
        }
    }
}

void probe_free(struct broker *b)
{
    probe_reset(b);
    for (struct list *n = b->probe_asks.next; n != &b->probe_asks;) {
        struct probe *p = LIST_OWNER(n, struct probe, node);
        n = n->next;
        while (!list_is_empty(&p->waiters)) {
            deferred_free(LIST_OWNER(p->waiters.next, struct deferred, node));
        }
        drop(b, p);
    }
    map_fini(&b->probes);
}
