/* What the files of amqp/ share. Nobody outside this folder includes it; the face is amqp/broker.h.
 *
 *     link.c      a TCP socket: resolve, connect, read, write
 *     conn.c      the life of the AMQP connection on it: handshake, frames, heart-beats, back-off
 *     channel.c   requests and answers per channel, channel errors, content put together
 *     argument.c  tables of arguments
 *     topology.c  what is kept: declared, bound, removed, one step at a time towards what is wanted
 *     restore.c   what happens to it when it vanishes: reconnect, administrators, the sweep
 *     probe.c     passive questions, remembered
 *     declare.c   queues that are declared once
 *     consumer.c  kept consumers, deliveries, acks
 *     publisher.c publishes kept until confirmed; what is done when one of them closes the channel
 *     absent.c    publishes to a queue that is gone, sent again when it was declared again
 *     private*.c  private channels: their life, what is asked on them, what the broker says
 *     watch.c     the broker's own events, and overflow reports
 *     broker.c    life, the deferred callbacks, the turn of the loop
 *
 * Callbacks to the owner other than delivery and settled are deferred (broker_defer_*): they run
 * after the frame that caused them was handled, so that no function here finds its objects freed
 * under it. Whatever was deferred by a frame runs before the next frame is looked at.
 */
#pragma once

#include "amqp/broker.h"
#include "amqp/codec.h"
#include "amqp/confirm.h"
#include "common/buf.h"
#include "common/list.h"
#include "common/log.h"
#include "common/map.h"

#include <amqp.h>
#include <amqp_framing.h>
#include <uv.h>

/* ---- Answers and requests (channel.c) ---- */

enum { CH_CONTROL, CH_TOPOLOGY, CH_SCRATCH, CH_CONSUME, CH_FIXED, CH_DYNAMIC, CH_N };

enum answer_kind {
    ANSWER_OK,      /* the expected method came */
    ANSWER_REFUSED, /* this request closed its channel */
    ANSWER_LOST     /* the channel went with it; the request may be sent again. Not called when the
                       connection goes */
};

struct answer {
    enum answer_kind kind;
    uint16_t code;      /* refused */
    const char *text;   /* refused; terminated */
    const void *method; /* ok: rabbitmq-c's decoded struct */
};

struct request;
typedef void (*answer_fn)(struct broker *b, struct request *r, const struct answer *a);

/* Embedded in what it is about. In a channel's list while the answer is outstanding. */
struct request {
    struct list node;
    amqp_method_number_t method;
    amqp_method_number_t expects;
    answer_fn answer;
};

/* A delivery or a return that is being put together. */
struct content {
    enum { CONTENT_NONE, CONTENT_HEADER, CONTENT_BODY } expects;
    bool is_return;
    bool is_dropped; /* too large or malformed: its frames are passed over */
    bool is_redelivered;
    uint16_t code;
    uint64_t tag;
    uint64_t body_size;
    uint64_t body_got;
    char consumer[256];
    char exchange[256];
    char routing_key[256];
    size_t consumer_len;
    size_t exchange_len;
    size_t routing_key_len;
    struct buf header; /* the payload of the header frame */
    struct buf
        body; /* empty while the body is a single frame: then it is borrowed from the input */
};

struct channel {
    uint16_t number;
    bool is_wanted; /* opened with each connection */
    bool is_open;   /* channel.open was sent; what follows is pipelined behind it */
    uint32_t epoch; /* counts openings */
    struct list requests;
    size_t n_requests;
    unsigned odd_closes; /* in a row, for which no request of ours was to blame */
    struct request open;
    struct request select;
    struct content content;
};

/* Sends a method; with `r` an answer is expected. False when the connection failed meanwhile. */
bool channel_send(struct broker *b, unsigned number, amqp_method_number_t id, void *method);
void channel_request(struct broker *b, unsigned number, struct request *r, amqp_method_number_t id,
                     void *method, amqp_method_number_t expects, answer_fn answer);
