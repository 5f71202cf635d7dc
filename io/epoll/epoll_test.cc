#include "io/epoll/epoll.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "io/backend_suite.h"
#include "io/socket_suite.h"

namespace {

class EpollBackend : public SocketBackend {
 public:
    const mr_io_backend *Table() override {
        return &mr_io_epoll;
    }
};

std::unique_ptr<Backend> MakeEpoll() {
    return std::make_unique<EpollBackend>();
}

// The name is another than the suites', so it runs only here.
class EpollTest : public SocketTest {};

TEST_P(EpollTest, AnEchoCostsThreeSystemCalls) {
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
    EXPECT_EQ(before + 30, Stats().syscall_count) << "epoll_wait, recv, sendmsg each";
}

TEST_P(EpollTest, PausingAndResumingCostsNoSystemCall) {
    Pair pair = MakePair();
    Turn();
    uint64_t before = Stats().syscall_count;
    for (int i = 0; i < 10; i++) {
        mr_stream_recv_pause(pair.conn);
        mr_stream_recv_resume(pair.conn);
        Turn();
    }
    EXPECT_EQ(before + 10, Stats().syscall_count) << "epoll_wait each";
}

}  // namespace

INSTANTIATE_TEST_SUITE_P(Epoll, BackendTest, testing::Values(&MakeEpoll),
                         [](const auto &) { return std::string("epoll"); });
INSTANTIATE_TEST_SUITE_P(Epoll, SocketTest, testing::Values(&MakeEpoll),
                         [](const auto &) { return std::string("epoll"); });
INSTANTIATE_TEST_SUITE_P(Epoll, EpollTest, testing::Values(&MakeEpoll),
                         [](const auto &) { return std::string("epoll"); });
