#include <gtest/gtest.h>

#include <set>

#include "codec/codec.h"
#include "codec/testing.hh"

namespace mr_testing {
namespace {

const mr_packet_type kTypes[] = {MR_PUBACK, MR_PUBREC, MR_PUBREL, MR_PUBCOMP};

// Every value that some packet of 5.0 can have.
bool Exists(unsigned code) {
    const std::set<unsigned> low = {0x00, 0x01, 0x02, 0x04, 0x10, 0x11, 0x18, 0x19};
    return low.count(code) || (code >= 0x80 && code <= 0xa2);
}

// Tables 3-4 to 3-7. [MQTT-3.4.2-1] [MQTT-3.5.2-1] [MQTT-3.6.2-1] [MQTT-3.7.2-1]
TEST(Ack, AcceptsTheReasonCodesOfItsTypeOnly) {
    const std::set<unsigned> of_publish = {0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99};
    const std::set<unsigned> of_pubrel = {0x00, 0x92};
    for (mr_packet_type type : kTypes) {
        const std::set<unsigned> &allowed = type <= MR_PUBREC ? of_publish : of_pubrel;
        for (unsigned code = 0; code < 256; code++) {
            int expected = allowed.count(code) ? 0 : Exists(code) ? 0x82 : 0x81;
            Bytes three = Hex("0001") + Bytes{static_cast<uint8_t>(code)};
            EXPECT_EQ(expected, Decode({MR_MQTT_50, type}, three).reason()) << type << ' ' << code;
            EXPECT_EQ(expected, Decode({MR_MQTT_50, type}, three + Hex("00")).reason());
        }
    }
}

// Sections 3.4.2.1 and 3.4.2.2.1: shorter forms mean success without properties.
TEST(Ack, ComesInThreeForms) {
    struct mr_ack packet;
    struct mr_decode_error error;
    for (mr_packet_type type : kTypes) {
        for (const char *form : {"1234", "1234 00", "1234 00 00"}) {
            memset(static_cast<void *>(&packet), 0xa5, sizeof(packet));
            Bytes bytes = Hex(form);
            ASSERT_EQ(MR_DECODE_DONE,
                      mr_ack_decode(MR_MQTT_50, type, SliceOf(bytes), &packet, &error));
            EXPECT_EQ(0x1234, packet.packet_id);
            EXPECT_EQ(MR_REASON_SUCCESS, packet.reason);
            EXPECT_EQ(0u, packet.properties.present);
            EXPECT_EQ(0u, packet.properties.raw.len);
            EXPECT_EQ(0u, packet.properties.receive_max);
        }
        Bytes bytes = Hex("0001 92") + Properties(Hex("1f") + String("why"));
        if (type >= MR_PUBREL) {
            ASSERT_EQ(MR_DECODE_DONE,
                      mr_ack_decode(MR_MQTT_50, type, SliceOf(bytes), &packet, &error));
            EXPECT_EQ(MR_REASON_PACKET_IDENTIFIER_NOT_FOUND, packet.reason);
            EXPECT_EQ("why", ToString(packet.properties.reason_string));
        }
    }
}

TEST(Ack, HasNoReasonBefore50) {
    for (mr_packet_type type : kTypes) {
        for (mr_version version : {MR_MQTT_31, MR_MQTT_311}) {
            EXPECT_EQ(0, Decode({version, type}, Hex("0001")).reason());
            EXPECT_EQ(0x81, Decode({version, type}, Hex("0001 00")).reason());
            EXPECT_EQ(0x81, Decode({version, type}, Hex("0001 00 00")).reason());
        }
    }
}

// [MQTT-2.2.1-5]: no PUBLISH has it.
TEST(Ack, RefusesPacketIdentifier0) {
    for (mr_packet_type type : kTypes) {
        EXPECT_EQ(0x82, Decode({MR_MQTT_311, type}, Hex("0000")).reason());
        EXPECT_EQ(0x82, Decode({MR_MQTT_50, type}, Hex("0000")).reason());
        EXPECT_EQ(0x82, Decode({MR_MQTT_50, type}, Hex("0000 00")).reason());
    }
}

TEST(AckEncoding, IsAsShortAsCanBe) {
    struct mr_ack packet = {};
    packet.packet_id = 0x0102;
    uint8_t out[32];
    auto encode = [&](mr_version version, mr_packet_type type) {
        size_t len = mr_ack_encode(version, type, &packet, out, sizeof(out));
        return Show(Bytes(out, out + len));
    };
    EXPECT_EQ("40 02 01 02 ", encode(MR_MQTT_50, MR_PUBACK));
    EXPECT_EQ("50 02 01 02 ", encode(MR_MQTT_311, MR_PUBREC));
    EXPECT_EQ("62 02 01 02 ", encode(MR_MQTT_50, MR_PUBREL));  // [MQTT-3.6.1-1]
    EXPECT_EQ("70 02 01 02 ", encode(MR_MQTT_31, MR_PUBCOMP));
    packet.reason = MR_REASON_NO_MATCHING_SUBSCRIBERS;
    EXPECT_EQ("40 03 01 02 10 ", encode(MR_MQTT_50, MR_PUBACK));
    EXPECT_EQ("40 02 01 02 ", encode(MR_MQTT_311, MR_PUBACK));
    packet.properties.present = MR_PROPERTY_BIT(MR_PROPERTY_REASON_STRING);
    packet.properties.reason_string = mr_slice_str("ok");
    EXPECT_EQ("40 09 01 02 10 05 1f 00 02 6f 6b ", encode(MR_MQTT_50, MR_PUBACK));
    packet.reason = MR_REASON_SUCCESS;
    EXPECT_EQ("40 09 01 02 00 05 1f 00 02 6f 6b ", encode(MR_MQTT_50, MR_PUBACK));
    EXPECT_EQ("40 02 01 02 ", encode(MR_MQTT_31, MR_PUBACK));
}

}  // namespace
}  // namespace mr_testing