/* The same for a method that the caller has written to the output. */
void channel_await(struct channel *ch, struct request *r, amqp_method_number_t id,
                   amqp_method_number_t expects, answer_fn answer);
/* It was answered otherwise, or nobody wants its answer. */
void channel_forget(struct channel *ch, struct request *r);
void channel_init(struct channel *ch, uint16_t number);
void channel_fini(struct channel *ch);
void channel_open(struct broker *b, struct channel *ch);
/* The connection is gone: forgets the requests without calling anybody. */
void channel_reset(struct channel *ch);
void channel_on_frame(struct broker *b, struct channel *ch, const struct codec_frame *frame);
/* Whether the broker's words say that this exchange or queue (`what`) is not there. They are cut at
 * 255 bytes. */
bool channel_says_missing(const char *text, const char *what, struct slice name);
/* The request, if any, that connection.close blames. It is answered as refused. */
void channel_blame(struct broker *b, uint16_t code, const char *text, amqp_method_number_t method);

/* ---- Socket (link.c) ---- */

struct link;

/* Begins to resolve and connect. NULL when out of memory or when `host_port` is none. Calls
 * conn_connected() or conn_lost(). */
struct link *link_open(struct broker *b, const char *host_port);
/* Lets go of it; nothing is called back any more. The handle counts in b->n_open until it is
 * closed. */
void link_close(struct link *l);
/* A turn of the loop has ended: a link that had read enough for one reads on. */
void link_turn(struct link *l);
/* Sends what `out` holds as far as the socket takes it, the rest when it is writable. */
void link_flush(struct link *l, struct buf *out);

/* ---- Connection (conn.c) ---- */

enum conn_phase {
    CONN_NONE,
    CONN_DIALING,
    CONN_WANTS_START,
    CONN_WANTS_TUNE,
    CONN_WANTS_OPEN_OK,
    CONN_OPEN,
    CONN_CLOSING /* connection.close was sent */
};

struct conn {
    enum conn_phase phase;
    struct link *link;
    bool has_failed;  /* looked at after each frame and at the end of each turn */
    bool was_refused; /* by the broker's own word: already logged */
    char why[320];
    size_t frame_max;
    unsigned channel_max; /* the highest number of a channel */
    unsigned heartbeat_ms;
    uint64_t last_in_ms;
    uint64_t last_out_ms;
    uint64_t deadline_ms; /* of the handshake */
    uint8_t *in;
    size_t in_len;
    struct buf out;
    amqp_pool_t pool;
    unsigned next_host;
    unsigned failures; /* in a row */
};

#define CONN_IN_BYTES ((size_t)256 * 1024)
#define CONN_OUT_HIGH ((size_t)1024 * 1024)     /* publishes wait in their list over this */
#define CONN_OUT_MAX ((size_t)96 * 1024 * 1024) /* the broker takes nothing any more: give up */
#define CONN_HANDSHAKE_MS 10000

void conn_try(struct broker *b);
void conn_connected(struct broker *b);
void conn_received(struct broker *b, size_t n);
void conn_lost(struct broker *b, const char *why);
/* Marks the connection as failed; it is taken down when the stack is unwound. The first reason
 * counts. */
void conn_fail(struct broker *b, const char *format, ...) __attribute__((format(printf, 2, 3)));
void conn_check(struct broker *b);
void conn_tick(struct broker *b, uint64_t now_ms);
void conn_turn(struct broker *b);
void conn_flush(struct broker *b);
/* Takes the connection down now. */
void conn_drop(struct broker *b);
void conn_say_goodbye(struct broker *b);

/* ---- Deferred callbacks (broker.c) ---- */

struct queue;

enum deferred_kind {
    DEFERRED_DONE,
    DEFERRED_GAP,
    DEFERRED_RESTORED,
    DEFERRED_BROKEN,
    DEFERRED_STATE,
    DEFERRED_INSIDE
};

