// A simulated MQTT client of 3.1.1 or 5.0: a small state machine that obeys the standard, on the
// near end of a simulated connection, and tells the oracle what it does and gets.
//
// It keeps its own session state as a client must (unfinished QoS 1 and 2 messages, received QoS 2
// identifiers) over resets and reconnects, sends again what was not acknowledged, and checks what
// only a receiver can see: packet identifiers, topic aliases, Receive Maximum.
#ifndef MILLRACE_TESTS_SIM_CLIENT_HH
#define MILLRACE_TESTS_SIM_CLIENT_HH

#include <cstdint>
#include <deque>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "codec/codec.h"
#include "io/sim/sim.h"
#include "tests/sim/oracle.hh"

namespace millrace {

// What a client does to show that the oracle notices: it keeps something from it, or tells a lie,
// as if the broker had made that mistake.
enum class Fault {
    kNone,
    kLoseMessage,          // A QoS 1 or 2 message that the client acknowledged never came.
    kDuplicateQos2,        // A QoS 2 message came twice.
    kDuplicateQos1,        // A QoS 1 message came again, without DUP.
    kSwapOrder,            // Two messages came in the wrong order.
    kMisdeliver,           // A message came to a client that isn't subscribed.
    kCorruptPayload,       // A byte is wrong.
    kLoseRetained,         // A retained message is missing at the end.
    kStaleRetained,        // An old one is there instead.
    kForgetSession,        // Session present was 1 but the answer said 0.
    kWillAfterDisconnect,  // A will came although the client had said DISCONNECT.
};

struct ClientOptions {
    int index;
    mr_version version;
    bool lasting;
    uint32_t expiry_s;  // 5.0, if lasting.
    uint16_t keep_alive_s;
    uint16_t receive_max;
    uint16_t topic_alias_max;
    bool strict_wills;  // The broker has no reason of its own to end the connection.
};

class Client {
 public:
    Client(mr_sim *sim, uint16_t port, Oracle *oracle, const ClientOptions &options);
    ~Client();
    Client(const Client &) = delete;
    Client &operator=(const Client &) = delete;

    // --- What it can be told to do.
    // Connects; a connection that it has is left behind, unread. Does nothing while the broker may
    // still take up an earlier CONNECT.
    void Connect(bool clean_start, bool with_will);
    void Publish(const std::string &topic, size_t payload_len, uint8_t qos, bool retain,
                 uint32_t expiry_s);
    void Subscribe(const std::string &filter, const mr_subscription_options &options);
    void Unsubscribe(const std::string &filter);
    void Ping();
    // Makes sure that everything sent will be known to be processed.
    void Finish() {
        if (is_connected() && !qos0_.empty() && pings_.empty()) {
            Ping();
        }
    }
    // DISCONNECT. `with_will`: 5.0's reason 0x04. `end_session`: 5.0's Session Expiry Interval 0.
    void Disconnect(bool with_will, bool end_session);
    void Reset();
    void HalfClose();
    void PauseReading(uint32_t polls) {
        reading_paused_ = polls;
    }
    // Acknowledgements wait for so many polls.
    void HoldAcknowledgements(uint32_t polls) {
        acks_held_ = polls;
    }
    // Moves bytes, reads packets, answers.
    void Poll();
    void ForgetOldConnections();

    bool is_connected() const {
        return state_ == State::kConnected;
    }
    bool is_idle() const {
        return state_ == State::kIdle;
    }
    bool is_ending() const {
        return disconnecting_;
    }
    size_t unfinished() const {
        return outgoing_.size() + requests_.size() + qos0_.size() + out_.size() + held_.size();
    }
    const ClientOptions &options() const {
        return options_;
    }
    void set_lasting(bool lasting) {
        options_.lasting = lasting;
    }

    // For the faults; counts down to the one that is planted.
    Fault fault = Fault::kNone;
    bool fault_done = false;
    // Who collects what a subscription to everything brings at the end: topic to message.
    std::map<std::string, uint64_t> *retained_found = nullptr;

