#include <gtest/gtest.h>

#include <set>

#include "codec/codec.h"
#include "codec/testing.hh"

namespace mr_testing {
namespace {

bool Exists(unsigned code) {
    const std::set<unsigned> low = {0x00, 0x01, 0x02, 0x04, 0x10, 0x11, 0x18, 0x19};
    return low.count(code) || (code >= 0x80 && code <= 0xa2);
}

// Tables 3-8 and 3-9. [MQTT-3.9.3-2] [MQTT-3.11.3-2]
TEST(Suback, AcceptsTheReasonCodesOfItsTypeOnly) {
    const std::set<unsigned> of_suback = {0x00, 0x01, 0x02, 0x80, 0x83, 0x87,
                                          0x8f, 0x91, 0x97, 0x9e, 0xa1, 0xa2};
    const std::set<unsigned> of_unsuback = {0x00, 0x11, 0x80, 0x83, 0x87, 0x8f, 0x91};
    for (mr_packet_type type : {MR_SUBACK, MR_UNSUBACK}) {
        const std::set<unsigned> &allowed = type == MR_SUBACK ? of_suback : of_unsuback;
        for (unsigned code = 0; code < 256; code++) {
            int expected = allowed.count(code) ? 0 : Exists(code) ? 0x82 : 0x81;
            Bytes last = {static_cast<uint8_t>(code)};
            EXPECT_EQ(expected, Decode({MR_MQTT_50, type}, Hex("0001 00") + last).reason()) << code;
            EXPECT_EQ(expected, Decode({MR_MQTT_50, type}, Hex("0001 00 00 00") + last).reason());
        }
    }
}

// [MQTT-3.9.3-2 of 3.1.1]
TEST(Suback, AcceptsFourReturnCodesBefore50) {
    for (mr_version version : {MR_MQTT_31, MR_MQTT_311}) {
        for (unsigned code = 0; code < 256; code++) {
            bool good = code <= 2 || code == 0x80;
            Bytes body = Hex("0001 00") + Bytes{static_cast<uint8_t>(code)};
            EXPECT_EQ(good ? 0 : 0x81, Decode({version, MR_SUBACK}, body).reason()) << code;
        }
    }
}

// CVE-2024-10525: a SUBACK without codes.
TEST(Suback, NeedsAtLeastOneCode) {
    EXPECT_EQ(0x82, Decode({MR_MQTT_50, MR_SUBACK}, Hex("0001 00")).reason());
    EXPECT_EQ(0x82, Decode({MR_MQTT_50, MR_UNSUBACK}, Hex("0001 00")).reason());
    EXPECT_EQ(0x82, Decode({MR_MQTT_311, MR_SUBACK}, Hex("0001")).reason());
}

// Section 3.11 of 3.1.1.
TEST(Unsuback, HasNoCodesBefore50) {
    EXPECT_EQ(0, Decode({MR_MQTT_311, MR_UNSUBACK}, Hex("0001")).reason());
    EXPECT_EQ(0x81, Decode({MR_MQTT_311, MR_UNSUBACK}, Hex("0001 00")).reason());
}

TEST(Suback, RefusesPacketIdentifier0) {
    EXPECT_EQ(0x82, Decode({MR_MQTT_50, MR_SUBACK}, Hex("0000 00 00")).reason());
    EXPECT_EQ(0x82, Decode({MR_MQTT_311, MR_UNSUBACK}, Hex("0000")).reason());
}

TEST(SubackEncoding, KnowsOneFailureBefore50) {
    Bytes codes = Hex("00 01 02 80 87 8f a2");
    struct mr_suback packet = {};
    packet.packet_id = 1;
    packet.codes = SliceOf(codes);
    uint8_t out[32];
    size_t len = mr_suback_encode(MR_MQTT_311, MR_SUBACK, &packet, out, sizeof(out));
    EXPECT_EQ("90 09 00 01 00 01 02 80 80 80 80 ", Show(Bytes(out, out + len)));
    len = mr_suback_encode(MR_MQTT_50, MR_SUBACK, &packet, out, sizeof(out));
    EXPECT_EQ("90 0a 00 01 00 00 01 02 80 87 8f a2 ", Show(Bytes(out, out + len)));
    len = mr_suback_encode(MR_MQTT_311, MR_UNSUBACK, &packet, out, sizeof(out));
    EXPECT_EQ("b0 02 00 01 ", Show(Bytes(out, out + len)));
}

}  // namespace
}  // namespace mr_testing
