#include "io/buf/buf.h"

#include <gtest/gtest.h>

#include <atomic>
#include <condition_variable>
#include <cstdlib>
#include <iostream>
#include <memory>
#include <mutex>
#include <random>
#include <thread>
#include <utility>
#include <vector>

namespace {

uint64_t Seed() {
    const char *text = getenv("MILLRACE_SEED");
    uint64_t seed = text != nullptr ? strtoull(text, nullptr, 10) : std::random_device()();
    std::cout << "MILLRACE_SEED=" << seed << std::endl;
    return seed;
}

struct PoolDeleter {
    void operator()(mr_buf_pool *pool) const {
        mr_buf_pool_free(pool);
    }
};
using Pool = std::unique_ptr<mr_buf_pool, PoolDeleter>;

// Not yet entered.
Pool NewPool(uint64_t bytes_max = 0, uint64_t cached_bytes_max = 1 << 20) {
    mr_buf_pool_options options = {};
    options.bytes_max = bytes_max;
    options.cached_bytes_max = cached_bytes_max;
    mr_buf_pool *pool = nullptr;
    EXPECT_EQ(MR_OK, mr_buf_pool_new(&pool, &options));
    return Pool(pool);
}

mr_buf_stats Stats(const Pool &pool) {
    mr_buf_stats stats;
    mr_buf_pool_stats(pool.get(), &stats);
    return stats;
}

class Buf : public testing::Test {
 protected:
    void SetUp() override {
        Use(NewPool());
    }

    void TearDown() override {
        pool_.reset();
        EXPECT_EQ(nullptr, mr_buf_pool_current);
    }

    void Use(Pool pool) {
        pool_ = std::move(pool);
        mr_buf_pool_enter(pool_.get());
    }

    mr_buf *New(size_t bytes) {
        return mr_buf_new(pool_.get(), bytes);
    }

