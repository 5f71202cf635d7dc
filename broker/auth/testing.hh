// For tests: policies from texts, and short questions to them.
#ifndef MILLRACE_BROKER_AUTH_TESTING_HH
#define MILLRACE_BROKER_AUTH_TESTING_HH

#include <cstdlib>
#include <string>

#include "broker/auth/auth.h"

namespace millrace {

inline mr_slice Slice(const std::string &text) {
    return mr_slice_of(text.data(), text.size());
}

class Policy {
 public:
    // NULL: the file isn't configured.
    Policy(const std::string *passwords, const std::string *acl, bool allow_anonymous = false) {
        mr_auth_source source = {};
        source.allow_anonymous = allow_anonymous;
        if (passwords != nullptr) {
            source.password_text = Slice(*passwords);
        }
        if (acl != nullptr) {
            source.acl_text = Slice(*acl);
        }
        source.password_path = "passwords";
        source.acl_path = "acl";
        char *text = nullptr;
        err = mr_auth_policy_new(&policy_, &source, &text);
        message = text == nullptr ? "" : text;
        std::free(text);
    }
    ~Policy() {
        mr_auth_policy_unref(policy_);
    }
    Policy(const Policy &) = delete;
    Policy &operator=(const Policy &) = delete;

    mr_auth_policy *get() const {
        return policy_;
    }
    mr_auth_result Login(const std::string &user, const std::string &password) const {
        return mr_auth_check_password(policy_, Slice(user), Slice(password));
    }
    // `user` NULL: anonymous.
    bool May(mr_acl_access access, const char *user, const std::string &topic,
             const std::string &client_id = "client") const {
        mr_auth_identity identity = {};
        identity.client_id = Slice(client_id);
        if (user != nullptr) {
            identity.user_name = mr_slice_str(user);
        }
        return mr_auth_check_acl(policy_, &identity, Slice(topic), access);
    }
    bool Read(const char *user, const std::string &topic, const std::string &id = "client") const {
        return May(MR_ACL_READ, user, topic, id);
    }
    bool Write(const char *user, const std::string &topic, const std::string &id = "client") const {
        return May(MR_ACL_WRITE, user, topic, id);
    }
    bool Subscribe(const char *user, const std::string &filter,
                   const std::string &id = "client") const {
        return May(MR_ACL_SUBSCRIBE, user, filter, id);
    }

    mr_err err;
    std::string message;

 private:
    mr_auth_policy *policy_ = nullptr;
};

}  // namespace millrace

#endif  // MILLRACE_BROKER_AUTH_TESTING_HH