/* One callback to be made. As a waiter it lies in the list of what it waits for. */
struct deferred {
    struct list node;
    enum deferred_kind kind;
    broker_done_fn done;
    void (*inside)(struct broker *b, uint64_t cookie, const struct broker_reply *reply);
    uint64_t cookie;
    uint64_t from_unix_ms;
    struct broker_reply reply;
    enum broker_state state;
    const char *thing;
    char *text;  /* reply.text or a name; owned */
    char *about; /* broken: queue NUL key; owned */
    struct slice key;
};

struct deferred *deferred_new(broker_done_fn done, uint64_t cookie);
void deferred_free(struct deferred *d);
/* Takes `d`; its callback runs with this reply. */
void broker_defer(struct broker *b, struct deferred *d, const struct broker_reply *reply);
/* All of a list of waiters. */
void broker_defer_all(struct broker *b, struct list *waiters, const struct broker_reply *reply);
void broker_defer_gap(struct broker *b, const char *queue, uint64_t from_unix_ms);
void broker_defer_restored(struct broker *b, const char *kind, const char *name);
/* Does nothing for an owner who does not listen to it. key.ptr NULL: the whole queue. */
void broker_defer_broken(struct broker *b, const struct queue *q, struct slice key,
                         const struct broker_reply *reply);
void broker_run_deferred(struct broker *b);
/* Something waits for the end of the turn: do not sleep before. */
void broker_wake(struct broker *b);
void broker_set_state(struct broker *b, enum broker_state state);
void broker_handle_closed(struct broker *b);
uint64_t broker_unix_ms(void);
uint32_t broker_random(void);
amqp_bytes_t broker_bytes(const char *text);
extern const struct broker_reply BROKER_OK_REPLY;

/* ---- Kept things (topology.c) ---- */

enum kept_kind { KEPT_EXCHANGE, KEPT_QUEUE, KEPT_BINDING };

/* Invariants: is_in_flight exactly while request is in the topology channel's list (or, for
 * removing an exchange, in that of scratch). In b->kept from birth to death. `work` is in at most
 * one of b->work[], b->broken. */
struct kept {
    enum kept_kind kind;
    struct list ring;
    struct list work;
    struct request request;
    struct list waiters;
    uint64_t stood_unix_ms; /* when it was last known to stand */
    uint64_t retry_at_ms;   /* broken */
    unsigned tries;
    bool is_wanted;
    bool is_present;
    bool is_in_flight;
    bool is_removing;  /* what is in flight takes it away */
    bool is_stale;     /* what is in flight tells nothing any more */
    bool is_asserting; /* present, and sent once more by the sweep */
    bool is_broken;    /* had stood, and now the broker refuses it: tried again later */
    bool has_stood;
    bool has_vanished; /* somebody else took it away */
    bool is_restoring; /* BROKER_UP waits for it */
    bool is_first;     /* binding: its queue is not whole without it */
};

struct exchange {
    struct kept kept;
    bool is_durable;
    char *type;
    char name[];
};

struct queue {
    struct kept kept;
    struct list groups;
    bool is_durable;
    bool is_exclusive;
    bool is_internal; /* ours, the owner hears nothing of it */
    bool is_whole;    /* stands, and all its first bindings */
    bool reports_overflow;
    int64_t max_bytes;
    int64_t max_length;
    size_t bind_max;
    size_t n_first;        /* bindings that are is_first */
    uint64_t lost_unix_ms; /* a gap to be told, 0: none */
    uint64_t overflow_told_ms;
    char *overflow;
    char *dead_letter_queue;
    char *prefix_key;
    char at_broker[256]; /* its name there: exclusive ones get a new suffix at each declare */
    char name[];
};

/* How the keys of a group are heard. */
enum group_mode {
    GROUP_EXACT,   /* each by its own binding */
    GROUP_JOINING, /* by the prefix, until all exact bindings stand */
    GROUP_PREFIX   /* by the prefix: there are too many, and exact ones are taken away */
};