 private:
    enum class State {
        kIdle,
        kConnecting,
        kConnected
    };
    struct Outgoing {
        Message *message;
        uint16_t packet_id;
        bool released;  // PUBREC came, PUBREL was sent.
    };
    struct Request {
        mr_packet_type type;
        uint16_t packet_id;
        std::string filter;
        uint64_t sequence;
        Tick tick;
    };

    void Send(const uint8_t *bytes, size_t len);
    void Flush();
    void Read();
    void TakePackets();
    void OnPacket(const mr_frame &frame, mr_slice body);
    void OnConnack(mr_slice body);
    void OnPublish(uint8_t flags, mr_slice body);
    void OnAck(mr_packet_type type, mr_slice body);
    void OnSuback(mr_packet_type type, mr_slice body);
    void OnDisconnect(mr_slice body);
    bool ResolveAlias(mr_publish *publish);
    void Report(const Delivery &delivery);
    void ReportFaulty(const Delivery &delivery);
    void Acknowledge(mr_packet_type type, uint16_t packet_id);
    void SendAck(mr_packet_type type, uint16_t packet_id);
    void SendPublish(const Message &message, uint16_t packet_id, bool dup);
    void SendAgain();
    void AnsweredUpTo(uint64_t sequence);
    void Lost(bool cleanly);
    void WillIsDue();
    void LeaveConnection();
    uint16_t NewPacketId();
    Outgoing *FindOutgoing(uint16_t packet_id);
    bool MaySessionHaveExpired() const;

    mr_sim *sim_;
    uint16_t port_;
    Oracle *oracle_;
    ClientOptions options_;
    State state_ = State::kIdle;
    mr_sim_end *end_ = nullptr;
    std::vector<mr_sim_end *> left_behind_;
    // It ended before CONNACK. Until the broker is done with it, its CONNECT may still come to
    // pass, and would end the next connection.
    mr_sim_end *unanswered_end_ = nullptr;
    std::string id_;
    std::string in_;
    std::string out_;
    std::deque<std::pair<mr_packet_type, uint16_t>> held_;  // Acknowledgements.
    uint32_t reading_paused_ = 0;
    uint32_t acks_held_ = 0;
    bool disconnecting_ = false;  // DISCONNECT or the end of sending is on its way.
    bool told_by_server_ = false;

    // Of the connection.
    uint64_t connection_ = 0;
    uint64_t sequence_ = 0;  // Of packets sent.
    Message *will_ = nullptr;
    uint32_t will_delay_s_ = 0;
    Tick heard_ = 0;                                    // The connection was there.
    std::vector<std::pair<uint64_t, Message *>> qos0_;  // Sent, not known to be processed.
    std::vector<std::pair<uint64_t, uint16_t>> sent_;   // Sequence and packet id of QoS 1 and 2.
    std::deque<Request> requests_;
    uint64_t pings_sent_ = 0;
    std::deque<uint64_t> pings_;
    std::map<uint16_t, std::string> aliases_in_;
    std::map<std::string, uint16_t> aliases_out_;
    uint16_t alias_out_max_ = 0;
    std::set<uint16_t> unacknowledged_;
    uint64_t last_sent_ms_ = 0;

    // Of the session.
    bool has_session_ = false;
    bool lasts_ = false;         // It outlives its connection.
    bool clean_wanted_ = false;  // Until a CONNACK for it came.
    bool unanswered_ = false;    // A CONNECT was sent and perhaps processed, nobody knows.
    uint64_t connecting_ms_ = 0;
    uint64_t connected_ms_ = 0;  // The broker can't have missed it before.
    std::deque<Outgoing> outgoing_;
    std::set<uint16_t> received_;  // QoS 2, not released.
    uint16_t packet_id_ = 0;
    uint32_t subscription_id_ = 0;

    Delivery swapped_;
    std::string swapped_payload_;
    bool has_swapped_ = false;
};

}  // namespace millrace

#endif  // MILLRACE_TESTS_SIM_CLIENT_HH
