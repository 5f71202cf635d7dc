// Hand-over between workers: parcels sent, shown and taken, by batch and by number of workers;
// both sides on one thread, so that what is measured is the work and not the cache lines' way
// (see ring_bench for that).
#include <vector>

#include "bench/micro/micro.hh"
#include "broker/router/mailbox.h"
#include "io/epoll/epoll.h"

namespace {

using micro::Check;
using micro::Loop;

class Workers {
 public:
    explicit Workers(uint32_t count) : count_(count), counters_(count), loops_(count) {
        Check(mr_mailboxes_new(&mailboxes_, count) == MR_OK, "mailboxes");
        for (uint32_t i = 0; i < count; i++) {
            mr_loop_options options = {};
            Check(mr_loop_new(&loops_[i], &mr_io_epoll, &options) == MR_OK, "loop");
            mr_mailbox_bind(at(i), loops_[i], &counters_[i]);
        }
    }
    ~Workers() {
        mr_mailboxes_free(
            mailboxes_, count_, [](void *, mr_parcel *) {}, nullptr);
        for (mr_loop *loop : loops_) {
            mr_loop_free(loop);
        }
    }
    Workers(const Workers &) = delete;
    Workers &operator=(const Workers &) = delete;

    mr_mailbox *at(uint32_t index) {
        return mr_mailbox_at(mailboxes_, index);
    }

 private:
    uint32_t count_;
    mr_mailbox *mailboxes_ = nullptr;
    std::vector<mr_counters> counters_;
    std::vector<mr_loop *> loops_;
};

// Worker 0 sends a batch to each of the others in one turn.
void SendTake(benchmark::State &state) {
    uint32_t count = static_cast<uint32_t>(state.range(0));
    int64_t batch = state.range(1);
    Workers workers(count);
    uint64_t targets = (UINT64_MAX >> (64 - count)) & ~UINT64_C(1);
    uint64_t number = 0;
    uint64_t sum = 0;
    Loop loop(state, batch * (count - 1));
    for (auto _ : loop) {
        for (int64_t i = 0; i < batch; i++) {
            Check(mr_mailbox_has_room(workers.at(0), targets, 1), "room");
            for (uint32_t target = 1; target < count; target++) {
                mr_parcel parcel = {};
                parcel.kind = MR_PARCEL_UNCONGESTED;
                parcel.key = ++number;
                Check(mr_mailbox_send(workers.at(0), target, &parcel), "send");
            }
        }
        mr_mailbox_flush(workers.at(0));
        for (uint32_t target = 1; target < count; target++) {
            mr_parcel parcel;
            mr_mailbox_look(workers.at(target));
            while (mr_mailbox_take(workers.at(target), &parcel)) {
                sum += parcel.key;
            }
        }
    }
    loop.Expect(number == static_cast<uint64_t>(loop.Operations()), "all were sent");
    loop.Expect(sum == number * (number + 1) / 2, "all came");
}
BENCHMARK(SendTake)->ArgNames({"workers", "batch"})->ArgsProduct({{2, 8, 64}, {1, 16, 200}});

// A turn that got one batch from each of the others: what finding the oldest costs.
void TakeFromAll(benchmark::State &state) {
    uint32_t count = static_cast<uint32_t>(state.range(0));
    Workers workers(count);
    uint64_t number = 0;
    uint64_t sum = 0;
    Loop loop(state, count - 1);
    for (auto _ : loop) {
        for (uint32_t from = 1; from < count; from++) {
            mr_parcel parcel = {};
            parcel.kind = MR_PARCEL_UNCONGESTED;
            parcel.key = ++number;
            Check(mr_mailbox_send(workers.at(from), 0, &parcel), "send");
            mr_mailbox_flush(workers.at(from));
        }
        mr_parcel parcel;
        mr_mailbox_look(workers.at(0));
        while (mr_mailbox_take(workers.at(0), &parcel)) {
            sum += parcel.key;
        }
    }
    loop.Expect(number == static_cast<uint64_t>(loop.Operations()), "all were sent");
    loop.Expect(sum == number * (number + 1) / 2, "all came");
}
BENCHMARK(TakeFromAll)->ArgName("workers")->Arg(2)->Arg(8)->Arg(64);

// A turn in which nothing came from anybody.
void NothingToTake(benchmark::State &state) {
    Workers workers(static_cast<uint32_t>(state.range(0)));
    uint64_t found = 0;
    Loop loop(state);
    for (auto _ : loop) {
        mr_parcel parcel;
        mr_mailbox_look(workers.at(0));
        found += mr_mailbox_take(workers.at(0), &parcel);
        mr_mailbox_flush(workers.at(0));
    }
    loop.Expect(found == 0, "nothing came");
}
BENCHMARK(NothingToTake)->ArgName("workers")->Arg(2)->Arg(8)->Arg(64);

}  // namespace
