// The reference session: what broker/session has to do, written down as plainly as possible. It
// knows lists and numbers; no buffers, no encodings, no cleverness.
#ifndef MILLRACE_BROKER_SESSION_MODEL_HH
#define MILLRACE_BROKER_SESSION_MODEL_HH

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "broker/session/testing.hh"

namespace mr_testing {

struct ModelMessage {
    std::string topic;
    std::string payload;
    std::string forwardable;
    uint8_t qos = 0;
    uint64_t expires_ms = 0;
    bool droppable = false;
    // Properties as they came, for the limits that are checked before there is a message.
    size_t arrived_properties_bytes = 0;

    uint64_t bytes() const {
        return topic.size() + forwardable.size() + payload.size();
    }
    uint64_t arrived_bytes() const {
        return topic.size() + arrived_properties_bytes + payload.size();
    }
};

struct ModelSettings {
    uint32_t inflight_messages_max = 20;
    uint64_t inflight_bytes_max = 0;
    uint64_t queued_messages_max = 1000;
    uint64_t queued_bytes_max = 0;
    uint64_t outbox_bytes = 1 << 20;
    bool queue_qos0_messages = false;
    bool upgrade_outgoing_qos = false;
    mr_slow_policy slow_policy = MR_SLOW_DROP_NEWEST;
};

struct ModelDrops {
    uint64_t queue_full = 0;
    uint64_t oldest = 0;
    uint64_t offline = 0;
    uint64_t too_large = 0;
    uint64_t expired = 0;
    uint64_t session_end = 0;
    uint64_t denied = 0;
    uint64_t redelivered = 0;  // To another member, not lost.

    void Add(const ModelDrops &other);
};

class Model {
 public:
    // `now_ms` and `shared_ids`, the current subscription identifier of each shared filter, are
    // the test's.
    Model(const ModelSettings &settings, const uint64_t *now_ms,
          const std::map<mr_trie_node *, uint32_t> *shared_ids)
        : settings_(settings), now_ms_(now_ms), shared_ids_(shared_ids) {
    }

    void Attach(const ClientOptions &client);
    void Detach();
    void End();  // The session ends.

    void Deliver(const ModelMessage &message, const Grant &grant);
    void Pump();
    bool Puback(uint16_t packet_id);
    bool Pubrec(uint16_t packet_id, bool failed);
    bool Pubcomp(uint16_t packet_id);
    // `accept` such deliveries are taken, the next one is refused.
    std::vector<ModelMessage> TakeShared(mr_trie_node *node, bool inflight, size_t accept);
    // Topic names that end so may not be received any more.
    void DropWaiting(char last);
    // The client has read so many bytes.
    void Drained(uint64_t bytes) {
        pending_ -= bytes;
    }

    bool online() const {
        return client_.has_value();
    }
    bool failed() const {
        return too_slow_;
    }
    bool congested() const {
        return congested_;
    }
    bool backlogged() const;
    uint64_t pending() const {
        return pending_;
    }
    uint64_t held_messages() const;
    uint64_t held_bytes() const;
    const ModelDrops &drops() const {
        return drops_;
    }
    // What has been written to the connection and not been taken from here.
    std::deque<Received> &written() {
        return written_;
    }
    // Packet identifiers in use, with what they wait for.
    enum State {
        UNSENT,
        AWAIT_ACK,
        AWAIT_PUBCOMP,
        DONE
    };
    std::map<uint16_t, std::pair<State, uint8_t>> InFlight() const;
    size_t waiting() const {
        return queue_.size();
    }

 private:
    struct Delivery {
        ModelMessage message;
        Grant grant;
        bool has_message = true;
        State state = UNSENT;
        uint16_t packet_id = 0;
        bool sent_here = false;  // On this connection.
    };

    std::vector<uint32_t> IdsNow(const Delivery &delivery) const;
    bool Write(const Delivery &delivery, bool dup);  // False: too large.
    bool WindowOpen(uint64_t bytes) const;
    bool OutboxOpen() const {
        return pending_ < settings_.outbox_bytes;
    }
    uint32_t Window() const;
    uint32_t QuotaUsed() const;
    uint64_t QueuedCount() const;
    uint64_t QueuedBytes() const;
    bool Full(uint64_t bytes) const;
    bool Eased() const;
    bool MakeRoom(const ModelMessage &message);
    void Enqueue(const ModelMessage &message, const Grant &grant);
    void SendNew(Delivery delivery);
    Delivery *Find(uint16_t packet_id, State state, uint8_t qos);
    void Prune();

    const ModelSettings settings_;
    const uint64_t *now_ms_;
    const std::map<mr_trie_node *, uint32_t> *shared_ids_;
    std::optional<ClientOptions> client_;
    std::map<std::string, uint16_t> aliases_;
    bool too_slow_ = false;
    bool congested_ = false;
    bool catching_up_ = false;
    uint64_t pending_ = 0;
    uint16_t next_packet_id_ = 1;
    std::deque<Delivery> inflight_;
    std::deque<Delivery> queue_;
    std::deque<Received> written_;
    ModelDrops drops_;
};

}  // namespace mr_testing

#endif  // MILLRACE_BROKER_SESSION_MODEL_HH
