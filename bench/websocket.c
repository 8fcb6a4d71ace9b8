#include "websocket.h"

#include <stdio.h>
#include <string.h>

size_t websocket_request(char *text, size_t len, const char *host, const char *path,
                         const char *protocol)
{
    int n =
        snprintf(text, len,
                 "GET %s HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                 "Sec-WebSocket-Key: " WEBSOCKET_KEY "\r\nSec-WebSocket-Version: 13\r\n%s%s%s\r\n",
                 path, host, protocol ? "Sec-WebSocket-Protocol: " : "", protocol ? protocol : "",
                 protocol ? "\r\n" : "");
    return n > 0 && (size_t)n < len ? (size_t)n : 0;
}

static const char *find(const char *bytes, size_t len, const char *text)
{
    size_t n = strlen(text);
    for (size_t i = 0; i + n <= len; i++) {
        if (memcmp(bytes + i, text, n) == 0) {
            return bytes + i;
        }
    }
    return NULL;
}

int websocket_answer(const char *bytes, size_t len)
{
    const char *end = find(bytes, len, "\r\n\r\n");
    if (!end) {
        return len > 8192 ? -1 : 0;
    }
    size_t n = (size_t)(end - bytes) + 4;
    int is_good = find(bytes, n, " 101 ") != NULL && find(bytes, n, WEBSOCKET_ACCEPT) != NULL;
    return is_good ? (int)n : -1;
}

static size_t put_length(uint8_t *head, size_t len)
{
    if (len < 126) {
        head[1] = (uint8_t)len;
        return 2;
    }
    unsigned n = len < 65536 ? 2 : 8;
    head[1] = n == 2 ? 126 : 127;
    for (unsigned i = 0; i < n; i++) {
        head[2 + i] = (uint8_t)((uint64_t)len >> (8 * (n - 1 - i)));
    }
    return 2 + n;
}

size_t websocket_head(uint8_t head[WEBSOCKET_HEAD_MAX], enum websocket_opcode opcode, size_t len,
                      const uint8_t *mask)
{
    head[0] = (uint8_t)(0x80 | opcode);
    size_t n = put_length(head, len);
    if (mask) {
        head[1] |= 0x80;
        memcpy(head + n, mask, 4);
        n += 4;
    }
    return n;
}

void websocket_mask(uint8_t *payload, size_t len, const uint8_t mask[4])
{
    uint64_t twice;
    uint64_t word;
    size_t i = 0;
    memcpy(&twice, mask, 4);
    memcpy((uint8_t *)&twice + 4, mask, 4);
    for (; i + 8 <= len; i += 8) {
        memcpy(&word, payload + i, 8);
        word ^= twice;
        memcpy(payload + i, &word, 8);
    }
    for (; i < len; i++) {
        payload[i] ^= mask[i & 3];
    }
}

static uint64_t get_length(const uint8_t *bytes, unsigned n)
{
    uint64_t len = 0;
    for (unsigned i = 0; i < n; i++) {
        len = len << 8 | bytes[i];
    }
    return len;
}

/* 0: it is not all there. */
static size_t head_length(const uint8_t *bytes, size_t len)
{
    if (len < 2) {
        return 0;
    }
    unsigned more = (bytes[1] & 0x7f) == 126 ? 2 : (bytes[1] & 0x7f) == 127 ? 8 : 0;
    size_t head = 2 + more + (bytes[1] >> 7 ? 4 : 0);
    return len < head ? 0 : head;
}

static uint64_t payload_length(const uint8_t *bytes)
{
    unsigned n = bytes[1] & 0x7f;
    return n < 126 ? n : get_length(bytes + 2, n == 126 ? 2 : 8);
}

uint64_t websocket_length(const uint8_t *bytes, size_t len)
{
    size_t head = head_length(bytes, len);
    uint64_t n = head ? payload_length(bytes) : 0;
    return n > UINT64_MAX - head ? UINT64_MAX : head + n;
}

size_t websocket_take(uint8_t *bytes, size_t len, struct websocket_frame *frame)
{
    size_t head = head_length(bytes, len);
    if (head == 0) {
        return 0;
    }
    uint64_t n = payload_length(bytes);
    if (n > len - head) {
        return 0;
    }
    frame->opcode = bytes[0] & 15;
    frame->is_final = bytes[0] >> 7;
    frame->payload = bytes + head;
    frame->len = (size_t)n;
    if (bytes[1] >> 7) {
        websocket_mask(frame->payload, frame->len, bytes + head - 4);
    }
    return head + (size_t)n;
}
