// Access control lists, judged twice: for a topic name, reading and subscribing must be
// decided alike, though by different code; and no name may open what a harmless one
// doesn't. The input is four lines (a topic, a user name, a client id, a filter; an empty user
// name is an anonymous client) and then the file.
#include <stdlib.h>

#include "broker/auth/auth.h"
#include "codec/topic.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

// Takes a line off the input, without its end.
static struct mr_slice next_line(struct mr_slice *rest) {
    const uint8_t *newline = rest->len ? memchr(rest->data, '\n', rest->len) : NULL;
    struct mr_slice line = *rest;
    if (newline == NULL) {
        rest->data += rest->len;
        rest->len = 0;
        return line;
    }
    line.len = (size_t)(newline - line.data);
    *rest = mr_slice_of(newline + 1, rest->len - line.len - 1);
    return line;
}

static bool has(struct mr_slice text, const char *bytes) {
    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] != '\0' && strchr(bytes, text.data[i]) != NULL) {
            return true;
        }
    }
    return false;
}

static bool contains(struct mr_slice text, const char *word) {
    return text.len > 0 && memmem(text.data, text.len, word, strlen(word)) != NULL;
}

// Grants nothing to anybody: no line begins with a keyword that could.
static bool grants_nothing(struct mr_slice text) {
    return !contains(text, "topic") && !contains(text, "pattern");
}

static void check(const struct mr_auth_policy *policy, const struct mr_auth_identity *identity,
                  struct mr_slice topic, struct mr_slice filter_text, struct mr_slice acl_text) {
    struct mr_filter filter;
    mr_filter_parse(filter_text, false, &filter);
    bool name_valid = mr_topic_name_valid(topic);
    bool read = name_valid && mr_auth_check_acl(policy, identity, topic, MR_ACL_READ);
    bool write = name_valid && mr_auth_check_acl(policy, identity, topic, MR_ACL_WRITE);
    bool subscribe = filter.kind != MR_FILTER_INVALID &&
                     mr_auth_check_acl(policy, identity, filter_text, MR_ACL_SUBSCRIBE);
    // CVE-2018-12550.
    MR_ASSERT(!grants_nothing(acl_text) || (!read && !write && !subscribe));
    // '$' needs a line with '$', whatever the client calls itself.
    MR_ASSERT(has(acl_text, "$") || !(name_valid && topic.data[0] == '$' && (read || write)));
    if (!name_valid) {
        return;
    }
    bool dangerous = has(identity->client_id, "+#/") || has(identity->user_name, "+#/");
    bool subscribe_name = mr_auth_check_acl(policy, identity, topic, MR_ACL_SUBSCRIBE);
    MR_ASSERT(!read || subscribe_name);
    MR_ASSERT(dangerous || read == subscribe_name);
    // Who may read something may subscribe to what matches it.
    if (read && filter.kind != MR_FILTER_INVALID && mr_filter_matches(filter_text, topic)) {
        MR_ASSERT(subscribe);
    }
    // A name that is in no pattern changes nothing (CVE-2017-7650).
    if (dangerous && !contains(acl_text, "deny") && (read || write)) {
        struct mr_auth_identity harmless = *identity;
        harmless.client_id = mr_slice_str("\x01");
        bool other_read = mr_auth_check_acl(policy, &harmless, topic, MR_ACL_READ);
        bool other_write = mr_auth_check_acl(policy, &harmless, topic, MR_ACL_WRITE);
        MR_ASSERT(!has(identity->client_id, "+#/") || (read <= other_read && write <= other_write));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const uint8_t nothing[1] = {0};
    struct mr_slice rest = mr_slice_of(size == 0 ? nothing : data, size);
    struct mr_slice topic = next_line(&rest);
    struct mr_auth_identity identity = {.user_name = next_line(&rest)};
    identity.client_id = next_line(&rest);
    struct mr_slice filter = next_line(&rest);
    if (identity.user_name.len == 0) {
        identity.user_name.data = NULL;
    }
    struct mr_auth_source source = {.acl_text = rest, .acl_path = "acl"};
    struct mr_auth_policy *policy = NULL;
    char *message = NULL;
    enum mr_err err = mr_auth_policy_new(&policy, &source, &message);
    MR_ASSERT((err == MR_OK) == (policy != NULL));
    MR_ASSERT((err == MR_ERR_INVALID) == (message != NULL));
    for (const char *c = message; c != NULL && *c != '\0'; c++) {
        MR_ASSERT((unsigned char)*c >= 0x20 && *c != 0x7f);
    }
    free(message);
    if (policy != NULL) {
        check(policy, &identity, topic, filter, rest);
    }
    mr_auth_policy_unref(policy);
    return 0;
}
