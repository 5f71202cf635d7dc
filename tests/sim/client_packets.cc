// What a simulated client does with each packet that it gets.
#include <algorithm>

#include "codec/topic.h"
#include "tests/sim/client.hh"

namespace millrace {
namespace {

mr_slice Slice(const std::string &text) {
    return mr_slice_of(text.data(), text.size());
}

std::string Text(mr_slice slice) {
    return std::string(reinterpret_cast<const char *>(slice.data), slice.len);
}

}  // namespace

void Client::OnPacket(const mr_frame &frame, mr_slice body) {
    auto type = static_cast<mr_packet_type>(frame.type);
    if ((state_ == State::kConnecting) != (type == MR_CONNACK)) {
        oracle_->Fail("client %d got %s at the wrong time", options_.index,
                      mr_packet_type_name(type));
        return;
    }
    if (options_.strict_wills && options_.keep_alive_s == 0) {
        // Else it may have ended already, with this packet still on its way.
        heard_ = oracle_->now();
    }
    switch (type) {
        case MR_CONNACK:
            OnConnack(body);
            return;
        case MR_PUBLISH:
            OnPublish(frame.flags, body);
            return;
        case MR_PUBACK:
        case MR_PUBREC:
        case MR_PUBREL:
        case MR_PUBCOMP:
            OnAck(type, body);
            return;
        case MR_SUBACK:
        case MR_UNSUBACK:
            OnSuback(type, body);
            return;
        case MR_PINGRESP:
            if (pings_.empty()) {
                oracle_->Fail("client %d got PINGRESP without PINGREQ", options_.index);
                return;
            }
            AnsweredUpTo(pings_.front());
            pings_.pop_front();
            return;
        case MR_DISCONNECT:
            OnDisconnect(body);
            return;
        default:
            oracle_->Fail("client %d got %s", options_.index, mr_packet_type_name(type));
    }
}

void Client::OnConnack(mr_slice body) {
    mr_connack connack;
    mr_decode_error error;
    if (mr_connack_decode(options_.version, body, &connack, &error) != MR_DECODE_DONE ||
        connack.code != 0) {
        oracle_->Fail("client %d was refused", options_.index);
        return;
    }
    state_ = State::kConnected;
    bool present = connack.session_present;
    if (clean_wanted_ && present) {
        oracle_->Fail("client %d wanted a new session and got the old one", options_.index);
        return;
    }
    bool present_surely = !clean_wanted_ && has_session_ && !MaySessionHaveExpired();
    if (fault == Fault::kForgetSession && !fault_done && present && present_surely) {
        fault_done = true;
        present = false;
    }
    if (present && !has_session_ && unanswered_) {
        present = false;  // It was begun by a CONNECT whose answer was lost, and is empty.
    }
    if (!present) {
        outgoing_.clear();
        received_.clear();
    }
    oracle_->OnConnack(options_.index, options_.version, lasts_, present, present_surely);
    has_session_ = true;
    connected_ms_ = connecting_ms_;
    unanswered_ = false;
    clean_wanted_ = false;
    alias_out_max_ = connack.properties.topic_alias_max;
    SendAgain();
}

// Everything sent up to `sequence` is processed: the broker takes one packet after the other.
void Client::AnsweredUpTo(uint64_t sequence) {
    size_t count = 0;
    while (count < qos0_.size() && qos0_[count].first < sequence) {
        oracle_->OnProcessed(qos0_[count].second);
        count++;
    }
    qos0_.erase(qos0_.begin(), qos0_.begin() + static_cast<long>(count));
}

bool Client::ResolveAlias(mr_publish *publish) {
    if (publish->topic_alias == 0) {
        return true;
    }
    if (publish->topic_alias > options_.topic_alias_max) {
        return false;
    }
    if (publish->topic.len > 0) {
        aliases_in_[publish->topic_alias] = Text(publish->topic);
        return true;
    }
    auto known = aliases_in_.find(publish->topic_alias);
    if (known == aliases_in_.end()) {
        return false;
    }
    publish->topic = Slice(known->second);
    return true;
}

void Client::OnPublish(uint8_t flags, mr_slice body) {
    mr_publish publish;
    mr_decode_error error;
    if (mr_publish_decode(options_.version, flags, body, &publish, &error) != MR_DECODE_DONE) {
        oracle_->Fail("client %d got a bad PUBLISH: %s", options_.index, error.what);
        return;
    }
    if (!ResolveAlias(&publish)) {
        oracle_->Fail("client %d got topic alias %u, which it doesn't know", options_.index,
                      publish.topic_alias);
        return;
    }
    Delivery delivery = {};
    delivery.client = options_.index;
    delivery.connection = connection_;
    delivery.topic = Text(publish.topic);
    delivery.payload = publish.payload;
    delivery.qos = publish.qos;
    delivery.dup = publish.dup;
    delivery.retain = publish.retain;
    delivery.has_expiry =
        (publish.properties_present & MR_PROPERTY_BIT(MR_PROPERTY_MESSAGE_EXPIRY_INTERVAL)) != 0;
    delivery.expiry_s = publish.message_expiry_s;
    mr_slice rest = publish.properties_raw;
    mr_property property;
    while (mr_property_next(&rest, &property)) {
        if (property.id == MR_PROPERTY_SUBSCRIPTION_IDENTIFIER) {
            delivery.subscription_ids.push_back(property.number);
        }
    }
    if (publish.qos > 0) {
        // PUBREL frees an identifier of QoS 2 only when PUBCOMP was sent.
        unacknowledged_.insert(publish.packet_id);
        if (unacknowledged_.size() > options_.receive_max) {
            oracle_->Fail("client %d got more than its receive maximum of %u", options_.index,
                          options_.receive_max);
        }
        Acknowledge(publish.qos == 1 ? MR_PUBACK : MR_PUBREC, publish.packet_id);
    }
    if (publish.qos == 2 && !received_.insert(publish.packet_id).second) {
        if (!publish.dup) {
            oracle_->Fail("client %d got packet identifier %u again without DUP", options_.index,
                          publish.packet_id);
        }
        oracle_->Trace("client %d has packet identifier %u already", options_.index,
                       publish.packet_id);
        return;
    }
    Report(delivery);
}

// ---------------------------------------------------------------------------- planted faults

void Client::Report(const Delivery &delivery) {
    if (retained_found != nullptr && delivery.retain && delivery.payload.len >= 8) {
        uint64_t id = 0;
        for (size_t i = 0; i < 8; i++) {
            id |= static_cast<uint64_t>(delivery.payload.data[i]) << (8 * i);
        }
        if (retained_found->count(delivery.topic) != 0) {
            oracle_->Fail("'%s' is retained twice", delivery.topic.c_str());
        }
        (*retained_found)[delivery.topic] = id;
    }
    if (fault != Fault::kNone && !fault_done) {
        ReportFaulty(delivery);
    } else {
        oracle_->OnDelivery(delivery);
    }
}

void Client::ReportFaulty(const Delivery &delivery) {
    bool live =
        !delivery.retain && !delivery.dup && delivery.payload.len > 8 && delivery.topic[0] == 't';
    std::string bytes = Text(delivery.payload);
    Delivery copy = delivery;
    copy.payload = Slice(bytes);
    if (has_swapped_ && delivery.topic == swapped_.topic && delivery.qos == swapped_.qos) {
        has_swapped_ = false;
        fault_done = true;
        oracle_->OnDelivery(delivery);
        swapped_.payload = Slice(swapped_payload_);
        oracle_->OnDelivery(swapped_);
        return;
    }
    if (live && fault == Fault::kLoseMessage && delivery.qos > 0) {
        fault_done = true;
        return;
    }
    if (live && fault == Fault::kSwapOrder && delivery.qos > 0 && !has_swapped_) {
        swapped_ = delivery;
        swapped_payload_ = bytes;
        has_swapped_ = true;
        return;
    }
    if (live && fault == Fault::kCorruptPayload) {
        fault_done = true;
        bytes[bytes.size() - 1] = static_cast<char>(bytes[bytes.size() - 1] ^ 4);
        oracle_->OnDelivery(copy);
        return;
    }
    oracle_->OnDelivery(delivery);
    if (live && ((fault == Fault::kDuplicateQos2 && delivery.qos == 2) ||
                 (fault == Fault::kDuplicateQos1 && delivery.qos == 1))) {
        fault_done = true;
        oracle_->OnDelivery(copy);
        oracle_->OnDelivery(copy);
    }
    if (live && fault == Fault::kMisdeliver) {
        fault_done = true;
        copy.client = 0;  // Subscribes to nothing.
        oracle_->OnDelivery(copy);
    }
}

// ---------------------------------------------------------------------------- acknowledgements

void Client::OnAck(mr_packet_type type, mr_slice body) {
    mr_ack ack;
    mr_decode_error error;
    if (mr_ack_decode(options_.version, type, body, &ack, &error) != MR_DECODE_DONE) {
        oracle_->Fail("client %d got a bad %s", options_.index, mr_packet_type_name(type));
        return;
    }
    if (type == MR_PUBREL) {
        if (received_.erase(ack.packet_id) == 0) {
            // Its PUBCOMP may have been lost with a connection.
            oracle_->Trace("client %d knows nothing of packet identifier %u", options_.index,
                           ack.packet_id);
        }
        unacknowledged_.insert(ack.packet_id);
        Acknowledge(MR_PUBCOMP, ack.packet_id);
        return;
    }
    Outgoing *outgoing = FindOutgoing(ack.packet_id);
    mr_packet_type expected = outgoing == nullptr           ? MR_AUTH
                              : outgoing->message->qos == 1 ? MR_PUBACK
                              : outgoing->released          ? MR_PUBCOMP
                                                            : MR_PUBREC;
    if (type != expected) {
        oracle_->Fail("client %d got %s for packet identifier %u", options_.index,
                      mr_packet_type_name(type), ack.packet_id);
        return;
    }
    auto sent = std::find_if(sent_.begin(), sent_.end(),
                             [&](const auto &each) { return each.second == ack.packet_id; });
    if (sent != sent_.end()) {
        AnsweredUpTo(sent->first);
        sent_.erase(sent);
    }
    if (type != MR_PUBCOMP) {
        oracle_->OnAnswered(outgoing->message, ack.reason < MR_REASON_UNSPECIFIED_ERROR);
    }
    if (type == MR_PUBREC) {
        outgoing->released = true;
        SendAck(MR_PUBREL, ack.packet_id);
        return;
    }
    auto same = [&](const Outgoing &each) { return each.packet_id == ack.packet_id; };
    outgoing_.erase(std::find_if(outgoing_.begin(), outgoing_.end(), same));
}

void Client::OnSuback(mr_packet_type type, mr_slice body) {
    mr_suback suback;
    mr_decode_error error;
    if (mr_suback_decode(options_.version, type, body, &suback, &error) != MR_DECODE_DONE) {
        oracle_->Fail("client %d got a bad %s", options_.index, mr_packet_type_name(type));
        return;
    }
    // The broker answers in order.
    if (requests_.empty() || requests_.front().packet_id != suback.packet_id ||
        requests_.front().type != type) {
        oracle_->Fail("client %d got %s for packet identifier %u", options_.index,
                      mr_packet_type_name(type), suback.packet_id);
        return;
    }
    Request request = requests_.front();
    requests_.pop_front();
    AnsweredUpTo(request.sequence);
    if (type == MR_SUBACK) {
        oracle_->OnSuback(options_.index, request.filter, request.tick, suback.codes.data[0]);
    } else {
        oracle_->OnUnsuback(options_.index, request.filter, request.tick);
    }
}

void Client::OnDisconnect(mr_slice body) {
    mr_disconnect disconnect;
    mr_decode_error error;
    if (mr_disconnect_decode(options_.version, body, false, &disconnect, &error) !=
        MR_DECODE_DONE) {
        oracle_->Fail("client %d got a bad DISCONNECT", options_.index);
        return;
    }
    oracle_->Trace("client %d is told to go: %s", options_.index,
                   mr_reason_text(disconnect.reason));
    told_by_server_ = true;
    bool expected = disconnect.reason == MR_REASON_QUOTA_EXCEEDED ||
                    disconnect.reason == MR_REASON_KEEP_ALIVE_TIMEOUT ||
                    disconnect.reason == MR_REASON_SERVER_SHUTTING_DOWN;
    if (!expected) {
        oracle_->Fail("client %d was sent away: %s", options_.index,
                      mr_reason_text(disconnect.reason));
    }
}

}  // namespace millrace
