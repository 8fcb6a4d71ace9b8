#include "gateway/fanout/message.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define WEBSOCKET_FIN 0x80
#define WEBSOCKET_TEXT 0x1
#define WEBSOCKET_BINARY 0x2
#define WEBSOCKET_CLOSE 0x8
#define WEBSOCKET_PING 0x9
#define CLOSE_REASON_MAX 123

static size_t header_len(size_t payload_len)
{
    return payload_len < 126 ? 2 : payload_len < 65536 ? 4 : 10;
}

static void write_header(uint8_t *p, size_t payload_len, uint8_t opcode)
{
    p[0] = WEBSOCKET_FIN | opcode;
    if (payload_len < 126) {
        p[1] = (uint8_t)payload_len;
        return;
    }
    size_t n = payload_len < 65536 ? 2 : 8;
    p[1] = n == 2 ? 126 : 127;
    for (size_t i = 0; i < n; i++) {
        p[2 + i] = (uint8_t)(payload_len >> (8 * (n - 1 - i)));
    }
}

static struct message *make(size_t payload_len, uint8_t opcode)
{
    size_t head = header_len(payload_len);
    if (payload_len > UINT32_MAX - 16) {
        return NULL;
    }
    struct message *m = malloc(sizeof *m + head + payload_len + 1);
    if (!m) {
        return NULL;
    }
    *m = (struct message){
        .refs = 1, .len = (uint32_t)(head + payload_len), .n_frames = 1, .payload_off = head & 15};
    write_header(m->bytes, payload_len, opcode);
    m->bytes[m->len] = '\n';
    return m;
}

struct message *message_new(size_t payload_len, bool is_text)
{
    return make(payload_len, is_text ? WEBSOCKET_TEXT : WEBSOCKET_BINARY);
}

struct message *message_new_close(int code, const char *reason)
{
    size_t len = strnlen(reason, CLOSE_REASON_MAX);
    struct message *m = make(2 + len, WEBSOCKET_CLOSE);
    if (!m) {
        return NULL;
    }
    uint8_t *p = message_payload(m);
    p[0] = (uint8_t)(code >> 8);
    p[1] = (uint8_t)code;
    for (size_t i = 0; i < len; i++) {
        /* ASCII alone: a UTF-8 sequence that was cut would make the frame invalid. */
        p[2 + i] = reason[i] >= 0x20 && reason[i] < 0x7f ? (uint8_t)reason[i] : ' ';
    }
    return m;
}

struct message *message_with_gap(struct message *m)
{
    static const char GAP[] = "gap:true\n";
    size_t n = sizeof GAP - 1;
    if (m->gap_off == 0) {
        return message_ref(m);
    }
    size_t front = m->gap_off - m->payload_off;
    size_t payload_len = m->len - m->payload_off;
    struct message *copy = make(payload_len + n, m->bytes[0] & ~WEBSOCKET_FIN);
    if (!copy) {
        return NULL;
    }
    uint8_t *p = message_payload(copy);
    memcpy(p, m->bytes + m->payload_off, front);
    memcpy(p + front, GAP, n);
    memcpy(p + front + n, m->bytes + m->gap_off, payload_len - front);
    return copy;
}

struct message *message_new_pack(const struct message *first, size_t len)
{
    struct message *pack = malloc(sizeof *pack + len);
    if (!pack) {
        return NULL;
    }
    *pack = (struct message){.refs = 1};
    for (const struct message *m = first; m; m = m->next) {
        memcpy(pack->bytes + pack->len, m->bytes, m->len);
        pack->len += m->len;
        pack->n_frames += m->n_frames;
    }
    assert(pack->len == len);
    return pack;
}

struct message *message_new_ping(void)
{
    return make(0, WEBSOCKET_PING);
}

void message_unref(struct message *m)
{
    if (!m) {
        return;
    }
    assert(m->refs > 0);
    if (--m->refs == 0) {
        free(m);
    }
}
