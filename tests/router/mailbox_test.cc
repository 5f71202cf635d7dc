#include "broker/router/mailbox.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <thread>
#include <vector>

#include "broker/config/config.h"
#include "broker/limits.h"
#include "broker/router/router.h"
#include "io/epoll/epoll.h"

namespace {

class Mailboxes {
 public:
    explicit Mailboxes(uint32_t count) : loops_(count), counters_(count) {
        EXPECT_EQ(mr_mailboxes_new(&all_, count), MR_OK);
        for (uint32_t i = 0; i < count; i++) {
            EXPECT_EQ(mr_loop_new(&loops_[i], &mr_io_epoll, nullptr), MR_OK);
            mr_mailbox_bind(At(i), loops_[i], &counters_[i]);
        }
    }

    ~Mailboxes() {
        mr_mailboxes_free(all_, static_cast<uint32_t>(loops_.size()), nullptr, nullptr);
        for (mr_loop *loop : loops_) {
            mr_loop_free(loop);
        }
    }

    mr_mailbox *At(uint32_t index) {
        return mr_mailbox_at(all_, index);
    }

    // Sends a number, seen at once unless `later`.
    void Send(uint32_t from, uint32_t to, uint64_t number, bool later = false, uint32_t bytes = 0) {
        mr_parcel parcel = {};
        parcel.kind = MR_PARCEL_UNCONGESTED;
        parcel.key = number;
        parcel.bytes = bytes;
        ASSERT_TRUE(mr_mailbox_send(At(from), to, &parcel));
        if (!later) {
            mr_mailbox_flush(At(from));
        }
    }

    // All that is there.
    std::vector<uint64_t> Take(uint32_t at) {
        std::vector<uint64_t> numbers;
        mr_parcel parcel;
        mr_mailbox_look(At(at));
        while (mr_mailbox_take(At(at), &parcel)) {
            numbers.push_back(parcel.key);
        }
        return numbers;
    }