/* The bindings between one queue and one exchange. */
struct group {
    struct list node;       /* in b->groups */
    struct list queue_node; /* in queue->groups */
    struct queue *queue;    /* NULL: not kept by us */
    struct map bindings;    /* by routing key */
    struct list keys;       /* the same bindings, as a list */
    struct binding *prefix;
    enum group_mode mode;
    bool has_no_prefix; /* it was refused */
    size_t n_keys;      /* wanted, the prefix itself not counted */
    size_t n_standing;  /* of these, how many stand */
    size_t id_len;
    char *exchange; /* points into id */
    char id[];      /* queue NUL exchange NUL */
};

struct binding {
    struct kept kept;
    struct list node; /* in group->keys */
    struct group *group;
    size_t key_len;
    char key[];
};

enum { WORK_EXCHANGE, WORK_QUEUE, WORK_BINDING, WORK_BACKGROUND, WORK_N };

#define TOPOLOGY_WINDOW 256           /* requests on the way */
#define TOPOLOGY_BACKGROUND_WINDOW 64 /* the same while only background work is left */
#define TOPOLOGY_RETRY_MS 5000        /* of what is broken */
#define TOPOLOGY_JOIN_MIN 64          /* fewer keys are not worth binding the prefix first */
#define TOPOLOGY_TRIES 5
#define QUEUE_SUFFIX_LEN 7 /* ".xxxxxx" */

static inline struct exchange *exchange_of(struct kept *k)
{
    return LIST_OWNER(k, struct exchange, kept);
}

static inline struct queue *queue_of(struct kept *k)
{
    return LIST_OWNER(k, struct queue, kept);
}

static inline struct binding *binding_of(struct kept *k)
{
    return LIST_OWNER(k, struct binding, kept);
}

void kept_init(struct broker *b, struct kept *k, enum kept_kind kind);
/* Neither wanted nor there, or the end of all. */
void kept_free(struct broker *b, struct kept *k);
/* Whether it should stand at the broker now. */
bool kept_is_due(const struct kept *k);
/* A binding of a queue that is not there comes behind its declare. */
bool kept_is_held(const struct kept *k);
/* Puts it in line when something is to be done, or frees what is neither wanted nor there: `k` may
 * be gone after it. */
void kept_reconcile(struct broker *b, struct kept *k);
/* The same for what was on its way when its channel closed: first in line again. */
void kept_requeue(struct broker *b, struct kept *k);
/* The only writer of is_wanted and is_present. */
void kept_set(struct kept *k, bool is_wanted, bool is_present);
/* BROKER_UP, and the wholeness of its queue, wait for it no longer. */
void kept_settle(struct broker *b, struct kept *k);
/* An answer that is still to come tells nothing any more. */
void kept_disown_answer(struct kept *k);
struct group *group_new(struct broker *b, const char *queue, const char *exchange);
void group_free(struct broker *b, struct group *g);
/* The group's queue begins (or, with NULL, ceases) to be one that we keep. */
void group_attach(struct group *g, struct queue *q);
bool binding_is_prefix(const struct binding *x);
/* Whether its keys are heard by the prefix, which stands. */
bool group_is_covered(const struct group *g);
/* The binding of that key, made when there is none; NULL when out of memory. */
struct binding *binding_get(struct broker *b, struct group *g, struct slice key);
/* Forgets all bindings of the queue; whoever waits for one gets this reply. */
void topology_refuse_bindings(struct broker *b, struct queue *q, const struct broker_reply *reply);
void queue_rename(struct queue *q);
void topology_pump(struct broker *b);
void topology_stop(struct broker *b, const struct broker_reply *reply);
void topology_free(struct broker *b);
int topology_keep_queue(struct broker *b, const struct broker_queue *spec, bool is_internal,
                        int64_t max_length, struct deferred *waiter);
int topology_bind(struct broker *b, const char *queue, const char *exchange, struct slice key,
                  struct deferred *waiter);
