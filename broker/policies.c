#include "broker/policies.h"

#include <stdlib.h>

#include "broker/cli/process.h"
#include "broker/log/log.h"

// A path that isn't configured leaves `*out` NULL.
static bool read_text(const char *path, char **out, struct mr_slice *slice) {
    size_t len;
    if (path == NULL) {
        return true;
    }
    enum mr_err err = mr_file_read(path, out, &len);
    if (err != MR_OK) {
        mr_log(MR_LOG_ERROR, "%s: %s.", path, mr_err_text(err));
        return false;
    }
    *slice = mr_slice_of(*out, len);
    return true;
}

static bool read_policy(const struct mr_security_config *security, struct mr_auth_policy **out) {
    char *password_text = NULL;
    char *acl_text = NULL;
    struct mr_auth_source source = {
        .allow_anonymous = security->allow_anonymous,
        .password_path = security->password_file,
        .acl_path = security->acl_file,
    };
    bool ok = read_text(security->password_file, &password_text, &source.password_text) &&
              read_text(security->acl_file, &acl_text, &source.acl_text);
    if (ok) {
        char *message = NULL;
        enum mr_err err = mr_auth_policy_new(out, &source, &message);
        if (err != MR_OK) {
            mr_log(MR_LOG_ERROR, "%s", message != NULL ? message : mr_err_text(err));
            ok = false;
        }
        free(message);
    }
    free(password_text);
    free(acl_text);
    return ok;
}

struct mr_policy_set *mr_policies_read(const struct mr_config *config) {
    struct mr_policy_set *set = mr_policy_set_new(config->security_count);
    if (set == NULL) {
        mr_log(MR_LOG_ERROR, "Out of memory for access policies.");
        return NULL;
    }
    for (uint32_t i = 0; i < config->listener_count; i++) {
        const struct mr_listener_config *listener = &config->listeners[i];
        struct mr_auth_policy **place = &set->policies[listener->security_index];
        if (*place == NULL && !read_policy(&listener->security, place)) {
            mr_policy_set_unref(set);
            return NULL;
        }
    }
    return set;
}
