#include "gateway/session/session_internal.h"

#include <stdio.h>
#include <stdlib.h>

int reply_send(struct session *s, reply_fn write, const void *what)
{
    char small[1024]; /* most frames of ours */
    char *mem = small;
    struct stomp_writer w;
    stomp_writer_init(&w, small, sizeof(small), s->version);
    write(&w, s, what);
    if (!stomp_writer_fits(&w)) {
        size_t len = w.len;
        mem = malloc(len);
        if (!mem) {
            return -1;
        }
        stomp_writer_init(&w, mem, len, s->version);
        write(&w, s, what);
        assert(stomp_writer_fits(&w));
    }
    s->host->send(s->host_data, mem, w.len);
    s->wrote_ms = s->now_ms;
    if (mem != small) {
        free(mem);
    }
    return 0;
}

/* Without heart-beat some clients fail, with a blank in it others do (contracts: stompjs 1.3,
 * spring 1.3). */
static void write_connected(struct stomp_writer *w, const struct session *s, const void *what)
{
    (void)what;
    char beats[32];
    uint32_t sx_ms;
    uint32_t sy_ms;
    beats_offer(s, &sx_ms, &sy_ms);
    snprintf(beats, sizeof(beats), "%u,%u", (unsigned)sx_ms, (unsigned)sy_ms);
    stomp_writer_command(w, STOMP_CONNECTED);
    stomp_writer_header(w, SLICE_LITERAL("version"), slice_of(stomp_version_str(s->version)));
    stomp_writer_header(w, SLICE_LITERAL("heart-beat"), slice_of(beats));
    stomp_writer_header(w, SLICE_LITERAL("session"), slice_of(s->name));
    stomp_writer_header(w, SLICE_LITERAL("server"), slice_of(s->settings->server));
    stomp_writer_header(w, SLICE_LITERAL("user-name"), slice_of(s->user));
    stomp_writer_body(w, (struct slice){NULL, 0});
}

void reply_connected(struct session *s)
{
    if (reply_send(s, write_connected, NULL) != 0) {
        error_out_of_memory(s);
    }
}

static void write_receipt(struct stomp_writer *w, const struct session *s, const void *what)
{
    (void)s;
    const struct slice *receipt = what;
    stomp_writer_command(w, STOMP_RECEIPT);
    stomp_writer_header(w, SLICE_LITERAL("receipt-id"), *receipt);
    stomp_writer_body(w, (struct slice){NULL, 0});
}

void reply_receipt(struct session *s, struct slice receipt)
{
    if (reply_send(s, write_receipt, &receipt) != 0) {
        error_out_of_memory(s);
    }
}

void reply_receipt_of(struct session *s, const struct stomp_frame *frame)
{
    struct slice receipt = stomp_frame_get(frame, "receipt");
    if (receipt.ptr) {
        reply_receipt(s, receipt);
    }
}
