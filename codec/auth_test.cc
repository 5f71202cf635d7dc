#include <gtest/gtest.h>

#include "codec/codec.h"
#include "codec/testing.hh"

namespace mr_testing {
namespace {

const Kind kAuth = {MR_MQTT_50, MR_AUTH};
const Bytes kMethod = Hex("15") + String("SCRAM-SHA-1");

// Table 3-11. [MQTT-3.15.2-1]
TEST(Auth, AcceptsItsReasonCodesOnly) {
    for (unsigned code = 0; code < 256; code++) {
        bool allowed = code == 0x00 || code == 0x18 || code == 0x19;
        bool exists = code == 0x01 || code == 0x02 || code == 0x04 || code == 0x10 ||
                      code == 0x11 || (code >= 0x80 && code <= 0xa2);
        Bytes body = Bytes{static_cast<uint8_t>(code)} + Properties(kMethod);
        EXPECT_EQ(allowed ? 0 : exists ? 0x82 : 0x81, Decode(kAuth, body).reason()) << code;
    }
}

// Section 3.15.2.2.2.
TEST(Auth, NeedsAMethod) {
    EXPECT_EQ(0x82, Decode(kAuth, Hex("18 00")).reason());
    EXPECT_EQ(0x82, Decode(kAuth, Hex("19") + Properties(Hex("16 0001 00"))).reason());
    EXPECT_EQ(0x81, Decode(kAuth, Hex("18")).reason());
}

// Section 3.15.2.1: an empty AUTH is a success.
TEST(Auth, MayBeEmpty) {
    struct mr_auth packet;
    struct mr_decode_error error;
    ASSERT_EQ(MR_DECODE_DONE, mr_auth_decode(mr_slice_of(nullptr, 0), &packet, &error));
    EXPECT_EQ(MR_REASON_SUCCESS, packet.reason);
    EXPECT_EQ(0u, packet.properties.present);
    uint8_t out[2];
    ASSERT_EQ(2u, mr_auth_encode(&packet, out, sizeof(out)));
    EXPECT_EQ("f0 00 ", Show(Bytes(out, out + 2)));
}

TEST(Auth, TellsMethodAndData) {
    Bytes bytes = Hex("18") + Properties(kMethod + Hex("16 0003 00ff01"));
    struct mr_auth packet;
    struct mr_decode_error error;
    ASSERT_EQ(MR_DECODE_DONE, mr_auth_decode(SliceOf(bytes), &packet, &error));
    EXPECT_EQ(MR_REASON_CONTINUE_AUTHENTICATION, packet.reason);
    EXPECT_EQ("SCRAM-SHA-1", ToString(packet.properties.authentication_method));
    EXPECT_EQ(3u, packet.properties.authentication_data.len);
}

}  // namespace
}  // namespace mr_testing
