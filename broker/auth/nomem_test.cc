// Memory that runs out at any point leaves no leak and no half policy.
#include "broker/auth/testing.hh"
#include "gtest/gtest.h"
#include "tests/support/failing_malloc.hh"

namespace {

using millrace::AllocationsSucceed;
using millrace::ForEachFailingAllocation;
using millrace::Slice;

size_t BuildWithLittleMemory(const std::string &passwords, const std::string &acl,
                             mr_err expected) {
    mr_auth_source source = {};
    source.password_text = Slice(passwords);
    source.acl_text = Slice(acl);
    return ForEachFailingAllocation([&] {
        mr_auth_policy *policy = nullptr;
        char *message = nullptr;
        mr_err err = mr_auth_policy_new(&policy, &source, &message);
        bool ran_out = AllocationsSucceed();
        EXPECT_EQ(ran_out ? MR_ERR_NOMEM : expected, err);
        EXPECT_EQ(err == MR_OK, policy != nullptr);
        EXPECT_EQ(err == MR_ERR_INVALID, message != nullptr);
        std::free(message);
        mr_auth_policy_unref(policy);
        return ran_out;
    });
}

TEST(AuthNoMemory, BuildingFailsCleanly) {
    std::string hash = ":$6$AAAA$" + std::string(86, 'A') + "==";
    std::string passwords;
    std::string acl = "topic a\n";
    for (int i = 0; i < 40; i++) {
        passwords += "user" + std::to_string(i) + hash + "\n";
        acl += "user user" + std::to_string(i) + "\ntopic read a/#\npattern %c/x\n";
    }
    EXPECT_GT(BuildWithLittleMemory(passwords, acl, MR_OK), 10u);
    EXPECT_GT(BuildWithLittleMemory(passwords + "x\n", acl, MR_ERR_INVALID), 3u);
    EXPECT_GT(BuildWithLittleMemory(passwords, acl + "x\n", MR_ERR_INVALID), 10u);
}

TEST(AuthNoMemory, ASubscriptionThatCannotBeCheckedIsRefused) {
    std::string acl = "pattern read %c/#\n";
    millrace::Policy policy(nullptr, &acl);
    ForEachFailingAllocation([&] {
        bool allowed = policy.Subscribe(nullptr, "client/x");
        bool ran_out = AllocationsSucceed();
        EXPECT_EQ(!ran_out, allowed);
        return ran_out;
    });
}

}  // namespace
