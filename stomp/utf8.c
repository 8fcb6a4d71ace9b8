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

bool stomp_is_utf8(const void *bytes, size_t len)
{
    const uint8_t *at = bytes;
    while (len > 0) {
        size_t n = 16;
        if (len < 16 || !is_ascii_16(at)) {
            n = sequence_len(at, len);
        }
        if (n == 0) {
            return false;
        }
        at += n;
        len -= n;
    }
    return true;
}
