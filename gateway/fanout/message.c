#include "gateway/fanout/message.h"

#include <assert.h>
#include <stdlib.h>

#define WEBSOCKET_FIN 0x80
#define WEBSOCKET_TEXT 0x1
#define WEBSOCKET_BINARY 0x2

static size_t header_len(size_t payload_len)
{
    return payload_len < 126 ? 2 : payload_len < 65536 ? 4 : 10;
}

static void write_header(uint8_t *p, size_t payload_len, bool is_text)
{
    p[0] = WEBSOCKET_FIN | (is_text ? WEBSOCKET_TEXT : WEBSOCKET_BINARY);
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

struct message *message_new(size_t payload_len, bool is_text)
{
    size_t head = header_len(payload_len);
    if (payload_len > UINT32_MAX - 16) {
        return NULL;
    }
    struct message *m = malloc(sizeof *m + head + payload_len);
    if (!m) {
        return NULL;
    }
    m->refs = 1;
    m->len = (uint32_t)(head + payload_len);
    m->payload_off = (uint32_t)head;
    write_header(m->bytes, payload_len, is_text);
    return m;
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
