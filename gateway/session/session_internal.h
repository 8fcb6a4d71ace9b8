/* What the files of gateway/session/ share: the session's fields and each file's functions. Nobody
 * else includes this. */
#pragma once

#include "gateway/session/session.h"

#include <assert.h>

#define SESSION_MAGIC 0x53455353u
#define SESSION_NEVER UINT64_MAX

/* A subscription's id and a receipt are echoed and kept, so they are bounded beyond the parser's
 * limit. */
#define SESSION_ID_MAX 255

enum session_state {
    SESSION_STATE_FRESH,     /* nothing but CONNECT may come */
    SESSION_STATE_LOGIN,     /* host.login has not answered yet; frames are parked */
    SESSION_STATE_RUNNING,   /* CONNECTED was sent */
    SESSION_STATE_LEAVING,   /* DISCONNECT came; it waits until every SEND is settled */
    SESSION_STATE_LINGERING, /* DISCONNECT's RECEIPT was sent; the client may close first */
    SESSION_STATE_DRAINING,  /* the server goes down; waits a little for SENDs to be settled */
    SESSION_STATE_CLOSED     /* host.close was called; nothing happens any more */
};

/* A COMMIT whose SENDs are not all settled. Held by each of them; the last one answers it. */
struct commit {
    size_t n_left;
    struct slice receipt; /* ptr NULL: none was asked for */
};

/* A copy of a frame that waits, in one allocation. */
struct parked_frame {
    struct parked_frame *next;
    struct commit *commit; /* of a SEND that a COMMIT let go, else NULL */
    uint64_t arrived_ms;
    size_t size; /* of the allocation */
    enum stomp_command command;
    unsigned n_headers;
    struct slice command_text;
    struct slice body;
    struct stomp_header headers[];
};

struct parked_queue {
    struct parked_frame *head;
    struct parked_frame *tail;
};

/* A SEND that was published and is not settled. */
struct send {
    struct send *next;
    struct commit *commit;
    uint64_t token;
    uint64_t arrived_ms;
    size_t bytes;
    bool has_receipt;
    uint16_t receipt_len;
    char receipt[];
};

struct tx; /* an open transaction: tx.c */

/* Invariants: `waiting` is empty unless the state is LOGIN or a SUBSCRIBE is outstanding (between
 * steps); everything in `parked_sends` came before everything in `waiting`; parked_bytes is the sum
 * of the sizes in both. */
struct session {
    uint32_t magic;
    enum session_state state;
    const struct session_settings *settings;
    const struct session_host *host;
    void *host_data;
    uint64_t now_ms; /* of the last event */

    struct stomp_parser parser;
    enum stomp_version version;
    char *user; /* NULL before CONNECT */

    struct session_subscription **subs; /* in order of arrival */
    uint32_t n_subs;
    uint32_t cap_subs;
    uint32_t last_handle;
    struct session_subscription *outstanding; /* the host has not answered yet; one of subs */
    struct slice receipt; /* owned: of the outstanding SUBSCRIBE, or of DISCONNECT */

    struct parked_queue waiting;      /* frames behind a login or an outstanding SUBSCRIBE */
    struct parked_queue parked_sends; /* SENDs that found no room */
    size_t parked_bytes;
    bool has_no_room;    /* host.publish said WAIT, and SESSION_ROOM has not come */
    bool is_reading_off; /* host.read(false) was called */
    bool was_connected;

    struct send *sends; /* in order of their tokens */
    struct send *last_send;
    size_t n_sends;
    size_t sends_bytes;
    uint64_t last_token;
    uint64_t receipt_due_ms; /* no SEND's receipt is due earlier than this */

    struct tx *txs;
    size_t n_txs;
    size_t txs_bytes;

    uint64_t state_due_ms;  /* the state ends then */
    uint64_t half_frame_ms; /* when the incomplete frame began, SESSION_NEVER when there is none */
    uint64_t wrote_ms;      /* when something was last written to the client */
    uint64_t heard_ms;      /* when the client last gave a sign of life */
    uint32_t send_beat_ms;  /* agreed intervals, 0: none */
    uint32_t receive_beat_ms;

    char name[]; /* for log lines, and the session header of CONNECTED */
};

/* ---- session.c ---- */

/* The only writer of s->state: logs, and asserts that the step is legal. */
void session_set_state(struct session *s, enum session_state state);

/* Unsubscribes everything and closes. The end of every session that its client does not end. */
void session_end(struct session *s, enum close_reason reason, const char *text);

/* Gives back all that the session holds beyond itself. */
void session_release(struct session *s);

/* now + ms, or SESSION_NEVER when ms is 0. */
uint64_t session_due(const struct session *s, int ms);

/* A copy with ptr NULL when `text` has none, or when out of memory (then *is_ok is false). Free ptr
 * with free(). */
struct slice session_copy(struct slice text, bool *is_ok);

/* ---- reply.c: the frames that a session writes ---- */

typedef void (*reply_fn)(struct stomp_writer *w, const struct session *s, const void *what);

