// What the parts of an access policy share. Private to the package.
#ifndef MILLRACE_BROKER_AUTH_INTERNAL_H
#define MILLRACE_BROKER_AUTH_INTERNAL_H

#include "base/base.h"
#include "broker/auth/auth.h"

#ifdef __cplusplus
extern "C" {
#endif

// ------------------------------------------------------------------ lines and words

// Where a file is being read, and the message that its first error leaves.
struct mr_auth_file {
    const char *path;
    uint32_t line;
    char *message;  // Owned.
};

// Stores "path:line: …" and returns MR_ERR_INVALID, or MR_ERR_NOMEM.
enum mr_err mr_auth_refuse(struct mr_auth_file *file, const char *format, ...) MR_PRINTF(2, 3);

// Takes the next line from `*rest`; blanks around it are cut. False: there is none.
bool mr_auth_next_line(struct mr_auth_file *file, struct mr_slice *rest, struct mr_slice *line);

// Text from a file for a message: control characters are replaced, it is cut.
#define MR_AUTH_QUOTE_BYTES 80
const char *mr_auth_quote(struct mr_slice text, char out[MR_AUTH_QUOTE_BYTES]);

// --------------------------------------------------------------------- names by hash

// Names to indices. The names are borrowed; the set is fixed once built.
struct mr_name_table {
    const struct mr_slice *names;
    uint32_t *slots;  // Index + 1; 0: free.
    uint32_t mask;
};

#define MR_NAME_NONE UINT32_MAX

uint64_t mr_name_hash(struct mr_slice name);
// `names` must outlive the table. Of equal names, the first is found; `*equal_out` is the
// index of a later one, or MR_NAME_NONE. Errors: MR_ERR_NOMEM.
MR_NODISCARD enum mr_err mr_name_table_init(struct mr_name_table *table,
                                            const struct mr_slice *names, uint32_t count,
                                            uint32_t *equal_out);
void mr_name_table_fini(struct mr_name_table *table);
uint32_t mr_name_table_find(const struct mr_name_table *table, struct mr_slice name);

// ------------------------------------------------------------------------- passwords

#define MR_PASSWORD_HASH_BYTES 64
#define MR_PASSWORD_SALT_BYTES_MAX 64
// A file that asks for more would let one login occupy a core for seconds.
#define MR_PASSWORD_ITERATIONS_MAX 10000000

enum mr_password_kind {
    MR_PASSWORD_SHA512 = 6,
    MR_PASSWORD_PBKDF2 = 7,
};

struct mr_password {
    enum mr_password_kind kind;
    int iterations;
    uint32_t salt_len;
    uint8_t salt[MR_PASSWORD_SALT_BYTES_MAX];
    uint8_t hash[MR_PASSWORD_HASH_BYTES];
};

struct mr_password_list {
    struct mr_slice *names;  // In `text`.
    struct mr_password *entries;
    uint32_t count;
    uint32_t capacity;
    struct mr_name_table table;
    char *text;  // The names' bytes.
};

// Errors: MR_ERR_INVALID with file->message, MR_ERR_NOMEM. On failure `list` needs no fini.
MR_NODISCARD enum mr_err mr_password_list_init(struct mr_password_list *list,
                                               struct mr_auth_file *file, struct mr_slice text);
void mr_password_list_fini(struct mr_password_list *list);
bool mr_password_list_check(const struct mr_password_list *list, struct mr_slice user_name,
                            struct mr_slice password);

// ------------------------------------------------------------------------------- ACL

struct mr_acl_rule {
    struct mr_slice filter;  // In the list's text.
    uint32_t section;        // Index of the user, or one of those below.
    uint8_t access;          // MR_ACL_READ, MR_ACL_WRITE or both; 0: deny.
    bool exact;              // No wildcard and no substitution.
    bool client_id;          // Has %c.
    bool user_name;          // Has %u.
};

// Rules in one block: those without wildcard sorted by filter, then the others.
struct mr_acl_section {
    uint32_t first;
    uint32_t exact_count;
    uint32_t count;
};

#define MR_ACL_ANONYMOUS 0u  // The lines above the first user.
#define MR_ACL_PATTERNS 1u   // For all.
#define MR_ACL_USERS 2u      // The first user's.

struct mr_acl_list {
    char *text;
    struct mr_acl_rule *rules;
    uint32_t rule_count;
    uint32_t rule_capacity;
    struct mr_acl_section *sections;
    uint32_t section_count;
    struct mr_slice *names;  // Of the users; name i has section MR_ACL_USERS + i.
    uint32_t name_count;
    uint32_t name_capacity;
    struct mr_name_table table;
};

MR_NODISCARD enum mr_err mr_acl_list_init(struct mr_acl_list *list, struct mr_auth_file *file,
                                          struct mr_slice text);
void mr_acl_list_fini(struct mr_acl_list *list);
bool mr_acl_list_check(const struct mr_acl_list *list, const struct mr_auth_identity *identity,
                       struct mr_slice topic, enum mr_acl_access access);

// acl_match.c

// Does a pattern, its %u and %c replaced, match a topic name? What replaces them counts
// literally, wildcards and slashes too.
bool mr_acl_pattern_matches(const struct mr_acl_rule *rule, const struct mr_auth_identity *identity,
                            struct mr_slice topic);
// Would replacing put '+', '#' or '/' into the topic, or is there no name to replace %u or
// %c? Then the pattern must not grant anything.
bool mr_acl_pattern_tainted(const struct mr_acl_rule *rule,
                            const struct mr_auth_identity *identity);
// Is there a topic name that both valid filters match?
bool mr_acl_filters_overlap(struct mr_slice a, struct mr_slice b);

#ifdef __cplusplus
}  // extern "C"
#endif

#endif  // MILLRACE_BROKER_AUTH_INTERNAL_H
