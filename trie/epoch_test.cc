#include "trie/epoch.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <vector>

namespace {

struct Object {
    struct mr_epoch_link link;
    int *freed_count;
    int payload;
};

void FreeObject(void *ctx, struct mr_epoch_link *link) {
    Object *object = reinterpret_cast<Object *>(link);
    EXPECT_EQ(ctx, object->freed_count);
    ++*object->freed_count;
    delete object;
}

class Epoch : public ::testing::Test {
 protected:
    void SetUp() override {
        ASSERT_EQ(mr_epoch_new(&epoch_), MR_OK);
    }
    void TearDown() override {
        mr_epoch_free(epoch_);
    }

    uint32_t Register() {
        uint32_t reader = 1000;
        EXPECT_EQ(mr_epoch_register(epoch_, &reader), MR_OK);
        return reader;
    }

    void Retire() {
        mr_epoch_retire(epoch_, &(new Object{{}, &freed_count_, 0})->link, FreeObject,
                        &freed_count_);
    }

    struct mr_epoch *epoch_ = nullptr;
    int freed_count_ = 0;
};

TEST_F(Epoch, FreesAtOnceWithoutReaders) {
    Retire();
    EXPECT_EQ(mr_epoch_reclaim(epoch_), 0u);
    EXPECT_EQ(freed_count_, 1);
}

TEST_F(Epoch, WaitsForEachReaderThatWasThere) {
    uint32_t a = Register();
    uint32_t b = Register();
    mr_epoch_enter(epoch_, a);
    mr_epoch_enter(epoch_, b);
    Retire();
    EXPECT_EQ(mr_epoch_reclaim(epoch_), 1u);
    mr_epoch_quiescent(epoch_, a);
    EXPECT_EQ(mr_epoch_reclaim(epoch_), 1u);
    mr_epoch_leave(epoch_, b);
    EXPECT_EQ(mr_epoch_reclaim(epoch_), 0u);
    EXPECT_EQ(freed_count_, 1);
    mr_epoch_unregister(epoch_, a);
    mr_epoch_unregister(epoch_, b);
}

TEST_F(Epoch, DoesNotWaitForReadersThatCameLater) {
    uint32_t a = Register();
    Retire();
    mr_epoch_enter(epoch_, a);
    Retire();
    EXPECT_EQ(mr_epoch_reclaim(epoch_), 1u);
    EXPECT_EQ(freed_count_, 1);
    mr_epoch_unregister(epoch_, a);
    EXPECT_EQ(mr_epoch_reclaim(epoch_), 0u);
    EXPECT_EQ(freed_count_, 2);
}

TEST_F(Epoch, DoesNotWaitForReadersThatAreAway) {
    uint32_t a = Register();
    mr_epoch_enter(epoch_, a);
    mr_epoch_leave(epoch_, a);
    Retire();
    EXPECT_EQ(mr_epoch_reclaim(epoch_), 0u);
    mr_epoch_unregister(epoch_, a);
}

TEST_F(Epoch, FreesNoMoreThanIsAskedForOldestFirst) {
    for (int i = 0; i < 10; i++) {
        Retire();
    }
    EXPECT_EQ(mr_epoch_reclaim_some(epoch_, 3), 7u);
    EXPECT_EQ(freed_count_, 3);
    uint32_t a = Register();
    mr_epoch_enter(epoch_, a);
    Retire();
    EXPECT_EQ(mr_epoch_reclaim_some(epoch_, 100), 1u);
    EXPECT_EQ(freed_count_, 10);
    mr_epoch_unregister(epoch_, a);
}

TEST_F(Epoch, FreesTheRestInTheEnd) {
    int freed_count = 0;
    struct mr_epoch *epoch = nullptr;
    ASSERT_EQ(mr_epoch_new(&epoch), MR_OK);
    uint32_t reader = 0;
    ASSERT_EQ(mr_epoch_register(epoch, &reader), MR_OK);
    mr_epoch_enter(epoch, reader);
    for (int i = 0; i < 5; i++) {
        mr_epoch_retire(epoch, &(new Object{{}, &freed_count, 0})->link, FreeObject, &freed_count);
    }
    EXPECT_EQ(mr_epoch_reclaim(epoch), 5u);
    mr_epoch_unregister(epoch, reader);
    mr_epoch_free(epoch);
    EXPECT_EQ(freed_count, 5);
}

TEST_F(Epoch, HasAFixedNumberOfReaderSlotsThatComeBack) {
    std::vector<uint32_t> readers;
    for (uint32_t i = 0; i < MR_EPOCH_READERS_MAX; i++) {
        readers.push_back(Register());
    }
    uint32_t reader = 0;
    EXPECT_EQ(mr_epoch_register(epoch_, &reader), MR_ERR_LIMIT);
    mr_epoch_unregister(epoch_, readers[17]);
    EXPECT_EQ(Register(), readers[17]);
    for (uint32_t i : readers) {
        mr_epoch_unregister(epoch_, i);
    }
}

// Readers read the object that stands in `shared`, a writer replaces and retires it.
// A freed object that is still read is found by the sanitizers, or has lost its payload.
TEST_F(Epoch, ReadersNeverSeeFreedObjects) {
    std::atomic<Object *> shared{new Object{{}, &freed_count_, 1}};
    std::atomic<bool> is_over{false};
    std::vector<std::thread> threads;
    for (int t = 0; t < 3; t++) {
        threads.emplace_back([&, t] {
            uint32_t reader = 0;
            ASSERT_EQ(mr_epoch_register(epoch_, &reader), MR_OK);
            mr_epoch_enter(epoch_, reader);
            for (int i = 1; !is_over.load(); i++) {
                ASSERT_GT(shared.load(std::memory_order_acquire)->payload, 0);
                if (i % (t + 2) == 0) {
                    mr_epoch_quiescent(epoch_, reader);
                } else if (i % 17 == 0) {
                    mr_epoch_leave(epoch_, reader);
                    mr_epoch_enter(epoch_, reader);
                } else if (i % 171 == 0) {
                    mr_epoch_unregister(epoch_, reader);
                    ASSERT_EQ(mr_epoch_register(epoch_, &reader), MR_OK);
                    mr_epoch_enter(epoch_, reader);
                }
            }
            mr_epoch_unregister(epoch_, reader);
        });
    }
    const int rounds = 20000;
    for (int i = 2; i < rounds + 2; i++) {
        Object *old = shared.exchange(new Object{{}, &freed_count_, i});
        mr_epoch_retire(
            epoch_, &old->link,
            [](void *ctx, struct mr_epoch_link *link) {
                reinterpret_cast<Object *>(link)->payload = 0;
                FreeObject(ctx, link);
            },
            &freed_count_);
        mr_epoch_reclaim(epoch_);
    }
    is_over = true;
    for (std::thread &thread : threads) {
        thread.join();
    }
    EXPECT_EQ(mr_epoch_reclaim(epoch_), 0u);
    EXPECT_EQ(freed_count_, rounds);
    delete shared.load();
}

}  // namespace
