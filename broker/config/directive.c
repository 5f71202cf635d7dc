#include "broker/config/directive.h"

#include <inttypes.h>
#include <stdio.h>

#include "broker/config/value.h"
#include "broker/limits.h"
#include "codec/topic.h"
#include "codec/utf8.h"

#define PATH_BYTES_MAX 4095
#define INTERFACE_BYTES_MAX 15  // IFNAMSIZ of Linux, without the end.
#define ID_PREFIX_BYTES_MAX 50  // Mosquitto's.
#define FORMAT_BYTES_MAX 200    // A time stamp has to leave room for the line.
#define MOUNT_POINT_BYTES_MAX 4096
#define COUNT_MAX INT64_MAX  // "No limit" for what is only compared with.

#define FIELD(scope_, type, member) \
    .scope = (scope_), .offset = offsetof(type, member), .width = sizeof(((type *)NULL)->member)
#define GLOBAL(member) FIELD(MR_SCOPE_GLOBAL, struct mr_config, member)
#define LISTENER(member) FIELD(MR_SCOPE_LISTENER, struct mr_listener_config, member)
#define SECURITY(member) FIELD(MR_SCOPE_SECURITY, struct mr_security_config, member)

static const struct mr_choice socket_domains[] = {{"ipv4", 4}, {"ipv6", 6}, {NULL, 0}};

static const struct mr_choice slow_policies[] = {
    {"drop-newest", MR_SLOW_DROP_NEWEST},
    {"drop-oldest", MR_SLOW_DROP_OLDEST},
    {"disconnect", MR_SLOW_DISCONNECT},
    {"backpressure", MR_SLOW_BACKPRESSURE},
    {NULL, 0},
};

static const struct mr_choice io_backends[] = {{"auto", 0}, {"epoll", 0}, {"io_uring", 0},
                                               {"iocp", 0}, {"uv", 0},    {NULL, 0}};

const struct mr_choice mr_log_type_words[] = {
    {"debug", MR_LOG_DEBUG},
    {"error", MR_LOG_ERROR},
    {"warning", MR_LOG_WARNING},
    {"notice", MR_LOG_NOTICE},
    {"information", MR_LOG_INFORMATION},
    {"subscribe", MR_LOG_SUBSCRIBE},
    {"unsubscribe", MR_LOG_UNSUBSCRIBE},
    {"internal", MR_LOG_INTERNAL},
    {"all", MR_LOG_ALL},
    {"none", 0},
    {NULL, 0},
};

static bool valid_mount_point(struct mr_slice value) {
    return mr_topic_name_valid(value);
}

static bool valid_utf8(struct mr_slice value) {
    return mr_utf8_valid(value);
}

