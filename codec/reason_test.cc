#include "codec/reason.h"

#include <gtest/gtest.h>

#include <set>
#include <string>

namespace {

const mr_reason kReasons[] = {
#define REASON(name, value, text) MR_REASON_##name,
    MR_REASON_MAP(REASON)
#undef REASON
};

TEST(Reason, EachHasATextOfItsOwn) {
    std::set<std::string> texts;
    for (mr_reason reason : kReasons) {
        texts.insert(mr_reason_text(reason));
    }
    EXPECT_EQ(MR_ARRAY_COUNT(kReasons), texts.size());
    EXPECT_STREQ("success", mr_reason_text(MR_REASON_SUCCESS));
    EXPECT_STREQ("wildcard subscriptions not supported",
                 mr_reason_text(MR_REASON_WILDCARD_SUBSCRIPTIONS_NOT_SUPPORTED));
}

TEST(Reason, OutsideOfTheListIsCalledUnknown) {
    std::set<int> known(std::begin(kReasons), std::end(kReasons));
    for (int value = 0; value < 256; value++) {
        const char *text = mr_reason_text(static_cast<mr_reason>(value));
        ASSERT_NE(nullptr, text);
        EXPECT_EQ(known.count(value) == 0, std::string(text) == "unknown reason") << value;
    }
    EXPECT_STREQ("unknown reason", mr_reason_text(static_cast<mr_reason>(100000)));
    EXPECT_STREQ("unknown reason", mr_reason_text(static_cast<mr_reason>(-1)));
}

// Table 3.1 of 3.1.1; what fits none of its codes closes without CONNACK
// [MQTT-3.2.2-6 of 3.1.1].
TEST(Reason, BecomesAReturnCodeOf311) {
    EXPECT_EQ(0, mr_reason_to_v3_return_code(MR_REASON_SUCCESS));
    EXPECT_EQ(1, mr_reason_to_v3_return_code(MR_REASON_UNSUPPORTED_PROTOCOL_VERSION));
    EXPECT_EQ(2, mr_reason_to_v3_return_code(MR_REASON_CLIENT_IDENTIFIER_NOT_VALID));
    EXPECT_EQ(3, mr_reason_to_v3_return_code(MR_REASON_SERVER_UNAVAILABLE));
    EXPECT_EQ(3, mr_reason_to_v3_return_code(MR_REASON_SERVER_BUSY));
    EXPECT_EQ(4, mr_reason_to_v3_return_code(MR_REASON_BAD_USER_NAME_OR_PASSWORD));
    EXPECT_EQ(5, mr_reason_to_v3_return_code(MR_REASON_NOT_AUTHORIZED));
    EXPECT_EQ(5, mr_reason_to_v3_return_code(MR_REASON_BANNED));
    EXPECT_EQ(-1, mr_reason_to_v3_return_code(MR_REASON_MALFORMED_PACKET));
    EXPECT_EQ(-1, mr_reason_to_v3_return_code(MR_REASON_PROTOCOL_ERROR));
    EXPECT_EQ(-1, mr_reason_to_v3_return_code(MR_REASON_PACKET_TOO_LARGE));
    EXPECT_EQ(-1, mr_reason_to_v3_return_code(MR_REASON_TOPIC_NAME_INVALID));
    for (mr_reason reason : kReasons) {
        int code = mr_reason_to_v3_return_code(reason);
        EXPECT_GE(code, -1);
        EXPECT_LE(code, 5);
        EXPECT_EQ(reason == MR_REASON_SUCCESS, code == 0);
    }
}

}  // namespace
