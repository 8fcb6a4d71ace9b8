#include "gateway/access/auth.h"

#include <crypt.h>
#include <openssl/crypto.h>
#include <openssl/sha.h>
#include <stdlib.h>

static const struct config_user *find_user(const struct config *config, struct slice login)
{
    for (size_t i = 0; i < config->n_users; i++) {
        if (slice_is(login, config->users[i].login)) {
            return &config->users[i];
        }
    }
    return NULL;
}

/* A hash that stands in for users who have none; NULL when no user has one. */
static const char *any_hash(const struct config *config)
{
    for (size_t i = 0; i < config->n_users; i++) {
        if (config->users[i].password_hash) {
            return config->users[i].password_hash;
        }
    }
    return NULL;
}

/* Digests make the lengths equal, so that the time tells nothing about the password. */
static bool is_plain_match(const char *password, struct slice passcode)
{
    unsigned char want[SHA256_DIGEST_LENGTH];
    unsigned char got[SHA256_DIGEST_LENGTH];
    SHA256((const unsigned char *)password, strlen(password), want);
    SHA256((const unsigned char *)passcode.ptr, passcode.len, got);
    bool is_match = CRYPTO_memcmp(want, got, sizeof(want)) == 0;
    OPENSSL_cleanse(want, sizeof(want));
    OPENSSL_cleanse(got, sizeof(got));
    return is_match;
}

/* What crypt_r() works with: large, and full of the secret. */
struct crypt_work {
    struct crypt_data data;
    char passcode[CRYPT_MAX_PASSPHRASE_SIZE + 1];
};

static enum auth_verdict check_hash(const char *hash, struct slice passcode)
{
    struct crypt_work *work = calloc(1, sizeof(*work));
    if (!work) {
        return AUTH_FAILED;
    }
    /* One that is too long, or that crypt(3) would cut at its NUL, is hashed all the same: for the
     * time it takes. */
    bool is_usable =
        passcode.len < CRYPT_MAX_PASSPHRASE_SIZE && !memchr(passcode.ptr, 0, passcode.len);
    size_t len =
        passcode.len < CRYPT_MAX_PASSPHRASE_SIZE ? passcode.len : CRYPT_MAX_PASSPHRASE_SIZE - 1;
    memcpy(work->passcode, passcode.ptr, len);
    const char *got = crypt_r(work->passcode, hash, &work->data);
    /* Failure is NULL or a text that begins with '*', which is no hash of anything. */
    bool is_match = is_usable && got && got[0] != '*' && strlen(got) == strlen(hash) &&
                    CRYPTO_memcmp(got, hash, strlen(hash)) == 0;
    OPENSSL_cleanse(work, sizeof(*work));
    free(work);
    return is_match ? AUTH_OK : AUTH_REFUSED;
}

enum auth_verdict auth_check(const struct config *config, struct slice login, struct slice passcode)
{
    if (!login.ptr) {
        return config->gateway.anonymous ? AUTH_ANONYMOUS : AUTH_REFUSED;
    }
    bool has_passcode = passcode.ptr != NULL;
    if (!has_passcode) {
        passcode = SLICE_LITERAL("");
    }
    const struct config_user *user = find_user(config, login);
    bool has_hash = user && user->password_hash;
    bool has_plain = user && user->password;
    const char *hash = has_hash ? user->password_hash : any_hash(config);
    enum auth_verdict by_hash = hash ? check_hash(hash, passcode) : AUTH_REFUSED;
    bool by_plain = is_plain_match(has_plain ? user->password : "", passcode);
    if (by_hash == AUTH_FAILED) {
        return AUTH_FAILED;
    }
    bool is_right = (has_hash && by_hash == AUTH_OK) || (has_plain && by_plain);
    return is_right && has_passcode ? AUTH_OK : AUTH_REFUSED;
}

bool auth_is_slow(const struct config *config, struct slice login)
{
    return login.ptr && any_hash(config);
}
