#include <gtest/gtest.h>

#include <set>
#include <string>

#include "codec/codec.h"
#include "codec/testing.hh"

namespace mr_testing {
namespace {

struct Framed {
    mr_decode_status status;
    mr_frame frame;
    mr_decode_error error;
};

Framed Frame(const Bytes &bytes, int version = MR_MQTT_50, uint32_t packet_bytes_max = UINT32_MAX) {
    Exact exact(bytes);
    Framed framed = {};
    struct mr_slice in = bytes.empty() ? mr_slice_of(nullptr, 0) : exact.slice();
    framed.status = mr_frame_decode(in, version, packet_bytes_max, &framed.frame, &framed.error);
    return framed;
}

void ExpectBad(const Framed &framed, mr_reason reason, uint32_t offset) {
    ASSERT_EQ(MR_DECODE_BAD, framed.status);
    EXPECT_EQ(reason, framed.error.reason);
    EXPECT_EQ(offset, framed.error.offset);
    EXPECT_NE(nullptr, framed.error.what);
}

TEST(Frame, TellsTypeFlagsAndLengths) {
    Framed framed = Frame(Hex("3d 05 00"));
    ASSERT_EQ(MR_DECODE_DONE, framed.status);
    EXPECT_EQ(MR_PUBLISH, framed.frame.type);
    EXPECT_EQ(13, framed.frame.flags);
    EXPECT_EQ(2, framed.frame.header_len);
    EXPECT_EQ(5u, framed.frame.body_len);
}

// Table 1-1 of section 1.5.5.
TEST(Frame, ReadsTheLengthsOfTheStandard) {
    const struct {
        const char *bytes;
        uint32_t length;
    } cases[] = {
        {"30 00", 0},
        {"30 7f", 127},
        {"30 8001", 128},
        {"30 ff7f", 16383},
        {"30 808001", 16384},
        {"30 ffff7f", 2097151},
        {"30 80808001", 2097152},
        {"30 ffffff7f", 268435455},
    };
    for (const auto &one : cases) {
        Bytes bytes = Hex(one.bytes);
        Framed framed = Frame(bytes);
        ASSERT_EQ(MR_DECODE_DONE, framed.status) << one.bytes;
        EXPECT_EQ(one.length, framed.frame.body_len);
        EXPECT_EQ(bytes.size(), framed.frame.header_len);
        EXPECT_EQ(bytes.size() - 1, Varint(one.length).size());
        // The body behind it changes nothing, each byte less is too little.
        EXPECT_EQ(bytes.size(), Frame(bytes + Hex("ff ff")).frame.header_len);
        for (size_t len = 0; len < bytes.size(); len++) {
            Bytes part(bytes.begin(), bytes.begin() + static_cast<long>(len));
            EXPECT_EQ(MR_DECODE_MORE, Frame(part).status) << Show(part);
        }
    }
}

// [MQTT-1.5.5-1], and CVE-2026-21888: five bytes.
TEST(Frame, RefusesLengthsThatAreNotShortestOrTooLong) {
    ExpectBad(Frame(Hex("30 8000")), MR_REASON_MALFORMED_PACKET, 2);
    ExpectBad(Frame(Hex("30 808000")), MR_REASON_MALFORMED_PACKET, 3);
    ExpectBad(Frame(Hex("30 ff8000")), MR_REASON_MALFORMED_PACKET, 3);
    ExpectBad(Frame(Hex("30 80808000")), MR_REASON_MALFORMED_PACKET, 4);
    // Seen with the fourth byte, without waiting for a fifth.
    ExpectBad(Frame(Hex("30 80808080")), MR_REASON_MALFORMED_PACKET, 4);
    ExpectBad(Frame(Hex("30 ffffffff7f")), MR_REASON_MALFORMED_PACKET, 4);
    ExpectBad(Frame(Hex("30 8080808001")), MR_REASON_MALFORMED_PACKET, 4);
}

TEST(Frame, RefusesPacketsAboveTheLimit) {
    EXPECT_EQ(MR_DECODE_DONE, Frame(Hex("30 0a"), 5, 12).status);
    ExpectBad(Frame(Hex("30 0b"), 5, 12), MR_REASON_PACKET_TOO_LARGE, 1);
    EXPECT_EQ(MR_DECODE_DONE, Frame(Hex("30 8001"), 5, 131).status);
    ExpectBad(Frame(Hex("30 8001"), 5, 130), MR_REASON_PACKET_TOO_LARGE, 1);
    EXPECT_EQ(MR_DECODE_DONE, Frame(Hex("30 ffffff7f"), 5, 268435460).status);
    ExpectBad(Frame(Hex("30 ffffff7f"), 5, 268435459), MR_REASON_PACKET_TOO_LARGE, 1);
}

// CVE-2017-7651 and CVE-2023-0809: a large length before CONNECT. [MQTT-3.1.0-1]
TEST(Frame, AcceptsNothingButConnectInFront) {
    for (unsigned first = 0; first < 256; first++) {
        Framed framed = Frame(Bytes{static_cast<uint8_t>(first), 0x10}, 0);
        if (first == 0x10) {
            EXPECT_EQ(MR_DECODE_DONE, framed.status);
        } else if (first >> 4 == 0 || first >> 4 == 1) {
            ExpectBad(framed, MR_REASON_MALFORMED_PACKET, 0);
        } else {
            ExpectBad(framed, MR_REASON_PROTOCOL_ERROR, 0);
        }
    }
    ExpectBad(Frame(Hex("10 ffffff7f"), 0, 1 << 20), MR_REASON_PACKET_TOO_LARGE, 1);
}

// Table 2-2. [MQTT-2.1.3-1] [MQTT-3.6.1-1] [MQTT-3.8.1-1] [MQTT-3.10.1-1] [MQTT-3.14.1-1]
// [MQTT-3.15.1-1], and [MQTT-3.3.1-2] [MQTT-3.3.1-4] for PUBLISH.
TEST(Frame, AcceptsTheFlagsOfEachTypeAndNoOthers) {
    const std::set<unsigned> publish = {0, 1, 2, 3, 4, 5, 10, 11, 12, 13};
    for (int version : {3, 4, 5}) {
        for (unsigned type = 0; type < 16; type++) {
            for (unsigned flags = 0; flags < 16; flags++) {
                bool is_two = type == MR_PUBREL || type == MR_SUBSCRIBE || type == MR_UNSUBSCRIBE;
                bool allowed = is_two ? flags == 2 || (flags == 10 && version == 3) : flags == 0;
                if (type == MR_PUBLISH) {
                    allowed = publish.count(flags) != 0;
                }
                if (type == 0 || (type == MR_AUTH && version != 5)) {
                    allowed = false;
                }
                // As soon as the first byte is there.
                Framed framed = Frame(Bytes{static_cast<uint8_t>(type << 4 | flags)}, version);
                EXPECT_EQ(allowed ? MR_DECODE_MORE : MR_DECODE_BAD, framed.status)
                    << version << ' ' << type << ' ' << flags;
                if (!allowed) {
                    ExpectBad(framed, MR_REASON_MALFORMED_PACKET, 0);
                }
            }
        }
    }
}

TEST(PacketType, HasAName) {
    EXPECT_STREQ("RESERVED", mr_packet_type_name(static_cast<mr_packet_type>(0)));
    EXPECT_STREQ("CONNECT", mr_packet_type_name(MR_CONNECT));
    EXPECT_STREQ("PUBLISH", mr_packet_type_name(MR_PUBLISH));
    EXPECT_STREQ("UNSUBACK", mr_packet_type_name(MR_UNSUBACK));
    EXPECT_STREQ("AUTH", mr_packet_type_name(MR_AUTH));
    EXPECT_STREQ("RESERVED", mr_packet_type_name(static_cast<mr_packet_type>(16)));
    std::set<std::string> names;
    for (int type = 0; type < 16; type++) {
        names.insert(mr_packet_type_name(static_cast<mr_packet_type>(type)));
    }
    EXPECT_EQ(16u, names.size());
}

}  // namespace
}  // namespace mr_testing