struct queue *topology_queue(const struct broker *b, const char *name);
struct exchange *topology_exchange(const struct broker *b, struct slice name);
struct group *topology_group(const struct broker *b, const char *queue, const char *exchange);
/* Asks passively, on the scratch channel, whether an exchange or queue that should stand still
 * does. */
void topology_assert(struct broker *b, struct kept *k);

/* ---- Restoring (restore.c) ---- */

void restore_begin(struct broker *b);
void restore_reset(struct broker *b);
void restore_check(struct broker *b);
void restore_tick(struct broker *b, uint64_t now_ms);
/* All bindings of the group are gone at the broker (or their queue is about to be declared anew):
 * puts them back. */
void restore_group(struct broker *b, struct group *g);
/* Its number of keys changed, or one of them stands: may change how they are heard. */
void group_review(struct broker *b, struct group *g);
/* The prefix stands: whoever waited for a key of this group has been heard. */
void group_prefix_stands(struct broker *b, struct group *g);
/* The broker refuses the prefix. */
void group_fall_back(struct broker *b, struct group *g);
void queue_check_whole(struct broker *b, struct queue *q);
/* The broker refuses what had stood: it is tried again later. */
void kept_break(struct broker *b, struct kept *k, uint64_t retry_ms);
/* Tells the owner which deliveries will not come. An exchange needs no word: its bindings fail. */
void kept_tell_broken(struct broker *b, const struct kept *k, const struct broker_reply *reply);
/* Somebody took it away. `from`: since when messages may be missing. */
void exchange_vanished(struct broker *b, struct slice name, uint64_t from_unix_ms);
void queue_vanished(struct broker *b, struct queue *q, uint64_t from_unix_ms);
void binding_vanished(struct broker *b, struct binding *x, uint64_t from_unix_ms);

/* ---- Probes (probe.c) ---- */

void probe_init(struct broker *b);
void probe_free(struct broker *b);
void probe_pump(struct broker *b);
void probe_reset(struct broker *b);
void probe_stop(struct broker *b, const struct broker_reply *reply);
void probe_tick(struct broker *b, uint64_t now_ms);
void probe_forget_exchange(struct broker *b, struct slice name);
/* Whether it is remembered that the exchange does or does not exist. */
bool probe_peek_exchange(const struct broker *b, struct slice name, bool *exists);
/* As broker_probe_exchange(), for ourselves; the answer is always deferred. */
int probe_exchange_inside(struct broker *b, const char *exchange,
                          void (*inside)(struct broker *, uint64_t, const struct broker_reply *),
                          uint64_t cookie);

/* ---- Tables of arguments (argument.c) ---- */

#define ARGUMENTS_MAX 32
#define ARGUMENTS_ITEMS_MAX 64 /* of all lists together */
#define ARGUMENTS_BYTES_MAX                                                                        \
    3072 /* encoded; with the names of its method it fits into any frame                           \
          */

/* What a table of arguments is made of, while its method is encoded. */
struct argument_room {
    amqp_table_entry_t entries[ARGUMENTS_MAX];
    amqp_field_value_t items[ARGUMENTS_ITEMS_MAX];
    size_t n_items;
};

/* Fills *room (which borrows from `args`) and *table (which borrows `room`). -1 when there are too
 * many, when they are too long together, or when a name has no or over 255 bytes: rabbitmq-c would
 * write the length of such a name wrongly. */
int argument_table(const struct broker_argument *args, size_t n, struct argument_room *room,
                   amqp_table_t *table) __attribute__((warn_unused_result));

/* ---- Declares (declare.c) ---- */

void declare_init(struct broker *b);
void declare_free(struct broker *b);
void declare_pump(struct broker *b);
void declare_reset(struct broker *b);
void declare_stop(struct broker *b, const struct broker_reply *reply);
/* Asks for the queue passively, behind all declares so far; the answer is deferred. */
int declare_inside(struct broker *b, struct slice queue,
                   void (*inside)(struct broker *, uint64_t, const struct broker_reply *),
                   uint64_t cookie) __attribute__((warn_unused_result));
