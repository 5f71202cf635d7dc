#include "tests/sim/client.hh"

#include <algorithm>

#include "codec/topic.h"

namespace millrace {
namespace {

constexpr size_t kReadBytes = 65536;

mr_slice Slice(const std::string &text) {
    return mr_slice_of(text.data(), text.size());
}

}  // namespace

Client::Client(mr_sim *sim, uint16_t port, Oracle *oracle, const ClientOptions &options)
    : sim_(sim),
      port_(port),
      oracle_(oracle),
      options_(options),
      id_("client-" + std::to_string(options.index)) {
}

Client::~Client() {
    mr_sim_end_close(end_);
    mr_sim_end_close(unanswered_end_);
    ForgetOldConnections();
}

void Client::ForgetOldConnections() {
    for (mr_sim_end *end : left_behind_) {
        mr_sim_end_close(end);
    }
    left_behind_.clear();
}

// ------------------------------------------------------------------------------- sending

void Client::Send(const uint8_t *bytes, size_t len) {
    out_.append(reinterpret_cast<const char *>(bytes), len);
    sequence_++;
    last_sent_ms_ = mr_sim_now_ms(sim_);
}

void Client::Flush() {
    if (end_ == nullptr || out_.empty()) {
        return;
    }
    size_t sent = mr_sim_send(end_, Slice(out_));
    out_.erase(0, sent);
}

void Client::Connect(bool clean_start, bool with_will) {
    if (state_ != State::kIdle) {
        LeaveConnection();
    }
    if (unanswered_end_ != nullptr) {
        if (!mr_sim_end_is_alone(unanswered_end_)) {
            return;
        }
        mr_sim_end_close(unanswered_end_);
        unanswered_end_ = nullptr;
    }
    // A client that has thrown its state away wants a new session until it has got one. Before
    // 5.0, a session that was begun so ends with its connection.
    clean_wanted_ = clean_wanted_ || clean_start || !options_.lasting ||
                    (options_.version == MR_MQTT_50 && !has_session_);
    lasts_ = options_.lasting && (options_.version == MR_MQTT_50 || !clean_wanted_);
    if (mr_sim_connect(sim_, &end_, port_) != MR_OK) {
        oracle_->Fail("client %d can't connect", options_.index);
        return;
    }
    state_ = State::kConnecting;
    connecting_ms_ = mr_sim_now_ms(sim_);
    connection_++;
    mr_connect connect = {};
    connect.version = options_.version;
    connect.clean_start = clean_wanted_;
    connect.keep_alive_s = options_.keep_alive_s;
    connect.client_id = Slice(id_);
    if (options_.version == MR_MQTT_50) {
        connect.properties.present = MR_PROPERTY_BIT(MR_PROPERTY_SESSION_EXPIRY_INTERVAL) |
                                     MR_PROPERTY_BIT(MR_PROPERTY_RECEIVE_MAXIMUM) |
                                     MR_PROPERTY_BIT(MR_PROPERTY_TOPIC_ALIAS_MAXIMUM);
        connect.properties.session_expiry_s = options_.lasting ? options_.expiry_s : 0;
        connect.properties.receive_max = options_.receive_max;
        connect.properties.topic_alias_max = options_.topic_alias_max;
    }
    if (clean_wanted_) {
        oracle_->OnCleanConnect(options_.index);
        outgoing_.clear();
        received_.clear();
    }
    std::string payload;
    if (with_will) {
        uint64_t random = mr_sim_random(sim_, 64);
        std::string topic = "t/" + std::to_string(random % 3) + "/will";
        will_ = oracle_->NewMessage(options_.index, topic, 16 + random, random % 3, random % 8 == 7,
                                    0, true);
        payload = Oracle::Payload(will_->id, will_->payload_len);
        will_delay_s_ = options_.version == MR_MQTT_50 && random % 4 == 0 ? 5 : 0;
        connect.has_will = true;
        connect.will.topic = Slice(will_->topic);
        connect.will.payload = Slice(payload);
        connect.will.qos = will_->qos;
        connect.will.retain = will_->retain;
        if (will_delay_s_ != 0) {
            connect.will.properties.present = MR_PROPERTY_BIT(MR_PROPERTY_WILL_DELAY_INTERVAL);
            connect.will.properties.will_delay_s = will_delay_s_;
        }
        oracle_->OnPublish(will_, false);
    }
    heard_ = oracle_->now();
    uint8_t bytes[512];
    Send(bytes, mr_connect_encode(&connect, bytes, sizeof(bytes)));
    Flush();
}

uint16_t Client::NewPacketId() {
    auto in_use = [this](uint16_t id) {
        return id == 0 || FindOutgoing(id) != nullptr ||
               std::any_of(requests_.begin(), requests_.end(),
                           [id](const Request &request) { return request.packet_id == id; });
    };
    do {
        packet_id_++;
    } while (in_use(packet_id_));
    return packet_id_;
}

Client::Outgoing *Client::FindOutgoing(uint16_t packet_id) {
    for (Outgoing &outgoing : outgoing_) {
        if (outgoing.packet_id == packet_id) {
            return &outgoing;
        }
    }
    return nullptr;
}

void Client::SendPublish(const Message &message, uint16_t packet_id, bool dup) {
    std::string payload = Oracle::Payload(message.id, message.payload_len);
    mr_publish publish = {};
    publish.topic = Slice(message.topic);
    publish.payload = Slice(payload);
    publish.packet_id = packet_id;
    publish.qos = message.qos;
    publish.retain = message.retain;
    publish.dup = dup;
    if (message.expiry_s != 0) {
        publish.properties_present = MR_PROPERTY_BIT(MR_PROPERTY_MESSAGE_EXPIRY_INTERVAL);
        publish.message_expiry_s = message.expiry_s;
    }
    if (alias_out_max_ > 0 && !dup) {
        auto known = aliases_out_.find(message.topic);
        if (known != aliases_out_.end()) {
            publish.topic = mr_slice_of(nullptr, 0);
            publish.topic_alias = known->second;
        } else if (aliases_out_.size() < alias_out_max_) {
            publish.topic_alias = static_cast<uint16_t>(aliases_out_.size() + 1);
            aliases_out_[message.topic] = publish.topic_alias;
        }
    }
    std::string bytes(MR_PUBLISH_HEAD_BYTES(message.topic.size(), 0, 0) + payload.size(), '\0');
    auto *out = reinterpret_cast<uint8_t *>(&bytes[0]);
    size_t len = mr_publish_encode(options_.version, &publish, nullptr, 0, out, bytes.size());
    MR_ASSERT(len > 0);
    Send(out, len);
}

void Client::Publish(const std::string &topic, size_t payload_len, uint8_t qos, bool retain,
                     uint32_t expiry_s) {
    if (options_.version != MR_MQTT_50) {
        expiry_s = 0;
    }
    Message *message =
        oracle_->NewMessage(options_.index, topic, payload_len, qos, retain, expiry_s, false);
    oracle_->OnPublish(message, false);
    uint16_t packet_id = qos > 0 ? NewPacketId() : 0;
    SendPublish(*message, packet_id, false);
    if (qos == 0) {
        qos0_.emplace_back(sequence_, message);
    } else {
        outgoing_.push_back({message, packet_id, false});
        sent_.emplace_back(sequence_, packet_id);
    }
    Flush();
}

// After a reconnect with the session present, in the order of the first time [MQTT-4.4.0-1].
void Client::SendAgain() {
    for (Outgoing &outgoing : outgoing_) {
        if (outgoing.released) {
            SendAck(MR_PUBREL, outgoing.packet_id);
        } else {
            oracle_->OnPublish(outgoing.message, true);
            SendPublish(*outgoing.message, outgoing.packet_id, true);
        }
        sent_.emplace_back(sequence_, outgoing.packet_id);
    }
}

void Client::Subscribe(const std::string &filter, const mr_subscription_options &options) {
    mr_subscription_options wanted = options;
    mr_subscribe subscribe = {};
    subscribe.packet_id = NewPacketId();
    if (options_.version != MR_MQTT_50) {
        wanted.no_local = wanted.retain_as_published = false;
        wanted.retain_handling = 0;
    } else if (mr_sim_random(sim_, 3) > 0) {
        subscribe.properties.present = MR_PROPERTY_BIT(MR_PROPERTY_SUBSCRIPTION_IDENTIFIER);
        subscribe.properties.subscription_id = ++subscription_id_;
    }
    uint8_t entry[128];
    uint8_t bytes[256];
    size_t entry_len =
        mr_subscribe_encode_entry(options_.version, Slice(filter), &wanted, entry, sizeof(entry));
    subscribe.entries = mr_slice_of(entry, entry_len);
    subscribe.entry_count = 1;
    Tick tick =
        oracle_->OnSubscribe(options_.index, filter, wanted, subscribe.properties.subscription_id);
    Send(bytes, mr_subscribe_encode(options_.version, &subscribe, bytes, sizeof(bytes)));
    requests_.push_back({MR_SUBACK, subscribe.packet_id, filter, sequence_, tick});
    Flush();
}

void Client::Unsubscribe(const std::string &filter) {
    mr_unsubscribe unsubscribe = {};
    unsubscribe.packet_id = NewPacketId();
    uint8_t entry[128];
    uint8_t bytes[256];
    size_t entry_len = mr_unsubscribe_encode_entry(Slice(filter), entry, sizeof(entry));
    unsubscribe.entries = mr_slice_of(entry, entry_len);
    unsubscribe.entry_count = 1;
    Tick tick = oracle_->OnUnsubscribe(options_.index, filter);
    Send(bytes, mr_unsubscribe_encode(options_.version, &unsubscribe, bytes, sizeof(bytes)));
    requests_.push_back({MR_UNSUBACK, unsubscribe.packet_id, filter, sequence_, tick});
    Flush();
}

void Client::Ping() {
    uint8_t bytes[2];
    Send(bytes, mr_ping_encode(MR_PINGREQ, bytes, sizeof(bytes)));
    pings_.push_back(sequence_);
    Flush();
}

void Client::SendAck(mr_packet_type type, uint16_t packet_id) {
    mr_ack ack = {};
    ack.packet_id = packet_id;
    uint8_t bytes[8];
    Send(bytes, mr_ack_encode(options_.version, type, &ack, bytes, sizeof(bytes)));
}

void Client::Acknowledge(mr_packet_type type, uint16_t packet_id) {
    held_.emplace_back(type, packet_id);
}

// --------------------------------------------------------------------------------- ending

void Client::Disconnect(bool with_will, bool end_session) {
    mr_disconnect disconnect = {};
    disconnect.reason = with_will ? MR_REASON_DISCONNECT_WITH_WILL : MR_REASON_SUCCESS;
    if (end_session && options_.version == MR_MQTT_50 && options_.lasting) {
        disconnect.properties.present = MR_PROPERTY_BIT(MR_PROPERTY_SESSION_EXPIRY_INTERVAL);
        clean_wanted_ = true;
        oracle_->OnCleanConnect(options_.index);
    }
    uint8_t bytes[16];
    Send(bytes, mr_disconnect_encode(options_.version, &disconnect, bytes, sizeof(bytes)));
    disconnecting_ = true;
    if (with_will && options_.version == MR_MQTT_50 && will_ != nullptr) {
        WillIsDue();
        will_ = nullptr;
    }
    Flush();
}

void Client::Reset() {
    mr_sim_reset(end_);
    Lost(false);
}

void Client::HalfClose() {
    mr_sim_end_sending(end_);
    disconnecting_ = true;
    if (will_ != nullptr) {
        WillIsDue();
        will_ = nullptr;
    }
}

// The connection stays open for the broker, which has to find out that another one came.
void Client::LeaveConnection() {
    if (will_ != nullptr && !disconnecting_) {
        WillIsDue();
    }
    will_ = nullptr;
    if (state_ == State::kConnected) {
        left_behind_.push_back(end_);
        end_ = nullptr;
    }
    Lost(false);
}

// Without CONNACK nobody knows whether the will got there; with a delay, whether it will be sent.
void Client::WillIsDue() {
    if (state_ == State::kConnected && will_delay_s_ == 0) {
        oracle_->OnWillDue(will_, heard_);
    }
}

// The connection is over. `cleanly`: the broker ended it after our DISCONNECT.
void Client::Lost(bool cleanly) {
    if (will_ != nullptr) {
        if (cleanly && disconnecting_) {
            if (fault == Fault::kWillAfterDisconnect && !fault_done) {
                fault_done = true;
                std::string payload = Oracle::Payload(will_->id, will_->payload_len);
                oracle_->OnWillForbidden(will_);
                oracle_->OnDelivery({options_.index,
                                     connection_,
                                     will_->topic,
                                     Slice(payload),
                                     0,
                                     false,
                                     false,
                                     0,
                                     false,
                                     {}});
            } else if (options_.strict_wills && options_.keep_alive_s == 0 && !told_by_server_) {
                oracle_->OnWillForbidden(will_);
            }
        } else if (!disconnecting_) {
            WillIsDue();
        }
    }
    oracle_->Trace("client %d lost its connection%s", options_.index, cleanly ? ", cleanly" : "");
    if (state_ == State::kConnecting) {
        unanswered_ = true;
        unanswered_end_ = end_;
        mr_sim_reset(end_);
    } else {
        mr_sim_end_close(end_);
    }
    end_ = nullptr;
    state_ = State::kIdle;
    will_ = nullptr;
    disconnecting_ = false;
    told_by_server_ = false;
    in_.clear();
    out_.clear();
    held_.clear();
    qos0_.clear();
    sent_.clear();
    requests_.clear();
    pings_.clear();
    aliases_in_.clear();
    aliases_out_.clear();
    alias_out_max_ = 0;
    unacknowledged_.clear();
    if (!lasts_ && has_session_) {
        has_session_ = false;
        oracle_->OnSessionEnd(options_.index);
    }
}

bool Client::MaySessionHaveExpired() const {
    return options_.version == MR_MQTT_50 && options_.expiry_s != UINT32_MAX &&
           mr_sim_now_ms(sim_) >= connected_ms_ + options_.expiry_s * UINT64_C(1000);
}

// --------------------------------------------------------------------------------- polling

void Client::Read() {
    static thread_local uint8_t bytes[kReadBytes];
    size_t max = 1 + mr_sim_random(sim_, kReadBytes);
    size_t got = mr_sim_recv(end_, bytes, max);
    in_.append(reinterpret_cast<const char *>(bytes), got);
    TakePackets();
}

void Client::Poll() {
    if (end_ == nullptr) {
        return;
    }
    Flush();
    if (reading_paused_ > 0) {
        reading_paused_--;
    } else {
        Read();
    }
    if (end_ == nullptr) {
        return;
    }
    if (acks_held_ > 0) {
        acks_held_--;
    }
    while (acks_held_ == 0 && !held_.empty() && !disconnecting_) {
        auto ack = held_.front();
        held_.pop_front();
        SendAck(ack.first, ack.second);
        if (ack.first == MR_PUBACK || ack.first == MR_PUBCOMP) {
            unacknowledged_.erase(ack.second);
        }
    }
    uint64_t silent_ms = mr_sim_now_ms(sim_) - last_sent_ms_;
    if (state_ == State::kConnected && options_.keep_alive_s != 0 && !disconnecting_ &&
        silent_ms > options_.keep_alive_s * UINT64_C(1000) / 2) {
        Ping();
    }
    Flush();
    mr_sim_state state = mr_sim_end_state(end_);
    if (state != MR_SIM_OPEN) {
        Lost(state == MR_SIM_ENDED && out_.empty());
    }
}

void Client::TakePackets() {
    size_t taken = 0;
    while (end_ != nullptr) {
        mr_slice rest = mr_slice_of(in_.data() + taken, in_.size() - taken);
        mr_frame frame;
        mr_decode_error error;
        mr_decode_status status =
            mr_frame_decode(rest, options_.version, UINT32_MAX, &frame, &error);
        if (status == MR_DECODE_BAD) {
            oracle_->Fail("client %d got bad bytes: %s", options_.index, error.what);
            return;
        }
        size_t len = status == MR_DECODE_DONE ? frame.header_len + size_t{frame.body_len} : 0;
        if (status == MR_DECODE_MORE || rest.len < len) {
            break;
        }
        OnPacket(frame, mr_slice_of(rest.data + frame.header_len, frame.body_len));
        taken += len;
    }
    if (taken <= in_.size()) {
        in_.erase(0, taken);
    }
}

}  // namespace millrace
