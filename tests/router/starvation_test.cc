// Races between a sender that finds a ring full and a receiver that empties it, with the other
// side's step put exactly where it hurts: mr_ring_push() is wrapped (see BUILD).
#include <gtest/gtest.h>

#include <cstdint>
#include <functional>
#include <vector>

#include "broker/limits.h"
#include "broker/router/mailbox.h"
#include "io/epoll/epoll.h"
#include "io/ring/ring.h"

namespace {

// Runs once, when a push has found its ring full.
std::function<void()> after_full;

}  // namespace

extern "C" {
bool __real_mr_ring_push(mr_ring *ring, const void *entry);
bool __wrap_mr_ring_push(mr_ring *ring, const void *entry);

bool __wrap_mr_ring_push(mr_ring *ring, const void *entry) {
    bool pushed = __real_mr_ring_push(ring, entry);
    if (!pushed && after_full) {
        std::function<void()> step;
        step.swap(after_full);
        step();
    }
    return pushed;
}
}

namespace {

class Starvation : public testing::Test {
 protected:
    void SetUp() override {
        ASSERT_EQ(mr_mailboxes_new(&all_, 2), MR_OK);
        for (uint32_t i = 0; i < 2; i++) {
            mr_loop_options options = {};
            options.ctx = &wakes_[i];
            options.on_wake = [](void *ctx) { ++*static_cast<uint32_t *>(ctx); };
            ASSERT_EQ(mr_loop_new(&loops_[i], &mr_io_epoll, &options), MR_OK);
            mr_mailbox_bind(At(i), loops_[i], &counters_[i]);
        }
    }

    void TearDown() override {
        after_full = nullptr;
        mr_mailboxes_free(all_, 2, nullptr, nullptr);
        mr_loop_free(loops_[0]);
        mr_loop_free(loops_[1]);
    }

    mr_mailbox *At(uint32_t index) {
        return mr_mailbox_at(all_, index);
    }

    // From the first worker to the second.
    void Send(uint64_t number) {
        mr_parcel parcel = {};
        parcel.key = number;
        ASSERT_TRUE(mr_mailbox_send(At(0), 1, &parcel));
    }

    void Fill() {
        for (uint64_t i = 0; i < MR_RING_ENTRIES; i++) {
            Send(i);
        }
    }

    std::vector<uint64_t> Take() {
        std::vector<uint64_t> numbers;
        mr_parcel parcel;
        mr_mailbox_look(At(1));
        while (mr_mailbox_take(At(1), &parcel)) {
            numbers.push_back(parcel.key);
        }
        return numbers;
    }

    mr_mailbox *all_ = nullptr;
    mr_loop *loops_[2] = {};
    mr_counters counters_[2] = {};
    uint32_t wakes_[2] = {};
};

// The receiver takes everything between the sender's last try to push what waits and its saying
// that it is starved. Nobody would wake the sender after that: it has to see the room itself.
TEST_F(Starvation, ParcelsThatWaitAreSentIfTheRingWasEmptiedMeanwhile) {
    Fill();
    mr_mailbox_flush(At(0));
    Send(MR_RING_ENTRIES);
    size_t taken = 0;
    after_full = [&] { taken = Take().size(); };
    mr_mailbox_flush(At(0));
    ASSERT_EQ(taken, size_t{MR_RING_ENTRIES});
    EXPECT_EQ(Take(), std::vector<uint64_t>{MR_RING_ENTRIES});
}

// The same with room for only some of what waits: the rest comes after a wake-up.
TEST_F(Starvation, TheSenderIsWokenForTheRest) {
    Fill();
    mr_mailbox_flush(At(0));
    constexpr uint64_t kMore = MR_RING_ENTRIES + 10;
    for (uint64_t i = 0; i < kMore; i++) {
        Send(MR_RING_ENTRIES + i);
    }
    after_full = [&] { Take(); };
    mr_mailbox_flush(At(0));
    EXPECT_EQ(Take().size(), size_t{MR_RING_ENTRIES});
    EXPECT_EQ(wakes_[0], 0u);
    ASSERT_EQ(mr_loop_run_once(loops_[0], 0), MR_OK);
    EXPECT_EQ(wakes_[0], 1u);
    mr_mailbox_flush(At(0));
    EXPECT_EQ(Take().size(), size_t{10});
}

}  // namespace
