// For this component's tests: publishers' packets, and clients that read what a session writes.
#ifndef MILLRACE_BROKER_SESSION_TESTING_HH
#define MILLRACE_BROKER_SESSION_TESTING_HH

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "broker/session/session.h"

namespace mr_testing {

// One pool, one environment, one trie.
class World {
 public:
    explicit World(uint64_t pool_bytes_max = 0);
    ~World();
    World(const World &) = delete;
    World &operator=(const World &) = delete;

    mr_buf_pool *pool() const {
        return pool_;
    }
    struct mr_buf_stats stats() const;
    // Subscribes in the trie only.
    mr_trie_node *Subscribe(const std::string &filter, uint32_t subscriber,
                            uint32_t subscription_id);

    struct mr_counters counters;
    mr_session_env env;
    mr_trie *trie = nullptr;

 private:
    mr_buf_pool *pool_ = nullptr;
};

// What a publisher says.
struct Publication {
    std::string topic = "t";
    std::string payload = "p";
    uint8_t qos = 0;
    bool retain = false;
    bool dup = false;
    int version = MR_MQTT_50;
    std::string forwardable;           // Encoded properties to be passed on; 5.0 only.
    std::optional<uint32_t> expiry_s;  // 5.0 only.
    uint16_t topic_alias = 0;          // 5.0 only; not passed on.
    bool wire = false;                 // The bytes may be passed on unaltered.
    bool as_message = false;           // Not from a packet but from a message, as wills are.
};

// An encoded user property.
std::string UserProperty(const std::string &name, const std::string &value);

// A Publication as bytes in a buffer, decoded, and ready to be delivered.
class Outgoing {
 public:
    Outgoing(World *world, const Publication &publication);
    ~Outgoing();
    Outgoing(const Outgoing &) = delete;
    Outgoing &operator=(const Outgoing &) = delete;

    mr_outgoing *get() {
        return &outgoing_;
    }
    const mr_publish &packet() const {
        return packet_;
    }

 private:
    mr_buf *buf_ = nullptr;
    mr_publish packet_;
    mr_outgoing outgoing_;
};

// Grants in words.
struct Grant {
    uint8_t qos = 0;
    bool retain = false;
    bool replay = false;
    std::vector<uint32_t> ids;
    mr_trie_node *node = nullptr;
};
bool Deliver(mr_session *session, mr_outgoing *outgoing, const Grant &grant);
bool Deliver(World *world, mr_session *session, const Publication &publication, const Grant &grant);

// What a client got to see. Topic aliases are resolved.
struct Received {
    mr_packet_type type = MR_PUBLISH;
    std::string topic;
    std::string payload;
    std::string forwardable;
    std::vector<uint32_t> ids;
    std::optional<uint32_t> expiry_s;
    uint16_t packet_id = 0;
    uint16_t topic_alias = 0;
    bool topic_left_out = false;
    uint8_t qos = 0;
    bool retain = false;
    bool dup = false;
    size_t bytes = 0;

    bool operator==(const Received &other) const;
};
std::ostream &operator<<(std::ostream &out, const Received &received);

struct ClientOptions {
    int version = MR_MQTT_50;
    uint16_t receive_max = 65535;
    uint32_t packet_bytes_max = UINT32_MAX;
    uint16_t topic_alias_max = 0;
    std::string mount_point;
};

// A connection's far end: takes bytes out of the chain and decodes them.
class Client {
 public:
    Client(World *world, const ClientOptions &options);
    ~Client();
    Client(const Client &) = delete;
    Client &operator=(const Client &) = delete;

    mr_link *link() {
        return &link_;
    }
    const ClientOptions &options() const {
        return options_;
    }
    uint64_t pending() const {
        return mr_chain_bytes(&chain_);
    }
    // Reads `bytes` (at most what is pending) and returns the packets that were completed.
    std::vector<Received> Read(uint64_t bytes = UINT64_MAX);
    // Read, but of a packet only part has come.
    bool HasPartial() const {
        return !input_.empty();
    }

 private:
    Received Decode(const struct mr_frame &frame, struct mr_slice body);

    World *world_;
    ClientOptions options_;
    mr_chain chain_;
    mr_link link_;
    std::string input_;
    std::map<uint16_t, std::string> aliases_;
};

}  // namespace mr_testing

#endif  // MILLRACE_BROKER_SESSION_TESTING_HH
