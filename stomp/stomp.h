/* STOMP 1.0, 1.1 and 1.2, sans-IO: bytes in, frames out; frames in, bytes out.
 *
 * Reads no clock, sends nothing, allocates only while a frame is incomplete. libc (and
 * common/slice.h, which is no code) only. Every object belongs to one thread. Specification:
 * https://stomp.github.io/stomp-specification-1.2.html; section names are given in quotes.
 */
#pragma once

#include "common/slice.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Hard bounds: a larger number in the limits counts as these. */
#define STOMP_MAX_HEADERS 64
#define STOMP_MAX_NAME_BYTES 255
#define STOMP_MAX_BLOCK_BYTES ((size_t)1024 * 1024)
#define STOMP_MAX_COMMAND_BYTES 32

enum stomp_version { STOMP_1_0, STOMP_1_1, STOMP_1_2 };

/* "1.0", "1.1", "1.2". */
const char *stomp_version_str(enum stomp_version version);

/* Highest version of a comma-separated accept-version value ("1.2,1.1, 1.0", blanks allowed). An
 * absent header (ptr NULL) means 1.0 ("Protocol Negotiation"). 0, or -1 when there is none in
 * common. */
int stomp_version_negotiate(struct slice accept_version, enum stomp_version *version)
    __attribute__((warn_unused_result));

/* Reads "cx,cy" in milliseconds, blanks allowed, numbers over 24 h are taken as 24 h; absent (ptr
 * NULL) means 0,0
 * ("Heart-beating"). 0, or -1 when it is malformed. */
int stomp_heartbeat_parse(struct slice value, uint32_t *cx_ms, uint32_t *cy_ms)
    __attribute__((warn_unused_result));

/* The agreed interval: 0 when either side says 0, else the larger. */
uint32_t stomp_heartbeat_agree(uint32_t one_ms, uint32_t other_ms);

enum stomp_command {
    STOMP_UNKNOWN, /* frame.command_text says which */
    STOMP_CONNECT, /* CONNECT and STOMP */
    STOMP_SEND,
    STOMP_SUBSCRIBE,
    STOMP_UNSUBSCRIBE,
    STOMP_ACK,
    STOMP_NACK,
    STOMP_BEGIN,
    STOMP_COMMIT,
    STOMP_ABORT,
    STOMP_DISCONNECT,
    STOMP_CONNECTED,
    STOMP_MESSAGE,
    STOMP_RECEIPT,
    STOMP_ERROR
};

struct stomp_header {
    struct slice name;  /* unescaped, never empty */
    struct slice value; /* unescaped, may be empty */
};

/* All slices are borrowed from the parser or from the bytes that were fed: valid until the next
 * call on the parser. */
struct stomp_frame {
    enum stomp_command command;
    struct slice command_text;
    struct stomp_header
        headers[STOMP_MAX_HEADERS]; /* in order of arrival, repeated ones included */
    unsigned n_headers;
    struct slice body;
};

/* The first header of that name ("Repeated Header Entries"), ptr NULL when absent. */
struct slice stomp_frame_find(const struct stomp_frame *frame, struct slice name);

/* The same; inline, so that the length of a literal is no work. */
static inline struct slice stomp_frame_get(const struct stomp_frame *frame, const char *name)
{
    return stomp_frame_find(frame, slice_of(name));
}

/* Limits are enforced for every byte received, not when a frame is complete; a content-length
 * beyond them is refused as soon as the header block ends. */
struct stomp_limits {
    uint32_t frame_bytes; /* from the command to the NUL, 0: no bound beyond the others; used before
                             CONNECTED */
    uint32_t headers;
    uint32_t header_name_bytes;  /* as sent, escapes count double */
    uint32_t header_value_bytes; /* as sent, escapes count double */
    uint32_t header_block_bytes; /* all between command line and body: header lines, their line
                                    ends, the blank line */
    uint32_t body_bytes;
};

enum stomp_error {
    STOMP_OK,
    STOMP_ERR_COMMAND,    /* too long, or with a blank or another byte that is not visible ASCII */
    STOMP_ERR_LINE_END,   /* a carriage return that no line feed follows */
    STOMP_ERR_CONTROL,    /* NUL inside the header block, or another control byte in a header name
                             (escaped ones too) */
    STOMP_ERR_NO_COLON,   /* a header line without a colon */
    STOMP_ERR_EMPTY_NAME, /* a header line that begins with a colon */
    STOMP_ERR_ESCAPE,     /* undefined escape sequence ("Value Encoding") */
    STOMP_ERR_UTF8,       /* the header block is not valid UTF-8 ("Value Encoding") */
    STOMP_ERR_CONTENT_LENGTH, /* not digits only, or repeated with another value */
    STOMP_ERR_NO_NUL,         /* the octet after content-length bytes is not NUL */
    STOMP_ERR_BODY,           /* a body on a frame that must not have one ("Body") */
    STOMP_ERR_BETWEEN, /* where a frame may begin: neither an end of line nor a byte that can begin
                          a command */
    STOMP_ERR_TOO_MANY_HEADERS,
    STOMP_ERR_NAME_TOO_LONG,
    STOMP_ERR_VALUE_TOO_LONG,
    STOMP_ERR_BLOCK_TOO_LONG,
    STOMP_ERR_BODY_TOO_LONG,
    STOMP_ERR_FRAME_TOO_LONG,
    STOMP_ERR_MEMORY
};