// The order is that of the documentation and of mr_config_print(), where
// per_listener_settings has to come first.
const struct mr_directive mr_directives[] = {
    // Listeners.
    {.name = "per_listener_settings",
     GLOBAL(per_listener_settings),
     .kind = MR_KIND_BOOL,
     .apply = mr_apply_per_listener_settings,
     .help = "If true, the directives of scope *security* belong to the listener above them "
             "instead of to all. Stands before the first of them."},
    {.name = "listener",
     .kind = MR_KIND_SPECIAL,
     .apply = mr_apply_listener,
     .expected = "a port, then optionally an address or host name; or 0 and the path of a "
                 "unix socket",
     .shown = "none",
     .help = "Opens a listener; the directives of scope *listener* below it belong to it. "
             "Without any `listener`, `port` or `bind_address` the broker is in local-only "
             "mode: port 1883 of the loopback addresses, anonymous clients allowed."},
    {.name = "port",
     .kind = MR_KIND_SPECIAL,
     .apply = mr_apply_port,
     .min = 1,
     .max = UINT16_MAX,
     .expected = "a whole number from 1 to 65535",
     .shown = "1883",
     .help = "Port of the default listener. Old form: better write `listener`."},
    {.name = "bind_address",
     .kind = MR_KIND_SPECIAL,
     .apply = mr_apply_bind_address,
     .expected = "an address or host name",
     .shown = "all addresses",
     .help = "Address of the default listener. Old form: better write `listener`."},
    {.name = "protocol",
     .scope = MR_SCOPE_LISTENER,
     .kind = MR_KIND_SPECIAL,
     .apply = mr_apply_protocol,
     .expected = "mqtt",
     .shown = "mqtt",
     .help = "Only `mqtt`; `websockets` isn't supported yet."},
    {.name = "socket_domain",
     LISTENER(family),
     .kind = MR_KIND_CHOICE,
     .choices = socket_domains,
     .shown = "both",
     .help = "Listens on addresses of this family only."},
    {.name = "bind_interface",
     LISTENER(bind_interface),
     .kind = MR_KIND_TEXT,
     .max = INTERFACE_BYTES_MAX,
     .expected = "the name of a network interface",
     .help = "Listens on this network interface only."},
    {.name = "max_connections",
     LISTENER(connections_max),
     .kind = MR_KIND_NUMBER,
     .max = UINT32_MAX,
     .flags = MR_NEGATIVE_IS_MAX,
     .preset = UINT32_MAX,
     .expected = "a whole number, or -1 for no limit",
     .help = "Clients connected to this listener at once; -1: no limit."},
    {.name = "mount_point",
     LISTENER(mount_point),
     .kind = MR_KIND_TEXT,
     .max = MOUNT_POINT_BYTES_MAX,
     .valid = valid_mount_point,
     .expected = "the beginning of a topic name, without + and #",
     .help = "Stands in front of all topics of this listener's clients, who don't see it."},
    {.name = "max_qos",
     LISTENER(qos_max),
     .kind = MR_KIND_NUMBER,
     .max = 2,
     .preset = 2,
     .help = "Highest QoS that clients of this listener may publish with."},
    {.name = "max_topic_alias",
     LISTENER(topic_alias_max),
     .kind = MR_KIND_NUMBER,
     .max = MR_TOPIC_ALIAS_CEILING,
     .preset = MR_TOPIC_ALIAS_DEFAULT,
     .help = "Topic aliases that a client may use; 0: none."},
    {.name = "max_topic_alias_broker",
     LISTENER(topic_alias_broker_max),
     .kind = MR_KIND_NUMBER,
     .max = MR_TOPIC_ALIAS_CEILING,
     .preset = MR_TOPIC_ALIAS_BROKER_DEFAULT,
     .help = "Topic aliases that the broker uses towards a client that allows them; 0: none."},
    {.name = "use_username_as_clientid",
     LISTENER(use_username_as_clientid),
     .kind = MR_KIND_BOOL,
     .help = "Replaces the client id by the user name; clients without one are refused."},

    // Security.
    {.name = "allow_anonymous",
     SECURITY(allow_anonymous),
     .kind = MR_KIND_BOOL,
     .apply = mr_apply_allow_anonymous,
     .shown = "false; true in local-only mode",
     .help = "May clients without user name connect?"},
    {.name = "password_file",
     SECURITY(password_file),
     .kind = MR_KIND_TEXT,
     .max = PATH_BYTES_MAX,
     .expected = "a file name",
     .help = "Users and their password hashes, as `mosquitto_passwd` writes them."},
    {.name = "acl_file",
     SECURITY(acl_file),
     .kind = MR_KIND_TEXT,
     .max = PATH_BYTES_MAX,
     .expected = "a file name",
     .help = "Who may read and write which topics. What isn't allowed in it is forbidden."},
    {.name = "allow_zero_length_clientid",
     SECURITY(allow_zero_length_clientid),
     .kind = MR_KIND_BOOL,
     .preset = true,
     .help = "May clients leave their client id to the broker?"},
    {.name = "auto_id_prefix",
     SECURITY(auto_id_prefix),
     .kind = MR_KIND_TEXT,
     .max = ID_PREFIX_BYTES_MAX,
     .preset_word = "auto-",
     .valid = valid_utf8,
     .expected = "a text of at most 50 bytes of UTF-8",
     .help = "How a client id that the broker chooses begins."},
    {.name = "clientid_prefixes",
     GLOBAL(clientid_prefixes),
     .kind = MR_KIND_SPECIAL,
     .apply = mr_apply_clientid_prefixes,
     .print = mr_print_clientid_prefixes,
     .max = MR_TOPIC_BYTES_MAX,
     .expected = "the beginning of a client id, in UTF-8",
     .shown = "any",
     .help = "Only clients whose id begins so may connect. Given several times: one of them."},

    // Messages and sessions.
    {.name = "max_inflight_messages",
     GLOBAL(inflight_messages_max),
     .kind = MR_KIND_NUMBER,
     .max = MR_INFLIGHT_MESSAGES_CEILING,
     .flags = MR_NEGATIVE_IS_ZERO | MR_ZERO_IS_MAX,
     .preset = MR_INFLIGHT_MESSAGES_DEFAULT,
     .help = "Unacknowledged QoS 1 and 2 messages to one client; 0: as many as there are "
             "packet identifiers. 1 keeps their order under all circumstances."},
    {.name = "max_inflight_bytes",
     GLOBAL(inflight_bytes_max),
     .kind = MR_KIND_NUMBER,
     .max = COUNT_MAX,
     .flags = MR_NEGATIVE_IS_ZERO,
     .help = "The same in bytes; one message is always allowed. 0: no limit."},
    {.name = "max_queued_messages",
     GLOBAL(queued_messages_max),
     .kind = MR_KIND_NUMBER,
     .max = COUNT_MAX,
     .flags = MR_NEGATIVE_IS_ZERO,
     .preset = MR_QUEUED_MESSAGES_DEFAULT,
     .help = "Messages that wait for one client beyond those in flight; 0: no limit."},
    {.name = "max_queued_bytes",
     GLOBAL(queued_bytes_max),
     .kind = MR_KIND_NUMBER,
     .max = COUNT_MAX,
     .flags = MR_NEGATIVE_IS_ZERO,
     .preset = MR_QUEUED_BYTES_DEFAULT,
     .help = "The same in bytes; whichever limit is met first holds. 0: no limit, which is "
             "Mosquitto's default."},
    {.name = "queue_qos0_messages",
     GLOBAL(queue_qos0_messages),
     .kind = MR_KIND_BOOL,
     .help = "Do QoS 0 messages wait for clients that aren't connected?"},
    {.name = "max_packet_size",
     GLOBAL(packet_bytes_max),
     .kind = MR_KIND_NUMBER,
     .min = 20,
     .max = MR_REMAINING_LENGTH_MAX + MR_FIXED_HEADER_BYTES_MAX,
     .flags = MR_ABOVE_IS_MAX,
     .preset = MR_PACKET_BYTES_DEFAULT,
     .help = "Bytes of the largest packet that clients may send; larger ones end the "
             "connection."},
    {.name = "message_size_limit",
     GLOBAL(message_bytes_max),
     .kind = MR_KIND_NUMBER,
     .max = MR_REMAINING_LENGTH_MAX,
     .help = "Bytes of the largest payload; messages with a larger one are acknowledged but "
             "not delivered. Lowers max_packet_size to itself plus 128 KiB. 0: no limit."},
    {.name = "max_keepalive",
     GLOBAL(keep_alive_s_max),
     .kind = MR_KIND_NUMBER,
     .max = UINT16_MAX,
     .preset = UINT16_MAX,
     .help = "Seconds of the longest keep alive; 5.0 clients are told, if theirs is longer."},
    {.name = "retain_available",
     GLOBAL(retain_available),
     .kind = MR_KIND_BOOL,
     .preset = true,
     .help = "May clients publish retained messages?"},
    {.name = "max_retained_messages",
     GLOBAL(retained_messages_max),
     .kind = MR_KIND_NUMBER,
     .max = COUNT_MAX,
     .help = "*Millrace's own.* Retained messages that are kept; 0: no limit."},
    {.name = "max_retained_bytes",
     GLOBAL(retained_bytes_max),
     .kind = MR_KIND_BYTES,
     .max = COUNT_MAX,
     .help = "*Millrace's own.* Bytes of retained messages that are kept; 0: no limit."},
    {.name = "persistent_client_expiration",
     GLOBAL(persistent_client_expiration_s),
     .kind = MR_KIND_DURATION,
     .min = 1,
     .max = UINT32_MAX,
     .shown = "never",
     .help = "Sessions of clients that stayed away so long end, whatever expiry they asked "
             "for. m is 30 days, y 365."},
    {.name = "upgrade_outgoing_qos",
     GLOBAL(upgrade_outgoing_qos),
     .kind = MR_KIND_BOOL,
     .help = "Delivers with the subscription's QoS, even if the message was published with a "
             "lower one. Against the standard."},
    {.name = "set_tcp_nodelay",
     GLOBAL(set_tcp_nodelay),
     .kind = MR_KIND_BOOL,
     .help = "Turns Nagle's algorithm off."},
    {.name = "sys_interval",
     GLOBAL(sys_interval_s),
     .kind = MR_KIND_NUMBER,
     .max = UINT16_MAX,
     .preset = 10,
     .help = "Seconds between updates of `$SYS`; 0: no `$SYS`."},

    // Millrace's own.
    {.name = "workers",
     GLOBAL(workers),
     .kind = MR_KIND_NUMBER,
     .max = MR_WORKERS_MAX,
     .help = "*Millrace's own.* Threads that serve clients; 0: one for each core."},
    {.name = "io_backend",
     GLOBAL(io_backend),
     .kind = MR_KIND_WORD,
     .choices = io_backends,
     .preset_word = "auto",
     .help = "*Millrace's own.* How the system is asked for input and output. auto is epoll, and "
             "iocp on Windows, which has no other. io_uring needs Linux 6.12; where it is missing "
             "or forbidden, epoll is used and a line of the log says so. uv is libuv, for systems "
             "that have none of them. A word for another system ends the start."},
    {.name = "slow_consumer_policy",
     GLOBAL(slow_policy),
     .kind = MR_KIND_CHOICE,
     .choices = slow_policies,
     .preset = MR_SLOW_DROP_NEWEST,
     .help = "*Millrace's own.* What happens if the queue of a client is full: the new "
             "message is dropped (as Mosquitto does), or the oldest waiting one, or the "
             "client is disconnected, or those who publish to it are slowed down (but for "
             "those whose own queue is full, too, and for wills: theirs is dropped)."},
    {.name = "outbox_bytes",
     GLOBAL(outbox_bytes),
     .kind = MR_KIND_BYTES,
     .min = 4096,
     .max = MR_OUTBOX_BYTES_CEILING,
     .preset = MR_OUTBOX_BYTES_DEFAULT,
     .help = "*Millrace's own.* Output that a connection may have pending before messages "
             "wait in its queue."},
    {.name = "connect_timeout",
     GLOBAL(connect_timeout_s),
     .kind = MR_KIND_NUMBER,
     .min = 1,
     .max = MR_CONNECT_TIMEOUT_S_CEILING,
     .preset = MR_CONNECT_TIMEOUT_S_DEFAULT,
     .help = "*Millrace's own.* Seconds in which a connection has to send its CONNECT."},
    {.name = "receive_maximum",
     GLOBAL(receive_max),
     .kind = MR_KIND_NUMBER,
     .min = 1,
     .max = MR_RECEIVE_MAX_CEILING,
     .preset = MR_RECEIVE_MAX_DEFAULT,
     .help = "*Millrace's own.* QoS 1 and 2 messages that one client may have in flight to "
             "the broker."},
    {.name = "publish_run_max",
     GLOBAL(publish_run_max),
     .kind = MR_KIND_NUMBER,
     .min = 1,
     .max = MR_PUBLISH_RUN_MAX_CEILING,
     .preset = MR_PUBLISH_RUN_MAX_DEFAULT,
     .help = "*Millrace's own.* QoS 0 messages of one client with the same topic name and "
             "properties that are routed at once if they arrive at once; 1: each by itself."},
    {.name = "max_subscriptions_per_client",
     GLOBAL(subscriptions_per_client_max),
     .kind = MR_KIND_NUMBER,
     .min = 1,
     .max = UINT32_MAX,
     .preset = MR_SUBSCRIPTIONS_PER_CLIENT_DEFAULT,
     .help = "*Millrace's own.* Subscriptions of one client."},
    {.name = "topic_cache_bytes",
     GLOBAL(topic_cache_bytes),
     .kind = MR_KIND_BYTES,
     .max = COUNT_MAX,
     .preset = MR_TOPIC_CACHE_BYTES_DEFAULT,
     .help = "*Millrace's own.* Bytes of each worker's cache of topics; 0: none."},
    {.name = "topic_lookahead",
     GLOBAL(topic_lookahead),
     .kind = MR_KIND_NUMBER,
     .max = MR_TOPIC_LOOKAHEAD_CEILING,
     .preset = MR_TOPIC_LOOKAHEAD_DEFAULT,
     .help = "*Millrace's own.* PUBLISH packets further on in what a client sent whose topics are "
             "fetched from memory together; 0: each when it is its turn."},
    {.name = "busy_poll_ms",
     GLOBAL(busy_poll_ms),
     .kind = MR_KIND_NUMBER,
     .max = MR_BUSY_POLL_MS_CEILING,
     .help = "*Millrace's own.* Milliseconds for which a worker that had something to do goes on "
             "asking for more before it sleeps: less delay, for processor time; 0: it sleeps."},
    {.name = "memory_limit",
     GLOBAL(memory_bytes_max),
     .kind = MR_KIND_BYTES,
     .max = COUNT_MAX,
     .help = "Bytes of all buffers together; 0: no limit. Mosquitto counts all its memory."},

    // The log and the process.
    {.name = "log_dest",
     .kind = MR_KIND_SPECIAL,
     .apply = mr_apply_log_dest,
     .print = mr_print_log_dest,
     .max = PATH_BYTES_MAX,
     .expected = "stdout, stderr, syslog, topic, none, or file and a file name",
     .shown = "stderr",
     .help = "Where the log goes; may be given several times. `none` forgets those above it."},
    {.name = "log_type",
     GLOBAL(log_types),
     .kind = MR_KIND_SPECIAL,
     .choices = mr_log_type_words,
     .apply = mr_apply_log_type,
     .print = mr_print_log_type,
     .preset = MR_LOG_ERROR | MR_LOG_WARNING | MR_LOG_NOTICE | MR_LOG_INFORMATION,
     .shown = "error, warning, notice, information",
     .help = "What is logged; may be given several times. `none` forgets those above it."},
    {.name = "connection_messages",
     GLOBAL(connection_messages),
     .kind = MR_KIND_BOOL,
     .preset = true,
     .help = "Are clients that connect and disconnect logged?"},
    {.name = "log_timestamp",
     GLOBAL(log_timestamp),
     .kind = MR_KIND_BOOL,
     .preset = true,
     .help = "Do lines of the log begin with the time?"},
    {.name = "log_timestamp_format",
     GLOBAL(log_timestamp_format),
     .kind = MR_KIND_TEXT,
     .max = FORMAT_BYTES_MAX,
     .expected = "a format of strftime()",
     .shown = "seconds since 1970",
     .help = "How the time is written, for example `%Y-%m-%dT%H:%M:%S`."},
    {.name = "pid_file",
     GLOBAL(pid_file),
     .kind = MR_KIND_TEXT,
     .max = PATH_BYTES_MAX,
     .expected = "a file name",
     .help = "File that the process id is written to."},
    {.name = "user",
     GLOBAL(user),
     .kind = MR_KIND_TEXT,
     .max = 255,
     .expected = "the name of a user of the system",
     .shown = "mosquitto if there is one, else nobody",
     .help = "The user that the process becomes if root started it; `root`: it stays."},
    {.name = "include_dir",
     .kind = MR_KIND_SPECIAL,
     .apply = mr_apply_include_dir,
     .max = PATH_BYTES_MAX,
     .expected = "the name of a folder",
     .help = "Reads all files of this folder whose names end in `.conf`, by name. Only in the "
             "main file."},
    {.name = "allow_duplicate_messages",
     .kind = MR_KIND_IGNORED,
     .expected = "true or false",
     .shown = "-",
     .help = "Without effect; deprecated in Mosquitto."},
    {.name = "retry_interval",
     .kind = MR_KIND_IGNORED,
     .expected = "a number",
     .shown = "-",
     .help = "Without effect, as in Mosquitto: the standard forbids to repeat messages on a "
             "live connection."},
};
const size_t mr_directive_count = MR_ARRAY_COUNT(mr_directives);

