// The allocator itself fails. (BUILD has the linker put these functions in its place.)
#include <gtest/gtest.h>

#include <cstdlib>

#include "io/buf/buf.h"
#include "io/buf/chain.h"

namespace {
int fail_count = 0;  // How many of the next calls fail.

bool Fails() {
    fail_count -= fail_count > 0 ? 1 : 0;
    return fail_count > 0;
}
}  // namespace

extern "C" {
void *__real_malloc(size_t bytes);
void *__real_calloc(size_t count, size_t bytes);
void *__wrap_malloc(size_t bytes);
void *__wrap_calloc(size_t count, size_t bytes);

void *__wrap_malloc(size_t bytes) {
    return Fails() ? nullptr : __real_malloc(bytes);
}

void *__wrap_calloc(size_t count, size_t bytes) {
    return Fails() ? nullptr : __real_calloc(count, bytes);
}
}

namespace {

void FailNext(int count) {
    fail_count = count + 1;
}

class NoMem : public testing::Test {
 protected:
    void SetUp() override {
        mr_buf_pool_options options = {};
        options.cached_bytes_max = 1 << 20;
        ASSERT_EQ(MR_OK, mr_buf_pool_new(&pool_, &options));
        mr_buf_pool_enter(pool_);
    }

    void TearDown() override {
        FailNext(0);
        EXPECT_EQ(0u, Stats().in_use_count);
        mr_buf_pool_free(pool_);
    }

    mr_buf_stats Stats() {
        mr_buf_stats stats;
        mr_buf_pool_stats(pool_, &stats);
        return stats;
    }

    mr_buf_pool *pool_ = nullptr;
};

TEST_F(NoMem, MakesNoPool) {
    mr_buf_pool_options options = {};
    mr_buf_pool *pool = nullptr;
    FailNext(1);
    EXPECT_EQ(MR_ERR_NOMEM, mr_buf_pool_new(&pool, &options));
    EXPECT_EQ(nullptr, pool);
}

TEST_F(NoMem, MakesNoBufferAndCountsNone) {
    FailNext(2);
    EXPECT_EQ(nullptr, mr_buf_new(pool_, 100));
    FailNext(2);
    EXPECT_EQ(nullptr, mr_buf_new(pool_, 100000));
    mr_buf_stats stats = Stats();
    EXPECT_EQ(2u, stats.refused_count);
    EXPECT_EQ(0u, stats.allocated_count);
    EXPECT_EQ(0u, stats.in_use_bytes);
    EXPECT_EQ(0u, stats.in_use_bytes_max);
}

TEST_F(NoMem, GivesFreeListsBackAndTriesAgain) {
    mr_buf_unref(mr_buf_new(pool_, 1000));
    mr_buf_unref(mr_buf_new(pool_, 2000));
    EXPECT_GT(Stats().cached_bytes, 0u);
    FailNext(1);
    mr_buf *buf = mr_buf_new(pool_, 100);
    EXPECT_NE(nullptr, buf);
    EXPECT_EQ(0u, Stats().cached_bytes);
    mr_buf_unref(buf);
}

TEST_F(NoMem, AppendsNothingToAChain) {
    mr_chain chain = {};
    mr_slice slice = mr_slice_str("some bytes");
    // Without a chunk, then with one but without a block for segments.
    FailNext(2);
    EXPECT_EQ(MR_ERR_NOMEM, mr_chain_append_copy(&chain, pool_, slice));
    mr_buf_unref(mr_buf_new(pool_, 256));
    FailNext(2);
    EXPECT_EQ(MR_ERR_NOMEM, mr_chain_append_copy(&chain, pool_, slice));
    EXPECT_EQ(0u, mr_chain_bytes(&chain));
    EXPECT_EQ(0u, Stats().in_use_count);
    FailNext(0);
    EXPECT_EQ(MR_OK, mr_chain_append_copy(&chain, pool_, slice));
    mr_chain_clear(&chain);
}
}  // namespace
