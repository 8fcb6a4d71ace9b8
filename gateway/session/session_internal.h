/* What the files of gateway/session/ share: the session's fields and each file's functions. Nobody
 * else includes this. */
#pragma once

#include "common/map.h"
#include "gateway/session/queue.h"
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
    bool has_failed;           /* its ERROR was sent: no RECEIPT and no acks will follow */
    bool is_dropped;           /* nor here, because not all of it was sent; but without an ERROR */
    struct parked_frame *acks; /* its ACKs and NACKs, owned: they go when all is confirmed */
    struct slice receipt;      /* ptr NULL: none was asked for */
};

/* A copy of a frame that waits, in one allocation. */
struct parked_frame {
    struct parked_frame *next;
    struct commit *commit; /* of a SEND that a COMMIT let go, else NULL */
    unsigned position;     /* in its transaction: 1 is the first message */
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
    unsigned position; /* in its transaction */
    bool has_receipt;
    uint16_t receipt_len;
    uint16_t destination_len;
    char texts[]; /* the receipt, the destination */
};

struct tx; /* an open transaction: tx.c */

/* A MESSAGE of a private subscription that is not settled: one of ack:auto until it is written, any
 * other until the client's ACK or NACK. */
struct unacked {
    struct list order;                /* of one of the two lists of unacked_set */
    struct list siblings;             /* of the same subscription, in order */
    struct session_subscription *sub; /* NULL: it was unsubscribed */
    uint64_t number;
    uint64_t tag;
    uint32_t id_hash; /* of the id that the client has for it, but its last part */
    uint8_t ack;      /* enum session_ack */
    bool is_claimed;  /* by an ACK or NACK of an open transaction */
};

/* Made with the first MESSAGE of a private subscription. Both lists go by number, and so by tag:
 * all that is in them belongs to one epoch. */
struct unacked_set {
    struct list acks; /* of ack:client and client-individual */
    struct list autos;
    struct map by_number;  /* those in `acks` */
    uint64_t last_number;  /* numbers count through all epochs */
    uint64_t stale_number; /* up to here they belong to an epoch that has gone */
    size_t n_orphans;      /* whose subscription has gone */
    uint32_t epoch;
};

/* A frame that is answered when the broker has handled what it did: one ACK, NACK, UNSUBSCRIBE,
 * COMMIT or DISCONNECT. */
struct sync {
    struct sync *next;
    uint64_t token; /* 0: the host was not asked yet */
    uint64_t arrived_ms;
    bool is_cancel; /* no more than an UNSUBSCRIBE: a channel that went did that as well */
    bool has_receipt;
    uint16_t receipt_len;
    char receipt[];
};

/* Invariants: `waiting` is empty unless the state is LOGIN or a SUBSCRIBE is outstanding (between
 * steps); everything in `parked_sends` came before everything in `waiting`; parked_bytes is the sum
 * of the sizes in both, and of the acks of COMMITs. */
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
    size_t n_ack_commits; /* COMMITs whose ACKs wait for confirms */

    struct unacked_set *unacked; /* NULL before the first MESSAGE of a private subscription */
    struct sync *syncs;          /* in order; those without a token at the end */
    struct sync *last_sync;
    uint64_t last_sync_token;
    bool has_settled; /* since the last sync */

    uint64_t login_due_ms;  /* CONNECTED must be reached by then, whatever the number of tries */
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

/* ---- error.c ----
 *
 * An ERROR that ends the session, or one that refuses a frame: that one ends it as well where
 * settings.error_close says so, or where the reason is one after which nothing can go on. Whoever
 * refuses must be ready for both. */

#define ERROR_BROKER_GONE "Broker not available." /* Spring's relay has these words */

/* What the ERROR is about; each ptr NULL when absent. */
struct error_about {
    struct slice receipt;
    struct slice subscription;
    struct slice destination;
};

void error_end(struct session *s, enum close_reason reason, const struct error_about *about,
               const char *message, const char *format, ...) __attribute__((format(printf, 5, 6)));
void error_refuse(struct session *s, enum close_reason reason, const struct error_about *about,
                  const char *message, const char *format, ...)
    __attribute__((format(printf, 5, 6)));

/* What an ERROR about this frame is about. */
struct error_about error_about_frame(const struct stomp_frame *frame);

/* Says why something was refused. */
void error_write(struct session_problem *problem, enum close_reason reason, const char *message,
                 const char *format, ...) __attribute__((format(printf, 4, 5)));

