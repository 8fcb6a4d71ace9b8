#include "gateway/fanout/pace.h"

void pace_init(struct pace *p, uint32_t most_ms)
{
    *p = (struct pace){.most_ms = most_ms};
}

bool pace_is_due(struct pace *p, uint64_t now_ms, bool is_new)
{
    p->turns += is_new;
    return now_ms >= p->until_ms;
}

static void learn(struct pace *p)
{
    if (!p->has_paused) {
        return;
    }
    if (p->turns > 1) {
        p->skipped = 0;
        return;
    }
    p->skipped = p->skipped ? p->skipped * 2 : 1;
    if (p->skipped > PACE_SKIP_MAX) {
        p->skipped = PACE_SKIP_MAX;
    }
    p->skip = p->skipped;
}

uint32_t pace_passed(struct pace *p, uint64_t took_us, uint64_t now_ms)
{
    uint64_t pause_ms = took_us / 1000 < p->most_ms ? took_us / 1000 : p->most_ms;
    learn(p);
    p->turns = 0;
    if (pause_ms > 0 && p->skip > 0) {
        p->skip--;
        pause_ms = 0;
    }
    p->has_paused = pause_ms > 0;
    p->until_ms = now_ms + pause_ms;
    return (uint32_t)pause_ms;
}
