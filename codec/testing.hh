// What the tests of the packets share: bytes in hexadecimal, and one function that
// decodes a packet of any kind, encodes it again and checks what holds for all kinds.
#ifndef MILLRACE_CODEC_TESTING_HH
#define MILLRACE_CODEC_TESTING_HH

#include <cstdint>
#include <cstring>
#include <memory>
#include <ostream>
#include <random>
#include <string>
#include <vector>

#include "codec/codec.h"

namespace mr_testing {

using Bytes = std::vector<uint8_t>;

// "0a 0b", with or without blanks.
Bytes Hex(const std::string &text);

// The characters, and the same with their length in two bytes in front.
Bytes Text(const std::string &text);
Bytes String(const std::string &text);
Bytes U16(unsigned value);
Bytes U32(uint32_t value);
Bytes Varint(uint32_t value);

Bytes operator+(const Bytes &a, const Bytes &b);

// Properties with their length in front.
Bytes Properties(const Bytes &properties);

std::string Show(const Bytes &bytes);
std::string ToString(struct mr_slice slice);
struct mr_slice SliceOf(const Bytes &bytes);

// A copy that ends where its memory ends, so that a sanitizer sees each byte too far.
class Exact {
 public:
    explicit Exact(const Bytes &bytes);
    struct mr_slice slice() const {
        return mr_slice_of(bytes_.get(), len_);
    }

 private:
    size_t len_;
    std::unique_ptr<uint8_t[]> bytes_;
};

// Which packet: version, type and, for DISCONNECT, who sends it.
struct Kind {
    enum mr_version version;
    enum mr_packet_type type;
    bool from_client = true;
    uint8_t publish_flags = 0;
};

std::ostream &operator<<(std::ostream &out, const Kind &kind);

// What became of a body.
struct Outcome {
    enum mr_decode_status status;
    struct mr_decode_error error;  // Only if BAD.
    Bytes encoded;                 // The whole packet, encoded again; only if DONE.

    // 0 for DONE, else the reason code.
    int reason() const {
        return status == MR_DECODE_DONE ? 0 : static_cast<int>(error.reason);
    }
};

// Decodes `body` as a packet of `kind`. On success it is encoded again, into room of
// exactly its size and into each smaller room, which must be refused.
Outcome Decode(const Kind &kind, const Bytes &body);

// The body of a packet that Decode() encoded, without its fixed header.
Bytes BodyOf(const Bytes &packet);

// A generator whose seed is printed, or comes from MILLRACE_SEED.
std::mt19937_64 SeededRandom();

}  // namespace mr_testing

#endif  // MILLRACE_CODEC_TESTING_HH
