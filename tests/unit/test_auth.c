#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "gateway/access/auth.h"

static char ann[] = "ann";
static char ann_password[] = "s3cret: with \\ and \xc3\xbc";
static char bob[] = "bob";
/* crypt(5) of "correct horse" */
static char bob_hash[] = "$5$rounds=1000$saltsalt$R6e4P8ccT9iMqkYg7Z8YtpId/lfsIfnuPkp8WXposU8";
static char eve[] = "eve";
static char broken_hash[] = "no hash at all";
static char empty[] = "";

static struct config_user users[] = {
    {.login = ann, .password = ann_password},
    {.login = bob, .password_hash = bob_hash},
    {.login = eve, .password_hash = broken_hash},
};
static const struct config plain = {.users = users, .n_users = 1};
static const struct config hashed = {.users = users, .n_users = 3};

static void check(const struct config *config, const char *login, const char *passcode,
                  enum auth_verdict verdict)
{
    assert_int_equal(auth_check(config, slice_of(login), slice_of(passcode)), verdict);
}

static void test_auth_plain(void **state)
{
    (void)state;
    check(&plain, "ann", ann_password, AUTH_OK);
    check(&plain, "ann", "s3cret", AUTH_REFUSED);
    check(&plain, "ann", "", AUTH_REFUSED);
    check(&plain, "ann", NULL, AUTH_REFUSED);
    check(&plain, "Ann", ann_password, AUTH_REFUSED);
    check(&plain, "ann ", ann_password, AUTH_REFUSED);
    check(&plain, "", ann_password, AUTH_REFUSED);
    check(&plain, "nobody", "", AUTH_REFUSED);
    check(&plain, "nobody", NULL, AUTH_REFUSED);
}

static void test_auth_hash(void **state)
{
    (void)state;
    check(&hashed, "bob", "correct horse", AUTH_OK);
    check(&hashed, "bob", "correct hors", AUTH_REFUSED);
    check(&hashed, "bob", "correct horse ", AUTH_REFUSED);
    check(&hashed, "bob", bob_hash, AUTH_REFUSED);
    check(&hashed, "bob", "", AUTH_REFUSED);
    check(&hashed, "bob", NULL, AUTH_REFUSED);
    check(&hashed, "ann", ann_password, AUTH_OK);
    /* The stand-in's password opens nothing. */
    check(&hashed, "ann", "correct horse", AUTH_REFUSED);
    check(&hashed, "nobody", "correct horse", AUTH_REFUSED);
}

/* crypt(3) stops at a NUL and at its longest passphrase; neither may make two passcodes one. */
static void test_auth_hash_odd_passcodes(void **state)
{
    (void)state;
    struct slice with_nul = {"correct horse\0x", 15};
    assert_int_equal(auth_check(&hashed, slice_of("bob"), with_nul), AUTH_REFUSED);
    char much[2000];
    memset(much, 'a', sizeof(much));
    memcpy(much, "correct horse", 13);
    assert_int_equal(auth_check(&hashed, slice_of("bob"), (struct slice){much, sizeof(much)}),
                     AUTH_REFUSED);
    assert_int_equal(auth_check(&hashed, slice_of("bob"), (struct slice){much, 13}), AUTH_OK);
}

/* A hash that crypt(3) does not understand lets nobody in, not even who knows its text. */
static void test_auth_broken_hash(void **state)
{
    (void)state;
    check(&hashed, "eve", broken_hash, AUTH_REFUSED);
    check(&hashed, "eve", "*0", AUTH_REFUSED);
    check(&hashed, "eve", "", AUTH_REFUSED);
}

static void test_auth_anonymous(void **state)
{
    (void)state;
    struct config open = hashed;
    open.gateway.anonymous = true;
    check(&open, NULL, NULL, AUTH_ANONYMOUS);
    check(&hashed, NULL, NULL, AUTH_REFUSED);
    /* A passcode alone is no login; an empty login is one. */
    check(&open, NULL, "x", AUTH_ANONYMOUS);
    check(&open, "", "", AUTH_REFUSED);
    check(&open, "anonymous", "", AUTH_REFUSED);
}

/* A password of no bytes is somebody's mistake, but it is a password. */
static void test_auth_empty_password(void **state)
{
    (void)state;
    struct config_user user = {.login = ann, .password = empty};
    const struct config config = {.users = &user, .n_users = 1};
    check(&config, "ann", "", AUTH_OK);
    check(&config, "ann", NULL, AUTH_REFUSED);
    check(&config, "bob", "", AUTH_REFUSED);
}

static void test_auth_is_slow(void **state)
{
    (void)state;
    assert_false(auth_is_slow(&plain, slice_of("ann")));
    assert_false(auth_is_slow(&plain, slice_of("nobody")));
    assert_true(auth_is_slow(&hashed, slice_of("ann")));
    assert_true(auth_is_slow(&hashed, slice_of("bob")));
    assert_true(auth_is_slow(&hashed, slice_of("nobody")));
    assert_false(auth_is_slow(&hashed, slice_of(NULL)));
}

static uint64_t cpu_us(const char *login)
{
    uint64_t best = UINT64_MAX;
    for (int i = 0; i < 20; i++) {
        struct timespec a;
        struct timespec b;
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &a);
        check(&hashed, login, "wrong", AUTH_REFUSED);
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &b);
        uint64_t us = (uint64_t)((b.tv_sec - a.tv_sec) * 1000000 + (b.tv_nsec - a.tv_nsec) / 1000);
        best = us < best ? us : best;
    }
    return best;
}

/* Whether a login exists cannot be told from the work its refusal takes: the best of 20, within a
 * factor that a skipped hash would miss by far. */
static void test_auth_unknown_costs_the_same(void **state)
{
    (void)state;
    uint64_t known = cpu_us("bob");
    assert_true(cpu_us("nobody") * 2 > known);
    assert_true(cpu_us("ann") * 2 > known);
    assert_true(known * 2 > cpu_us("nobody"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_auth_plain),
        cmocka_unit_test(test_auth_hash),
        cmocka_unit_test(test_auth_hash_odd_passcodes),
        cmocka_unit_test(test_auth_broken_hash),
        cmocka_unit_test(test_auth_anonymous),
        cmocka_unit_test(test_auth_empty_password),
        cmocka_unit_test(test_auth_is_slow),
        cmocka_unit_test(test_auth_unknown_costs_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
