// The oracle of a soak: from what simulated clients send and get it knows what the broker owes
// them and what it must never do.
//
// It knows nothing of the broker's inside. Of each thing it knows when it can have begun to hold
// (a SUBSCRIBE was sent) and when it surely did (its SUBACK came), and judges by that: a message is
// owed to a session that was subscribed all the time; it is wrong for one that can't have been.
//
// What is checked: nothing accepted at QoS 1 or 2 is lost for a session that lasts; QoS 2 comes
// exactly once; QoS 1 comes again only with DUP and after a reconnect, or as often as its publisher
// sent it; order for each publisher's session, topic and QoS; no delivery without a subscription or
// after UNSUBACK; QoS, RETAIN, subscription identifiers and payload are right; one member of a
// shared subscription gets a message; a will comes when it is due and not after DISCONNECT;
// retained messages are those that can be there; sessions last as long as they should.
#ifndef MILLRACE_TESTS_SIM_ORACLE_HH
#define MILLRACE_TESTS_SIM_ORACLE_HH

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#include "codec/codec.h"

namespace millrace {

// Counts what happens; 0 is never.
using Tick = uint64_t;
constexpr Tick kNever = UINT64_MAX;

enum class Fate {
    kUnknown,   // Sent; may or may not be processed.
    kAccepted,  // Acknowledged with success.
    kRefused,
    kForbidden,  // A will after a clean DISCONNECT: must not come.
};

struct Message {
    uint64_t id;
    int publisher;               // Client index.
    uint64_t publisher_session;  // Number of the oracle's session.
    std::string topic;
    size_t payload_len;  // 0: clears a retained message.
    uint8_t qos;
    bool retain;
    bool will;
    uint32_t expiry_s;  // 0: none.
    uint32_t attempts = 0;
    Tick first_sent = 0;
    Tick processed_last = kNever;  // It is processed, if ever, before this.
    Tick settled = kNever;         // All workers have routed it before this.
    Fate fate = Fate::kUnknown;
};

struct Subscription {
    std::string filter;  // As subscribed, with $share.
    std::string share;   // Empty: not shared.
    std::string match;   // Without $share.
    mr_subscription_options options;
    uint32_t id;
    Tick sent;
    Tick acked = kNever;
    Tick leaving = kNever;       // UNSUBSCRIBE, or a SUBSCRIBE in its place, was sent.
    Tick ended = kNever;         // That was acknowledged.
    Tick unsubscribed = kNever;  // UNSUBACK came, for this one or one in its place.
    bool Sure() const {
        return acked != kNever && leaving == kNever;
    }
};

// What one session got of one message.
struct Account {
    uint32_t live = 0;      // Copies without DUP and without being a retained message's replay.
    uint32_t again = 0;     // Copies with DUP.
    uint32_t replayed = 0;  // Copies with RETAIN.
    uint32_t Copies() const {
        return live + again + replayed;
    }
};

struct Session {
    uint64_t number;
    int client;
    mr_version version;
    bool lasting;  // Outlives its connection.
    bool alive = true;
    std::vector<Subscription> subscriptions;
    std::map<uint64_t, Account> accounts;  // By message.
    std::set<uint64_t> due;                // Owed and not yet seen.
    // By publisher's session, topic, QoS: the latest message.
    std::map<std::tuple<uint64_t, std::string, uint8_t>, uint64_t> order;
    std::set<std::string> groups_left;
    Tick forgotten = 0;  // Of older messages nobody knows any more by which subscription they came.
};

// A shared subscription: what all its members together are owed.
struct Group {
    std::string filter;
    std::string match;
    uint8_t qos;
    std::set<uint64_t> due;
    std::map<uint64_t, uint32_t> copies;  // By message, to whomever.
};

struct Delivery {
    int client;
    uint64_t connection;
    std::string topic;
    mr_slice payload;
    uint8_t qos;
    bool dup;
    bool retain;
    uint32_t expiry_s;
    bool has_expiry;
    std::vector<uint32_t> subscription_ids;
};

class Oracle {
 public:
    // --- What clients did.
    Message *NewMessage(int publisher, const std::string &topic, size_t payload_len, uint8_t qos,
                        bool retain, uint32_t expiry_s, bool will);
    void OnPublish(Message *message, bool again);
    void OnAnswered(Message *message, bool accepted);  // PUBACK or PUBREC.
    void OnProcessed(Message *message);                // QoS 0, seen by what came behind it.
    // The connection was surely there at `since`; nobody knows when the broker saw its end.
    void OnWillDue(Message *message, Tick since);
    void OnWillForbidden(Message *message);
    // CONNECT with clean start was sent: what the session had may be gone from now on.
    void OnCleanConnect(int client);
    // CONNACK. `present_surely`: the session can't have ended.
    void OnConnack(int client, mr_version version, bool lasting, bool present, bool present_surely);
    // The session ended with its connection.
    void OnSessionEnd(int client);
    // Return what tells this request from others when it is answered.
    Tick OnSubscribe(int client, const std::string &filter, const mr_subscription_options &options,
                     uint32_t id);
    Tick OnUnsubscribe(int client, const std::string &filter);
    void OnSuback(int client, const std::string &filter, Tick request, uint8_t code);
    void OnUnsuback(int client, const std::string &filter, Tick request);
    void OnDelivery(const Delivery &delivery);
    // The rings between the workers are empty.
    void OnDrained();

