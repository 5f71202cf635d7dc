// Password files: whatever they say, nobody comes in without a password, and a line that
// isn't understood refuses the file (CVE-2018-12551). The input is the file.
#include <stdlib.h>

#include "broker/auth/auth.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

// The text before the first ':' of each line, as a user who wants to come in.
static void try_logins(const struct mr_auth_policy *policy, struct mr_slice text, bool slow) {
    static const struct mr_slice none = {NULL, 0};
    while (text.len > 0) {
        const uint8_t *newline = memchr(text.data, '\n', text.len);
        size_t len = newline == NULL ? text.len : (size_t)(newline - text.data);
        const uint8_t *colon = len == 0 ? NULL : memchr(text.data, ':', len);
        struct mr_slice user =
            mr_slice_of(text.data, colon == NULL ? len : (size_t)(colon - text.data));
        MR_ASSERT(mr_auth_check_password(policy, user, none) == MR_AUTH_BAD_CREDENTIALS);
        if (!slow) {
            // No input has a hash of these.
            MR_ASSERT(mr_auth_check_password(policy, user, mr_slice_str("")) ==
                      MR_AUTH_BAD_CREDENTIALS);
            MR_ASSERT(mr_auth_check_password(policy, user, mr_slice_str("wrong")) ==
                      MR_AUTH_BAD_CREDENTIALS);
        }
        len += newline != NULL;
        text = mr_slice_of(text.data + len, text.len - len);
    }
}

static bool contains(struct mr_slice text, const char *word) {
    return text.len > 0 && memmem(text.data, text.len, word, strlen(word)) != NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const uint8_t nothing[1] = {0};
    struct mr_auth_source source = {
        .allow_anonymous = true,
        .password_text = mr_slice_of(size == 0 ? nothing : data, size),
        .password_path = "passwords",
    };
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
        // Iterations would be the input's choice, and take as long as it likes.
        try_logins(policy, mr_slice_of(data, size), contains(source.password_text, "$7$"));
    }
    mr_auth_policy_unref(policy);
    return 0;
}
