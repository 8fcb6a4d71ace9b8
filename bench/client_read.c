#include "client_internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define IS_DIGIT 16

static bool read_mark(const uint8_t *body, size_t len, uint64_t *number)
{
    static const uint8_t DIGITS[256] = {
        ['0'] = IS_DIGIT,      ['1'] = IS_DIGIT | 1,  ['2'] = IS_DIGIT | 2,  ['3'] = IS_DIGIT | 3,
        ['4'] = IS_DIGIT | 4,  ['5'] = IS_DIGIT | 5,  ['6'] = IS_DIGIT | 6,  ['7'] = IS_DIGIT | 7,
        ['8'] = IS_DIGIT | 8,  ['9'] = IS_DIGIT | 9,  ['a'] = IS_DIGIT | 10, ['b'] = IS_DIGIT | 11,
        ['c'] = IS_DIGIT | 12, ['d'] = IS_DIGIT | 13, ['e'] = IS_DIGIT | 14, ['f'] = IS_DIGIT | 15};
    unsigned all = IS_DIGIT;
    if (len < CLIENT_MARK_LEN || body[0] != 'S' || body[1] != 'G') {
        return false;
    }
    *number = 0;
    for (size_t i = 2; i < CLIENT_MARK_LEN; i++) {
        unsigned digit = DIGITS[body[i]];
        all &= digit;
        *number = *number << 4 | (digit & 15);
    }
    return all & IS_DIGIT;
}

static void wake_publisher(struct client_set *set)
{
    uint64_t one = 1;
    if (set->wakes && write(set->run->wake_fd, &one, sizeof(one)) < 0) {
        return; /* EAGAIN: it is awake */
    }
}

/* Which of its subscriptions a message came for. */
static unsigned find_subscription(const struct options *o, const struct client *c,
                                  const struct websocket_frame *frame, unsigned room)
{
    if (o->subscriptions == 1) {
        return 0;
    }
    return o->protocol->subscription ? o->protocol->subscription(frame->payload, frame->len)
                                     : (room + o->rooms - c->room) % o->rooms;
}

/* Where it counts the messages of a room; NULL: it has not asked for those. */
static uint32_t *find_next(struct client_set *set, const struct client *c, unsigned subscription,
                           unsigned room)
{
    const struct options *o = set->run->options;
    if (o->pattern_hears_all && deal_hears_all(o, c->first + subscription)) {
        return set->next_all + (size_t)c->next[subscription] * o->rooms + room;
    }
    unsigned own = o->subscriptions == 1 ? c->room : (c->room + subscription) % o->rooms;
    return own == room ? &c->next[subscription] : NULL;
}

/* Number m belongs to room m % rooms and is number m / rooms there; a room has one publisher, so
 * they come in order. */
static void client_deliver(struct client_set *set, struct client *c,
                           const struct websocket_frame *frame, uint64_t number, uint64_t now_ns)
{
    struct client_run *run = set->run;
    const struct options *o = run->options;
    unsigned room = (unsigned)(number % o->rooms);
    unsigned subscription = find_subscription(o, c, frame, room);
    uint64_t intended_ns = 0;
    uint32_t *next = subscription < o->subscriptions ? find_next(set, c, subscription, room) : NULL;
    if (!next) {
        client_count(&set->counters.foreign, 1);
        return;
    }
    client_count(&set->counters.delivered, 1);
    uint32_t in_room = (uint32_t)(number / o->rooms);
    if (in_room < *next) {
        client_count(&set->counters.duplicated, 1);
        return;
    }
    *next = in_room + 1;
    enum ledger_answer answer = ledger_delivered(run->ledger, number, &intended_ns);
    if (answer == LEDGER_LAST) {
        wake_publisher(set);
    }
    if (answer != LEDGER_UNKNOWN &&
        intended_ns >= atomic_load_explicit(&run->from_ns, memory_order_relaxed) &&
        intended_ns < atomic_load_explicit(&run->until_ns, memory_order_relaxed)) {
        hist_record(&set->latency, now_ns - intended_ns);
    }
}

