#include "broker/config/directive.h"

#define BRIDGE "bridges aren't supported yet: keep Mosquitto as a bridge beside Millrace"
#define TLS                                                                       \
    "TLS isn't supported yet: put a TLS proxy such as stunnel, HAProxy or nginx " \
    "in front of a listener on 127.0.0.1"
#define PSK "TLS with pre-shared keys isn't supported yet: use a TLS proxy in front"
#define WEBSOCKETS                                                                  \
    "WebSockets aren't supported yet: put a proxy that speaks them, such as nginx " \
    "or websockify, in front"
#define PLUGIN "plugins aren't supported: use password_file and acl_file"
#define PERSISTENCE                                                                \
    "sessions and retained messages live in memory only: remove the line, or set " \
    "persistence to false"
#define PROXY "the PROXY protocol isn't supported yet: remove the line"

const struct mr_unsupported mr_unsupported[] = {
    {"accept_protocol_versions", NULL, "all of 3.1, 3.1.1 and 5.0 are accepted: remove the line"},
    {"address", NULL, BRIDGE},
    {"addresses", NULL, BRIDGE},
    {"auth_opt_*", NULL, PLUGIN},
    {"auth_plugin", NULL, PLUGIN},
    {"auth_plugin_deny_special_chars", NULL, PLUGIN},
    {"autosave_interval", NULL, PERSISTENCE},
    {"autosave_on_changes", "false", PERSISTENCE},
    {"bridge_*", NULL, BRIDGE},
    {"cafile", NULL, TLS},
    {"capath", NULL, TLS},
    {"certfile", NULL, TLS},
    {"check_retain_source", NULL,
     "retained messages are checked for who receives them, not for who sent them: remove the "
     "line"},
    {"ciphers", NULL, TLS},
    {"ciphers_tls1.3", NULL, TLS},
    {"cleansession", NULL, BRIDGE},
    {"clientid", NULL, BRIDGE},
    {"connection", NULL, BRIDGE},
    {"crlfile", NULL, TLS},
    {"dhparamfile", NULL, TLS},
    {"disable_client_cert_date_checks", "false", TLS},
    {"enable_control_api", "false", "there is no $CONTROL API yet: remove the line"},
    {"enable_proxy_protocol", NULL, PROXY},
    {"global_max_clients", "-1", "sessions aren't counted yet: use max_connections"},
    {"global_max_connections", "-1", "use max_connections below each listener"},
    {"global_plugin", NULL, PLUGIN},
    {"http_dir", NULL, "no files are served over HTTP: use a web server"},
    {"idle_timeout", NULL, BRIDGE},
    {"keepalive_interval", NULL, BRIDGE},
    {"keyfile", NULL, TLS},
    {"listener_allow_anonymous", NULL,
     "use per_listener_settings true and allow_anonymous below the listener"},
    {"listener_auto_id_prefix", NULL,
     "use per_listener_settings true and auto_id_prefix below the listener"},
    {"local_cleansession", NULL, BRIDGE},
    {"local_clientid", NULL, BRIDGE},
    {"local_password", NULL, BRIDGE},
    {"local_username", NULL, BRIDGE},
    {"log_facility", NULL, "syslog messages go to facility daemon: remove the line"},
    {"notification_topic", NULL, BRIDGE},
    {"notifications", NULL, BRIDGE},
    {"notifications_local_only", NULL, BRIDGE},
    {"packet_buffer_size", NULL, "buffers are sized by the load: remove the line"},
    {"packet_max_auth", NULL, "use max_packet_size"},
    {"packet_max_connect", NULL, "a CONNECT may have 512 KiB: remove the line"},
    {"packet_max_simple", NULL, "use max_packet_size"},
    {"packet_max_sub", NULL, "use max_packet_size"},
    {"password", NULL, BRIDGE},
    {"persistence", "false", PERSISTENCE},
    {"persistence_file", NULL, PERSISTENCE},
    {"persistence_location", NULL, PERSISTENCE},
    {"plugin", NULL, PLUGIN},
    {"plugin_load", NULL, PLUGIN},
    {"plugin_opt_*", NULL, PLUGIN},
    {"plugin_use", NULL, PLUGIN},
    {"proxy_protocol_v2_require_tls", "false", PROXY},
    {"psk_file", NULL, PSK},
    {"psk_hint", NULL, PSK},
    {"remote_clientid", NULL, BRIDGE},
    {"remote_password", NULL, BRIDGE},
    {"remote_username", NULL, BRIDGE},
    {"require_certificate", "false", TLS},
    {"restart_timeout", NULL, BRIDGE},
    {"retain_expiry_interval", NULL,
     "retained messages expire by the publisher's message expiry interval only: remove the "
     "line"},
    {"retained_persistence", "false", PERSISTENCE},
    {"round_robin", NULL, BRIDGE},
    {"start_type", NULL, BRIDGE},
    {"threshold", NULL, BRIDGE},
    {"tls_engine", NULL, TLS},
    {"tls_engine_kpass_sha1", NULL, TLS},
    {"tls_keyform", NULL, TLS},
    {"tls_version", NULL, TLS},
    {"topic", NULL, BRIDGE},
    {"try_private", NULL, BRIDGE},
    {"use_identity_as_username", "false", TLS},
    {"use_subject_as_username", "false", TLS},
    {"username", NULL, BRIDGE},
    {"websockets_headers_size", NULL, WEBSOCKETS},
    {"websockets_log_level", NULL, WEBSOCKETS},
    {"websockets_origin", NULL, WEBSOCKETS},
};
const size_t mr_unsupported_count = MR_ARRAY_COUNT(mr_unsupported);

const struct mr_unsupported *mr_unsupported_find(struct mr_slice name) {
    for (size_t i = 0; i < mr_unsupported_count; i++) {
        struct mr_slice known = mr_slice_str(mr_unsupported[i].name);
        bool prefix = known.data[known.len - 1] == '*';
        struct mr_slice begin = name;
        if (prefix) {
            known.len--;
            begin.len = begin.len > known.len ? known.len : 0;
        }
        if (mr_slice_eq(begin, known)) {
            return &mr_unsupported[i];
        }
    }
    return NULL;
}
