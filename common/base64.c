#include "common/base64.h"

#include <openssl/evp.h>

void base64_16(const uint8_t bytes[16], char text[BASE64_16_LEN + 1])
{
    static const char alphabet[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    for (size_t i = 0; i < BASE64_16_LEN; i++) {
        /* Six bits from bit 6 i on; behind the last byte come zeros. */
        size_t byte = i * 6 / 8;
        unsigned two = (unsigned)bytes[byte] << 8 | (byte + 1 < 16 ? bytes[byte + 1] : 0);
        text[i] = alphabet[two >> (10 - i * 6 % 8) & 0x3f];
    }
    text[BASE64_16_LEN] = '\0';
}

int base64_md5(struct slice bytes, char text[BASE64_16_LEN + 1])
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    if (EVP_Digest(bytes.ptr, bytes.len, digest, NULL, EVP_md5(), NULL) != 1) {
        return -1;
    }
    base64_16(digest, text);
    return 0;
}
