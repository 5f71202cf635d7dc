#include "broker/session/testing.hh"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <ostream>

#include "codec/topic.h"

namespace mr_testing {

namespace {

std::string ToString(struct mr_slice slice) {
    return slice.len == 0 ? std::string()
                          : std::string(reinterpret_cast<const char *>(slice.data), slice.len);
}

std::string U16(size_t value) {
    return {static_cast<char>(value >> 8), static_cast<char>(value)};
}

}  // namespace

World::World(uint64_t pool_bytes_max) {
    memset(&counters, 0, sizeof(counters));
    memset(&env, 0, sizeof(env));
    struct mr_buf_pool_options options = {pool_bytes_max, 1u << 20};
    EXPECT_EQ(mr_buf_pool_new(&pool_, &options), MR_OK);
    mr_buf_pool_enter(pool_);
    struct mr_trie_options trie_options = {0, 42};
    EXPECT_EQ(mr_trie_new(&trie, &trie_options), MR_OK);
    env.pool = pool_;
    env.scratch.pool = pool_;
    env.counters = &counters;
    env.now_ms = 1000000;
    env.inflight_messages_max = 20;
    env.queued_messages_max = 1000;
    env.outbox_bytes = 1u << 20;
    env.slow_policy = MR_SLOW_DROP_NEWEST;
}

World::~World() {
    mr_scratch_fini(&env.scratch);
    mr_trie_free(trie);
    // Whatever a session or a connection held is back.
    EXPECT_EQ(stats().in_use_count, 0u);
    EXPECT_EQ(counters.queued_messages, 0u);
    EXPECT_EQ(counters.queued_bytes, 0u);
    mr_buf_pool_free(pool_);
    mr_buf_pool_enter(nullptr);
}

struct mr_buf_stats World::stats() const {
    struct mr_buf_stats stats;
    mr_buf_pool_stats(pool_, &stats);
    return stats;
}

mr_trie_node *World::Subscribe(const std::string &filter, uint32_t subscriber,
                               uint32_t subscription_id) {
    struct mr_filter parsed;
    mr_filter_parse(mr_slice_of(filter.data(), filter.size()), true, &parsed);
    EXPECT_NE(parsed.kind, MR_FILTER_INVALID);
    struct mr_subscription subscription = {subscriber, subscription_id, 2, false, false};
    mr_trie_node *node = nullptr;
    bool existed;
    EXPECT_EQ(mr_trie_insert(trie, &parsed, &subscription, &node, &existed), MR_OK);
    return node;
}

std::string UserProperty(const std::string &name, const std::string &value) {
    return std::string(1, MR_PROPERTY_USER_PROPERTY) + U16(name.size()) + name + U16(value.size()) +
           value;
}

Outgoing::Outgoing(World *world, const Publication &publication) {
    mr_version version = static_cast<mr_version>(publication.version);
    struct mr_publish packet;
    memset(&packet, 0, sizeof(packet));
    packet.topic = mr_slice_of(publication.topic.data(), publication.topic.size());
    packet.payload = mr_slice_of(publication.payload.data(), publication.payload.size());
    packet.qos = publication.qos;
    packet.retain = publication.retain;
    packet.dup = publication.dup;
    packet.packet_id = publication.qos > 0 ? 77 : 0;
    if (publication.version == MR_MQTT_50) {
        packet.properties_raw =
            mr_slice_of(publication.forwardable.data(), publication.forwardable.size());
        packet.topic_alias = publication.topic_alias;
        if (publication.expiry_s) {
            packet.message_expiry_s = *publication.expiry_s;
            packet.properties_present = MR_PROPERTY_BIT(MR_PROPERTY_MESSAGE_EXPIRY_INTERVAL);
        }
    }
    size_t bytes_max =
        MR_PUBLISH_HEAD_BYTES(packet.topic.len, packet.properties_raw.len, 0) + packet.payload.len;
    buf_ = mr_buf_new(world->pool(), bytes_max);
    EXPECT_NE(buf_, nullptr);
    size_t len = mr_publish_encode(version, &packet, nullptr, 0, buf_->data, bytes_max);
    EXPECT_GT(len, 0u);
    struct mr_slice bytes = mr_slice_of(buf_->data, len);
    struct mr_frame frame;
    struct mr_decode_error error;
    EXPECT_EQ(mr_frame_decode(bytes, version, UINT32_MAX, &frame, &error), MR_DECODE_DONE);
    struct mr_slice body = mr_slice_of(buf_->data + frame.header_len, frame.body_len);
    EXPECT_EQ(mr_publish_decode(version, frame.flags, body, &packet_, &error), MR_DECODE_DONE);
    uint64_t expires_ms =
        publication.expiry_s ? world->env.now_ms + *publication.expiry_s * UINT64_C(1000) : 0;
    if (publication.as_message) {
        mr_message *message = mr_message_new(world->pool(), &packet_, 0, expires_ms);
        EXPECT_NE(message, nullptr);
        mr_outgoing_init_message(&outgoing_, &world->env.scratch, message, world->env.now_ms,
                                 &packet_);
        mr_message_unref(message);
        return;
    }
    mr_outgoing_init(&outgoing_, &world->env.scratch, &packet_, buf_, 0, expires_ms);
    if (publication.wire) {
        EXPECT_EQ(publication.qos, 0);
        EXPECT_EQ(publication.retain, false);
        EXPECT_EQ(publication.topic_alias, 0);
        outgoing_.wire = bytes;
        outgoing_.wire_version = static_cast<uint8_t>(publication.version);
    }
}

Outgoing::~Outgoing() {
    mr_outgoing_fini(&outgoing_);
    mr_buf_unref(buf_);
}

bool Deliver(mr_session *session, mr_outgoing *outgoing, const Grant &grant) {
    // Borrowed for the call only: behind it the identifiers must not be used any more.
    std::unique_ptr<uint32_t[]> ids(new uint32_t[grant.ids.size()]);
    std::copy(grant.ids.begin(), grant.ids.end(), ids.get());
    mr_grant given;
    memset(&given, 0, sizeof(given));
    given.qos = grant.qos;
    given.retain = grant.retain;
    given.replay = grant.replay;
    given.id_count = static_cast<uint16_t>(grant.ids.size());
    given.ids = ids.get();
    given.node = grant.node;
    return mr_session_deliver(session, outgoing, &given);
}

bool Deliver(World *world, mr_session *session, const Publication &publication,
             const Grant &grant) {
    Outgoing outgoing(world, publication);
    return Deliver(session, outgoing.get(), grant);
}

bool Received::operator==(const Received &other) const {
    return type == other.type && topic == other.topic && payload == other.payload &&
           forwardable == other.forwardable && ids == other.ids && expiry_s == other.expiry_s &&
           packet_id == other.packet_id && topic_alias == other.topic_alias &&
           topic_left_out == other.topic_left_out && qos == other.qos && retain == other.retain &&
           dup == other.dup && bytes == other.bytes;
}

std::ostream &operator<<(std::ostream &out, const Received &received) {
    out << mr_packet_type_name(received.type) << " " << received.packet_id;
    if (received.type == MR_PUBLISH) {
        out << " '" << received.topic << "' q" << int{received.qos} << (received.dup ? " dup" : "")
            << (received.retain ? " retain" : "") << " payload '" << received.payload.substr(0, 20)
            << "'(" << received.payload.size() << ") alias " << received.topic_alias
            << (received.topic_left_out ? " (no topic)" : "") << " expiry "
            << (received.expiry_s ? static_cast<int64_t>(*received.expiry_s) : -1) << " ids";
        for (uint32_t id : received.ids) {
            out << " " << id;
        }
        out << " +" << received.forwardable.size();
    }
    return out << " (" << received.bytes << " bytes)";
}

Client::Client(World *world, const ClientOptions &options) : world_(world), options_(options) {
    memset(&chain_, 0, sizeof(chain_));
    memset(&link_, 0, sizeof(link_));
    link_.out = &chain_;
    link_.version = static_cast<uint8_t>(options.version);
    link_.receive_max = options.receive_max;
    link_.packet_bytes_max = options.packet_bytes_max;
    link_.mount_point = options_.mount_point.empty() ? nullptr : options_.mount_point.c_str();
    if (options.topic_alias_max > 0) {
        link_.aliases = mr_topic_aliases_new(options.topic_alias_max);
        EXPECT_NE(link_.aliases, nullptr);
    }
}

Client::~Client() {
    mr_chain_clear(&chain_);
    mr_topic_aliases_free(link_.aliases);
}

std::vector<Received> Client::Read(uint64_t bytes) {
    bytes = std::min(bytes, mr_chain_bytes(&chain_));
    while (bytes > 0) {
        mr_iov iov[4];
        size_t count = mr_chain_iov(&chain_, iov, 4);
        uint64_t taken = 0;
        for (size_t i = 0; i < count && taken < bytes; i++) {
            size_t part = static_cast<size_t>(std::min<uint64_t>(iov[i].len, bytes - taken));
            input_.append(reinterpret_cast<const char *>(iov[i].base), part);
            taken += part;
        }
        mr_chain_consume(&chain_, taken);
        bytes -= taken;
    }
    std::vector<Received> received;
    size_t at = 0;
    for (;;) {
        struct mr_slice rest = mr_slice_of(input_.data() + at, input_.size() - at);
        struct mr_frame frame;
        struct mr_decode_error error;
        mr_decode_status status =
            mr_frame_decode(rest, options_.version, options_.packet_bytes_max, &frame, &error);
        EXPECT_NE(status, MR_DECODE_BAD) << error.what;
        if (status != MR_DECODE_DONE || rest.len - frame.header_len < frame.body_len) {
            break;
        }
        received.push_back(
            Decode(frame, mr_slice_of(rest.data + frame.header_len, frame.body_len)));
        at += frame.header_len + frame.body_len;
    }
    input_.erase(0, at);
    return received;
}

Received Client::Decode(const struct mr_frame &frame, struct mr_slice body) {
    mr_version version = static_cast<mr_version>(options_.version);
    Received received;
    received.type = static_cast<mr_packet_type>(frame.type);
    received.bytes = frame.header_len + frame.body_len;
    struct mr_decode_error error;
    if (frame.type == MR_PUBREL) {
        struct mr_ack ack;
        EXPECT_EQ(mr_ack_decode(version, MR_PUBREL, body, &ack, &error), MR_DECODE_DONE);
        EXPECT_EQ(ack.reason, MR_REASON_SUCCESS);
        received.packet_id = ack.packet_id;
        return received;
    }
    EXPECT_EQ(frame.type, MR_PUBLISH);
    struct mr_publish packet;
    EXPECT_EQ(mr_publish_decode(version, frame.flags, body, &packet, &error), MR_DECODE_DONE)
        << error.what;
    received.topic = ToString(packet.topic);
    received.payload = ToString(packet.payload);
    received.qos = packet.qos;
    received.retain = packet.retain;
    received.dup = packet.dup;
    received.packet_id = packet.packet_id;
    received.topic_alias = packet.topic_alias;
    received.topic_left_out = packet.topic.len == 0;
    if (packet.topic_alias != 0) {
        EXPECT_LE(packet.topic_alias, options_.topic_alias_max);
        if (packet.topic.len == 0) {
            EXPECT_EQ(aliases_.count(packet.topic_alias), 1u) << "alias is not defined";
            received.topic = aliases_[packet.topic_alias];
        }
        aliases_[packet.topic_alias] = received.topic;
    }
    if (packet.properties_present & MR_PROPERTY_BIT(MR_PROPERTY_MESSAGE_EXPIRY_INTERVAL)) {
        received.expiry_s = packet.message_expiry_s;
    }
    struct mr_slice rest = packet.properties_raw;
    struct mr_property property;
    while (mr_property_next(&rest, &property)) {
        if (property.id == MR_PROPERTY_SUBSCRIPTION_IDENTIFIER) {
            received.ids.push_back(property.number);
        } else if (property.id != MR_PROPERTY_TOPIC_ALIAS &&
                   property.id != MR_PROPERTY_MESSAGE_EXPIRY_INTERVAL) {
            received.forwardable += ToString(property.raw);
        }
    }
    return received;
}

}  // namespace mr_testing
