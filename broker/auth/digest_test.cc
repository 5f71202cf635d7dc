// One list of known answers for every system's library.
#include "broker/auth/digest.h"

#include <gtest/gtest.h>

#include <string>

namespace {

mr_slice Slice(const std::string &text) {
    return mr_slice_of(text.data(), text.size());
}

std::string Hex(const uint8_t digest[MR_DIGEST_BYTES]) {
    std::string text;
    for (int i = 0; i < MR_DIGEST_BYTES; i++) {
        text += "0123456789abcdef"[digest[i] >> 4];
        text += "0123456789abcdef"[digest[i] & 15];
    }
    return text;
}

std::string Pbkdf2(const std::string &password, const std::string &salt, uint32_t iterations) {
    uint8_t out[MR_DIGEST_BYTES];
    return mr_digest_pbkdf2(out, Slice(password), Slice(salt), iterations) ? Hex(out) : "failed";
}

std::string Sha512(const std::string &password, const std::string &salt) {
    uint8_t out[MR_DIGEST_BYTES];
    return mr_digest_sha512(out, Slice(password), Slice(salt)) ? Hex(out) : "failed";
}

// hashlib.pbkdf2_hmac("sha512", ...) of Python says so, too.
TEST(Digest, Pbkdf2IsAsKnown) {
    struct {
        const char *password;
        const char *salt;
        uint32_t iterations;
        const char *hex;
    } const rows[] = {
        {"password", "salt", 1,
         "867f70cf1ade02cff3752599a3a53dc4af34c7a669815ae5d513554e1c8cf252"
         "c02d470a285a0501bad999bfe943c08f050235d7d68b1da55e63f73b60a57fce"},
        {"password", "salt", 2,
         "e1d9c16aa681708a45f5c7c4e215ceb66e011a2e9f0040713f18aefdb866d53c"
         "f76cab2868a39b9f7840edce4fef5a82be67335c77a6068e04112754f27ccf4e"},
        {"password", "salt", 4096,
         "d197b1b33db0143e018b12f3d1d1479e6cdebdcc97c5c0f87f6902e072f457b5"
         "143f30602641b3d55cd335988cb36b84376060ecd532e039b742a239434af2d5"},
        {"", "x", 3,
         "b4e68f5b95dadd04b4ee92f66e35a1d71bd931a94f5395aa3ece9af375a39a14"
         "db855d8cbee4f354e061a4fccfa87b5265ec56d349ca0bedeff1ae1f6200848d"},
    };
    for (const auto &row : rows) {
        EXPECT_EQ(row.hex, Pbkdf2(row.password, row.salt, row.iterations)) << row.iterations;
    }
    // Longer than the block of SHA-512, and the longest salt that a file may have.
    EXPECT_EQ(
        "722cb623568258b57b837d2ee2119a3c18bd762da85bf289d33ee5bff25963d4"
        "ab90dbcc6f34c5a8be3952524fd7821668ce27d1e198df3d17ad757e668d5e02",
        Pbkdf2(std::string(300, 'p'), std::string(64, '\xff'), 2));
}

TEST(Digest, Sha512TakesPasswordAndSaltInThisOrder) {
    const std::string abc =
        "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a"
        "2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f";
    EXPECT_EQ(abc, Sha512("ab", "c"));
    EXPECT_EQ(abc, Sha512("", "abc"));
    EXPECT_NE(abc, Sha512("c", "ab"));
}

TEST(Digest, EqualMeansEveryBit) {
    uint8_t a[MR_DIGEST_BYTES] = {};
    uint8_t b[MR_DIGEST_BYTES] = {};
    EXPECT_TRUE(mr_digest_equal(a, b));
    for (int i = 0; i < MR_DIGEST_BYTES * 8; i++) {
        b[i / 8] = static_cast<uint8_t>(1 << i % 8);
        EXPECT_FALSE(mr_digest_equal(a, b)) << i;
        b[i / 8] = 0;
    }
}

TEST(Digest, ClearLeavesZeros) {
    uint8_t zeros[MR_DIGEST_BYTES] = {};
    uint8_t digest[MR_DIGEST_BYTES];
    ASSERT_TRUE(mr_digest_sha512(digest, mr_slice_str("a"), mr_slice_str("b")));
    EXPECT_FALSE(mr_digest_equal(digest, zeros));
    mr_digest_clear(digest, sizeof(digest));
    EXPECT_TRUE(mr_digest_equal(digest, zeros));
}

}  // namespace
