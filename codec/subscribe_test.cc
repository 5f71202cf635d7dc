#include <gtest/gtest.h>

#include <string>

#include "codec/codec.h"
#include "codec/testing.hh"

namespace mr_testing {
namespace {

const mr_version kVersions[] = {MR_MQTT_31, MR_MQTT_311, MR_MQTT_50};

Kind KindOf(mr_version version) {
    return {version, MR_SUBSCRIBE};
}

Bytes Head(mr_version version) {
    return Hex("000a") + (version == MR_MQTT_50 ? Hex("00") : Bytes());
}

Bytes Entry(const std::string &filter, unsigned options) {
    return String(filter) + Bytes{static_cast<uint8_t>(options)};
}

TEST(Subscribe, IsWalkedEntryByEntry) {
    Bytes bytes = Hex("1234") + Properties(Hex("0b ff7f")) + Entry("a/b", 0x01) +
                  Entry("$share/g/#", 0x2a) + Entry("+", 0x1c);
    struct mr_subscribe packet;
    struct mr_decode_error error;
    ASSERT_EQ(MR_DECODE_DONE, mr_subscribe_decode(MR_MQTT_50, SliceOf(bytes), &packet, &error));
    EXPECT_EQ(0x1234, packet.packet_id);
    EXPECT_EQ(3u, packet.entry_count);
    EXPECT_EQ(16383u, packet.properties.subscription_id);
    struct mr_slice rest = packet.entries;
    struct mr_slice filter;
    struct mr_subscription_options options;
    ASSERT_TRUE(mr_subscribe_next(&rest, &filter, &options));
    EXPECT_EQ("a/b", ToString(filter));
    EXPECT_EQ(1, options.qos);
    EXPECT_FALSE(options.no_local);
    EXPECT_FALSE(options.retain_as_published);
    EXPECT_EQ(0, options.retain_handling);
    ASSERT_TRUE(mr_subscribe_next(&rest, &filter, &options));
    EXPECT_EQ("$share/g/#", ToString(filter));
    EXPECT_EQ(2, options.qos);
    EXPECT_FALSE(options.no_local);
    EXPECT_TRUE(options.retain_as_published);
    EXPECT_EQ(2, options.retain_handling);
    ASSERT_TRUE(mr_subscribe_next(&rest, &filter, &options));
    EXPECT_EQ("+", ToString(filter));
    EXPECT_EQ(0, options.qos);
    EXPECT_TRUE(options.no_local);
    EXPECT_TRUE(options.retain_as_published);
    EXPECT_EQ(1, options.retain_handling);
    EXPECT_FALSE(mr_subscribe_next(&rest, &filter, &options));
}

// Section 3.8.3.1: [MQTT-3.8.3-5] for the reserved bits, and [MQTT-3.8.3-4 of 3.1.1].
TEST(Subscribe, AcceptsTheOptionsOfItsVersionOnly) {
    for (unsigned options = 0; options < 256; options++) {
        unsigned qos = options & 3;
        bool reserved = (options & 0xc0) != 0;
        int expected = reserved ? 0x81 : qos == 3 || (options & 0x30) == 0x30 ? 0x82 : 0;
        Bytes entry = Entry("a", options);
        EXPECT_EQ(expected, Decode(KindOf(MR_MQTT_50), Head(MR_MQTT_50) + entry).reason())
            << options;
        for (mr_version version : {MR_MQTT_31, MR_MQTT_311}) {
            EXPECT_EQ(options <= 2 ? 0 : 0x81,
                      Decode(KindOf(version), Head(version) + entry).reason())
                << options;
        }
        // Not only in the first entry.
        EXPECT_EQ(expected,
                  Decode(KindOf(MR_MQTT_50), Head(MR_MQTT_50) + Entry("b", 1) + entry).reason());
    }
}

// [MQTT-3.8.3-2], and [MQTT-3.8.3-3 of 3.1.1].
TEST(Subscribe, NeedsAtLeastOneFilter) {
    for (mr_version version : kVersions) {
        EXPECT_EQ(0x82, Decode(KindOf(version), Head(version)).reason());
    }
}

// [MQTT-4.7.3-1] [MQTT-3.8.3-1]
TEST(Subscribe, RefusesEmptyFiltersAndBadUtf8) {
    for (mr_version version : kVersions) {
        Bytes good = Entry("a", 0);
        EXPECT_EQ(0x81, Decode(KindOf(version), Head(version) + Entry("", 0)).reason());
        EXPECT_EQ(0x81, Decode(KindOf(version), Head(version) + good + Entry("", 0)).reason());
        for (const char *bad : {"0001 00", "0001 ff", "0003 eda080", "0002 c080"}) {
            Bytes entry = Hex(bad) + Hex("00");
            EXPECT_EQ(0x81, Decode(KindOf(version), Head(version) + entry).reason());
            EXPECT_EQ(0x81, Decode(KindOf(version), Head(version) + good + entry).reason());
        }
    }
}

// They are answered in the SUBACK.
TEST(Subscribe, LeavesWildcardsToTheBroker) {
    for (const char *filter : {"a#", "#/a", "a+", "$share/a", "$share//x", "++"}) {
        EXPECT_EQ(0, Decode(KindOf(MR_MQTT_50), Head(MR_MQTT_50) + Entry(filter, 0)).reason());
    }
}

// [MQTT-2.2.1-3], and [MQTT-2.3.1-1 of 3.1.1].
TEST(Subscribe, RefusesPacketIdentifier0) {
    for (mr_version version : kVersions) {
        Bytes head = Head(version);
        head[1] = 0;
        EXPECT_EQ(0x82, Decode(KindOf(version), head + Entry("a", 0)).reason());
    }
}

TEST(Subscribe, HoldsVeryManyFilters) {
    Bytes one = Entry("a", 1);
    Bytes bytes = Head(MR_MQTT_311);
    for (int i = 0; i < 50000; i++) {
        bytes.insert(bytes.end(), one.begin(), one.end());
    }
    struct mr_subscribe packet;
    struct mr_decode_error error;
    ASSERT_EQ(MR_DECODE_DONE, mr_subscribe_decode(MR_MQTT_311, SliceOf(bytes), &packet, &error));
    EXPECT_EQ(50000u, packet.entry_count);
    EXPECT_EQ(bytes, BodyOf(Decode(KindOf(MR_MQTT_311), bytes).encoded));
}

TEST(SubscribeEntry, IsEncodedForEachVersion) {
    struct mr_subscription_options options = {2, true, true, 2};
    uint8_t out[16];
    size_t len =
        mr_subscribe_encode_entry(MR_MQTT_50, mr_slice_str("a/b"), &options, out, sizeof(out));
    EXPECT_EQ("00 03 61 2f 62 2e ", Show(Bytes(out, out + len)));
    len = mr_subscribe_encode_entry(MR_MQTT_311, mr_slice_str("a/b"), &options, out, sizeof(out));
    EXPECT_EQ("00 03 61 2f 62 02 ", Show(Bytes(out, out + len)));
    EXPECT_EQ(0u, mr_subscribe_encode_entry(MR_MQTT_50, mr_slice_str("a/b"), &options, out, 5));
    EXPECT_EQ(6u, mr_subscribe_encode_entry(MR_MQTT_50, mr_slice_str("a/b"), &options, out, 6));
    std::string text(65536, 'x');
    Bytes large(70000);
    EXPECT_EQ(0u, mr_subscribe_encode_entry(MR_MQTT_50, mr_slice_str(text.c_str()), &options,
                                            large.data(), large.size()));
    EXPECT_EQ(0u, mr_subscribe_encode_entry(MR_MQTT_50, mr_slice_str(text.c_str()), &options,
                                            large.data(), SIZE_MAX));
    text.pop_back();
    EXPECT_EQ(65538u, mr_subscribe_encode_entry(MR_MQTT_50, mr_slice_str(text.c_str()), &options,
                                                large.data(), large.size()));
}

TEST(SubscribeWalk, StopsAtWhatIsNoEntry) {
    struct mr_slice filter;
    struct mr_subscription_options options;
    for (const char *bad : {"", "00", "0001", "0001 61", "ffff 61 00"}) {
        Exact exact(Hex(bad));
        struct mr_slice rest = exact.slice();
        EXPECT_FALSE(mr_subscribe_next(&rest, &filter, &options)) << bad;
    }
    struct mr_slice nothing = mr_slice_of(nullptr, 0);
    EXPECT_FALSE(mr_subscribe_next(&nothing, &filter, &options));
}

}  // namespace
}  // namespace mr_testing
