#include "broker/message/run.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <random>
#include <string>
#include <vector>

namespace {

using Bytes = std::vector<uint8_t>;

std::string String(mr_slice slice) {
    return std::string(reinterpret_cast<const char *>(slice.data), slice.len);
}

// One PUBLISH as it arrives.
struct Packet {
    std::string topic = "a/b";
    std::string payload;
    uint8_t qos = 0;
    bool retain = false;
    Bytes properties = {};  // 5.0.

    Bytes Encode(mr_version version) const {
        mr_publish publish = {};
        publish.topic = mr_slice_of(topic.data(), topic.size());
        publish.payload = mr_slice_of(payload.data(), payload.size());
        publish.properties_raw = mr_slice_of(properties.data(), properties.size());
        publish.qos = qos;
        publish.packet_id = qos > 0 ? 7 : 0;
        publish.retain = retain;
        Bytes out(MR_PUBLISH_HEAD_BYTES(topic.size(), properties.size(), 0) + payload.size());
        out.resize(mr_publish_encode(version, &publish, nullptr, 0, out.data(), out.size()));
        return out;
    }
};

const Bytes kContentType = {0x03, 0, 1, 'j'};
const Bytes kUserProperty = {0x26, 0, 1, 'a', 0, 1, '1'};
const mr_run_limits kNoLimits = {65535, UINT32_MAX, UINT32_MAX};

class Run : public testing::Test {
 protected:
    void SetUp() override {
        mr_buf_pool_options options = {};
        ASSERT_EQ(mr_buf_pool_new(&pool_, &options), MR_OK);
        mr_buf_pool_enter(pool_);
    }

    void TearDown() override {
        Drop();
        mr_buf_stats stats;
        mr_buf_pool_stats(pool_, &stats);
        EXPECT_EQ(stats.in_use_count, 0u);
        mr_buf_pool_enter(nullptr);
        mr_buf_pool_free(pool_);
    }

    void Drop() {
        if (buf_ != nullptr) {
            mr_buf_unref(buf_);
            buf_ = nullptr;
        }
    }

    // Puts the packets into a buffer and starts a run with the first one.
    void Start(const std::vector<Bytes> &packets, mr_version version = MR_MQTT_311) {
        Drop();
        Bytes all;
        for (const Bytes &packet : packets) {
            all.insert(all.end(), packet.begin(), packet.end());
        }
        buf_ = mr_buf_new(pool_, all.size());
        ASSERT_NE(buf_, nullptr);
        std::copy(all.begin(), all.end(), buf_->data);
        mr_slice packet = mr_slice_of(buf_->data, packets[0].size());
        mr_frame frame;
        mr_decode_error error;
        ASSERT_EQ(mr_frame_decode(packet, version, UINT32_MAX, &frame, &error), MR_DECODE_DONE);
        mr_slice body = mr_slice_of(packet.data + frame.header_len, frame.body_len);
        ASSERT_EQ(mr_publish_decode(version, frame.flags, body, &run_.first, &error),
                  MR_DECODE_DONE);
        ASSERT_TRUE(mr_run_may_start(&run_.first));
        mr_run_start(&run_, buf_, packet, version, 9);
        rest_ = mr_slice_of(packet.data + packet.len, all.size() - packet.len);
    }

    // How many packets the run has when it takes in all that it may.
    uint32_t Extend(const mr_run_limits &limits = kNoLimits) {
        mr_run_extend(&run_, rest_, &limits);
        return run_.count;
    }

    uint32_t CountOf(const std::vector<Packet> &packets, mr_version version = MR_MQTT_311) {
        std::vector<Bytes> encoded;
        for (const Packet &packet : packets) {
            encoded.push_back(packet.Encode(version));
        }
        Start(encoded, version);
        return Extend();
    }

