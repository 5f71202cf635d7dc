#include "broker/retained/bound.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <string>
#include <vector>

#include "broker/retained/testing.hh"
#include "codec/topic.h"

namespace {

using mr_testing::Seed;
using mr_testing::Slice;
using mr_testing::String;
using mr_testing::Topics;

// Is `topic` at or behind the bound?
bool Behind(const mr_topic_bound &bound, const std::string &topic) {
    int order = mr_topic_bound_compare(&bound, Slice(topic));
    return order < 0 || (order == 0 && !bound.above);
}

std::string Text(const mr_topic_bound &bound) {
    return String(bound.head) + String(bound.tail) + (bound.above ? " above" : "");
}

mr_topic_step Step(const std::string &filter, const std::string &topic) {
    mr_topic_step step = {};
    mr_topic_step_at(&step, Slice(filter), Slice(topic));
    return step;
}

std::string Next(const std::string &filter, const std::string &topic) {
    mr_topic_step step = Step(filter, topic);
    return step.more ? Text(step.next) : "end";
}

TEST(TopicBound, ComparesWithTheTextOfBothPieces) {
    mr_topic_bound bound = {Slice("ab"), Slice("/c"), false};
    for (const char *topic : {"", "a", "ab", "ab/", "ab/c", "ab/c/", "ab/d", "ac", "b", "aa/d"}) {
        int order = std::string("ab/c").compare(topic);
        int got = mr_topic_bound_compare(&bound, Slice(topic));
        EXPECT_EQ(order < 0, got < 0) << topic;
        EXPECT_EQ(order > 0, got > 0) << topic;
    }
}

TEST(TopicBound, BeginsWithTheLevelsBeforeTheFirstWildcard) {
    EXPECT_EQ("a/b", String(mr_topic_bound_first(Slice("a/b")).head));
    EXPECT_EQ("a/b/", String(mr_topic_bound_first(Slice("a/b/+")).head));
    // The parent belongs to it: "sport/#" also matches "sport" (section 4.7.1.2).
    EXPECT_EQ("a/b", String(mr_topic_bound_first(Slice("a/b/#")).head));
    EXPECT_EQ("", String(mr_topic_bound_first(Slice("#")).head));
    EXPECT_EQ("", String(mr_topic_bound_first(Slice("+/a")).head));
}

TEST(TopicStep, EndsAfterTheOnlyMatchOfAFilterWithoutWildcard) {
    EXPECT_TRUE(Step("a/b", "a/b").matches);
    EXPECT_EQ("end", Next("a/b", "a/b"));
    EXPECT_EQ("end", Next("a/b", "a/b/c"));
    EXPECT_EQ("end", Next("a/b", "b"));
}

TEST(TopicStep, SeeksToTheLevelBehindPlus) {
    EXPECT_EQ("a/x/c", Next("a/+/c", "a/x/b"));
    EXPECT_EQ("a/x/c", Next("a/+/c/#", "a/x/b"));
    EXPECT_EQ("a/x/c/", Next("a/+/c/#", "a/x/c!"));
    EXPECT_EQ("a/x/c/", Next("a/+/c/+", "a/x/b"));
}

TEST(TopicStep, LeavesWhatCannotMatchAnyMore) {
    EXPECT_EQ("a/x0", Next("a/+/c", "a/x/c"));
    EXPECT_EQ("a/x0", Next("a/+/c", "a/x/d"));
    EXPECT_EQ("a/x0", Next("a/+", "a/x/y"));
    EXPECT_EQ("a/x/y0", Next("a/+/+/c", "a/x/y/d"));
    EXPECT_EQ("end", Next("a/+/c", "b"));
}

TEST(TopicStep, TakesEverythingBehindHash) {
    EXPECT_TRUE(Step("a/#", "a").matches);
    EXPECT_TRUE(Step("a/#", "a/b/c").matches);
    EXPECT_EQ("a/b/c above", Next("a/#", "a/b/c"));
    EXPECT_EQ("a/", Next("a/#", "a!"));
    EXPECT_EQ("end", Next("a/#", "a0"));
}

// [MQTT-4.7.2-1]
TEST(TopicStep, LeavesOutDollarTopicsForWildcardsInTheFirstLevel) {
    for (const char *filter : {"#", "+", "+/a", "+/#"}) {
        EXPECT_FALSE(Step(filter, "$SYS/a").matches);
        EXPECT_EQ("%", Next(filter, "$SYS/a"));
    }
    EXPECT_TRUE(Step("$SYS/#", "$SYS/a").matches);
    EXPECT_TRUE(Step("$SYS/+", "$SYS/a").matches);
    EXPECT_TRUE(Step("a/+", "a/$b").matches);
}

// Against the definition of a match: every step must say the same, go forward, and
// not go past anything that matches.
TEST(TopicStep, AgreesWithTheDefinitionOfAMatch) {
    Topics topics(Seed());
    for (int round = 0; round < 100; round++) {
        std::set<std::string> all;
        for (int i = 0; i < 100; i++) {
            all.insert(topics.Topic());
        }
        for (int i = 0; i < 30; i++) {
            std::string filter = topics.Filter();
            mr_topic_bound first = mr_topic_bound_first(Slice(filter));
            for (auto it = all.begin(); it != all.end(); ++it) {
                bool matches = mr_filter_matches(Slice(filter), Slice(*it));
                mr_topic_step step = Step(filter, *it);
                ASSERT_EQ(matches, step.matches) << filter << " and " << *it;
                ASSERT_TRUE(!matches || Behind(first, *it)) << filter << " and " << *it;
                if (step.more && step.next.above) {
                    ASSERT_EQ(*it, String(step.next.head));
                }
                ASSERT_FALSE(step.more && Behind(step.next, *it)) << filter << " and " << *it;
                for (auto later = std::next(it); later != all.end(); ++later) {
                    if (mr_filter_matches(Slice(filter), Slice(*later))) {
                        ASSERT_TRUE(step.more && Behind(step.next, *later))
                            << filter << " at " << *it << " misses " << *later;
                    }
                }
            }
        }
    }
}

TEST(TopicStep, StandsTopicsOfTheMostLevels) {
    std::string topic(MR_TOPIC_BYTES_MAX, '/');
    EXPECT_TRUE(Step("#", topic).matches);
    EXPECT_FALSE(Step("+/+", topic).matches);
    EXPECT_EQ("/0", Next("+/+", topic));
    std::string filter = "+";
    for (int i = 1; i < 32768; i++) {
        filter += "/+";
    }
    ASSERT_EQ(size_t{MR_TOPIC_BYTES_MAX}, filter.size());
    EXPECT_TRUE(Step(filter, std::string(32767, '/')).matches);
    EXPECT_FALSE(Step(filter, std::string(32766, '/')).matches);
    EXPECT_FALSE(Step(filter, topic).matches);
}

}  // namespace
