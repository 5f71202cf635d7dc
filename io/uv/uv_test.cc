#include "io/uv/uv.h"

#include <gtest/gtest.h>

#include <unistd.h>
#include <uv.h>

#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "io/backend_suite.h"
#include "io/socket_suite.h"

// The linker leads the backend's calls to uv_run() here.
static unsigned run_delay_us;
extern "C" int __real_uv_run(uv_loop_t *loop, uv_run_mode mode);
extern "C" int __wrap_uv_run(uv_loop_t *loop, uv_run_mode mode) {
    if (run_delay_us > 0) {
        usleep(run_delay_us);
    }
    return __real_uv_run(loop, mode);
}

namespace {

class UvBackend : public SocketBackend {
 public:
    const mr_io_backend *Table() override {
        return &mr_io_uv;
    }
};

std::unique_ptr<Backend> MakeUv() {
    return std::make_unique<UvBackend>();
}

// The name is another than the suites', so it runs only here.
class UvTest : public SocketTest {};

TEST_P(UvTest, AnEchoCostsThreeSystemCallsThatCanBeSeen) {
    Pair pair = MakePair();
    pair.conn->on_recv = [](Conn *conn, mr_buf *, mr_slice data, size_t *) {
        conn->Write("answer");
        return data.len;
    };
    Turn();
    uint64_t before = Stats().syscall_count;
    for (int i = 0; i < 10; i++) {
        EXPECT_EQ(8u, pair.peer->Send("question"));
        Turn();
        EXPECT_EQ("answer", RecvAll(pair.peer.get(), 6));
    }
    EXPECT_EQ(before + 30, Stats().syscall_count) << "the wait, recv, sendmsg each";
}

// Level-triggered, it would be told of the unwanted bytes in each turn.
TEST_P(UvTest, APausedStreamWithUnreadBytesLetsTheLoopSleep) {
    Pair pair = MakePair();
    mr_stream_recv_pause(pair.conn);
    ASSERT_EQ(6u, pair.peer->Send("unread"));
    Turn(10);
    Turn(10);
    mr_timer timer;
    static bool fired;
    fired = false;
    mr_timer_init(&timer, [](mr_timer *) { fired = true; });
    mr_timer_start(loop(), &timer, 300);
    int turn_count = 0;
    while (!fired) {
        Turn(UINT32_MAX);
        turn_count++;
    }
    EXPECT_LE(turn_count, 10);
    EXPECT_EQ(0, pair.conn->recv_count);
    mr_stream_recv_resume(pair.conn);
    RunUntil([&] { return pair.conn->received == "unread"; });
    // And it is watched again.
    SendAll(pair.peer.get(), "more");
    RunUntil([&] { return pair.conn->received == "unreadmore"; });
}

// libuv keeps a watch for a while after its end, and refuses two for one descriptor.
TEST_P(UvTest, ADescriptorMayBeUsedAgainInTheTurnThatClosedIt) {
    Pair first = MakePair();
    const intptr_t handle = first.conn->handle;
    intptr_t second = -1;
    first.conn->on_detach = [&](Conn *, intptr_t given, mr_buf *, std::string) {
        second = given;
        conns_.push_back(std::make_unique<Conn>());
        ASSERT_EQ(MR_OK, mr_stream_attach(loop(), conns_.back().get(), given,
                                          mr_slice_of(nullptr, 0), &kConnHandler));
    };
    ASSERT_EQ(MR_OK, mr_stream_detach(first.conn));
    RunUntil([&] { return second != -1; });
    EXPECT_EQ(handle, second);
    SendAll(first.peer.get(), "hello");
    RunUntil([&] { return conns_.back()->received == "hello"; });
}

// Wakes the loop if it still waits after longer than anything takes.
class Watchdog {
 public:
    explicit Watchdog(mr_loop *loop) : thread_([this, loop] { Watch(loop); }) {
    }
    ~Watchdog() {
        {
            std::lock_guard<std::mutex> lock(mutex_);
            done_ = true;
        }
        condition_.notify_one();
        thread_.join();
    }
    bool barked() {
        std::lock_guard<std::mutex> lock(mutex_);
        return barked_;
    }

 private:
    void Watch(mr_loop *loop) {
        std::unique_lock<std::mutex> lock(mutex_);
        while (!condition_.wait_for(lock, std::chrono::seconds(20), [this] { return done_; })) {
            barked_ = true;
            mr_loop_wake(loop);
        }
    }

    std::mutex mutex_;
    std::condition_variable condition_;
    bool done_ = false;
    bool barked_ = false;
    std::thread thread_;  // Last: it uses the others.
};

// A thread that is kept from running between the start of the timer and the wait.
TEST_P(UvTest, AWaitThatIsOverBeforeItBeginsStillEnds) {
    Turn(1);
    Watchdog watchdog(loop());
    run_delay_us = 5000;
    for (int i = 0; i < 20 && !watchdog.barked(); i++) {
        Turn(1);
    }
    run_delay_us = 0;
    EXPECT_FALSE(watchdog.barked()) << "it waited for ever";
}

}  // namespace

INSTANTIATE_TEST_SUITE_P(Uv, BackendTest, testing::Values(&MakeUv),
                         [](const auto &) { return std::string("uv"); });
INSTANTIATE_TEST_SUITE_P(Uv, SocketTest, testing::Values(&MakeUv),
                         [](const auto &) { return std::string("uv"); });
INSTANTIATE_TEST_SUITE_P(Uv, UvTest, testing::Values(&MakeUv),
                         [](const auto &) { return std::string("uv"); });
