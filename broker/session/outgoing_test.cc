#include "broker/session/outgoing.h"

#include <gtest/gtest.h>

#include <set>

#include "broker/session/testing.hh"

namespace mr_testing {
namespace {

const mr_encoding *Encode(mr_outgoing *outgoing, mr_version version, bool retain, bool with_id) {
    const mr_encoding *encoding = nullptr;
    EXPECT_EQ(mr_outgoing_encode(outgoing, version, retain, with_id, &encoding), MR_OK);
    return encoding;
}

mr_publish Decode(mr_version version, const mr_encoding *encoding) {
    mr_frame frame;
    mr_decode_error error;
    mr_publish packet;
    memset(&packet, 0, sizeof(packet));
    EXPECT_EQ(mr_frame_decode(encoding->head, version, UINT32_MAX, &frame, &error), MR_DECODE_DONE);
    struct mr_slice body =
        mr_slice_of(encoding->head.data + frame.header_len, encoding->head.len - frame.header_len);
    EXPECT_EQ(mr_publish_decode(version, frame.flags, body, &packet, &error), MR_DECODE_DONE);
    if (!encoding->payload_apart) {
        EXPECT_EQ(frame.body_len, body.len);
    }
    return packet;
}

TEST(Outgoing, EncodesEachLayoutOnce) {
    World world;
    Publication publication;
    publication.qos = 1;
    publication.topic = std::string(200, 't');
    publication.forwardable = UserProperty("a", "b");
    Outgoing outgoing(&world, publication);
    std::vector<const mr_encoding *> seen;
    for (mr_version version : {MR_MQTT_311, MR_MQTT_50}) {
        for (bool retain : {false, true}) {
            for (bool with_id : {false, true}) {
                const mr_encoding *encoding = Encode(outgoing.get(), version, retain, with_id);
                EXPECT_EQ(Encode(outgoing.get(), version, retain, with_id), encoding);
                seen.push_back(encoding);
                mr_publish packet = Decode(version, encoding);
                EXPECT_EQ(packet.retain, retain);
                EXPECT_EQ(packet.qos, with_id ? 1 : 0);
                EXPECT_FALSE(packet.dup);
                EXPECT_EQ(packet.topic.len, 200u);
                EXPECT_EQ(packet.properties_raw.len,
                          version == MR_MQTT_50 ? publication.forwardable.size() : 0u);
                if (with_id) {
                    const uint8_t *at = encoding->head.data + encoding->packet_id_offset;
                    EXPECT_EQ(at[0] << 8 | at[1], packet.packet_id);
                }
            }
        }
    }
    EXPECT_EQ(std::set<const mr_encoding *>(seen.begin(), seen.end()).size(), 8u);
    // 3.1 is laid out as 3.1.1.
    EXPECT_EQ(Encode(outgoing.get(), MR_MQTT_31, false, false), seen[0]);
}

// [MQTT-3.3.1-3]: DUP is about one hop, like the packet identifier.
TEST(Outgoing, DoesNotPassThePublishersDupOn) {
    World world;
    for (uint8_t qos : {1, 2}) {
        for (size_t payload : {size_t{1}, size_t{MR_OUTGOING_COPY_BYTES + 1}}) {
            Publication publication;
            publication.qos = qos;
            publication.dup = true;
            publication.payload.assign(payload, 'x');
            Outgoing outgoing(&world, publication);
            ASSERT_TRUE(outgoing.packet().dup);
            for (mr_version version : {MR_MQTT_311, MR_MQTT_50}) {
                for (bool with_id : {false, true}) {
                    const mr_encoding *encoding = Encode(outgoing.get(), version, false, with_id);
                    EXPECT_FALSE(Decode(version, encoding).dup);
                }
            }
        }
    }
}

TEST(Outgoing, CopiesSmallPayloadsAndRefersToLargeOnes) {
    World world;
    for (size_t len : {size_t{0}, size_t{MR_OUTGOING_COPY_BYTES}}) {
        Publication publication;
        publication.payload.assign(len, 'x');
        Outgoing outgoing(&world, publication);
        const mr_encoding *encoding = Encode(outgoing.get(), MR_MQTT_50, false, false);
        EXPECT_FALSE(encoding->payload_apart);
        EXPECT_EQ(Decode(MR_MQTT_50, encoding).payload.len, len);
    }
    Publication publication;
    publication.payload.assign(MR_OUTGOING_COPY_BYTES + 1, 'x');
    Outgoing outgoing(&world, publication);
    const mr_encoding *encoding = Encode(outgoing.get(), MR_MQTT_50, false, false);
    EXPECT_TRUE(encoding->payload_apart);
    EXPECT_EQ(Decode(MR_MQTT_50, encoding).payload.len, 0u);
    struct mr_slice payload;
    mr_buf *buf = mr_outgoing_payload(outgoing.get(), &payload);
    EXPECT_EQ(payload.len, publication.payload.size());
    EXPECT_GE(payload.data, buf->data);
    EXPECT_LE(payload.data + payload.len, buf->data + buf->capacity);
    // A message that is there pins less than the buffer that it came in.
    mr_message *message = mr_outgoing_message(outgoing.get());
    EXPECT_EQ(mr_outgoing_payload(outgoing.get(), &payload), message->buf);
    EXPECT_EQ(payload.len, publication.payload.size());
}

// [MQTT-3.3.2-17], and what concerns one hop only stays there.
TEST(Outgoing, PassesPropertiesOnWithoutThoseOfOneHop) {
    World world;
    Publication publication;
    publication.forwardable = UserProperty("a", "b") + UserProperty("c", "d");
    for (bool alias : {false, true}) {
        for (bool expiry : {false, true}) {
            publication.topic_alias = alias ? 1 : 0;
            publication.expiry_s = expiry ? std::optional<uint32_t>(9) : std::nullopt;
            Outgoing outgoing(&world, publication);
            struct mr_slice properties;
            ASSERT_EQ(mr_outgoing_properties(outgoing.get(), &properties), MR_OK);
            EXPECT_EQ(std::string(reinterpret_cast<const char *>(properties.data), properties.len),
                      publication.forwardable);
            // Only what has to be filtered needs a message.
            EXPECT_EQ(outgoing.get()->message != nullptr, alias || expiry);
            mr_publish packet = Decode(MR_MQTT_50, Encode(outgoing.get(), MR_MQTT_50, false, true));
            EXPECT_EQ(packet.message_expiry_s, expiry ? 9u : 0u);
            EXPECT_EQ(packet.topic_alias, 0);
            EXPECT_EQ(packet.properties_raw.len, publication.forwardable.size() + (expiry ? 5 : 0));
        }
    }
}

TEST(Outgoing, NeedsNoMessageForReceiversBefore5) {
    World world;
    Publication publication;
    publication.expiry_s = 5;
    Outgoing outgoing(&world, publication);
    Encode(outgoing.get(), MR_MQTT_311, false, false);
    EXPECT_EQ(outgoing.get()->message, nullptr);
}

TEST(Outgoing, MakesOneMessageForAll) {
    World world;
    Publication publication;
    publication.qos = 2;
    publication.retain = true;
    publication.expiry_s = 5;
    publication.forwardable = UserProperty("a", "b");
    Outgoing outgoing(&world, publication);
    mr_message *message = mr_outgoing_message(outgoing.get());
    ASSERT_NE(message, nullptr);
    EXPECT_EQ(mr_outgoing_message(outgoing.get()), message);
    EXPECT_EQ(message->qos, 2);
    EXPECT_TRUE(message->retain);
    EXPECT_EQ(message->expires_ms, world.env.now_ms + 5000);
    EXPECT_EQ(mr_message_bytes(message), 2 + publication.forwardable.size());
}

TEST(Outgoing, ReusesTheScratchWhenNobodyRefersToIt) {
    World world;
    Publication publication;
    publication.payload.assign(1000, 'x');
    const uint8_t *first = nullptr;
    for (int i = 0; i < 200; i++) {
        Outgoing outgoing(&world, publication);
        const mr_encoding *encoding = Encode(outgoing.get(), MR_MQTT_50, false, false);
        first = first == nullptr ? encoding->head.data : first;
        EXPECT_EQ(encoding->head.data, first);
    }
    // A receiver that holds on to its bytes keeps them.
    Outgoing held(&world, publication);
    const mr_encoding *kept = Encode(held.get(), MR_MQTT_50, false, false);
    std::string before(reinterpret_cast<const char *>(kept->head.data), kept->head.len);
    publication.payload.assign(1000, 'y');
    for (int i = 0; i < 200; i++) {
        Outgoing outgoing(&world, publication);
        Encode(outgoing.get(), MR_MQTT_50, false, false);
    }
    EXPECT_EQ(std::string(reinterpret_cast<const char *>(kept->head.data), kept->head.len), before);
}

TEST(Outgoing, KeepsNoHugeScratch) {
    World world;
    Publication publication;
    for (int i = 0; i < 40; i++) {
        publication.forwardable += UserProperty(std::string(60000, 'n'), "");
    }
    {
        Outgoing outgoing(&world, publication);
        const mr_encoding *encoding = Encode(outgoing.get(), MR_MQTT_50, false, false);
        EXPECT_GT(encoding->head.len, 2400000u);
        Encode(outgoing.get(), MR_MQTT_311, false, false);
        EXPECT_GT(world.stats().in_use_bytes, 2400000u);
    }
    EXPECT_LE(world.stats().in_use_bytes, 100000u);
}

TEST(Outgoing, FailsWithoutMemory) {
    World world(6000);
    Publication publication;
    publication.expiry_s = 1;
    publication.payload.assign(4000, 'x');
    Outgoing outgoing(&world, publication);
    const mr_encoding *encoding = nullptr;
    // No room for the scratch, nor for the message.
    EXPECT_EQ(mr_outgoing_encode(outgoing.get(), MR_MQTT_311, false, false, &encoding),
              MR_ERR_NOMEM);
    EXPECT_EQ(mr_outgoing_encode(outgoing.get(), MR_MQTT_50, false, false, &encoding),
              MR_ERR_NOMEM);
    EXPECT_EQ(encoding, nullptr);
    EXPECT_EQ(mr_outgoing_message(outgoing.get()), nullptr);
    struct mr_slice properties;
    EXPECT_EQ(mr_outgoing_properties(outgoing.get(), &properties), MR_ERR_NOMEM);
}

}  // namespace
}  // namespace mr_testing