/* One sentence for the ERROR frame, a literal. */
const char *stomp_error_str(enum stomp_error error);

/* True for the errors that are a limit and not bad syntax: the close code is 1009 rather than 1002.
 */
bool stomp_error_is_limit(enum stomp_error error);

enum stomp_result {
    STOMP_MORE,      /* all bytes were used, nothing is complete */
    STOMP_FRAME,     /* *frame is filled */
    STOMP_HEARTBEAT, /* one end-of-line between frames ("Heart-beating") */
    STOMP_BAD        /* stomp_parser_error() says why; the parser accepts nothing more */
};

/* The parser is embedded in its session, so it is declared here; its fields are its own. Idle it
 * holds no memory. */
struct stomp_parser {
    const struct stomp_limits *limits; /* borrowed */
    struct stomp_partial *partial; /* the bytes of an incomplete frame, NULL when there is none */
    enum stomp_version version;
    enum stomp_error error;
};

/* Starts at version 1.0 rules without escapes: CONNECT is never unescaped, and nothing else may
 * come before it. */
void stomp_parser_init(struct stomp_parser *p, const struct stomp_limits *limits);

/* Frees a half frame. May be called twice; the parser may be initialised again. */
void stomp_parser_fini(struct stomp_parser *p);

/* After CONNECTED: other escapes from the next frame on, other limits at once.
 * 1.0 decodes no escapes and trims the blanks before a value, as RabbitMQ does (CONNECT too, if it
 * asks for no more than 1.0); 1.1 and 1.2 decode \\ \c \n \r. (1.1 does not define \r, but Spring's
 * Java client sends it there.) CONNECT and CONNECTED are never unescaped. */
void stomp_parser_set_version(struct stomp_parser *p, enum stomp_version version);
void stomp_parser_set_limits(struct stomp_parser *p, const struct stomp_limits *limits);

/* Takes up to `len` bytes and says in *used how many it took; call again with the rest, also when
 * that is nothing, until STOMP_MORE or STOMP_BAD: the last call gives back the memory of a frame
 * that came in pieces. The bytes are modified in place (escapes are decoded where they stand), and
 * the frame points into them when it was complete in one piece: nothing is copied then. Where the
 * pieces are cut makes no difference to what comes out. *frame is written for STOMP_FRAME and
 * STOMP_BAD only. On STOMP_BAD it holds the command, the headers that were complete and valid, and
 * no body, so that an ERROR can carry the receipt-id; when called once more after STOMP_BAD it
 * holds nothing. */
enum stomp_result stomp_parser_feed(struct stomp_parser *p, uint8_t *bytes, size_t len,
                                    size_t *used, struct stomp_frame *frame)
    __attribute__((warn_unused_result));

enum stomp_error stomp_parser_error(const struct stomp_parser *p);

/* True while a frame has begun and is not complete: the half-frame deadline runs. */
bool stomp_parser_is_inside(const struct stomp_parser *p);

/* Writes one frame into the caller's memory. Never writes past `cap`; `len` goes on counting, so
 * that a first pass with cap 0 measures. Usage: init, command, header…, body (an empty one too: it
 * ends the frame). CONNECT and CONNECTED are not escaped ("Value Encoding"), in 1.0 nothing is.
 * What the version cannot escape and a line cannot hold raw is dropped: NUL, CR (1.1 has no \r) and
 * LF, a colon in an unescaped name, control bytes in any name. A header whose name has nothing left
 * is not written. So no value can begin a line of its own, and the parser takes whatever the writer
 * wrote if it was UTF-8. */
struct stomp_writer {
    char *mem;
    size_t cap;
    size_t len; /* of the whole frame so far, also beyond cap */
    enum stomp_version version;
    bool is_raw; /* no escaping in this frame */
};

void stomp_writer_init(struct stomp_writer *w, char *mem, size_t cap, enum stomp_version version);
void stomp_writer_command(struct stomp_writer *w,
                          enum stomp_command command); /* not STOMP_UNKNOWN */
void stomp_writer_header(struct stomp_writer *w, struct slice name, struct slice value);
void stomp_writer_number(struct stomp_writer *w, const char *name, uint64_t value);

/* Ends the header block, writes the body, and the NUL. With a body of len > 0 a content-length
 * header comes first. */
void stomp_writer_body(struct stomp_writer *w, struct slice body);

/* Instead of stomp_writer_body(): all of that before the body, of which there will be so many
 * bytes; body and NUL are the caller's to add. */
void stomp_writer_blank(struct stomp_writer *w, size_t body_len);

static inline bool stomp_writer_fits(const struct stomp_writer *w)
{
    return w->len <= w->cap;
}

/* True when the bytes are valid UTF-8 (RFC 3629): decides TEXT or BINARY. */
bool stomp_is_utf8(const void *bytes, size_t len);

/* The same for a text that comes in pieces. A zeroed struct is at its beginning; an earlier text is
 * forgotten by zeroing it again. */
struct stomp_utf8 {
    uint8_t n; /* bytes of a sequence that has begun */
    uint8_t bytes[4];
};

/* False as soon as the text cannot be valid any more. `is_end`: nothing follows. */
bool stomp_utf8_feed(struct stomp_utf8 *u, const void *bytes, size_t len, bool is_end)
    __attribute__((warn_unused_result));
