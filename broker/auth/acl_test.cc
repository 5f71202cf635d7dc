// Access control lists: who may read, write and subscribe to what.
#include <random>
#include <vector>

#include "broker/auth/internal.h"
#include "broker/auth/testing.hh"
#include "codec/topic.h"
#include "gtest/gtest.h"

namespace {

using millrace::Policy;
using millrace::Slice;

struct Acl : Policy {
    explicit Acl(const std::string &text) : Policy(nullptr, &text, true) {
        EXPECT_EQ(MR_OK, err) << message;
    }
};

TEST(Acl, WithoutAFileEverythingIsAllowed) {
    Policy policy(nullptr, nullptr, true);
    EXPECT_FALSE(mr_auth_has_acl(policy.get()));
    EXPECT_TRUE(policy.Read(nullptr, "a"));
    EXPECT_TRUE(policy.Write("u", "$SYS/x"));
    EXPECT_TRUE(policy.Subscribe("u", "#"));
}

// CVE-2018-12550: an empty file meant that everything is allowed.
TEST(Acl, AnEmptyFileAllowsNothing) {
    for (const char *text : {"", "\n", "# nothing\n", "user alice\n", "user\talice\n\nuser bob"}) {
        Acl acl(text);
        EXPECT_TRUE(mr_auth_has_acl(acl.get()));
        for (const char *user : {static_cast<const char *>(nullptr), "alice", "bob"}) {
            EXPECT_FALSE(acl.Read(user, "a")) << text;
            EXPECT_FALSE(acl.Write(user, "a")) << text;
            EXPECT_FALSE(acl.Subscribe(user, "a")) << text;
            EXPECT_FALSE(acl.Subscribe(user, "#")) << text;
        }
    }
}

TEST(Acl, LinesBeforeAnyUserAreForAnonymousClientsOnly) {
    Acl acl("topic read news/#\nuser alice\ntopic write orders\n");
    EXPECT_TRUE(acl.Read(nullptr, "news/today"));
    EXPECT_FALSE(acl.Write(nullptr, "news/today"));
    EXPECT_FALSE(acl.Read("alice", "news/today"));
    EXPECT_FALSE(acl.Read("bob", "news/today"));
    EXPECT_TRUE(acl.Write("alice", "orders"));
    EXPECT_FALSE(acl.Write(nullptr, "orders"));
    EXPECT_FALSE(acl.Write("bob", "orders"));
}

TEST(Acl, AccessIsReadWriteOrBoth) {
    Acl acl("user u\ntopic read r\ntopic write w\ntopic readwrite b\ntopic d\ntopic deny n\n");
    EXPECT_TRUE(acl.Read("u", "r"));
    EXPECT_FALSE(acl.Write("u", "r"));
    EXPECT_FALSE(acl.Read("u", "w"));
    EXPECT_TRUE(acl.Write("u", "w"));
    for (const char *topic : {"b", "d"}) {
        EXPECT_TRUE(acl.Read("u", topic));
        EXPECT_TRUE(acl.Write("u", topic));
    }
    EXPECT_FALSE(acl.Read("u", "n"));
    EXPECT_FALSE(acl.Write("u", "n"));
    EXPECT_FALSE(acl.Read("u", "other"));
}

TEST(Acl, SeveralLinesForOneTopicAddUp) {
    Acl acl("user u\ntopic read a\ntopic write a\n");
    EXPECT_TRUE(acl.Read("u", "a"));
    EXPECT_TRUE(acl.Write("u", "a"));
}

TEST(Acl, DenyWinsWhereverItStands) {
    for (const char *text : {"user u\ntopic readwrite a/#\ntopic deny a/secret\n",
                             "user u\ntopic deny a/secret\ntopic readwrite a/#\n",
                             "user u\ntopic readwrite a/secret\ntopic readwrite a/+\n"
                             "topic deny a/secret\n",
                             "user u\ntopic a/#\npattern deny a/secret\n",
                             "user u\ntopic a/#\npattern deny a/secre%c\n",
                             "pattern a/#\nuser u\ntopic deny a/secret\n"}) {
        Acl acl(text);
        EXPECT_TRUE(acl.Read("u", "a/b", "t")) << text;
        EXPECT_FALSE(acl.Read("u", "a/secret", "t")) << text;
        EXPECT_FALSE(acl.Write("u", "a/secret", "t")) << text;
    }
}

TEST(Acl, WildcardsAreThoseOfTopicFilters) {
    Acl acl("user u\ntopic a/+/c\ntopic x/#\ntopic +/one\n");
    EXPECT_TRUE(acl.Read("u", "a/b/c"));
    EXPECT_TRUE(acl.Read("u", "a//c"));
    EXPECT_FALSE(acl.Read("u", "a/b/d"));
    EXPECT_FALSE(acl.Read("u", "a/b/c/d"));
    EXPECT_TRUE(acl.Read("u", "x"));
    EXPECT_TRUE(acl.Read("u", "x/y/z"));
    EXPECT_FALSE(acl.Read("u", "xy"));
    EXPECT_TRUE(acl.Read("u", "any/one"));
}

TEST(Acl, TopicsOfTheSystemNeedALineThatBeginsWithADollar) {
    Acl acl("user u\ntopic #\ntopic +/x\nuser s\ntopic read $SYS/#\npattern read %u/%c\n");
    EXPECT_FALSE(acl.Read("u", "$SYS/broker/uptime"));
    EXPECT_FALSE(acl.Write("u", "$CONTROL/x"));
    EXPECT_FALSE(acl.Read("u", "$SYS/x"));
    EXPECT_TRUE(acl.Read("s", "$SYS/broker/uptime"));
    EXPECT_FALSE(acl.Write("s", "$SYS/broker/uptime"));
    EXPECT_FALSE(acl.Subscribe("u", "$SYS/#"));
    EXPECT_TRUE(acl.Subscribe("s", "$SYS/#"));
    EXPECT_FALSE(acl.Subscribe("s", "#", "a+b"));
}

TEST(Acl, AUsersLinesMayStandInSeveralPlaces) {
    Acl acl("user u\ntopic a\nuser v\ntopic b\nuser u\ntopic c\ntopic deny a\n");
    EXPECT_FALSE(acl.Read("u", "a"));
    EXPECT_TRUE(acl.Read("u", "c"));
    EXPECT_FALSE(acl.Read("u", "b"));
    EXPECT_TRUE(acl.Read("v", "b"));
    EXPECT_FALSE(acl.Read("v", "c"));
}

TEST(Acl, NamesAndTopicsMayHaveBlanks) {
    Acl acl("user  the boss \ntopic read  a b/ c \npattern write %c/x y\n");
    EXPECT_TRUE(acl.Read("the boss", "a b/ c"));
    EXPECT_FALSE(acl.Read("the", "a b/ c"));
    EXPECT_TRUE(acl.Write(nullptr, "client/x y"));
}

TEST(Acl, LineEndsOfWindowsAndAMarkAreSkipped) {
    Acl acl("\xef\xbb\xbfuser u\r\ntopic read a\r\n\r\n  # c\r\ntopic b");
    EXPECT_TRUE(acl.Read("u", "a"));
    EXPECT_TRUE(acl.Write("u", "b"));
}

// -------------------------------------------------------------------------- patterns

TEST(AclPatterns, AreForAllUsersAndStandAnywhere) {
    Acl acl("user u\npattern read news/%c\ntopic write own\n");
    EXPECT_TRUE(acl.Read("u", "news/client"));
    EXPECT_TRUE(acl.Read("v", "news/client"));
    EXPECT_TRUE(acl.Read(nullptr, "news/client"));
    EXPECT_FALSE(acl.Read("v", "news/other"));
    // The pattern didn't end the user's lines.
    EXPECT_TRUE(acl.Write("u", "own"));
}

TEST(AclPatterns, PutInUserNameAndClientId) {
    Acl acl("pattern write s/%u/%c/#\npattern read dev-%c\npattern %u%c\n");
    EXPECT_TRUE(acl.Write("u", "s/u/client/x"));
    EXPECT_TRUE(acl.Write("u", "s/u/client"));
    EXPECT_FALSE(acl.Write("u", "s/u/other/x"));
    EXPECT_FALSE(acl.Write("u", "s/v/client/x"));
    EXPECT_TRUE(acl.Read("u", "dev-client"));
    EXPECT_FALSE(acl.Read("u", "dev-clientx"));
    EXPECT_FALSE(acl.Read("u", "dev-clien"));
    EXPECT_TRUE(acl.Read("u", "uclient"));
}

TEST(AclPatterns, WithUserNameAreNotForAnonymousClients) {
    Acl acl("pattern s/%u\npattern t/%u/#\n");
    EXPECT_FALSE(acl.Read(nullptr, "s/"));
    EXPECT_FALSE(acl.Read(nullptr, "s/%u"));
    EXPECT_FALSE(acl.Subscribe(nullptr, "s/#"));
    EXPECT_FALSE(acl.Subscribe(nullptr, "t/%u/x"));
    EXPECT_TRUE(acl.Read("x", "s/x"));
}

// CVE-2017-7650: a user name or client id with wildcards got access to everything.
TEST(AclPatterns, CannotBeWidenedByAName) {
    Acl acl("pattern readwrite %u/#\npattern readwrite c/%c\n");
    for (const char *name : {"+", "#", "a/b", "a+", "#a", "/", "+/+", "a/#"}) {
        for (const char *topic : {"a/b", "a", "x/y", "a/b/c", "+/x", "+", "c/x", "c/a/b"}) {
            EXPECT_FALSE(acl.Read(name, topic, "other")) << name << " " << topic;
            EXPECT_FALSE(acl.Write(name, topic, "other")) << name << " " << topic;
            EXPECT_FALSE(acl.Read("other", topic, name)) << name << " " << topic;
            EXPECT_FALSE(acl.Subscribe(name, topic, "other")) << name << " " << topic;
        }
        EXPECT_FALSE(acl.Subscribe(name, "#", name)) << name;
    }
    EXPECT_TRUE(acl.Read("a", "a/b"));
}

TEST(AclPatterns, CannotOpenTheSystemsTopicsByAName) {
    Acl acl("pattern readwrite %u/#\npattern readwrite %c/#\n");
    EXPECT_FALSE(acl.Read("$SYS", "$SYS/broker/uptime"));
    EXPECT_FALSE(acl.Write("u", "$CONTROL/x", "$CONTROL"));
    EXPECT_FALSE(acl.Subscribe("$SYS", "$SYS/#"));
}

// A denial that a name could slip out of would be worse than one that denies too much.
TEST(AclPatterns, DenyAlsoThoseWithDangerousNames) {
    Acl acl("user a/b\ntopic #\nuser +\ntopic #\npattern deny private/%u\n");
    EXPECT_FALSE(acl.Read("a/b", "private/a/b"));
    EXPECT_TRUE(acl.Read("a/b", "private/a"));
    EXPECT_TRUE(acl.Read("+", "private/x"));
}

TEST(AclPatterns, WithoutPlaceholderAreForAll) {
    Acl acl("pattern read public/#\n");
    EXPECT_TRUE(acl.Read("a+b", "public/x"));
    EXPECT_TRUE(acl.Read(nullptr, "public"));
    EXPECT_FALSE(acl.Write(nullptr, "public"));
}

TEST(AclPatterns, APercentSignAloneIsItself) {
    Acl acl("pattern 100%/%x/%c%\ntopic %u/%c\n");
    EXPECT_TRUE(acl.Read(nullptr, "100%/%x/client%"));
    EXPECT_FALSE(acl.Read(nullptr, "100%/%x/client"));
    EXPECT_TRUE(acl.Read(nullptr, "%u/%c"));
    EXPECT_FALSE(acl.Read("u", "u/client"));
}

// ---------------------------------------------------------------------- subscriptions

TEST(AclSubscribe, IsAllowedIfSomethingCouldBeReceived) {
    Acl acl("user u\ntopic read a/b\ntopic write w/#\ntopic deny a/secret\n");
    for (const char *filter : {"a/b", "#", "a/#", "+/b", "a/+", "+/+", "a/b/#", "+/#"}) {
        EXPECT_TRUE(acl.Subscribe("u", filter)) << filter;
    }
    for (const char *filter : {"a", "b", "a/c", "w/x", "w/#", "a/secret", "+", "a/+/+", "$SYS/#"}) {
        EXPECT_FALSE(acl.Subscribe("u", filter)) << filter;
    }
    EXPECT_FALSE(acl.Subscribe("v", "#"));
    EXPECT_FALSE(acl.Subscribe(nullptr, "#"));
}

TEST(AclSubscribe, IsDeniedIfADenialCoversTheFilter) {
    Acl acl("user u\ntopic read #\ntopic deny a/#\ntopic deny x/+/z\n");
    for (const char *filter : {"a", "a/#", "a/+", "a/b", "x/y/z", "x/+/z"}) {
        EXPECT_FALSE(acl.Subscribe("u", filter)) << filter;
    }
    for (const char *filter : {"#", "+/b", "x/#", "x/y/+", "ab"}) {
        EXPECT_TRUE(acl.Subscribe("u", filter)) << filter;
    }
}

TEST(AclSubscribe, KnowsPatterns) {
    Acl acl("pattern read in/%u/%c/#\npattern deny in/%u/%c/secret\n");
    EXPECT_TRUE(acl.Subscribe("u", "in/u/client/#"));
    EXPECT_TRUE(acl.Subscribe("u", "in/+/client/x"));
    EXPECT_TRUE(acl.Subscribe("u", "#"));
    EXPECT_FALSE(acl.Subscribe("u", "in/v/#"));
    EXPECT_FALSE(acl.Subscribe("u", "in/u/other/#"));
    EXPECT_FALSE(acl.Subscribe("u", "in/u/client/secret"));
    EXPECT_FALSE(acl.Subscribe(nullptr, "#"));
}

// ---------------------------------------------------------------------- malformed files

std::string Complaint(const std::string &line) {
    std::string text = "# first\n" + line + "\ntopic #\n";
    Policy policy(nullptr, &text, true);
    EXPECT_EQ(MR_ERR_INVALID, policy.err) << line;
    EXPECT_EQ(nullptr, policy.get()) << line;
    EXPECT_EQ(0u, policy.message.find("acl:2: ")) << policy.message;
    return policy.message;
}

TEST(AclFile, MalformedLinesAreNamed) {
    EXPECT_EQ("acl:2: expected user, topic or pattern, not 'tpoic'", Complaint("tpoic read a"));
    EXPECT_EQ("acl:2: expected user, topic or pattern, not 'read'", Complaint("read a"));
    EXPECT_EQ("acl:2: expected a name behind user", Complaint("user"));
    EXPECT_EQ("acl:2: expected a name behind user", Complaint("user  "));
    EXPECT_EQ(
        "acl:2: expected topic [read|write|readwrite|deny] and a topic filter, which is "
        "missing",
        Complaint("topic"));
    EXPECT_NE(std::string::npos, Complaint("topic read").find("missing"));
    EXPECT_NE(std::string::npos, Complaint("pattern deny ").find("expected pattern ["));
    EXPECT_EQ(
        "acl:2: expected read, write, readwrite or deny, not 'raed'; a topic with blanks needs "
        "one of them before it",
        Complaint("topic raed a"));
    for (const char *filter : {"a/#/b", "a#", "a+/b", "#/a", "+a", "\xff", "pattern%u+"}) {
        EXPECT_NE(
            std::string::npos,
            Complaint(std::string("topic read ") + filter).find("isn't a valid topic filter"));
        Complaint(std::string("pattern ") + filter);
    }
    Complaint(std::string("topic a\0b", 9));
    Complaint(std::string("\0topic a", 8));
    Complaint("topic read " + std::string(65536, 'a'));
    Complaint("\x1b[2J");
}

TEST(AclFile, LongLinesAreNoTrouble) {
    std::string longest(65535, 'a');
    Acl acl("topic read " + longest + "\n#" + std::string(10 << 20, 'x') + "\ntopic b\n");
    EXPECT_TRUE(acl.Read(nullptr, longest));
    EXPECT_TRUE(acl.Read(nullptr, "b"));
    Complaint("topic " + std::string(10 << 20, 'x'));
    std::string message = Complaint(std::string(10 << 20, 'x'));
    EXPECT_LT(message.size(), 300u);
}

TEST(AclFile, DeepTopicsAreNoTrouble) {
    std::string slashes(65000, '/');
    Acl acl("topic read " + slashes + "#\npattern write %c" + slashes + "\n");
    EXPECT_TRUE(acl.Read(nullptr, slashes + "x"));
    EXPECT_TRUE(acl.Subscribe(nullptr, slashes));
    EXPECT_TRUE(acl.Write(nullptr, "client" + slashes));
}

TEST(AclFile, TenThousandUsersAreFound) {
    std::string text = "topic read public\npattern read %u/%c\n";
    for (int i = 0; i < 10000; i++) {
        std::string user = "user" + std::to_string(i);
        text += "user " + user + "\ntopic readwrite " + user + "/#\ntopic read all\n";
    }
    Acl acl(text);
    EXPECT_TRUE(acl.Read("user9999", "user9999/a"));
    EXPECT_FALSE(acl.Read("user9999", "user9998/a"));
    EXPECT_TRUE(acl.Read("user0", "all"));
    EXPECT_FALSE(acl.Read("user10000", "all"));
    EXPECT_TRUE(acl.Read("user10000", "user10000/client"));
}

TEST(AclFile, ThousandsOfTopicsOfOneUserAreFound) {
    std::string text = "user u\n";
    for (int i = 0; i < 20000; i++) {
        text += "topic " +
                std::string(i % 3 == 0   ? "read"
                            : i % 3 == 1 ? "write"
                                         : "deny") +
                " t/" + std::to_string(i) + "\n";
    }
    Acl acl(text);
    for (int i = 0; i < 20001; i += 13) {
        std::string topic = "t/" + std::to_string(i);
        EXPECT_EQ(i % 3 == 0 && i < 20000, acl.Read("u", topic)) << topic;
        EXPECT_EQ(i % 3 == 1 && i < 20000, acl.Write("u", topic)) << topic;
    }
}

// -------------------------------------------------------------------------- references

TEST(AuthPolicy, LivesUntilItsLastReferenceIsGone) {
    std::string text = "topic read a\n";
    mr_auth_source source = {};
    source.acl_text = Slice(text);
    mr_auth_policy *policy;
    char *message;
    ASSERT_EQ(MR_OK, mr_auth_policy_new(&policy, &source, &message));
    EXPECT_EQ(nullptr, message);
    EXPECT_EQ(policy, mr_auth_policy_ref(policy));
    mr_auth_policy_unref(policy);
    text.assign(text.size(), 'x');  // The policy has its own copy.
    mr_auth_identity anonymous = {};
    anonymous.client_id = mr_slice_str("c");
    EXPECT_TRUE(mr_auth_check_acl(policy, &anonymous, mr_slice_str("a"), MR_ACL_READ));
    mr_auth_policy_unref(policy);
    mr_auth_policy_unref(nullptr);
}

// ------------------------------------------------------------------ against a model

// All topic names of up to three levels of a small alphabet.
std::vector<std::string> SmallTopics() {
    std::vector<std::string> topics;
    const char *levels[] = {"", "a", "b", "$S"};
    for (const char *x : levels) {
        for (const char *y : levels) {
            for (const char *z : levels) {
                topics.push_back(std::string(x) + "/" + y + "/" + z);
            }
            topics.push_back(std::string(x) + "/" + y);
        }
        if (*x != '\0') {
            topics.push_back(x);
        }
    }
    return topics;
}

class Random {
 public:
    explicit Random(uint64_t seed) : random_(seed) {
    }
    uint64_t Below(uint64_t bound) {
        return random_() % bound;
    }
    std::string Filter() {
        const char *levels[] = {"", "a", "b", "$S", "+", "+", "#"};
        std::string filter;
        for (uint64_t count = 1 + Below(3); count > 0; count--) {
            std::string level = levels[Below(7)];
            filter += (filter.empty() && count == 3 ? "" : filter.empty() ? "" : "/") + level;
            if (level == "#") {
                break;
            }
        }
        return filter.empty() ? "a" : filter;
    }

