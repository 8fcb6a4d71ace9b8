/* SHA-256 over a sequence of fields, each preceded by its length, so that no two sequences run
 * together. Inside of persist/ only; digest.c is the one file here that knows OpenSSL.
 */
#pragma once

#include "common/slice.h"

#include <stdint.h>

#define DIGEST_LEN 32

/* With `n` fields. 0, or -1 when out of memory. */
int digest_fields(uint8_t digest[DIGEST_LEN], const struct slice *fields, size_t n)
    __attribute__((warn_unused_result));

/* Of the bytes alone: what sha256() of PostgreSQL says. */
int digest_bytes(uint8_t digest[DIGEST_LEN], struct slice bytes)
    __attribute__((warn_unused_result));
