#include "io/uring/uring.h"

#include <dirent.h>
#include <errno.h>
#include <gtest/gtest.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "io/backend_suite.h"
#include "io/socket_suite.h"

namespace {

class UringBackend : public SocketBackend {
 public:
    const mr_io_backend *Table() override {
        return &mr_io_uring;
    }
    uint32_t RecvBufCount() override {
        return 4;
    }
};

std::unique_ptr<Backend> MakeUring() {
    return std::make_unique<UringBackend>();
}

// None where the system has no io_uring for us.
std::vector<std::unique_ptr<Backend> (*)()> Backends() {
    std::vector<std::unique_ptr<Backend> (*)()> backends;
    if (mr_io_uring_available(nullptr)) {
        backends.push_back(&MakeUring);
    }
    return backends;
}

// The name is another than the suites', so it runs only here.
class UringTest : public SocketTest {};

// ------------------------------------------------------------------------ system calls

TEST_P(UringTest, AnEchoCostsTwoSystemCalls) {
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
    EXPECT_LE(Stats().syscall_count, before + 20) << "one that waits, one that sends and waits";
}

TEST_P(UringTest, ATurnOfManyStreamsIsOneSystemCall) {
    std::vector<Pair> pairs;
    for (int i = 0; i < 200; i++) {
        pairs.push_back(MakePair());
    }
    Turn();
    Turn();
    for (Pair &pair : pairs) {
        pair.conn->Write(Pattern(500));
        pair.conn->Write(Pattern(500));
    }
    Turn();
    uint64_t before = Stats().syscall_count;
    Turn();
    EXPECT_EQ(before + 1, Stats().syscall_count);
    for (Pair &pair : pairs) {
        EXPECT_EQ(0u, mr_stream_pending_bytes(pair.conn));
        EXPECT_TRUE(Pattern(500) + Pattern(500) == RecvAll(pair.peer.get(), 1000));
    }
}

TEST_P(UringTest, PausingAndResumingCostsNoSystemCall) {
    Pair pair = MakePair();
    Turn();
    Turn();
    uint64_t before = Stats().syscall_count;
    for (int i = 0; i < 10; i++) {
        mr_stream_recv_pause(pair.conn);
        mr_stream_recv_resume(pair.conn);
        Turn();
    }
    EXPECT_EQ(before, Stats().syscall_count);
}

// ------------------------------------------------------------------------------ crowds

TEST_P(UringTest, MoreCompletionsThanTheQueueHoldsAreNotLost) {
    // Each connection is one; all wait when the loop first looks.
    const size_t crowd = 2500;
    rlimit limit = {};
    ASSERT_EQ(0, getrlimit(RLIMIT_NOFILE, &limit));
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    if (limit.rlim_cur < 2 * crowd + 100) {
        GTEST_SKIP() << "too few descriptors";
    }
    std::string path = "/tmp/millrace-crowd-" + std::to_string(getpid());
    mr_listen_address address = {};
    address.unix_path = path.c_str();
    ASSERT_EQ(MR_OK, Open(address)) << os_error_;
    Turn();
    std::vector<std::unique_ptr<Peer>> peers;
    for (size_t i = 0; i < crowd; i++) {
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        sockaddr_un name = Unix(path);
        if (connect(fd, reinterpret_cast<sockaddr *>(&name), sizeof name) != 0) {
            close(fd);
            break;  // The system's backlog is shorter.
        }
        peers.push_back(std::make_unique<SocketPeer>(fd));
    }
    ASSERT_GT(peers.size(), 0u);
    RunUntil([&] { return accepted_.size() == peers.size(); });
    printf("%zu connections in %d turns\n", peers.size(), static_cast<int>(Stats().turn_count));
}

// Whatever would have to wait in the kernel does so without a thread.
TEST_P(UringTest, NothingIsLeftToThreadsOfTheKernel) {
    Pair slow = MakePair();
    slow.conn->Write(Pattern(backend_->MoreThanFits()));
    Pair large = MakePair();
    Messages messages;
    TakeMessages(large.conn, &messages);
    std::string message = Message(Pattern(2 << 20));
    for (size_t at = 0; at < message.size(); at += 5000) {
        SendAll(large.peer.get(), message.substr(at, 5000));
        Turn();
    }
    RunUntil([&] { return messages.bodies.size() == 1; });
    std::string bytes;
    for (int i = 0; i < 300; i++) {
        slow.peer->Recv(&bytes, 20000);
        Turn();
    }
    DIR *tasks = opendir("/proc/self/task");
    ASSERT_NE(nullptr, tasks);
    while (dirent *task = readdir(tasks)) {
        std::ifstream file(std::string("/proc/self/task/") + task->d_name + "/comm");
        std::string name;
        std::getline(file, name);
        EXPECT_EQ(std::string::npos, name.find("iou-")) << name;
    }
    closedir(tasks);
}

// ----------------------------------------------------------------------------- receiving

TEST_P(UringTest, SmallReceivesShareABuffer) {
    std::vector<Pair> pairs;
    std::vector<mr_buf *> bufs;
    std::vector<std::string> copies;
    std::vector<mr_slice> slices;
    for (int i = 0; i < 30; i++) {
        pairs.push_back(MakePair());
        pairs.back().conn->on_recv = [&](Conn *conn, mr_buf *buf, mr_slice data, size_t *) {
            bufs.push_back(mr_buf_ref(buf));
            slices.push_back(data);
            copies.emplace_back(reinterpret_cast<const char *>(data.data), data.len);
            return conn->Take(data);
        };
    }
    for (uint32_t i = 0; i < pairs.size(); i++) {
        SendAll(pairs[i].peer.get(), Pattern(100, i));
    }
    RunUntil([&] { return bufs.size() == pairs.size(); });
    for (size_t i = 0; i < bufs.size(); i++) {
        EXPECT_EQ(bufs[0], bufs[i]);
        EXPECT_EQ(copies[i],
                  std::string(reinterpret_cast<const char *>(slices[i].data), slices[i].len));
    }
    EXPECT_LE(PoolStats().in_use_count, backend_->RecvBufCount());
    for (mr_buf *buf : bufs) {
        mr_buf_unref(buf);
    }
}

TEST_P(UringTest, ABufferThatNobodyKeptIsFilledFromItsStartAgain) {
    Pair pair = MakePair();
    std::vector<const uint8_t *> places;
    pair.conn->on_recv = [&](Conn *conn, mr_buf *, mr_slice data, size_t *) {
        places.push_back(data.data);
        return conn->Take(data);
    };
    for (size_t i = 0; i < 10; i++) {
        SendAll(pair.peer.get(), Pattern(1000));
        RunUntil([&] { return pair.conn->received.size() == (i + 1) * 1000; });
    }
    for (const uint8_t *place : places) {
        EXPECT_EQ(places[0], place);
    }
}

TEST_P(UringTest, ManyStreamsUseTheSupplyUpAndLoseNothing) {
    std::vector<Pair> pairs;
    for (int i = 0; i < 40; i++) {
        pairs.push_back(MakePair());
    }
    for (int round = 0; round < 3; round++) {
        for (uint32_t i = 0; i < pairs.size(); i++) {
            pairs[i].conn->received.clear();
            // Fits into the socket's buffers, so all of it is there in one turn.
            ASSERT_EQ(60000u, pairs[i].peer->Send(Pattern(60000, i)));
        }
        for (uint32_t i = 0; i < pairs.size(); i++) {
            RunUntil([&] { return pairs[i].conn->received.size() == 60000; });
            EXPECT_TRUE(Pattern(60000, i) == pairs[i].conn->received);
        }
    }
    EXPECT_LE(PoolStats().in_use_count, backend_->RecvBufCount());
}

TEST_P(UringTest, AStreamThatUsesAllUpDoesNotStarveOthers) {
    Pair greedy = MakePair();
    Pair modest = MakePair();
    std::string flood = Pattern(4 << 20);
    size_t sent = 0;
    auto pump = [&] { sent += greedy.peer->Send(flood.substr(sent % (1 << 20), 1 << 20)); };
    greedy.conn->on_recv = [](Conn *, mr_buf *, mr_slice data, size_t *) { return data.len; };
    for (size_t i = 1; i <= 20; i++) {
        pump();
        ASSERT_EQ(1u, modest.peer->Send("x"));
        for (int turn = 0; turn < 4 && modest.conn->received.size() < i; turn++) {
            pump();
            Turn();
        }
        ASSERT_EQ(i, modest.conn->received.size());
    }
    EXPECT_GT(sent, size_t{10} << 20);
}

// More than the supply holds comes for each of them in each turn: nobody waits for longer than it
// takes to serve all the others.
TEST_P(UringTest, StreamsThatFindNothingLeftAreServedInTurn) {
    constexpr size_t kStreams = 24;
    constexpr int kTurns = 200;
    const std::string flood = Pattern(256 << 10);
    std::vector<Pair> pairs;
    std::vector<size_t> got(kStreams);
    for (size_t i = 0; i < kStreams; i++) {
        pairs.push_back(MakePair());
        pairs.back().conn->on_recv = [&got, i](Conn *, mr_buf *, mr_slice data, size_t *) {
            got[i] += data.len;
            return data.len;
        };
    }
    std::vector<int> waited(kStreams);
    int longest = 0;
    for (int turn = 0; turn < kTurns; turn++) {
        for (Pair &pair : pairs) {
            pair.peer->Send(flood);
        }
        std::vector<size_t> before = got;
        Turn();
        for (size_t i = 0; i < kStreams; i++) {
            waited[i] = got[i] == before[i] ? waited[i] + 1 : 0;
            longest = std::max(longest, waited[i]);
        }
    }
    EXPECT_LE(longest, static_cast<int>(kStreams));
    size_t total = 0;
    for (size_t bytes : got) {
        total += bytes;
    }
    // It was as busy as it should be for this test.
    EXPECT_GT(total, size_t{kTurns} * 100 * 1024);
}

TEST_P(UringTest, WithoutMemoryForBuffersAStreamFailsAndTheLoopGoesOn) {
    options_.pool.bytes_max = 400 << 10;
    Pair pair = MakePair();
    Turn();
    // All that the loop has is kept by somebody.
    std::vector<mr_buf *> kept;
    pair.conn->on_recv = [&](Conn *conn, mr_buf *buf, mr_slice data, size_t *) {
        kept.push_back(mr_buf_ref(buf));
        return conn->Take(data);
    };
    RunUntil([&] {
        pair.peer->Send(Pattern(100000));
        return pair.conn->closed();
    });
    EXPECT_EQ(MR_ERR_NOMEM, pair.conn->why);
    for (mr_buf *buf : kept) {
        mr_buf_unref(buf);
    }
    Pair next = MakePair();
    SendAll(next.peer.get(), "works");
    RunUntil([&] { return next.conn->received == "works"; });
}

TEST_P(UringTest, WhilePausedNoMoreIsTakenThanTheSupplyHolds) {
    Pair pair = MakePair();
    Turn();
    Turn();
    mr_stream_recv_pause(pair.conn);
    std::string bytes = Pattern(backend_->MoreThanFits());
    size_t sent = 0;
    for (int idle = 0; idle < 20;) {
        size_t taken = pair.peer->Send(bytes.substr(sent, 1 << 20));
        sent += taken;
        idle = taken == 0 ? idle + 1 : 0;
        Turn(1);
    }
    EXPECT_LE(Stats().recv_bytes, 256u << 10);
    EXPECT_EQ(0, pair.conn->recv_count);
    mr_stream_recv_resume(pair.conn);
    SendAll(pair.peer.get(), bytes.substr(sent));
    RunUntil([&] { return pair.conn->received.size() == bytes.size(); });
    EXPECT_TRUE(bytes == pair.conn->received);
}

// ------------------------------------------------------------------------ placed receives

TEST_P(UringTest, AStreamMayEndInEveryWayWhileAPlacedReceiveIsInTheKernel) {
    const std::string message = Message(Pattern(1 << 20));
    for (int way = 0; way < 6; way++) {
        SCOPED_TRACE(way);
        Pair pair = MakePair();
        Messages messages;
        TakeMessages(pair.conn, &messages);
        SendAll(pair.peer.get(), message.substr(0, message.size() / 2));
        RunUntil([&] { return pair.conn->in_len == message.size() / 2; });
        Turn();
        Turn();
        intptr_t handle = -1;
        std::string rest;
        pair.conn->on_detach = [&](Conn *, intptr_t given, mr_buf *, std::string bytes) {
            handle = given;
            rest = bytes;
        };
        switch (way) {
            case 0:
                mr_stream_close(pair.conn, MR_CLOSE_ABORT, 0);
                break;
            case 1:
                mr_stream_close(pair.conn, MR_CLOSE_FLUSH, 20);
                break;
            case 2:
                pair.peer->EndSending();
                break;
            case 3:
                pair.peer->Reset();
                break;
            case 4:
                SendAll(pair.peer.get(), "more");
                EXPECT_EQ(MR_OK, mr_stream_detach(pair.conn));
                break;
            default:
                // The kernel has more of it when the close comes.
                pair.peer->Send(message.substr(message.size() / 2, 100000));
                mr_stream_close(pair.conn, MR_CLOSE_FLUSH, 20);
                break;
        }
        RunUntil([&] { return pair.conn->closed(); });
        EXPECT_EQ(0u, messages.bodies.size());
        if (way == 4) {
            ASSERT_NE(-1, handle);
            std::string all = message.substr(0, message.size() / 2) + "more";
            EXPECT_TRUE(rest == all.substr(0, rest.size()));
            EXPECT_GE(rest.size(), all.size() - 4);
            mr_handle_close(loop(), handle);
        }
    }
    EXPECT_LE(PoolStats().in_use_count, backend_->RecvBufCount());
}

TEST_P(UringTest, PausingDuringAPlacedReceiveKeepsWhatItBrings) {
    Pair pair = MakePair();
    Messages messages;
    TakeMessages(pair.conn, &messages);
    std::string message = Message(Pattern(1 << 20));
    SendAll(pair.peer.get(), message.substr(0, message.size() / 2));
    RunUntil([&] { return pair.conn->in_len == message.size() / 2; });
    Turn();
    mr_stream_recv_pause(pair.conn);
    size_t sent = message.size() / 2;
    std::string all = message + Message("behind");
    for (int i = 0; i < 50; i++) {
        sent += pair.peer->Send(all.substr(sent, 1 << 16));
        Turn(1);
    }
    EXPECT_EQ(0u, messages.bodies.size());
    mr_stream_recv_resume(pair.conn);
    SendAll(pair.peer.get(), all.substr(sent));
    RunUntil([&] { return messages.bodies.size() == 2; });
    EXPECT_TRUE(Pattern(1 << 20) == messages.bodies[0]);
    EXPECT_EQ("behind", messages.bodies[1]);
}

// ------------------------------------------------------------------------- setting up, ends

TEST_P(UringTest, ALoopThatNeverRanIsFreedWithItsListeners) {
    Listen();
    mr_listener_close(listeners_[0]);
    listeners_.clear();
}

TEST_P(UringTest, APortIsFreeAsSoonAsItsLoopIs) {
    mr_loop *other = nullptr;
    ASSERT_EQ(MR_OK, mr_loop_new(&other, &mr_io_uring, &options_));
    mr_listen_address address = {};
    address.host = "127.0.0.1";
    mr_listener *listener = nullptr;
    int os_error = 0;
    auto on_accept = [](void *, intptr_t handle) { close(static_cast<int>(handle)); };
    ASSERT_EQ(MR_OK, mr_listener_open(&listener, other, &address, on_accept, nullptr, &os_error));
    uint16_t port = mr_listener_port(listener);
    ASSERT_EQ(MR_OK, mr_loop_run_once(other, 0));
    mr_listener_close(listener);
    mr_loop_free(other);
    address.port = port;
    EXPECT_EQ(MR_OK, Open(address)) << os_error_;
}

TEST_P(UringTest, ALoopMayBeSetUpOnAnotherThreadThanItsOwn) {
    uint16_t port = Listen();
    std::unique_ptr<Peer> early = backend_->Connect(port);
    std::thread([&] {
        EXPECT_EQ(1u, early->Send("?"));
        RunUntil([&] { return accepted_.size() == 1; });
        Conn *conn = Attach();
        RunUntil([&] { return conn->received == "?"; });
        CloseAll();
        mr_buf_pool_enter(nullptr);
    }).join();
}

// What was accepted and not yet reported when the loop ends doesn't stay open.
TEST_P(UringTest, NoDescriptorIsLeftBehind) {
    auto count = [] {
        int n = 0;
        DIR *dir = opendir("/proc/self/fd");
        while (readdir(dir) != nullptr) {
            n++;
        }
        closedir(dir);
        return n;
    };
    int before = count();
    {
        mr_loop *other = nullptr;
        ASSERT_EQ(MR_OK, mr_loop_new(&other, &mr_io_uring, &options_));
        mr_listen_address address = {};
        address.host = "127.0.0.1";
        mr_listener *listener = nullptr;
        int os_error = 0;
        auto on_accept = [](void *, intptr_t handle) { close(static_cast<int>(handle)); };
        ASSERT_EQ(MR_OK,
                  mr_listener_open(&listener, other, &address, on_accept, nullptr, &os_error));
        ASSERT_EQ(MR_OK, mr_loop_run_once(other, 0));
        std::vector<std::unique_ptr<Peer>> peers;
        for (int i = 0; i < 50; i++) {
            peers.push_back(backend_->Connect(mr_listener_port(listener)));
        }
        mr_listener_close(listener);
        mr_loop_free(other);
    }
    EXPECT_EQ(before, count());
}

// ---------------------------------------------------------------------------- availability

// Runs `child` in a process of its own; it returns whether all was well.
void InAChild(bool (*child)()) {
    pid_t pid = fork();
    ASSERT_GE(pid, 0);
    if (pid == 0) {
        alarm(60);
        _exit(child() ? 0 : 1);
    }
    int status = 0;
    ASSERT_EQ(pid, waitpid(pid, &status, 0));
    EXPECT_TRUE(WIFEXITED(status));
    EXPECT_EQ(0, WEXITSTATUS(status));
}

TEST(UringAvailable, SaysWhyIfNot) {
    const char *why = nullptr;
    if (mr_io_uring_available(&why)) {
        EXPECT_EQ(nullptr, why);
        mr_loop *loop = nullptr;
        ASSERT_EQ(MR_OK, mr_loop_new(&loop, &mr_io_uring, nullptr));
        mr_loop_free(loop);
    } else {
        ASSERT_NE(nullptr, why);
        GTEST_SKIP() << why;
    }
}

TEST(UringAvailable, NotIfASandboxForbidsIt) {
    InAChild([] {
        const uint32_t number = offsetof(seccomp_data, nr);
        sock_filter code[] = {
            BPF_STMT(BPF_LD | BPF_W | BPF_ABS, number),
            BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_io_uring_setup, 0, 1),
            BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
            BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        };
        sock_fprog program = {sizeof code / sizeof code[0], code};
        if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
            prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0) {
            return true;  // Can't be tried here.
        }
        const char *why = nullptr;
        mr_loop *loop = nullptr;
        return !mr_io_uring_available(&why) && strstr(why, "not permitted") != nullptr &&
               mr_loop_new(&loop, &mr_io_uring, nullptr) == MR_ERR_UNSUPPORTED;
    });
}

