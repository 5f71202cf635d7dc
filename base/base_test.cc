#include "base/base.h"

#include <gtest/gtest.h>

#include <cstring>
#include <string>

#include "base/aligned.h"

TEST(Err, EachHasAText) {
    EXPECT_STREQ("success", mr_err_text(MR_OK));
    EXPECT_STREQ("input/output error", mr_err_text(MR_ERR_IO));
    EXPECT_STREQ("unknown error", mr_err_text(static_cast<enum mr_err>(1000)));
}

TEST(Slice, EqualsByContent) {
    std::string a = "sport/tennis";
    std::string b = "sport/tennis";
    EXPECT_TRUE(mr_slice_eq(mr_slice_of(a.data(), a.size()), mr_slice_of(b.data(), b.size())));
    EXPECT_FALSE(mr_slice_eq(mr_slice_of(a.data(), a.size()), mr_slice_str("sport/tenni")));
    EXPECT_TRUE(mr_slice_eq(mr_slice_of(nullptr, 0), mr_slice_of(nullptr, 0)));
}

TEST(Slice, KnowsItsPrefixes) {
    EXPECT_TRUE(mr_slice_has_prefix(mr_slice_str("$SYS/broker"), mr_slice_str("$SYS")));
    EXPECT_TRUE(mr_slice_has_prefix(mr_slice_str("$SYS"), mr_slice_str("$SYS")));
    EXPECT_TRUE(mr_slice_has_prefix(mr_slice_of(nullptr, 0), mr_slice_of(nullptr, 0)));
    EXPECT_FALSE(mr_slice_has_prefix(mr_slice_str("$SY"), mr_slice_str("$SYS")));
    EXPECT_FALSE(mr_slice_has_prefix(mr_slice_str("a$SYS"), mr_slice_str("$SYS")));
}

TEST(Slice, IsTrimmedOfBlanks) {
    EXPECT_TRUE(mr_slice_eq(mr_slice_str("a b"), mr_slice_trim(mr_slice_str(" \t a b\r"))));
    EXPECT_EQ(0u, mr_slice_trim(mr_slice_str(" \t\r ")).len);
    EXPECT_EQ(0u, mr_slice_trim(mr_slice_of(nullptr, 0)).len);
}

TEST(AssertDeathTest, NamesTheCondition) {
    EXPECT_DEATH(MR_ASSERT(1 == 2), "1 == 2");
}

struct Outer {
    int first;
    int second;
};

TEST(ContainerOf, FindsTheOuterStruct) {
    Outer outer = {1, 2};
    EXPECT_EQ(&outer, MR_CONTAINER_OF(&outer.second, Outer, second));
}

TEST(Aligned, MemoryBeginsWhereItShould) {
    for (size_t alignment = 16; alignment <= 4096; alignment *= 2) {
        void *memory = mr_aligned_alloc(alignment, 2 * alignment);
        ASSERT_NE(nullptr, memory);
        EXPECT_EQ(0u, reinterpret_cast<uintptr_t>(memory) % alignment);
        std::memset(memory, 0xa5, 2 * alignment);
        mr_aligned_free(memory);
    }
    mr_aligned_free(nullptr);
}