    Pool pool_;
};

// Runs `fn` on another thread, which owns no pool, or `pool`.
template <typename Fn>
void OnOtherThread(Fn fn, mr_buf_pool *pool = nullptr) {
    std::thread([&] {
        mr_buf_pool_enter(pool);
        fn();
    }).join();
}

TEST_F(Buf, IsNewWithOneReferenceAndAlignedData) {
    for (size_t bytes : {0, 1, 63, 64, 65, 1000, 4096, 65536, 65537, 262144, 262145, 1000000}) {
        mr_buf *buf = New(bytes);
        ASSERT_NE(nullptr, buf);
        EXPECT_GE(buf->capacity, bytes);
        EXPECT_EQ(0u, reinterpret_cast<uintptr_t>(buf->data) % 16);
        EXPECT_TRUE(mr_buf_is_unique(buf));
        memset(buf->data, 0x5a, buf->capacity);
        mr_buf_unref(buf);
    }
    EXPECT_EQ(0u, Stats(pool_).in_use_count);
}

TEST_F(Buf, WastesAtMostAQuarter) {
    Use(NewPool(0, 8 << 20));
    uint32_t previous = 64;
    for (size_t bytes = 65; bytes <= 262144; bytes++) {
        mr_buf *buf = New(bytes);
        ASSERT_GE(buf->capacity, bytes);
        // The next smaller class is too small, so this is what a step wastes at most.
        ASSERT_LE(buf->capacity, previous + previous / 4) << bytes;
        ASSERT_GE(buf->capacity, previous);
        if (bytes == buf->capacity) {
            previous = buf->capacity;
        }
        mr_buf_unref(buf);
    }
    EXPECT_EQ(262144u, previous);
    // One allocation for each class, 48 above 64 bytes.
    EXPECT_EQ(48u, Stats(pool_).allocated_count);
}

TEST_F(Buf, OfAFullPayloadIsExactlyThatLarge) {
    for (uint32_t bytes = 64; bytes <= 262144; bytes *= 2) {
        mr_buf *buf = New(bytes);
        EXPECT_EQ(bytes, buf->capacity);
        mr_buf_unref(buf);
    }
}

TEST_F(Buf, ComesFromAFreeListTheSecondTime) {
    mr_buf *first = New(1000);
    mr_buf_unref(first);
    EXPECT_EQ(first->capacity, Stats(pool_).cached_bytes);
    mr_buf *second = New(1000);
    EXPECT_EQ(first, second);
    EXPECT_TRUE(mr_buf_is_unique(second));
    mr_buf_stats stats = Stats(pool_);
    EXPECT_EQ(1u, stats.allocated_count);
    EXPECT_EQ(1u, stats.reused_count);
    EXPECT_EQ(0u, stats.cached_bytes);
    mr_buf_unref(second);
}

TEST_F(Buf, AboveTheLargestClassGoesBackToTheAllocator) {
    mr_buf_unref(New(262145));
    mr_buf_unref(New(262145));
    mr_buf_stats stats = Stats(pool_);
    EXPECT_EQ(2u, stats.allocated_count);
    EXPECT_EQ(0u, stats.reused_count);
    EXPECT_EQ(0u, stats.cached_bytes);
    EXPECT_EQ(0u, stats.in_use_bytes);
}

TEST_F(Buf, OfAbsurdSizeIsRefused) {
    EXPECT_EQ(nullptr, New(SIZE_MAX));
    EXPECT_EQ(nullptr, New(size_t{1} << 32));
    EXPECT_EQ(nullptr, New((size_t{1} << 32) - 1));
    mr_buf_stats stats = Stats(pool_);
    EXPECT_EQ(3u, stats.refused_count);
    EXPECT_EQ(0u, stats.in_use_count);
    EXPECT_EQ(0u, stats.in_use_bytes_max);
}

TEST_F(Buf, IsCountedWhileReferenced) {
    mr_buf *a = New(100);
    mr_buf *b = New(70000);
    uint64_t bytes = uint64_t{a->capacity} + b->capacity;
    EXPECT_EQ(2u, Stats(pool_).in_use_count);
    EXPECT_EQ(bytes, Stats(pool_).in_use_bytes);
    mr_buf_ref(a);
    EXPECT_EQ(bytes, Stats(pool_).in_use_bytes);
    mr_buf_unref(b);
    mr_buf_unref(a);
    EXPECT_EQ(a->capacity, Stats(pool_).in_use_bytes);
    mr_buf_unref(a);
    EXPECT_EQ(0u, Stats(pool_).in_use_bytes);
    EXPECT_EQ(bytes, Stats(pool_).in_use_bytes_max);
}

TEST_F(Buf, IsRefusedBeyondTheLimitAndGivenAgainBelowIt) {
    Use(NewPool(1024 + 64));
    mr_buf *a = New(1024);
    mr_buf *b = New(64);
    ASSERT_NE(nullptr, a);
    ASSERT_NE(nullptr, b);
    EXPECT_EQ(nullptr, New(1));
    EXPECT_EQ(nullptr, New(100000));
    EXPECT_EQ(2u, Stats(pool_).refused_count);
    mr_buf_unref(b);
    // What is on free lists is not in use.
    b = New(64);
    EXPECT_NE(nullptr, b);
    mr_buf_unref(a);
    mr_buf_unref(b);
}

TEST_F(Buf, IsKeptUpToTheCacheLimit) {
    Use(NewPool(0, 4096));
    std::vector<mr_buf *> bufs;
    for (int i = 0; i < 20; i++) {
        bufs.push_back(New(i % 2 == 0 ? 512 : 640));
    }
    for (mr_buf *buf : bufs) {
        mr_buf_unref(buf);
        EXPECT_LE(Stats(pool_).cached_bytes, 4096u);
    }
    EXPECT_GE(Stats(pool_).cached_bytes, 4096u - 640u);
}

TEST_F(Buf, IsNotKeptIfTheCacheIsOff) {
    Use(NewPool(0, MR_BUF_CACHE_NONE));
    mr_buf_unref(New(64));
    mr_buf_unref(New(64));
    EXPECT_EQ(0u, Stats(pool_).cached_bytes);
    EXPECT_EQ(2u, Stats(pool_).allocated_count);
}

TEST_F(Buf, IsKeptUpTo4MiBIfNothingElseWasSaid) {
    Use(NewPool(0, 0));
    std::vector<mr_buf *> bufs;
    for (int i = 0; i < 65; i++) {
        bufs.push_back(New(65536));
    }
    for (mr_buf *buf : bufs) {
        mr_buf_unref(buf);
    }
    EXPECT_EQ(64u * 65536u, Stats(pool_).cached_bytes);
}

TEST_F(Buf, OfASizeInUseDrivesOutThoseOfAnEarlierBurst) {
    Use(NewPool(0, 64 * 100));
    std::vector<mr_buf *> burst;
    for (int i = 0; i < 100; i++) {
        burst.push_back(New(64));
    }
    for (mr_buf *buf : burst) {
        mr_buf_unref(buf);
    }
    ASSERT_EQ(64u * 100u, Stats(pool_).cached_bytes);
    for (int i = 0; i < 1000; i++) {
        mr_buf_unref(New(4096));
        ASSERT_LE(Stats(pool_).cached_bytes, 64u * 100u);
    }
    // The first few are dropped: what is old is found out and evicted step by step.
    mr_buf_stats stats = Stats(pool_);
    EXPECT_EQ(1100u, stats.allocated_count + stats.reused_count);
    EXPECT_GT(stats.reused_count, 980u);
}

TEST_F(Buf, IsUniqueUntilSomebodyElseHoldsIt) {
    mr_buf *buf = New(10);
    EXPECT_EQ(buf, mr_buf_ref(buf));
    EXPECT_FALSE(mr_buf_is_unique(buf));
    mr_buf_unref(buf);
    EXPECT_TRUE(mr_buf_is_unique(buf));
    EXPECT_EQ(buf, mr_buf_ref_for_other(buf));
    EXPECT_FALSE(mr_buf_is_unique(buf));
    OnOtherThread([&] {
        mr_buf_adopt(buf);
        EXPECT_FALSE(mr_buf_is_unique(buf));
        mr_buf_unref(buf);
    });
    EXPECT_TRUE(mr_buf_is_unique(buf));
    mr_buf_unref(buf);
}

TEST_F(Buf, IsUniqueForAThreadThatAloneHoldsIt) {
    mr_buf *buf = mr_buf_ref_for_other(New(10));
    mr_buf_unref(buf);
    OnOtherThread([&] {
        mr_buf_adopt(buf);
        EXPECT_TRUE(mr_buf_is_unique(buf));
        mr_buf_ref(buf);
        EXPECT_FALSE(mr_buf_is_unique(buf));
        mr_buf_unref(buf);
        mr_buf_unref(buf);
    });
}

TEST_F(Buf, ReleasedElsewhereIsInUseUntilCollected) {
    mr_buf *buf = mr_buf_ref_for_other(New(100));
    mr_buf_unref(buf);
    OnOtherThread([&] {
        mr_buf_adopt(buf);
        mr_buf_unref(buf);
    });
    EXPECT_EQ(1u, Stats(pool_).in_use_count);
    EXPECT_EQ(0u, Stats(pool_).returned_count);
    mr_buf_pool_collect(pool_.get());
    EXPECT_EQ(0u, Stats(pool_).in_use_count);
    EXPECT_EQ(1u, Stats(pool_).returned_count);
    mr_buf *again = New(100);
    EXPECT_EQ(buf, again);
    EXPECT_TRUE(mr_buf_is_unique(again));
    mr_buf_unref(again);
}

TEST_F(Buf, ReleasedByTheOwnerLastNeverLeavesHome) {
    mr_buf *buf = mr_buf_ref_for_other(New(100));
    OnOtherThread([&] {
        mr_buf_adopt(buf);
        mr_buf_ref(buf);
        mr_buf_unref(buf);
        mr_buf_unref(buf);
    });
    mr_buf_unref(buf);
    EXPECT_EQ(0u, Stats(pool_).in_use_count);
    EXPECT_EQ(0u, Stats(pool_).returned_count);
}

TEST_F(Buf, LargeOneReleasedElsewhereIsFreedAtHome) {
    mr_buf *buf = mr_buf_ref_for_other(New(1 << 20));
    mr_buf_unref(buf);
    OnOtherThread([&] {
        mr_buf_adopt(buf);
        mr_buf_unref(buf);
    });
    mr_buf_pool_collect(pool_.get());
    EXPECT_EQ(0u, Stats(pool_).in_use_bytes);
    EXPECT_EQ(0u, Stats(pool_).cached_bytes);
}

TEST_F(Buf, ComingBackToItsOwnerIsCountedThereAgain) {
    mr_buf *buf = mr_buf_ref_for_other(New(100));
    mr_buf_unref(buf);
    Pool other = NewPool();
    OnOtherThread(
        [&] {
            mr_buf_adopt(buf);
            mr_buf_ref_for_other(buf);
            mr_buf_unref(buf);
        },
        other.get());
    mr_buf_adopt(buf);
    EXPECT_TRUE(mr_buf_is_unique(buf));
    mr_buf_unref(buf);
    EXPECT_EQ(0u, Stats(pool_).in_use_count);
    EXPECT_EQ(0u, Stats(pool_).returned_count);
}

TEST_F(Buf, ComingBackWhileOthersHoldItGoesHomeFromThem) {
    mr_buf *buf = mr_buf_ref_for_other(New(100));
    mr_buf_unref(buf);
    OnOtherThread([&] {
        mr_buf_adopt(buf);
        mr_buf_ref_for_other(buf);
    });
    mr_buf_adopt(buf);
    EXPECT_FALSE(mr_buf_is_unique(buf));
    mr_buf_unref(buf);
    EXPECT_EQ(1u, Stats(pool_).in_use_count);
    OnOtherThread([&] { mr_buf_unref(buf); });
    mr_buf_pool_collect(pool_.get());
    EXPECT_EQ(0u, Stats(pool_).in_use_count);
}

TEST_F(Buf, ReturnedIsUsedBeforeTheAllocatorIsAsked) {
    mr_buf *buf = mr_buf_ref_for_other(New(100));
    mr_buf_unref(buf);
    OnOtherThread([&] {
        mr_buf_adopt(buf);
        mr_buf_unref(buf);
    });
    mr_buf *again = New(100);
    EXPECT_EQ(buf, again);
    EXPECT_EQ(1u, Stats(pool_).allocated_count);
    mr_buf_unref(again);
}

TEST_F(Buf, ReturnedMakesRoomBelowTheLimit) {
    Use(NewPool(1024));
    mr_buf *buf = mr_buf_ref_for_other(New(1024));
    mr_buf_unref(buf);
    EXPECT_EQ(nullptr, New(64));
    OnOtherThread([&] {
        mr_buf_adopt(buf);
        mr_buf_unref(buf);
    });
    mr_buf *small = New(64);
    EXPECT_NE(nullptr, small);
    mr_buf_unref(small);
}

TEST_F(Buf, MayBelongToAnotherPoolOfTheSameThread) {
    Pool other = NewPool();
    mr_buf *buf = mr_buf_ref_for_other(New(100));
    mr_buf_pool_enter(other.get());
    mr_buf_adopt(buf);
    mr_buf_pool_enter(pool_.get());
    mr_buf_unref(buf);
    mr_buf_pool_enter(other.get());
    EXPECT_TRUE(mr_buf_is_unique(buf));
    mr_buf_unref(buf);
    EXPECT_EQ(1u, Stats(pool_).in_use_count);
    mr_buf_pool_enter(pool_.get());
    mr_buf_pool_collect(pool_.get());
    EXPECT_EQ(0u, Stats(pool_).in_use_count);
}

TEST(BufPool, CollectsBeforeItIsFreed) {
    Pool pool = NewPool();
    mr_buf_pool_enter(pool.get());
    mr_buf *buf = mr_buf_ref_for_other(mr_buf_new(pool.get(), 100));
    mr_buf_unref(buf);
    OnOtherThread([&] {
        mr_buf_adopt(buf);
        mr_buf_unref(buf);
    });
}

TEST(BufPool, MayBeFreedByAThreadThatDidNotEnterIt) {
    Pool pool = NewPool();
    OnOtherThread([&] { mr_buf_unref(mr_buf_new(pool.get(), 100)); }, pool.get());
}

TEST(BufPool, MayBeNullWhenFreed) {
    mr_buf_pool_free(nullptr);
}

TEST(BufPoolDeathTest, InsistsThatEveryBufferCameHome) {
    Pool pool = NewPool();
    mr_buf_pool_enter(pool.get());
    mr_buf *buf = mr_buf_new(pool.get(), 100);
    EXPECT_DEATH(mr_buf_pool_free(pool.get()), "in_use_count == 0");
    mr_buf_unref(buf);
}

#ifdef MR_DEBUG
TEST(BufDeathTest, InsistsOnAPoolThatThisThreadEntered) {
    Pool pool = NewPool();
    EXPECT_DEATH(mr_buf_new(pool.get(), 100), "mr_buf_pool_current");
}

TEST(BufDeathTest, SeesAReferenceReleasedTwice) {
    Pool pool = NewPool();
    mr_buf_pool_enter(pool.get());
    mr_buf *buf = mr_buf_new(pool.get(), 100);
    mr_buf_unref(buf);
    EXPECT_DEATH(mr_buf_unref(buf), "local_refs > 0");
}
#endif

// ------------------------------------------------------------- several threads

// What a thread was handed and hasn't adopted yet.
class Mailbox {
 public:
    void Put(mr_buf *buf) {
        std::lock_guard<std::mutex> lock(mutex_);
        bufs_.push_back(buf);
    }

