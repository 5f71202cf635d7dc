#include "io/fault/fault_suite.hh"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>

#include <cstdio>
#include <cstdlib>
#include <random>
#include <vector>

using fault::Call;

// ---------------------------------------------------------------------------- seeds

namespace {

uint32_t first_seed = 1;

// Other seeds each time that --gtest_repeat repeats all.
class Seeds : public testing::Environment {
    void SetUp() override {
        const char *given = getenv("MILLRACE_SEED");
        first_seed = (given != nullptr ? static_cast<uint32_t>(atoi(given)) : 1) +
                     kFaultSeedCount * repetition_++;
    }
    uint32_t repetition_ = 0;
};

testing::Environment *const seeds = testing::AddGlobalTestEnvironment(new Seeds);

}  // namespace

FaultBackend::FaultBackend(const mr_io_backend *table, uint32_t index, uint32_t recv_buf_count)
    : table_(table), recv_buf_count_(recv_buf_count), seed_(first_seed + index) {
    printf("seed %u\n", seed_);
    fault::Start(seed_, fault::Random::kSoft);
}

FaultBackend::~FaultBackend() {
    fault::Stop();
}

void FaultTest::SetUp() {
    SocketTest::SetUp();
    fault::SetRandom(fault::Random::kNone);
}

size_t CountDescriptors() {
    DIR *folder = opendir("/proc/self/fd");
    size_t count = 0;
    while (readdir(folder) != nullptr) {
        count++;
    }
    closedir(folder);
    return count;
}

// -------------------------------------------------------------------------- streams

namespace {

struct Case {
    int os_error;
    mr_err why;
};

}  // namespace

TEST_P(FaultTest, AFailedSendEndsItsStreamOnly) {
    Pair other = MakePair();
    for (Case each :
         {Case{ENOBUFS, MR_ERR_NOMEM}, Case{ENOMEM, MR_ERR_NOMEM}, Case{EPIPE, MR_ERR_RESET},
          Case{ECONNRESET, MR_ERR_RESET}, Case{ETIMEDOUT, MR_ERR_TIMEOUT}, Case{EIO, MR_ERR_IO}}) {
        SCOPED_TRACE(each.os_error);
        Pair pair = MakePair();
        fault::FailNext(Call::kSend, each.os_error);
        pair.conn->Write("lost");
        RunUntil([&] { return pair.conn->closed(); });
        EXPECT_EQ(each.why, pair.conn->why);
        other.conn->Write("kept");
        EXPECT_EQ("kept", RecvAll(other.peer.get(), 4));
    }
    EXPECT_FALSE(other.conn->closed());
    EXPECT_LE(PoolStats().in_use_count, backend_->RecvBufCount());
}

TEST_P(FaultTest, WhatCameBeforeAFailedSendIsDelivered) {
    options_.recv_turn_bytes_max = 1000;
    Pair pair = MakePair();
    pair.conn->on_recv = [](Conn *conn, mr_buf *, mr_slice data, size_t *) {
        conn->Write("answer");
        return conn->Take(data);
    };
    fault::FailNext(Call::kSend, EPIPE);
    ASSERT_EQ(20000u, pair.peer->Send(Pattern(20000)));
    RunUntil([&] { return pair.conn->closed(); });
    EXPECT_TRUE(Pattern(20000) == pair.conn->received);
    EXPECT_EQ(MR_ERR_RESET, pair.conn->why);
}

TEST_P(FaultTest, AFailedReceiveEndsItsStreamOnly) {
    Pair other = MakePair();
    for (Case each : {Case{ENOBUFS, MR_ERR_NOMEM}, Case{ENOMEM, MR_ERR_NOMEM},
                      Case{ECONNRESET, MR_ERR_RESET}, Case{ETIMEDOUT, MR_ERR_TIMEOUT},
                      Case{EHOSTUNREACH, MR_ERR_TIMEOUT}, Case{EIO, MR_ERR_IO}}) {
        SCOPED_TRACE(each.os_error);
        Pair pair = MakePair();
        Turn();
        fault::FailNext(Call::kRecv, each.os_error);
        EXPECT_EQ(4u, pair.peer->Send("lost"));
        RunUntil([&] { return pair.conn->closed(); });
        EXPECT_EQ(each.why, pair.conn->why);
        SendAll(other.peer.get(), "kept");
        RunUntil([&] { return other.conn->received == "kept"; });
        other.conn->received.clear();
    }
    EXPECT_FALSE(other.conn->closed());
    EXPECT_LE(PoolStats().in_use_count, backend_->RecvBufCount());
}

