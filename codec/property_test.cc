#include <gtest/gtest.h>

#include <set>
#include <string>
#include <vector>

#include "codec/codec.h"
#include "codec/testing.hh"

namespace mr_testing {
namespace {

// Where properties can stand: the packets, and the will.
enum Place {
    WILL = 0,
    CONNECT = MR_CONNECT,
    CONNACK = MR_CONNACK,
    PUBLISH = MR_PUBLISH,
    PUBACK = MR_PUBACK,
    PUBREC = MR_PUBREC,
    PUBREL = MR_PUBREL,
    PUBCOMP = MR_PUBCOMP,
    SUBSCRIBE = MR_SUBSCRIBE,
    SUBACK = MR_SUBACK,
    UNSUBSCRIBE = MR_UNSUBSCRIBE,
    UNSUBACK = MR_UNSUBACK,
    DISCONNECT = MR_DISCONNECT,
    AUTH = MR_AUTH,
};

const std::vector<Place> kPlaces = {WILL,        CONNECT,  CONNACK,    PUBLISH,   PUBACK,
                                    PUBREC,      PUBREL,   PUBCOMP,    SUBSCRIBE, SUBACK,
                                    UNSUBSCRIBE, UNSUBACK, DISCONNECT, AUTH};
const std::set<Place> kEverywhere(kPlaces.begin(), kPlaces.end());
const std::set<Place> kMessage = {PUBLISH, WILL};

Kind KindOf(Place place) {
    return {MR_MQTT_50, place == WILL ? MR_CONNECT : static_cast<mr_packet_type>(place)};
}

// A correct body around a property field, which comes with its length.
Bytes Around(Place place, const Bytes &field) {
    switch (place) {
        case WILL:
            return String("MQTT") + Hex("05 06 003c 00") + String("c") + field + String("w") +
                   String("gone");
        case CONNECT:
            return String("MQTT") + Hex("05 02 003c") + field + String("c");
        case CONNACK:
            return Hex("00 00") + field;
        case PUBLISH:
            return String("a/b") + field + Text("payload");
        case PUBACK:
        case PUBREC:
        case PUBREL:
        case PUBCOMP:
            return Hex("0007 00") + field;
        case SUBSCRIBE:
            return Hex("0007") + field + String("a/+") + Hex("01");
        case UNSUBSCRIBE:
            return Hex("0007") + field + String("a/+");
        case SUBACK:
        case UNSUBACK:
            return Hex("0007") + field + Hex("00");
        case DISCONNECT:
            return Hex("04") + field;
        case AUTH:
            return Hex("18") + field;
    }
    return {};
}

const Bytes kMethod = Hex("15") + String("SCRAM-SHA-1");

// What has to stand beside property `id`, so that it alone is what a test is about.
Bytes Company(Place place, unsigned id) {
    bool needs_method = place == AUTH || id == MR_PROPERTY_AUTHENTICATION_DATA;
    return needs_method && id != MR_PROPERTY_AUTHENTICATION_METHOD ? kMethod : Bytes();
}

Outcome DecodeWith(Place place, unsigned id, const Bytes &properties) {
    return Decode(KindOf(place), Around(place, Properties(Company(place, id) + properties)));
}

// Table 2-4 and sections 3.1 to 3.15, written down a second time.
struct Case {
    unsigned id;
    std::set<Place> places;
    std::vector<Bytes> good;
    std::vector<Bytes> out_of_range;  // Reason 0x82, or 0x94 for the topic alias.
};

const std::string kLong(65535, 'x');
const std::vector<Bytes> kStrings = {String(""), String("x"), String("\xf0\x9f\x98\x80"),
                                     String(kLong)};
const std::vector<Bytes> kBinaries = {String(""), Hex("0003 00ff80"), String(kLong)};
const std::vector<Bytes> kU32 = {Hex("00000000"), Hex("00000001"), Hex("ffffffff")};
const std::vector<Bytes> kBooleans = {Hex("00"), Hex("01")};
const std::vector<Bytes> kNoBooleans = {Hex("02"), Hex("80"), Hex("ff")};

const std::vector<Case> kCases = {
    {0x01, kMessage, kBooleans, kNoBooleans},
    {0x02, kMessage, kU32, {}},
    {0x03, kMessage, kStrings, {}},
    {0x08,
     kMessage,
     {String("x"), String("/"), String("reply/\xc3\xa4"), String(kLong)},
     {String(""), String("a/#"), String("+"), String("a+")}},
    {0x09, kMessage, kBinaries, {}},
    {0x0b, {PUBLISH, SUBSCRIBE}, {Hex("01"), Hex("8001"), Hex("ffffff7f")}, {Hex("00")}},
    {0x11, {CONNECT, CONNACK, DISCONNECT}, kU32, {}},
    {0x12, {CONNACK}, kStrings, {}},
    {0x13, {CONNACK}, {Hex("0000"), Hex("ffff")}, {}},
    {0x15, {CONNECT, CONNACK, AUTH}, kStrings, {}},
    {0x16, {CONNECT, CONNACK, AUTH}, kBinaries, {}},
    {0x17, {CONNECT}, kBooleans, kNoBooleans},
    {0x18, {WILL}, kU32, {}},
    {0x19, {CONNECT}, kBooleans, kNoBooleans},
    {0x1a, {CONNACK}, kStrings, {}},
    {0x1c, {CONNACK, DISCONNECT}, kStrings, {}},
    {0x1f,
     {CONNACK, PUBACK, PUBREC, PUBREL, PUBCOMP, SUBACK, UNSUBACK, DISCONNECT, AUTH},
     kStrings,
     {}},
    {0x21, {CONNECT, CONNACK}, {Hex("0001"), Hex("ffff")}, {Hex("0000")}},
    {0x22, {CONNECT, CONNACK}, {Hex("0000"), Hex("ffff")}, {}},
    {0x23, {PUBLISH}, {Hex("0001"), Hex("ffff")}, {Hex("0000")}},
    {0x24, {CONNACK}, kBooleans, kNoBooleans},
    {0x25, {CONNACK}, kBooleans, kNoBooleans},
    {0x26,
     kEverywhere,
     {String("") + String(""), String("name") + String("\xe2\x82\xac"),
      String(kLong) + String(kLong)},
     {}},
    {0x27, {CONNECT, CONNACK}, {Hex("00000001"), Hex("ffffffff")}, {Hex("00000000")}},
    {0x28, {CONNACK}, kBooleans, kNoBooleans},
    {0x29, {CONNACK}, kBooleans, kNoBooleans},
    {0x2a, {CONNACK}, kBooleans, kNoBooleans},
};

const Case *Find(unsigned id) {
    for (const Case &one : kCases) {
        if (one.id == id) {
            return &one;
        }
    }
    return nullptr;
}

Bytes Encoded(unsigned id, const Bytes &value) {
    return Bytes{static_cast<uint8_t>(id)} + value;
}

// Section 2.2.2.2: unknown or misplaced is malformed.
TEST(Property, IsAllowedWhereTheStandardSaysAndNowhereElse) {
    for (Place place : kPlaces) {
        for (unsigned id = 0; id < 256; id++) {
            const Case *one = Find(id);
            Bytes value = one ? one->good.back() : Hex("0001 00 00 00");
            Outcome outcome = DecodeWith(place, id, Encoded(id, value));
            bool allowed = one && one->places.count(place);
            EXPECT_EQ(allowed ? 0 : 0x81, outcome.reason()) << KindOf(place) << " id " << id;
        }
    }
}

TEST(Property, KeepsItsSmallestAndItsLargestValue) {
    for (const Case &one : kCases) {
        for (Place place : one.places) {
            for (const Bytes &value : one.good) {
                Bytes properties = Company(place, one.id) + Encoded(one.id, value);
                Bytes body = Around(place, Properties(properties));
                Outcome outcome = Decode(KindOf(place), body);
                ASSERT_EQ(0, outcome.reason()) << KindOf(place) << " id " << one.id;
                // Fields are encoded in the order of identifiers, so company is in front.
                EXPECT_EQ(body, BodyOf(outcome.encoded)) << KindOf(place) << " id " << one.id;
            }
        }
    }
}

TEST(Property, OutOfRangeIsAProtocolError) {
    for (const Case &one : kCases) {
        for (Place place : one.places) {
            for (const Bytes &value : one.out_of_range) {
                Outcome outcome = DecodeWith(place, one.id, Encoded(one.id, value));
                int expected = one.id == MR_PROPERTY_TOPIC_ALIAS ? 0x94 : 0x82;
                EXPECT_EQ(expected, outcome.reason()) << KindOf(place) << " id " << one.id;
            }
        }
    }
}

// User properties anywhere, subscription identifiers in a PUBLISH.
TEST(Property, GivenTwiceIsAProtocolErrorUnlessItMayRepeat) {
    for (const Case &one : kCases) {
        for (Place place : one.places) {
            Bytes once = Encoded(one.id, one.good[0]);
            bool repeatable = one.id == MR_PROPERTY_USER_PROPERTY ||
                              (one.id == MR_PROPERTY_SUBSCRIPTION_IDENTIFIER && place == PUBLISH);
            Outcome outcome = DecodeWith(place, one.id, once + once);
            EXPECT_EQ(repeatable ? 0 : 0x82, outcome.reason()) << KindOf(place) << " id " << one.id;
            // Also with something between them, and with another value.
            Bytes again = Encoded(one.id, one.good.back());
            Bytes between = Encoded(0x26, String("k") + String("v"));
            outcome = DecodeWith(place, one.id, once + between + again);
            EXPECT_EQ(repeatable ? 0 : 0x82, outcome.reason()) << KindOf(place) << " id " << one.id;
        }
    }
}

TEST(Property, CutAnywhereIsMalformed) {
    for (const Case &one : kCases) {
        for (Place place : one.places) {
            Bytes whole = Encoded(one.id, one.good[0]);
            for (size_t len = 1; len < whole.size(); len++) {
                Bytes part(whole.begin(), whole.begin() + static_cast<long>(len));
                EXPECT_EQ(0x81, DecodeWith(place, one.id, part).reason())
                    << KindOf(place) << " id " << one.id << " cut to " << len;
            }
        }
    }
}

// [MQTT-1.5.4-1] [MQTT-1.5.4-2] [MQTT-1.5.7-1]
TEST(Property, WithBadUtf8IsMalformed) {
    const std::vector<Bytes> bad = {Hex("0001 00"), Hex("0001 80"),     Hex("0002 c080"),
                                    Hex("0001 ff"), Hex("0003 eda080"), Hex("0004 f4908080"),
                                    Hex("0002 c3")};
    for (unsigned id : {0x03u, 0x08u, 0x12u, 0x15u, 0x1au, 0x1cu, 0x1fu}) {
        for (Place place : Find(id)->places) {
            for (const Bytes &value : bad) {
                EXPECT_EQ(0x81, DecodeWith(place, id, Encoded(id, value)).reason());
            }
        }
    }
    for (Place place : kPlaces) {
        for (const Bytes &value : bad) {
            EXPECT_EQ(0x81, DecodeWith(place, 0x26, Encoded(0x26, value + String("v"))).reason());
            EXPECT_EQ(0x81, DecodeWith(place, 0x26, Encoded(0x26, String("n") + value)).reason());
        }
    }
}

// [MQTT-1.5.5-1]
TEST(Property, WithAVariableByteIntegerTooLongOrNotShortestIsMalformed) {
    for (const char *value : {"8000", "ff00", "808000", "80808000", "8080808000", "8080808001",
                              "ffffffff01", "ffffffff7f"}) {
        EXPECT_EQ(0x81, DecodeWith(SUBSCRIBE, 0x0b, Encoded(0x0b, Hex(value))).reason()) << value;
        EXPECT_EQ(0x81, DecodeWith(PUBLISH, 0x0b, Encoded(0x0b, Hex(value))).reason()) << value;
    }
}

// Binary data may hold anything.
TEST(Property, WithBinaryDataTakesAnyBytes) {
    Bytes value = Hex("0004 00 ff c0 80");
    EXPECT_EQ(0, DecodeWith(PUBLISH, 0x09, Encoded(0x09, value)).reason());
    EXPECT_EQ(0, DecodeWith(AUTH, 0x16, Encoded(0x16, value)).reason());
}

// [MQTT-1.5.5-1]
TEST(PropertyLength, OtherThanItsContentIsMalformed) {
    for (Place place : kPlaces) {
        Bytes properties = Company(place, 0x26) + Encoded(0x26, String("k") + String("v"));
        for (int difference : {-2, -1, 1, 2, 200, 20000}) {
            uint32_t length =
                static_cast<uint32_t>(static_cast<int>(properties.size()) + difference);
            Bytes body = Around(place, Varint(length) + properties);
            // One byte less makes a property of what follows, one byte more a part of it.
            int reason = Decode(KindOf(place), body).reason();
            EXPECT_TRUE(reason == 0x81) << KindOf(place) << " by " << difference << ": " << reason;
        }
    }
}

// [MQTT-1.5.5-1]
TEST(PropertyLength, NotInShortestFormIsMalformed) {
    for (Place place : kPlaces) {
        for (const char *length : {"8000", "808000", "80808000", "8080808000", "ffffffff7f"}) {
            EXPECT_EQ(0x81, Decode(KindOf(place), Around(place, Hex(length))).reason());
        }
    }
}

TEST(PropertyLength, MayTakeSeveralBytes) {
    for (Place place : kPlaces) {
        for (size_t size : {100u, 200u, 20000u}) {
            Bytes properties =
                Company(place, 0x26) + Encoded(0x26, String("k") + String(std::string(size, 'v')));
            Bytes body = Around(place, Properties(properties));
            Outcome outcome = Decode(KindOf(place), body);
            ASSERT_EQ(0, outcome.reason()) << KindOf(place);
            EXPECT_EQ(body, BodyOf(outcome.encoded));
        }
    }
}

// Nothing may be quadratic in them: CVE-2021-41039.
TEST(Property, MayRepeatVeryOften) {
    const Bytes one = Encoded(0x26, String("k") + String("v"));
    Bytes properties;
    for (int i = 0; i < 10000; i++) {
        properties.insert(properties.end(), one.begin(), one.end());
    }
    Bytes body = Around(PUBLISH, Properties(properties));
    Outcome outcome = Decode(KindOf(PUBLISH), body);
    ASSERT_EQ(0, outcome.reason());
    EXPECT_EQ(body, BodyOf(outcome.encoded));
}

TEST(Property, AllOfAConnackAreDecodedIntoTheirFields) {
    Bytes properties = Hex("11 00000e10 21 0014 24 01 25 00 27 00010000") + Hex("12") +
                       String("auto-1") + Hex("22 000a") + Hex("1f") + String("welcome") +
                       Hex("26") + String("k") + String("v1") + Hex("28 00 29 01 2a 00 13 003c") +
                       Hex("1a") + String("resp") + Hex("1c") + String("other") + kMethod +
                       Hex("16 0002 00ff") + Hex("26") + String("k") + String("v2");
    Exact body(Around(CONNACK, Properties(properties)));
    struct mr_connack packet;
    struct mr_decode_error error;
    ASSERT_EQ(MR_DECODE_DONE, mr_connack_decode(MR_MQTT_50, body.slice(), &packet, &error));
    const struct mr_properties &p = packet.properties;
    EXPECT_EQ(3600u, p.session_expiry_s);
    EXPECT_EQ(20u, p.receive_max);
    EXPECT_EQ(1u, p.qos_max);
    EXPECT_EQ(0u, p.retain_available);
    EXPECT_EQ(65536u, p.packet_bytes_max);
    EXPECT_EQ("auto-1", ToString(p.assigned_client_id));
    EXPECT_EQ(10u, p.topic_alias_max);
    EXPECT_EQ("welcome", ToString(p.reason_string));
    EXPECT_EQ(0u, p.wildcard_subscription_available);
    EXPECT_EQ(1u, p.subscription_id_available);
    EXPECT_EQ(0u, p.shared_subscription_available);
    EXPECT_EQ(60u, p.server_keep_alive_s);
    EXPECT_EQ("resp", ToString(p.response_information));
    EXPECT_EQ("other", ToString(p.server_reference));
    EXPECT_EQ("SCRAM-SHA-1", ToString(p.authentication_method));
    EXPECT_EQ(std::string("\0\xff", 2), ToString(p.authentication_data));
    EXPECT_EQ(properties, Text(ToString(p.raw)));
    uint64_t expected = 0;
    for (unsigned id : {0x11, 0x21, 0x24, 0x25, 0x27, 0x12, 0x22, 0x1f, 0x26, 0x28, 0x29, 0x2a,
                        0x13, 0x1a, 0x1c, 0x15, 0x16}) {
        expected |= MR_PROPERTY_BIT(id);
    }
    EXPECT_EQ(expected, p.present);
    EXPECT_TRUE(mr_properties_has(&p, MR_PROPERTY_SERVER_REFERENCE));
    EXPECT_FALSE(mr_properties_has(&p, MR_PROPERTY_WILL_DELAY_INTERVAL));
    // What is absent holds 0.
    EXPECT_EQ(0u, p.will_delay_s);
    EXPECT_EQ(0u, p.message_expiry_s);
    EXPECT_EQ(0u, p.request_problem_information);
}

TEST(PropertyWalk, MeetsEachOneInOrder) {
    Bytes raw = Hex("01 01 02 00000005 0b ff7f 26") + String("name") + String("value") +
                Hex("09 0002 00ff 23 0007 26") + String("") + String("");
    Exact exact(raw);
    struct mr_slice rest = exact.slice();
    struct mr_property one;
    ASSERT_TRUE(mr_property_next(&rest, &one));
    EXPECT_EQ(MR_PROPERTY_PAYLOAD_FORMAT_INDICATOR, one.id);
    EXPECT_EQ(1u, one.number);
    EXPECT_EQ(2u, one.raw.len);
    ASSERT_TRUE(mr_property_next(&rest, &one));
    EXPECT_EQ(MR_PROPERTY_MESSAGE_EXPIRY_INTERVAL, one.id);
    EXPECT_EQ(5u, one.number);
    ASSERT_TRUE(mr_property_next(&rest, &one));
    EXPECT_EQ(MR_PROPERTY_SUBSCRIPTION_IDENTIFIER, one.id);
    EXPECT_EQ(16383u, one.number);
    ASSERT_TRUE(mr_property_next(&rest, &one));
    EXPECT_EQ(MR_PROPERTY_USER_PROPERTY, one.id);
    EXPECT_EQ("name", ToString(one.name));
    EXPECT_EQ("value", ToString(one.value));
    EXPECT_EQ(1u + 6 + 7, one.raw.len);
    ASSERT_TRUE(mr_property_next(&rest, &one));
    EXPECT_EQ(MR_PROPERTY_CORRELATION_DATA, one.id);
    EXPECT_EQ(2u, one.value.len);
    ASSERT_TRUE(mr_property_next(&rest, &one));
    EXPECT_EQ(MR_PROPERTY_TOPIC_ALIAS, one.id);
    EXPECT_EQ(7u, one.number);
    ASSERT_TRUE(mr_property_next(&rest, &one));
    EXPECT_EQ(MR_PROPERTY_USER_PROPERTY, one.id);
    EXPECT_EQ(0u, one.name.len);
    EXPECT_EQ(0u, one.value.len);
    EXPECT_FALSE(mr_property_next(&rest, &one));
    EXPECT_EQ(0u, rest.len);
}

// `raw` should come from a decoder, but nothing terrible may follow if it doesn't.
TEST(PropertyWalk, StopsAtWhatIsNoProperty) {
    for (const char *bad : {"", "00", "ff", "02 0000", "26 0001 61", "0b 80", "0b ffffffffff"}) {
        Exact exact(Hex(bad));
        struct mr_slice rest = exact.slice();
        struct mr_property one;
        EXPECT_FALSE(mr_property_next(&rest, &one)) << bad;
    }
    struct mr_slice nothing = mr_slice_of(nullptr, 0);
    struct mr_property one;
    EXPECT_FALSE(mr_property_next(&nothing, &one));
}

// A broker adds user properties without caring for bits, and sets fields by hand.
TEST(PropertyEncoding, TakesFieldsByTheirBitsAndUserPropertiesFromRaw) {
    Bytes raw = Hex("21 0005 26") + String("k") + String("v") + Hex("11 00000001");
    struct mr_connack packet = {};
    packet.properties.raw = SliceOf(raw);
    packet.properties.present = MR_PROPERTY_BIT(MR_PROPERTY_SERVER_KEEP_ALIVE);
    packet.properties.server_keep_alive_s = 30;
    packet.properties.receive_max = 99;  // Its bit isn't set.
    uint8_t out[64];
    size_t len = mr_connack_encode(MR_MQTT_50, &packet, out, sizeof(out));
    Bytes expected = Hex("20 0d 00 00 0a 13 001e 26") + String("k") + String("v");
    EXPECT_EQ(Show(expected), Show(Bytes(out, out + len)));
}

TEST(PropertyEncoding, RefusesStringsThatAreTooLong) {
    std::string text(65536, 'x');
    struct mr_disconnect packet = {};
    packet.reason = MR_REASON_SERVER_MOVED;
    packet.properties.present = MR_PROPERTY_BIT(MR_PROPERTY_SERVER_REFERENCE);
    packet.properties.server_reference = mr_slice_str(text.c_str());
    Bytes out(100000);
    EXPECT_EQ(0u, mr_disconnect_encode(MR_MQTT_50, &packet, out.data(), out.size()));
    text.pop_back();
    packet.properties.server_reference = mr_slice_str(text.c_str());
    EXPECT_EQ(1u + 3 + 1 + 3 + 3 + 65535,
              mr_disconnect_encode(MR_MQTT_50, &packet, out.data(), out.size()));
}

TEST(PropertyEncoding, RefusesSubscriptionIdentifiersThatAreTooLarge) {
    Bytes entries = String("a") + Hex("00");
    struct mr_subscribe packet = {};
    packet.packet_id = 1;
    packet.entries = SliceOf(entries);
    packet.properties.present = MR_PROPERTY_BIT(MR_PROPERTY_SUBSCRIPTION_IDENTIFIER);
    uint8_t out[64];
    // Some of them have as many bytes as a good one, if what is too much is cut off.
    for (uint32_t id : {MR_REMAINING_LENGTH_MAX + 1, 2 * MR_REMAINING_LENGTH_MAX + 1,
                        UINT32_MAX - 1, UINT32_MAX}) {
        packet.properties.subscription_id = id;
        EXPECT_EQ(0u, mr_subscribe_encode(MR_MQTT_50, &packet, out, sizeof(out))) << id;
    }
    packet.properties.subscription_id = MR_REMAINING_LENGTH_MAX;
    EXPECT_NE(0u, mr_subscribe_encode(MR_MQTT_50, &packet, out, sizeof(out)));
}

}  // namespace
}  // namespace mr_testing
