#include "trie/trie.h"

#include <gtest/gtest.h>
#include <xxhash.h>

#include <unordered_map>

#include "trie/epoch.h"
#include "trie/test_model.hh"
#include "trie/testing.h"

namespace {

using mr_test::Match;
using mr_test::Matches;
using mr_test::Model;
using mr_test::NodeText;
using mr_test::Parse;
using mr_test::Random;
using mr_test::Seed;
using mr_test::Slice;
using mr_test::Subscription;
using mr_test::ToRow;
using mr_test::Trie;

bool Matched(const std::string &filter, const std::string &topic) {
    Trie trie;
    trie.Insert(filter, 1);
    return Match(trie.get(), topic).rows.size() == 1;
}

// [MQTT-4.7.1-1] and the examples of section 4.7.1.2.
TEST(Trie, HashMatchesTheRestAndTheParent) {
    EXPECT_TRUE(Matched("sport/tennis/player1/#", "sport/tennis/player1"));
    EXPECT_TRUE(Matched("sport/tennis/player1/#", "sport/tennis/player1/ranking"));
    EXPECT_TRUE(Matched("sport/tennis/player1/#", "sport/tennis/player1/score/wimbledon"));
    EXPECT_TRUE(Matched("sport/#", "sport"));
    EXPECT_TRUE(Matched("#", "sport/tennis"));
    EXPECT_TRUE(Matched("#", "/"));
    EXPECT_FALSE(Matched("sport/#", "sports"));
    EXPECT_FALSE(Matched("sport/tennis/#", "sport"));
}

// [MQTT-4.7.1-2] and the examples of section 4.7.1.3.
TEST(Trie, PlusMatchesExactlyOneLevel) {
    EXPECT_TRUE(Matched("sport/tennis/+", "sport/tennis/player1"));
    EXPECT_TRUE(Matched("sport/tennis/+", "sport/tennis/player2"));
    EXPECT_FALSE(Matched("sport/tennis/+", "sport/tennis/player1/ranking"));
    EXPECT_FALSE(Matched("sport/+", "sport"));
    EXPECT_TRUE(Matched("sport/+", "sport/"));
    EXPECT_TRUE(Matched("+/+", "/finance"));
    EXPECT_TRUE(Matched("/+", "/finance"));
    EXPECT_FALSE(Matched("+", "/finance"));
    EXPECT_TRUE(Matched("+/tennis/#", "sport/tennis"));
    EXPECT_TRUE(Matched("sport/+/player1", "sport/tennis/player1"));
}

// [MQTT-4.7.2-1]
TEST(Trie, WildcardAtTheFirstLevelDoesNotMatchDollar) {
    EXPECT_FALSE(Matched("#", "$SYS/monitor/Clients"));
    EXPECT_FALSE(Matched("+/monitor/Clients", "$SYS/monitor/Clients"));
    EXPECT_FALSE(Matched("+/#", "$SYS"));
    EXPECT_TRUE(Matched("$SYS/#", "$SYS/monitor/Clients"));
    EXPECT_TRUE(Matched("$SYS/monitor/+", "$SYS/monitor/Clients"));
    EXPECT_TRUE(Matched("a/+", "a/$b"));
    EXPECT_TRUE(Matched("a/#", "a/$b/c"));
}

// [MQTT-4.7.3-4]: no normalization; section 4.7.3: case counts, empty levels count.
TEST(Trie, LevelsAreComparedByteByByte) {
    EXPECT_FALSE(Matched("ACCOUNTS", "Accounts"));
    EXPECT_FALSE(Matched("/finance", "finance"));
    EXPECT_FALSE(Matched("a//b", "a/b"));
    EXPECT_TRUE(Matched("a//b", "a//b"));
    EXPECT_TRUE(Matched("a/+/b", "a//b"));
    EXPECT_FALSE(Matched("a/+/", "a/b"));
    EXPECT_TRUE(Matched("a/+/", "a/b/"));
    EXPECT_FALSE(Matched("Accounts payable/+", "Accounts  payable/x"));
}

// [MQTT-3.8.4-3]
TEST(Trie, SubscribingAgainReplacesOptionsAndIdentifier) {
    for (const char *filter : {"a/b", "a/+", "$share/g/a/b"}) {
        Trie trie;
        EXPECT_FALSE(trie.Insert(filter, Subscription(7, 0, 5)));
        EXPECT_TRUE(trie.Insert(filter, Subscription(7, 2, 268435455, true, true)));
        EXPECT_EQ(trie.Stats().subscription_count, 1u);
        struct mr_subscription found;
        ASSERT_TRUE(mr_trie_node_get(trie.Find(filter), 7, &found));
        EXPECT_EQ(ToRow(found), ToRow(Subscription(7, 2, 268435455, true, true)));
        EXPECT_FALSE(mr_trie_node_get(trie.Find(filter), 8, &found));
    }
}

TEST(Trie, SubscriberWithSeveralMatchingFiltersComesSeveralTimes) {
    Trie trie;
    trie.Insert("a/b", Subscription(7, 0, 1));
    trie.Insert("a/+", Subscription(7, 1, 2));
    trie.Insert("#", Subscription(7, 2, 3));
    EXPECT_EQ(Match(trie.get(), "a/b").rows.size(), 3u);
}

// [MQTT-4.8.2-1], section 4.8.2: share name and filter make the subscription.
TEST(Trie, SharedFiltersAreReportedOncePerShareName) {
    Trie trie;
    for (const char *filter : {"a/b", "a/+"}) {
        trie.Insert(filter, 1);
        trie.Insert(std::string("$share/g/") + filter, 2);
        trie.Insert(std::string("$share/g/") + filter, 3);
        trie.Insert(std::string("$share/h/") + filter, 2);
    }
    Matches matches = Match(trie.get(), "a/b");
    EXPECT_EQ(matches.rows.size(), 2u);
    EXPECT_EQ(matches.shared, (std::multiset<std::string>{"$share/g/a/b", "$share/h/a/b",
                                                          "$share/g/a/+", "$share/h/a/+"}));
    EXPECT_EQ(trie.Stats().subscription_count, 8u);
    EXPECT_EQ(trie.Stats().shared_subscription_count, 6u);
    EXPECT_EQ(trie.Stats().node_count, 6u);
    trie.Remove("$share/g/a/+", 2);
    trie.Remove("$share/g/a/+", 3);
    trie.Remove("a/b", 1);
    matches = Match(trie.get(), "a/b");
    EXPECT_EQ(matches.rows.size(), 1u);
    EXPECT_EQ(matches.shared.size(), 3u);
}

TEST(Trie, NodeKnowsTheTextThatWasSubscribedTo) {
    Trie trie;
    for (const char *filter : {"a/b", "+/b/#", "$share/name/a/b", "$share/n/#"}) {
        trie.Insert(filter, 1);
        struct mr_trie_node *node = trie.Find(filter);
        ASSERT_NE(node, nullptr);
        EXPECT_EQ(NodeText(node), filter);
        EXPECT_EQ(mr_trie_node_is_shared(node), filter[0] == '$');
        uint8_t out[2] = {1, 2};
        EXPECT_EQ(mr_trie_node_text(node, out, 2), strlen(filter));
        EXPECT_EQ(out[0], 1);
    }
    EXPECT_EQ(trie.Find("a/c"), nullptr);
    EXPECT_EQ(trie.Find("b/#"), nullptr);
    EXPECT_EQ(trie.Find("$share/other/a/b"), nullptr);
}

TEST(Trie, NodesVanishWithTheirLastSubscription) {
    Trie trie;
    uint64_t empty_bytes = trie.Stats().bytes;
    for (const char *filter : {"a/b/c", "a/+/c", "a/b/+", "a/b/#", "a/b/c/d/+", "+/+/+", "#"}) {
        trie.Insert(filter, 1);
        trie.Insert(filter, 2);
    }
    for (const char *filter : {"a/+/c", "a/b/#", "a/b/c", "a/b/+", "#", "a/b/c/d/+", "+/+/+"}) {
        trie.Remove(filter, 1);
        EXPECT_NE(trie.Find(filter), nullptr);
        trie.Remove(filter, 2);
        EXPECT_EQ(trie.Find(filter), nullptr);
    }
    struct mr_trie_stats stats = trie.Stats();
    EXPECT_EQ(stats.node_count, 0u);
    EXPECT_EQ(stats.subscription_count, 0u);
    EXPECT_EQ(stats.retired_count, 0u);
    // Nothing is left but the list of free branch identifiers.
    EXPECT_LE(stats.bytes, empty_bytes + 128);
}

TEST(Trie, LimitOfSubscriptionsStillAllowsReplacing) {
    Trie trie(2);
    trie.Insert("a", 1);
    trie.Insert("b/+", 1);
    EXPECT_EQ(trie.TryInsert("c", Subscription(1)), MR_ERR_LIMIT);
    EXPECT_EQ(trie.TryInsert("a", Subscription(2)), MR_ERR_LIMIT);
    EXPECT_TRUE(trie.Insert("a", Subscription(1, 2)));
    trie.Remove("a", 1);
    EXPECT_EQ(trie.TryInsert("c", Subscription(1)), MR_OK);
    EXPECT_EQ(trie.Stats().subscription_count, 2u);
}

TEST(Trie, RefusesInvalidArguments) {
    Trie trie;
    EXPECT_EQ(trie.TryInsert("a#", Subscription(1)), MR_ERR_INVALID);
    EXPECT_EQ(trie.TryInsert("", Subscription(1)), MR_ERR_INVALID);
    EXPECT_EQ(trie.TryInsert("a", Subscription(0)), MR_ERR_INVALID);
    EXPECT_EQ(trie.TryInsert("a", Subscription(mr_subscriber_make(64, 1))), MR_ERR_INVALID);
    EXPECT_EQ(trie.TryInsert("a", Subscription(mr_subscriber_make(63, 1))), MR_OK);
}

TEST(Trie, LimitsTheLevelsOfFiltersWithWildcards) {
    Trie trie;
    std::string most(2 * (MR_FILTER_LEVELS_MAX - 1), '/');
    for (size_t i = 0; i < most.size(); i += 2) {
        most[i] = '+';
    }
    EXPECT_EQ(trie.TryInsert(most + "#", Subscription(1)), MR_OK);
    EXPECT_EQ(trie.TryInsert(most + "+", Subscription(1)), MR_OK);
    EXPECT_EQ(trie.TryInsert(most + "+/#", Subscription(1)), MR_ERR_LIMIT);
    std::string topic(2 * MR_FILTER_LEVELS_MAX - 1, '/');
    topic[0] = 'a';
    EXPECT_EQ(Match(trie.get(), topic.substr(0, MR_FILTER_LEVELS_MAX)).rows.size(), 2u);
    EXPECT_EQ(Match(trie.get(), topic.substr(0, MR_FILTER_LEVELS_MAX - 1)).rows.size(), 1u);
    EXPECT_EQ(Match(trie.get(), topic.substr(0, MR_FILTER_LEVELS_MAX - 2)).rows.size(), 0u);
    EXPECT_EQ(Match(trie.get(), topic).rows.size(), 1u);
    std::string exact(MR_TOPIC_BYTES_MAX, '/');
    EXPECT_EQ(trie.TryInsert(exact, Subscription(1)), MR_OK);
}

// CVE-2019-11779 and others: deep topics must cost neither stack nor time.
TEST(Trie, TopicOfNothingButSlashes) {
    Trie trie;
    std::string topic(MR_TOPIC_BYTES_MAX, '/');
    std::string pluses = "+";
    for (uint32_t i = 1; i < MR_FILTER_LEVELS_MAX - 1; i++) {
        trie.Insert(pluses + "/#", i);
        trie.Insert(pluses, i);
        pluses += i % 2 == 0 ? "/+" : "/";
    }
    EXPECT_EQ(Match(trie.get(), topic).rows.size(), MR_FILTER_LEVELS_MAX - 2);
    trie.Insert(topic, 1);
    EXPECT_EQ(Match(trie.get(), topic).rows.size(), MR_FILTER_LEVELS_MAX - 1);
    EXPECT_EQ(Match(trie.get(), topic.substr(1)).rows.size(), MR_FILTER_LEVELS_MAX - 2);
    trie.Remove(topic, 1);
    EXPECT_EQ(trie.Find(topic), nullptr);
    EXPECT_GT(mr_trie_topic_version(trie.get(), Slice(topic)), 0u);
}

TEST(Trie, LevelsOfFullLength) {
    Trie trie;
    std::string level(MR_TOPIC_BYTES_MAX - 2, 'x');
    trie.Insert(level + "/+", 1);
    trie.Insert(level + "/#", 2);
    trie.Insert("+/" + level, 3);
    trie.Insert("$share/" + std::string(MR_TOPIC_BYTES_MAX - 9, 's') + "/#", 4);
    EXPECT_EQ(Match(trie.get(), level + "/a").rows.size(), 2u);
    EXPECT_EQ(Match(trie.get(), "/" + level).rows.size(), 1u);
    EXPECT_EQ(Match(trie.get(), level).rows.size(), 1u);
    EXPECT_EQ(Match(trie.get(), "a").shared.size(), 1u);
}

// All combinations of '+' and 'a' over 12 levels: 4096 filters that all match.
TEST(Trie, MatchFindsAllPathsOfABinaryTree) {
    Trie trie;
    const int levels = 12;
    for (uint32_t bits = 0; bits < 1u << levels; bits++) {
        std::string filter;
        for (int i = 0; i < levels; i++) {
            filter += i > 0 ? "/" : "";
            filter += bits >> i & 1 ? "+" : "a";
        }
        trie.Insert(filter, bits + 1);
    }
    std::string topic = "a";
    for (int i = 1; i < levels; i++) {
        topic += "/a";
    }
    EXPECT_EQ(Match(trie.get(), topic).rows.size(), 1u << levels);
    EXPECT_EQ(Match(trie.get(), topic + "/a").rows.size(), 0u);
}

TEST(Trie, AgreesWithTheDefinitionUnderRandomChanges) {
    Random random(Seed());
    for (int round = 0; round < 20; round++) {
        Trie trie;
        Model model;
        std::vector<std::pair<std::string, uint32_t>> held;
        for (int step = 0; step < 600; step++) {
            bool is_growing = step % 300 < 200;
            if (held.empty() || random.Below(100) < (is_growing ? 75u : 25u)) {
                std::string filter = random.Filter();
                struct mr_subscription s =
                    Subscription(1 + random.Below(6), static_cast<uint8_t>(random.Below(3)),
                                 random.Below(3), random.Below(2) == 0, random.Below(2) == 0);
                bool existed = model.Insert(filter, s);
                EXPECT_EQ(trie.Insert(filter, s), existed) << filter;
                if (!existed) {
                    held.emplace_back(filter, s.subscriber);
                }
            } else {
                size_t at = random.Below(static_cast<uint32_t>(held.size()));
                trie.Remove(held[at].first, held[at].second);
                model.Remove(held[at].first, held[at].second);
                held[at] = held.back();
                held.pop_back();
            }
            std::string topic = random.Topic();
            ASSERT_EQ(Match(trie.get(), topic), model.Match(topic)) << topic;
        }
        struct mr_trie_stats stats = trie.Stats();
        EXPECT_EQ(stats.subscription_count, model.SubscriptionCount());
        EXPECT_EQ(stats.node_count, model.filters().size());
        for (const auto &[filter, subscriber] : held) {
            trie.Remove(filter, subscriber);
        }
        EXPECT_EQ(trie.Stats().node_count, 0u);
        EXPECT_EQ(trie.Stats().retired_count, 0u);
    }
}

// From one word in the node to a plain table, to parts, and all the way back.
TEST(Trie, OneFilterTakesManySubscribersAndLosesThem) {
    for (const char *filter : {"a/b", "a/+"}) {
        Trie trie;
        const uint32_t count = 20000;
        uint64_t empty_bytes = trie.Stats().bytes;
        for (uint32_t i = 1; i <= count; i++) {
            ASSERT_FALSE(trie.Insert(filter, Subscription(i, i % 3)));
        }
        EXPECT_EQ(Match(trie.get(), "a/b").rows.size(), count);
        uint64_t full_bytes = trie.Stats().bytes - empty_bytes;
        EXPECT_LT(full_bytes / count, 20u);
        for (uint32_t i = 1; i <= count; i += 7) {
            EXPECT_TRUE(trie.Insert(filter, Subscription(i, 1)));
        }
        for (uint32_t i = 1; i <= count - 5; i++) {
            struct mr_subscription found;
            ASSERT_TRUE(mr_trie_node_get(trie.Find(filter), i, &found));
            ASSERT_EQ(found.qos, i % 7 == 1 ? 1 : i % 3);
            trie.Remove(filter, i);
            ASSERT_FALSE(mr_trie_node_get(trie.Find(filter), i, &found));
        }
        EXPECT_EQ(Match(trie.get(), "a/b").rows.size(), 5u);
        // A match must not go on paying for those who left.
        EXPECT_LT(trie.Stats().bytes - empty_bytes, 2000u);
    }
}

TEST(Trie, ChurnInABigFilterNeedsNoMoreMemory) {
    Trie trie;
    for (uint32_t i = 1; i <= 5000; i++) {
        trie.Insert("a/+", i);
    }
    uint64_t bytes = trie.Stats().bytes;
    for (uint32_t i = 1; i <= 100000; i++) {
        trie.Remove("a/+", i);
        trie.Insert("a/+", i + 5000);
    }
    EXPECT_LT(trie.Stats().bytes, bytes * 2);
    EXPECT_EQ(Match(trie.get(), "a/b").rows.size(), 5000u);
}

// A table in which every place was used once would have no place where a search for somebody new
// ends, so it is made anew in time; what a reader could still see of the old one is retired.
// Levels are found by 32 bits of their hash. These two have the same, and one is the beginning of
// the other.
TEST(Trie, LevelsWithEqualHashesAreToldApart) {
    const uint64_t seed = 42;  // Of Trie.
    std::string level(123, 'a');
    std::string longer = std::string(200, 'a') + "8692318";
    auto hash = [](const std::string &text) {
        return static_cast<uint32_t>(XXH3_64bits_withSeed(text.data(), text.size(), seed));
    };
    ASSERT_EQ(hash(level), hash(longer));
    for (bool longer_first : {false, true}) {
        for (const std::string rest : {"/+", "/+/x/#"}) {
            Trie trie;
            const std::string &first = longer_first ? longer : level;
            const std::string &second = longer_first ? level : longer;
            std::string topic = rest == "/+" ? "/1" : "/1/x/2";
            trie.Insert(first + rest, 1);
            EXPECT_EQ(Match(trie.get(), first + topic).rows.size(), 1u);
            EXPECT_EQ(Match(trie.get(), second + topic).rows.size(), 0u);
            trie.Insert(second + rest, 2);
            trie.Insert(second + "/other/#", 3);
            EXPECT_EQ(Match(trie.get(), first + topic).rows.size(), 1u);
            EXPECT_EQ(Match(trie.get(), second + topic).rows.size(), 1u);
            trie.Remove(first + rest, 1);
            EXPECT_EQ(Match(trie.get(), first + topic).rows.size(), 0u);
            EXPECT_EQ(Match(trie.get(), second + topic).rows.size(), 1u);
            EXPECT_EQ(Match(trie.get(), second + "/other/y").rows.size(), 1u);
        }
    }
}

TEST(Trie, ChurnInAFilterMakesItsTableAnewInTime) {
    Trie trie;
    for (uint32_t i = 1; i <= 100; i++) {
        trie.Insert("a/+", i);
    }
    struct mr_epoch *epoch = mr_trie_epoch(trie.get());
    uint32_t reader;
    ASSERT_EQ(mr_epoch_register(epoch, &reader), MR_OK);
    mr_epoch_enter(epoch, reader);
    uint64_t retired = trie.Stats().retired_count;
    for (uint32_t i = 1; i <= 1000; i++) {
        trie.Remove("a/+", i);
        trie.Insert("a/+", i + 100);
    }
    // Of some 200 places at most three in four are used, and some are used again.
    EXPECT_GE(trie.Stats().retired_count, retired + 3);
    mr_epoch_leave(epoch, reader);
    mr_epoch_unregister(epoch, reader);
    EXPECT_EQ(Match(trie.get(), "a/b").rows.size(), 100u);
}

TEST(Trie, ChurnOfFiltersNeedsNoMoreMemory) {
    Trie trie;
    auto name = [](int i) { return "dev/" + std::to_string(i); };
    for (int i = 0; i < 2000; i++) {
        trie.Insert(name(i) + "/+/cmd", 1);
        trie.Insert(name(i) + "/state", 1);
    }
    uint64_t bytes = trie.Stats().bytes;
    for (int i = 0; i < 40000; i++) {
        trie.Remove(name(i) + "/+/cmd", 1);
        trie.Remove(name(i) + "/state", 1);
        trie.Insert(name(i + 2000) + "/+/cmd", 1);
        trie.Insert(name(i + 2000) + "/state", 1);
    }
    EXPECT_LT(trie.Stats().bytes, bytes * 3 / 2);
    EXPECT_EQ(trie.Stats().node_count, 4000u);
}

// Edges are found by 32 bits of a level's hash, which are only a hint.
TEST(Trie, LevelsWithTheSameHashAreKeptApart) {
    std::unordered_map<uint32_t, std::string> seen;
    std::vector<std::pair<std::string, std::string>> pairs;
    for (int i = 0; pairs.size() < 3; i++) {
        std::string level = "level" + std::to_string(i);
        // 42 is the seed of the tests' trie.
        uint32_t hash = static_cast<uint32_t>(XXH3_64bits_withSeed(level.data(), level.size(), 42));
        auto [it, is_new] = seen.try_emplace(hash, level);
        if (!is_new) {
            pairs.emplace_back(it->second, level);
        }
    }
    for (const auto &[a, b] : pairs) {
        Trie trie;
        for (const char *rest : {"/+", "/#", "/x/+"}) {
            trie.Insert("root/" + a + rest, 1);
            trie.Insert("root/" + b + rest, 2);
        }
        EXPECT_EQ(trie.Stats().node_count, 6u);
        Matches expected;
        expected.rows = {ToRow(Subscription(1)), ToRow(Subscription(1))};
        EXPECT_EQ(Match(trie.get(), "root/" + a + "/y"), expected);
        expected.rows = {ToRow(Subscription(2)), ToRow(Subscription(2))};
        EXPECT_EQ(Match(trie.get(), "root/" + b + "/x/y"), expected);
        for (const char *rest : {"/+", "/#", "/x/+"}) {
            trie.Remove("root/" + a + rest, 1);
        }
        EXPECT_EQ(Match(trie.get(), "root/" + a + "/y").rows.size(), 0u);
        EXPECT_EQ(Match(trie.get(), "root/" + b + "/y").rows.size(), 2u);
    }
}

// -------------------------------------------------------------------------- shares

std::vector<uint32_t> Picks(struct mr_trie_node *node, int count,
                            bool (*usable)(void *, uint32_t) = nullptr) {
    std::vector<uint32_t> picks;
    for (int i = 0; i < count; i++) {
        struct mr_subscription s;
        EXPECT_TRUE(mr_trie_node_pick(node, usable, nullptr, &s));
        picks.push_back(s.subscriber);
    }
    return picks;
}

TEST(TriePick, GoesRoundAllMembersEvenly) {
    for (uint32_t members : {1u, 2u, 3u, 10u, 5000u}) {
        Trie trie;
        for (uint32_t i = 1; i <= members; i++) {
            trie.Insert("$share/g/a/+", Subscription(i, 1, i));
        }
        std::map<uint32_t, int> counts;
        for (uint32_t pick : Picks(trie.Find("$share/g/a/+"), static_cast<int>(members) * 3)) {
            counts[pick]++;
        }
        EXPECT_EQ(counts.size(), members);
        for (const auto &[subscriber, count] : counts) {
            EXPECT_EQ(count, 3) << subscriber;
        }
    }
}

TEST(TriePick, PassesOverMembersThatAreNotUsable) {
    Trie trie;
    for (uint32_t i = 1; i <= 9; i++) {
        trie.Insert("$share/g/a", i);
    }
    auto even = [](void *, uint32_t subscriber) { return subscriber % 2 == 0; };
    std::map<uint32_t, int> counts;
    for (uint32_t pick : Picks(trie.Find("$share/g/a"), 8, even)) {
        counts[pick]++;
    }
    EXPECT_EQ(counts, (std::map<uint32_t, int>{{2, 2}, {4, 2}, {6, 2}, {8, 2}}));
}

TEST(TriePick, TakesTheNextMemberAtAllIfNoneIsUsable) {
    Trie trie;
    for (uint32_t i = 1; i <= 4; i++) {
        trie.Insert("$share/g/a", i);
    }
    std::vector<uint32_t> picks =
        Picks(trie.Find("$share/g/a"), 4, [](void *, uint32_t) { return false; });
    EXPECT_EQ(std::set<uint32_t>(picks.begin(), picks.end()).size(), 4u);
}

TEST(TriePick, NeverPicksAMemberThatLeft) {
    Trie trie;
    for (uint32_t i = 1; i <= 4; i++) {
        trie.Insert("$share/g/a", Subscription(i, 2, 9));
    }
    trie.Remove("$share/g/a", 1);
    trie.Remove("$share/g/a", 3);
    std::vector<uint32_t> picks = Picks(trie.Find("$share/g/a"), 6);
    EXPECT_EQ(std::set<uint32_t>(picks.begin(), picks.end()), (std::set<uint32_t>{2, 4}));
}

// ------------------------------------------------------------------------ versions

class TrieVersion : public ::testing::Test {
 protected:
    // Does `change` alter the version of `topic`?
    template <typename Change>
    bool Alters(const std::string &topic, Change change) {
        uint64_t global = mr_trie_version(trie_.get());
        uint64_t before = mr_trie_topic_version(trie_.get(), Slice(topic));
        change();
        EXPECT_GT(mr_trie_version(trie_.get()), global);
        return mr_trie_topic_version(trie_.get(), Slice(topic)) != before;
    }

