#include "io/ring/ring.h"

#include <gtest/gtest.h>
#include <semaphore.h>

#include <condition_variable>
#include <cstdlib>
#include <deque>
#include <iostream>
#include <memory>
#include <mutex>
#include <random>
#include <thread>
#include <vector>

#include "io/buf/buf.h"

namespace {

uint64_t Seed() {
    const char *text = getenv("MILLRACE_SEED");
    uint64_t seed = text != nullptr ? strtoull(text, nullptr, 10) : std::random_device()();
    std::cout << "MILLRACE_SEED=" << seed << std::endl;
    return seed;
}

struct RingDeleter {
    void operator()(mr_ring *ring) const {
        mr_ring_free(ring);
    }
};
using Ring = std::unique_ptr<mr_ring, RingDeleter>;

Ring NewRing(uint32_t entry_count, uint32_t entry_bytes = sizeof(uint64_t)) {
    mr_ring *ring = nullptr;
    EXPECT_EQ(MR_OK, mr_ring_new(&ring, entry_count, entry_bytes));
    return Ring(ring);
}

bool Push(const Ring &ring, uint64_t value) {
    return mr_ring_push(ring.get(), &value);
}

// 0 if there is none.
uint64_t Pop(const Ring &ring) {
    uint64_t value = 0;
    return mr_ring_pop(ring.get(), &value) ? value : 0;
}

TEST(Ring, RefusesCountsThatAreNoPowerOfTwo) {
    mr_ring *ring = nullptr;
    for (uint32_t count : {0u, 3u, 6u, 1000u, 0xffffffffu}) {
        EXPECT_EQ(MR_ERR_INVALID, mr_ring_new(&ring, count, 8));
    }
    EXPECT_EQ(MR_ERR_INVALID, mr_ring_new(&ring, 8, 0));
    EXPECT_EQ(nullptr, ring);
}

TEST(Ring, RefusesWhatNoMemoryHolds) {
    mr_ring *ring = nullptr;
    EXPECT_EQ(MR_ERR_NOMEM, mr_ring_new(&ring, 1u << 31, 0xffffffffu));
    EXPECT_EQ(nullptr, ring);
}

TEST(Ring, MayBeNullWhenFreed) {
    mr_ring_free(nullptr);
}

TEST(Ring, DropsItsEntriesWhenFreed) {
    Ring ring = NewRing(4);
    ASSERT_TRUE(Push(ring, 1));
    EXPECT_FALSE(mr_ring_publish(ring.get()));
}

TEST(Ring, KeepsTheOrder) {
    Ring ring = NewRing(8);
    for (uint64_t i = 1; i <= 5; i++) {
        ASSERT_TRUE(Push(ring, i));
    }
    EXPECT_FALSE(mr_ring_publish(ring.get()));
    for (uint64_t i = 1; i <= 5; i++) {
        EXPECT_EQ(i, Pop(ring));
    }
    EXPECT_EQ(0u, Pop(ring));
}

TEST(Ring, ShowsEntriesOnlyOncePublished) {
    Ring ring = NewRing(8);
    ASSERT_TRUE(Push(ring, 1));
    EXPECT_EQ(0u, Pop(ring));
    EXPECT_TRUE(mr_ring_sleep(ring.get()));
    mr_ring_awake(ring.get());
    EXPECT_FALSE(mr_ring_publish(ring.get()));
    EXPECT_EQ(1u, Pop(ring));
}

TEST(Ring, RefusesWhenFullAndTakesAgainWhenNot) {
    for (uint32_t count : {1u, 2u, 4u, 64u}) {
        Ring ring = NewRing(count);
        for (uint64_t i = 1; i <= count; i++) {
            ASSERT_TRUE(Push(ring, i));
        }
        // Also what isn't published takes room.
        EXPECT_FALSE(Push(ring, 99));
        EXPECT_FALSE(mr_ring_publish(ring.get()));
        EXPECT_FALSE(Push(ring, 99));
        EXPECT_EQ(1u, Pop(ring));
        EXPECT_TRUE(Push(ring, count + 1));
        EXPECT_FALSE(Push(ring, 99));
        EXPECT_FALSE(mr_ring_publish(ring.get()));
        for (uint64_t i = 2; i <= count + 1; i++) {
            EXPECT_EQ(i, Pop(ring));
        }
        EXPECT_EQ(0u, Pop(ring));
    }
}

TEST(Ring, CountsItsRoom) {
    Ring ring = NewRing(8);
    EXPECT_EQ(8u, mr_ring_free_count(ring.get(), 1));
    for (uint64_t i = 1; i <= 6; i++) {
        ASSERT_TRUE(Push(ring, i));
    }
    EXPECT_FALSE(mr_ring_publish(ring.get()));
    EXPECT_EQ(2u, mr_ring_free_count(ring.get(), 8));
    EXPECT_EQ(1u, Pop(ring));
    EXPECT_EQ(2u, Pop(ring));
    EXPECT_EQ(3u, Pop(ring));
    // It knows of two, which suffices; for more it looks.
    EXPECT_EQ(2u, mr_ring_free_count(ring.get(), 2));
    EXPECT_EQ(5u, mr_ring_free_count(ring.get(), 3));
}

TEST(Ring, CopiesEntriesOfAnySize) {
    for (uint32_t bytes : {1u, 3u, 8u, 24u, 100u}) {
        Ring ring = NewRing(4, bytes);
        for (int round = 0; round < 10; round++) {
            std::vector<uint8_t> in(bytes, static_cast<uint8_t>(round + 1));
            std::vector<uint8_t> next(bytes, static_cast<uint8_t>(round + 100));
            ASSERT_TRUE(mr_ring_push(ring.get(), in.data()));
            ASSERT_TRUE(mr_ring_push(ring.get(), next.data()));
            EXPECT_FALSE(mr_ring_publish(ring.get()));
            std::vector<uint8_t> out(bytes);
            ASSERT_TRUE(mr_ring_pop(ring.get(), out.data()));
            EXPECT_EQ(in, out);
            ASSERT_TRUE(mr_ring_pop(ring.get(), out.data()));
            EXPECT_EQ(next, out);
        }
    }
}

TEST(Ring, LetsTheConsumerSleepOnlyIfThereIsNothing) {
    Ring ring = NewRing(8);
    EXPECT_TRUE(mr_ring_sleep(ring.get()));
    mr_ring_awake(ring.get());
    ASSERT_TRUE(Push(ring, 1));
    ASSERT_TRUE(Push(ring, 2));
    EXPECT_FALSE(mr_ring_publish(ring.get()));
    EXPECT_FALSE(mr_ring_sleep(ring.get()));
    EXPECT_EQ(1u, Pop(ring));
    EXPECT_FALSE(mr_ring_sleep(ring.get()));
    EXPECT_EQ(2u, Pop(ring));
    EXPECT_TRUE(mr_ring_sleep(ring.get()));
}

TEST(Ring, AsksForOneWakeUpPerSleep) {
    Ring ring = NewRing(8);
    EXPECT_FALSE(mr_ring_publish(ring.get()));
    EXPECT_TRUE(mr_ring_sleep(ring.get()));
    // Nothing new is no reason to wake anybody.
    EXPECT_FALSE(mr_ring_publish(ring.get()));
    ASSERT_TRUE(Push(ring, 1));
    EXPECT_TRUE(mr_ring_publish(ring.get()));
    ASSERT_TRUE(Push(ring, 2));
    EXPECT_FALSE(mr_ring_publish(ring.get()));
    mr_ring_awake(ring.get());
    EXPECT_EQ(1u, Pop(ring));
    EXPECT_EQ(2u, Pop(ring));
    EXPECT_TRUE(mr_ring_sleep(ring.get()));
    ASSERT_TRUE(Push(ring, 3));
    EXPECT_TRUE(mr_ring_publish(ring.get()));
}

TEST(Ring, WakesNobodyWhoIsUpAgain) {
    Ring ring = NewRing(8);
    EXPECT_TRUE(mr_ring_sleep(ring.get()));
    mr_ring_awake(ring.get());
    ASSERT_TRUE(Push(ring, 1));
    EXPECT_FALSE(mr_ring_publish(ring.get()));
}

TEST(RingModel, DoesWhatAQueueDoes) {
    std::mt19937_64 random(Seed());
    for (uint32_t count : {1u, 2u, 8u, 1024u}) {
        Ring ring = NewRing(count);
        std::deque<uint64_t> visible;
        std::deque<uint64_t> pushed;
        uint64_t next = 1;
        bool asleep = false;
        for (int i = 0; i < 20000; i++) {
            size_t used = visible.size() + pushed.size();
            switch (random() % 8) {
                case 0:
                case 1:
                case 2:
                    ASSERT_EQ(used < count, Push(ring, next));
                    if (used < count) {
                        pushed.push_back(next++);
                    }
                    break;
                case 3:
                    ASSERT_EQ(asleep && !pushed.empty(), mr_ring_publish(ring.get()));
                    asleep = asleep && pushed.empty();
                    visible.insert(visible.end(), pushed.begin(), pushed.end());
                    pushed.clear();
                    break;
                case 4:
                case 5:
                    ASSERT_EQ(visible.empty() ? 0 : visible.front(), Pop(ring));
                    if (!visible.empty()) {
                        visible.pop_front();
                    }
                    break;
                case 6:
                    ASSERT_EQ(visible.empty(), mr_ring_sleep(ring.get()));
                    asleep = visible.empty();
                    break;
                default:
                    ASSERT_EQ(count - used, mr_ring_free_count(ring.get(), count + 1));
                    mr_ring_awake(ring.get());
                    asleep = false;
                    break;
            }
        }
    }
}

// ------------------------------------------------------------- two threads

// Waits in the kernel without a time limit: if a wake-up is lost, the test hangs.
class Semaphore {
 public:
    Semaphore() {
        EXPECT_EQ(0, sem_init(&semaphore_, 0, 0));
    }
    ~Semaphore() {
        sem_destroy(&semaphore_);
    }