 private:
    mr_mailbox *all_ = nullptr;
    std::vector<mr_loop *> loops_;
    std::vector<mr_counters> counters_;
};

using Numbers = std::vector<uint64_t>;

TEST(Mailbox, KeepsTheOrderOfOneSender) {
    Mailboxes boxes(2);
    Numbers expected;
    for (uint64_t i = 0; i < 3000; i++) {
        boxes.Send(0, 1, i, i % 7 != 0);
        expected.push_back(i);
    }
    mr_mailbox_flush(boxes.At(0));
    EXPECT_EQ(boxes.Take(1), expected);
    EXPECT_EQ(boxes.Take(1), Numbers());
}

// A client that publishes after another one's message was acknowledged must not overtake it.
TEST(Mailbox, KeepsTheOrderInWhichSendersFlushed) {
    for (uint32_t round = 0; round < 5; round++) {
        Mailboxes boxes(4);
        for (uint32_t i = 0; i < round; i++) {
            boxes.Send(i % 3, 3, 0);
            boxes.Take(3);
        }
        boxes.Send(2, 3, 1);
        boxes.Send(0, 3, 2);
        boxes.Send(1, 3, 3);
        boxes.Send(2, 3, 4, true);
        boxes.Send(0, 3, 5, true);
        mr_mailbox_flush(boxes.At(0));
        boxes.Send(1, 3, 6);
        mr_mailbox_flush(boxes.At(2));
        EXPECT_EQ(boxes.Take(3), (Numbers{1, 2, 3, 5, 6, 4}));
    }
}

TEST(Mailbox, ShowsNothingBeforeTheFlush) {
    Mailboxes boxes(2);
    boxes.Send(0, 1, 1, true);
    EXPECT_FALSE(mr_mailbox_has_arrivals(boxes.At(1)));
    EXPECT_EQ(boxes.Take(1), Numbers());
    mr_mailbox_flush(boxes.At(0));
    EXPECT_TRUE(mr_mailbox_has_arrivals(boxes.At(1)));
    EXPECT_EQ(boxes.Take(1), Numbers{1});
    EXPECT_FALSE(mr_mailbox_has_arrivals(boxes.At(1)));
}

TEST(Mailbox, TakesOnlyWhatWasThereWhenItLooked) {
    Mailboxes boxes(3);
    boxes.Send(0, 2, 1);
    mr_mailbox_look(boxes.At(2));
    boxes.Send(1, 2, 2);
    mr_parcel parcel;
    ASSERT_TRUE(mr_mailbox_take(boxes.At(2), &parcel));
    EXPECT_EQ(parcel.key, 1u);
    EXPECT_FALSE(mr_mailbox_take(boxes.At(2), &parcel));
    EXPECT_FALSE(mr_mailbox_sleep(boxes.At(2)));
    EXPECT_EQ(boxes.Take(2), Numbers{2});
    EXPECT_TRUE(mr_mailbox_sleep(boxes.At(2)));
    mr_mailbox_awake(boxes.At(2));
}

TEST(Mailbox, HasRoomForSoManyParcels) {
    Mailboxes boxes(2);
    uint64_t sent = 0;
    while (mr_mailbox_has_room(boxes.At(0), 2, 1)) {
        boxes.Send(0, 1, sent++);
    }
    EXPECT_EQ(sent, uint64_t{MR_RING_ENTRIES});
    // What must not be refused waits, and comes in its turn.
    boxes.Send(0, 1, sent++);
    EXPECT_FALSE(mr_mailbox_has_room(boxes.At(0), 2, 1));
    EXPECT_EQ(boxes.Take(1).size(), sent - 1);
    mr_mailbox_flush(boxes.At(0));
    EXPECT_EQ(boxes.Take(1), Numbers{sent - 1});
    EXPECT_TRUE(mr_mailbox_has_room(boxes.At(0), 2, 1));
}

TEST(Mailbox, HasRoomForSoManyBytes) {
    Mailboxes boxes(2);
    boxes.Send(0, 1, 1, false, MR_RING_BYTES - 1);
    EXPECT_TRUE(mr_mailbox_has_room(boxes.At(0), 2, 1));
    boxes.Send(0, 1, 2, false, 1);
    EXPECT_FALSE(mr_mailbox_has_room(boxes.At(0), 2, 1));
    EXPECT_EQ(boxes.Take(1), (Numbers{1, 2}));
    EXPECT_TRUE(mr_mailbox_has_room(boxes.At(0), 2, 1));
}

// Two senders that take turns by acknowledging each other, and a receiver at its own pace: what
// was sent later never comes first.
TEST(Mailbox, KeepsTheOrderOfCauses) {
    constexpr uint64_t kCount = 2000;
    Mailboxes boxes(3);
    std::atomic<uint64_t> turn{0};
    const auto send = [&](uint32_t from) {
        for (uint64_t number = from; number < kCount; number += 2) {
            while (turn.load(std::memory_order_acquire) != number) {
                std::this_thread::yield();
            }
            mr_parcel parcel = {};
            parcel.key = number;
            while (!mr_mailbox_has_room(boxes.At(from), 4, 1)) {
                std::this_thread::yield();
            }
            ASSERT_TRUE(mr_mailbox_send(boxes.At(from), 2, &parcel));
            mr_mailbox_flush(boxes.At(from));
            turn.store(number + 1, std::memory_order_release);
        }
    };
    std::thread first(send, 0), second(send, 1);
    uint64_t expected = 0;
    while (expected < kCount) {
        uint64_t sent = turn.load(std::memory_order_acquire);
        for (uint64_t number : boxes.Take(2)) {
            ASSERT_EQ(number, expected++);
        }
        ASSERT_GE(expected, sent);  // All that was flushed before was there.
    }
    first.join();
    second.join();
}

// A connection may be on its way to a worker that has stopped. AddressSanitizer finds the leak.
TEST(Mailbox, WhatIsUnderWayAtTheEndIsFreed) {
    mr_config config = {};
    mr_shared shared;
    ASSERT_EQ(mr_shared_init(&shared, &config, 2, 1), MR_OK);
    mr_loop *loop;
    ASSERT_EQ(mr_loop_new(&loop, &mr_io_epoll, nullptr), MR_OK);
    mr_counters counters[2] = {};
    for (uint32_t i = 0; i < 2; i++) {
        mr_mailbox_bind(mr_mailbox_at(shared.mailboxes, i), loop, &counters[i]);
    }
    mr_parcel parcel = {};
    parcel.kind = MR_PARCEL_CONNECTION;
    parcel.pointer = malloc(100);
    ASSERT_TRUE(mr_mailbox_send(mr_mailbox_at(shared.mailboxes, 0), 1, &parcel));
    mr_mailbox_flush(mr_mailbox_at(shared.mailboxes, 0));
    parcel.pointer = nullptr;
    mr_shared_fini(&shared);
    mr_loop_free(loop);
}

}  // namespace