    bool InsertAlters(const std::string &filter, const std::string &topic) {
        bool insert_alters = Alters(topic, [&] { trie_.Insert(filter, 1); });
        bool replace_alters = Alters(topic, [&] { trie_.Insert(filter, Subscription(1, 1)); });
        bool remove_alters = Alters(topic, [&] { trie_.Remove(filter, 1); });
        EXPECT_EQ(insert_alters, replace_alters);
        EXPECT_EQ(insert_alters, remove_alters);
        return insert_alters;
    }

    Trie trie_;
};

TEST_F(TrieVersion, RelatedChangesAlterTheTopicVersion) {
    EXPECT_TRUE(InsertAlters("a/b", "a/b"));
    EXPECT_TRUE(InsertAlters("a/+", "a/b"));
    EXPECT_TRUE(InsertAlters("a/#", "a"));
    EXPECT_TRUE(InsertAlters("+/b", "a/b"));
    EXPECT_TRUE(InsertAlters("#", "a/b"));
    EXPECT_TRUE(InsertAlters("$share/g/a/b", "a/b"));
    EXPECT_TRUE(InsertAlters("$share/g/a/+", "a/b"));
    EXPECT_TRUE(InsertAlters("$SYS/#", "$SYS/a"));
}

TEST_F(TrieVersion, UnrelatedChangesDoNot) {
    EXPECT_FALSE(InsertAlters("a/c", "a/b"));
    EXPECT_FALSE(InsertAlters("b/+", "a/b"));
    EXPECT_FALSE(InsertAlters("a/b/c/#", "a/b"));
    EXPECT_FALSE(InsertAlters("b/#", "a/b"));
    EXPECT_FALSE(InsertAlters("#", "$SYS/a"));
    EXPECT_FALSE(InsertAlters("$share/g/a/c", "a/b"));
}

TEST_F(TrieVersion, SubscribingAgainWithTheSameOptionsChangesNothing) {
    trie_.Insert("a/+", Subscription(1, 1, 5));
    uint64_t version = mr_trie_version(trie_.get());
    EXPECT_TRUE(trie_.Insert("a/+", Subscription(1, 1, 5)));
    EXPECT_EQ(mr_trie_version(trie_.get()), version);
}

// The property that caches rely on.
TEST_F(TrieVersion, WhoeverIsMatchedHasAVersionThatFollows) {
    Random random(Seed());
    for (int i = 0; i < 3000; i++) {
        std::string filter = random.Filter();
        std::string topic = random.Topic();
        if (mr_filter_matches(Parse(filter).filter, Slice(topic))) {
            EXPECT_TRUE(InsertAlters(filter, topic)) << filter << " " << topic;
        }
    }
}

// --------------------------------------------------------------------- lack of memory

TEST(TrieMemory, FailedInsertChangesNothing) {
    Random random(Seed());
    Trie trie;
    Model model;
    int failed_count = 0;
    for (int step = 0; step < 4000; step++) {
        std::string filter = random.Filter();
        struct mr_subscription s = Subscription(1 + random.Below(50), 0, random.Below(9));
        mr_trie_test_limit_allocations(trie.get(), random.Below(4));
        enum mr_err err = trie.TryInsert(filter, s);
        if (err == MR_OK) {
            model.Insert(filter, s);
        } else {
            ASSERT_EQ(err, MR_ERR_NOMEM);
            ASSERT_FALSE(model.Has(filter, s.subscriber)) << "replacing needs no memory";
            failed_count++;
        }
        if (random.Below(3) == 0 && !model.filters().empty()) {
            auto it = model.filters().begin();
            std::advance(it, random.Below(static_cast<uint32_t>(model.filters().size())));
            std::string text = it->first;
            uint32_t subscriber = it->second.begin()->first;
            trie.Remove(text, subscriber);
            model.Remove(text, subscriber);
        }
        mr_trie_test_limit_allocations(trie.get(), UINT64_MAX);
        std::string topic = random.Topic();
        ASSERT_EQ(Match(trie.get(), topic), model.Match(topic)) << topic;
        ASSERT_EQ(trie.Stats().subscription_count, model.SubscriptionCount());
        ASSERT_EQ(trie.Stats().node_count, model.filters().size());
    }
    EXPECT_GT(failed_count, 100);
}

// Refused again and again, so that what is lost adds up. Others come and go in between, since
// what was retired is given back with them.
void ExpectRefusalsLoseNothing(Trie *trie, const std::string &filter, uint64_t allocations) {
    uint64_t settled = 0;
    for (int again = 0; again < 30; again++) {
        mr_trie_test_limit_allocations(trie->get(), allocations);
        enum mr_err err = trie->TryInsert(filter, Subscription(0x5000));
        mr_trie_test_limit_allocations(trie->get(), UINT64_MAX);
        if (err == MR_OK) {
            trie->Remove(filter, 0x5000);  // A table had grown before, and stays so.
            return;
        }
        for (int i = 0; i < 4; i++) {
            trie->Insert("other/+", 1);
            trie->Remove("other/+", 1);
        }
        if (again == 10) {
            settled = trie->Stats().bytes;
        }
    }
    EXPECT_LE(trie->Stats().bytes, settled) << filter << ", " << allocations << " allocations";
}

TEST(TrieMemory, ASubscriptionThatIsRefusedLosesNoMemory) {
    const std::string filters[] = {"exact/new",   "tree/new/+",       "tree/1/+/new/#",
                                   "members/+/x", "$share/g/exact/1", "$share/g/+/y",
                                   "a/b/c/+/#",   "exact/1"};
    int refused = 0;
    for (uint32_t count : {0u, 1u, 3u, 4u, 7u, 8u, 15u, 16u, 31u, 32u, 127u, 128u}) {
        Trie trie;
        for (uint32_t i = 1; i <= count; i++) {
            trie.Insert("exact/" + std::to_string(i), i);
            trie.Insert("tree/" + std::to_string(i) + "/+", i);
            trie.Insert("members/+/x", i);
        }
        for (const std::string &filter : filters) {
            for (uint64_t allocations = 0;; allocations++) {
                mr_trie_test_limit_allocations(trie.get(), allocations);
                enum mr_err err = trie.TryInsert(filter, Subscription(0x5000));
                mr_trie_test_limit_allocations(trie.get(), UINT64_MAX);
                if (err == MR_OK) {
                    trie.Remove(filter, 0x5000);
                    break;
                }
                refused++;
                ExpectRefusalsLoseNothing(&trie, filter, allocations);
            }
        }
        EXPECT_EQ(Match(trie.get(), "members/a/x").rows.size(), count);
    }
    EXPECT_GT(refused, 50);
}

TEST(TrieMemory, BigSetsSurviveLackOfMemory) {
    Trie trie;
    uint32_t count = 0;
    Random random(Seed());
    for (uint32_t i = 1; i <= 30000; i++) {
        mr_trie_test_limit_allocations(trie.get(), random.Below(100));
        count += trie.TryInsert("a/+", Subscription(i)) == MR_OK;
    }
    mr_trie_test_limit_allocations(trie.get(), 0);
    EXPECT_GT(count, 1000u);
    Matches matches = Match(trie.get(), "a/b");
    EXPECT_EQ(matches.rows.size(), count);
    // Shrinking fails, removing doesn't.
    for (const mr_test::Row &row : matches.rows) {
        trie.Remove("a/+", std::get<0>(row));
    }
    EXPECT_EQ(trie.Stats().node_count, 0u);
    mr_trie_test_limit_allocations(trie.get(), UINT64_MAX);
    trie.Insert("a/+", 1);
    EXPECT_EQ(Match(trie.get(), "a/b").rows.size(), 1u);
}

}  // namespace
