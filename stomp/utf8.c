#include "stomp/stomp.h"

/* True when the next 16 bytes are ASCII. */
static bool is_ascii_16(const uint8_t *at)
{
    uint64_t words[2];
    memcpy(words, at, sizeof(words));
    return ((words[0] | words[1]) & 0x8080808080808080u) == 0;
}

static bool is_within(uint8_t byte, uint8_t low, uint8_t high)
{
    return byte >= low && byte <= high;
}

static bool is_continuation(uint8_t byte)
{
    return (byte & 0xc0) == 0x80;
}

/* Bytes of the sequence that begins at `at`, or 0 when there is no valid one (RFC 3629, section 4).
 * The second byte's range is what rules out overlong forms, surrogates and numbers above U+10FFFF.
 */
static size_t sequence_len(const uint8_t *at, size_t left)
{
    uint8_t first = at[0];
    if (first < 0x80) {
        return 1;
    }
    if (first < 0xc2 || first > 0xf4 || left < 2) {
        return 0;
    }
    if (first < 0xe0) {
        return is_continuation(at[1]) ? 2 : 0;
    }
    if (first < 0xf0) {
        uint8_t low = first == 0xe0 ? 0xa0 : 0x80;
        uint8_t high = first == 0xed ? 0x9f : 0xbf;
        return left >= 3 && is_within(at[1], low, high) && is_continuation(at[2]) ? 3 : 0;
    }
    uint8_t low = first == 0xf0 ? 0x90 : 0x80;
    uint8_t high = first == 0xf4 ? 0x8f : 0xbf;
    bool is_valid = left >= 4 && is_within(at[1], low, high) && is_continuation(at[2]) &&
                    is_continuation(at[3]);
    return is_valid ? 4 : 0;
}

/* How many bytes from the front are whole, valid sequences. */
static size_t valid_len(const uint8_t *bytes, size_t len)
{
    size_t at = 0;
    while (at < len) {
        size_t n = 16;
        if (len - at < 16 || !is_ascii_16(bytes + at)) {
            n = bytes[at] < 0x80 ? 1 : sequence_len(bytes + at, len - at);
        }
        if (n == 0) {
            break;
        }
        at += n;
    }
    return at;
}

bool stomp_is_utf8(const void *bytes, size_t len)
{
    return valid_len(bytes, len) == len;
}

/* Whether these bytes, which are no whole sequence, are the beginning of one: tried with the least
 * that can follow. */
static bool may_begin(const uint8_t *bytes, size_t n)
{
    uint8_t second = bytes[0] == 0xe0 ? 0xa0 : bytes[0] == 0xf0 ? 0x90 : 0x80;
    uint8_t whole[4] = {0, second, 0x80, 0x80};
    memcpy(whole, bytes, n < 4 ? n : 4);
    return sequence_len(whole, 4) > n;
}

bool stomp_utf8_feed(struct stomp_utf8 *u, const void *bytes, size_t len, bool is_end)
{
    const uint8_t *at = bytes;
    while (u->n > 0 && len > 0) {
        u->bytes[u->n++] = *at++;
        len--;
        if (sequence_len(u->bytes, u->n) == u->n) {
            u->n = 0;
        } else if (!may_begin(u->bytes, u->n)) {
            return false;
        }
    }
    size_t n = valid_len(at, len);
    at += n;
    len -= n;
    if (len > 0) {
        if (len > 3 || !may_begin(at, len)) {
            return false;
        }
        memcpy(u->bytes, at, len);
        u->n = (uint8_t)len;
    }
    return !is_end || u->n == 0;
}
