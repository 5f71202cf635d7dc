#include "broker/message/message.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <string>
#include <thread>
#include <vector>

namespace {

using Bytes = std::vector<uint8_t>;

mr_slice Slice(const std::string &text) {
    return mr_slice_of(text.data(), text.size());
}

mr_slice Slice(const Bytes &bytes) {
    return mr_slice_of(bytes.data(), bytes.size());
}

std::string String(mr_slice slice) {
    return std::string(reinterpret_cast<const char *>(slice.data), slice.len);
}

Bytes ToBytes(mr_slice slice) {
    return Bytes(slice.data, slice.data + slice.len);
}

// Encoded properties, by hand: section 2.2.2.2.
const Bytes kPayloadFormat = {0x01, 1};
const Bytes kMessageExpiry = {0x02, 0, 0, 0, 60};
const Bytes kContentType = {0x03, 0, 1, 'j'};
const Bytes kResponseTopic = {0x08, 0, 3, 'r', '/', 't'};
const Bytes kCorrelationData = {0x09, 0, 2, 0xff, 0x00};
const Bytes kTopicAlias = {0x23, 0, 7};
const Bytes kUserA = {0x26, 0, 1, 'a', 0, 1, '1'};
const Bytes kUserB = {0x26, 0, 1, 'b', 0, 0};

Bytes Join(const std::vector<Bytes> &parts) {
    Bytes joined;
    for (const Bytes &part : parts) {
        joined.insert(joined.end(), part.begin(), part.end());
    }
    return joined;
}

class Message : public testing::Test {
 protected:
    void SetUp() override {
        Open(0);
    }

    void TearDown() override {
        Close();
    }

    void Open(uint64_t bytes_max) {
        mr_buf_pool_options options = {};
        options.bytes_max = bytes_max;
        ASSERT_EQ(MR_OK, mr_buf_pool_new(&pool_, &options));
        mr_buf_pool_enter(pool_);
    }

    // Asserts that all messages came home.
    void Close() {
        mr_buf_pool_enter(nullptr);
        mr_buf_pool_free(pool_);
        pool_ = nullptr;
    }

    // A PUBLISH as a client sends it, decoded. The slices point into wire_.
    mr_publish Received(const std::string &topic, const Bytes &properties,
                        const std::string &payload, uint8_t qos = 0, bool retain = false) {
        wire_ = {uint8_t(topic.size() >> 8), uint8_t(topic.size())};
        wire_.insert(wire_.end(), topic.begin(), topic.end());
        if (qos > 0) {
            wire_.insert(wire_.end(), {0x12, 0x34});
        }
        EXPECT_LT(properties.size(), 128u);
        wire_.push_back(uint8_t(properties.size()));
        wire_.insert(wire_.end(), properties.begin(), properties.end());
        wire_.insert(wire_.end(), payload.begin(), payload.end());
        mr_publish packet = {};
        mr_decode_error error = {};
        uint8_t flags = uint8_t(qos << 1 | (retain ? 1 : 0));
        EXPECT_EQ(MR_DECODE_DONE,
                  mr_publish_decode(MR_MQTT_50, flags, Slice(wire_), &packet, &error))
            << error.what;
        return packet;
    }

