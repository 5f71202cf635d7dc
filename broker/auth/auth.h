// Who may connect, publish and subscribe: password files and access control lists in
// Mosquitto's formats.
//
// A policy is built from the text of the two files and immutable afterwards; a reload
// builds a new one. Checking a password is slow on purpose (PBKDF2), so it may be done on
// another thread than a worker's: mr_auth_check_password() is a pure function.
//
// Threads: a policy may be used by all threads at once.
#ifndef MILLRACE_BROKER_AUTH_AUTH_H
#define MILLRACE_BROKER_AUTH_AUTH_H

#include "base/base.h"

#ifdef __cplusplus
extern "C" {
#endif

struct mr_auth_policy;  // Opaque, immutable, reference counted (atomically).

// The text of the two files; data NULL means that the file isn't configured, while an
// empty one is: an empty password file knows no user, an empty ACL allows nothing.
// `*_path` is for messages only.
struct mr_auth_source {
    bool allow_anonymous;
    struct mr_slice password_text;
    const char *password_path;
    struct mr_slice acl_text;
    const char *acl_path;
};

// Builds a policy with one reference. A malformed line makes it fail: a message with file,
// line and what was expected is stored, owned by the caller (free()), in `*message_out`.
// Errors: MR_ERR_INVALID, MR_ERR_NOMEM.
MR_NODISCARD enum mr_err mr_auth_policy_new(struct mr_auth_policy **out,
                                            const struct mr_auth_source *source,
                                            char **message_out);
struct mr_auth_policy *mr_auth_policy_ref(struct mr_auth_policy *policy);
void mr_auth_policy_unref(struct mr_auth_policy *policy);  // NULL is allowed.

// Who is asking. `user_name.data` NULL: anonymous.
struct mr_auth_identity {
    struct mr_slice client_id;
    struct mr_slice user_name;
};

enum mr_auth_result {
    MR_AUTH_OK,
    MR_AUTH_BAD_CREDENTIALS,  // Unknown user or wrong password: 0x86.
    MR_AUTH_NOT_AUTHORIZED,   // Anonymous, and that isn't allowed: 0x87.
};

// `password.data` NULL: none was given. Without a password file any user name passes if
// anonymous clients may; with one, a user name needs its password. Compares in constant
// time and computes a hash for unknown users, too. Slow.
enum mr_auth_result mr_auth_check_password(const struct mr_auth_policy *policy,
                                           struct mr_slice user_name, struct mr_slice password);
// Would mr_auth_check_password() have to compute a hash?
bool mr_auth_password_is_slow(const struct mr_auth_policy *policy, struct mr_slice user_name);

// After a reload: may a client that connected with `user_name` (data NULL: anonymous) stay, as far
// as can be said without its password?
bool mr_auth_knows(const struct mr_auth_policy *policy, struct mr_slice user_name);

enum mr_acl_access {
    MR_ACL_READ = 1,       // Receive a message with this topic name.
    MR_ACL_WRITE = 2,      // Publish to it (also by will).
    MR_ACL_SUBSCRIBE = 4,  // Subscribe to this topic filter.
};

// Does the policy restrict topics at all? If not, checks can be skipped.
bool mr_auth_has_acl(const struct mr_auth_policy *policy);

// READ and WRITE take a topic name, SUBSCRIBE a filter (without `$share/name/`). A client id or
// user name with '+', '#' or '/' never matches a pattern line that would put it into a
// topic (CVE-2017-7650). Deny lines win.
bool mr_auth_check_acl(const struct mr_auth_policy *policy, const struct mr_auth_identity *identity,
                       struct mr_slice topic, enum mr_acl_access access);

#ifdef __cplusplus
}  // extern "C"
#endif

#endif  // MILLRACE_BROKER_AUTH_AUTH_H