/* Fills in what the host left open. */
void error_complete(struct session_problem *problem, enum close_reason reason, const char *message);

/* Refuses with the host's words; `reason` and `message` where it has none. */
void error_problem(struct session *s, enum close_reason reason, const struct error_about *about,
                   const char *message, const struct session_problem *problem);

/* The same, but it always ends the session. */
void error_end_problem(struct session *s, enum close_reason reason, const struct error_about *about,
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

/* ---- subscribe.c: SUBSCRIBE ---- */

void subscribe_take(struct session *s, const struct stomp_frame *frame);

/* ---- subs.c: subscriptions and their end ---- */

void subs_unsubscribe(struct session *s, const struct stomp_frame *frame);
void subs_answer(struct session *s, uint32_t handle, bool is_ok,
                 const struct session_problem *problem);
void subs_lost(struct session *s, uint32_t handle, const struct session_problem *problem);
void subs_drop_all(struct session *s);

/* Those with a queue of their own that the client asked for: it wants nothing more from them. */
void subs_drop_private(struct session *s);

/* By its id; in 1.0 a subscription without one goes by its destination. NULL when there is none. */
struct session_subscription *subs_find(const struct session *s, struct slice id,
                                       struct slice spelling);
struct session_subscription *subs_find_handle(const struct session *s, uint32_t handle);

/* The id is of a reply-to's queue: not for the client to use. */
bool subs_is_reply_id(struct slice id);

/* True while one more is allowed. */
bool subs_has_room(const struct session *s);

/* How many messages a new private subscription may have unacknowledged: `wish`, or where that is 0
 * the default or what the session has left of limits.unacked. ERROR and false when it cannot be. */
bool subs_grant_prefetch(struct session *s, const struct error_about *about, uint16_t wish,
                         uint16_t *granted);

/* A new one, kept in the session. NULL when out of memory. */
struct session_subscription *subs_new(struct session *s, struct slice id, struct slice spelling);
void subs_drop(struct session *s, struct session_subscription *sub);

/* Offers it to the host; true when it stands. When it must wait it is the outstanding one, and
 * `receipt` is kept for its answer. When it was refused it is gone, and `about` had its ERROR. */
bool subs_start(struct session *s, struct session_subscription *sub, const struct destination *d,
                const struct error_about *about, struct slice receipt);

/* ---- parked.c: frames that wait ---- */

/* Copies the frame to the end. -1 when out of memory. */
int parked_push(struct session *s, struct parked_queue *queue, const struct stomp_frame *frame,
                uint64_t arrived_ms) __attribute__((warn_unused_result));

/* A copy that is in no queue and not counted. NULL when out of memory. */
struct parked_frame *parked_copy(const struct stomp_frame *frame, uint64_t arrived_ms);

/* Appends; takes the frame and counts it. */
void parked_append(struct session *s, struct parked_queue *queue, struct parked_frame *parked);

/* The same to the front. */
int parked_push_front(struct session *s, struct parked_queue *queue,
                      const struct stomp_frame *frame, uint64_t arrived_ms)
    __attribute__((warn_unused_result));

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

/* Publishes what is parked, as far as there is room. */
void sends_retry(struct session *s);
void sends_settled(struct session *s, uint64_t token, enum broker_outcome outcome, uint16_t code,
                   const char *text);
void sends_clear(struct session *s);

/* True while a SEND is parked or not settled. */
bool sends_is_busy(const struct session *s);

/* ---- receipts.c: receipts that are overdue ---- */

/* Says that a receipt asked for at `arrived_ms` is outstanding. */
void receipts_note(struct session *s, uint64_t arrived_ms);
void receipts_tick(struct session *s);

/* ---- commit.c: a COMMIT until it is answered ---- */

/* Takes the acks. NULL when out of memory; they are freed then. */
struct commit *commit_new(struct session *s, size_t n_sends, struct parked_frame *acks,
                          struct slice receipt);

/* One SEND of the COMMIT came to its end; the last one lets the acks go and answers. To be called
 * once where there is no SEND. */
void commit_done(struct session *s, struct commit *commit);

/* A SEND was refused: ERROR. The first one of a COMMIT answers it, and says which it was; a receipt
 * of the SEND's own is answered as well. commit NULL: it is of none. */
void commit_refuse(struct session *s, struct commit *commit, unsigned position,
                   const struct error_about *about, const struct session_problem *problem);

/* One SEND of the COMMIT was given up with its session: there is nothing more to answer. */
void commit_drop(struct session *s, struct commit *commit);

/* ---- tx.c: BEGIN, COMMIT, ABORT ---- */

void tx_begin(struct session *s, const struct stomp_frame *frame);

/* A SEND, ACK or NACK with a transaction header. */
void tx_take(struct session *s, const struct stomp_frame *frame, struct slice id);

/* A frame was refused before it came to its transaction, if it has one: COMMIT will be as well. */
void tx_spoil(struct session *s, const struct stomp_frame *frame);
void tx_commit(struct session *s, const struct stomp_frame *frame);
void tx_abort(struct session *s, const struct stomp_frame *frame);
void tx_clear(struct session *s);

/* ---- unacked.c: what was delivered and is not settled ---- */

/* The number of the next MESSAGE, whose delivery is of this epoch. 0 when out of memory. */
uint64_t unacked_next_number(struct session *s, uint32_t epoch);

/* -1 when out of memory. */
int unacked_add(struct session *s, struct session_subscription *sub, uint64_t number, uint64_t tag,
                uint32_t id_hash) __attribute__((warn_unused_result));

/* One that waits for the client. NULL when there is none. */
struct unacked *unacked_find(const struct session *s, uint64_t number);

/* The number was one that went with its channel: the broker delivers its message again. */
bool unacked_is_stale(const struct session *s, uint64_t number);

/* Settles it and, where its subscription's acks are cumulative, those before it; forgets them. */
void unacked_answer(struct session *s, struct unacked *u, bool is_nack, bool requeue);

/* All of ack:auto up to this number. */
void unacked_written(struct session *s, uint64_t number);

/* Deliveries of any other epoch cannot be settled any more. */
void unacked_restored(struct session *s, uint32_t epoch);

/* The subscription goes; what it delivered can still be settled. */
void unacked_orphan(struct session *s, struct session_subscription *sub);
void unacked_clear(struct session *s);

/* ---- deliveries.c: from a delivery to a MESSAGE ---- */

/* Of MESSAGE's message-id and ack: "T_<subscription>@@<session>@@<number>". */
#define DELIVERIES_ID_MAX 2048

/* A subscription without an id is called by its destination: it may be so long. */
#define DELIVERIES_SPELLING_MAX 1700

void deliveries_take(struct session *s, uint32_t handle, const struct broker_delivery *delivery,
                     bool gap);

/* Of what stands in front of the first @@. */
uint32_t deliveries_hash(struct slice text);

/* ---- acks.c: ACK and NACK ---- */

void acks_take(struct session *s, const struct stomp_frame *frame);

/* For a transaction: whether it is right, and nobody else has claimed the message; claims it. Else
 * ERROR, and false. What is to be ignored is true, and *is_for_nothing. */
bool acks_claim(struct session *s, const struct stomp_frame *frame, bool *is_for_nothing);
void acks_unclaim(struct session *s, const struct stomp_frame *frame);

/* At COMMIT. A message that is gone meanwhile is no error. */
void acks_execute(struct session *s, const struct stomp_frame *frame);

/* ---- syncs.c: frames whose answer waits for the broker ---- */

/* Answers the frame when all that was settled or cancelled before has been handled. `receipt` ptr
 * NULL: nobody is to be answered, but it can be waited for. */
void syncs_add(struct session *s, struct slice receipt, bool is_cancel);

void syncs_answer(struct session *s, uint64_t token, bool is_ok);

/* Nothing was settled that no sync covers. */
bool syncs_has_all(const struct session *s);

/* The oldest receipt that waits here: true if it is older than *oldest_ms. */
bool syncs_oldest(const struct session *s, uint64_t *oldest_ms, struct slice *receipt);
void syncs_clear(struct session *s);

/* ---- temps.c: the /temp-queue/ of a reply-to ---- */

#define TEMPS_PREFIX "/temp-queue/"

enum temps_verdict {
    TEMPS_NONE,   /* the frame has no such reply-to */
    TEMPS_STANDS, /* temps_name() has it */
    TEMPS_WAITS,  /* the host was asked; the frame is to be tried again when it has answered */
    TEMPS_REFUSED /* ERROR was sent */
};

/* Makes the queue where the session has none of that name. */
enum temps_verdict temps_prepare(struct session *s, const struct stomp_frame *frame,
                                 uint64_t arrived_ms);

/* The name of the queue that stands for this reply-to; ptr NULL: there is none. */
struct slice temps_name(const struct session *s, struct slice reply_to);

/* The host refused the outstanding one: ERROR for the SEND that asked for it. */
void temps_refused(struct session *s, const struct session_problem *problem);
