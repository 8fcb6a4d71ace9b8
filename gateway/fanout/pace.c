#include "gateway/fanout/pace.h"

void pace_init(struct pace *p, uint32_t most_ms)
{
    *p = (struct pace){.most_ms = most_ms};
}

uint32_t pace_wait_ms(struct pace *p, uint64_t now_ms, uint64_t n_new)
{
    bool is_first = n_new > 0 && p->n == 0;
    p->n += n_new;
    if (is_first && p->is_pausing && now_ms < p->busy_ms && p->until_ms < now_ms + PACE_FIRST_MS) {
        p->until_ms = now_ms + PACE_FIRST_MS;
    }
    return now_ms < p->until_ms ? (uint32_t)(p->until_ms - now_ms) : 0;
}

/* Was it worth it? */
static void learn(struct pace *p)
{
    if (p->n > 1) {
        p->skipped = 0;
        return;
    }
    p->skipped = p->skipped ? p->skipped * 2 : 1;
    if (p->skipped > PACE_SKIP_MAX) {
        p->skipped = PACE_SKIP_MAX;
    }
    p->skip = p->skipped;
}

void pace_passed(struct pace *p, uint64_t took_us, uint64_t now_ms)
{
    uint64_t pause_ms = took_us / 1000 < p->most_ms ? took_us / 1000 : p->most_ms;
    if (p->is_pausing && now_ms - took_us / 1000 < p->busy_ms) {
        learn(p);
    }
    p->n = 0;
    if (pause_ms > 0 && p->skip > 0) {
        p->skip--;
        pause_ms = 0;
    }
    p->is_pausing = pause_ms > 0;
    p->until_ms = now_ms + pause_ms;
    p->busy_ms = now_ms + PACE_BUSY_MS;
}
