#include <gtest/gtest.h>

#include <set>

#include "codec/codec.h"
#include "codec/testing.hh"

namespace mr_testing {
namespace {

const Kind kFromClient = {MR_MQTT_50, MR_DISCONNECT};
const Kind kFromServer = {MR_MQTT_50, MR_DISCONNECT, false};

// Table 3-10, and what table 2-6 adds to it: 0x8c. [MQTT-3.14.2-1]
TEST(Disconnect, AcceptsTheReasonCodesOfItsSenderOnly) {
    const std::set<unsigned> of_both = {0x00, 0x80, 0x81, 0x82, 0x83, 0x90, 0x93,
                                        0x94, 0x95, 0x96, 0x97, 0x98, 0x99};
    const std::set<unsigned> of_client = {0x04};
    const std::set<unsigned> of_server = {0x87, 0x89, 0x8b, 0x8c, 0x8d, 0x8e, 0x8f, 0x9a,
                                          0x9b, 0x9c, 0x9d, 0x9e, 0x9f, 0xa0, 0xa1, 0xa2};
    const std::set<unsigned> of_others = {0x01, 0x02, 0x10, 0x11, 0x18, 0x19, 0x84,
                                          0x85, 0x86, 0x88, 0x8a, 0x91, 0x92};
    for (unsigned code = 0; code < 256; code++) {
        bool exists = of_both.count(code) || of_client.count(code) || of_server.count(code) ||
                      of_others.count(code);
        Bytes body = {static_cast<uint8_t>(code)};
        for (const Bytes &form : {body, body + Hex("00")}) {
            bool allowed = of_both.count(code) || of_client.count(code);
            EXPECT_EQ(allowed  ? 0
                      : exists ? 0x82
                               : 0x81,
                      Decode(kFromClient, form).reason())
                << code;
            allowed = of_both.count(code) || of_server.count(code);
            EXPECT_EQ(allowed  ? 0
                      : exists ? 0x82
                               : 0x81,
                      Decode(kFromServer, form).reason())
                << code;
        }
    }
}

// Section 3.14.2.1: left out, it is a normal disconnection.
TEST(Disconnect, WithoutABodyIsNormal) {
    struct mr_disconnect packet;
    struct mr_decode_error error;
    memset(static_cast<void *>(&packet), 0xa5, sizeof(packet));
    ASSERT_EQ(MR_DECODE_DONE,
              mr_disconnect_decode(MR_MQTT_50, mr_slice_of(nullptr, 0), true, &packet, &error));
    EXPECT_EQ(MR_REASON_SUCCESS, packet.reason);
    EXPECT_EQ(0u, packet.properties.present);
    EXPECT_EQ(0u, packet.properties.session_expiry_s);
}

TEST(Disconnect, HasNoBodyBefore50) {
    EXPECT_EQ(0, Decode({MR_MQTT_311, MR_DISCONNECT}, {}).reason());
    EXPECT_EQ(0x81, Decode({MR_MQTT_311, MR_DISCONNECT}, Hex("00")).reason());
    EXPECT_EQ(0x81, Decode({MR_MQTT_31, MR_DISCONNECT}, Hex("00 00")).reason());
}

// [MQTT-3.14.2-2]
TEST(Disconnect, OfAServerHasNoSessionExpiryInterval) {
    Bytes body = Hex("00") + Properties(Hex("11 00000000"));
    EXPECT_EQ(0, Decode(kFromClient, body).reason());
    EXPECT_EQ(0x82, Decode(kFromServer, body).reason());
}

// Figure 3-24.
TEST(Disconnect, AcceptsTheExampleOfTheStandard) {
    Bytes bytes = Hex("00 05 11 00000000");
    struct mr_disconnect packet;
    struct mr_decode_error error;
    ASSERT_EQ(MR_DECODE_DONE,
              mr_disconnect_decode(MR_MQTT_50, SliceOf(bytes), true, &packet, &error));
    EXPECT_TRUE(mr_properties_has(&packet.properties, MR_PROPERTY_SESSION_EXPIRY_INTERVAL));
}

TEST(DisconnectEncoding, IsAsShortAsCanBe) {
    struct mr_disconnect packet = {};
    uint8_t out[16];
    auto encode = [&](mr_version version) {
        size_t len = mr_disconnect_encode(version, &packet, out, sizeof(out));
        return Show(Bytes(out, out + len));
    };
    EXPECT_EQ("e0 00 ", encode(MR_MQTT_50));
    packet.reason = MR_REASON_SESSION_TAKEN_OVER;
    EXPECT_EQ("e0 01 8e ", encode(MR_MQTT_50));
    EXPECT_EQ("e0 00 ", encode(MR_MQTT_311));
    packet.reason = MR_REASON_SUCCESS;
    packet.properties.present = MR_PROPERTY_BIT(MR_PROPERTY_SESSION_EXPIRY_INTERVAL);
    EXPECT_EQ("e0 07 00 05 11 00 00 00 00 ", encode(MR_MQTT_50));
    EXPECT_EQ("e0 00 ", encode(MR_MQTT_31));
}

}  // namespace
}  // namespace mr_testing