const struct mr_directive *mr_directive_find(struct mr_slice name) {
    // Mosquitto's old name.
    if (mr_slice_eq(name, mr_slice_str("maximum_qos"))) {
        name = mr_slice_str("max_qos");
    }
    for (size_t i = 0; i < mr_directive_count; i++) {
        if (mr_slice_eq(name, mr_slice_str(mr_directives[i].name))) {
            return &mr_directives[i];
        }
    }
    return NULL;
}

static void expect_choices(const struct mr_choice *choice, char out[MR_EXPECTED_BYTES]) {
    size_t used = 0;
    for (; choice->word != NULL && used < MR_EXPECTED_BYTES; choice++) {
        const char *joint = choice[1].word == NULL ? "" : choice[2].word == NULL ? " or " : ", ";
        int printed = snprintf(out + used, MR_EXPECTED_BYTES - used, "%s%s", choice->word, joint);
        used += printed > 0 ? (size_t)printed : 0;
    }
}

static void expect_number(const struct mr_directive *directive, char out[MR_EXPECTED_BYTES]) {
    bool bytes = directive->kind == MR_KIND_BYTES;
    const char *what = bytes ? "a number of bytes" : "a whole number";
    const char *suffix = bytes ? "; K, M or G may follow" : "";
    if (directive->max == COUNT_MAX && directive->min == 0) {
        (void)snprintf(out, MR_EXPECTED_BYTES, "%s%s", what, suffix);
    } else {
        (void)snprintf(out, MR_EXPECTED_BYTES, "%s from %" PRIu64 " to %" PRIu64 "%s", what,
                       directive->min, directive->max, suffix);
    }
}