    std::vector<mr_buf *> TakeAll() {
        std::lock_guard<std::mutex> lock(mutex_);
        return std::exchange(bufs_, {});
    }

 private:
    std::mutex mutex_;
    std::vector<mr_buf *> bufs_;
};

class Barrier {
 public:
    explicit Barrier(int count) : missing_(count) {
    }

    void Wait() {
        std::unique_lock<std::mutex> lock(mutex_);
        if (--missing_ == 0) {
            all_here_.notify_all();
        }
        all_here_.wait(lock, [this] { return missing_ == 0; });
    }

 private:
    std::mutex mutex_;
    std::condition_variable all_here_;
    int missing_;
};

constexpr int kWorkerCount = 4;

struct World {
    explicit World(uint64_t seed) : seed(seed) {
        for (Pool &pool : pools) {
            pool = NewPool(256 * 1024, 32 * 1024);
        }
    }

    uint64_t seed;
    Pool pools[kWorkerCount];
    Mailbox mailboxes[kWorkerCount];
    Barrier all_sent{kWorkerCount};
};

// One thread that makes buffers, hands them on, releases them, and sees whether they
// hold what was written while they were unique.
class Worker {
 public:
    Worker(World *world, int index)
        : world_(world), index_(index), random_(world->seed + static_cast<uint64_t>(index)) {
    }

