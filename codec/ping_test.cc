#include <gtest/gtest.h>

#include "codec/codec.h"
#include "codec/testing.hh"

namespace mr_testing {
namespace {

TEST(Ping, IsTwoBytes) {
    uint8_t out[2];
    ASSERT_EQ(2u, mr_ping_encode(MR_PINGREQ, out, sizeof(out)));
    EXPECT_EQ("c0 00 ", Show(Bytes(out, out + 2)));
    ASSERT_EQ(2u, mr_ping_encode(MR_PINGRESP, out, sizeof(out)));
    EXPECT_EQ("d0 00 ", Show(Bytes(out, out + 2)));
    EXPECT_EQ(0u, mr_ping_encode(MR_PINGRESP, out, 1));
    EXPECT_EQ(0u, mr_ping_encode(MR_PINGRESP, out, 0));
}

// Section 3.12.1.
TEST(Ping, RefusesABody) {
    EXPECT_EQ(0, Decode({MR_MQTT_311, MR_PINGREQ}, {}).reason());
    EXPECT_EQ(0x81, Decode({MR_MQTT_311, MR_PINGREQ}, Hex("00")).reason());
    EXPECT_EQ(0x81, Decode({MR_MQTT_50, MR_PINGRESP}, Hex("00")).reason());
}

}  // namespace
}  // namespace mr_testing