/* Fills *method, which borrows from `queue` and `room`. -1 when it cannot be encoded. */
int declare_method(const struct broker_declare *queue, struct argument_room *room,
                   amqp_queue_declare_t *method) __attribute__((warn_unused_result));

/* ---- Consumers (consumer.c) ---- */

enum consumer_state {
    CONSUMER_WAITS,  /* for its queue, or for the time of the next try */
    CONSUMER_STARTS, /* basic.consume is on its way */
    CONSUMER_RUNS
};

struct consumer {
    struct list node;
    struct request consume; /* or the question whether its queue exists */
    enum consumer_state state;
    bool is_restoring;
    bool is_cancelled; /* forgotten by its owner; lives until its requests are answered */
    bool is_leaving;   /* basic.cancel is on its way */
    bool no_ack;
    uint16_t prefetch;
    unsigned tries;
    uint64_t retry_at_ms;
    struct broker_consume spec;
    void (*inside)(struct broker *b, const struct broker_delivery *delivery);
    char *queue;
    char tag[];
};

int consumer_add(struct broker *b, const struct broker_consume *consume,
                 void (*inside)(struct broker *, const struct broker_delivery *));
void consumer_start_all(struct broker *b, const char *queue);
void consumer_queue_vanished(struct broker *b, const char *queue);
void consumer_drop_queue(struct broker *b, const char *queue);
void consumer_reset(struct broker *b);
void consumer_restore(struct broker *b);
void consumer_tick(struct broker *b, uint64_t now_ms);
void consumer_free(struct broker *b);
void consumer_on_consuming(struct broker *b, struct slice tag);
void consumer_on_channel_error(struct broker *b, uint16_t code, const char *text);
void consumer_on_cancel(struct broker *b, struct slice tag);
void consumer_on_cancelled(struct broker *b, struct slice tag);
void consumer_on_delivery(struct broker *b, const struct content *c, struct slice body);

#define CONSUMER_BODY_MAX ((size_t)64 * 1024 * 1024)

/* ---- Publisher (publisher.c) ---- */

struct pub_channel {
    unsigned number;
    struct list unsent; /* struct publication, oldest first; those that are sent again come before
                           newer ones */
    struct confirm sent;
    size_t suspects; /* so many at the front closed the channel together: they go one at a time */
    uint64_t return_hint;               /* returns come in the order of publishes */
    char waits_for[CODEC_NAME_MAX + 1]; /* an exchange that is being declared again; empty: none */
    struct map absents;                 /* queues that are gone, by name */
    struct list ready;                  /* of these, those that the owner is to be asked about */
};

struct publisher {
    struct pub_channel channels[2];
    size_t bytes;
    size_t n;
    bool wants_room;
    bool closed_connection; /* the suspects did: they go one at a time over both channels */
    bool (*missing)(void *owner, struct slice exchange);
    bool (*missing_queue)(void *owner, struct slice queue);
    struct list asked; /* absent queues that are being declared again */
    uint64_t last_absent;
};

void publisher_init(struct broker *b);
void publisher_pump(struct broker *b);
void publisher_check_room(struct broker *b);
void publisher_reset(struct broker *b);
void publisher_stop(struct broker *b);
void publisher_free(struct broker *b);
void publisher_blame(struct broker *b, uint16_t code, const char *text);
void publisher_on_ack(struct broker *b, unsigned number, uint64_t tag, bool is_multiple,
                      bool is_nack);
void publisher_on_return(struct broker *b, unsigned number, const struct content *c);
void publisher_on_close(struct broker *b, unsigned number, uint16_t code, const char *text,
                        bool is_publish);
/* Something stands or was refused: publishes that waited for an exchange may go on. */
void publisher_check_waiting(struct broker *b);