    void Run(int rounds) {
        mr_buf_pool_enter(pool());
        for (int i = 0; i < rounds; i++) {
            Receive();
            Step();
        }
        world_->all_sent.Wait();
        Receive();
        while (!held_.empty()) {
            Release(held_.size() - 1);
        }
        mr_buf_pool_collect(pool());
    }

 private:
    mr_buf_pool *pool() {
        return world_->pools[index_].get();
    }

    size_t Below(size_t limit) {
        return random_() % limit;
    }

    void Receive() {
        for (mr_buf *buf : world_->mailboxes[index_].TakeAll()) {
            mr_buf_adopt(buf);
            held_.push_back(buf);
        }
    }

    void Make() {
        mr_buf *buf = mr_buf_new(pool(), Below(Below(8) == 0 ? 70000 : 300));
        if (buf == nullptr) {
            return;
        }
        ASSERT_TRUE(mr_buf_is_unique(buf));
        memset(buf->data, static_cast<int>(Below(256)), buf->capacity);
        held_.push_back(buf);
    }

    void Release(size_t i) {
        mr_buf *buf = held_[i];
        held_[i] = held_.back();
        held_.pop_back();
        ASSERT_EQ(0, memcmp(buf->data, buf->data + 1, buf->capacity - 1));
        mr_buf_unref(buf);
    }

