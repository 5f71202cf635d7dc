#include "broker/session/topic_aliases.h"

#include <gtest/gtest.h>

#include "broker/session/testing.hh"

namespace mr_testing {
namespace {

struct Found {
    uint16_t alias;
    bool known;
    bool operator==(const Found &other) const {
        return alias == other.alias && known == other.known;
    }
};

Found Find(const mr_topic_aliases *aliases, const std::string &topic) {
    Found found;
    found.alias =
        mr_topic_aliases_find(aliases, mr_slice_of(topic.data(), topic.size()), &found.known);
    return found;
}

mr_err Commit(World *world, mr_topic_aliases *aliases, const std::string &topic) {
    return mr_topic_aliases_commit(aliases, world->pool(), mr_slice_of(topic.data(), topic.size()));
}

TEST(TopicAliases, GoToTheFirstTopicNamesAndStay) {
    World world;
    for (uint32_t max : {1u, 2u, 3u, 10u, 1000u, 65535u}) {
        mr_topic_aliases *aliases = mr_topic_aliases_new(static_cast<uint16_t>(max));
        ASSERT_NE(aliases, nullptr);
        for (uint32_t i = 1; i <= max; i++) {
            std::string topic = "topic/" + std::to_string(i);
            ASSERT_EQ(Find(aliases, topic), (Found{static_cast<uint16_t>(i), false}));
            ASSERT_EQ(Commit(&world, aliases, topic), MR_OK);
            ASSERT_EQ(Find(aliases, topic), (Found{static_cast<uint16_t>(i), true}));
        }
        EXPECT_EQ(Find(aliases, "another"), (Found{0, false}));
        for (uint32_t i = 1; i <= max; i++) {
            ASSERT_EQ(Find(aliases, "topic/" + std::to_string(i)),
                      (Found{static_cast<uint16_t>(i), true}));
        }
        mr_topic_aliases_free(aliases);
    }
    mr_topic_aliases_free(nullptr);
}

TEST(TopicAliases, TellLongAndSimilarNamesApart) {
    World world;
    mr_topic_aliases *aliases = mr_topic_aliases_new(5);
    const std::string names[] = {std::string(65535, 'a'), std::string(65534, 'a'), "a",
                                 std::string("a\0", 2), "b"};
    uint16_t alias = 0;
    for (const std::string &name : names) {
        EXPECT_EQ(Find(aliases, name), (Found{++alias, false}));
        EXPECT_EQ(Commit(&world, aliases, name), MR_OK);
    }
    alias = 0;
    for (const std::string &name : names) {
        EXPECT_EQ(Find(aliases, name), (Found{++alias, true}));
    }
    mr_topic_aliases_free(aliases);
}

TEST(TopicAliases, StayFreeWithoutMemory) {
    World world(1000);
    mr_topic_aliases *aliases = mr_topic_aliases_new(3);
    EXPECT_EQ(Find(aliases, std::string(2000, 'x')), (Found{1, false}));
    EXPECT_EQ(Commit(&world, aliases, std::string(2000, 'x')), MR_ERR_NOMEM);
    EXPECT_EQ(Find(aliases, std::string(2000, 'x')), (Found{1, false}));
    EXPECT_EQ(Commit(&world, aliases, "t"), MR_OK);
    EXPECT_EQ(Find(aliases, "t"), (Found{1, true}));
    mr_topic_aliases_free(aliases);
}

}  // namespace
}  // namespace mr_testing
