// A connection and a session as the packet handlers see them. Private to this component.
#ifndef MILLRACE_BROKER_PROTOCOL_CLIENT_H
#define MILLRACE_BROKER_PROTOCOL_CLIENT_H

#include "broker/log/log.h"
#include "broker/protocol/protocol.h"
#include "broker/session/session.h"
#include "codec/codec.h"
#include "io/loop.h"

enum mr_client_state {
    MR_CLIENT_NEW,       // CONNECT awaited.
    MR_CLIENT_CHECKING,  // Its password is being checked; the CONNECT is unconsumed.
    MR_CLIENT_CHECKED,   // Password is right; the CONNECT comes again.
    MR_CLIENT_MOVING,    // On its way to another worker.
    MR_CLIENT_CONNECTED,
    MR_CLIENT_CLOSING,  // mr_stream_close() was called, or the stream is closed.
};

// Why reception is paused; it resumes when no reason is left.
enum mr_pause {
    MR_PAUSE_PASSWORD = 1 << 0,
    MR_PAUSE_MOVING = 1 << 1,
    MR_PAUSE_BUSY = 1 << 2,       // Another worker's ring is full.
    MR_PAUSE_CONGESTED = 1 << 3,  // A receiver is full, policy `backpressure`.
};

// What is to be done for a client at the end of the turn.
enum mr_work {
    MR_WORK_LISTED = 1 << 0,   // Is in the protocol's list of work.
    MR_WORK_FAILED = 1 << 1,   // link.failed was set.
    MR_WORK_REPLAY = 1 << 2,   // Retained messages wait for room.
    MR_WORK_WAITING = 1 << 3,  // Paused as busy or congested.
};

// Topic aliases that the client uses towards us.
struct mr_inbound_aliases {
    uint16_t max;
    struct mr_buf *names[];  // By alias - 1: 16-bit length and the topic name.
};

// A retained message delivery that goes on as the client takes it.
struct mr_replay {
    struct mr_replay *next;
    struct mr_retained_cursor cursor;
    uint32_t subscription_id;
    uint8_t qos;
    bool has_wildcard;
    uint32_t filter_len;
    uint8_t filter[];
};

// A will, of the connection or waiting for its delay to pass.
struct mr_will_record {
    struct mr_message *message;
    uint64_t at_ms;  // When it is due; 0: not before the connection ends.
    uint32_t delay_s;
    uint32_t expiry_s;  // Message expiry, counted from when it is sent.
    bool expires;
};

// What a session needs only while it has no connection.
struct mr_absence {
    struct mr_timer timer;  // For the will's delay and the session's expiry.
    struct mr_session_record *record;
    uint64_t expires_at_ms;  // 0: never.
};

// Kept small, as is struct mr_client: both are there for every idle client.
struct mr_session_record {
    struct mr_session session;
    struct mr_will_record *will;
    struct mr_replay *last_replay;  // Of a ring: its `next` is the first one. NULL: none.
    struct mr_absence *absence;     // NULL while connected.
    char *user_name;                // Of the last connection; NULL: anonymous.
    uint32_t expiry_s;              // UINT32_MAX: never.
    uint16_t security_index;
};

struct mr_client {
    struct mr_stream stream;
    struct mr_link link;
    struct mr_timer timer;  // CONNECT awaited, then keep alive.
    struct mr_protocol *protocol;
    struct mr_session_record *record;  // NULL until CONNECTED.
    struct mr_inbound_aliases *aliases;
    struct mr_client *next;
    struct mr_client **link_to;  // What points to this one in the list of all.
    struct mr_client *work_next;
    uint32_t last_recv_ms;  // The low bits: a difference is what counts.
    uint16_t keep_alive_s;
    uint16_t listener;
    uint8_t state;          // enum mr_client_state.
    uint8_t pause;          // Bits of enum mr_pause.
    uint8_t work;           // Bits of enum mr_work.
    bool acl;               // The policy restricts topics.
    bool pump_due;          // Something was acknowledged.
    bool password_pending;  // A password request refers to this client.
    bool stream_closed;
};

