// A session: what the broker keeps for one client id, connected or not: deliveries in flight
// and waiting, received QoS 2 identifiers, subscriptions. MQTT 5.0 sections 3.1.2.11,
// 4.1, 4.3, 4.4, 4.6 and 4.9.
//
// Writes packets into its connection's output; knows nothing of loops, timers or other
// sessions. What it can't decide (close the connection, slow a publisher down) it reports.
//
// Threads: the worker that owns the session.
#ifndef MILLRACE_BROKER_SESSION_SESSION_H
#define MILLRACE_BROKER_SESSION_SESSION_H

#include "base/base.h"
#include "broker/config/config.h"
#include "broker/message/run.h"
#include "broker/registry/registry.h"
#include "broker/session/items.h"
#include "broker/session/outgoing.h"
#include "broker/session/topic_aliases.h"
#include "broker/sys/counters.h"
#include "codec/codec.h"
#include "io/buf/chain.h"
#include "trie/trie.h"

#ifdef __cplusplus
extern "C" {
#endif

// What all sessions of a worker share.
struct mr_session_env {
    struct mr_buf_pool *pool;
    struct mr_scratch scratch;
    struct mr_counters *counters;
    uint64_t now_ms;  // Kept up to date by the worker.
    // From the configuration.
    uint16_t inflight_messages_max;  // 0 in all four: no limit.
    uint64_t inflight_bytes_max;     // One message may be in flight or wait even if it is larger.
    uint64_t queued_messages_max;    // Policy `backpressure`: what is under way when publishers
    uint64_t queued_bytes_max;       // are told to wait still gets in.
    uint64_t outbox_bytes;
    bool queue_qos0_messages;
    bool upgrade_outgoing_qos;
    enum mr_slow_policy slow_policy;
};

// The connection side of a session; embedded in the connection. Filled by the owner
// before mr_session_attach().
struct mr_link {
    struct mr_chain *out;       // Pending output of the connection.
    uint8_t version;            // enum mr_version.
    uint8_t failed;             // enum mr_link_failure; set by the session, the first one stays.
    uint16_t receive_max;       // The client's Receive Maximum; 65535 before 5.0.
    uint32_t packet_bytes_max;  // The client's Maximum Packet Size; UINT32_MAX if none.
    struct mr_topic_aliases *aliases;  // Towards the client; NULL: none.
    const char *mount_point;           // Taken off topic names; NULL: none. Not empty.
};

static inline struct mr_slice mr_link_mount_point(const struct mr_link *link) {
    return link->mount_point != NULL ? mr_slice_str(link->mount_point) : mr_slice_of(NULL, 0);
}

// Why the owner has to close the connection.
enum mr_link_failure {
    MR_LINK_OK,
    MR_LINK_TOO_SLOW,  // Policy `disconnect`: reason 0x97.
    // A delivery could not be written, or one that must not be lost could not be kept. What is
    // kept is sent by the next connection.
    MR_LINK_NO_MEMORY,
};

struct mr_subscription_set {
    struct mr_trie_node **nodes;
    uint32_t count;
    uint32_t capacity;
};

struct mr_session {
    struct mr_session_env *env;
    struct mr_link *link;  // NULL: not connected.
    struct mr_registry_entry *entry;
    struct mr_items inflight;  // By packet identifier: front_packet_id, then ascending.
    struct mr_items queue;
    struct mr_subscription_set subscriptions;
    struct mr_buf *received;  // Packet identifiers of unfinished QoS 2 PUBLISHes.
    uint64_t queued_bytes;    // Of waiting items that count.
    uint64_t inflight_bytes;
    uint32_t subscriber;    // Handle in trie and registry.
    uint32_t queued_count;  // Waiting items that count (no replay).
    uint32_t resend_index;  // Items in flight before it were sent on this connection or are done.
    uint16_t front_packet_id;
    uint16_t quota_used;  // Items sent on this connection and not finished.
    uint16_t received_count;
    // Policy `backpressure`: publishers should wait. But the own client of a session that is
    // congested doesn't begin to wait: its acknowledgements are what makes room here. So nobody
    // waits in a circle: in it, everybody would have begun to wait before whoever waits for him.
    bool congested;
    // Policy `disconnect`: it came back to a long queue and hasn't taken half of what fits yet.
    // Sent away for that, it could never get at its messages while there are new ones.
    bool catching_up;
    bool is_member;  // Has or had a shared subscription: others want to know how busy it is.
};

// Prepares an empty session in the caller's memory.
void mr_session_init(struct mr_session *session, struct mr_session_env *env, uint32_t subscriber,
                     struct mr_registry_entry *entry);
// Releases everything. The subscriptions must have been removed from the trie.
void mr_session_fini(struct mr_session *session);

// A connection takes the session up: mr_session_pump() sends again what was in flight, in order
// [MQTT-4.4.0-1] [MQTT-4.6.0-1], within the connection's own receive maximum.
void mr_session_attach(struct mr_session *session, struct mr_link *link);
// The connection is gone. Waiting QoS 0 deliveries go with it unless `queue_qos0_messages`.
void mr_session_detach(struct mr_session *session);

// How one receiver gets a message.
struct mr_grant {
    uint8_t qos;  // Of the subscription.
    bool retain;  // RETAIN flag to be sent.
    bool replay;  // Retained message for a SUBSCRIBE.
    uint16_t id_count;
    const uint32_t *ids;        // Subscription identifiers; borrowed.
    struct mr_trie_node *node;  // Shared filter it was picked for, else NULL.
};

// Delivers: writes a PUBLISH, or lets it wait, or drops and counts it. Never fails; look at
// link->failed and `congested` afterwards. Returns true if something was written.
bool mr_session_deliver(struct mr_session *session, struct mr_outgoing *outgoing,
                        const struct mr_grant *grant);

// Delivers a run as the bytes that came, if its receiver may get them so and at once. False:
// nothing was done, and each packet has to be delivered by itself.
bool mr_session_deliver_run(struct mr_session *session, const struct mr_run *run,
                            const struct mr_grant *grant);

// Sends what waits and may be sent. To be called when output has drained and after
// acknowledgements. Returns true if something was written.
bool mr_session_pump(struct mr_session *session);
// Does anything wait to be sent (so that a live message has to queue up behind it)?
bool mr_session_is_backlogged(const struct mr_session *session);

// Acknowledgements by the client. False: the identifier isn't in that state, nothing changed;
// for a PUBREC this means that PUBREL has to carry reason 0x92.
bool mr_session_puback(struct mr_session *session, uint16_t packet_id);
// `failed`: reason code of 0x80 or more, which ends the delivery; else the caller
// answers with PUBREL [MQTT-4.3.3-4], also if it did before.
bool mr_session_pubrec(struct mr_session *session, uint16_t packet_id, bool failed);
bool mr_session_pubcomp(struct mr_session *session, uint16_t packet_id);

// QoS 2 towards the broker.
enum mr_receive {
    MR_RECEIVE_NEW,
    MR_RECEIVE_DUPLICATE,  // PUBREC again, deliver nothing [MQTT-4.3.3-10].
    MR_RECEIVE_FULL,       // `count_max` are unfinished: the client overran our maximum.
    MR_RECEIVE_NO_MEMORY,
};
enum mr_receive mr_session_receive(struct mr_session *session, uint16_t packet_id,
                                   uint16_t count_max);
// Forgets an identifier: after PUBREL, or if the PUBLISH was refused. False if unknown.
bool mr_session_release(struct mr_session *session, uint16_t packet_id);
bool mr_session_has_received(const struct mr_session *session, uint16_t packet_id);

// Takes out each delivery that was picked for a shared filter and that another member may
// get, and gives it to `fn`: those that wait, and if `inflight` also those of QoS 1 sent but not
// acknowledged. `fn` takes the message's reference and must not touch this session. Stops early
// when `fn` answers false: then that delivery stays, and the reference with it.
//
// Only those of `node`, unless it is NULL. With a `node`, the session is about to leave it: what
// stays of it becomes a delivery like any other and refers to the node no more. An
// UNSUBSCRIBE must complete what is in flight [MQTT-3.10.4-3], so `inflight` is for the end of
// a session. Call mr_session_pump() afterwards if a connection is there.
void mr_session_take_shared(struct mr_session *session, struct mr_trie_node *node, bool inflight,
                            bool (*fn)(void *ctx, struct mr_trie_node *node,
                                       struct mr_message *message),
                            void *ctx);

// Drops what waits with a topic name for which `keep` says false: access rights have changed.
void mr_session_drop_waiting(struct mr_session *session,
                             bool (*keep)(void *ctx, struct mr_slice topic), void *ctx);

// Gives back memory that an idle session doesn't need.
void mr_session_trim(struct mr_session *session);

// The set of subscriptions, for the owner to keep in step with the trie. Adding what is there
// and removing what isn't change nothing. Errors: MR_ERR_NOMEM.
MR_NODISCARD enum mr_err mr_subscription_set_add(struct mr_subscription_set *set,
                                                 struct mr_trie_node *node);
void mr_subscription_set_remove(struct mr_subscription_set *set, struct mr_trie_node *node);
bool mr_subscription_set_has(const struct mr_subscription_set *set,
                             const struct mr_trie_node *node);
// Walks the set in no particular order: start with *index = 0; NULL at the end. The set must
// not change meanwhile.
struct mr_trie_node *mr_subscription_set_next(const struct mr_subscription_set *set,
                                              uint32_t *index);
void mr_subscription_set_fini(struct mr_subscription_set *set);

#ifdef __cplusplus
}  // extern "C"
#endif

#endif  // MILLRACE_BROKER_SESSION_SESSION_H
