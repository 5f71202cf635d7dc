// Addresses, unix sockets, signals, exhausted descriptors.
#include "io/socket_suite.h"

#include <arpa/inet.h>
#include <errno.h>
#include <gtest/gtest.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include <algorithm>
#include <atomic>
#include <thread>
#include <vector>

sockaddr_in Ip4(uint16_t port) {
    sockaddr_in name = {};
    name.sin_family = AF_INET;
    name.sin_port = htons(port);
    name.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return name;
}

sockaddr_in6 Ip6(uint16_t port) {
    sockaddr_in6 name = {};
    name.sin6_family = AF_INET6;
    name.sin6_port = htons(port);
    name.sin6_addr = in6addr_loopback;
    return name;
}

sockaddr_un Unix(const std::string &path) {
    sockaddr_un name = {};
    name.sun_family = AF_UNIX;
    path.copy(name.sun_path, sizeof name.sun_path - 1);
    return name;
}

bool HasIp6() {
    int fd = socket(AF_INET6, SOCK_STREAM, 0);
    sockaddr_in6 name = Ip6(0);
    bool has = fd >= 0 && bind(fd, reinterpret_cast<sockaddr *>(&name), sizeof name) == 0;
    if (fd >= 0) {
        close(fd);
    }
    return has;
}

// ---------------------------------------------------------------------------- addresses

SocketPeer::~SocketPeer() {
    if (fd_ >= 0) {
        close(fd_);
    }
}

