#include "codec/testing.hh"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <functional>
#include <iostream>

namespace mr_testing {

Bytes Hex(const std::string &text) {
    Bytes bytes;
    std::string digits;
    for (char c : text) {
        if (c != ' ') {
            digits += c;
        }
    }
    for (size_t i = 0; i + 1 < digits.size(); i += 2) {
        bytes.push_back(static_cast<uint8_t>(std::stoul(digits.substr(i, 2), nullptr, 16)));
    }
    return bytes;
}

Bytes Text(const std::string &text) {
    return Bytes(text.begin(), text.end());
}

Bytes String(const std::string &text) {
    return U16(static_cast<unsigned>(text.size())) + Text(text);
}

Bytes U16(unsigned value) {
    return {static_cast<uint8_t>(value >> 8), static_cast<uint8_t>(value)};
}

Bytes U32(uint32_t value) {
    return U16(value >> 16) + U16(value & 0xffff);
}

Bytes Varint(uint32_t value) {
    Bytes bytes;
    do {
        uint8_t byte = value % 128;
        value /= 128;
        bytes.push_back(static_cast<uint8_t>(value > 0 ? byte + 128 : byte));
    } while (value > 0);
    return bytes;
}

Bytes operator+(const Bytes &a, const Bytes &b) {
    Bytes sum = a;
    sum.insert(sum.end(), b.begin(), b.end());
    return sum;
}

Bytes Properties(const Bytes &properties) {
    return Varint(static_cast<uint32_t>(properties.size())) + properties;
}

std::string Show(const Bytes &bytes) {
    static const char digits[] = "0123456789abcdef";
    std::string text;
    for (uint8_t byte : bytes) {
        text += digits[byte >> 4];
        text += digits[byte & 15];
        text += ' ';
    }
    return text;
}

std::string ToString(struct mr_slice slice) {
    return slice.len ? std::string(reinterpret_cast<const char *>(slice.data), slice.len) : "";
}

struct mr_slice SliceOf(const Bytes &bytes) {
    return mr_slice_of(bytes.data(), bytes.size());
}

Exact::Exact(const Bytes &bytes) : len_(bytes.size()), bytes_(new uint8_t[bytes.size()]) {
    std::copy(bytes.begin(), bytes.end(), bytes_.get());
}

std::ostream &operator<<(std::ostream &out, const Kind &kind) {
    return out << mr_packet_type_name(kind.type) << " of version " << kind.version
               << (kind.from_client ? "" : " from the server");
}

namespace {

using Encoder = std::function<size_t(uint8_t *, size_t)>;

// Encodes into plenty of room, then into exactly enough and into each smaller one.
Bytes EncodeInAnyRoom(const Encoder &encode) {
    static Bytes room_for_all(size_t{1} << 18);
    size_t len = encode(room_for_all.data(), room_for_all.size());
    EXPECT_NE(0u, len);
    Bytes plenty(room_for_all.begin(), room_for_all.begin() + static_cast<long>(len));
    Exact exact(Bytes(len, 0xee));
    uint8_t *out = const_cast<uint8_t *>(exact.slice().data);
    EXPECT_EQ(len, encode(out, len));
    EXPECT_TRUE(std::equal(plenty.begin(), plenty.end(), out));
    for (size_t room = 0; room < len && room < 200; room++) {
        Exact small(Bytes(room, 0xee));
        EXPECT_EQ(0u, encode(const_cast<uint8_t *>(small.slice().data), room));
    }
    if (len > 0) {
        EXPECT_EQ(0u, encode(out, len - 1));
    }
    return plenty;
}

// As a broker passes a PUBLISH on that it received.
Bytes EncodePublish(enum mr_version version, struct mr_publish packet) {
    Bytes forwardable(packet.properties_raw.len);
    forwardable.resize(
        mr_publish_forwardable_properties(packet.properties_raw, forwardable.data()));
    std::vector<uint32_t> ids;
    struct mr_slice rest = packet.properties_raw;
    struct mr_property property;
    while (mr_property_next(&rest, &property)) {
        if (property.id == MR_PROPERTY_SUBSCRIPTION_IDENTIFIER) {
            ids.push_back(property.number);
        }
    }
    EXPECT_EQ(ids.empty() ? 0u : ids[0], packet.subscription_id);
    packet.properties_raw = SliceOf(forwardable);
    Bytes whole = EncodeInAnyRoom([&](uint8_t *out, size_t room) {
        return mr_publish_encode(version, &packet, ids.data(), ids.size(), out, room);
    });
    Bytes head = EncodeInAnyRoom([&](uint8_t *out, size_t room) {
        return mr_publish_encode_head(version, &packet, ids.data(), ids.size(), out, room);
    });
    EXPECT_LE(head.size(),
              MR_PUBLISH_HEAD_BYTES(packet.topic.len, packet.properties_raw.len, ids.size()));
    EXPECT_EQ(whole, head + Text(ToString(packet.payload)));
    return whole;
}

// One decoder and encoder under one signature. The struct is filled with rubbish first:
// a decoder has to set whatever it says it sets.
template <typename Packet, typename Decoder, typename PacketEncoder>
Outcome Run(Decoder decode, PacketEncoder encode, struct mr_slice body) {
    Outcome outcome = {};
    Packet packet;
    memset(static_cast<void *>(&packet), 0xa5, sizeof(packet));
    outcome.status = decode(body, &packet, &outcome.error);
    if (outcome.status == MR_DECODE_DONE) {
        outcome.encoded = encode(packet);
    } else {
        EXPECT_EQ(MR_DECODE_BAD, outcome.status);
        EXPECT_NE(nullptr, outcome.error.what);
        EXPECT_LE(outcome.error.offset, body.len);
        EXPECT_GE(outcome.error.reason, 0x80);
    }
    return outcome;
}

}  // namespace

Outcome Decode(const Kind &kind, const Bytes &body_bytes) {
    Exact exact(body_bytes);
    // Nothing may depend on an empty slice having a pointer.
    struct mr_slice body = body_bytes.empty() ? mr_slice_of(nullptr, 0) : exact.slice();
    enum mr_version version = kind.version;
    enum mr_packet_type type = kind.type;
    switch (type) {
        case MR_CONNECT:
            return Run<mr_connect>(
                mr_connect_decode,
                [](const mr_connect &packet) {
                    return EncodeInAnyRoom([&](uint8_t *out, size_t room) {
                        return mr_connect_encode(&packet, out, room);
                    });
                },
                body);
        case MR_CONNACK:
            return Run<mr_connack>(
                [&](mr_slice in, mr_connack *out, mr_decode_error *error) {
                    return mr_connack_decode(version, in, out, error);
                },
                [&](const mr_connack &packet) {
                    return EncodeInAnyRoom([&](uint8_t *out, size_t room) {
                        return mr_connack_encode(version, &packet, out, room);
                    });
                },
                body);
        case MR_PUBLISH:
            return Run<mr_publish>(
                [&](mr_slice in, mr_publish *out, mr_decode_error *error) {
                    return mr_publish_decode(version, kind.publish_flags, in, out, error);
                },
                [&](const mr_publish &packet) { return EncodePublish(version, packet); }, body);
        case MR_PUBACK:
        case MR_PUBREC:
        case MR_PUBREL:
        case MR_PUBCOMP:
            return Run<mr_ack>(
                [&](mr_slice in, mr_ack *out, mr_decode_error *error) {
                    return mr_ack_decode(version, type, in, out, error);
                },
                [&](const mr_ack &packet) {
                    return EncodeInAnyRoom([&](uint8_t *out, size_t room) {
                        return mr_ack_encode(version, type, &packet, out, room);
                    });
                },
                body);
        case MR_SUBSCRIBE:
            return Run<mr_subscribe>(
                [&](mr_slice in, mr_subscribe *out, mr_decode_error *error) {
                    return mr_subscribe_decode(version, in, out, error);
                },
                [&](const mr_subscribe &packet) {
                    return EncodeInAnyRoom([&](uint8_t *out, size_t room) {
                        return mr_subscribe_encode(version, &packet, out, room);
                    });
                },
                body);
        case MR_UNSUBSCRIBE:
            return Run<mr_unsubscribe>(
                [&](mr_slice in, mr_unsubscribe *out, mr_decode_error *error) {
                    return mr_unsubscribe_decode(version, in, out, error);
                },
                [&](const mr_unsubscribe &packet) {
                    return EncodeInAnyRoom([&](uint8_t *out, size_t room) {
                        return mr_unsubscribe_encode(version, &packet, out, room);
                    });
                },
                body);
        case MR_SUBACK:
        case MR_UNSUBACK:
            return Run<mr_suback>(
                [&](mr_slice in, mr_suback *out, mr_decode_error *error) {
                    return mr_suback_decode(version, type, in, out, error);
                },
                [&](const mr_suback &packet) {
                    return EncodeInAnyRoom([&](uint8_t *out, size_t room) {
                        return mr_suback_encode(version, type, &packet, out, room);
                    });
                },
                body);
        case MR_PINGREQ:
        case MR_PINGRESP:
            return Run<char>([](mr_slice in, char *,
                                mr_decode_error *error) { return mr_ping_decode(in, error); },
                             [&](char) {
                                 return EncodeInAnyRoom([&](uint8_t *out, size_t room) {
                                     return mr_ping_encode(type, out, room);
                                 });
                             },
                             body);
        case MR_DISCONNECT:
            return Run<mr_disconnect>(
                [&](mr_slice in, mr_disconnect *out, mr_decode_error *error) {
                    return mr_disconnect_decode(version, in, kind.from_client, out, error);
                },
                [&](const mr_disconnect &packet) {
                    return EncodeInAnyRoom([&](uint8_t *out, size_t room) {
                        return mr_disconnect_encode(version, &packet, out, room);
                    });
                },
                body);
        case MR_AUTH:
            return Run<mr_auth>(
                mr_auth_decode,
                [](const mr_auth &packet) {
                    return EncodeInAnyRoom([&](uint8_t *out, size_t room) {
                        return mr_auth_encode(&packet, out, room);
                    });
                },
                body);
    }
    abort();
}

Bytes BodyOf(const Bytes &packet) {
    struct mr_frame frame = {};
    struct mr_decode_error error = {};
    EXPECT_EQ(MR_DECODE_DONE, mr_frame_decode(SliceOf(packet), packet[0] >> 4 == MR_CONNECT ? 0 : 5,
                                              UINT32_MAX, &frame, &error))
        << Show(packet);
    EXPECT_EQ(packet.size(), frame.header_len + size_t{frame.body_len});
    return Bytes(packet.begin() + frame.header_len, packet.end());
}

std::mt19937_64 SeededRandom() {
    const char *given = getenv("MILLRACE_SEED");
    uint64_t seed = given ? strtoull(given, nullptr, 10) : std::random_device{}();
    std::cout << "MILLRACE_SEED=" << seed << std::endl;
    return std::mt19937_64(seed);
}

}  // namespace mr_testing
