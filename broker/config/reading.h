// One reading of the configuration while it is under way.
#ifndef MILLRACE_BROKER_CONFIG_READING_H
#define MILLRACE_BROKER_CONFIG_READING_H

#include "base/base.h"
#include "broker/config/config.h"
#include "broker/config/directive.h"
#include "broker/config/messages.h"

#ifdef __cplusplus
extern "C" {
#endif

// Bounds of what one reading may take.
#define MR_CONFIG_FILES_MAX 1000
#define MR_CONFIG_LISTENERS_MAX 1000
#define MR_CONFIG_PREFIXES_MAX 1000
#define MR_CONFIG_LINE_BYTES_MAX 70000  // A value of 65535 bytes fits.

#define MR_DEFAULT_PORT 1883
#define MR_NO_LISTENER UINT32_MAX

// What mr_config_free() frees: the configuration and the texts that it points to.
struct mr_config_text {
    struct mr_config_text *next;
    char text[];
};

struct mr_config_owner {
    struct mr_config config;
    struct mr_config_text *texts;
    uint32_t listener_capacity;
};

struct mr_reading {
    const struct mr_config_reader *reader;
    const struct mr_config_overrides *overrides;
    struct mr_config_messages *messages;
    struct mr_config_owner *owner;

    struct mr_config_place place;
    uint32_t file_count;
    bool included;  // In a file of include_dir.

    uint32_t current;           // Listener that a directive belongs to, or MR_NO_LISTENER.
    uint32_t default_listener;  // The one of `port` and `bind_address`, or MR_NO_LISTENER.
    bool network_asked;         // listener, port or bind_address: not local-only.
    bool security_seen;         // A directive of scope security.
    bool log_dest_seen;
    bool log_type_seen;
    // Was allow_anonymous given: globally, for a listener? The latter by index.
    bool anonymous_seen;
    bool *listener_anonymous_seen;
};

// A copy of `text` that lives as long as the configuration, or NULL.
const char *mr_reading_keep(struct mr_reading *reading, struct mr_slice text);

// "name: expected …, not 'value'". Errors: MR_ERR_NOMEM.
MR_NODISCARD enum mr_err mr_reading_refuse(struct mr_reading *reading,
                                           const struct mr_directive *directive,
                                           struct mr_slice value);
// Any other message about the current line. Errors: MR_ERR_NOMEM.
#define mr_reading_error(reading, ...) \
    mr_config_message_add((reading)->messages, MR_CONFIG_ERROR, (reading)->place, __VA_ARGS__)
#define mr_reading_warn(reading, ...) \
    mr_config_message_add((reading)->messages, MR_CONFIG_WARNING, (reading)->place, __VA_ARGS__)

// Is `rest`, which follows a value of one word, empty or a comment? If not, an error is
// added and `*bad_out` true.
MR_NODISCARD enum mr_err mr_reading_check_rest(struct mr_reading *reading, bool *bad_out,
                                               const struct mr_directive *directive,
                                               struct mr_slice rest);

// Adds a listener with default values and makes it the current one. Errors: MR_ERR_NOMEM;
// MR_ERR_LIMIT with a message.
MR_NODISCARD enum mr_err mr_reading_add_listener(struct mr_reading *reading);
// Makes the default listener the current one; adds it if there is none yet.
MR_NODISCARD enum mr_err mr_reading_use_default_listener(struct mr_reading *reading);

// The struct that a directive of this row belongs to. NULL with an error added: a listener
// has to come first.
MR_NODISCARD enum mr_err mr_reading_base(struct mr_reading *reading, void **base_out,
                                         const struct mr_directive *directive);

// Reads one file, line by line.
MR_NODISCARD enum mr_err mr_reading_file(struct mr_reading *reading, const char *path);

// finish.c: overrides, listeners, what can be checked only at the end.
MR_NODISCARD enum mr_err mr_reading_finish(struct mr_reading *reading);

#ifdef __cplusplus
}  // extern "C"
#endif

#endif  // MILLRACE_BROKER_CONFIG_READING_H