TEST(UringAvailable, NotWithoutADescriptor) {
    if (!mr_io_uring_available(nullptr)) {
        GTEST_SKIP();
    }
    InAChild([] {
        int first_free = dup(0);
        close(first_free);
        rlimit limit = {static_cast<rlim_t>(first_free), static_cast<rlim_t>(first_free)};
        const char *why = nullptr;
        mr_loop *loop = nullptr;
        return setrlimit(RLIMIT_NOFILE, &limit) == 0 && !mr_io_uring_available(&why) &&
               strstr(why, "descriptor") != nullptr &&
               mr_loop_new(&loop, &mr_io_uring, nullptr) == MR_ERR_NOFILES;
    });
}

}  // namespace

GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(BackendTest);
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(SocketTest);
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(UringTest);

INSTANTIATE_TEST_SUITE_P(Uring, BackendTest, testing::ValuesIn(Backends()),
                         [](const auto &) { return std::string("io_uring"); });
INSTANTIATE_TEST_SUITE_P(Uring, SocketTest, testing::ValuesIn(Backends()),
                         [](const auto &) { return std::string("io_uring"); });
INSTANTIATE_TEST_SUITE_P(Uring, UringTest, testing::ValuesIn(Backends()),
                         [](const auto &) { return std::string("io_uring"); });
