#include "broker/auth/auth.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "broker/auth/internal.h"

struct mr_auth_policy {
    atomic_uint references;
    bool allow_anonymous;
    bool has_passwords;
    bool has_acl;
    struct mr_password_list passwords;
    struct mr_acl_list acl;
};

static enum mr_err fill(struct mr_auth_policy *policy, const struct mr_auth_source *source,
                        char **message_out) {
    struct mr_auth_file file = {0};
    enum mr_err err = MR_OK;
    if (source->password_text.data != NULL) {
        file.path = source->password_path;
        err = mr_password_list_init(&policy->passwords, &file, source->password_text);
        policy->has_passwords = err == MR_OK;
    }
    if (err == MR_OK && source->acl_text.data != NULL) {
        file = (struct mr_auth_file){.path = source->acl_path};
        err = mr_acl_list_init(&policy->acl, &file, source->acl_text);
        policy->has_acl = err == MR_OK;
    }
    *message_out = file.message;
    return err;
}

enum mr_err mr_auth_policy_new(struct mr_auth_policy **out, const struct mr_auth_source *source,
                               char **message_out) {
    *message_out = NULL;
    struct mr_auth_policy *policy = calloc(1, sizeof(*policy));
    if (policy == NULL) {
        return MR_ERR_NOMEM;
    }
    atomic_init(&policy->references, 1);
    policy->allow_anonymous = source->allow_anonymous;
    enum mr_err err = fill(policy, source, message_out);
    if (err != MR_OK) {
        mr_auth_policy_unref(policy);
        return err;
    }
    *out = policy;
    return MR_OK;
}

struct mr_auth_policy *mr_auth_policy_ref(struct mr_auth_policy *policy) {
    unsigned before = atomic_fetch_add_explicit(&policy->references, 1, memory_order_relaxed);
    MR_ASSERT(before > 0);
    return policy;
}

void mr_auth_policy_unref(struct mr_auth_policy *policy) {
    if (policy == NULL) {
        return;
    }
    unsigned before = atomic_fetch_sub_explicit(&policy->references, 1, memory_order_acq_rel);
    MR_ASSERT(before > 0);
    if (before > 1) {
        return;
    }
    if (policy->has_passwords) {
        mr_password_list_fini(&policy->passwords);
    }
    if (policy->has_acl) {
        mr_acl_list_fini(&policy->acl);
    }
    free(policy);
}

enum mr_auth_result mr_auth_check_password(const struct mr_auth_policy *policy,
                                           struct mr_slice user_name, struct mr_slice password) {
    if (user_name.data == NULL) {
        return policy->allow_anonymous ? MR_AUTH_OK : MR_AUTH_NOT_AUTHORIZED;
    }
    if (!policy->has_passwords) {
        return policy->allow_anonymous ? MR_AUTH_OK : MR_AUTH_BAD_CREDENTIALS;
    }
    return mr_password_list_check(&policy->passwords, user_name, password)
               ? MR_AUTH_OK
               : MR_AUTH_BAD_CREDENTIALS;
}

bool mr_auth_password_is_slow(const struct mr_auth_policy *policy, struct mr_slice user_name) {
    return policy->has_passwords && policy->passwords.count > 0 && user_name.data != NULL;
}

bool mr_auth_knows(const struct mr_auth_policy *policy, struct mr_slice user_name) {
    if (user_name.data == NULL || !policy->has_passwords) {
        return policy->allow_anonymous;
    }
    return mr_name_table_find(&policy->passwords.table, user_name) != MR_NAME_NONE;
}

bool mr_auth_has_acl(const struct mr_auth_policy *policy) {
    return policy->has_acl;
}

bool mr_auth_check_acl(const struct mr_auth_policy *policy, const struct mr_auth_identity *identity,
                       struct mr_slice topic, enum mr_acl_access access) {
    return !policy->has_acl || mr_acl_list_check(&policy->acl, identity, topic, access);
}