    mr_buf_pool *pool_ = nullptr;
    Bytes wire_;
};

TEST_F(Message, HoldsWhatWasPublishedWhenTheReceivedBytesAreGone) {
    mr_publish packet = Received("a/b", Join({kContentType, kUserA}), "payload", 2, true);
    mr_message *message = mr_message_new(pool_, &packet, 42, 1000);
    ASSERT_NE(nullptr, message);
    wire_.assign(wire_.size(), 0xee);
    EXPECT_EQ("a/b", String(mr_message_topic(message)));
    EXPECT_EQ("payload", String(mr_message_payload(message)));
    EXPECT_EQ(Join({kContentType, kUserA}), ToBytes(mr_message_properties(message)));
    EXPECT_EQ(2, message->qos);
    EXPECT_TRUE(message->retain);
    EXPECT_EQ(42u, message->publisher);
    EXPECT_EQ(1000u, message->expires_ms);
    EXPECT_EQ(3u + kContentType.size() + kUserA.size() + 7u, mr_message_bytes(message));
    mr_message_unref(message);
}

// What concerns only the sender's hop stays behind; the rest goes on unaltered and in
// order [MQTT-3.3.2-4] [MQTT-3.3.2-15] [MQTT-3.3.2-16] [MQTT-3.3.2-17] [MQTT-3.3.2-18].
TEST_F(Message, LeavesOutThePropertiesOfTheHop) {
    Bytes kept = Join({kUserB, kPayloadFormat, kResponseTopic, kUserA, kCorrelationData});
    mr_publish packet = Received("t",
                                 Join({kUserB, kTopicAlias, kPayloadFormat, kResponseTopic,
                                       kMessageExpiry, kUserA, kCorrelationData}),
                                 "x");
    mr_message *message = mr_message_new(pool_, &packet, 0, 0);
    ASSERT_NE(nullptr, message);
    EXPECT_EQ(kept, ToBytes(mr_message_properties(message)));
    uint64_t bits = MR_PROPERTY_BIT(MR_PROPERTY_USER_PROPERTY) |
                    MR_PROPERTY_BIT(MR_PROPERTY_PAYLOAD_FORMAT_INDICATOR) |
                    MR_PROPERTY_BIT(MR_PROPERTY_RESPONSE_TOPIC) |
                    MR_PROPERTY_BIT(MR_PROPERTY_CORRELATION_DATA);
    EXPECT_EQ(bits, message->properties_present);
    EXPECT_EQ("x", String(mr_message_payload(message)));
    mr_message_unref(message);
}

TEST_F(Message, MayHaveNoPayloadAndNoProperties) {
    mr_publish packet = {};
    std::string topic = "t";
    packet.topic = Slice(topic);
    mr_message *message = mr_message_new(pool_, &packet, 0, 0);
    ASSERT_NE(nullptr, message);
    EXPECT_EQ(0u, mr_message_payload(message).len);
    EXPECT_EQ(0u, mr_message_properties(message).len);
    EXPECT_EQ(1u, mr_message_bytes(message));
    mr_message_unref(message);
}

TEST_F(Message, IsRefusedBeyondThePoolsLimit) {
    Close();
    Open(4096);
    mr_publish packet = {};
    std::string topic = "t";
    std::string payload(8192, 'x');
    packet.topic = Slice(topic);
    packet.payload = Slice(payload);
    EXPECT_EQ(nullptr, mr_message_new(pool_, &packet, 0, 0));
    packet.payload.len = 100;
    mr_message *message = mr_message_new(pool_, &packet, 0, 0);
    ASSERT_NE(nullptr, message);
    mr_message_unref(message);
}

TEST_F(Message, LivesAsLongAsItsLastReference) {
    mr_publish packet = {};
    std::string topic = "t";
    packet.topic = Slice(topic);
    mr_message *message = mr_message_new(pool_, &packet, 0, 0);
    ASSERT_NE(nullptr, message);
    EXPECT_EQ(message, mr_message_ref(message));
    mr_message_unref(message);
    EXPECT_EQ("t", String(mr_message_topic(message)));
    mr_buf_ref_for_other(message->buf);
    std::thread other([message] {
        mr_buf_adopt(message->buf);
        EXPECT_EQ("t", String(mr_message_topic(message)));
        mr_message_unref(message);
    });
    mr_message_unref(message);
    other.join();
    mr_buf_pool_collect(pool_);
    mr_buf_stats stats = {};
    mr_buf_pool_stats(pool_, &stats);
    EXPECT_EQ(0u, stats.in_use_count);
}

// [MQTT-3.3.2-5]
TEST_F(Message, ExpiresAtItsTimeOrNever) {
    mr_publish packet = {};
    std::string topic = "t";
    packet.topic = Slice(topic);
    mr_message *never = mr_message_new(pool_, &packet, 0, 0);
    mr_message *later = mr_message_new(pool_, &packet, 0, 1000);
    EXPECT_FALSE(mr_message_expired(never, UINT64_MAX));
    EXPECT_FALSE(mr_message_expired(later, 999));
    EXPECT_TRUE(mr_message_expired(later, 1000));
    EXPECT_TRUE(mr_message_expired(later, 1001));
    mr_message_unref(never);
    mr_message_unref(later);
}

// [MQTT-3.3.2-6]: the interval as received minus the time that it waited here.
TEST_F(Message, TellsHowLongItIsStillValid) {
    mr_publish packet = Received("t", kMessageExpiry, "x");
    EXPECT_EQ(60u, packet.message_expiry_s);
    mr_message *message = mr_message_new(pool_, &packet, 0, 100000);
    struct {
        uint64_t now_ms;
        uint32_t left_s;
    } cases[] = {{40000, 60}, {39998, 60}, {40001, 60}, {40501, 59}, {41000, 59}, {98499, 2},
                 {98999, 1},  {99000, 1},  {99999, 1},  {100000, 1}, {200000, 1}};
    for (const auto &c : cases) {
        mr_publish out = {};
        mr_message_to_publish(message, c.now_ms, 1, false, &out);
        EXPECT_EQ(c.left_s, out.message_expiry_s) << c.now_ms;
        EXPECT_EQ(MR_PROPERTY_BIT(MR_PROPERTY_MESSAGE_EXPIRY_INTERVAL), out.properties_present);
    }
    mr_message_unref(message);
}

TEST_F(Message, GoesOutWithTheReceiversQosAndRetain) {
    mr_publish packet = Received("a/b", kUserA, "payload", 2, true);
    packet.dup = true;
    mr_message *message = mr_message_new(pool_, &packet, 0, 0);
    mr_publish out;
    memset(&out, 0xff, sizeof(out));
    mr_message_to_publish(message, 5, 1, false, &out);
    EXPECT_EQ("a/b", String(out.topic));
    EXPECT_EQ("payload", String(out.payload));
    EXPECT_EQ(kUserA, ToBytes(out.properties_raw));
    EXPECT_EQ(MR_PROPERTY_BIT(MR_PROPERTY_USER_PROPERTY), out.properties_present);
    EXPECT_EQ(1, out.qos);
    EXPECT_FALSE(out.retain);
    // [MQTT-3.3.1-3]: DUP of the outgoing PUBLISH has nothing to do with the incoming one.
    EXPECT_FALSE(out.dup);
    EXPECT_EQ(0, out.packet_id);
    EXPECT_EQ(0, out.topic_alias);
    EXPECT_EQ(0u, out.message_expiry_s);
    mr_message_unref(message);
}

TEST_F(Message, ArrivesAsItWasSentInEveryVersion) {
    Bytes properties = Join({kPayloadFormat, kMessageExpiry, kUserA, kTopicAlias, kUserB});
    mr_publish packet = Received("a/b", properties, "payload", 1, true);
    mr_message *message = mr_message_new(pool_, &packet, 0, 60000);
    for (mr_version version : {MR_MQTT_31, MR_MQTT_311, MR_MQTT_50}) {
        mr_publish out = {};
        mr_message_to_publish(message, 30000, 1, true, &out);
        out.packet_id = 9;
        uint8_t wire[256];
        size_t len = mr_publish_encode(version, &out, nullptr, 0, wire, sizeof(wire));
        ASSERT_GT(len, 2u);
        ASSERT_LT(len, 128u);
        mr_publish got = {};
        mr_decode_error error = {};
        ASSERT_EQ(MR_DECODE_DONE, mr_publish_decode(version, wire[0] & 15,
                                                    mr_slice_of(wire + 2, len - 2), &got, &error));
        EXPECT_EQ("a/b", String(got.topic));
        EXPECT_EQ("payload", String(got.payload));
        EXPECT_EQ(9, got.packet_id);
        EXPECT_TRUE(got.retain);
        bool v5 = version == MR_MQTT_50;
        EXPECT_EQ(v5 ? 30u : 0u, got.message_expiry_s);
        EXPECT_EQ(v5 ? 1 : 0, got.payload_format);
        EXPECT_EQ(0, got.topic_alias);
        Bytes raw = ToBytes(got.properties_raw);
        Bytes users = Join({kUserA, kUserB});
        EXPECT_EQ(v5, std::search(raw.begin(), raw.end(), users.begin(), users.end()) != raw.end());
    }
    mr_message_unref(message);
}

}  // namespace
