#include "common/wheel.h"

#include <assert.h>

/* A timer stands in the slot of the first tick at which its deadline has passed (rounded up, so it
 * is never early). One that is more than a turn away stands in the slot of its tick as well, and is
 * passed over once per turn. */

static uint64_t tick_of(uint64_t deadline_ms)
{
    return deadline_ms / WHEEL_TICK_MS + (deadline_ms % WHEEL_TICK_MS != 0);
}

void wheel_init(struct wheel *w, uint64_t now_ms)
{
    for (int i = 0; i < WHEEL_SLOTS; i++) {
        list_init(&w->slots[i]);
    }
    list_init(&w->due);
    w->now_tick = now_ms / WHEEL_TICK_MS;
    w->n = 0;
}

void wheel_timer_init(struct wheel_timer *t, wheel_fn fn)
{
    list_init(&t->node);
    t->deadline_ms = 0;
    t->fn = fn;
}

bool wheel_is_set(const struct wheel_timer *t)
{
    return t->node.next && !list_is_empty(&t->node);
}

void wheel_cancel(struct wheel *w, struct wheel_timer *t)
{
    if (wheel_is_set(t)) {
        list_remove(&t->node);
        w->n--;
    }
}

void wheel_set(struct wheel *w, struct wheel_timer *t, uint64_t deadline_ms)
{
    assert(t->fn);
    wheel_cancel(w, t);
    uint64_t tick = tick_of(deadline_ms);
    t->deadline_ms = deadline_ms;
    list_push(tick <= w->now_tick ? &w->due : &w->slots[tick % WHEEL_SLOTS], &t->node);
    w->n++;
}

static void collect(struct list *slot, uint64_t tick, struct list *firing)
{
    for (struct list *node = slot->next, *next; node != slot; node = next) {
        next = node->next;
        if (tick_of(LIST_OWNER(node, struct wheel_timer, node)->deadline_ms) <= tick) {
            list_remove(node);
            list_push(firing, node);
        }
    }
}

/* What fires is collected before the first callback runs: a callback may set, move, cancel and free
 * any timer, and what it sets is not fired by this call. */
void wheel_advance(struct wheel *w, uint64_t now_ms)
{
    uint64_t tick = now_ms / WHEEL_TICK_MS;
    struct list firing;
    list_init(&firing);
    collect(&w->due, w->now_tick, &firing);
    if (tick > w->now_tick) {
        uint64_t n = tick - w->now_tick;
        for (uint64_t i = 1; i <= n && i <= WHEEL_SLOTS; i++) {
            collect(&w->slots[(w->now_tick + i) % WHEEL_SLOTS], tick, &firing);
        }
        w->now_tick = tick;
    }
    while (!list_is_empty(&firing)) {
        struct wheel_timer *t = LIST_OWNER(firing.next, struct wheel_timer, node);
        wheel_cancel(w, t);
        t->fn(t, now_ms);
    }
}
