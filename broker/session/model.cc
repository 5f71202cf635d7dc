#include "broker/session/model.hh"

#include <algorithm>

namespace mr_testing {

namespace {

size_t VarintBytes(size_t value) {
    return value < 128 ? 1 : value < 16384 ? 2 : value < 2097152 ? 3 : 4;
}

uint16_t After(uint16_t packet_id) {
    return packet_id == 65535 ? 1 : static_cast<uint16_t>(packet_id + 1);
}

}  // namespace

void ModelDrops::Add(const ModelDrops &other) {
    queue_full += other.queue_full;
    oldest += other.oldest;
    offline += other.offline;
    too_large += other.too_large;
    expired += other.expired;
    session_end += other.session_end;
    denied += other.denied;
    redelivered += other.redelivered;
}

void Model::Attach(const ClientOptions &client) {
    client_ = client;
    too_slow_ = false;
    congested_ = false;
    catching_up_ = !Eased();
    pending_ = 0;
    written_.clear();
    aliases_.clear();
}

void Model::Detach() {
    client_.reset();
    congested_ = false;
    pending_ = 0;
    written_.clear();
    for (Delivery &delivery : inflight_) {
        delivery.sent_here = false;
    }
    if (!settings_.queue_qos0_messages) {
        std::deque<Delivery> kept;
        for (Delivery &delivery : queue_) {
            if (delivery.grant.qos > 0) {
                kept.push_back(delivery);
            } else {
                drops_.offline++;
            }
        }
        queue_ = kept;
    }
}

void Model::End() {
    drops_.session_end += held_messages();
    inflight_.clear();
    queue_.clear();
}

uint64_t Model::held_messages() const {
    uint64_t count = queue_.size();
    for (const Delivery &delivery : inflight_) {
        count += delivery.has_message ? 1 : 0;
    }
    return count;
}

uint64_t Model::held_bytes() const {
    uint64_t bytes = 0;
    for (const Delivery &delivery : queue_) {
        bytes += delivery.message.bytes();
    }
    for (const Delivery &delivery : inflight_) {
        bytes += delivery.has_message ? delivery.message.bytes() : 0;
    }
    return bytes;
}

std::map<uint16_t, std::pair<Model::State, uint8_t>> Model::InFlight() const {
    std::map<uint16_t, std::pair<State, uint8_t>> result;
    for (const Delivery &delivery : inflight_) {
        if (delivery.state != DONE) {
            result[delivery.packet_id] = {delivery.state, delivery.grant.qos};
        }
    }
    return result;
}

bool Model::backlogged() const {
    if (!queue_.empty()) {
        return true;
    }
    return std::any_of(inflight_.begin(), inflight_.end(), [](const Delivery &delivery) {
        return delivery.state != DONE && !delivery.sent_here;
    });
}

// ------------------------------------------------------------------------- writing

std::vector<uint32_t> Model::IdsNow(const Delivery &delivery) const {
    if (delivery.grant.node == nullptr) {
        return delivery.grant.ids;
    }
    auto found = shared_ids_->find(delivery.grant.node);
    return found == shared_ids_->end() || found->second == 0 ? std::vector<uint32_t>()
                                                             : std::vector<uint32_t>{found->second};
}

bool Model::Write(const Delivery &delivery, bool dup) {
    const ModelMessage &message = delivery.message;
    bool v5 = client_->version == MR_MQTT_50;
    Received packet;
    packet.topic = message.topic;
    if (!client_->mount_point.empty()) {
        packet.topic = packet.topic.substr(client_->mount_point.size());
    }
    packet.payload = message.payload;
    packet.packet_id = delivery.packet_id;
    packet.qos = delivery.grant.qos;
    packet.retain = delivery.grant.retain;
    packet.dup = dup;
    bool new_alias = false;
    if (v5) {
        packet.forwardable = message.forwardable;
        packet.ids = IdsNow(delivery);
        if (message.expires_ms != 0) {
            uint64_t left = message.expires_ms > *now_ms_ ? message.expires_ms - *now_ms_ : 0;
            packet.expiry_s = std::max<uint32_t>(1, static_cast<uint32_t>((left + 500) / 1000));
        }
        auto known = aliases_.find(packet.topic);
        if (known != aliases_.end()) {
            packet.topic_alias = known->second;
            packet.topic_left_out = true;
        } else if (aliases_.size() < client_->topic_alias_max) {
            packet.topic_alias = static_cast<uint16_t>(aliases_.size() + 1);
            new_alias = true;
        }
    }
    size_t body = 2 + (packet.topic_left_out ? 0 : packet.topic.size()) + (packet.qos > 0 ? 2 : 0) +
                  packet.payload.size();
    if (v5) {
        size_t properties = packet.forwardable.size() + (packet.topic_alias != 0 ? 3 : 0) +
                            (packet.expiry_s ? 5 : 0);
        for (uint32_t id : packet.ids) {
            properties += 1 + VarintBytes(id);
        }
        body += VarintBytes(properties) + properties;
    }
    packet.bytes = 1 + VarintBytes(body) + body;
    if (packet.bytes > client_->packet_bytes_max) {
        drops_.too_large++;
        return false;
    }
    if (new_alias) {
        aliases_[packet.topic] = packet.topic_alias;
    }
    written_.push_back(packet);
    pending_ += packet.bytes;
    return true;
}

// ----------------------------------------------------------------------- in flight

uint32_t Model::Window() const {
    uint32_t window = client_->receive_max;
    if (settings_.inflight_messages_max != 0) {
        window = std::min(window, settings_.inflight_messages_max);
    }
    return window;
}

uint32_t Model::QuotaUsed() const {
    uint32_t used = 0;
    for (const Delivery &delivery : inflight_) {
        used += delivery.sent_here && delivery.state != DONE ? 1 : 0;
    }
    return used;
}

bool Model::WindowOpen(uint64_t bytes) const {
    uint32_t span = std::min<uint32_t>(65535, std::max<uint32_t>(256, Window() * 8));
    if (QuotaUsed() >= Window() || inflight_.size() >= span) {
        return false;
    }
    uint64_t used = 0;
    for (const Delivery &delivery : inflight_) {
        used += delivery.has_message ? delivery.message.bytes() : 0;
    }
    return settings_.inflight_bytes_max == 0 || used == 0 ||
           used + bytes <= settings_.inflight_bytes_max;
}

// Identifiers are given in order and start anew only when their predecessors are free.
void Model::Prune() {
    while (!inflight_.empty() && inflight_.front().state == DONE) {
        inflight_.pop_front();
    }
}

void Model::SendNew(Delivery delivery) {
    delivery.packet_id = next_packet_id_;
    if (!Write(delivery, false)) {
        return;
    }
    next_packet_id_ = After(next_packet_id_);
    delivery.state = AWAIT_ACK;
    delivery.sent_here = true;
    inflight_.push_back(delivery);
}

Model::Delivery *Model::Find(uint16_t packet_id, State state, uint8_t qos) {
    for (Delivery &delivery : inflight_) {
        if (delivery.packet_id == packet_id && delivery.state == state &&
            delivery.grant.qos == qos) {
            return &delivery;
        }
    }
    return nullptr;
}

bool Model::Puback(uint16_t packet_id) {
    Delivery *delivery = Find(packet_id, AWAIT_ACK, 1);
    if (delivery == nullptr) {
        return false;
    }
    delivery->state = DONE;
    delivery->has_message = false;
    Prune();
    return true;
}

bool Model::Pubrec(uint16_t packet_id, bool failed) {
    Delivery *delivery = Find(packet_id, AWAIT_ACK, 2);
    if (delivery == nullptr) {
        delivery = Find(packet_id, AWAIT_PUBCOMP, 2);
    }
    if (delivery == nullptr) {
        return false;
    }
    delivery->has_message = false;
    delivery->state = failed ? DONE : AWAIT_PUBCOMP;
    Prune();
    return true;
}

bool Model::Pubcomp(uint16_t packet_id) {
    Delivery *delivery = Find(packet_id, AWAIT_PUBCOMP, 2);
    if (delivery == nullptr) {
        return false;
    }
    delivery->state = DONE;
    Prune();
    return true;
}

// ------------------------------------------------------------------------- waiting

uint64_t Model::QueuedCount() const {
    uint64_t count = 0;
    for (const Delivery &delivery : queue_) {
        count += delivery.grant.replay ? 0 : 1;
    }
    return count;
}

uint64_t Model::QueuedBytes() const {
    uint64_t bytes = 0;
    for (const Delivery &delivery : queue_) {
        bytes += delivery.grant.replay ? 0 : delivery.message.bytes();
    }
    return bytes;
}

bool Model::Full(uint64_t bytes) const {
    if (settings_.queued_messages_max != 0 && QueuedCount() >= settings_.queued_messages_max) {
        return true;
    }
    return settings_.queued_bytes_max != 0 && QueuedCount() > 0 &&
           QueuedBytes() + bytes > settings_.queued_bytes_max;
}

// Is at most half of the queue's room taken?
bool Model::Eased() const {
    return (settings_.queued_messages_max == 0 ||
            QueuedCount() <= settings_.queued_messages_max / 2) &&
           (settings_.queued_bytes_max == 0 || QueuedBytes() <= settings_.queued_bytes_max / 2);
}

bool Model::MakeRoom(const ModelMessage &message) {
    uint64_t bytes = message.arrived_bytes();
    while (Full(bytes) && !queue_.empty() && queue_.front().message.expires_ms != 0 &&
           queue_.front().message.expires_ms <= *now_ms_) {
        queue_.pop_front();
        drops_.expired++;
    }
    while (Full(bytes) && settings_.slow_policy == MR_SLOW_DROP_OLDEST) {
        queue_.erase(std::find_if(queue_.begin(), queue_.end(),
                                  [](const Delivery &delivery) { return !delivery.grant.replay; }));
        drops_.oldest++;
    }
    if (!Full(bytes)) {
        return true;
    }
    if (online() && settings_.slow_policy == MR_SLOW_BACKPRESSURE) {
        congested_ = true;
        if (!message.droppable) {
            return true;
        }
    }
    if (online() && settings_.slow_policy == MR_SLOW_DISCONNECT && !catching_up_) {
        too_slow_ = true;
    }
    drops_.queue_full++;
    return false;
}

void Model::Enqueue(const ModelMessage &message, const Grant &grant) {
    if (grant.replay || MakeRoom(message)) {
        Delivery delivery;
        delivery.message = message;
        delivery.grant = grant;
        queue_.push_back(delivery);
    }
}

void Model::Deliver(const ModelMessage &message, const Grant &given) {
    Grant grant = given;
    if (!settings_.upgrade_outgoing_qos) {
        grant.qos = std::min(grant.qos, message.qos);
    }
    if (!online() || too_slow_) {
        if (grant.qos == 0 && !settings_.queue_qos0_messages) {
            drops_.offline++;
        } else {
            Enqueue(message, grant);
        }
        return;
    }
    bool may_send = !backlogged() && OutboxOpen();
    if (!may_send || (grant.qos > 0 && !WindowOpen(message.arrived_bytes()))) {
        Enqueue(message, grant);
        return;
    }
    Delivery delivery;
    delivery.message = message;
    delivery.grant = grant;
    if (grant.qos == 0) {
        Write(delivery, false);
    } else {
        SendNew(delivery);
    }
}

void Model::Pump() {
    if (!online() || too_slow_) {
        return;
    }
    for (Delivery &delivery : inflight_) {
        if (delivery.sent_here || delivery.state == DONE) {
            continue;
        }
        if (!OutboxOpen() || QuotaUsed() >= Window()) {
            break;
        }
        if (delivery.state == AWAIT_PUBCOMP) {
            Received pubrel;
            pubrel.type = MR_PUBREL;
            pubrel.packet_id = delivery.packet_id;
            pubrel.bytes = 4;
            written_.push_back(pubrel);
            pending_ += 4;
            delivery.sent_here = true;
        } else if (Write(delivery, true)) {
            delivery.sent_here = true;
        } else {
            delivery.state = DONE;
            delivery.has_message = false;
        }
    }
    Prune();
    bool all_sent = std::all_of(inflight_.begin(), inflight_.end(), [](const Delivery &delivery) {
        return delivery.sent_here || delivery.state == DONE;
    });
    while (all_sent && !queue_.empty() && OutboxOpen()) {
        Delivery delivery = queue_.front();
        if (delivery.message.expires_ms != 0 && delivery.message.expires_ms <= *now_ms_) {
            drops_.expired++;
        } else if (delivery.grant.qos == 0) {
            Write(delivery, false);
        } else if (WindowOpen(delivery.message.bytes())) {
            SendNew(delivery);
        } else {
            break;
        }
        queue_.pop_front();
    }
    congested_ = congested_ && !Eased();
    catching_up_ = catching_up_ && !Eased();
}

void Model::DropWaiting(char last) {
    std::deque<Delivery> kept;
    for (Delivery &delivery : queue_) {
        if (delivery.message.topic.back() == last) {
            drops_.denied++;
        } else {
            kept.push_back(delivery);
        }
    }
    queue_ = kept;
}

// -------------------------------------------------------------------------- shared

std::vector<ModelMessage> Model::TakeShared(mr_trie_node *node, bool inflight, size_t accept) {
    std::vector<ModelMessage> taken;
    bool refused = false;
    auto offer = [&](const Delivery &delivery) {
        if (refused || delivery.grant.node == nullptr || !delivery.has_message ||
            (node != nullptr && delivery.grant.node != node)) {
            return false;
        }
        if (taken.size() == accept) {
            refused = true;
            return false;
        }
        taken.push_back(delivery.message);
        drops_.redelivered++;
        return true;
    };
    for (Delivery &delivery : inflight_) {
        if (inflight && delivery.state == AWAIT_ACK && delivery.grant.qos == 1 && offer(delivery)) {
            delivery.state = DONE;
            delivery.has_message = false;
        }
    }
    Prune();
    std::deque<Delivery> kept;
    for (Delivery &delivery : queue_) {
        if (!offer(delivery)) {
            kept.push_back(delivery);
        }
    }
    queue_ = kept;
    for (std::deque<Delivery> *list : {&inflight_, &queue_}) {
        for (Delivery &delivery : *list) {
            if (node != nullptr && delivery.grant.node == node) {
                delivery.grant.ids = IdsNow(delivery);
                delivery.grant.node = nullptr;
            }
        }
    }
    return taken;
}

}  // namespace mr_testing