    void Step() {
        size_t action = Below(10);
        if (held_.empty() || action == 0) {
            Make();
            return;
        }
        size_t i = Below(held_.size());
        if (action < 2) {
            held_.push_back(mr_buf_ref(held_[i]));
        } else if (action < 6) {
            world_->mailboxes[Below(kWorkerCount)].Put(mr_buf_ref_for_other(held_[i]));
            // Often the sender's last reference goes at the same time as the receiver's.
            if (action < 5) {
                Release(i);
            }
        } else if (action < 9) {
            Release(i);
        } else {
            mr_buf_pool_collect(pool());
        }
    }

    World *world_;
    int index_;
    std::mt19937_64 random_;
    std::vector<mr_buf *> held_;
};

TEST(BufThreads, HandBuffersAroundAndGetEachBack) {
    World world(Seed());
    std::vector<std::thread> threads;
    for (int i = 0; i < kWorkerCount; i++) {
        threads.emplace_back([&world, i] { Worker(&world, i).Run(20000); });
    }
    for (std::thread &thread : threads) {
        thread.join();
    }
    for (Pool &pool : world.pools) {
        mr_buf_pool_enter(pool.get());
        mr_buf_pool_collect(pool.get());
        mr_buf_stats stats = Stats(pool);
        EXPECT_EQ(0u, stats.in_use_count);
        EXPECT_EQ(0u, stats.in_use_bytes);
        EXPECT_GT(stats.returned_count, 0u);
        EXPECT_LE(stats.in_use_bytes_max, 256u * 1024u);
        EXPECT_LE(stats.cached_bytes, 32u * 1024u);
    }
    mr_buf_pool_enter(nullptr);
}

// The owner's last release against another thread's, again and again, with nothing in
// between: exactly one of them must take the buffer home.
TEST(BufThreads, RaceForTheLastReference) {
    constexpr int kRounds = 20000;
    Pool pool = NewPool();
    mr_buf_pool_enter(pool.get());
    std::atomic<mr_buf *> offered{nullptr};
    std::thread other([&] {
        for (int i = 0; i < kRounds; i++) {
            mr_buf *buf;
            do {
                buf = offered.exchange(nullptr);
                if (buf == nullptr) {
                    std::this_thread::yield();
                }
            } while (buf == nullptr);
            mr_buf_adopt(buf);
            mr_buf_unref(buf);
        }
    });
    for (int i = 0; i < kRounds; i++) {
        mr_buf *buf = mr_buf_new(pool.get(), 64);
        ASSERT_NE(nullptr, buf);
        offered = mr_buf_ref_for_other(buf);
        while (offered.load() != nullptr) {
            std::this_thread::yield();
        }
        mr_buf_unref(buf);
    }
    other.join();
    mr_buf_pool_collect(pool.get());
    EXPECT_EQ(0u, Stats(pool).in_use_count);
    // Bounded by what was on its way at once, because buffers came home meanwhile.
    EXPECT_LT(Stats(pool).allocated_count, 100u);
}
}  // namespace
