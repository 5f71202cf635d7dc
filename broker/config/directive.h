// The table of directives: one row says everything about a directive, so that reading,
// printing, defaults, messages and documentation can't disagree.
//
// Private to the package, but for its tests.
#ifndef MILLRACE_BROKER_CONFIG_DIRECTIVE_H
#define MILLRACE_BROKER_CONFIG_DIRECTIVE_H

#include "base/base.h"
#include "broker/config/config.h"

#ifdef __cplusplus
extern "C" {
#endif

struct mr_reading;
struct mr_text;

// Which struct a row's offset is in.
enum mr_scope {
    MR_SCOPE_GLOBAL,    // mr_config.
    MR_SCOPE_LISTENER,  // mr_listener_config of the preceding listener.
    MR_SCOPE_SECURITY,  // mr_security_config: of the listener with per_listener_settings.
};

enum mr_kind {
    MR_KIND_BOOL,
    MR_KIND_NUMBER,
    MR_KIND_BYTES,     // A number that may end in K, M or G.
    MR_KIND_DURATION,  // A number that ends in s, h, d, w, m or y; stored in seconds.
    MR_KIND_TEXT,      // To the end of the line; stored as const char *.
    MR_KIND_CHOICE,    // One of `choices`; stored as its number.
    MR_KIND_WORD,      // One of `choices`; stored as const char *.
    MR_KIND_SPECIAL,   // Has `apply`, and `print` unless another row prints it.
    MR_KIND_IGNORED,   // Mosquitto's, without effect: accepted with a warning.
};

// What else holds for a number.
enum mr_number_flag {
    MR_NEGATIVE_IS_ZERO = 1,  // As in Mosquitto: a negative number means 0.
    MR_NEGATIVE_IS_MAX = 2,   // … means `max`, which is printed as -1.
    MR_ZERO_IS_MAX = 4,
    MR_ABOVE_IS_MAX = 8,  // A larger number means `max`, with a warning.
};

struct mr_choice {
    const char *word;  // NULL ends the list.
    int number;
};

struct mr_directive {
    const char *name;
    enum mr_scope scope;
    enum mr_kind kind;
    size_t offset;  // Of the field in the scope's struct,
    size_t width;   // and its size.
    uint64_t min;
    uint64_t max;  // Of the number, or of the bytes of a text.
    unsigned flags;
    uint64_t preset;                  // Default of numbers, choices and bools,
    const char *preset_word;          // of texts and words. NULL: none.
    const struct mr_choice *choices;  // Of MR_KIND_CHOICE and MR_KIND_WORD.
    // A text's own check, of MR_KIND_TEXT.
    bool (*valid)(struct mr_slice value);
    enum mr_err (*apply)(struct mr_reading *reading, const struct mr_directive *directive,
                         struct mr_slice value);
    // Prints lines for `base`, the scope's struct.
    void (*print)(struct mr_text *out, const struct mr_directive *directive, const void *base);
    const char *expected;  // NULL: made from kind and range.
    const char *shown;     // The default in words, for the documentation; NULL: made.
    const char *help;
};

extern const struct mr_directive mr_directives[];
extern const size_t mr_directive_count;

// NULL: there is none of that name.
const struct mr_directive *mr_directive_find(struct mr_slice name);

// "a whole number from 0 to 2". Returns `out`.
#define MR_EXPECTED_BYTES 256
const char *mr_directive_expected(const struct mr_directive *directive,
                                  char out[MR_EXPECTED_BYTES]);
// The default as it is written in a file, or "none". Returns `out`.
const char *mr_directive_default(const struct mr_directive *directive, char out[MR_EXPECTED_BYTES]);

// Writes the defaults of the rows of `scope` into its struct; texts stay NULL except
// for words.
void mr_directive_defaults(enum mr_scope scope, void *base);

// What Mosquitto knows and we don't yet.
struct mr_unsupported {
    const char *name;      // "auth_opt_*" stands for all that begin so.
    const char *harmless;  // A value that asks for what we do anyway; NULL: none.
    const char *advice;
};

extern const struct mr_unsupported mr_unsupported[];
extern const size_t mr_unsupported_count;
const struct mr_unsupported *mr_unsupported_find(struct mr_slice name);

// special.c
#define MR_DECLARE_APPLY(noun)                                                                    \
    enum mr_err mr_apply_##noun(struct mr_reading *reading, const struct mr_directive *directive, \
                                struct mr_slice value)
MR_DECLARE_APPLY(listener);
MR_DECLARE_APPLY(port);
MR_DECLARE_APPLY(bind_address);
MR_DECLARE_APPLY(protocol);
MR_DECLARE_APPLY(per_listener_settings);
MR_DECLARE_APPLY(allow_anonymous);
MR_DECLARE_APPLY(clientid_prefixes);
MR_DECLARE_APPLY(log_dest);
MR_DECLARE_APPLY(log_type);
MR_DECLARE_APPLY(include_dir);
#undef MR_DECLARE_APPLY

// The words of log_type.
extern const struct mr_choice mr_log_type_words[];

// print.c
#define MR_DECLARE_PRINT(noun)                                                      \
    void mr_print_##noun(struct mr_text *out, const struct mr_directive *directive, \
                         const void *base)
MR_DECLARE_PRINT(clientid_prefixes);
MR_DECLARE_PRINT(log_dest);
MR_DECLARE_PRINT(log_type);
#undef MR_DECLARE_PRINT

#ifdef __cplusplus
}  // extern "C"
#endif

#endif  // MILLRACE_BROKER_CONFIG_DIRECTIVE_H
