/* As much of RFC 6455 as a load generator needs, sans-IO: the opening handshake of a client, client
 * frames, the way through server frames. No fragments, no extensions: a server that uses them
 * without being asked is told apart, not understood.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* The handshake uses one key, that of the RFC's own example, so that the answer is known without
 * SHA-1. floor.c counts on it too. */
#define WEBSOCKET_KEY "dGhlIHNhbXBsZSBub25jZQ=="
#define WEBSOCKET_ACCEPT "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="

#define WEBSOCKET_HEAD_MAX 14

enum websocket_opcode {
    WEBSOCKET_CONTINUATION = 0,
    WEBSOCKET_TEXT = 1,
    WEBSOCKET_BINARY = 2,
    WEBSOCKET_CLOSE = 8,
    WEBSOCKET_PING = 9,
    WEBSOCKET_PONG = 10
};

struct websocket_frame {
    enum websocket_opcode opcode;
    int is_final;
    uint8_t *payload; /* borrowed from the bytes given; unmasked in place */
    size_t len;
};

/* Writes the request; `protocol` NULL offers none. Returns its length, 0 when it does not fit. */
size_t websocket_request(char *text, size_t len, const char *host, const char *path,
                         const char *protocol);

/* The length of a complete and good answer at the front of `bytes`; 0: not complete yet; -1: it is
 * a refusal. */
int websocket_answer(const char *bytes, size_t len);

/* Writes the head of a frame. A client masks: mask_payload() with the same `mask` goes over the
 * payload. Returns its length. */
size_t websocket_head(uint8_t head[WEBSOCKET_HEAD_MAX], enum websocket_opcode opcode, size_t len,
                      const uint8_t *mask);

void websocket_mask(uint8_t *payload, size_t len, const uint8_t mask[4]);

/* How long the frame at the front of `bytes` is, with its head; 0: not known yet. */
uint64_t websocket_length(const uint8_t *bytes, size_t len);

/* Takes one frame off the front of `bytes`. Returns how many bytes it took; 0: not complete yet. */
size_t websocket_take(uint8_t *bytes, size_t len, struct websocket_frame *frame);
