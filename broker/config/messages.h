// Messages of one reading: collected, bounded, made safe for a terminal.
#ifndef MILLRACE_BROKER_CONFIG_MESSAGES_H
#define MILLRACE_BROKER_CONFIG_MESSAGES_H

#include "base/base.h"
#include "broker/config/config.h"

#ifdef __cplusplus
extern "C" {
#endif

// A file full of nonsense must not fill the memory with complaints.
#define MR_CONFIG_MESSAGES_MAX 100
#define MR_CONFIG_MESSAGE_BYTES_MAX 700

enum mr_config_severity {
    MR_CONFIG_WARNING,
    MR_CONFIG_ERROR,
};

// Where a message is about. `line` 0: the whole file; `path` NULL: the command line.
struct mr_config_place {
    const char *path;
    uint32_t line;
};

// Adds "path:line: error: …". Errors are counted even if the list is full.
// Errors: MR_ERR_NOMEM.
MR_NODISCARD enum mr_err mr_config_message_add(struct mr_config_messages *messages,
                                               enum mr_config_severity severity,
                                               struct mr_config_place place, const char *format,
                                               ...) MR_PRINTF(4, 5);

// A value as a message shows it: control characters escaped, cut when long.
#define MR_CONFIG_QUOTE_BYTES 100
const char *mr_config_quote(struct mr_slice text, char out[MR_CONFIG_QUOTE_BYTES]);

#ifdef __cplusplus
}  // extern "C"
#endif

#endif  // MILLRACE_BROKER_CONFIG_MESSAGES_H
