#include "codec/topic.h"

#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

#include "codec/testing.hh"

namespace mr_testing {
namespace {

struct mr_slice S(const std::string &text) {
    return mr_slice_of(text.data(), text.size());
}

bool Matches(const std::string &filter, const std::string &topic) {
    return mr_filter_matches(S(filter), S(topic));
}

bool Covers(const std::string &outer, const std::string &inner) {
    return mr_filter_covers(S(outer), S(inner));
}

// What mr_filter_parse() found, copied out of the text that it points into.
struct Parsed {
    mr_filter_kind kind;
    bool shared;
    std::string share;
    std::string filter;
};

Parsed Parse(const std::string &text, bool shared_allowed = true) {
    struct mr_filter filter;
    memset(&filter, 0xa5, sizeof(filter));
    mr_filter_parse(S(text), shared_allowed, &filter);
    return {filter.kind, filter.share.data != nullptr, ToString(filter.share),
            ToString(filter.filter)};
}

std::vector<std::string> Split(const std::string &text) {
    std::vector<std::string> levels(1);
    for (char c : text) {
        if (c == '/') {
            levels.emplace_back();
        } else {
            levels.back() += c;
        }
    }
    return levels;
}

// Section 4.7 once more, by levels and recursion.
bool NaiveFrom(const std::vector<std::string> &filter, size_t f,
               const std::vector<std::string> &topic, size_t t) {
    if (f == filter.size()) {
        return t == topic.size();
    }
    if (filter[f] == "#") {
        return true;
    }
    if (t == topic.size()) {
        return false;
    }
    return (filter[f] == "+" || filter[f] == topic[t]) && NaiveFrom(filter, f + 1, topic, t + 1);
}

bool NaiveMatches(const std::string &filter, const std::string &topic) {
    if (topic[0] == '$' && (filter[0] == '+' || filter[0] == '#')) {
        return false;
    }
    return NaiveFrom(Split(filter), 0, Split(topic), 0);
}

TEST(TopicName, HasToBeUtf8WithoutWildcards) {
    EXPECT_TRUE(mr_topic_name_valid(S("sport/tennis/player1")));
    EXPECT_TRUE(mr_topic_name_valid(S("/")));
    EXPECT_TRUE(mr_topic_name_valid(S("Accounts payable")));
    EXPECT_TRUE(mr_topic_name_valid(S("$SYS/x")));
    EXPECT_FALSE(mr_topic_name_valid(S("")));                      // [MQTT-4.7.3-1]
    EXPECT_FALSE(mr_topic_name_valid(S(std::string("a\0b", 3))));  // [MQTT-4.7.3-2]
    EXPECT_FALSE(mr_topic_name_valid(S("sport/+")));               // [MQTT-4.7.0-1]
    EXPECT_FALSE(mr_topic_name_valid(S("#")));
    EXPECT_FALSE(mr_topic_name_valid(S("a\xff")));
}

// [MQTT-4.7.3-3]
TEST(TopicName, HasAtMost65535Bytes) {
    EXPECT_TRUE(mr_topic_name_valid(S(std::string(65535, 'x'))));
    EXPECT_FALSE(mr_topic_name_valid(S(std::string(65536, 'x'))));
    EXPECT_EQ(MR_FILTER_EXACT, Parse(std::string(65535, 'x')).kind);
    EXPECT_EQ(MR_FILTER_INVALID, Parse(std::string(65536, 'x')).kind);
}

// The examples of sections 4.7.1.2 and 4.7.1.3. [MQTT-4.7.1-1] [MQTT-4.7.1-2]
TEST(TopicFilter, HasWildcardsAsWholeLevelsOnly) {
    for (const char *good : {"#", "+", "sport/tennis/#", "sport/#", "+/tennis/#", "sport/+/player1",
                             "+/+", "/+", "+/", "/#", "//#", "$SYS/#", "+/monitor/Clients"}) {
        EXPECT_EQ(MR_FILTER_WILDCARD, Parse(good).kind) << good;
        EXPECT_EQ(good, Parse(good).filter);
        EXPECT_FALSE(Parse(good).shared);
    }
    for (const char *bad : {"sport/tennis#", "sport/tennis/#/ranking", "sport+", "+sport", "#/",
                            "##", "++", "+#", "#+", "a/#b", "a/+b/c", "a/b+/c", "#/a", "+a/b"}) {
        EXPECT_EQ(MR_FILTER_INVALID, Parse(bad).kind) << bad;
    }
    for (const char *exact : {"a", "/", "//", "a/b", "$SYS/monitor", "Accounts payable"}) {
        EXPECT_EQ(MR_FILTER_EXACT, Parse(exact).kind) << exact;
    }
}

TEST(TopicFilter, HasToBeNonemptyUtf8) {
    EXPECT_EQ(MR_FILTER_INVALID, Parse("").kind);
    EXPECT_EQ(MR_FILTER_INVALID, Parse(std::string("a\0", 2)).kind);
    EXPECT_EQ(MR_FILTER_INVALID, Parse("a/\xed\xa0\x80/#").kind);
    EXPECT_EQ(MR_FILTER_WILDCARD, Parse("\xc3\xa4/#").kind);
    struct mr_filter filter;
    mr_filter_parse(mr_slice_of(nullptr, 0), true, &filter);
    EXPECT_EQ(MR_FILTER_INVALID, filter.kind);
}

// Section 4.8.2.
TEST(SharedFilter, IsTakenApart) {
    Parsed filter = Parse("$share/consumer1/sport/tennis/+");
    EXPECT_EQ(MR_FILTER_WILDCARD, filter.kind);
    EXPECT_EQ("consumer1", filter.share);
    EXPECT_EQ("sport/tennis/+", filter.filter);
    filter = Parse("$share/consumer1//finance");
    EXPECT_EQ(MR_FILTER_EXACT, filter.kind);
    EXPECT_EQ("consumer1", filter.share);
    EXPECT_EQ("/finance", filter.filter);
    filter = Parse("$share/g/$share/x/y");
    EXPECT_EQ("$share/x/y", filter.filter);
    EXPECT_EQ(MR_FILTER_EXACT, filter.kind);
    filter = Parse("$share/g//");
    EXPECT_EQ("/", filter.filter);
    EXPECT_EQ(MR_FILTER_EXACT, filter.kind);
}

// [MQTT-4.8.2-1] [MQTT-4.8.2-2], and CVE-2025-68699: no second slash.
TEST(SharedFilter, NeedsANameAndAFilter) {
    for (const char *bad : {"$share/", "$share//x", "$share/a", "$share/ab", "$share/a/",
                            "$share/a+b/x", "$share/a#/x", "$share/+/x", "$share/#", "$share/+",
                            "$share/#/x", "$share/a/b#", "$share/a/#/b", "$share/a/+b"}) {
        EXPECT_EQ(MR_FILTER_INVALID, Parse(bad).kind) << bad;
    }
}

TEST(SharedFilter, OnlyBeginsWithTheWholePrefix) {
    for (const char *ordinary : {"$share", "$shar", "$shared/a", "$SHARE/a/b", "a/$share/b/c"}) {
        EXPECT_EQ(MR_FILTER_EXACT, Parse(ordinary).kind) << ordinary;
        EXPECT_FALSE(Parse(ordinary).shared);
    }
}

TEST(SharedFilter, IsAnOrdinaryOneWhereSharingIsNotAllowed) {
    Parsed filter = Parse("$share/a/b", false);
    EXPECT_EQ(MR_FILTER_EXACT, filter.kind);
    EXPECT_FALSE(filter.shared);
    EXPECT_EQ("$share/a/b", filter.filter);
    EXPECT_EQ(MR_FILTER_EXACT, Parse("$share//x", false).kind);
    EXPECT_EQ(MR_FILTER_EXACT, Parse("$share/a", false).kind);
    EXPECT_EQ(MR_FILTER_WILDCARD, Parse("$share/+/x", false).kind);
}

TEST(Levels, AreCountedWithTheEmptyOnes) {
    auto levels = [](const std::string &text) {
        std::vector<std::string> all;
        struct mr_levels it = mr_levels_begin(S(text));
        struct mr_slice level;
        while (mr_levels_next(&it, &level)) {
            all.push_back(ToString(level));
        }
        return all;
    };
    for (const char *text : {"a", "a/b", "/", "/a", "a/", "a//b", "//", "sport/tennis/player1"}) {
        EXPECT_EQ(Split(text), levels(text)) << text;
    }
    EXPECT_EQ(3u, levels("a//b").size());
    EXPECT_EQ(2u, levels("/a").size());
    struct mr_levels it = mr_levels_begin(mr_slice_of(nullptr, 0));
    struct mr_slice level;
    EXPECT_FALSE(mr_levels_next(&it, &level));
}

// Section 4.7.1.2.
TEST(Match, OfTheMultiLevelWildcardIncludesTheParent) {
    EXPECT_TRUE(Matches("sport/tennis/player1/#", "sport/tennis/player1"));
    EXPECT_TRUE(Matches("sport/tennis/player1/#", "sport/tennis/player1/ranking"));
    EXPECT_TRUE(Matches("sport/tennis/player1/#", "sport/tennis/player1/score/wimbledon"));
    EXPECT_TRUE(Matches("sport/#", "sport"));
    EXPECT_FALSE(Matches("sport/#", "sports"));
    EXPECT_TRUE(Matches("#", "sport"));
    EXPECT_TRUE(Matches("#", "/"));
}

// Section 4.7.1.3.
TEST(Match, OfTheSingleLevelWildcardIsExactlyOneLevel) {
    EXPECT_TRUE(Matches("sport/tennis/+", "sport/tennis/player1"));
    EXPECT_TRUE(Matches("sport/tennis/+", "sport/tennis/player2"));
    EXPECT_FALSE(Matches("sport/tennis/+", "sport/tennis/player1/ranking"));
    EXPECT_FALSE(Matches("sport/+", "sport"));
    EXPECT_TRUE(Matches("sport/+", "sport/"));
    EXPECT_TRUE(Matches("+/+", "/finance"));
    EXPECT_TRUE(Matches("/+", "/finance"));
    EXPECT_FALSE(Matches("+", "/finance"));
}

// Section 4.7.2. [MQTT-4.7.2-1]
TEST(Match, OfAWildcardInFrontLeavesOutDollarTopics) {
    EXPECT_FALSE(Matches("#", "$SYS"));
    EXPECT_FALSE(Matches("#", "$SYS/monitor"));
    EXPECT_FALSE(Matches("+/monitor/Clients", "$SYS/monitor/Clients"));
    EXPECT_TRUE(Matches("$SYS/#", "$SYS/monitor"));
    EXPECT_TRUE(Matches("$SYS/#", "$SYS"));
    EXPECT_TRUE(Matches("$SYS/monitor/+", "$SYS/monitor/Clients"));
    EXPECT_TRUE(Matches("a/+", "a/$SYS"));
    EXPECT_TRUE(Matches("a/#", "a/$SYS/b"));
    EXPECT_TRUE(Matches("+/$SYS", "a/$SYS"));
    EXPECT_FALSE(Matches("#", "$"));
}

// Section 4.7.3. [MQTT-4.7.3-4]
TEST(Match, IsByteForByte) {
    EXPECT_FALSE(Matches("ACCOUNTS", "Accounts"));
    EXPECT_TRUE(Matches("Accounts payable", "Accounts payable"));
    EXPECT_FALSE(Matches("/finance", "finance"));
    EXPECT_FALSE(Matches("a/", "a"));
    EXPECT_FALSE(Matches("a", "a/"));
    EXPECT_TRUE(Matches("/", "/"));
    EXPECT_TRUE(Matches("a//b", "a//b"));
    EXPECT_FALSE(Matches("a/b", "a//b"));
    // U+00E4 in both of its forms.
    EXPECT_FALSE(Matches("\xc3\xa4", "a\xcc\x88"));
}

// CVE-2019-11779 and CVE-2026-95844: deep topics must not need stack.
TEST(Match, OfVeryDeepTopicsNeedsNoStack) {
    std::string deep(65535, '/');
    EXPECT_TRUE(Matches(deep, deep));
    EXPECT_TRUE(Matches("/#", deep));
    EXPECT_FALSE(Matches(deep, deep.substr(1)));
    EXPECT_TRUE(Covers("#", deep));
    EXPECT_TRUE(Covers(deep, deep));
    std::string plus = "+";
    while (plus.size() + 2 <= 65535) {
        plus += "/+";
    }
    EXPECT_EQ(MR_FILTER_WILDCARD, Parse(plus).kind);
    EXPECT_TRUE(Matches(plus, std::string((plus.size() - 1) / 2, '/')));
    EXPECT_TRUE(Covers(plus, plus));
}

// All valid topic names or filters of up to `depth` levels out of `words`.
std::vector<std::string> AllOf(const std::vector<std::string> &words, int depth, bool filters) {
    std::vector<std::string> all;
    std::vector<std::string> deepest = {""};
    for (int level = 0; level < depth; level++) {
        std::vector<std::string> deeper;
        for (const std::string &front : deepest) {
            for (const std::string &word : words) {
                deeper.push_back(level == 0 ? word : front + "/" + word);
            }
        }
        deepest = deeper;
        all.insert(all.end(), deeper.begin(), deeper.end());
    }
    std::vector<std::string> valid;
    for (const std::string &one : all) {
        bool is_valid =
            filters ? Parse(one, false).kind != MR_FILTER_INVALID : mr_topic_name_valid(S(one));
        if (is_valid) {
            valid.push_back(one);
        }
    }
    return valid;
}

TEST(Match, AgreesWithTheNaiveOneOnAllShortFilters) {
    std::vector<std::string> topics = AllOf({"", "a", "b", "$s"}, 4, false);
    std::vector<std::string> filters = AllOf({"", "a", "$s", "+", "#"}, 4, true);
    ASSERT_GT(topics.size(), 300u);
    ASSERT_GT(filters.size(), 300u);
    for (const std::string &filter : filters) {
        for (const std::string &topic : topics) {
            ASSERT_EQ(NaiveMatches(filter, topic), Matches(filter, topic))
                << filter << ' ' << topic;
        }
    }
}

TEST(Match, AgreesWithTheNaiveOneOnRandomFilters) {
    std::mt19937_64 random = SeededRandom();
    const std::string bytes = "ab/+#$/+";
    auto text = [&](size_t len_max) {
        std::string out;
        for (size_t len = 1 + random() % len_max; len > 0; len--) {
            out += bytes[random() % bytes.size()];
        }
        return out;
    };
    int matched = 0;
    for (int i = 0; i < 300000; i++) {
        std::string filter = text(12);
        std::string topic = text(12);
        if (Parse(filter, false).kind == MR_FILTER_INVALID || !mr_topic_name_valid(S(topic))) {
            continue;
        }
        bool expected = NaiveMatches(filter, topic);
        matched += expected;
        ASSERT_EQ(expected, Matches(filter, topic)) << filter << ' ' << topic;
    }
    EXPECT_GT(matched, 100);
}

// The filter's validity, by levels.
TEST(TopicFilter, AgreesWithTheNaiveRules) {
    std::mt19937_64 random = SeededRandom();
    const std::string bytes = "a/+#/+#";
    for (int i = 0; i < 200000; i++) {
        std::string filter;
        for (size_t len = 1 + random() % 8; len > 0; len--) {
            filter += bytes[random() % bytes.size()];
        }
        std::vector<std::string> levels = Split(filter);
        mr_filter_kind expected = MR_FILTER_EXACT;
        for (size_t at = 0; at < levels.size(); at++) {
            if (levels[at].find_first_of("+#") == std::string::npos) {
                continue;
            }
            bool good = levels[at] == "+" || (levels[at] == "#" && at + 1 == levels.size());
            expected = good ? MR_FILTER_WILDCARD : MR_FILTER_INVALID;
            if (!good) {
                break;
            }
        }
        ASSERT_EQ(expected, Parse(filter).kind) << filter;
    }
}

TEST(Cover, IsSeenForPlainCases) {
    EXPECT_TRUE(Covers("#", "a/b"));
    EXPECT_TRUE(Covers("#", "#"));
    EXPECT_TRUE(Covers("+/#", "#"));
    EXPECT_TRUE(Covers("#", "+/#"));
    EXPECT_FALSE(Covers("+/+/#", "#"));
    EXPECT_TRUE(Covers("/+/#", "/#"));
    EXPECT_TRUE(Covers("+/+/#", "/#"));
    EXPECT_FALSE(Covers("#", "$SYS/a"));
    EXPECT_FALSE(Covers("+/a", "$SYS/a"));
    EXPECT_TRUE(Covers("$SYS/#", "$SYS/+/b"));
    EXPECT_TRUE(Covers("a/#", "a"));
    EXPECT_FALSE(Covers("a", "a/#"));
    EXPECT_FALSE(Covers("a/+", "a/#"));
    EXPECT_FALSE(Covers("a/+/#", "a/#"));
    EXPECT_TRUE(Covers("a/+", "a/b"));
    EXPECT_FALSE(Covers("a/b", "a/+"));
}

// The topics reach one level deeper than the filters and have a word that no filter
// has, so they tell any two filters apart that differ at all: both directions hold.
TEST(Cover, MeansThatTheTopicsOfOneAreASubsetOfTheOthers) {
    std::vector<std::string> topics = AllOf({"", "a", "z", "$s", "$z"}, 4, false);
    std::vector<std::string> filters = AllOf({"", "a", "$s", "+", "#"}, 3, true);
    std::vector<std::vector<bool>> matches;
    for (const std::string &filter : filters) {
        std::vector<bool> row;
        for (const std::string &topic : topics) {
            row.push_back(NaiveMatches(filter, topic));
        }
        matches.push_back(row);
    }
    for (size_t outer = 0; outer < filters.size(); outer++) {
        for (size_t inner = 0; inner < filters.size(); inner++) {
            bool subset = true;
            for (size_t i = 0; i < topics.size() && subset; i++) {
                subset = !matches[inner][i] || matches[outer][i];
            }
            ASSERT_EQ(subset, Covers(filters[outer], filters[inner]))
                << filters[outer] << " over " << filters[inner];
        }
    }
}

}  // namespace
}  // namespace mr_testing
