/* Names made of 16 bytes: base64url without padding (RFC 4648 section 5), and MD5 in it.
 *
 * MD5 names things as RabbitMQ does; it protects nothing.
 */
#pragma once

#include "common/slice.h"

#include <stddef.h>
#include <stdint.h>

#define BASE64_16_LEN 22 /* characters of 16 bytes */

/* Writes BASE64_16_LEN characters and a NUL. */
void base64_16(const uint8_t bytes[16], char text[BASE64_16_LEN + 1]);

/* The same of the MD5 of `bytes`. 0, or -1 when out of memory or when this libcrypto has no MD5. */
int base64_md5(struct slice bytes, char text[BASE64_16_LEN + 1])
    __attribute__((warn_unused_result));
