// The few words that every component shares: errors of our process, borrowed
// byte ranges, assertions. Knows nothing of MQTT and nothing of input/output.
//
// Threads: everything here may be used from any thread.
#ifndef MILLRACE_BASE_BASE_H
#define MILLRACE_BASE_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

#define MR_NODISCARD __attribute__((warn_unused_result))
// _GNU_SOURCE gives Windows the printf() of POSIX; gcc there has to be told.
#ifdef __MINGW32__
#define MR_PRINTF(format_index, first_index) \
    __attribute__((format(gnu_printf, format_index, first_index)))
#else
#define MR_PRINTF(format_index, first_index) \
    __attribute__((format(printf, format_index, first_index)))
#endif
#define MR_LIKELY(x) __builtin_expect(!!(x), 1)
#define MR_UNLIKELY(x) __builtin_expect(!!(x), 0)
#define MR_ARRAY_COUNT(array) (sizeof(array) / sizeof((array)[0]))
// The struct of type `type` whose member `member` is at `pointer`.
#define MR_CONTAINER_OF(pointer, type, member) \
    ((type *)(void *)((char *)(pointer)-offsetof(type, member)))

// What our own process could not do. MQTT reason codes are another vocabulary
// (codec/reason.h); the two are never mixed. X(name, text).
#define MR_ERR_MAP(X)                                   \
    X(OK, "success")                                    \
    X(ERR_NOMEM, "out of memory")                       \
    X(ERR_LIMIT, "a configured limit is reached")       \
    X(ERR_INVALID, "invalid argument")                  \
    X(ERR_NOTFOUND, "not found")                        \
    X(ERR_EXISTS, "exists already")                     \
    X(ERR_BUSY, "busy, try again later")                \
    X(ERR_CANCELED, "canceled")                         \
    X(ERR_EOF, "the peer closed the connection")        \
    X(ERR_RESET, "the connection was reset")            \
    X(ERR_TIMEOUT, "timed out")                         \
    X(ERR_ACCESS, "permission denied")                  \
    X(ERR_ADDRINUSE, "the address is in use")           \
    X(ERR_ADDRNOTAVAIL, "the address is not available") \
    X(ERR_NOFILES, "out of file descriptors")           \
    X(ERR_UNSUPPORTED, "not supported here")            \
    X(ERR_IO, "input/output error")

enum mr_err {
#define MR_ERR_ENUM(name, text) MR_##name,
    MR_ERR_MAP(MR_ERR_ENUM)
#undef MR_ERR_ENUM
};

// Returns a static text for `err`; never NULL.
const char *mr_err_text(enum mr_err err);

// Returns early with the error of `expr`, if any.
#define MR_TRY(expr)                  \
    do {                              \
        enum mr_err mr_try_ = (expr); \
        if (MR_UNLIKELY(mr_try_)) {   \
            return mr_try_;           \
        }                             \
    } while (0)

// A range of bytes that somebody else owns. The function or field that holds
// one says until when it is valid. An empty slice may have a NULL pointer.
struct mr_slice {
    const uint8_t *data;
    size_t len;
};

static inline struct mr_slice mr_slice_of(const void *data, size_t len) {
    struct mr_slice slice = {(const uint8_t *)data, len};
    return slice;
}

static inline struct mr_slice mr_slice_str(const char *text) {
    return mr_slice_of(text, strlen(text));
}

static inline bool mr_slice_eq(struct mr_slice a, struct mr_slice b) {
    return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

static inline bool mr_slice_has_prefix(struct mr_slice text, struct mr_slice prefix) {
    return text.len >= prefix.len &&
           (prefix.len == 0 || memcmp(text.data, prefix.data, prefix.len) == 0);
}

// What separates words in the lines of files; carriage returns count, for files from elsewhere.
static inline bool mr_byte_is_blank(uint8_t byte) {
    return byte == ' ' || byte == '\t' || byte == '\r';
}

// Cuts blanks off both ends.
struct mr_slice mr_slice_trim(struct mr_slice text);

// Reports a broken invariant on standard error and aborts.
__attribute__((noreturn, cold)) void mr_assert_fail(const char *condition, const char *file,
                                                    int line);

// Counts and logs (rate limited) what MR_NEVER saw; returns true.
__attribute__((cold)) bool mr_never_seen(const char *condition, const char *file, int line);

// How often MR_NEVER was hit since the process started.
uint64_t mr_never_count(void);

// For our own invariants; stays on in every build. Never for input,
// configuration or a lack of resources.
#define MR_ASSERT(condition) \
    (MR_LIKELY(condition) ? (void)0 : mr_assert_fail(#condition, __FILE__, __LINE__))

// For the hot path: on in debug, sanitizer and fuzz builds (MR_DEBUG).
#ifdef MR_DEBUG
#define MR_DEBUG_ASSERT(condition) MR_ASSERT(condition)
#else
#define MR_DEBUG_ASSERT(condition) ((void)sizeof(condition))
#endif

// True if the impossible happened: the caller must then be safe, at the cost of
// one client. Aborts in MR_DEBUG builds.
#ifdef MR_DEBUG
#define MR_NEVER(condition)                                                                    \
    (MR_UNLIKELY(condition) ? (mr_assert_fail("never: " #condition, __FILE__, __LINE__), true) \
                            : false)
#else
#define MR_NEVER(condition) \
    (MR_UNLIKELY(condition) ? mr_never_seen(#condition, __FILE__, __LINE__) : false)
#endif

#ifdef __cplusplus
}  // extern "C"
#endif

#endif  // MILLRACE_BASE_BASE_H
