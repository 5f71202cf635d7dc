// The log: lines by type to the places that the configuration names.
//
// Never called on the hot path of a message. Lines are bounded; whatever came from a
// client is escaped, so that it can't forge lines. A storm of equal events is thinned out by
// the caller with mr_log_allow().
//
// The log writes through a sink that the binary provides (files, syslog, standard output,
// $SYS/broker/log): this component makes no system calls.
//
// Threads: any thread may log once mr_log_set_sink() was called.
#ifndef MILLRACE_BROKER_LOG_LOG_H
#define MILLRACE_BROKER_LOG_LOG_H

#include "base/base.h"
#include "broker/config/config.h"

#ifdef __cplusplus
extern "C" {
#endif

#define MR_LOG_LINE_BYTES_MAX 1024

// Takes one line without its end and without time stamp. May be called by several threads
// at once.
struct mr_log_sink {
    void *ctx;
    void (*write)(void *ctx, enum mr_log_type type, const char *line, size_t len);
};

// Replaces the sink and the mask of types that are wanted. `sink` is copied. When this
// returns, the sink before it isn't called any more. Not from within a sink.
void mr_log_set_sink(const struct mr_log_sink *sink, uint32_t types);

bool mr_log_wants(enum mr_log_type type);
void mr_log(enum mr_log_type type, const char *format, ...) MR_PRINTF(2, 3);

// Text from outside made safe for a log line: bytes outside of printable ASCII and valid
// UTF-8 are escaped, the length is cut. Returns `out`.
#define MR_LOG_TEXT_BYTES 256
const char *mr_log_text(struct mr_slice text, char out[MR_LOG_TEXT_BYTES]);

// At most `per_minute` times in a minute true; counts the others, and says how many were left
// out in `*skipped_out` the next time it is true. One static limiter for each place, {0} at
// first; any thread.
struct mr_log_limiter {
    uint64_t state;    // Private. Minute and count, so that they change together.
    uint32_t skipped;  // Private.
};
bool mr_log_allow(struct mr_log_limiter *limiter, uint64_t now_ms, uint32_t per_minute,
                  uint32_t *skipped_out);

#ifdef __cplusplus
}  // extern "C"
#endif

#endif  // MILLRACE_BROKER_LOG_LOG_H
