#include "codec/utf8.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "codec/testing.hh"

namespace mr_testing {
namespace {

// The reference, written another way: take the code point out of the bytes without any
// check, encode it again by the book and compare.
struct Reference {
    bool utf8 = true;
    bool has_nul = false;
    bool has_wildcard = false;
};

size_t EncodeCodePoint(uint32_t code, uint8_t *out) {
    if (code < 0x80) {
        out[0] = static_cast<uint8_t>(code);
        return 1;
    }
    size_t len = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    for (size_t i = len - 1; i > 0; i--) {
        out[i] = static_cast<uint8_t>(0x80 | (code & 0x3f));
        code >>= 6;
    }
    const uint8_t marks[] = {0, 0, 0xc0, 0xe0, 0xf0};
    out[0] = static_cast<uint8_t>(marks[len] | code);
    return len;
}

Reference Judge(const uint8_t *bytes, size_t len) {
    Reference reference;
    size_t at = 0;
    while (at < len) {
        uint8_t lead = bytes[at];
        size_t size = lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
        if (at + size > len) {
            reference.utf8 = false;
            return reference;
        }
        uint32_t code = size == 1 ? lead : lead & (0x7fu >> size);
        for (size_t i = 1; i < size; i++) {
            code = code << 6 | (bytes[at + i] & 0x3fu);
        }
        uint8_t again[4];
        bool valid = code <= 0x10ffff && (code < 0xd800 || code > 0xdfff) &&
                     EncodeCodePoint(code, again) == size && memcmp(again, bytes + at, size) == 0;
        if (!valid) {
            reference.utf8 = false;
            return reference;
        }
        reference.has_nul |= code == 0;
        reference.has_wildcard |= code == '#' || code == '+';
        at += size;
    }
    return reference;
}

// All three functions against the reference; true if they agree.
bool Agrees(const uint8_t *bytes, size_t len) {
    Reference reference = Judge(bytes, len);
    struct mr_slice text = mr_slice_of(bytes, len);
    bool string = reference.utf8 && !reference.has_nul;
    bool topic = string && !reference.has_wildcard && len > 0;
    return mr_utf8_valid(text) == string && mr_utf8_valid_topic_name(text) == topic &&
           mr_utf8_valid_payload(text) == reference.utf8;
}

bool Agrees(const Bytes &bytes) {
    Exact exact(bytes);
    return Agrees(exact.slice().data, bytes.size());
}

bool Valid(const std::string &text) {
    Exact exact(Text(text));
    return mr_utf8_valid(exact.slice());
}

// [MQTT-1.5.4-1]: the example of section 1.5.4, "A" and U+2A6D4.
TEST(Utf8, AcceptsTheExampleOfTheStandard) {
    EXPECT_TRUE(Valid("A\xf0\xaa\x9b\x94"));
}

// [MQTT-1.5.4-3]
TEST(Utf8, TakesTheByteOrderMarkForACharacter) {
    EXPECT_TRUE(Valid("\xef\xbb\xbf"));
    EXPECT_TRUE(Valid("a\xef\xbb\xbf/b"));
    Exact exact(Text("\xef\xbb\xbf/b"));
    EXPECT_TRUE(mr_utf8_valid_topic_name(exact.slice()));
}

// [MQTT-1.5.4-2]
TEST(Utf8, RefusesU0000InStringsButNotInPayloads) {
    for (size_t len : {1u, 2u, 3u, 5u, 8u, 15u, 16u, 17u, 40u}) {
        for (size_t at = 0; at < len; at++) {
            std::string text(len, 'x');
            text[at] = '\0';
            Exact exact(Text(text));
            EXPECT_FALSE(mr_utf8_valid(exact.slice()));
            EXPECT_FALSE(mr_utf8_valid_topic_name(exact.slice()));
            EXPECT_TRUE(mr_utf8_valid_payload(exact.slice()));
        }
    }
}

// [MQTT-1.5.4-1]
TEST(Utf8, RefusesSurrogatesOverlongFormsAndWhatIsBeyondUnicode) {
    EXPECT_TRUE(Valid("\xed\x9f\xbf"));           // U+D7FF
    EXPECT_FALSE(Valid("\xed\xa0\x80"));          // U+D800
    EXPECT_FALSE(Valid("\xed\xbf\xbf"));          // U+DFFF
    EXPECT_TRUE(Valid("\xee\x80\x80"));           // U+E000
    EXPECT_FALSE(Valid("\xc0\x80"));              // U+0000 in two bytes
    EXPECT_FALSE(Valid("\xc1\xbf"));              // U+007F in two bytes
    EXPECT_FALSE(Valid("\xe0\x9f\xbf"));          // U+07FF in three
    EXPECT_FALSE(Valid("\xf0\x8f\xbf\xbf"));      // U+FFFF in four
    EXPECT_TRUE(Valid("\xf4\x8f\xbf\xbf"));       // U+10FFFF
    EXPECT_FALSE(Valid("\xf4\x90\x80\x80"));      // U+110000
    EXPECT_FALSE(Valid("\xf8\x88\x80\x80\x80"));  // Five bytes
    EXPECT_FALSE(Valid("\x80"));
    EXPECT_FALSE(Valid("a\xc3"));
}

// Section 1.5.4 only says SHOULD NOT for these.
TEST(Utf8, AcceptsControlCharactersAndNoncharacters) {
    EXPECT_TRUE(Valid("\x01\x1f\x7f"));
    EXPECT_TRUE(Valid("\xc2\x80\xc2\x9f"));
    EXPECT_TRUE(Valid("\xef\xbf\xbf\xef\xb7\x90"));
}

// [MQTT-3.3.2-2] [MQTT-4.7.3-1]
TEST(Utf8, RefusesEmptyTopicNamesAndWildcards) {
    EXPECT_FALSE(mr_utf8_valid_topic_name(mr_slice_of(nullptr, 0)));
    EXPECT_FALSE(mr_utf8_valid_topic_name(mr_slice_str("")));
    EXPECT_TRUE(mr_utf8_valid_topic_name(mr_slice_str("/")));
    EXPECT_TRUE(mr_utf8_valid_topic_name(mr_slice_str("a\"*,$%-.b")));
    EXPECT_FALSE(mr_utf8_valid_topic_name(mr_slice_str("a/+")));
    EXPECT_FALSE(mr_utf8_valid_topic_name(mr_slice_str("a/b#")));
    EXPECT_TRUE(mr_utf8_valid(mr_slice_of(nullptr, 0)));
    EXPECT_TRUE(mr_utf8_valid_payload(mr_slice_of(nullptr, 0)));
}

TEST(Utf8, AgreesWithTheReferenceOnAllShortStrings) {
    for (unsigned a = 0; a < 256; a++) {
        uint8_t one[] = {static_cast<uint8_t>(a)};
        ASSERT_TRUE(Agrees(one, 1)) << a;
        for (unsigned b = 0; b < 256; b++) {
            uint8_t two[] = {static_cast<uint8_t>(a), static_cast<uint8_t>(b)};
            ASSERT_TRUE(Agrees(two, 2)) << a << ' ' << b;
            for (unsigned c = 0; c < 256; c++) {
                uint8_t three[] = {two[0], two[1], static_cast<uint8_t>(c)};
                ASSERT_TRUE(Agrees(three, 3)) << a << ' ' << b << ' ' << c;
            }
        }
    }
}

TEST(Utf8, AcceptsEachCodePointButSurrogates) {
    for (uint32_t code = 1; code <= 0x10ffff; code++) {
        uint8_t bytes[4];
        size_t len = EncodeCodePoint(code, bytes);
        bool surrogate = code >= 0xd800 && code <= 0xdfff;
        ASSERT_EQ(!surrogate, mr_utf8_valid(mr_slice_of(bytes, len))) << std::hex << code;
    }
}

TEST(Utf8, AgreesWithTheReferenceOnFourByteSequences) {
    std::mt19937_64 random = SeededRandom();
    for (unsigned lead = 0xee; lead < 256; lead++) {
        for (unsigned second = 0; second < 256; second++) {
            for (uint8_t third : {0x00, 0x41, 0x7f, 0x80, 0xa5, 0xbf, 0xc0, 0xff}) {
                for (uint8_t fourth : {0x00, 0x41, 0x7f, 0x80, 0xa5, 0xbf, 0xc0, 0xff}) {
                    uint8_t bytes[] = {static_cast<uint8_t>(lead), static_cast<uint8_t>(second),
                                       third, fourth};
                    ASSERT_TRUE(Agrees(bytes, 4)) << Show(Bytes(bytes, bytes + 4));
                }
            }
        }
    }
    for (int i = 0; i < 1000000; i++) {
        uint64_t bits = random();
        uint8_t bytes[4];
        memcpy(bytes, &bits, 4);
        if (bits >> 63) {
            bytes[0] |= 0xf0;
        }
        ASSERT_TRUE(Agrees(bytes, 4)) << Show(Bytes(bytes, bytes + 4));
    }
}

// Each length that the fast paths tell apart, each byte at each place.
TEST(Utf8, SeesEachByteAtEachPlace) {
    for (size_t len = 1; len <= 50; len++) {
        for (size_t at = 0; at < len; at++) {
            Exact exact(Bytes(len, 'a'));
            uint8_t *bytes = const_cast<uint8_t *>(exact.slice().data);
            for (unsigned byte = 0; byte < 256; byte++) {
                bytes[at] = static_cast<uint8_t>(byte);
                ASSERT_TRUE(Agrees(bytes, len)) << "byte " << byte << " at " << at << " of " << len;
            }
        }
    }
}

// Neighbours of what a carry could reach.
TEST(Utf8, SeesEachPairOfBytesAtEachPlaceOfAWord) {
    for (size_t at = 0; at < 7; at++) {
        for (unsigned a = 0; a < 256; a++) {
            for (unsigned b = 0; b < 256; b++) {
                uint8_t bytes[8] = {'a', '/', 1, 0x7f, 'z', '*', '$', '"'};
                bytes[at] = static_cast<uint8_t>(a);
                bytes[at + 1] = static_cast<uint8_t>(b);
                ASSERT_TRUE(Agrees(bytes, 8)) << a << ' ' << b << " at " << at;
            }
        }
    }
}

// Four bytes of the kinds that the standard of Unicode tells apart, at the front and at the end
// of text, within and across blocks of sixteen bytes, in each length that takes another way.
TEST(Utf8, SeesEachKindOfSequenceWhereverItLies) {
    const std::vector<uint8_t> kinds = {0x00, 0x2b, 0x41, 0x80, 0x8f, 0x90, 0x9f, 0xa0,
                                        0xbf, 0xc0, 0xc1, 0xc2, 0xdf, 0xe0, 0xe1, 0xed,
                                        0xee, 0xef, 0xf0, 0xf1, 0xf3, 0xf4, 0xf5, 0xff};
    const struct {
        size_t len, at;
    } places[] = {{8, 0},   {8, 4},   {11, 7},  {15, 11}, {16, 12}, {17, 13},
                  {18, 14}, {19, 15}, {20, 14}, {35, 14}, {35, 29}, {48, 44}};
    for (const auto &place : places) {
        Exact exact(Bytes(place.len, 'a'));
        uint8_t *bytes = const_cast<uint8_t *>(exact.slice().data);
        for (uint8_t a : kinds) {
            bytes[place.at] = a;
            for (uint8_t b : kinds) {
                bytes[place.at + 1] = b;
                for (uint8_t c : kinds) {
                    bytes[place.at + 2] = c;
                    for (uint8_t d : kinds) {
                        bytes[place.at + 3] = d;
                        ASSERT_TRUE(Agrees(bytes, place.len))
                            << Show(Bytes(bytes + place.at, bytes + place.at + 4)) << " at "
                            << place.at << " of " << place.len;
                    }
                }
            }
        }
    }
}

// Each length with each end, so that what is cut off is seen at each place of a block.
TEST(Utf8, SeesCharactersThatAreCutOff) {
    for (const std::string character : {"\xc3\xa4", "\xe2\x82\xac", "\xf0\x9f\x98\x80"}) {
        for (size_t before = 0; before <= 70; before++) {
            std::string text = std::string(before % character.size(), '/');
            while (text.size() < before) {
                text += character;
            }
            for (size_t kept = 0; kept <= character.size(); kept++) {
                ASSERT_TRUE(Agrees(Text(text + character.substr(0, kept))))
                    << kept << " behind " << before;
            }
        }
    }
}

TEST(Utf8, AgreesWithTheReferenceOnMixedText) {
    std::mt19937_64 random = SeededRandom();
    const std::vector<std::string> parts = {"a",        "temperature/", "0123456789abcdef",
                                            "\xc3\xa4", "\xe2\x82\xac", "\xf0\x9f\x98\x80",
                                            "/"};
    const std::vector<std::string> odd = {"#",    "+",        std::string(1, '\0'), "\x80",
                                          "\xc3", "\xe2\x82", "\xed\xa0\x80",       "\xf0\x9f"};
    for (int i = 0; i < 100000; i++) {
        std::string text;
        for (size_t count = random() % 12; count > 0; count--) {
            text +=
                random() % 32 == 0 ? odd[random() % odd.size()] : parts[random() % parts.size()];
        }
        ASSERT_TRUE(Agrees(Text(text))) << Show(Text(text));
    }
}

TEST(Utf8, AgreesWithTheReferenceOnLongText) {
    std::mt19937_64 random = SeededRandom();
    for (int i = 0; i < 200; i++) {
        Bytes text(65535, 'x');
        for (size_t count = random() % 4; count > 0; count--) {
            text[random() % text.size()] = static_cast<uint8_t>(random());
        }
        ASSERT_TRUE(Agrees(text));
    }
}

}  // namespace
}  // namespace mr_testing
