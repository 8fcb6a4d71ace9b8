/* Identifiers: UUIDv7 (RFC 9562 section 5.7) for messages and sessions, UUIDv5 (section 5.5) for
 * ids derived from text.
 */
#pragma once

#include "common/slice.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ID_TEXT_LEN 36

struct id {
    uint8_t bytes[16];
};

/* Makes ids that grow: within one generator each id is greater than the one before, also when the
 * clock steps back. Belongs to one thread. A zeroed struct is ready for use. */
struct id_generator {
    uint64_t last_ms;
    uint32_t counter;
    uint32_t n_random;   /* bytes of `random` that no id has had yet, at its front */
    uint8_t random[250]; /* fetched for 25 ids at a time: a system call for each is dear */
};

/* From getrandom(2); n is at most 256. */
void id_random(void *bytes, size_t n);

/* `unix_ms` is wall-clock time. Random bits come from getrandom(2). */
struct id id_v7(struct id_generator *g, uint64_t unix_ms);

/* The name-based id of `name` in the namespace `space`. The same input gives the same id, for ever.
 */
struct id id_v5(struct id space, const void *name, size_t name_len);

/* Writes ID_TEXT_LEN lower-case characters and a NUL. */
void id_text(struct id id, char text[ID_TEXT_LEN + 1]);

/* Reads the canonical form (upper or lower case hex, hyphens in place). 0, or -1 when it is none.
 */
int id_parse(struct slice text, struct id *id) __attribute__((warn_unused_result));

bool id_is_v7(struct id id);

/* Milliseconds since 1970 that a version 7 id carries. */
uint64_t id_unix_ms(struct id id);
