#include "common/config_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void config_users_free(struct config *c)
{
    for (size_t i = 0; i < c->n_users; i++) {
        config_section_free(&c->users[i], "user");
    }
    free(c->users);
    c->users = NULL;
    c->n_users = 0;
}

static bool is_login_known(const struct config *c, const char *login)
{
    for (size_t i = 0; i < c->n_users; i++) {
        if (strcmp(c->users[i].login, login) == 0) {
            return true;
        }
    }
    return false;
}

static void check_login(struct config_reader *r, const struct config *c, const char *where,
                        const char *login)
{
    char key[64];
    snprintf(key, sizeof key, "%s.login", where);
    if (strcmp(login, "*") == 0 || strcmp(login, "anonymous") == 0) {
        config_complain(r, CONFIG_AT_VALUE, key, "\"%s\" has a meaning of its own in routes",
                        login);
    } else if (*login && is_login_known(c, login)) {
        config_complain(r, CONFIG_AT_VALUE, key, "there are two users \"%s\"", login);
    }
}

static void check_hash(struct config_reader *r, const char *where, const json_t *hash)
{
    const char *text = json_string_value(hash);
    if (text && *text && *text != '$') {
        char key[64];
        snprintf(key, sizeof key, "%s.password_hash", where);
        config_complain(r, CONFIG_AT_VALUE, key, "must begin with \"$\", like \"$y$\" or \"$6$\"");
    }
}

static void read_user(struct config_reader *r, struct config *c, json_t *table, size_t i)
{
    char where[32];
    snprintf(where, sizeof where, "user[%zu]", i);
    struct config_user user = {0};
    config_section_default(&user, "user");
    config_section_read(r, &user, "user", where, table);
    const json_t *password = json_object_get(table, "password");
    const json_t *hash = json_object_get(table, "password_hash");
    if (!json_object_get(table, "login")) {
        config_complain(r, CONFIG_AT_VALUE, where, "login must be given");
    }
    if (!password == !hash) {
        config_complain(r, CONFIG_AT_VALUE, where, "%s must be given, %s",
                        "one of password and password_hash", password ? "not both" : "none is");
    }
    check_login(r, c, where, user.login);
    check_hash(r, where, hash);
    /* Which of the two is given shows in the pointer. */
    if (!password) {
        free(user.password);
        user.password = NULL;
    }
    if (!hash) {
        free(user.password_hash);
        user.password_hash = NULL;
    }
    c->users = config_alloc(c->users, (c->n_users + 1) * sizeof user);
    c->users[c->n_users++] = user;
}

void config_users_read(struct config_reader *r, struct config *c, const json_t *list)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        read_user(r, c, json_array_get(list, i), i);
    }
}
