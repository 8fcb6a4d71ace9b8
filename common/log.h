/* One line per event on standard error: time, level, event, id, key=value pairs.
 *
 *     2026-11-21T03:52:07.123Z info session.open id=chat-1/0/17 user=ann ip=127.0.0.1
 *
 * Any thread may log. A line is written with one write(2), never blocks (a full pipe drops the line
 * and counts it), is at most LOG_LINE_MAX bytes, and has every byte below 0x20, 0x7f and every
 * invalid UTF-8 sequence escaped, so that what a client sends can never start a line of its own.
 * Each event name may log LOG_BURST lines per second; what is over that is counted and told in one
 * line when the second is over. Never pass a password, a token or a body.
 */
#pragma once

#include <stdint.h>

#define LOG_LINE_MAX 2048
#define LOG_BURST 50

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };

/* Lines above `level` are dropped. Call before the first thread starts; the default is LOG_INFO. */
void log_set_level(enum log_level level);

/* "error", "warn", "info", "debug" → 0 and *level set; anything else → -1. */
int log_level_parse(const char *text, enum log_level *level) __attribute__((warn_unused_result));

/* True when a line of that level would be written: guards arguments that cost something to compute.
 */
int log_is_on(enum log_level level);

/* Lines that were dropped because standard error was full or the event was too frequent, since the
 * start. */
uint64_t log_dropped(void);

/* error: a person must act. warn: we coped. info: the life of sessions and connections. debug:
 * frames. `id` names the object the line is about ("-" where there is none); `event` is a stable
 * dotted literal. */
void log_write(enum log_level level, const char *id, const char *event, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

#define log_error(id, event, ...) log_write(LOG_ERROR, id, event, __VA_ARGS__)
#define log_warn(id, event, ...) log_write(LOG_WARN, id, event, __VA_ARGS__)
#define log_info(id, event, ...) log_write(LOG_INFO, id, event, __VA_ARGS__)
#define log_debug(id, event, ...)                                                                  \
    do {                                                                                           \
        if (log_is_on(LOG_DEBUG))                                                                  \
            log_write(LOG_DEBUG, id, event, __VA_ARGS__);                                          \
    } while (0)