    // --- At the end, when everything has come that will come.
    // Deliveries that are owed and didn't come; reports them unless there may be so many.
    uint64_t CheckOwed(uint64_t lost_max);
    // `found`: topic name to message id of what a new subscriber to everything got.
    void CheckRetained(const std::map<std::string, uint64_t> &found);

    // --- Reports.
    void Fail(const char *format, ...) __attribute__((format(printf, 2, 3)));
    void Trace(const char *format, ...) __attribute__((format(printf, 2, 3)));
    const std::string &failure() const {
        return failure_;
    }
    const std::deque<std::string> &trace() const {
        return trace_;
    }
    uint64_t hash() const {
        return hash_;
    }
    uint64_t delivered() const {
        return delivered_;
    }
    uint64_t published() const {
        return messages_.size();
    }
    Tick now() const {
        return now_;
    }
    uint64_t owed() const {
        return owed_;
    }
    const Session *SessionOf(int client) const;
    bool keep_trace = false;

    // Bytes of a payload: the message's number, then a pattern that depends on it.
    static std::string Payload(uint64_t id, size_t len);

 private:
    Session *Alive(int client);
    Message *Find(mr_slice payload);
    bool PayloadIsRight(const Message &message, mr_slice payload);
    bool MayReceive(const Subscription &subscription, const Session &session,
                    const Message &message) const;
    bool Owes(const Session &session, const Message &message, const Subscription *without,
              Tick since) const;
    void Owe(Message *message, Tick since);
    void Forgive(Session *session, const Subscription &leaving);
    void ForgiveGroup(const std::string &filter, bool session_ends, bool left_before);
    Group *GroupOf(const Subscription &subscription);
    bool GroupIsAnchored(const std::string &filter, Tick since);
    void EndSession(Session *session);
    void CheckShared(Session *session, Message *message, const Delivery &delivery);
    void CheckLive(Session *session, Message *message, const Delivery &delivery);
    bool IsReplay(const Session &session, const Message &message, const Delivery &delivery) const;
    bool SurelyReplaced(const Message &message, Tick before) const;
    void CheckIds(const Session &session, const Message &message, const Delivery &delivery);
    void CheckCopies(Session *session, Message *message, const Delivery &delivery, bool replay);
    std::string Describe(const Message &message) const;

    Tick now_ = 1;
    std::deque<Message> messages_;  // By id - 1.
    std::vector<Message *> unsettled_;
    std::map<std::string, std::vector<Message *>> retained_;  // By topic, oldest first.
    std::deque<Session> sessions_;                            // By number - 1.
    std::map<int, uint64_t> alive_;                           // Client to session number.
    std::map<std::string, Group> groups_;
    std::deque<std::string> trace_;
    std::string failure_;
    uint64_t hash_ = 1469598103934665603u;
    uint64_t delivered_ = 0;
    uint64_t owed_ = 0;
};

}  // namespace millrace

#endif  // MILLRACE_TESTS_SIM_ORACLE_HH