TEST_P(FaultTest, ALingeringStreamThatFailsIsClosed) {
    for (Call call : {Call::kSend, Call::kRecv}) {
        Pair pair = MakePair();
        pair.conn->Write("goodbye");
        mr_stream_close(pair.conn, MR_CLOSE_FLUSH, 86400000);
        if (call == Call::kRecv) {
            // It has sent all, and waits for the peer's end.
            EXPECT_EQ("goodbye", RecvAll(pair.peer.get(), 7));
            Turn();
        }
        fault::FailNext(call, ECONNRESET);
        pair.peer->Send("more");
        RunUntil([&] { return pair.conn->closed(); });
        EXPECT_EQ(MR_OK, pair.conn->why);
    }
}

TEST_P(FaultTest, ARefusedWatchLeavesTheHandleWithTheCaller) {
    uint16_t port = Listen();
    for (int os_error : {ENOMEM, ENOSPC}) {
        std::unique_ptr<Peer> peer = backend_->Connect(port);
        RunUntil([&] { return accepted_.size() == 1; });
        conns_.push_back(std::make_unique<Conn>());
        Conn *conn = conns_.back().get();
        fault::FailNext(Call::kWatch, os_error);
        const mr_slice initial = mr_slice_of("hello ", 6);
        EXPECT_EQ(MR_ERR_NOMEM,
                  mr_stream_attach(loop(), conn, accepted_[0], initial, &kConnHandler));
        EXPECT_LE(PoolStats().in_use_count, backend_->RecvBufCount());
        Turn();
        ASSERT_EQ(MR_OK, mr_stream_attach(loop(), conn, accepted_[0], initial, &kConnHandler));
        accepted_.clear();
        SendAll(peer.get(), "again");
        RunUntil([&] { return conn->received == "hello again"; });
    }
}

TEST_P(FaultTest, AnErrorOfCloseIsNoReasonToCloseAgain) {
    for (int os_error : {EINTR, EIO}) {
        Pair pair = MakePair();
        const int fd = static_cast<int>(pair.conn->handle);
        fault::FailNext(Call::kClose, os_error);
        mr_stream_close(pair.conn, MR_CLOSE_ABORT, 0);
        RunUntil([&] { return pair.conn->closed(); });
        // Somebody else gets the descriptor, and keeps it.
        ASSERT_EQ(fd, fcntl(0, F_DUPFD_CLOEXEC, fd));
        for (int i = 0; i < 3; i++) {
            Turn();
        }
        EXPECT_EQ(0, close(fd));
    }
}

// ------------------------------------------------------------------------ listeners

TEST_P(FaultTest, AcceptingPausesForWantOfAnything) {
    uint16_t port = Listen();
    uint64_t pauses = 0;
    for (int os_error : {EMFILE, ENFILE, ENOBUFS, ENOMEM}) {
        SCOPED_TRACE(os_error);
        fault::FailNext(Call::kAccept, os_error);
        std::unique_ptr<Peer> peer = backend_->Connect(port);
        RunUntil([&] { return !accepted_.empty(); });
        EXPECT_EQ(++pauses, Stats().accept_pause_count);
        mr_handle_close(loop(), accepted_[0]);
        accepted_.clear();
    }
}

TEST_P(FaultTest, AFreeDescriptorEndsThePause) {
    Pair pair = MakePair();
    fault::FailNext(Call::kAccept, EMFILE);
    std::unique_ptr<Peer> peer = backend_->Connect(mr_listener_port(listeners_[0]));
    RunUntil([&] { return Stats().accept_pause_count == 1; });
    mr_stream_close(pair.conn, MR_CLOSE_ABORT, 0);
    // At most the turn that closes and the turn that accepts, long before the pause is over.
    for (int i = 0; i < 3 && accepted_.empty(); i++) {
        Turn();
    }
    EXPECT_EQ(1u, accepted_.size());
}

TEST_P(FaultTest, AnErrorOfANewConnectionIsNoneOfTheListener) {
    uint16_t port = Listen();
    for (int os_error : {ECONNABORTED, EHOSTUNREACH, EINTR, ENETDOWN, EPERM, EPROTO, ETIMEDOUT}) {
        SCOPED_TRACE(os_error);
        fault::FailNext(Call::kAccept, os_error, 3);
        std::unique_ptr<Peer> peer = backend_->Connect(port);
        RunUntil([&] { return !accepted_.empty(); });
        mr_handle_close(loop(), accepted_[0]);
        accepted_.clear();
    }
    EXPECT_EQ(0u, Stats().accept_pause_count);
}

TEST_P(FaultTest, AListenerThatCannotBeWatchedLeavesItsPortFree) {
    mr_listen_address address = {};
    address.host = "127.0.0.1";
    address.port = Listen();
    mr_listener_close(listeners_[0]);
    listeners_.clear();
    Turn();
    fault::FailNext(Call::kWatch, ENOMEM);
    EXPECT_EQ(MR_ERR_NOMEM, Open(address));
    EXPECT_EQ(ENOMEM, os_error_);
    EXPECT_EQ(MR_OK, Open(address)) << os_error_;
    SocketPeer peer(ConnectTo(Ip4(address.port)));
    Attach();
}