const char *mr_directive_expected(const struct mr_directive *directive,
                                  char out[MR_EXPECTED_BYTES]) {
    if (directive->expected != NULL) {
        (void)snprintf(out, MR_EXPECTED_BYTES, "%s", directive->expected);
    } else if (directive->choices != NULL) {
        expect_choices(directive->choices, out);
    } else if (directive->kind == MR_KIND_BOOL) {
        (void)snprintf(out, MR_EXPECTED_BYTES, "true or false");
    } else if (directive->kind == MR_KIND_DURATION) {
        (void)snprintf(out, MR_EXPECTED_BYTES,
                       "a whole number followed by s, h, d, w, m or y, such as 2w");
    } else {
        expect_number(directive, out);
    }
    return out;
}

const char *mr_directive_default(const struct mr_directive *directive,
                                 char out[MR_EXPECTED_BYTES]) {
    const char *word = directive->shown ? directive->shown : directive->preset_word;
    if (word == NULL && directive->kind == MR_KIND_BOOL) {
        word = directive->preset ? "true" : "false";
    }
    for (const struct mr_choice *c = directive->choices; word == NULL && c && c->word; c++) {
        word = (uint64_t)c->number == directive->preset ? c->word : NULL;
    }
    if (word == NULL && (directive->flags & MR_NEGATIVE_IS_MAX)) {
        word = "-1";
    }
    if (word == NULL && directive->kind != MR_KIND_NUMBER && directive->kind != MR_KIND_BYTES) {
        word = "none";
    }
    if (word != NULL) {
        (void)snprintf(out, MR_EXPECTED_BYTES, "%s", word);
    } else {
        (void)snprintf(out, MR_EXPECTED_BYTES, "%" PRIu64, directive->preset);
    }
    return out;
}

void mr_directive_defaults(enum mr_scope scope, void *base) {
    for (size_t i = 0; i < mr_directive_count; i++) {
        const struct mr_directive *directive = &mr_directives[i];
        if (directive->scope != scope || directive->width == 0) {
            continue;
        }
        if (directive->kind == MR_KIND_WORD) {
            mr_field_set_text(directive, base, directive->preset_word);
        } else if (directive->kind != MR_KIND_TEXT) {
            mr_field_set_number(directive, base, directive->preset);
        }
    }
}