    mr_buf_pool *pool_ = nullptr;
    mr_buf *buf_ = nullptr;
    mr_run run_ = {};
    mr_slice rest_ = {};
};

std::vector<std::string> PayloadsOf(const mr_run &run) {
    std::vector<std::string> payloads;
    size_t offset = 0;
    mr_publish publish;
    mr_slice packet;
    while (mr_run_next(&run, &offset, &publish, &packet)) {
        EXPECT_EQ(String(publish.topic), String(run.first.topic));
        EXPECT_EQ(String(publish.properties_raw), String(run.first.properties_raw));
        EXPECT_EQ(packet.data + packet.len, publish.payload.data + publish.payload.len);
        payloads.push_back(String(publish.payload));
    }
    EXPECT_EQ(payloads.size(), run.count);
    return payloads;
}

TEST_F(Run, TakesInPacketsThatDifferInTheirPayloadsOnly) {
    std::string large(300, 'x'), larger(20000, 'y');
    EXPECT_EQ(CountOf({{"a/b", "1"}, {"a/b", ""}, {"a/b", large}, {"a/b", larger}, {"a/b", "5"}}),
              5u);
    EXPECT_EQ(PayloadsOf(run_), (std::vector<std::string>{"1", "", large, larger, "5"}));
    EXPECT_EQ(run_.payload_bytes, 2 + large.size() + larger.size());
    EXPECT_EQ(run_.packet_max, 1 + 3 + 2 + 3 + larger.size());
    EXPECT_EQ(run_.packets.len, buf_->data + run_.packets.len - run_.packets.data);
    EXPECT_EQ(run_.publisher, 9u);
}

TEST_F(Run, EndsWhereAnotherTopicBegins) {
    EXPECT_EQ(CountOf({{"a/b", "1"}, {"a/b", "2"}, {"a/c", "3"}, {"a/b", "4"}}), 2u);
    EXPECT_EQ(CountOf({{"a/b", "1"}, {"a/bb", "2"}}), 1u);
    EXPECT_EQ(CountOf({{"a/b", "1"}, {"a/", "b2"}}), 1u);
    EXPECT_EQ(PayloadsOf(run_), std::vector<std::string>{"1"});
}

TEST_F(Run, EndsWhereFlagsChange) {
    EXPECT_EQ(CountOf({{"a", "1"}, {"a", "2", 1}, {"a", "3"}}), 1u);
    EXPECT_EQ(CountOf({{"a", "1"}, {"a", "2", 0, true}, {"a", "3"}}), 1u);
}

TEST_F(Run, EndsWherePropertiesChange) {
    EXPECT_EQ(CountOf({{"a", "1", 0, false, kContentType},
                       {"a", "2", 0, false, kContentType},
                       {"a", "3", 0, false, kUserProperty},
                       {"a", "4", 0, false, kContentType}},
                      MR_MQTT_50),
              2u);
    EXPECT_EQ(PayloadsOf(run_), (std::vector<std::string>{"1", "2"}));
    EXPECT_EQ(CountOf({{"a", "1"}, {"a", "2", 0, false, kContentType}}, MR_MQTT_50), 1u);
    EXPECT_EQ(CountOf({{"a", "1"}, {"a", "2"}}, MR_MQTT_50), 2u);
}

TEST_F(Run, EndsAtOtherPackets) {
    Bytes publish = Packet{"a", "1"}.Encode(MR_MQTT_311);
    Start({publish, publish, {0xc0, 0}, publish});
    EXPECT_EQ(Extend(), 2u);
}

TEST_F(Run, LeavesOutWhatIsNotComplete) {
    Bytes publish = Packet{"a/b", std::string(200, 'x')}.Encode(MR_MQTT_311);
    for (size_t cut = 0; cut < publish.size(); cut++) {
        Start({publish, publish, Bytes(publish.begin(), publish.begin() + (long)cut)});
        EXPECT_EQ(Extend(), 2u) << cut;
    }
}

// [MQTT-1.5.5-1]
TEST_F(Run, LeavesOutLengthsThatAreWrong) {
    Bytes publish = Packet{"a", "1"}.Encode(MR_MQTT_311);
    Bytes too_long = {0x30, 0x84, 0x00, 0, 1, 'a', '1'};
    Bytes too_many = {0x30, 0x84, 0x80, 0x80, 0x80, 0x01, 0, 1, 'a', '1'};
    Bytes too_short = {0x30, 2, 0, 1};
    for (const Bytes &bad : {too_long, too_many, too_short}) {
        Start({publish, publish, bad, publish});
        EXPECT_EQ(Extend(), 2u);
    }
}

TEST_F(Run, KeepsToItsLimits) {
    std::vector<Bytes> packets;
    for (size_t size : {10u, 20u, 30u, 40u}) {
        packets.push_back(Packet{"a", std::string(size, 'x')}.Encode(MR_MQTT_311));
    }
    Start(packets);
    EXPECT_EQ(Extend({3, UINT32_MAX, UINT32_MAX}), 3u);
    Start(packets);
    EXPECT_EQ(Extend({1, UINT32_MAX, UINT32_MAX}), 1u);
    Start(packets);
    EXPECT_EQ(Extend({9, UINT32_MAX, 30}), 3u);
    Start(packets);
    EXPECT_EQ(Extend({9, 2 + 3 + 20, UINT32_MAX}), 2u);
}

TEST_F(Run, StartsOnlyWhereBytesMayGoOutAsTheyCame) {
    mr_publish publish = {};
    EXPECT_TRUE(mr_run_may_start(&publish));
    publish.qos = 1;
    EXPECT_FALSE(mr_run_may_start(&publish));
    publish = {};
    publish.retain = true;
    EXPECT_FALSE(mr_run_may_start(&publish));
    for (int id : {MR_PROPERTY_TOPIC_ALIAS, MR_PROPERTY_MESSAGE_EXPIRY_INTERVAL,
                   MR_PROPERTY_SUBSCRIPTION_IDENTIFIER}) {
        publish = {};
        publish.properties_present = MR_PROPERTY_BIT(id);
        EXPECT_FALSE(mr_run_may_start(&publish)) << id;
    }
    publish = {};
    publish.properties_present =
        MR_PROPERTY_BIT(MR_PROPERTY_CONTENT_TYPE) | MR_PROPERTY_BIT(MR_PROPERTY_USER_PROPERTY);
    EXPECT_TRUE(mr_run_may_start(&publish));
}

TEST_F(Run, CopyIsIndependentOfTheOriginal) {
    ASSERT_EQ(
        CountOf({{"a/b", "1", 0, false, kUserProperty}, {"a/b", "22", 0, false, kUserProperty}},
                MR_MQTT_50),
        2u);
    mr_run *copy = mr_run_copy(pool_, &run_);
    ASSERT_NE(copy, nullptr);
    std::fill(buf_->data, buf_->data + buf_->capacity, uint8_t{0xff});
    EXPECT_EQ(String(copy->first.topic), "a/b");
    EXPECT_EQ(String(copy->first.payload), "1");
    EXPECT_EQ(PayloadsOf(*copy), (std::vector<std::string>{"1", "22"}));
    EXPECT_EQ(copy->payload_bytes, 3u);
    mr_buf_unref(copy->buf);
}

TEST_F(Run, CopyWithoutMemoryIsRefused) {
    ASSERT_EQ(CountOf({{"a/b", "1"}}), 1u);
    Drop();
    mr_buf_pool_enter(nullptr);
    mr_buf_pool_free(pool_);
    mr_buf_pool_options options = {};
    options.bytes_max = 1024;
    ASSERT_EQ(mr_buf_pool_new(&pool_, &options), MR_OK);
    mr_buf_pool_enter(pool_);
    ASSERT_EQ(CountOf({{"a/b", std::string(700, 'x')}}), 1u);
    EXPECT_EQ(mr_run_copy(pool_, &run_), nullptr);
}

TEST_F(Run, PeekFindsTheTopicOfAWholePublish) {
    Bytes packet = Packet{"some/topic", std::string(200, 'p'), 1}.Encode(MR_MQTT_311);
    Bytes two = packet;
    two.insert(two.end(), packet.begin(), packet.end());
    mr_slice topic;
    size_t len;
    ASSERT_TRUE(mr_run_peek(mr_slice_of(two.data(), two.size()), &topic, &len));
    EXPECT_EQ(String(topic), "some/topic");
    EXPECT_EQ(topic.data, two.data() + 5);  // Type, Remaining Length of two bytes, topic's length.
    EXPECT_EQ(len, packet.size());
    for (size_t cut = 0; cut < packet.size(); cut++) {
        Bytes part(packet.begin(), packet.begin() + static_cast<std::ptrdiff_t>(cut));
        EXPECT_FALSE(mr_run_peek(mr_slice_of(part.data(), part.size()), &topic, &len)) << cut;
    }
}

TEST_F(Run, PeekRefusesWhatHasNoTopic) {
    const Bytes refused[] = {
        {0xc0, 0x00},                          // PINGREQ
        {0x30, 0x00},                          // No room for the topic's length.
        {0x30, 0x01, 0x00},                    //
        {0x30, 0x02, 0x00, 0x00},              // No topic.
        {0x30, 0x03, 0x00, 0x02, 'a'},         // It ends behind the packet.
        {0x30, 0x82, 0x00, 0x00, 0x00},        // Remaining Length in more bytes than it takes.
        {0x30, 0xff, 0xff, 0xff, 0xff, 0x01},  // Five bytes of it.
    };
    for (const Bytes &bytes : refused) {
        mr_slice topic;
        size_t len;
        EXPECT_FALSE(mr_run_peek(mr_slice_of(bytes.data(), bytes.size()), &topic, &len));
    }
}

// Random streams: a run is the longest row of equal heads, and walking it gives each packet
// as the decoder does.
TEST_F(Run, EqualsTheDecoderOnRandomStreams) {
    std::mt19937 random(1);
    for (int round = 0; round < 2000; round++) {
        mr_version version = random() % 2 == 0 ? MR_MQTT_311 : MR_MQTT_50;
        std::vector<Packet> packets(1 + random() % 8);
        for (Packet &packet : packets) {
            packet.topic = random() % 4 == 0 ? "t/x" : "t/y";
            packet.payload = std::string(random() % 3 == 0 ? random() % 400 : random() % 4, 'p');
            if (version == MR_MQTT_50 && random() % 3 == 0) {
                packet.properties = kContentType;
            }
        }
        size_t expected = 1;
        while (expected < packets.size() && packets[expected].topic == packets[0].topic &&
               packets[expected].properties == packets[0].properties) {
            expected++;
        }
        ASSERT_EQ(CountOf(packets, version), expected);
        std::vector<std::string> payloads = PayloadsOf(run_);
        for (size_t i = 0; i < expected; i++) {
            ASSERT_EQ(payloads[i], packets[i].payload);
        }
    }
}

}  // namespace