// ---------------------------------------------------------------------------- loops

TEST_P(FaultTest, ALoopThatCannotBeOpenedLeavesNothingOpen) {
    loop();  // What a process needs once is there.
    for (Call call : {Call::kEpollCreate, Call::kEventfd, Call::kWatch}) {
        for (Case each : {Case{EMFILE, MR_ERR_NOFILES}, Case{ENFILE, MR_ERR_NOFILES},
                          Case{ENOMEM, MR_ERR_NOMEM}}) {
            size_t before = CountDescriptors();
            fault::FailNext(call, each.os_error);
            mr_loop *other = nullptr;
            mr_loop_options options = {};
            enum mr_err err = mr_loop_new(&other, backend_->Table(), &options);
            // Not every backend makes each of the calls.
            bool failed = fault::FailNextLeft(call) == 0;
            fault::FailNext(call, 0, 0);
            EXPECT_EQ(failed ? each.why : MR_OK, err);
            mr_loop_free(other);
            // libuv 1.44 itself forgets its epoll descriptor where its eventfd is refused.
            bool forgets =
                call == Call::kEventfd && std::string(mr_loop_backend_name(loop())) == "uv";
            EXPECT_EQ(before + (forgets ? 1 : 0), CountDescriptors());
        }
    }
}

// ----------------------------------------------------------------------- everything

namespace {

// A connection that echoes. Whatever fails, either end has a beginning of what was sent.
struct Echo {
    std::unique_ptr<Peer> peer;
    Conn *conn = nullptr;  // NULL: it was refused.
    std::string sent;
    std::string echoed;
};

bool IsBeginning(const std::string &part, const std::string &whole) {
    return part.size() <= whole.size() && whole.compare(0, part.size(), part) == 0;
}

}  // namespace

TEST_P(FaultTest, UnderHardFaultsStreamsEndOnceWithoutMixingUpBytes) {
    const uint32_t seed = static_cast<FaultBackend *>(backend_.get())->seed();
    std::mt19937 engine(seed);
    uint16_t port = Listen();
    Turn();
    const size_t descriptors = CountDescriptors();
    fault::Start(seed, fault::Random::kHard);
    std::vector<Echo> echoes(300);
    for (Echo &echo : echoes) {
        echo.peer = backend_->Connect(port);
        RunUntil([&] { return !accepted_.empty(); });
        conns_.push_back(std::make_unique<Conn>());
        Conn *conn = conns_.back().get();
        conn->on_recv = [](Conn *stream, mr_buf *, mr_slice data, size_t *) {
            stream->Write(std::string(reinterpret_cast<const char *>(data.data), data.len));
            return stream->Take(data);
        };
        if (mr_stream_attach(loop(), conn, accepted_[0], mr_slice_of(nullptr, 0), &kConnHandler) ==
            MR_OK) {
            echo.conn = conn;
        } else {
            conns_.pop_back();
            mr_handle_close(loop(), accepted_[0]);
        }
        accepted_.clear();
        for (int i = 0; i < 10; i++) {
            Echo &any = echoes[engine() % static_cast<size_t>(&echo - echoes.data() + 1)];
            std::string bytes = Pattern(engine() % 20000 + 1, engine());
            any.sent += bytes.substr(0, any.peer->Send(bytes));
            any.peer->Recv(&any.echoed, 1 << 20);
            Turn();
        }
    }
    for (int i = 0; i < 100; i++) {
        for (Echo &echo : echoes) {
            echo.peer->Recv(&echo.echoed, 1 << 20);
        }
        Turn();
    }
    int failed_count = 0;
    for (Echo &echo : echoes) {
        EXPECT_TRUE(IsBeginning(echo.echoed, echo.sent));
        if (echo.conn == nullptr) {
            failed_count++;
            continue;
        }
        EXPECT_TRUE(IsBeginning(echo.conn->received, echo.sent));
        EXPECT_TRUE(IsBeginning(echo.echoed, echo.conn->received));
        failed_count += echo.conn->closed() ? 1 : 0;
    }
    EXPECT_GT(failed_count, 0) << "of " << fault::Count() << " faults";
    for (Echo &echo : echoes) {
        echo.peer.reset();
    }
    RunUntil([&] {
        bool closed = true;
        for (auto &conn : conns_) {
            closed = closed && conn->closed();
        }
        return closed;
    });
    for (auto &conn : conns_) {
        EXPECT_EQ(1, conn->close_count);
    }
    EXPECT_LE(PoolStats().in_use_count, backend_->RecvBufCount());
    EXPECT_EQ(descriptors, CountDescriptors());
}
