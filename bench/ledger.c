#include "ledger.h"

uint64_t ledger_sent(struct ledger *l, uint64_t intended_ns, uint32_t due)
{
    uint64_t number = l->sent++;
    struct ledger_entry *entry = &l->entries[number % LEDGER_MAX];
    entry->intended_ns = intended_ns;
    atomic_store_explicit(&entry->due, due, memory_order_relaxed);
    atomic_store_explicit(&entry->number, number + 1, memory_order_release);
    if (due == 0) {
        atomic_fetch_add_explicit(&l->completed, 1, memory_order_release);
    }
    return number;
}

enum ledger_answer ledger_delivered(struct ledger *l, uint64_t number, uint64_t *intended_ns)
{
    struct ledger_entry *entry = &l->entries[number % LEDGER_MAX];
    if (atomic_load_explicit(&entry->number, memory_order_acquire) != number + 1) {
        return LEDGER_UNKNOWN;
    }
    *intended_ns = entry->intended_ns;
    uint32_t due = atomic_load_explicit(&entry->due, memory_order_relaxed);
    do {
        if (due == 0) {
            return LEDGER_UNKNOWN;
        }
    } while (!atomic_compare_exchange_weak_explicit(&entry->due, &due, due - 1,
                                                    memory_order_relaxed, memory_order_relaxed));
    if (due > 1) {
        return LEDGER_DUE;
    }
    atomic_fetch_add_explicit(&l->completed, 1, memory_order_release);
    return LEDGER_LAST;
}
