// What holds for every packet: round trips, cuts at each byte, bytes behind the end.
#include <gtest/gtest.h>

#include <set>
#include <string>
#include <vector>

#include "codec/codec.h"
#include "codec/testing.hh"

namespace mr_testing {
namespace {

struct Sample {
    std::string name;
    Kind kind;
    Bytes body;                   // Encoded as our encoders do it.
    std::set<size_t> valid_cuts;  // Lengths at which a shorter body is a packet as well.
};

std::set<size_t> Range(size_t first, size_t end) {
    std::set<size_t> cuts;
    for (size_t i = first; i < end; i++) {
        cuts.insert(i);
    }
    return cuts;
}

const Bytes kUser = Hex("26") + String("key") + String("value");
const Bytes kReason = Hex("1f") + String("because") + kUser;

void AddConnects(std::vector<Sample> *samples) {
    for (mr_version version : {MR_MQTT_31, MR_MQTT_311, MR_MQTT_50}) {
        Kind kind = {version, MR_CONNECT};
        bool is_50 = version == MR_MQTT_50;
        Bytes name = String(version == MR_MQTT_31 ? "MQIsdp" : "MQTT");
        Bytes level = {static_cast<uint8_t>(version)};
        Bytes none = is_50 ? Hex("00") : Bytes();
        Bytes connect;
        // Identifiers ascend, as our encoder writes them.
        if (is_50) {
            connect = Properties(Hex("11 0000000a 15") + String("SCRAM") + Hex("16 0001 00 17 01") +
                                 Hex("19 00 21 0014 22 000a 27 00010000") + kUser + kUser);
        }
        Bytes will = is_50 ? Properties(Hex("01 01 02 0000000a 03") + String("text/plain") +
                                        Hex("08") + String("reply/to") + Hex("09 0002 00ff") +
                                        Hex("18 00000005") + kUser)
                           : Bytes();
        samples->push_back({"least", kind, name + level + Hex("00 0000") + none + String(""), {}});
        samples->push_back({"everything",
                            kind,
                            name + level + Hex("f6 003c") + connect + String("client") + will +
                                String("will/topic") + Hex("0003 00ff80") + String("user") +
                                Hex("0002 00ff"),
                            {}});
        samples->push_back({"will of QoS 1",
                            kind,
                            name + level + Hex("0c 003c") + none + String("client") + none +
                                String("will/topic") + String(""),
                            {}});
        samples->push_back(
            {"user name alone",
             kind,
             name + level + Hex("82 ffff") + none + String("client") + String("user"),
             {}});
    }
    Bytes bridge = String("MQTT") + Hex("84 02 0000") + String("bridge");
    samples->push_back({"bridge", {MR_MQTT_311, MR_CONNECT}, bridge, {}});
    bridge = String("MQIsdp") + Hex("83 02 0000") + String("bridge");
    samples->push_back({"bridge", {MR_MQTT_31, MR_CONNECT}, bridge, {}});
    Bytes token = String("MQTT") + Hex("05 42 0000 00") + String("c") + String("token");
    samples->push_back({"password without user name", {MR_MQTT_50, MR_CONNECT}, token, {}});
}

void AddPublishes(std::vector<Sample> *samples) {
    for (mr_version version : {MR_MQTT_31, MR_MQTT_311, MR_MQTT_50}) {
        Bytes none = version == MR_MQTT_50 ? Hex("00") : Bytes();
        for (unsigned flags : {0u, 1u, 2u, 3u, 4u, 5u, 10u, 11u, 12u, 13u}) {
            Bytes head = String("a/b") + (flags & 6 ? Hex("000a") : Bytes()) + none;
            Bytes body = head + Text("hello");
            samples->push_back({"flags " + std::to_string(flags),
                                {version, MR_PUBLISH, true, static_cast<uint8_t>(flags)},
                                body,
                                Range(head.size(), body.size())});
        }
    }
    Kind kind = {MR_MQTT_50, MR_PUBLISH, true, 2};
    Bytes properties =
        Properties(Hex("23 0003 02 0000000a 0b 01 0b ffff7f 01 01 03") + String("text/plain") +
                   Hex("08") + String("reply") + Hex("09 0001 00") + kUser + kUser);
    Bytes head = String("a/b") + Hex("000a") + properties;
    Bytes body = head + Text("hello");
    samples->push_back({"all properties", kind, body, Range(head.size(), body.size())});
    head = String("") + Hex("000a") + Properties(Hex("23 ffff"));
    samples->push_back({"alias alone", kind, head, {}});
}

void AddAcks(std::vector<Sample> *samples) {
    for (mr_packet_type type : {MR_PUBACK, MR_PUBREC, MR_PUBREL, MR_PUBCOMP}) {
        for (mr_version version : {MR_MQTT_31, MR_MQTT_311, MR_MQTT_50}) {
            samples->push_back({"success", {version, type}, Hex("ffff"), {}});
        }
        Kind kind = {MR_MQTT_50, type};
        Bytes failure = Hex(type == MR_PUBACK || type == MR_PUBREC ? "0001 97" : "0001 92");
        samples->push_back({"failure", kind, failure, {2}});
        samples->push_back({"with reason", kind, failure + Properties(kReason), {2, 3}});
        Bytes success = Hex("0001 00") + Properties(kUser);
        samples->push_back({"success with properties", kind, success, {2, 3}});
    }
}

void AddSubscriptions(std::vector<Sample> *samples) {
    for (mr_version version : {MR_MQTT_31, MR_MQTT_311, MR_MQTT_50}) {
        bool is_50 = version == MR_MQTT_50;
        Bytes head = Hex("000a") + (is_50 ? Hex("00") : Bytes());
        // The examples of figures 3-21 and 3-30.
        Bytes first = head + String("a/b") + Hex("01");
        samples->push_back({"two filters",
                            {version, MR_SUBSCRIBE},
                            first + String("c/d") + Hex("02"),
                            {first.size()}});
        first = head + String("a/b");
        samples->push_back(
            {"two filters", {version, MR_UNSUBSCRIBE}, first + String("c/d"), {first.size()}});
        Bytes codes = is_50 ? Hex("00 01 02 87") : Hex("00 01 02 80");
        samples->push_back({"four codes",
                            {version, MR_SUBACK},
                            head + codes,
                            Range(head.size() + 1, head.size() + 4)});
        codes = is_50 ? Hex("00 11 87") : Bytes();
        samples->push_back({"codes",
                            {version, MR_UNSUBACK},
                            head + codes,
                            is_50 ? Range(head.size() + 1, head.size() + 3) : std::set<size_t>()});
    }
    Bytes entry = String("$share/group/a/+/#") + Hex("2e");
    samples->push_back({"properties and options",
                        {MR_MQTT_50, MR_SUBSCRIBE},
                        Hex("0001") + Properties(Hex("0b ffffff7f") + kUser) + entry,
                        {}});
    samples->push_back({"properties",
                        {MR_MQTT_50, MR_UNSUBSCRIBE},
                        Hex("0001") + Properties(kUser) + String("+"),
                        {}});
    for (mr_packet_type type : {MR_SUBACK, MR_UNSUBACK}) {
        samples->push_back(
            {"properties", {MR_MQTT_50, type}, Hex("0001") + Properties(kReason) + Hex("00"), {}});
    }
}

void AddOthers(std::vector<Sample> *samples) {
    for (mr_version version : {MR_MQTT_31, MR_MQTT_311, MR_MQTT_50}) {
        Bytes none = version == MR_MQTT_50 ? Hex("00") : Bytes();
        samples->push_back({"new session", {version, MR_CONNACK}, Hex("00 00") + none, {}});
        samples->push_back({"session present", {version, MR_CONNACK}, Hex("01 00") + none, {}});
        Bytes refusal = version == MR_MQTT_50 ? Hex("00 86") : Hex("00 04");
        samples->push_back({"refusal", {version, MR_CONNACK}, refusal + none, {}});
        samples->push_back({"ping", {version, MR_PINGREQ}, {}, {}});
        samples->push_back({"ping", {version, MR_PINGRESP}, {}, {}});
        samples->push_back({"normal", {version, MR_DISCONNECT}, {}, {}});
        samples->push_back({"normal", {version, MR_DISCONNECT, false}, {}, {}});
    }
    Kind from_client = {MR_MQTT_50, MR_DISCONNECT};
    Kind from_server = {MR_MQTT_50, MR_DISCONNECT, false};
    samples->push_back({"with will", from_client, Hex("04"), {0}});
    samples->push_back({"taken over", from_server, Hex("8e"), {0}});
    samples->push_back(
        {"expiry", from_client, Hex("00") + Properties(Hex("11 00000000") + kReason), {0, 1}});
    samples->push_back({"moved",
                        from_server,
                        Hex("9d") + Properties(Hex("1c") + String("other:1883") + kReason),
                        {0, 1}});
    Kind auth = {MR_MQTT_50, MR_AUTH};
    Bytes method = Hex("15") + String("SCRAM-SHA-1");
    samples->push_back({"success", auth, {}, {}});
    samples->push_back(
        {"challenge", auth, Hex("18") + Properties(method + Hex("16 0003 00ff01") + kReason), {0}});
    samples->push_back({"again", auth, Hex("19") + Properties(method), {0}});
}

std::vector<Sample> AllSamples() {
    std::vector<Sample> samples;
    AddConnects(&samples);
    AddPublishes(&samples);
    AddAcks(&samples);
    AddSubscriptions(&samples);
    AddOthers(&samples);
    return samples;
}

TEST(Packet, SurvivesARoundTrip) {
    std::set<int> types;
    for (const Sample &sample : AllSamples()) {
        Outcome outcome = Decode(sample.kind, sample.body);
        ASSERT_EQ(MR_DECODE_DONE, outcome.status)
            << sample.kind << ", " << sample.name << ": " << outcome.error.what;
        EXPECT_EQ(Show(sample.body), Show(BodyOf(outcome.encoded)))
            << sample.kind << ", " << sample.name;
        EXPECT_EQ(sample.kind.type, outcome.encoded[0] >> 4);
        types.insert(sample.kind.type);
    }
    EXPECT_EQ(15u, types.size());
}

// Its fixed header is one that the frame decoder accepts.
TEST(Packet, IsEncodedWithTheRightFlags) {
    for (const Sample &sample : AllSamples()) {
        Outcome outcome = Decode(sample.kind, sample.body);
        int version = sample.kind.type == MR_CONNECT ? 0 : sample.kind.version;
        struct mr_frame frame;
        struct mr_decode_error error;
        ASSERT_EQ(MR_DECODE_DONE,
                  mr_frame_decode(SliceOf(outcome.encoded), version, UINT32_MAX, &frame, &error));
        if (sample.kind.type == MR_PUBLISH) {
            EXPECT_EQ(sample.kind.publish_flags, frame.flags);
        }
        EXPECT_EQ(outcome.encoded.size(), frame.header_len + size_t{frame.body_len});
    }
}

// All lengths that aren't a packet of their own are malformed, but for the lists that
// may not be empty and for an AUTH without a method.
TEST(Packet, CutAtAnyByteIsRefused) {
    for (const Sample &sample : AllSamples()) {
        for (size_t len = 0; len < sample.body.size(); len++) {
            Bytes part(sample.body.begin(), sample.body.begin() + static_cast<long>(len));
            Outcome outcome = Decode(sample.kind, part);
            if (sample.valid_cuts.count(len)) {
                EXPECT_EQ(MR_DECODE_DONE, outcome.status)
                    << sample.kind << ", " << sample.name << ", cut to " << len;
                continue;
            }
            EXPECT_EQ(MR_DECODE_BAD, outcome.status)
                << sample.kind << ", " << sample.name << ", cut to " << len;
            EXPECT_TRUE(outcome.reason() == 0x81 || outcome.reason() == 0x82) << outcome.reason();
        }
    }
}

// 0xff is no reason code and no length that is there.
TEST(Packet, WithAByteBehindItsEndIsMalformed) {
    for (const Sample &sample : AllSamples()) {
        if (sample.kind.type == MR_PUBLISH) {
            continue;  // There it is payload.
        }
        EXPECT_EQ(0x81, Decode(sample.kind, sample.body + Hex("ff")).reason())
            << sample.kind << ", " << sample.name;
    }
}

// Nothing is read out of bounds, and what is accepted survives another round trip.
void ExpectRefusedOrConsistent(const Sample &sample, const Bytes &changed) {
    Outcome outcome = Decode(sample.kind, changed);
    if (outcome.status != MR_DECODE_DONE) {
        return;
    }
    Outcome again = Decode(sample.kind, BodyOf(outcome.encoded));
    ASSERT_EQ(MR_DECODE_DONE, again.status) << sample.kind << ", " << sample.name;
    EXPECT_EQ(Show(outcome.encoded), Show(again.encoded));
}

TEST(Packet, WithAnyByteChangedIsRefusedOrConsistent) {
    for (const Sample &sample : AllSamples()) {
        for (size_t at = 0; at < sample.body.size(); at++) {
            for (unsigned flip : {0x01u, 0x02u, 0x04u, 0x08u, 0x10u, 0x20u, 0x40u, 0x80u, 0xffu}) {
                Bytes changed = sample.body;
                changed[at] = static_cast<uint8_t>(changed[at] ^ flip);
                ExpectRefusedOrConsistent(sample, changed);
            }
            for (uint8_t value : {0x00, 0x7f, 0x80, 0xff}) {
                Bytes changed = sample.body;
                changed[at] = value;
                ExpectRefusedOrConsistent(sample, changed);
            }
        }
    }
}

// Each length in two bytes is among them, and with a cut behind it the end of the packet, too.
TEST(Packet, WithAnyTwoBytesOneMoreOrLessIsRefusedOrConsistent) {
    for (const Sample &sample : AllSamples()) {
        for (size_t at = 0; at + 1 < sample.body.size(); at++) {
            unsigned value = sample.body[at] * 256u + sample.body[at + 1];
            for (unsigned other : {value - 1, value + 1}) {
                Bytes changed = sample.body;
                changed[at] = static_cast<uint8_t>(other >> 8);
                changed[at + 1] = static_cast<uint8_t>(other);
                ExpectRefusedOrConsistent(sample, changed);
                changed.pop_back();
                ExpectRefusedOrConsistent(sample, changed);
                ExpectRefusedOrConsistent(sample, changed + Hex("00 00"));
            }
        }
    }
}

// For the log: where in the body the fault is.
TEST(Packet, IsRefusedWithTheOffsetOfTheFault) {
    const struct {
        Kind kind;
        Bytes body;
        uint32_t offset;
    } cases[] = {
        {{MR_MQTT_311, MR_CONNECT}, String("MQTT") + Hex("07 02 0000 0000"), 6},
        {{MR_MQTT_311, MR_CONNECT}, String("MQTT") + Hex("04 03 0000 0000"), 7},
        {{MR_MQTT_311, MR_CONNECT}, String("MQTT") + Hex("04 02 0000 0001 ff"), 12},
        {{MR_MQTT_311, MR_CONNECT}, String("MQTT") + Hex("04 02 0000 0001 61 62"), 13},
        {{MR_MQTT_311, MR_CONNACK}, Hex("00 06"), 1},
        {{MR_MQTT_50, MR_CONNACK}, Hex("00 00 03 21 0000"), 3},
        {{MR_MQTT_50, MR_PUBLISH}, Hex("0001 2b 00"), 2},
        {{MR_MQTT_50, MR_PUBLISH}, Hex("0001 61 04 01 00 01 01"), 6},
        {{MR_MQTT_50, MR_PUBLISH}, Hex("0001 61 02 ff 00"), 4},
        {{MR_MQTT_50, MR_PUBLISH}, Hex("0001 61 05 01 00"), 3},
        {{MR_MQTT_50, MR_PUBLISH}, Hex("0001 61 8000"), 3},
        {{MR_MQTT_50, MR_PUBACK}, Hex("0001 04"), 2},
        {{MR_MQTT_311, MR_PUBACK}, Hex("0001 00"), 2},
        {{MR_MQTT_311, MR_SUBSCRIBE}, Hex("0001 0001 61 03"), 5},
        {{MR_MQTT_50, MR_SUBSCRIBE}, Hex("0001 00 0001 61 40"), 6},
        {{MR_MQTT_50, MR_SUBSCRIBE}, Hex("0001 00 0001 61 00 0000 00"), 9},
        {{MR_MQTT_311, MR_UNSUBSCRIBE}, Hex("0001 0001 61 0000"), 7},
        {{MR_MQTT_50, MR_SUBACK}, Hex("0001 00 00 01 03"), 5},
        {{MR_MQTT_311, MR_SUBACK}, Hex("0001 00 01 03"), 4},
        {{MR_MQTT_50, MR_DISCONNECT}, Hex("00 07 11 00000000 26"), 1},
        {{MR_MQTT_50, MR_DISCONNECT}, Hex("00 05 11 00000000 26"), 7},
    };
    for (const auto &one : cases) {
        Outcome outcome = Decode(one.kind, one.body);
        ASSERT_EQ(MR_DECODE_BAD, outcome.status) << one.kind << ' ' << Show(one.body);
        EXPECT_EQ(one.offset, outcome.error.offset)
            << one.kind << ' ' << Show(one.body) << outcome.error.what;
    }
}

// Section 1.5.5: a packet may be no longer, however much room there is.
TEST(Packet, IsNotEncodedAboveTheLimitOfTheProtocol) {
    uint8_t out[1];
    struct mr_subscribe subscribe = {};
    subscribe.entries = mr_slice_of(out, MR_REMAINING_LENGTH_MAX - size_t{1});
    EXPECT_EQ(0u, mr_subscribe_encode(MR_MQTT_311, &subscribe, out, SIZE_MAX));
    subscribe.entries.len = SIZE_MAX;
    EXPECT_EQ(0u, mr_subscribe_encode(MR_MQTT_50, &subscribe, out, SIZE_MAX));
    struct mr_unsubscribe unsubscribe = {};
    unsubscribe.entries = mr_slice_of(out, MR_REMAINING_LENGTH_MAX - size_t{1});
    EXPECT_EQ(0u, mr_unsubscribe_encode(MR_MQTT_311, &unsubscribe, out, SIZE_MAX));
    struct mr_suback suback = {};
    suback.codes = mr_slice_of(out, MR_REMAINING_LENGTH_MAX - size_t{1});
    EXPECT_EQ(0u, mr_suback_encode(MR_MQTT_311, MR_SUBACK, &suback, out, SIZE_MAX));
}

// Properties may come in any order, and go out in ours.
TEST(Packet, WithPropertiesInAnyOrderIsTheSame) {
    Bytes ordered = Hex("00") + Properties(Hex("11 00000000 1c") + String("s") + kReason);
    Bytes other = Hex("00") + Properties(kUser + Hex("1f") + String("because") + Hex("1c") +
                                         String("s") + Hex("11 00000000"));
    Kind kind = {MR_MQTT_50, MR_DISCONNECT};
    EXPECT_EQ(Show(Decode(kind, ordered).encoded), Show(Decode(kind, other).encoded));
}

}  // namespace
}  // namespace mr_testing
