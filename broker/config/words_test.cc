#include "broker/config/words.h"

#include <string>

#include "gtest/gtest.h"

namespace {

size_t Distance(const std::string &a, const std::string &b) {
    return mr_word_distance(mr_slice_of(a.data(), a.size()), mr_slice_of(b.data(), b.size()));
}

TEST(Words, DistanceCountsSingleChanges) {
    EXPECT_EQ(0u, Distance("", ""));
    EXPECT_EQ(0u, Distance("port", "port"));
    EXPECT_EQ(4u, Distance("", "port"));
    EXPECT_EQ(4u, Distance("port", ""));
    EXPECT_EQ(1u, Distance("port", "pot"));
    EXPECT_EQ(1u, Distance("pot", "port"));
    EXPECT_EQ(1u, Distance("port", "pork"));
    EXPECT_EQ(3u, Distance("kitten", "sitting"));
}

TEST(Words, SwappedNeighboursAreOneChange) {
    EXPECT_EQ(1u, Distance("listener", "listenre"));
    EXPECT_EQ(1u, Distance("ab", "ba"));
    EXPECT_EQ(2u, Distance("abcd", "badc"));
}

TEST(Words, DistanceIsSymmetric) {
    const std::string words[] = {"", "a", "max_qos", "max-qos", "maximum_qos", "xam_soq"};
    for (const std::string &a : words) {
        for (const std::string &b : words) {
            EXPECT_EQ(Distance(a, b), Distance(b, a)) << a << " " << b;
        }
    }
}

TEST(Words, TooLongWordsAreFarAway) {
    std::string word(MR_WORD_BYTES_MAX, 'a');
    EXPECT_EQ(1u, Distance(word, word.substr(1) + "b"));
    EXPECT_EQ(size_t{MR_WORD_BYTES_MAX}, Distance(word + "a", word));
}

TEST(Words, TheNearestIsFound) {
    mr_word_nearest nearest = {};
    mr_slice word = mr_slice_str("max_qoss");
    mr_word_consider(&nearest, word, "mount_point");
    EXPECT_EQ(nullptr, nearest.word);
    mr_word_consider(&nearest, word, "max_qaaa");
    mr_word_consider(&nearest, word, "max_qos");
    mr_word_consider(&nearest, word, "max_qosss");
    EXPECT_STREQ("max_qos", nearest.word);
}

TEST(Words, NothingIsNearAnEmptyOrEndlessWord) {
    std::string endless(100000, 'x');
    mr_word_nearest nearest = {};
    mr_word_consider(&nearest, mr_slice_of(nullptr, 0), "a");
    mr_word_consider(&nearest, mr_slice_of(endless.data(), endless.size()), "xxxx");
    EXPECT_EQ(nullptr, nearest.word);
}

}  // namespace