/* ---- Private channels (private.c, private_ask.c, private_answer.c) ---- */

struct private_channel;

/* Of one channel number. */
struct private_slot {
    struct private_channel *ch; /* NULL: none */
    bool is_closing;            /* channel.close was sent; free when it is answered */
    uint16_t next_free;         /* of a number that is free; 0: the last of these */
};

struct privates {
    struct private_slot *slots; /* of the numbers from CH_N on */
    size_t n_slots;             /* that were used on this connection */
    size_t cap;
    size_t n_used; /* open and closing */
    uint16_t first_free;
    struct list open;
    struct list lost; /* with their connection; their owners are about to hear of it */
    struct list dead; /* to be freed */
};

void private_init(struct broker *b);
void private_free(struct broker *b);
/* The connection is gone: all are lost. Calls nobody; private_tell_lost() does. */
void private_reset(struct broker *b);
void private_tell_lost(struct broker *b, const char *why);
void private_stop(struct broker *b, const char *why);
/* Frees the dead. Never while a callback of one runs. */
void private_reap(struct broker *b);
void private_on_frame(struct broker *b, const struct codec_frame *frame);
/* False: not handled here. */
bool private_on_method(struct broker *b, struct channel *ch, amqp_method_number_t id,
                       const void *method);
void private_on_delivery(struct broker *b, struct channel *ch, struct slice body);
/* connection.close, over this method: closes the channel that did it, where there is only one that
 * can have. */
bool private_blame(struct broker *b, uint16_t code, const char *text, amqp_method_number_t method);

/* ---- Watch (watch.c) ---- */

struct watch {
    bool is_on;        /* the events queue is kept */
    bool has_overflow; /* the overflow queue is kept */
    struct map
        own_unbinds; /* text of a binding → how often its deletion will be told for our own doing */
    char events_queue[128];
    char overflow_queue[128];
    void (*deleted)(void *owner, struct slice exchange, struct slice queue, struct slice key);
};

void watch_begin(struct broker *b);
void watch_reset(struct broker *b);
void watch_free(struct broker *b);
void watch_unbinding(struct broker *b, const struct binding *x);
int watch_overflow(struct broker *b);

/* ---- The whole ---- */

struct broker {
    struct uv_loop_s *loop;
    const struct broker_events *events;
    void *owner;
    struct broker_options options;
    char **hosts;
    char *name;
    enum broker_state state;
    bool is_started;
    bool is_stopping;
    bool is_blocked;
    bool is_closing; /* handles are being closed */
    bool has_handles;
    void (*stopped)(void *owner);
    uint64_t stop_at_ms;
    uint64_t last_in_unix_ms; /* of the read before the one that is being handled */
    uint64_t current_in_unix_ms;
    unsigned n_open; /* uv handles that are not closed yet */
    uv_timer_t tick;
    uv_timer_t retry;
    uv_prepare_t prepare;
    uv_idle_t idle;
    struct list deferred;
    struct broker_stats stats;
    struct conn conn;
    struct channel channels[CH_N];
    struct list kept;
    struct list work[WORK_N];
    struct list broken;
    struct list groups;
    struct map exchanges;
    struct map queues;
    struct map group_ids;
    size_t n_restoring;
    size_t n_kept;
    size_t sweep_due; /* things times milliseconds */
    struct map probes;
    struct list probe_asks;   /* not sent yet */
    struct list probe_list;   /* asked or remembered */
    struct list declare_asks; /* not sent yet */
    struct list declare_sent;
    struct list consumers;
    struct map consumer_tags;
    struct consumer *last_consumer; /* that had a delivery, and whose tag is in consumer_tags */
    size_t n_leaving;
    struct publisher publisher;
    struct privates privates;
    struct watch watch;
    struct codec_room room;
};

static inline bool broker_is_connected(const struct broker *b)
{
    return b->conn.phase == CONN_OPEN && !b->conn.has_failed;
}
