#include <gtest/gtest.h>

#include <string>

#include "codec/codec.h"
#include "codec/testing.hh"

namespace mr_testing {
namespace {

const mr_version kVersions[] = {MR_MQTT_31, MR_MQTT_311, MR_MQTT_50};

Kind KindOf(mr_version version) {
    return {version, MR_UNSUBSCRIBE};
}

Bytes Head(mr_version version) {
    return Hex("000a") + (version == MR_MQTT_50 ? Hex("00") : Bytes());
}

TEST(Unsubscribe, IsWalkedEntryByEntry) {
    for (mr_version version : kVersions) {
        Bytes bytes = Head(version) + String("a/b") + String("#");
        struct mr_unsubscribe packet;
        struct mr_decode_error error;
        ASSERT_EQ(MR_DECODE_DONE, mr_unsubscribe_decode(version, SliceOf(bytes), &packet, &error));
        EXPECT_EQ(10, packet.packet_id);
        EXPECT_EQ(2u, packet.entry_count);
        struct mr_slice rest = packet.entries;
        struct mr_slice filter;
        ASSERT_TRUE(mr_unsubscribe_next(&rest, &filter));
        EXPECT_EQ("a/b", ToString(filter));
        ASSERT_TRUE(mr_unsubscribe_next(&rest, &filter));
        EXPECT_EQ("#", ToString(filter));
        EXPECT_FALSE(mr_unsubscribe_next(&rest, &filter));
    }
}

// [MQTT-3.10.3-2]
TEST(Unsubscribe, NeedsAtLeastOneFilter) {
    for (mr_version version : kVersions) {
        EXPECT_EQ(0x82, Decode(KindOf(version), Head(version)).reason());
    }
}

// [MQTT-3.10.3-1] [MQTT-4.7.3-1]
TEST(Unsubscribe, RefusesEmptyFiltersAndBadUtf8) {
    for (mr_version version : kVersions) {
        for (const char *bad : {"0000", "0001 00", "0001 ff", "0003 eda080"}) {
            EXPECT_EQ(0x81, Decode(KindOf(version), Head(version) + Hex(bad)).reason());
            EXPECT_EQ(0x81,
                      Decode(KindOf(version), Head(version) + String("a") + Hex(bad)).reason());
        }
    }
}

// [MQTT-2.2.1-3]
TEST(Unsubscribe, RefusesPacketIdentifier0) {
    for (mr_version version : kVersions) {
        Bytes head = Head(version);
        head[1] = 0;
        EXPECT_EQ(0x82, Decode(KindOf(version), head + String("a")).reason());
    }
}

TEST(UnsubscribeEntry, IsAStringThatFits) {
    uint8_t out[16];
    size_t len = mr_unsubscribe_encode_entry(mr_slice_str("a/b"), out, sizeof(out));
    EXPECT_EQ("00 03 61 2f 62 ", Show(Bytes(out, out + len)));
    EXPECT_EQ(0u, mr_unsubscribe_encode_entry(mr_slice_str("a/b"), out, 4));
    EXPECT_EQ(5u, mr_unsubscribe_encode_entry(mr_slice_str("a/b"), out, 5));
    std::string text(65536, 'x');
    Bytes large(70000);
    EXPECT_EQ(0u,
              mr_unsubscribe_encode_entry(mr_slice_str(text.c_str()), large.data(), large.size()));
    text.pop_back();
    EXPECT_EQ(65537u,
              mr_unsubscribe_encode_entry(mr_slice_str(text.c_str()), large.data(), large.size()));
}

TEST(UnsubscribeWalk, StopsAtWhatIsNoEntry) {
    struct mr_slice filter;
    for (const char *bad : {"", "00", "0001", "ffff 61"}) {
        Exact exact(Hex(bad));
        struct mr_slice rest = exact.slice();
        EXPECT_FALSE(mr_unsubscribe_next(&rest, &filter)) << bad;
    }
}

}  // namespace
}  // namespace mr_testing