    void Wake() {
        ASSERT_EQ(0, sem_post(&semaphore_));
    }

    void Wait() {
        ASSERT_EQ(0, sem_wait(&semaphore_));
    }

 private:
    sem_t semaphore_;
};

class Condition {
 public:
    void Wake() {
        std::lock_guard<std::mutex> lock(mutex_);
        woken_ = true;
        condition_.notify_one();
    }

    void Wait() {
        std::unique_lock<std::mutex> lock(mutex_);
        condition_.wait(lock, [this] { return woken_; });
        woken_ = false;
    }

 private:
    std::mutex mutex_;
    std::condition_variable condition_;
    bool woken_ = false;
};

// Every value from 1 to `last` goes through the ring, in random batches.
template <typename Waiter>
void Transfer(uint32_t entry_count, uint64_t last, size_t batch_max, uint64_t seed) {
    Ring ring = NewRing(entry_count);
    Waiter waiter;
    uint64_t wake_count = 0;
    std::thread producer([&] {
        std::mt19937_64 random(seed);
        auto publish = [&] {
            if (mr_ring_publish(ring.get())) {
                wake_count++;
                waiter.Wake();
            }
        };
        uint64_t next = 1;
        while (next <= last) {
            size_t batch = 1 + random() % batch_max;
            for (size_t i = 0; i < batch && next <= last; i++) {
                while (!Push(ring, next)) {
                    publish();
                    std::this_thread::yield();
                }
                next++;
            }
            publish();
            if (random() % 16 == 0) {
                std::this_thread::yield();
            }
        }
    });
    uint64_t asked_count = 0;
    uint64_t slept_count = 0;
    uint64_t expected = 1;
    while (expected <= last) {
        uint64_t value;
        while (mr_ring_pop(ring.get(), &value)) {
            ASSERT_EQ(expected, value);
            expected++;
        }
        if (expected > last) {
            break;
        }
        asked_count++;
        if (mr_ring_sleep(ring.get())) {
            slept_count++;
            waiter.Wait();
            mr_ring_awake(ring.get());
        }
    }
    producer.join();
    EXPECT_EQ(0u, Pop(ring));
    // One for each sleep; those that were refused may have been seen, too.
    EXPECT_LE(slept_count, wake_count);
    EXPECT_LE(wake_count, asked_count);
}

TEST(RingThreads, LoseNothingAndNeverHangOnASemaphore) {
    uint64_t seed = Seed();
    Transfer<Semaphore>(1, 5000, 1, seed);
    Transfer<Semaphore>(16, 50000, 4, seed);
    Transfer<Semaphore>(1024, 200000, 300, seed);
}

TEST(RingThreads, LoseNothingAndNeverHangOnACondition) {
    uint64_t seed = Seed();
    Transfer<Condition>(1, 5000, 1, seed);
    Transfer<Condition>(16, 50000, 4, seed);
    Transfer<Condition>(1024, 200000, 300, seed);
}

// One value goes to and fro, so that each side falls asleep just when the other
// publishes.
TEST(RingThreads, PlayPingPong) {
    constexpr uint64_t kRounds = 20000;
    Ring ping = NewRing(4);
    Ring pong = NewRing(4);
    Semaphore ping_waiter;
    Semaphore pong_waiter;
    auto send = [](const Ring &ring, Semaphore *waiter, uint64_t value) {
        ASSERT_TRUE(Push(ring, value));
        if (mr_ring_publish(ring.get())) {
            waiter->Wake();
        }
    };
    auto receive = [](const Ring &ring, Semaphore *waiter) {
        uint64_t value = Pop(ring);
        while (value == 0) {
            if (mr_ring_sleep(ring.get())) {
                waiter->Wait();
                mr_ring_awake(ring.get());
            }
            value = Pop(ring);
        }
        return value;
    };
    std::thread other([&] {
        for (uint64_t i = 1; i <= kRounds; i++) {
            ASSERT_EQ(i, receive(ping, &ping_waiter));
            send(pong, &pong_waiter, i);
        }
    });
    for (uint64_t i = 1; i <= kRounds; i++) {
        send(ping, &ping_waiter, i);
        ASSERT_EQ(i, receive(pong, &pong_waiter));
    }
    other.join();
}

// What workers do: buffers travel with the entries and come home.
TEST(RingThreads, HandBuffersOver) {
    constexpr uint64_t kCount = 20000;
    mr_buf_pool_options options = {};
    options.bytes_max = 64 * 1024;
    options.cached_bytes_max = 64 * 1024;
    mr_buf_pool *pool = nullptr;
    ASSERT_EQ(MR_OK, mr_buf_pool_new(&pool, &options));
    Ring ring = NewRing(64, sizeof(mr_buf *));
    Semaphore waiter;
    std::thread consumer([&] {
        mr_buf_pool_enter(nullptr);
        for (uint64_t i = 0; i < kCount;) {
            mr_buf *buf;
            if (mr_ring_pop(ring.get(), &buf)) {
                mr_buf_adopt(buf);
                uint64_t value;
                memcpy(&value, buf->data, sizeof(value));
                ASSERT_EQ(i++, value);
                mr_buf_unref(buf);
            } else if (mr_ring_sleep(ring.get())) {
                waiter.Wait();
                mr_ring_awake(ring.get());
            }
        }
    });
    mr_buf_pool_enter(pool);
    for (uint64_t i = 0; i < kCount;) {
        mr_buf *buf = mr_ring_free_count(ring.get(), 1) > 0 ? mr_buf_new(pool, 1024) : nullptr;
        if (buf == nullptr) {
            std::this_thread::yield();
            continue;
        }
        memcpy(buf->data, &i, sizeof(i));
        i++;
        mr_buf_ref_for_other(buf);
        ASSERT_TRUE(mr_ring_push(ring.get(), &buf));
        if (mr_ring_publish(ring.get())) {
            waiter.Wake();
        }
        mr_buf_unref(buf);
    }
    consumer.join();
    mr_buf_pool_free(pool);
}
}  // namespace
