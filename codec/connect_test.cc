#include <gtest/gtest.h>

#include <string>

#include "codec/codec.h"
#include "codec/testing.hh"

namespace mr_testing {
namespace {

const Kind k31 = {MR_MQTT_31, MR_CONNECT};
const Kind k311 = {MR_MQTT_311, MR_CONNECT};
const Kind k50 = {MR_MQTT_50, MR_CONNECT};

struct Connect {
    mr_decode_status status;
    mr_connect packet;
    mr_decode_error error;
};

// The packet points into `bytes`.
Connect DecodeConnect(const Bytes &bytes) {
    Connect connect;
    memset(static_cast<void *>(&connect.packet), 0xa5, sizeof(connect.packet));
    connect.status = mr_connect_decode(SliceOf(bytes), &connect.packet, &connect.error);
    return connect;
}

// A body for each version with these flags and this behind the client identifier.
Bytes Body(mr_version version, unsigned flags, const Bytes &behind = {}) {
    Bytes head = String(version == MR_MQTT_31 ? "MQIsdp" : "MQTT") +
                 Bytes{static_cast<uint8_t>(version), static_cast<uint8_t>(flags)} + Hex("003c");
    return head + (version == MR_MQTT_50 ? Hex("00") : Bytes()) + String("c") + behind;
}

TEST(Connect, IsDecodedIntoItsFields) {
    Bytes bytes = String("MQTT") + Hex("05 f6 000a") + Properties(Hex("11 0000000a 21 0014")) +
                  String("client") + Properties(Hex("18 00000005 01 01")) + String("will/topic") +
                  Hex("0002 00ff") + String("user") + Hex("0003 010002");
    Connect connect = DecodeConnect(bytes);
    ASSERT_EQ(MR_DECODE_DONE, connect.status);
    const mr_connect &packet = connect.packet;
    EXPECT_EQ(MR_MQTT_50, packet.version);
    EXPECT_FALSE(packet.bridge);
    EXPECT_TRUE(packet.clean_start);
    EXPECT_TRUE(packet.has_will);
    EXPECT_TRUE(packet.has_user_name);
    EXPECT_TRUE(packet.has_password);
    EXPECT_EQ(10, packet.keep_alive_s);
    EXPECT_EQ("client", ToString(packet.client_id));
    EXPECT_EQ("user", ToString(packet.user_name));
    EXPECT_EQ(std::string("\1\0\2", 3), ToString(packet.password));
    EXPECT_EQ("will/topic", ToString(packet.will.topic));
    EXPECT_EQ(std::string("\0\xff", 2), ToString(packet.will.payload));
    EXPECT_EQ(2, packet.will.qos);
    EXPECT_TRUE(packet.will.retain);
    EXPECT_EQ(5u, packet.will.properties.will_delay_s);
    EXPECT_EQ(1u, packet.will.properties.payload_format);
    EXPECT_EQ(10u, packet.properties.session_expiry_s);
    EXPECT_EQ(20u, packet.properties.receive_max);
}

TEST(Connect, WithoutAnythingIsAllClear) {
    Bytes bytes = String("MQTT") + Hex("04 00 0000") + String("");
    Connect connect = DecodeConnect(bytes);
    ASSERT_EQ(MR_DECODE_DONE, connect.status);
    EXPECT_EQ(MR_MQTT_311, connect.packet.version);
    EXPECT_FALSE(connect.packet.clean_start);
    EXPECT_FALSE(connect.packet.has_will);
    EXPECT_FALSE(connect.packet.has_user_name);
    EXPECT_FALSE(connect.packet.has_password);
    EXPECT_EQ(0u, connect.packet.client_id.len);
    EXPECT_EQ(0u, connect.packet.properties.present);
}

// Figure 3-6 of section 3.1.2.12, with the payload it announces.
TEST(Connect, AcceptsTheExampleOfTheStandard) {
    Bytes bytes = Hex("0004 4d515454 05 ce 000a 05 11 0000000a") + String("c") + Hex("00") +
                  String("w") + String("gone") + String("u") + String("p");
    Connect connect = DecodeConnect(bytes);
    ASSERT_EQ(MR_DECODE_DONE, connect.status);
    EXPECT_EQ(1, connect.packet.will.qos);
    EXPECT_FALSE(connect.packet.will.retain);
    EXPECT_EQ(10u, connect.packet.properties.session_expiry_s);
}

// [MQTT-3.1.2-1] [MQTT-3.1.2-2]
TEST(Connect, RefusesOtherProtocolsAndLevels) {
    const struct {
        const char *name;
        unsigned level;
        mr_version dialect;
    } cases[] = {
        {"MQTT", 0, MR_MQTT_311},    {"MQTT", 1, MR_MQTT_311},      {"MQTT", 3, MR_MQTT_311},
        {"MQTT", 0x83, MR_MQTT_311}, {"MQTT", 6, MR_MQTT_50},       {"MQTT", 0x85, MR_MQTT_50},
        {"MQTT", 0x7f, MR_MQTT_50},  {"MQTT", 0xff, MR_MQTT_50},    {"MQIsdp", 4, MR_MQTT_311},
        {"MQIsdp", 5, MR_MQTT_50},   {"MQIsdp", 0x84, MR_MQTT_311}, {"mqtt", 4, MR_MQTT_311},
        {"mqtt", 5, MR_MQTT_50},     {"", 5, MR_MQTT_50},           {"MQTTT", 4, MR_MQTT_311},
        {"HTTP", 5, MR_MQTT_50},
    };
    for (const auto &one : cases) {
        Bytes bytes = String(one.name) + Bytes{static_cast<uint8_t>(one.level)} +
                      Hex("02 003c 00") + String("c");
        Connect connect = DecodeConnect(bytes);
        ASSERT_EQ(MR_DECODE_BAD, connect.status) << one.name << ' ' << one.level;
        EXPECT_EQ(MR_REASON_UNSUPPORTED_PROTOCOL_VERSION, connect.error.reason);
        EXPECT_EQ(one.dialect, connect.packet.version) << one.name << ' ' << one.level;
    }
}

TEST(Connect, SaysTheVersionOnErrorsBehindIt) {
    for (mr_version version : {MR_MQTT_31, MR_MQTT_311, MR_MQTT_50}) {
        Connect connect = DecodeConnect(Body(version, 0x01));
        EXPECT_EQ(MR_DECODE_BAD, connect.status);
        EXPECT_EQ(version, connect.packet.version);
        Bytes cut = Body(version, 0x02);
        cut.pop_back();
        connect = DecodeConnect(cut);
        EXPECT_EQ(MR_DECODE_BAD, connect.status);
        EXPECT_EQ(version, connect.packet.version);
    }
    Connect connect = DecodeConnect(String("MQTT"));
    EXPECT_EQ(MR_DECODE_BAD, connect.status);
    EXPECT_EQ(MR_REASON_MALFORMED_PACKET, connect.error.reason);
    EXPECT_EQ(0, static_cast<int>(connect.packet.version));
}

TEST(Connect, KnowsBridgesByTheHighBitOfTheLevel) {
    Bytes bytes = String("MQTT") + Hex("84 02 003c") + String("bridge");
    Connect connect = DecodeConnect(bytes);
    ASSERT_EQ(MR_DECODE_DONE, connect.status);
    EXPECT_TRUE(connect.packet.bridge);
    EXPECT_EQ(MR_MQTT_311, connect.packet.version);
    bytes = String("MQIsdp") + Hex("83 02 003c") + String("bridge");
    connect = DecodeConnect(bytes);
    ASSERT_EQ(MR_DECODE_DONE, connect.status);
    EXPECT_TRUE(connect.packet.bridge);
    EXPECT_EQ(MR_MQTT_31, connect.packet.version);
}

// [MQTT-3.1.2-3]
TEST(Connect, RefusesTheReservedFlag) {
    for (mr_version version : {MR_MQTT_31, MR_MQTT_311, MR_MQTT_50}) {
        EXPECT_EQ(0x81, Decode(k50, Body(version, 0x03)).reason());
    }
}

// [MQTT-3.1.2-11] [MQTT-3.1.2-12] [MQTT-3.1.2-13]
TEST(Connect, RefusesAWrongWillByItsFlags) {
    for (mr_version version : {MR_MQTT_31, MR_MQTT_311, MR_MQTT_50}) {
        for (unsigned flags : {0x08u, 0x10u, 0x18u, 0x20u, 0x28u, 0x1cu, 0x3cu}) {
            Bytes will = (version == MR_MQTT_50 ? Hex("00") : Bytes()) + String("w") + String("x");
            EXPECT_EQ(0x81, Decode(k50, Body(version, flags, will)).reason()) << flags;
        }
    }
}

// Every byte of flags, with just the fields that it announces.
TEST(Connect, AcceptsExactlyTheConsistentFlags) {
    for (mr_version version : {MR_MQTT_31, MR_MQTT_311, MR_MQTT_50}) {
        for (unsigned flags = 0; flags < 256; flags++) {
            Bytes behind;
            if (flags & 0x04) {
                behind = (version == MR_MQTT_50 ? Hex("00") : Bytes()) + String("w") + String("x");
            }
            behind = behind + (flags & 0x80 ? String("user") : Bytes());
            behind = behind + (flags & 0x40 ? String("password") : Bytes());
            unsigned qos = (flags >> 3) & 3;
            bool good = !(flags & 1) && qos != 3;
            good = good && ((flags & 0x04) || (qos == 0 && !(flags & 0x20)));
            good = good && (version == MR_MQTT_50 || (flags & 0x80) || !(flags & 0x40));
            EXPECT_EQ(good ? 0 : 0x81, Decode(k50, Body(version, flags, behind)).reason())
                << version << ' ' << flags;
        }
    }
}

// [MQTT-3.1.2-22 of 3.1.1], and section 3.1.2.9 of 5.0, which allows it.
TEST(Connect, NeedsAUserNameForAPasswordBefore50) {
    EXPECT_EQ(0x81, Decode(k31, Body(MR_MQTT_31, 0x42, String("p"))).reason());
    EXPECT_EQ(0x81, Decode(k311, Body(MR_MQTT_311, 0x42, String("p"))).reason());
    EXPECT_EQ(0, Decode(k50, Body(MR_MQTT_50, 0x42, String("p"))).reason());
}

// [MQTT-3.1.3-4] [MQTT-3.1.3-11] [MQTT-3.1.3-12]
TEST(Connect, RefusesBadUtf8) {
    Bytes head = String("MQTT") + Hex("04 02 003c");
    EXPECT_EQ(0x81, Decode(k311, head + Hex("0001 00")).reason());
    EXPECT_EQ(0x81, Decode(k311, head + Hex("0002 c328")).reason());
    EXPECT_EQ(0x81, Decode(k311, Body(MR_MQTT_311, 0x82, Hex("0001 ff"))).reason());
    EXPECT_EQ(0x81, Decode(k311, Body(MR_MQTT_311, 0x06, Hex("0001 ff") + String("x"))).reason());
    // Not in binary fields.
    EXPECT_EQ(0, Decode(k311, Body(MR_MQTT_311, 0x06, String("w") + Hex("0001 ff"))).reason());
    EXPECT_EQ(0, Decode(k311, Body(MR_MQTT_311, 0xc2, String("user") + Hex("0002 ff00"))).reason());
}

// [MQTT-4.7.0-1] [MQTT-4.7.3-1]
TEST(Connect, RefusesAWillTopicThatIsNoTopicName) {
    for (const char *topic : {"", "#", "a/+", "a+", "b#"}) {
        EXPECT_EQ(0x90,
                  Decode(k311, Body(MR_MQTT_311, 0x06, String(topic) + String("x"))).reason());
        EXPECT_EQ(
            0x90,
            Decode(k50, Body(MR_MQTT_50, 0x06, Hex("00") + String(topic) + String("x"))).reason());
    }
}

// Section 3.1.2.11.10.
TEST(Connect, RefusesAuthenticationDataWithoutAMethod) {
    Bytes head = String("MQTT") + Hex("05 02 003c");
    EXPECT_EQ(0x82, Decode(k50, head + Properties(Hex("16 0001 00")) + String("c")).reason());
    Bytes both = Properties(Hex("16 0001 00 15") + String("m"));
    EXPECT_EQ(0, Decode(k50, head + both + String("c")).reason());
}

// CVE-2023-3592: properties of the wrong kind in the will, and the other way round.
TEST(Connect, TellsItsOwnPropertiesFromTheWills) {
    Bytes head = String("MQTT") + Hex("05 06 003c");
    Bytes tail = String("w") + String("x");
    Bytes of_will = Properties(Hex("18 00000001"));
    Bytes of_connect = Properties(Hex("11 00000001"));
    EXPECT_EQ(0, Decode(k50, head + of_connect + String("c") + of_will + tail).reason());
    EXPECT_EQ(0x81, Decode(k50, head + of_will + String("c") + Hex("00") + tail).reason());
    EXPECT_EQ(0x81, Decode(k50, head + Hex("00") + String("c") + of_connect + tail).reason());
}

TEST(ConnectEncoding, RefusesFieldsThatAreTooLong) {
    std::string text(65536, 'x');
    Bytes out(300000);
    for (int field = 0; field < 5; field++) {
        struct mr_connect packet = {};
        packet.version = MR_MQTT_50;
        packet.has_will = packet.has_user_name = packet.has_password = true;
        packet.will.topic = mr_slice_str("w");
        struct mr_slice *fields[] = {&packet.client_id, &packet.user_name, &packet.password,
                                     &packet.will.topic, &packet.will.payload};
        *fields[field] = mr_slice_str(text.c_str());
        EXPECT_EQ(0u, mr_connect_encode(&packet, out.data(), out.size()));
        fields[field]->len--;
        EXPECT_NE(0u, mr_connect_encode(&packet, out.data(), out.size()));
    }
}

TEST(ConnectEncoding, LeavesOutWhatItsFlagsLeaveOut) {
    struct mr_connect packet = {};
    packet.version = MR_MQTT_50;
    packet.bridge = true;  // Means nothing on 5.0.
    packet.client_id = mr_slice_str("c");
    packet.user_name = mr_slice_str("user");
    packet.password = mr_slice_str("password");
    packet.will.qos = 2;
    packet.will.retain = true;
    uint8_t out[64];
    size_t len = mr_connect_encode(&packet, out, sizeof(out));
    Bytes expected = Hex("10 0e 0004 4d515454 05 00 0000 00 0001 63");
    EXPECT_EQ(Show(expected), Show(Bytes(out, out + len)));
}

}  // namespace
}  // namespace mr_testing
