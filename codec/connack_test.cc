#include <gtest/gtest.h>

#include <set>

#include "codec/codec.h"
#include "codec/testing.hh"

namespace mr_testing {
namespace {

const Kind k311 = {MR_MQTT_311, MR_CONNACK};
const Kind k50 = {MR_MQTT_50, MR_CONNACK};

Bytes Code(unsigned code, const Bytes &behind = {}) {
    return Bytes{0, static_cast<uint8_t>(code)} + behind;
}

// Table 3-1. [MQTT-3.2.2-8]
TEST(Connack, AcceptsTheConnectReasonCodesOnly) {
    const std::set<unsigned> allowed = {0x00, 0x80, 0x81, 0x82, 0x83, 0x84, 0x85, 0x86,
                                        0x87, 0x88, 0x89, 0x8a, 0x8c, 0x90, 0x95, 0x97,
                                        0x99, 0x9a, 0x9b, 0x9c, 0x9d, 0x9f};
    const std::set<unsigned> of_others = {0x01, 0x02, 0x04, 0x10, 0x11, 0x18, 0x19,
                                          0x8b, 0x8d, 0x8e, 0x8f, 0x91, 0x92, 0x93,
                                          0x94, 0x96, 0x98, 0x9e, 0xa0, 0xa1, 0xa2};
    for (unsigned code = 0; code < 256; code++) {
        int expected = allowed.count(code) ? 0 : of_others.count(code) ? 0x82 : 0x81;
        EXPECT_EQ(expected, Decode(k50, Code(code, Hex("00"))).reason()) << code;
    }
}

// Table 3.1 of 3.1.1.
TEST(Connack, AcceptsSixReturnCodesBefore50) {
    for (mr_version version : {MR_MQTT_31, MR_MQTT_311}) {
        for (unsigned code = 0; code < 256; code++) {
            Kind kind = {version, MR_CONNACK};
            EXPECT_EQ(code <= 5 ? 0 : 0x81, Decode(kind, Code(code)).reason()) << code;
        }
    }
}

// [MQTT-3.2.2-1]
TEST(Connack, RefusesReservedFlags) {
    for (unsigned flags = 2; flags < 256; flags++) {
        Bytes body = {static_cast<uint8_t>(flags), 0};
        EXPECT_EQ(0x81, Decode(k311, body).reason()) << flags;
        EXPECT_EQ(0x81, Decode(k50, body + Hex("00")).reason()) << flags;
    }
}

// [MQTT-3.2.2-6] and [MQTT-3.2.2-4 of 3.1.1]
TEST(Connack, RefusesASessionOnARefusal) {
    EXPECT_EQ(0x82, Decode(k50, Hex("01 87 00")).reason());
    EXPECT_EQ(0x82, Decode(k311, Hex("01 05")).reason());
    EXPECT_EQ(0, Decode(k311, Hex("01 00")).reason());
}

TEST(Connack, RefusesAuthenticationDataWithoutAMethod) {
    EXPECT_EQ(0x82, Decode(k50, Code(0, Properties(Hex("16 0001 00")))).reason());
}

TEST(Connack, IsDecodedIntoItsFields) {
    Bytes bytes = Hex("01 00 00");
    struct mr_connack packet;
    struct mr_decode_error error;
    ASSERT_EQ(MR_DECODE_DONE, mr_connack_decode(MR_MQTT_50, SliceOf(bytes), &packet, &error));
    EXPECT_TRUE(packet.session_present);
    EXPECT_EQ(0, packet.code);
    EXPECT_EQ(0u, packet.properties.present);
}

// The first bytes that a broker sends, as they are in section 3.2.
TEST(ConnackEncoding, IsFourBytesBefore50) {
    struct mr_connack packet = {};
    packet.code = 5;
    packet.properties.present = MR_PROPERTY_BIT(MR_PROPERTY_RECEIVE_MAXIMUM);
    packet.properties.receive_max = 9;
    uint8_t out[16];
    size_t len = mr_connack_encode(MR_MQTT_311, &packet, out, sizeof(out));
    EXPECT_EQ("20 02 00 05 ", Show(Bytes(out, out + len)));
    packet.code = 0x87;
    len = mr_connack_encode(MR_MQTT_50, &packet, out, sizeof(out));
    EXPECT_EQ("20 06 00 87 03 21 00 09 ", Show(Bytes(out, out + len)));
}

}  // namespace
}  // namespace mr_testing
