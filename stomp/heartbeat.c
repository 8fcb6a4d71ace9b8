#include "stomp/stomp.h"

#define DAY_MS (24u * 60 * 60 * 1000)

static void skip_blanks(struct slice *text)
{
    while (text->len > 0 && (text->ptr[0] == ' ' || text->ptr[0] == '\t')) {
        text->ptr++;
        text->len--;
    }
}

/* Takes a number and the blanks around it off the front. 0, or -1 when there is no digit. */
static int take_number(struct slice *text, uint32_t *number)
{
    uint32_t n = 0;
    skip_blanks(text);
    size_t before = text->len;
    while (text->len > 0 && text->ptr[0] >= '0' && text->ptr[0] <= '9') {
        n = n * 10 + (uint32_t)(text->ptr[0] - '0');
        n = n > DAY_MS ? DAY_MS : n; /* ten times a day is far from overflow */
        text->ptr++;
        text->len--;
    }
    if (text->len == before) {
        return -1;
    }
    skip_blanks(text);
    *number = n;
    return 0;
}

int stomp_heartbeat_parse(struct slice value, uint32_t *cx_ms, uint32_t *cy_ms)
{
    uint32_t cx = 0;
    uint32_t cy = 0;
    if (value.ptr != NULL) {
        if (take_number(&value, &cx) < 0 || value.len == 0 || value.ptr[0] != ',') {
            return -1;
        }
        value.ptr++;
        value.len--;
        if (take_number(&value, &cy) < 0 || value.len > 0) {
            return -1;
        }
    }
    *cx_ms = cx;
    *cy_ms = cy;
    return 0;
}

uint32_t stomp_heartbeat_agree(uint32_t one_ms, uint32_t other_ms)
{
    if (one_ms == 0 || other_ms == 0) {
        return 0;
    }
    return one_ms > other_ms ? one_ms : other_ms;
}