static void client_protocol(struct client_set *set, struct client *c,
                            const struct websocket_frame *frame, uint64_t now_ns)
{
    const struct protocol *protocol = set->run->options->protocol;
    const uint8_t *body = NULL;
    size_t len = 0;
    uint64_t number = 0;
    if (c->state == CLIENT_WAKING || c->state == CLIENT_LEAVING) {
        return;
    }
    switch (protocol->receive(frame->payload, frame->len, &body, &len)) {
    case PROTOCOL_MESSAGE:
        /* Nchan tells a publisher how many there were to hear it */
        if (c->is_publisher) {
            return;
        }
        if (len >= set->run->options->body_bytes && read_mark(body, len, &number)) {
            client_deliver(set, c, frame, number, now_ns);
        } else {
            client_count(&set->counters.foreign, 1);
        }
        return;
    case PROTOCOL_OPENED:
        client_join_opened(set, c);
        return;
    case PROTOCOL_PING:
        client_say(set, c, protocol->pong, strlen(protocol->pong));
        return;
    case PROTOCOL_CONNECTED:
        client_join_connected(set, c);
        return;
    case PROTOCOL_SUBSCRIBED:
        client_join_subscribed(set, c);
        return;
    case PROTOCOL_REFUSED: {
        char text[512];
        snprintf(text, sizeof(text), "refused: %.*s", (int)(len < 480 ? len : 480),
                 (const char *)body);
        client_close(set, c, text);
        return;
    }
    case PROTOCOL_NOTHING:
        return;
    }
}

static void client_frame(struct client_set *set, struct client *c,
                         const struct websocket_frame *frame, uint64_t now_ns)
{
    char text[256];
    switch (frame->opcode) {
    case WEBSOCKET_TEXT:
    case WEBSOCKET_BINARY:
        if (frame->is_final) {
            client_protocol(set, c, frame, now_ns);
            return;
        }
        client_close(set, c, "a fragmented message");
        return;
    case WEBSOCKET_CLOSE: {
        int code = frame->len >= 2 ? frame->payload[0] << 8 | frame->payload[1] : 0;
        int n = frame->len > 2 ? (int)frame->len - 2 : 0;
        snprintf(text, sizeof(text), "closed by the server: %d %.*s", code, n,
                 n ? (const char *)frame->payload + 2 : "");
        c->close_code = (unsigned)code;
        if (c->state == CLIENT_LEAVING) {
            return; /* RFC 6455, 7.1.1: the server closes the connection first */
        }
        client_close(set, c, text);
        return;
    }
    case WEBSOCKET_PING: {
        uint8_t head[WEBSOCKET_HEAD_MAX];
        size_t n = websocket_head(head, WEBSOCKET_PONG, frame->len, CLIENT_MASK);
        websocket_mask(frame->payload, frame->len, CLIENT_MASK);
        if (bytes_append(&c->out, head, n) == 0 &&
            bytes_append(&c->out, frame->payload, frame->len) == 0) {
            client_flush(set, c);
        }
        return;
    }
    case WEBSOCKET_PONG:
        return;
    case WEBSOCKET_CONTINUATION:
        client_close(set, c, "a fragmented message");
        return;
    }
    client_close(set, c, "an unknown WebSocket opcode");
}

static size_t upgrade(struct client_set *set, struct client *c, const uint8_t *bytes, size_t len)
{
    int n = websocket_answer((const char *)bytes, len);
    if (n < 0) {
        client_close(set, c, "no 101 to the handshake");
    }
    if (n <= 0) {
        return 0;
    }
    client_join_upgraded(set, c);
    return (size_t)n;
}

struct reading {
    struct client_set *set;
    struct client *c;
};

static size_t take(void *owner, uint8_t *bytes, size_t len)
{
    const struct reading *reading = owner;
    struct client *c = reading->c;
    uint64_t now_ns = client_now_ns();
    size_t taken = 0;
    size_t n;
    struct websocket_frame frame;
    if (c->state == CLIENT_UPGRADING) {
        taken = upgrade(reading->set, c, bytes, len);
        if (taken == 0) {
            return c->state == CLIENT_CLOSED ? INLET_CLOSED : 0;
        }
    }
    while (c->state != CLIENT_CLOSED &&
           (n = websocket_take(bytes + taken, len - taken, &frame)) > 0) {
        client_frame(reading->set, c, &frame, now_ns);
        taken += n;
    }
    return c->state == CLIENT_CLOSED ? INLET_CLOSED : taken;
}

void client_read(struct client_set *set, struct client *c)
{
    struct reading reading = {.set = set, .c = c};
    struct inlet_socket socket = {.fd = c->fd, .tls = c->tls, .left = &c->in, .owner = &reading};
    if (inlet_read(&set->inlet, socket, take) == INLET_ENDED) {
        client_close(set, c, errno ? strerror(errno) : "end of stream");
    }
}