struct mr_protocol {
    struct mr_router *router;
    struct mr_shared *shared;
    const struct mr_config *config;
    struct mr_loop *loop;
    struct mr_policy_set *policies;
    uint32_t *listener_connections;
    struct mr_protocol_hooks hooks;
    struct mr_client *clients;
    struct mr_client *work;
    uint32_t client_count;
    uint32_t worker;
    struct mr_stream_handler handler;  // Of all connections.
    uint64_t assigned_count;           // Client identifiers assigned.
    bool woken;
    bool uncongested;
    bool shutting_down;
};

// What a handler says about the packet it was given.
enum mr_handled {
    MR_HANDLED,        // Done; on to the next packet.
    MR_HANDLED_LATER,  // Not consumed: it comes again after reception resumed.
    MR_HANDLED_CLOSE,  // The connection is closing.
};

static inline struct mr_counters *mr_client_counters(struct mr_client *client) {
    return &client->protocol->router->counters;
}
static inline struct mr_session *mr_client_session(struct mr_client *client) {
    return &client->record->session;
}
static inline bool mr_client_is_v5(const struct mr_client *client) {
    return client->link.version == MR_MQTT_50;
}
static inline bool mr_properties_bit(uint64_t present, enum mr_property_id id) {
    return (present & MR_PROPERTY_BIT(id)) != 0;
}
// Topic names to which only the broker publishes.
static inline bool mr_topic_is_brokers(struct mr_slice topic) {
    return mr_slice_has_prefix(topic, mr_slice_str("$SYS"));
}
const struct mr_listener_config *mr_client_listener(const struct mr_client *client);
struct mr_auth_policy *mr_client_policy(const struct mr_client *client);
void mr_client_identity(const struct mr_client *client, struct mr_auth_identity *out);
void mr_record_identity(const struct mr_session_record *record, struct mr_auth_identity *out);

// protocol.c
// Drops what waits for a session and may not be read by it (any more).
void mr_protocol_recheck_waiting(struct mr_protocol *protocol, struct mr_session *session);

// client.c
void mr_client_pause(struct mr_client *client, enum mr_pause reason);
void mr_client_resume(struct mr_client *client, enum mr_pause reason);
void mr_client_add_work(struct mr_client *client, enum mr_work work);
// Ends the connection from our side: DISCONNECT with `reason` for a 5.0 client that is connected,
// its will is sent, its session stays as long as it should. `what` (may be NULL) says why.
// Always returns MR_HANDLED_CLOSE.
enum mr_handled mr_client_close(struct mr_client *client, enum mr_reason reason, const char *what);
// The same for a packet that was refused.
enum mr_handled mr_client_refuse(struct mr_client *client, const struct mr_decode_error *error);
// The same because memory ran out: this client goes, the broker stays.
enum mr_handled mr_client_close_no_memory(struct mr_client *client);
// Puts the listener's mount point, if it has one, in front of a topic name or filter. `*buf_out`
// holds the new text, owned by the caller; NULL if there is none. False: too long, or out of
// memory.
bool mr_client_mount(const struct mr_client *client, struct mr_slice *text,
                     struct mr_buf **buf_out);
// Closes without a word.
enum mr_handled mr_client_drop(struct mr_client *client);
// Parts client and session; the will is sent or not.
void mr_client_leave_session(struct mr_client *client, bool send_will);
// Frees the connection's parts and the struct, after the stream is gone.
void mr_client_free(struct mr_client *client);
struct mr_client *mr_client_new(struct mr_protocol *protocol, uint32_t listener);
void mr_client_on_drain(struct mr_stream *stream);
void mr_client_on_close(struct mr_stream *stream, enum mr_err why, int os_error);

// receive.c
size_t mr_client_on_recv(struct mr_stream *stream, struct mr_buf *buf, struct mr_slice data,
                         size_t *need);

// record.c
// A new session for `entry`, which is taken; NULL if out of memory (the entry is still the
// caller's).
struct mr_session_record *mr_record_new(struct mr_protocol *protocol,
                                        struct mr_registry_entry *entry);
