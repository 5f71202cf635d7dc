#include <gtest/gtest.h>

#include <set>
#include <string>
#include <vector>

#include "codec/codec.h"
#include "codec/testing.hh"

namespace mr_testing {
namespace {

const mr_version kVersions[] = {MR_MQTT_31, MR_MQTT_311, MR_MQTT_50};

Kind Flags(mr_version version, unsigned flags) {
    return {version, MR_PUBLISH, true, static_cast<uint8_t>(flags)};
}

// What stands between topic name or packet identifier and the payload.
Bytes None(mr_version version) {
    return version == MR_MQTT_50 ? Hex("00") : Bytes();
}

struct Publish {
    mr_decode_status status;
    mr_publish packet;
    mr_decode_error error;
};

// The packet points into `bytes`.
Publish DecodePublish(mr_version version, unsigned flags, const Bytes &bytes) {
    Publish publish;
    memset(static_cast<void *>(&publish.packet), 0xa5, sizeof(publish.packet));
    publish.status = mr_publish_decode(version, static_cast<uint8_t>(flags), SliceOf(bytes),
                                       &publish.packet, &publish.error);
    return publish;
}

// Figure 3-9: topic name "a/b", packet identifier 10, no properties.
TEST(Publish, AcceptsTheExampleOfTheStandard) {
    Bytes bytes = Hex("0003 612f62 000a 00");
    Publish publish = DecodePublish(MR_MQTT_50, 2, bytes);
    ASSERT_EQ(MR_DECODE_DONE, publish.status);
    EXPECT_EQ("a/b", ToString(publish.packet.topic));
    EXPECT_EQ(10, publish.packet.packet_id);
    EXPECT_EQ(0u, publish.packet.payload.len);
    EXPECT_EQ(0u, publish.packet.properties_raw.len);
}

TEST(Publish, IsDecodedIntoItsFields) {
    for (mr_version version : kVersions) {
        for (unsigned flags : {0u, 1u, 2u, 3u, 4u, 5u, 10u, 11u, 12u, 13u}) {
            // A topic name that takes the fast way, and one that doesn't.
            for (const char *topic : {"sport/tennis/player1", "a", "\xc3\xa4/b"}) {
                Bytes bytes = String(topic) + (flags & 6 ? Hex("ff01") : Bytes()) + None(version) +
                              Text("payload");
                Publish publish = DecodePublish(version, flags, bytes);
                ASSERT_EQ(MR_DECODE_DONE, publish.status);
                const mr_publish &packet = publish.packet;
                EXPECT_EQ(topic, ToString(packet.topic));
                EXPECT_EQ("payload", ToString(packet.payload));
                EXPECT_EQ(flags & 6 ? 0xff01 : 0, packet.packet_id);
                EXPECT_EQ((flags >> 1) & 3, packet.qos);
                EXPECT_EQ((flags & 1) != 0, packet.retain);
                EXPECT_EQ((flags & 8) != 0, packet.dup);
                EXPECT_EQ(0u, packet.properties_raw.len);
                EXPECT_EQ(0u, packet.properties_present);
                EXPECT_EQ(0u, packet.message_expiry_s);
                EXPECT_EQ(0u, packet.subscription_id);
                EXPECT_EQ(0u, packet.topic_alias);
                EXPECT_EQ(0u, packet.payload_format);
            }
        }
    }
}

TEST(Publish, TellsItsProperties) {
    Bytes raw = Hex("01 01 02 00000e10 0b 05 0b 06 23 0009 26") + String("k") + String("v") +
                Hex("03") + String("text/plain");
    Bytes bytes = String("a/b") + Hex("0001") + Properties(raw) + Text("x");
    Publish publish = DecodePublish(MR_MQTT_50, 4, bytes);
    ASSERT_EQ(MR_DECODE_DONE, publish.status);
    const mr_publish &packet = publish.packet;
    EXPECT_EQ(1, packet.payload_format);
    EXPECT_EQ(3600u, packet.message_expiry_s);
    EXPECT_EQ(5u, packet.subscription_id);
    EXPECT_EQ(9, packet.topic_alias);
    EXPECT_EQ(Show(raw), Show(Text(ToString(packet.properties_raw))));
    uint64_t expected = 0;
    for (unsigned id : {0x01, 0x02, 0x0b, 0x23, 0x26, 0x03}) {
        expected |= MR_PROPERTY_BIT(id);
    }
    EXPECT_EQ(expected, packet.properties_present);
    EXPECT_EQ("x", ToString(packet.payload));
}

// [MQTT-3.3.1-2] [MQTT-3.3.1-4]
TEST(Publish, RefusesQos3AndDupWithQos0) {
    for (mr_version version : kVersions) {
        for (unsigned flags : {6u, 7u, 14u, 15u, 8u, 9u}) {
            Bytes body = String("a") + Hex("0001") + None(version);
            EXPECT_EQ(0x81, Decode(Flags(version, flags), body).reason()) << flags;
        }
    }
}

// [MQTT-3.3.2-2] [MQTT-4.7.0-1]
TEST(Publish, RefusesWildcardInTopicName) {
    for (mr_version version : kVersions) {
        for (const char *topic : {"#", "+", "a/#", "a/+/b", "sport+", "#tennis/player/one/two",
                                  "a/rather/long/topic/name/with/a/+", "\xc3\xa4/#"}) {
            EXPECT_EQ(0x90, Decode(Flags(version, 0), String(topic) + None(version)).reason())
                << topic;
        }
    }
}

// [MQTT-3.3.2-1] [MQTT-1.5.4-1] [MQTT-1.5.4-2]
TEST(Publish, RefusesBadUtf8InTopicName) {
    for (mr_version version : kVersions) {
        for (const char *topic : {"0001 00", "0003 610062", "0001 80", "0002 c080", "0003 eda080",
                                  "0002 c328", "0003 2b61ff", "0003 2300 61"}) {
            EXPECT_EQ(0x81, Decode(Flags(version, 0), Hex(topic) + None(version)).reason())
                << topic;
        }
    }
}

// [MQTT-4.7.3-1]; CVE-2021-34432: topic length 0.
TEST(Publish, RefusesAnEmptyTopicNameWithoutAlias) {
    for (mr_version version : kVersions) {
        for (unsigned flags : {0u, 2u, 4u}) {
            Bytes body = String("") + (flags ? Hex("0001") : Bytes()) + None(version) + Text("x");
            EXPECT_EQ(0x82, Decode(Flags(version, flags), body).reason());
        }
    }
    EXPECT_EQ(0, Decode(Flags(MR_MQTT_50, 0), String("") + Hex("03 23 0001")).reason());
    EXPECT_EQ(0x82, Decode(Flags(MR_MQTT_50, 0), String("") + Hex("02 01 01")).reason());
}

// [MQTT-3.3.2-8]: also if the topic name is there.
TEST(Publish, RefusesTopicAlias0) {
    EXPECT_EQ(0x94, Decode(Flags(MR_MQTT_50, 0), String("") + Hex("03 23 0000")).reason());
    EXPECT_EQ(0x94, Decode(Flags(MR_MQTT_50, 0), String("a") + Hex("03 23 0000")).reason());
}

// Alone, beside others, and cut short: an alias alone has a way of its own.
TEST(Publish, TellsItsTopicAlias) {
    const std::string bodies[] = {"03 23 0102", "05 23 0102 01 01", "05 01 01 23 0102"};
    for (const std::string &properties : bodies) {
        for (const char *topic : {"", "a"}) {
            Bytes body = String(topic) + Hex(properties) + Text("payload");
            Exact exact(body);
            mr_publish packet;
            mr_decode_error error;
            ASSERT_EQ(MR_DECODE_DONE,
                      mr_publish_decode(MR_MQTT_50, 0, exact.slice(), &packet, &error));
            EXPECT_EQ(topic, ToString(packet.topic));
            EXPECT_EQ("payload", ToString(packet.payload));
            EXPECT_EQ(0x0102u, packet.topic_alias);
            EXPECT_TRUE(packet.properties_present & MR_PROPERTY_BIT(MR_PROPERTY_TOPIC_ALIAS));
            EXPECT_EQ(Hex(properties).size() - 1, packet.properties_raw.len);
        }
    }
    for (const char *cut : {"03", "03 23", "03 23 01", "02 23 01"}) {
        EXPECT_EQ(0x81, Decode(Flags(MR_MQTT_50, 0), String("a") + Hex(cut)).reason()) << cut;
    }
    EXPECT_EQ(0x82, Decode(Flags(MR_MQTT_50, 0), String("a") + Hex("06 23 0001 23 0001")).reason());
}

// [MQTT-2.2.1-3] [MQTT-2.2.1-4]
TEST(Publish, RefusesPacketIdentifier0) {
    for (mr_version version : kVersions) {
        for (unsigned flags : {2u, 4u}) {
            Bytes body = String("a") + Hex("0000") + None(version) + Text("x");
            Outcome outcome = Decode(Flags(version, flags), body);
            EXPECT_EQ(0x82, outcome.reason());
            EXPECT_EQ(3u, outcome.error.offset);
        }
    }
}

// [MQTT-3.3.2-13] [MQTT-3.3.2-14]
TEST(Publish, RefusesAResponseTopicThatIsNoTopicName) {
    for (const char *topic : {"", "#", "reply/+"}) {
        Bytes body = String("a") + Properties(Hex("08") + String(topic));
        EXPECT_EQ(0x82, Decode(Flags(MR_MQTT_50, 0), body).reason());
    }
    EXPECT_EQ(0x81,
              Decode(Flags(MR_MQTT_50, 0), String("a") + Properties(Hex("08 0001 ff"))).reason());
}

// Properties are nothing that 3.x knows: there it is payload.
TEST(Publish, HasNoPropertiesBefore50) {
    Bytes bytes = String("a") + Hex("03 23 0001");
    Publish publish = DecodePublish(MR_MQTT_311, 0, bytes);
    ASSERT_EQ(MR_DECODE_DONE, publish.status);
    EXPECT_EQ(4u, publish.packet.payload.len);
    EXPECT_EQ(0, publish.packet.topic_alias);
}

TEST(Publish, TakesTopicNamesOfAnyLength) {
    for (size_t len : {1u, 2u, 3u, 4u, 7u, 8u, 15u, 16u, 17u, 31u, 32u, 33u, 1000u, 65535u}) {
        std::string topic(len, 't');
        for (mr_version version : kVersions) {
            Bytes body = String(topic) + None(version) + Text("x");
            Outcome outcome = Decode(Flags(version, 0), body);
            ASSERT_EQ(0, outcome.reason());
            EXPECT_EQ(body, BodyOf(outcome.encoded));
            topic[len - 1] = '#';
            EXPECT_EQ(0x90, Decode(Flags(version, 0), String(topic) + None(version)).reason());
            topic[len - 1] = '\xff';
            EXPECT_EQ(0x81, Decode(Flags(version, 0), String(topic) + None(version)).reason());
            topic[len - 1] = 't';
        }
    }
}

TEST(PublishEncoding, PutsExtraPropertiesInFront) {
    Bytes raw = Hex("01 01 26") + String("k") + String("v");
    struct mr_publish packet = {};
    packet.topic = mr_slice_str("a/b");
    packet.payload = mr_slice_str("hello");
    packet.properties_raw = SliceOf(raw);
    packet.properties_present = MR_PROPERTY_BIT(MR_PROPERTY_MESSAGE_EXPIRY_INTERVAL);
    packet.message_expiry_s = 0x01020304;
    packet.topic_alias = 7;
    packet.qos = 1;
    packet.packet_id = 0x1234;
    packet.retain = true;
    const uint32_t ids[] = {1, 200};
    uint8_t out[128];
    size_t len = mr_publish_encode(MR_MQTT_50, &packet, ids, 2, out, sizeof(out));
    Bytes expected =
        Hex("33 23 0003 612f62 1234 16 23 0007 02 01020304 0b 01 0b c801") + raw + Text("hello");
    EXPECT_EQ(Show(expected), Show(Bytes(out, out + len)));
    // 3.1.1 has none of it.
    len = mr_publish_encode(MR_MQTT_311, &packet, ids, 2, out, sizeof(out));
    EXPECT_EQ(Show(Hex("33 0c 0003 612f62 1234") + Text("hello")), Show(Bytes(out, out + len)));
    // Nor does it carry a packet identifier at QoS 0.
    packet.qos = 0;
    len = mr_publish_encode(MR_MQTT_311, &packet, nullptr, 0, out, sizeof(out));
    EXPECT_EQ(Show(Hex("31 0a 0003 612f62") + Text("hello")), Show(Bytes(out, out + len)));
}

// An expiry of 0 is one that was given.
TEST(PublishEncoding, WritesAnExpiryByItsBit) {
    struct mr_publish packet = {};
    packet.topic = mr_slice_str("a");
    packet.message_expiry_s = 9;
    uint8_t out[32];
    size_t len = mr_publish_encode(MR_MQTT_50, &packet, nullptr, 0, out, sizeof(out));
    EXPECT_EQ("30 04 00 01 61 00 ", Show(Bytes(out, out + len)));
    packet.properties_present = MR_PROPERTY_BIT(MR_PROPERTY_MESSAGE_EXPIRY_INTERVAL);
    packet.message_expiry_s = 0;
    len = mr_publish_encode(MR_MQTT_50, &packet, nullptr, 0, out, sizeof(out));
    EXPECT_EQ("30 09 00 01 61 05 02 00 00 00 00 ", Show(Bytes(out, out + len)));
}

// Each length at which the length fields grow.
TEST(PublishEncoding, HeadAndPayloadMakeThePacket) {
    for (size_t payload_len : {0u, 1u, 120u, 121u, 122u, 123u, 124u, 125u, 16370u, 16376u, 16377u,
                               16378u, 16379u, 16384u, 2097140u, 2097146u, 2097147u, 2097148u}) {
        Bytes payload(payload_len, 'x');
        struct mr_publish packet = {};
        packet.topic = mr_slice_str("a/b");
        packet.payload = SliceOf(payload);
        for (mr_version version : {MR_MQTT_311, MR_MQTT_50}) {
            Bytes out(payload_len + 64);
            size_t len = mr_publish_encode(version, &packet, nullptr, 0, out.data(), out.size());
            ASSERT_NE(0u, len);
            EXPECT_EQ(0u, mr_publish_encode(version, &packet, nullptr, 0, out.data(), len - 1));
            struct mr_frame frame;
            struct mr_decode_error error;
            ASSERT_EQ(MR_DECODE_DONE,
                      mr_frame_decode(SliceOf(out), version, UINT32_MAX, &frame, &error));
            EXPECT_EQ(len, frame.header_len + size_t{frame.body_len});
            EXPECT_EQ(5 + (version == MR_MQTT_50 ? 1 : 0) + payload_len, frame.body_len);
            uint8_t head[64];
            size_t head_len =
                mr_publish_encode_head(version, &packet, nullptr, 0, head, sizeof(head));
            EXPECT_EQ(len - payload_len, head_len);
            EXPECT_EQ(0, memcmp(head, out.data(), head_len));
            EXPECT_EQ(0u, mr_publish_encode_head(version, &packet, nullptr, 0, head, head_len - 1));
        }
    }
}

TEST(PublishEncoding, RefusesWhatTheProtocolCannotHold) {
    std::string topic(65536, 't');
    struct mr_publish packet = {};
    Bytes out(100000);
    packet.topic = mr_slice_str(topic.c_str());
    EXPECT_EQ(0u, mr_publish_encode_head(MR_MQTT_311, &packet, nullptr, 0, out.data(), out.size()));
    packet.topic = mr_slice_str("a/b");
    // The head never looks at the payload, so none has to be there.
    packet.payload = mr_slice_of(out.data(), MR_REMAINING_LENGTH_MAX - 5);
    EXPECT_NE(0u, mr_publish_encode_head(MR_MQTT_311, &packet, nullptr, 0, out.data(), out.size()));
    EXPECT_EQ(0u, mr_publish_encode_head(MR_MQTT_50, &packet, nullptr, 0, out.data(), out.size()));
    packet.payload.len++;
    EXPECT_EQ(0u, mr_publish_encode_head(MR_MQTT_311, &packet, nullptr, 0, out.data(), out.size()));
    packet.payload.len = SIZE_MAX;
    EXPECT_EQ(0u, mr_publish_encode_head(MR_MQTT_311, &packet, nullptr, 0, out.data(), out.size()));
    packet.payload.len = 0;
    packet.properties_raw = mr_slice_of(out.data(), MR_REMAINING_LENGTH_MAX + size_t{1});
    EXPECT_EQ(0u, mr_publish_encode_head(MR_MQTT_50, &packet, nullptr, 0, out.data(), out.size()));
    packet.properties_raw.len = MR_REMAINING_LENGTH_MAX - 2;
    packet.topic_alias = 1;
    EXPECT_EQ(0u, mr_publish_encode_head(MR_MQTT_50, &packet, nullptr, 0, out.data(), out.size()));
    packet.topic_alias = 0;
    packet.properties_raw = mr_slice_of(nullptr, 0);
    for (uint32_t id : {0u, 268435456u, UINT32_MAX}) {
        EXPECT_EQ(0u, mr_publish_encode_head(MR_MQTT_50, &packet, &id, 1, out.data(), out.size()));
    }
    uint32_t largest = 268435455;
    EXPECT_NE(0u, mr_publish_encode_head(MR_MQTT_50, &packet, &largest, 1, out.data(), out.size()));
}

// [MQTT-3.3.2-4] [MQTT-3.3.2-15] [MQTT-3.3.2-16] [MQTT-3.3.2-17] [MQTT-3.3.2-18]
// [MQTT-3.3.2-20]
TEST(ForwardableProperties, KeepAllButTheBrokersOwn) {
    Bytes user1 = Hex("26") + String("k") + String("v1");
    Bytes user2 = Hex("26") + String("k") + String("v2");
    Bytes format = Hex("01 01");
    Bytes type = Hex("03") + String("text/plain");
    Bytes response = Hex("08") + String("reply");
    Bytes correlation = Hex("09 0002 00ff");
    Bytes kept = user2 + format + user1 + type + response + correlation + user2;
    const std::vector<Bytes> own = {Hex("23 0001"), Hex("02 00000001"), Hex("0b ffffff7f"),
                                    Hex("18 00000001")};
    auto forwardable = [](const Bytes &raw) {
        Exact in(raw);
        Exact out(Bytes(raw.size(), 0xee));
        uint8_t *bytes = const_cast<uint8_t *>(out.slice().data);
        size_t len = mr_publish_forwardable_properties(in.slice(), bytes);
        return Bytes(bytes, bytes + len);
    };
    EXPECT_EQ(Show(kept), Show(forwardable(kept)));
    EXPECT_EQ("", Show(forwardable({})));
    for (const Bytes &one : own) {
        EXPECT_EQ("", Show(forwardable(one)));
        EXPECT_EQ(Show(kept), Show(forwardable(one + kept)));
        EXPECT_EQ(Show(kept), Show(forwardable(kept + one)));
        EXPECT_EQ(Show(kept + format), Show(forwardable(kept + one + format)));
    }
    EXPECT_EQ(Show(user1 + type + user2 + format),
              Show(forwardable(own[0] + user1 + own[1] + own[2] + type + user2 + own[3] + format +
                               own[2] + own[2])));
    uint8_t nothing;
    EXPECT_EQ(0u, mr_publish_forwardable_properties(mr_slice_of(nullptr, 0), &nothing));
}

}  // namespace
}  // namespace mr_testing