 private:
    std::mt19937_64 random_;
};

uint64_t Seed() {
    const char *given = std::getenv("MILLRACE_SEED");
    uint64_t seed = given != nullptr ? std::strtoull(given, nullptr, 10) : std::random_device()();
    std::printf("MILLRACE_SEED=%llu\n", static_cast<unsigned long long>(seed));
    return seed;
}

TEST(AclModel, FiltersOverlapIfATopicMatchesBoth) {
    Random random(Seed());
    std::vector<std::string> topics = SmallTopics();
    for (int i = 0; i < 3000; i++) {
        std::string a = random.Filter();
        std::string b = random.Filter();
        bool both = false;
        for (const std::string &topic : topics) {
            both = both || (mr_filter_matches(Slice(a), Slice(topic)) &&
                            mr_filter_matches(Slice(b), Slice(topic)));
        }
        EXPECT_EQ(both, mr_acl_filters_overlap(Slice(a), Slice(b))) << a << " " << b;
        EXPECT_EQ(both, mr_acl_filters_overlap(Slice(b), Slice(a))) << a << " " << b;
    }
}

// Rules of random files, judged one by one; and a subscription is never refused if a
// message with that filter could be read.
TEST(AclModel, RandomListsAreJudgedAsRuleByRule) {
    Random random(Seed());
    std::vector<std::string> topics = SmallTopics();
    const char *accesses[] = {"read", "write", "readwrite", "deny"};
    for (int round = 0; round < 100; round++) {
        std::vector<std::pair<int, std::string>> rules;
        std::string text = "user u\n";
        for (uint64_t count = random.Below(8); count > 0; count--) {
            int access = static_cast<int>(random.Below(4));
            rules.emplace_back(access, random.Filter());
            text += std::string(random.Below(3) ? "topic " : "pattern ") + accesses[access] + " " +
                    rules.back().second + "\n";
        }
        Acl acl(text);
        std::string filter = random.Filter();
        bool readable = false;
        for (const std::string &topic : topics) {
            bool read = false;
            bool write = false;
            bool denied = false;
            for (const auto &[access, rule] : rules) {
                bool matches = mr_filter_matches(Slice(rule), Slice(topic));
                read = read || (matches && (access == 0 || access == 2));
                write = write || (matches && (access == 1 || access == 2));
                denied = denied || (matches && access == 3);
            }
            EXPECT_EQ(read && !denied, acl.Read("u", topic)) << text << topic;
            EXPECT_EQ(write && !denied, acl.Write("u", topic)) << text << topic;
            readable =
                readable || (read && !denied && mr_filter_matches(Slice(filter), Slice(topic)));
        }
        if (readable) {
            EXPECT_TRUE(acl.Subscribe("u", filter)) << text << filter;
        }
    }
}

}  // namespace
