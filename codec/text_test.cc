// The form of text.h for machines without SSE2; the other one is under utf8_test.cc.
#undef __SSE2__
#include "codec/text.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "codec/testing.hh"

namespace mr_testing {
namespace {

bool IsPlain(uint8_t byte, text_rule rule) {
    bool is_wildcard = byte == '#' || byte == '+';
    return byte < 0x80 && (rule == TEXT_PAYLOAD || byte != 0) &&
           (rule != TEXT_TOPIC_NAME || !is_wildcard);
}

void ExpectAgreement(const uint8_t *bytes, size_t len) {
    for (text_rule rule : {TEXT_PAYLOAD, TEXT_STRING, TEXT_TOPIC_NAME}) {
        bool expected =
            std::all_of(bytes, bytes + len, [&](uint8_t byte) { return IsPlain(byte, rule); });
        ASSERT_EQ(expected, text_plain(bytes, len, rule)) << Show(Bytes(bytes, bytes + len));
    }
}

TEST(PlainText, IsSeenAtEachPlaceWithoutSse2) {
    for (size_t len = 0; len <= 40; len++) {
        for (size_t at = 0; at < std::max<size_t>(len, 1); at++) {
            Exact exact(Bytes(len, 'a'));
            uint8_t *bytes = const_cast<uint8_t *>(exact.slice().data);
            for (unsigned byte = 0; byte < 256 && len > 0; byte++) {
                bytes[at] = static_cast<uint8_t>(byte);
                ExpectAgreement(bytes, len);
            }
            ExpectAgreement(bytes, len);
        }
    }
}

// Neighbours of what a carry could reach.
TEST(PlainText, IsSeenForEachPairOfBytesWithoutSse2) {
    for (size_t at = 0; at < 7; at++) {
        for (unsigned a = 0; a < 256; a++) {
            for (unsigned b = 0; b < 256; b++) {
                uint8_t bytes[8] = {'a', '/', 1, 0x7f, 'z', '*', '$', '"'};
                bytes[at] = static_cast<uint8_t>(a);
                bytes[at + 1] = static_cast<uint8_t>(b);
                ExpectAgreement(bytes, 8);
            }
        }
    }
}

}  // namespace
}  // namespace mr_testing