size_t SocketPeer::Send(const std::string &bytes) {
    ssize_t sent = send(fd_, bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    return sent < 0 ? 0 : static_cast<size_t>(sent);
}

Peer::State SocketPeer::Recv(std::string *bytes, size_t max) {
    std::string room(std::min<size_t>(max, 1 << 20), '\0');
    ssize_t got = recv(fd_, &room[0], room.size(), MSG_DONTWAIT);
    if (got > 0) {
        bytes->append(room, 0, static_cast<size_t>(got));
        return State::kOpen;
    }
    if (got == 0) {
        return State::kEnded;
    }
    return errno == EAGAIN ? State::kOpen : State::kReset;
}

void SocketPeer::EndSending() {
    shutdown(fd_, SHUT_WR);
}

void SocketPeer::Reset() {
    linger now = {1, 0};
    setsockopt(fd_, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    close(fd_);
    fd_ = -1;
}

std::unique_ptr<Peer> SocketBackend::Connect(uint16_t port) {
    return std::make_unique<SocketPeer>(ConnectTo(Ip4(port)));
}

size_t SocketBackend::PairCountMax() {
    const size_t others_max = 200;
    rlimit limit = {};
    EXPECT_EQ(0, getrlimit(RLIMIT_NOFILE, &limit));
    limit.rlim_cur = limit.rlim_max;
    EXPECT_EQ(0, setrlimit(RLIMIT_NOFILE, &limit));
    return std::min<size_t>(10000, (static_cast<size_t>(limit.rlim_cur) - others_max) / 2);
}

void SocketBackend::PassTime(uint32_t ms) {
    usleep(ms * 1000);
}

enum mr_err SocketTest::Open(mr_listen_address address) {
    mr_listener *listener = nullptr;
    os_error_ = 0;
    auto on_accept = [](void *ctx, intptr_t handle) {
        static_cast<SocketTest *>(ctx)->accepted_.push_back(handle);
    };
    enum mr_err err = mr_listener_open(&listener, loop(), &address, on_accept, this, &os_error_);
    if (err == MR_OK) {
        listeners_.push_back(listener);
    }
    return err;
}

Conn *SocketTest::Attach() {
    RunUntil([&] { return !accepted_.empty(); });
    conns_.push_back(std::make_unique<Conn>());
    EXPECT_EQ(MR_OK, mr_stream_attach(loop(), conns_.back().get(), accepted_.front(),
                                      mr_slice_of(nullptr, 0), &kConnHandler));
    accepted_.erase(accepted_.begin());
    return conns_.back().get();
}

std::string SocketTest::PeerText(Conn *conn) {
    char text[MR_PEER_TEXT_BYTES];
    mr_stream_peer_text(conn, text);
    return text;
}

std::string SocketTest::TempPath(const char *name) {
    // Not in the test's own folder: the path of a socket has to be short.
    return "/tmp/millrace-" + std::string(name) + "-" + std::to_string(getpid());
}

TEST_P(SocketTest, ListensOnIpv6) {
    if (!HasIp6()) {
        GTEST_SKIP() << "no IPv6 here";
    }
    mr_listen_address address = {};
    address.host = "::1";
    ASSERT_EQ(MR_OK, Open(address)) << os_error_;
    SocketPeer peer(ConnectTo(Ip6(mr_listener_port(listeners_[0]))));
    Conn *conn = Attach();
    SendAll(&peer, "over six");
    RunUntil([&] { return conn->received == "over six"; });
    EXPECT_EQ("[::1]:", PeerText(conn).substr(0, 6));
}

TEST_P(SocketTest, ListensOnAllAddressesOfBothFamiliesOnOnePort) {
    ASSERT_EQ(MR_OK, Open(mr_listen_address{})) << os_error_;
    uint16_t port = mr_listener_port(listeners_[0]);
    ASSERT_NE(0, port);
    SocketPeer four(ConnectTo(Ip4(port)));
    EXPECT_EQ("127.0.0.1:", PeerText(Attach()).substr(0, 10));
    if (HasIp6()) {
        SocketPeer six(ConnectTo(Ip6(port)));
        EXPECT_EQ("[::1]:", PeerText(Attach()).substr(0, 6));
    }
}

TEST_P(SocketTest, ListensOnOneFamilyIfAskedTo) {
    if (!HasIp6()) {
        GTEST_SKIP() << "no IPv6 here";
    }
    mr_listen_address address = {};
    address.family = 6;
    ASSERT_EQ(MR_OK, Open(address)) << os_error_;
    uint16_t port = mr_listener_port(listeners_[0]);
    EXPECT_EQ(-1, ConnectTo(Ip4(port)));
    SocketPeer six(ConnectTo(Ip6(port)));
    Attach();
}

TEST_P(SocketTest, AnUnknownHostOrInterfaceIsRefused) {
    mr_listen_address address = {};
    address.host = "256.0.0.1.invalid";
    EXPECT_EQ(MR_ERR_ADDRNOTAVAIL, Open(address));
    address.host = "192.0.2.1";
    EXPECT_EQ(MR_ERR_ADDRNOTAVAIL, Open(address));
    EXPECT_EQ(EADDRNOTAVAIL, os_error_);
    address.host = "127.0.0.1";
    address.bind_interface = "nosuchif0";
    enum mr_err err = Open(address);
    EXPECT_TRUE(err == MR_ERR_ADDRNOTAVAIL || err == MR_ERR_ACCESS) << err;
    address.bind_interface = "a-name-that-is-much-too-long";
    EXPECT_EQ(MR_ERR_ADDRNOTAVAIL, Open(address));
}

TEST_P(SocketTest, ListensOnAnInterface) {
    mr_listen_address address = {};
    address.host = "127.0.0.1";
    address.bind_interface = "lo";
    enum mr_err err = Open(address);
    if (err == MR_ERR_ACCESS) {
        GTEST_SKIP() << "not allowed here";
    }
    ASSERT_EQ(MR_OK, err) << os_error_;
    SocketPeer peer(ConnectTo(Ip4(mr_listener_port(listeners_[0]))));
    Attach();
}

TEST_P(SocketTest, TwoLoopsMayListenOnOnePort) {
    mr_listen_address address = {};
    address.host = "127.0.0.1";
    address.reuse_port = true;
    ASSERT_EQ(MR_OK, Open(address));
    address.port = mr_listener_port(listeners_[0]);
    EXPECT_EQ(MR_OK, Open(address)) << os_error_;
    address.reuse_port = false;
    EXPECT_EQ(MR_ERR_ADDRINUSE, Open(address));
}

TEST_P(SocketTest, AClaimFindsOutThatTheAddressIsTaken) {
    mr_listen_address address = {};
    address.host = "127.0.0.1";
    address.reuse_port = true;
    address.claim = true;
    ASSERT_EQ(MR_OK, Open(address)) << os_error_;
    address.port = mr_listener_port(listeners_[0]);
    EXPECT_EQ(MR_ERR_ADDRINUSE, Open(address));
    address.claim = false;
    EXPECT_EQ(MR_OK, Open(address)) << os_error_;
    SocketPeer peer(ConnectTo(Ip4(address.port)));
    Attach();
}

TEST_P(SocketTest, AcceptedConnectionsHaveNoDelayIfAskedFor) {
    for (bool nodelay : {true, false}) {
        mr_listen_address address = {};
        address.host = "127.0.0.1";
        address.tcp_nodelay = nodelay;
        ASSERT_EQ(MR_OK, Open(address));
        SocketPeer peer(ConnectTo(Ip4(mr_listener_port(listeners_.back()))));
        Conn *conn = Attach();
        int value = -1;
        socklen_t len = sizeof value;
        ASSERT_EQ(
            0, getsockopt(static_cast<int>(conn->handle), IPPROTO_TCP, TCP_NODELAY, &value, &len));
        EXPECT_EQ(nodelay, value != 0);
    }
}

TEST_P(SocketTest, UnixSocketsWork) {
    std::string path = TempPath("works");
    mr_listen_address address = {};
    address.unix_path = path.c_str();
    ASSERT_EQ(MR_OK, Open(address)) << os_error_;
    SocketPeer peer(ConnectTo(Unix(path)));
    Conn *conn = Attach();
    EXPECT_EQ("unix", PeerText(conn));
    std::string bytes = Pattern(3 << 20);
    SendAll(&peer, bytes);
    RunUntil([&] { return conn->received.size() == bytes.size(); });
    EXPECT_TRUE(bytes == conn->received);
    conn->Write(bytes);
    EXPECT_TRUE(bytes == RecvAll(&peer, bytes.size()));
    mr_listener_close(listeners_[0]);
    listeners_.clear();
    EXPECT_NE(0, access(path.c_str(), F_OK)) << "the path is still there";
}

TEST_P(SocketTest, AStaleUnixPathIsReplacedALiveOneIsNot) {
    std::string path = TempPath("stale");
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    sockaddr_un name = Unix(path);
    ASSERT_EQ(0, bind(fd, reinterpret_cast<sockaddr *>(&name), sizeof name));
    ASSERT_EQ(0, listen(fd, 1));
    mr_listen_address address = {};
    address.unix_path = path.c_str();
    EXPECT_EQ(MR_ERR_ADDRINUSE, Open(address));
    close(fd);
    EXPECT_EQ(MR_OK, Open(address)) << os_error_;
}

TEST_P(SocketTest, AFileInTheWayOfAUnixPathStays) {
    std::string path = TempPath("file");
    FILE *file = fopen(path.c_str(), "w");
    ASSERT_NE(nullptr, file);
    fclose(file);
    mr_listen_address address = {};
    address.unix_path = path.c_str();
    EXPECT_EQ(MR_ERR_ADDRINUSE, Open(address));
    EXPECT_EQ(0, access(path.c_str(), F_OK));
    unlink(path.c_str());
    std::string long_path(200, 'x');
    address.unix_path = long_path.c_str();
    EXPECT_EQ(MR_ERR_INVALID, Open(address));
}

// ------------------------------------------------------------------------------- ends

TEST_P(SocketTest, WhatCameBeforeAResetIsDeliveredAlthoughSendingFails) {
    options_.recv_turn_bytes_max = 1000;
    Pair pair = MakePair();
    pair.conn->on_recv = [](Conn *conn, mr_buf *, mr_slice data, size_t *) {
        // At the end of the first turn this fails, and there is more to be received.
        conn->Write("answer");
        return conn->Take(data);
    };
    ASSERT_EQ(50000u, pair.peer->Send(Pattern(50000)));
    pair.peer->Reset();
    RunUntil([&] { return pair.conn->closed(); });
    EXPECT_TRUE(Pattern(50000) == pair.conn->received);
    EXPECT_EQ(MR_ERR_RESET, pair.conn->why);
}

static mr_loop *signaled_loop;

TEST_P(SocketTest, ASignalHandlerMayWake) {
    struct Ctx {
        std::atomic<int> wake_count;
    };
    static Ctx ctx;
    ctx.wake_count = 0;
    options_.ctx = &ctx;
    options_.on_wake = [](void *c) { static_cast<Ctx *>(c)->wake_count++; };
    signaled_loop = loop();
    struct sigaction action = {};
    action.sa_handler = [](int) { mr_loop_wake(signaled_loop); };
    struct sigaction before;
    ASSERT_EQ(0, sigaction(SIGUSR1, &action, &before));
    pthread_t self = pthread_self();
    std::thread other([&] { pthread_kill(self, SIGUSR1); });
    while (ctx.wake_count == 0) {
        Turn(UINT32_MAX);
    }
    other.join();
    sigaction(SIGUSR1, &before, nullptr);
    EXPECT_EQ(1, ctx.wake_count);
}

// --------------------------------------------------------------------------- exhaustion

// Runs in a process of its own, which has few descriptors. Returns 0 if all went well, or
// the line that didn't.
static int RunOutOfDescriptors(const mr_io_backend *table) {
#define REQUIRE(condition)   \
    do {                     \
        if (!(condition)) {  \
            return __LINE__; \
        }                    \
    } while (0)
    mr_loop *loop = nullptr;
    mr_loop_options options = {};
    REQUIRE(mr_loop_new(&loop, table, &options) == MR_OK);
    std::vector<intptr_t> handles;
    mr_listen_address address = {};
    address.host = "127.0.0.1";
    mr_listener *listener = nullptr;
    int os_error = 0;
    auto on_accept = [](void *ctx, intptr_t handle) {
        static_cast<std::vector<intptr_t> *>(ctx)->push_back(handle);
    };
    REQUIRE(mr_listener_open(&listener, loop, &address, on_accept, &handles, &os_error) == MR_OK);
    std::vector<int> peers;
    for (int i = 0; i < 20; i++) {
        peers.push_back(ConnectTo(Ip4(mr_listener_port(listener))));
        REQUIRE(peers.back() >= 0);
    }
    int first_free = dup(0);
    close(first_free);
    rlimit limit = {static_cast<rlim_t>(first_free) + 5, static_cast<rlim_t>(first_free) + 5};
    REQUIRE(setrlimit(RLIMIT_NOFILE, &limit) == 0);
    struct mr_loop_stats stats = {};
    while (stats.accept_pause_count == 0) {
        REQUIRE(mr_loop_run_once(loop, 10) == MR_OK);
        mr_loop_stats(loop, &stats);
    }
    REQUIRE(handles.size() == 5);
    // Paused: it doesn't spin on a backlog that it can't empty.
    uint64_t turn_count = stats.turn_count;
    uint64_t syscall_count = stats.syscall_count;
    for (int i = 0; i < 5; i++) {
        REQUIRE(mr_loop_run_once(loop, 1) == MR_OK);
    }
    mr_loop_stats(loop, &stats);
    REQUIRE(stats.syscall_count - syscall_count <= stats.turn_count - turn_count);
    // Closing a descriptor makes room for the next, at once.
    while (!handles.empty() && stats.accept_count < 20) {
        uint64_t before = stats.accept_count;
        mr_handle_close(loop, handles.back());
        handles.pop_back();
        while (stats.accept_count == before) {
            REQUIRE(mr_loop_run_once(loop, 10) == MR_OK);
            mr_loop_stats(loop, &stats);
        }
    }
    REQUIRE(stats.accept_count == 20);
    // A descriptor that somebody else closes is found after a while.
    address.port = mr_listener_port(listener);
    int extra = -1;
    for (int fd : peers) {
        if (fd != peers.front()) {
            close(fd);
        }
    }
    extra = ConnectTo(Ip4(address.port));
    REQUIRE(extra >= 0);
    while (stats.accept_count == 20) {
        REQUIRE(mr_loop_run_once(loop, 10) == MR_OK);
        mr_loop_stats(loop, &stats);
    }
    for (intptr_t handle : handles) {
        mr_handle_close(loop, handle);
    }
    mr_listener_close(listener);
    REQUIRE(mr_loop_run_once(loop, 0) == MR_OK);
    mr_loop_free(loop);
    return 0;
#undef REQUIRE
}

TEST_P(SocketTest, AcceptingPausesWithoutDescriptorsAndGoesOnWithThem) {
    pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
        alarm(60);
        int line = RunOutOfDescriptors(backend_->Table());
        if (line != 0) {
            fprintf(stderr, "child: line %d\n", line);
        }
        _exit(line == 0 ? 0 : 1);
    }
    int status = 0;
    ASSERT_EQ(child, waitpid(child, &status, 0));
    EXPECT_TRUE(WIFEXITED(status));
    EXPECT_EQ(0, WEXITSTATUS(status));
}