struct mr_session_record *mr_record_of(struct mr_session *session);
// Whose connection it is; NULL: not connected.
static inline struct mr_client *mr_record_client(const struct mr_session_record *record) {
    struct mr_link *link = record->session.link;
    return link == NULL ? NULL : MR_CONTAINER_OF(link, struct mr_client, link);
}
// Ends a session without connection: a waiting will is sent, subscriptions and messages go.
void mr_record_end(struct mr_protocol *protocol, struct mr_session_record *record);
void mr_record_send_will(struct mr_protocol *protocol, struct mr_session_record *record);
void mr_record_drop_will(struct mr_session_record *record);
// A connection has taken the session up.
void mr_record_present(struct mr_protocol *protocol, struct mr_session_record *record);
// The connection is gone: starts will delay and expiry, or ends the session at once.
void mr_record_disconnected(struct mr_protocol *protocol, struct mr_session_record *record,
                            bool send_will);
// Writes who published, for the retained store, to `*buf_out` (pooled, owned by the caller; NULL:
// nothing to write, or out of memory).
struct mr_slice mr_record_source(struct mr_protocol *protocol,
                                 const struct mr_session_record *record, struct mr_buf **buf_out);

// replay.c
enum mr_err mr_replay_start(struct mr_session_record *record, const struct mr_filter *filter,
                            const struct mr_subscription_options *options,
                            uint32_t subscription_id);
void mr_replay_cancel(struct mr_session_record *record, struct mr_slice filter);
void mr_replay_cancel_all(struct mr_session_record *record);
// Sends as much as the client takes now.
void mr_replay_pump(struct mr_client *client);

// send.c: each writes one packet; false if out of memory (the connection is then closing) or if
// the client's maximum packet size forbids it.
bool mr_send_connack(struct mr_client *client, const struct mr_connack *connack);
bool mr_send_ack(struct mr_client *client, enum mr_packet_type type, uint16_t packet_id,
                 enum mr_reason reason);
bool mr_send_suback(struct mr_client *client, enum mr_packet_type type, uint16_t packet_id,
                    struct mr_slice codes);
bool mr_send_pingresp(struct mr_client *client);
bool mr_send_disconnect(struct mr_client *client, enum mr_reason reason, const char *what);

// A packet, and what came behind it.
struct mr_arrival {
    struct mr_buf *buf;      // What all slices lie in.
    struct mr_slice packet;  // The packet, whole.
    struct mr_slice body;    // Without its fixed header.
    struct mr_slice following;
    // Of packet and following, what was handled: the packet, unless the handler says more.
    size_t handled_bytes;
    uint32_t packet_count;
};

// handle_*.c
// Sends what may be sent now that something was acknowledged: once for all that came at once.
void mr_client_pump(struct mr_client *client);
enum mr_handled mr_handle_connect(struct mr_client *client, struct mr_slice body);
enum mr_handled mr_handle_publish(struct mr_client *client, uint8_t flags,
                                  struct mr_arrival *arrival);
enum mr_handled mr_handle_ack(struct mr_client *client, enum mr_packet_type type,
                              struct mr_slice body);
enum mr_handled mr_handle_subscribe(struct mr_client *client, struct mr_slice body);
enum mr_handled mr_handle_unsubscribe(struct mr_client *client, struct mr_slice body);
enum mr_handled mr_handle_pingreq(struct mr_client *client, struct mr_slice body);
enum mr_handled mr_handle_disconnect(struct mr_client *client, struct mr_slice body);
enum mr_handled mr_handle_auth(struct mr_client *client, struct mr_slice body);

// move.c
enum mr_handled mr_client_move(struct mr_client *client, uint32_t worker);
void mr_client_on_detach(struct mr_stream *stream, intptr_t handle, struct mr_buf *buf,
                         struct mr_slice rest);
void mr_protocol_take_connection(struct mr_protocol *protocol, struct mr_parcel *parcel);

#endif  // MILLRACE_BROKER_PROTOCOL_CLIENT_H
