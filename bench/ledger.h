/* The messages that are on their way: who sent what when, and how many deliveries of it are still
 * due.
 *
 * One thread writes (ledger_sent); any thread may report a delivery. A ring: what is older than
 * LEDGER_MAX messages is forgotten, so its sender keeps fewer than that on their way.
 */
#pragma once

#include <stdatomic.h>
#include <stdint.h>

#define LEDGER_MAX 65536

struct ledger_entry {
    _Atomic uint64_t number; /* plus one, so that a zeroed entry is none */
    _Atomic uint32_t due;
    uint64_t intended_ns;
};

struct ledger {
    uint64_t sent;
    _Atomic uint64_t completed; /* every delivery of them has come */
    struct ledger_entry entries[LEDGER_MAX];
};

/* Gives the next message its number. `due` deliveries are expected; intended_ns is when it should
 * go out. */
uint64_t ledger_sent(struct ledger *l, uint64_t intended_ns, uint32_t due);

enum ledger_answer {
    LEDGER_UNKNOWN, /* never sent, forgotten, or all its deliveries had come */
    LEDGER_DUE,     /* more are to come */
    LEDGER_LAST
};

/* One delivery came. *intended_ns is set unless unknown. */
enum ledger_answer ledger_delivered(struct ledger *l, uint64_t number, uint64_t *intended_ns);
