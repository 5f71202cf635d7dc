// Packets: bytes to structs and back, each type at each level of the protocol, a stream of
// small PUBLISH packets and large payloads.
//
//   bazel run //bench:codec_bench -- --benchmark_filter=PUBLISH
#include <cstring>
#include <string>
#include <type_traits>
#include <vector>

#include "bench/micro/micro.hh"
#include "codec/codec.h"

namespace {

using micro::Check;
using micro::Loop;
using micro::Slice;
using Bytes = std::vector<uint8_t>;

// One name for what the codec has a function for by each type. Acknowledgements of different
// types are one struct there, and several here.
template <enum mr_packet_type type>
struct Ack : mr_ack {};
template <enum mr_packet_type type>
struct Suback : mr_suback {};
struct Ping {
    uint8_t type;
};

// What a decoder gets.
struct Input {
    enum mr_version version;
    struct mr_frame frame;
    struct mr_slice body;
};

using Error = struct mr_decode_error;

enum mr_decode_status DecodeBody(const Input &in, struct mr_connect *out, Error *error) {
    return mr_connect_decode(in.body, out, error);
}
size_t EncodePacket(enum mr_version, const struct mr_connect &packet, uint8_t *out, size_t max) {
    return mr_connect_encode(&packet, out, max);
}

enum mr_decode_status DecodeBody(const Input &in, struct mr_connack *out, Error *error) {
    return mr_connack_decode(in.version, in.body, out, error);
}
size_t EncodePacket(enum mr_version version, const struct mr_connack &packet, uint8_t *out,
                    size_t max) {
    return mr_connack_encode(version, &packet, out, max);
}

enum mr_decode_status DecodeBody(const Input &in, struct mr_publish *out, Error *error) {
    return mr_publish_decode(in.version, in.frame.flags, in.body, out, error);
}
// How a broker re-encodes: what has an argument or a field of its own isn't in `raw`.
size_t EncodePacket(enum mr_version version, const struct mr_publish &packet, uint8_t *out,
                    size_t max) {
    if (packet.properties_raw.len == 0) {
        return mr_publish_encode(version, &packet, nullptr, 0, out, max);
    }
    uint8_t raw[256];
    struct mr_publish forwarded = packet;
    size_t len = mr_publish_forwardable_properties(packet.properties_raw, raw);
    forwarded.properties_raw = mr_slice_of(raw, len);
    return mr_publish_encode(version, &forwarded, nullptr, 0, out, max);
}

template <enum mr_packet_type type>
enum mr_decode_status DecodeBody(const Input &in, Ack<type> *out, Error *error) {
    return mr_ack_decode(in.version, type, in.body, out, error);
}
template <enum mr_packet_type type>
size_t EncodePacket(enum mr_version version, const Ack<type> &packet, uint8_t *out, size_t max) {
    return mr_ack_encode(version, type, &packet, out, max);
}

// With its entries, each of which has QoS 1.
enum mr_decode_status DecodeBody(const Input &in, struct mr_subscribe *out, Error *error) {
    enum mr_decode_status status = mr_subscribe_decode(in.version, in.body, out, error);
    struct mr_slice rest = out->entries;
    struct mr_slice filter;
    struct mr_subscription_options options;
    uint32_t count = 0;
    while (status == MR_DECODE_DONE && mr_subscribe_next(&rest, &filter, &options)) {
        count += options.qos;
    }
    return count == out->entry_count ? status : MR_DECODE_BAD;
}
size_t EncodePacket(enum mr_version version, const struct mr_subscribe &packet, uint8_t *out,
                    size_t max) {
    return mr_subscribe_encode(version, &packet, out, max);
}

enum mr_decode_status DecodeBody(const Input &in, struct mr_unsubscribe *out, Error *error) {
    return mr_unsubscribe_decode(in.version, in.body, out, error);
}
size_t EncodePacket(enum mr_version version, const struct mr_unsubscribe &packet, uint8_t *out,
                    size_t max) {
    return mr_unsubscribe_encode(version, &packet, out, max);
}

template <enum mr_packet_type type>
enum mr_decode_status DecodeBody(const Input &in, Suback<type> *out, Error *error) {
    return mr_suback_decode(in.version, type, in.body, out, error);
}
template <enum mr_packet_type type>
size_t EncodePacket(enum mr_version version, const Suback<type> &packet, uint8_t *out, size_t max) {
    return mr_suback_encode(version, type, &packet, out, max);
}

enum mr_decode_status DecodeBody(const Input &in, Ping *out, Error *error) {
    out->type = in.frame.type;
    return mr_ping_decode(in.body, error);
}
size_t EncodePacket(enum mr_version, const Ping &packet, uint8_t *out, size_t max) {
    return mr_ping_encode(static_cast<enum mr_packet_type>(packet.type), out, max);
}

enum mr_decode_status DecodeBody(const Input &in, struct mr_disconnect *out, Error *error) {
    return mr_disconnect_decode(in.version, in.body, true, out, error);
}
size_t EncodePacket(enum mr_version version, const struct mr_disconnect &packet, uint8_t *out,
                    size_t max) {
    return mr_disconnect_encode(version, &packet, out, max);
}

enum mr_decode_status DecodeBody(const Input &in, struct mr_auth *out, Error *error) {
    return mr_auth_decode(in.body, out, error);
}
size_t EncodePacket(enum mr_version, const struct mr_auth &packet, uint8_t *out, size_t max) {
    return mr_auth_encode(&packet, out, max);
}

// ------------------------------------------------------------------ the benchmarks

template <class P>
Bytes Encoded(enum mr_version version, const P &packet) {
    Bytes bytes(1 << 21);
    bytes.resize(EncodePacket(version, packet, bytes.data(), bytes.size()));
    Check(!bytes.empty(), "encode");
    return bytes;
}

template <class P>
bool DecodeOne(enum mr_version version, struct mr_slice bytes, P *out) {
    // A connection takes a CONNECT only, until it has seen one.
    constexpr bool is_first = std::is_same_v<P, struct mr_connect>;
    Input in = {version, {}, {}};
    Error error;
    if (mr_frame_decode(bytes, is_first ? 0 : version, MR_REMAINING_LENGTH_MAX, &in.frame,
                        &error) != MR_DECODE_DONE) {
        return false;
    }
    in.body = mr_slice_of(bytes.data + in.frame.header_len, in.frame.body_len);
    return DecodeBody(in, out, &error) == MR_DECODE_DONE;
}

template <class P>
void Decode(benchmark::State &state, enum mr_version version, const P &sample) {
    Bytes bytes = Encoded(version, sample);
    struct mr_slice slice = mr_slice_of(bytes.data(), bytes.size());
    P packet;
    memset(static_cast<void *>(&packet), 0, sizeof(packet));
    int64_t done = 0;
    Loop loop(state);
    for (auto _ : loop) {
        done += DecodeOne(version, slice, &packet);
        benchmark::ClobberMemory();
    }
    loop.Bytes(static_cast<int64_t>(bytes.size()));
    loop.Expect(done == loop.Count(), "decoded");
    loop.Expect(Encoded(version, packet) == bytes, "decoded to the same packet");
}

template <class P>
void Encode(benchmark::State &state, enum mr_version version, const P &packet) {
    Bytes bytes = Encoded(version, packet);
    Bytes out(bytes.size() + 16);
    size_t sum = 0;
    Loop loop(state);
    for (auto _ : loop) {
        sum += EncodePacket(version, packet, out.data(), out.size());
        benchmark::ClobberMemory();
    }
    loop.Bytes(static_cast<int64_t>(bytes.size()));
    loop.Expect(sum == static_cast<size_t>(loop.Count()) * bytes.size(), "length");
    loop.Expect(memcmp(out.data(), bytes.data(), bytes.size()) == 0, "encoded the same bytes");
    P again;
    loop.Expect(DecodeOne(version, mr_slice_of(out.data(), bytes.size()), &again), "decodable");
}

template <class P>
void Register(const char *name, enum mr_version version, const P &packet) {
    std::string suffix = std::string(name) + "/v" + std::to_string(version);
    benchmark::RegisterBenchmark(("Decode/" + suffix).c_str(), Decode<P>, version, packet);
    benchmark::RegisterBenchmark(("Encode/" + suffix).c_str(), Encode<P>, version, packet);
}

template <class P>
P Zero() {
    P packet;
    memset(static_cast<void *>(&packet), 0, sizeof(packet));
    return packet;
}

const enum mr_version kVersions[] = {MR_MQTT_311, MR_MQTT_50};

// ----------------------------------------------------------------- properties

void SetNumber(struct mr_properties *properties, enum mr_property_id id) {
    properties->present |= MR_PROPERTY_BIT(id);
}

const uint8_t kUserProperties[] = {
    MR_PROPERTY_USER_PROPERTY, 0, 4, 'n', 'a', 'm', 'e', 0, 5, 'v', 'a', 'l', 'u', 'e',
    MR_PROPERTY_USER_PROPERTY, 0, 4, 's', 'i', 't', 'e', 0, 4, 'r', 'o', 'o', 'f',
};

struct mr_properties UserProperties() {
    auto properties = Zero<struct mr_properties>();
    properties.raw = mr_slice_of(kUserProperties, sizeof(kUserProperties));
    return properties;
}

// ----------------------------------------------------------- connect, disconnect

void RegisterConnect() {
    for (enum mr_version version : kVersions) {
        auto packet = Zero<struct mr_connect>();
        packet.version = version;
        packet.clean_start = true;
        packet.keep_alive_s = 60;
        packet.client_id = mr_slice_str("sensor-0123456789");
        Register("CONNECT_least", version, packet);
        packet.has_user_name = packet.has_password = packet.has_will = true;
        packet.user_name = mr_slice_str("device");
        packet.password = mr_slice_str("correct horse battery");
        packet.will.topic = mr_slice_str("building/12/sensor/7/status");
        packet.will.payload = mr_slice_str("offline");
        packet.will.qos = 1;
        if (version == MR_MQTT_50) {
            packet.properties = UserProperties();
            SetNumber(&packet.properties, MR_PROPERTY_SESSION_EXPIRY_INTERVAL);
            packet.properties.session_expiry_s = 3600;
            SetNumber(&packet.properties, MR_PROPERTY_RECEIVE_MAXIMUM);
            packet.properties.receive_max = 100;
            SetNumber(&packet.will.properties, MR_PROPERTY_WILL_DELAY_INTERVAL);
            packet.will.properties.will_delay_s = 30;
        }
        Register("CONNECT_full", version, packet);
    }
}

void RegisterConnack() {
    for (enum mr_version version : kVersions) {
        auto packet = Zero<struct mr_connack>();
        packet.session_present = true;
        Register("CONNACK_least", version, packet);
    }
    auto packet = Zero<struct mr_connack>();
    SetNumber(&packet.properties, MR_PROPERTY_TOPIC_ALIAS_MAXIMUM);
    packet.properties.topic_alias_max = 10;
    SetNumber(&packet.properties, MR_PROPERTY_MAXIMUM_PACKET_SIZE);
    packet.properties.packet_bytes_max = 1 << 20;
    SetNumber(&packet.properties, MR_PROPERTY_ASSIGNED_CLIENT_IDENTIFIER);
    packet.properties.assigned_client_id = mr_slice_str("auto-0123456789abcdef");
    Register("CONNACK_full", MR_MQTT_50, packet);
}

void RegisterDisconnect() {
    for (enum mr_version version : kVersions) {
        auto packet = Zero<struct mr_disconnect>();
        Register("DISCONNECT", version, packet);
    }
}

void RegisterAuth() {
    auto packet = Zero<struct mr_auth>();
    packet.reason = MR_REASON_CONTINUE_AUTHENTICATION;
    SetNumber(&packet.properties, MR_PROPERTY_AUTHENTICATION_METHOD);
    packet.properties.authentication_method = mr_slice_str("SCRAM-SHA-256");
    SetNumber(&packet.properties, MR_PROPERTY_AUTHENTICATION_DATA);
    packet.properties.authentication_data = mr_slice_str("n,,n=user,r=fyko+d2lbbFgONRv9qkxdawL");
    Register("AUTH", MR_MQTT_50, packet);
}

void RegisterPing() {
    Register("PINGREQ", MR_MQTT_311, Ping{MR_PINGREQ});
    Register("PINGRESP", MR_MQTT_311, Ping{MR_PINGRESP});
}

// -------------------------------------------------------------------- subscribe

const struct mr_subscription_options kOptions = {1, false, false, 0};

void RegisterSubscribe() {
    for (enum mr_version version : kVersions) {
        for (uint32_t count : {1u, 8u}) {
            static Bytes all_entries[16];  // Lives as long as the packets that refer to it.
            Bytes &entries = all_entries[version * 2 + (count > 1)];
            for (uint32_t i = 0; i < count; i++) {
                uint8_t entry[64];
                std::string filter = "building/12/sensor/" + std::to_string(i) + "/+";
                size_t len = mr_subscribe_encode_entry(version, Slice(filter), &kOptions, entry,
                                                       sizeof(entry));
                entries.insert(entries.end(), entry, entry + len);
            }
            auto packet = Zero<struct mr_subscribe>();
            packet.packet_id = 7;
            packet.entries = mr_slice_of(entries.data(), entries.size());
            packet.entry_count = count;
            Register(count == 1 ? "SUBSCRIBE_1" : "SUBSCRIBE_8", version, packet);
        }
    }
}

void RegisterUnsubscribe() {
    static uint8_t entry[64];
    size_t len =
        mr_unsubscribe_encode_entry(mr_slice_str("building/12/sensor/7/+"), entry, sizeof(entry));
    for (enum mr_version version : kVersions) {
        auto packet = Zero<struct mr_unsubscribe>();
        packet.packet_id = 7;
        packet.entries = mr_slice_of(entry, len);
        packet.entry_count = 1;
        Register("UNSUBSCRIBE", version, packet);
    }
}

template <enum mr_packet_type type>
void RegisterSuback(const char *name) {
    static const uint8_t codes[] = {0};
    for (enum mr_version version : kVersions) {
        auto packet = Zero<Suback<type>>();
        packet.packet_id = 7;
        if (type == MR_SUBACK || version == MR_MQTT_50) {
            packet.codes = mr_slice_of(codes, sizeof(codes));
        }
        Register(name, version, packet);
    }
}

// ------------------------------------------------------------- acknowledgements

template <enum mr_packet_type type>
void RegisterAck(const char *name, enum mr_reason reason, bool before_50) {
    for (enum mr_version version : kVersions) {
        auto packet = Zero<Ack<type>>();
        packet.packet_id = 7;
        packet.reason = reason;
        if (before_50 || version == MR_MQTT_50) {
            Register(name, version, packet);
        }
    }
}

// ---------------------------------------------------------------------- publish

struct mr_publish Publish(const char *topic, struct mr_slice payload, uint8_t qos) {
    auto packet = Zero<struct mr_publish>();
    packet.topic = mr_slice_str(topic);
    packet.payload = payload;
    packet.qos = qos;
    packet.packet_id = qos == 0 ? 0 : 7;
    return packet;
}

const char kTopic[] = "building/12/sensor/7";

void RegisterPublish() {
    struct mr_slice small = mr_slice_str("0123456789abcdef");
    static const Bytes large_bytes(1 << 20, 'x');
    struct mr_slice large = mr_slice_of(large_bytes.data(), large_bytes.size());
    for (enum mr_version version : kVersions) {
        Register("PUBLISH_qos0", version, Publish(kTopic, small, 0));
        Register("PUBLISH_qos1", version, Publish(kTopic, small, 1));
        Register("PUBLISH_qos2", version, Publish(kTopic, small, 2));
        Register("PUBLISH_short_topic", version, Publish("t", small, 0));
        Register(
            "PUBLISH_long_topic", version,
            Publish(
                "region/north/site/0012/building/12/floor/03/room/0317/sensor/temperature/value",
                small, 0));
        Register("PUBLISH_umlauts", version,
                 Publish("geb\xc3\xa4ude/12/f\xc3\xbchler/7", small, 0));
        Register("PUBLISH_1MiB", version, Publish(kTopic, large, 0));
    }
    struct mr_publish packet = Publish(kTopic, small, 0);
    packet.topic_alias = 3;
    Register("PUBLISH_alias_set", MR_MQTT_50, packet);
    packet.topic = mr_slice_of(nullptr, 0);
    Register("PUBLISH_alias", MR_MQTT_50, packet);
    packet.qos = 1;
    packet.packet_id = 7;
    Register("PUBLISH_alias_qos1", MR_MQTT_50, packet);
    packet = Publish(kTopic, small, 0);
    packet.message_expiry_s = 60;
    packet.properties_present = MR_PROPERTY_BIT(MR_PROPERTY_MESSAGE_EXPIRY_INTERVAL);
    Register("PUBLISH_expiry", MR_MQTT_50, packet);
    packet.properties_raw = mr_slice_of(kUserProperties, sizeof(kUserProperties));
    Register("PUBLISH_properties", MR_MQTT_50, packet);
}

// A receive buffer full of small packets, as one publisher's burst leaves it.
void DecodeStream(benchmark::State &state, enum mr_version version) {
    Bytes stream;
    int64_t packets = 0;
    uint64_t payload_bytes = 0;
    while (stream.size() < 65000) {
        std::string topic = "building/12/sensor/" + std::to_string(packets % 100);
        uint8_t bytes[128];
        struct mr_publish packet =
            Publish(topic.c_str(), mr_slice_of("0123456789abcdef", packets % 16), packets % 3);
        size_t len = EncodePacket(version, packet, bytes, sizeof(bytes));
        stream.insert(stream.end(), bytes, bytes + len);
        payload_bytes += packet.payload.len;
        packets++;
    }
    uint64_t seen = 0;
    int64_t done = 0;
    Loop loop(state, packets);
    for (auto _ : loop) {
        struct mr_slice rest = mr_slice_of(stream.data(), stream.size());
        struct mr_frame frame;
        struct mr_decode_error error;
        struct mr_publish packet;
        while (mr_frame_decode(rest, version, 1 << 20, &frame, &error) == MR_DECODE_DONE) {
            struct mr_slice body = mr_slice_of(rest.data + frame.header_len, frame.body_len);
            done +=
                mr_publish_decode(version, frame.flags, body, &packet, &error) == MR_DECODE_DONE;
            seen += packet.payload.len;
            rest = mr_slice_of(body.data + body.len, rest.len - frame.header_len - body.len);
        }
    }
    loop.Bytes(static_cast<int64_t>(stream.size()) / packets);
    loop.Expect(done == loop.Operations(), "all packets");
    loop.Expect(seen == payload_bytes * static_cast<uint64_t>(loop.Count()), "all payloads");
}

// What a broker writes in front of a payload that it doesn't touch.
void EncodeHead(benchmark::State &state, enum mr_version version, uint8_t qos) {
    struct mr_publish packet = Publish(kTopic, mr_slice_str("0123456789abcdef"), qos);
    const uint32_t ids[] = {1, 300};
    size_t id_count = version == MR_MQTT_50 && qos == 2 ? 2 : 0;
    uint8_t out[128];
    size_t sum = 0;
    Loop loop(state);
    for (auto _ : loop) {
        sum += mr_publish_encode_head(version, &packet, ids, id_count, out, sizeof(out));
        benchmark::ClobberMemory();
    }
    uint8_t whole[128];
    size_t len = mr_publish_encode(version, &packet, ids, id_count, whole, sizeof(whole));
    size_t head_len = len - packet.payload.len;
    loop.Expect(sum == static_cast<size_t>(loop.Count()) * head_len, "length");
    loop.Expect(memcmp(out, whole, head_len) == 0, "the same head");
}

const bool registered = [] {
    RegisterConnect();
    RegisterConnack();
    RegisterPublish();
    RegisterAck<MR_PUBACK>("PUBACK", MR_REASON_SUCCESS, true);
    RegisterAck<MR_PUBACK>("PUBACK_reason", MR_REASON_NO_MATCHING_SUBSCRIBERS, false);
    RegisterAck<MR_PUBREC>("PUBREC", MR_REASON_SUCCESS, true);
    RegisterAck<MR_PUBREL>("PUBREL", MR_REASON_SUCCESS, true);
    RegisterAck<MR_PUBCOMP>("PUBCOMP", MR_REASON_SUCCESS, true);
    RegisterSubscribe();
    RegisterSuback<MR_SUBACK>("SUBACK");
    RegisterUnsubscribe();
    RegisterSuback<MR_UNSUBACK>("UNSUBACK");
    RegisterPing();
    RegisterDisconnect();
    RegisterAuth();
    for (enum mr_version version : kVersions) {
        std::string suffix = "/v" + std::to_string(version);
        benchmark::RegisterBenchmark(("DecodeStream" + suffix).c_str(), DecodeStream, version);
        for (uint8_t qos : {0, 1, 2}) {
            std::string name = "EncodeHead/qos" + std::to_string(qos) + suffix;
            benchmark::RegisterBenchmark(name.c_str(), EncodeHead, version, qos);
        }
    }
    return true;
}();

}  // namespace
