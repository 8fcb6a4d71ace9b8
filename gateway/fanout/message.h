/* The bytes of one frame on their way to any number of clients: encoded once, then shared.
 *
 *     header (2, 4 or 10 bytes)   payload                                      end of line
 *     | WebSocket frame header    | one STOMP frame, or the LF of a heart-beat | LF |
 *     0                           payload_off                                  len
 *
 * A WebSocket is sent 0 to len; plain TCP what message_plain() says: no header, and behind a frame
 * the LF, as RabbitMQ writes it (STOMP 1.2, "STOMP Frames": a NUL may be followed by EOLs).
 *
 * A pack is several such messages one behind the other, for WebSockets alone.
 *
 * Reference-counted and immutable once shared. Belongs to one loop thread: the count is not atomic.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct message {
    struct message *next; /* of a cohort's pending messages: cohort.c */
    uint32_t refs;
    uint32_t len;
    uint32_t gap_off; /* where a MESSAGE that does not say gap:true would say so; else 0 */
    uint32_t n_frames : 24;
    uint32_t payload_off : 8;
    uint8_t bytes[];
};

/* One reference, with room for `payload_len` bytes at message_payload(), the WebSocket header (RFC
 * 6455 section 5.2; one whole unmasked message, TEXT or BINARY) in front. NULL when out of memory.
 */
struct message *message_new(size_t payload_len, bool is_text);

/* One reference to a WebSocket close frame (RFC 6455 section 5.5.1); the reason is cut at 123
 * bytes. NULL when out of memory. */
struct message *message_new_close(int code, const char *reason);

/* One reference to a copy of a MESSAGE that says gap:true; to the message itself where it does
 * already. NULL when out of memory. */
struct message *message_with_gap(struct message *m);

/* One reference to a pack of `first` and those linked behind it, `len` bytes in all. NULL when out
 * of memory. */
struct message *message_new_pack(const struct message *first, size_t len);

/* One reference to a WebSocket PING without a payload. NULL when out of memory. */
struct message *message_new_ping(void);

/* Where the payload goes; to be written before the message is shared. */
static inline uint8_t *message_payload(struct message *m)
{
    return m->bytes + m->payload_off;
}

/* What goes out on plain TCP, and its length. */
static inline const uint8_t *message_plain(const struct message *m, size_t *len)
{
    size_t payload_len = m->len - m->payload_off;
    *len = payload_len > 1 ? payload_len + 1 : payload_len; /* a heart-beat is the LF itself */
    return m->bytes + m->payload_off;
}

/* Shares it once more. */
static inline struct message *message_ref(struct message *m)
{
    m->refs++;
    return m;
}

/* Gives one reference back; the last frees. NULL does nothing. */
void message_unref(struct message *m);
