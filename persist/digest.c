#include "persist/digest.h"

#include <openssl/evp.h>

int digest_fields(uint8_t digest[DIGEST_LEN], const struct slice *fields, size_t n)
{
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    int ok = context != NULL && EVP_DigestInit_ex(context, EVP_sha256(), NULL);
    for (size_t i = 0; ok && i < n; i++) {
        uint64_t len = fields[i].len;
        uint8_t prefix[8];
        for (int b = 0; b < 8; b++) {
            prefix[b] = (uint8_t)(len >> (56 - 8 * b));
        }
        ok = EVP_DigestUpdate(context, prefix, sizeof(prefix)) &&
             EVP_DigestUpdate(context, fields[i].ptr, fields[i].len);
    }
    ok = ok && EVP_DigestFinal_ex(context, digest, NULL);
    EVP_MD_CTX_free(context);
    return ok ? 0 : -1;
}

int digest_bytes(uint8_t digest[DIGEST_LEN], struct slice bytes)
{
    return EVP_Digest(bytes.ptr, bytes.len, digest, NULL, EVP_sha256(), NULL) ? 0 : -1;
}
