// The effective configuration: Mosquitto's dialect read into one immutable struct.
//
// Reading is all or nothing: a file with an error yields no configuration but a list of
// messages, each with file, line and what was expected. A directive of Mosquitto's that
// we don't support yet is an error with advice, never ignored.
//
// This component parses text; it makes no system calls itself: files are read through
// `struct mr_config_reader`, which the binary (or a test) provides.
//
// Threads: a configuration is immutable once read and may be shared by all threads.
#ifndef MILLRACE_BROKER_CONFIG_CONFIG_H
#define MILLRACE_BROKER_CONFIG_CONFIG_H

#include "base/base.h"

#ifdef __cplusplus
extern "C" {
#endif

enum mr_slow_policy {
    MR_SLOW_DROP_NEWEST,  // Mosquitto's behaviour, the default.
    MR_SLOW_DROP_OLDEST,
    MR_SLOW_DISCONNECT,    // Reason 0x97.
    MR_SLOW_BACKPRESSURE,  // Publishers to that client are slowed down.
};

enum mr_protocol_option {
    MR_PROTOCOL_MQTT,
};

// Bits of log_type.
enum mr_log_type {
    MR_LOG_DEBUG = 1 << 0,
    MR_LOG_ERROR = 1 << 1,
    MR_LOG_WARNING = 1 << 2,
    MR_LOG_NOTICE = 1 << 3,
    MR_LOG_INFORMATION = 1 << 4,
    MR_LOG_SUBSCRIBE = 1 << 5,
    MR_LOG_UNSUBSCRIBE = 1 << 6,
    MR_LOG_INTERNAL = 1 << 7,
    MR_LOG_ALL = (1 << 8) - 1,
};

// Who may do what; one for all listeners, or one for each with per_listener_settings.
struct mr_security_config {
    bool allow_anonymous;
    bool allow_zero_length_clientid;  // Default true.
    const char *auto_id_prefix;       // "auto-" by default.
    const char *password_file;        // NULL: none.
    const char *acl_file;             // NULL: none.
};

struct mr_listener_config {
    const char *host;  // NULL: all addresses.
    uint16_t port;     // 0 with a unix socket.
    const char *unix_path;
    const char *bind_interface;
    int family;                       // socket_domain: 0, 4 or 6.
    uint32_t connections_max;         // UINT32_MAX: no limit (-1 in the file).
    const char *mount_point;          // NULL: none.
    uint8_t qos_max;                  // Default 2.
    uint16_t topic_alias_max;         // max_topic_alias.
    uint16_t topic_alias_broker_max;  // max_topic_alias_broker: ours towards clients.
    bool use_username_as_clientid;
    // The listener's own settings if per_listener_settings is true, else a copy of the
    // global ones. `security_index` names the set: equal index, equal settings.
    struct mr_security_config security;
    uint32_t security_index;
};

// Fields stand by meaning, since there is only one of it.
struct mr_config {                         // NOLINT(clang-analyzer-optin.performance.Padding)
    struct mr_listener_config *listeners;  // At least one.
    uint32_t listener_count;
    // No listener was configured: loopback only, anonymous allowed. There are two listeners
    // then, 127.0.0.1 and ::1, of which one may fail to open.
    bool local_only;
    bool per_listener_settings;
    struct mr_security_config security;
    uint32_t security_count;  // security_index is below it.

    char **clientid_prefixes;  // NULL: any.
    uint32_t clientid_prefix_count;

    uint16_t inflight_messages_max;  // 0 in the file: the ceiling.
    uint64_t inflight_bytes_max;     // 0: no limit.
    uint64_t queued_messages_max;    // 0: no limit.
    uint64_t queued_bytes_max;       // 0: no limit.
    bool queue_qos0_messages;
    uint32_t packet_bytes_max;   // Also lowered by message_size_limit.
    uint32_t message_bytes_max;  // Payload; message_size_limit; 0: no limit.
    uint16_t keep_alive_s_max;   // max_keepalive, default 65535; 0 allows "no keep alive".
    bool retain_available;
    bool upgrade_outgoing_qos;
    bool set_tcp_nodelay;
    uint64_t persistent_client_expiration_s;  // 0: never.
    uint32_t sys_interval_s;                  // 0: no $SYS.

    bool connection_messages;
    uint32_t log_types;  // Bits of mr_log_type.
    bool log_stdout;
    bool log_stderr;
    bool log_syslog;
    bool log_topic;
    const char *log_file;  // NULL: none.
    bool log_timestamp;
    const char *log_timestamp_format;  // strftime; NULL: seconds since 1970.
    const char *pid_file;
    const char *user;

    // Our own.
    uint32_t workers;        // 0: one for each core.
    const char *io_backend;  // "auto", "epoll", "io_uring", "iocp", "uv".
    enum mr_slow_policy slow_policy;
    uint64_t outbox_bytes;
    uint32_t connect_timeout_s;
    uint16_t receive_max;
    uint16_t publish_run_max;
    uint32_t subscriptions_per_client_max;
    uint64_t topic_cache_bytes;
    uint16_t topic_lookahead;
    uint32_t busy_poll_ms;
    uint64_t retained_messages_max;  // 0: no limit.
    uint64_t retained_bytes_max;     // 0: no limit.
    uint64_t memory_bytes_max;       // memory_limit of all pooled buffers; 0: no limit.
};

// Files as the parser sees them. `read` returns owned, malloc'ed, NUL-terminated text in
// `*text_out` and its length; `list` the names (malloc'ed array of malloc'ed strings) of the
// files ending in ".conf" in a folder, in Mosquitto's order: without regard to case, capitals
// first if that is the only difference. An array without names may be NULL.
struct mr_config_reader {
    void *ctx;
    enum mr_err (*read)(void *ctx, const char *path, char **text_out, size_t *len_out);
    enum mr_err (*list)(void *ctx, const char *folder, char ***names_out, size_t *count_out);
};

// What the command line asked for; it wins over the file.
struct mr_config_overrides {
    const char *path;        // -c; NULL: the built-in defaults.
    uint16_t port;           // -p, of the default listener; 0: not given.
    bool verbose;            // -v: log all types.
    const char *io_backend;  // --io; NULL: not given.
    int workers;             // --workers; -1: not given.
};

// Messages of one reading, errors and warnings.
struct mr_config_messages {
    char **lines;  // "millrace.conf:12: error: …"
    size_t count;
    size_t error_count;
};

// Reads the configuration; `*out` is owned by the caller and ends with
// mr_config_free(). Messages are filled in either case and end with
// mr_config_messages_fini(). Errors: MR_ERR_INVALID (see messages), MR_ERR_NOMEM.
MR_NODISCARD enum mr_err mr_config_read(struct mr_config **out, struct mr_config_messages *messages,
                                        const struct mr_config_reader *reader,
                                        const struct mr_config_overrides *overrides);
void mr_config_free(struct mr_config *config);  // NULL is allowed.
void mr_config_messages_fini(struct mr_config_messages *messages);

// The effective configuration in the dialect's own form, so that reading it again
// gives the same. Returns owned, malloc'ed text, or NULL if out of memory.
char *mr_config_print(const struct mr_config *config);

#ifdef __cplusplus
}  // extern "C"
#endif

#endif  // MILLRACE_BROKER_CONFIG_CONFIG_H