/* Lets `write` write one frame (twice when it is large) and sends it. -1 when out of memory;
 * nothing was sent then. */
int reply_send(struct session *s, reply_fn write, const void *what)
    __attribute__((warn_unused_result));
void reply_connected(struct session *s);
void reply_receipt(struct session *s, struct slice receipt);

/* RECEIPT if the frame asks for one. */
void reply_receipt_of(struct session *s, const struct stomp_frame *frame);

/* ---- error.c: ERROR, always followed by close ---- */

#define ERROR_BROKER_GONE "Broker not available." /* Spring's relay has these words */

/* What the ERROR is about; each ptr NULL when absent. */
struct error_about {
    struct slice receipt;
    struct slice subscription;
    struct slice destination;
};

void error_end(struct session *s, enum close_reason reason, const struct error_about *about,
               const char *message, const char *format, ...) __attribute__((format(printf, 5, 6)));

/* What an ERROR about this frame is about. */
struct error_about error_about_frame(const struct stomp_frame *frame);

/* With the host's words; `reason` and `message` where it has none. */
void error_problem(struct session *s, enum close_reason reason, const struct error_about *about,
                   const char *message, const struct session_problem *problem);

/* "SEND" must include a 'destination' header. */
void error_missing_header(struct session *s, const struct stomp_frame *frame, const char *header);

void error_out_of_memory(struct session *s);

/* ---- connect.c: CONNECT and CONNECTED ---- */

void connect_begin(struct session *s, const struct stomp_frame *frame);
void connect_answer(struct session *s, bool is_ok, const struct session_problem *problem);

/* ---- beats.c: heart-beats ---- */

/* What CONNECTED says: the server's two numbers. */
void beats_offer(const struct session *s, uint32_t *sx_ms, uint32_t *sy_ms);
void beats_agree(struct session *s, uint32_t cx_ms, uint32_t cy_ms);
void beats_heard(struct session *s);

/* A PONG: see beats.c for when it counts. */
void beats_alive(struct session *s);
void beats_tick(struct session *s);
uint64_t beats_deadline(const struct session *s);

/* ---- subs.c: SUBSCRIBE, UNSUBSCRIBE ---- */

void subs_subscribe(struct session *s, const struct stomp_frame *frame);
void subs_unsubscribe(struct session *s, const struct stomp_frame *frame);
void subs_answer(struct session *s, uint32_t handle, bool is_ok,
                 const struct session_problem *problem);
void subs_lost(struct session *s, uint32_t handle, const struct session_problem *problem);
void subs_drop_all(struct session *s);

/* ---- parked.c: frames that wait ---- */

/* Copies the frame to the end. -1 when out of memory. */
int parked_push(struct session *s, struct parked_queue *queue, const struct stomp_frame *frame,
                uint64_t arrived_ms) __attribute__((warn_unused_result));

/* A copy that is in no queue and not counted. NULL when out of memory. */
struct parked_frame *parked_copy(const struct stomp_frame *frame, uint64_t arrived_ms);

/* Appends; takes the frame and counts it. */
void parked_append(struct session *s, struct parked_queue *queue, struct parked_frame *parked);

/* Takes the first out; the caller frees it with parked_free(). NULL when there is none. */
struct parked_frame *parked_pop(struct session *s, struct parked_queue *queue);
void parked_free(struct parked_frame *parked);
void parked_clear(struct session *s, struct parked_queue *queue);

/* The frame again; borrows from `parked`. */
void parked_frame(const struct parked_frame *parked, struct stomp_frame *frame);

/* Stops reading from the client at the bound, and resumes below half of it. */
void parked_check_reading(struct session *s);

/* ---- sends.c: SENDs and their receipts ---- */

/* Publishes the SEND or parks it. */
void sends_take(struct session *s, const struct stomp_frame *frame, uint64_t arrived_ms);

/* Whether the SEND could ever be published; else ERROR, and false. */
bool sends_check(struct session *s, const struct stomp_frame *frame);

/* Publishes what is parked, as far as there is room. */
void sends_retry(struct session *s);
void sends_settled(struct session *s, uint64_t token, enum broker_outcome outcome, uint16_t code,
                   const char *text);
void sends_tick(struct session *s);
void sends_clear(struct session *s);

/* Says that a receipt asked for at `arrived_ms` is outstanding. */
void sends_note_receipt(struct session *s, uint64_t arrived_ms);

/* True while a SEND is parked or not settled. */
bool sends_is_busy(const struct session *s);

/* One SEND of the COMMIT came to its end. */
void commit_done(struct session *s, struct commit *commit);

/* ---- tx.c: BEGIN, COMMIT, ABORT ---- */

void tx_begin(struct session *s, const struct stomp_frame *frame);
void tx_send(struct session *s, const struct stomp_frame *frame, struct slice id);
void tx_commit(struct session *s, const struct stomp_frame *frame);
void tx_abort(struct session *s, const struct stomp_frame *frame);
void tx_clear(struct session *s);
