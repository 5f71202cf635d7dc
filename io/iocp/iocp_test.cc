// Peers are sockets of Winsock; what they are for is //io:backend_suite, and below it what is
// special here: loops that share a listening socket, sockets that have another loop's port.
#include "io/iocp/iocp.h"

#include <winsock2.h>

#include <gtest/gtest.h>
#include <windows.h>
#include <ws2tcpip.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "io/backend_suite.h"

namespace {

class WinsockPeer : public Peer {
 public:
    explicit WinsockPeer(SOCKET socket) : socket_(socket) {
        u_long on = 1;
        ioctlsocket(socket_, static_cast<long>(FIONBIO), &on);
    }
    ~WinsockPeer() override {
        if (socket_ != INVALID_SOCKET) {
            closesocket(socket_);
        }
    }
    size_t Send(const std::string &bytes) override {
        int sent = send(socket_, bytes.data(), static_cast<int>(bytes.size()), 0);
        return sent < 0 ? 0 : static_cast<size_t>(sent);
    }
    State Recv(std::string *bytes, size_t max) override {
        std::string room(std::min<size_t>(max, 1 << 20), '\0');
        int got = recv(socket_, &room[0], static_cast<int>(room.size()), 0);
        if (got > 0) {
            bytes->append(room, 0, static_cast<size_t>(got));
            return State::kOpen;
        }
        if (got == 0) {
            return State::kEnded;
        }
        return WSAGetLastError() == WSAEWOULDBLOCK ? State::kOpen : State::kReset;
    }
    void EndSending() override {
        shutdown(socket_, SD_SEND);
    }
    void Reset() override {
        LINGER now = {1, 0};
        setsockopt(socket_, SOL_SOCKET, SO_LINGER, reinterpret_cast<const char *>(&now),
                   sizeof now);
        closesocket(socket_);
        socket_ = INVALID_SOCKET;
    }

 private:
    SOCKET socket_;
};

class IocpBackend : public Backend {
 public:
    const mr_io_backend *Table() override {
        return &mr_io_iocp;
    }
    std::unique_ptr<Peer> Connect(uint16_t port) override {
        SOCKET socket = ::socket(AF_INET, SOCK_STREAM, 0);
        sockaddr_in name = {};
        name.sin_family = AF_INET;
        name.sin_port = htons(port);
        name.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        EXPECT_EQ(0, connect(socket, reinterpret_cast<sockaddr *>(&name), sizeof name))
            << WSAGetLastError();
        return std::make_unique<WinsockPeer>(socket);
    }
    void PassTime(uint32_t ms) override {
        Sleep(ms);
    }
    bool HasThreads() override {
        return true;
    }
    bool IsPrompt() override {
        return true;
    }
    // Wine's server takes the reset from Linux when it looks after the socket, and forgets it.
    bool TellsEarlyResets() override {
        return false;
    }
    // A process of Wine's has 20,000 descriptors here, and needs some for itself.
    size_t PairCountMax() override {
        return 5000;
    }
    size_t MoreThanFits() override {
        return 12 << 20;
    }
};

std::unique_ptr<Backend> MakeIocp() {
    return std::make_unique<IocpBackend>();
}

// The name is another than the suite's, so it runs only here.
class IocpTest : public BackendTest {
 protected:
    enum mr_err Open(mr_listen_address address) {
        mr_listener *listener = nullptr;
        if (address.host == nullptr && address.unix_path == nullptr) {
            address.host = "127.0.0.1";
        }
        auto on_accept = [](void *ctx, intptr_t handle) {
            static_cast<IocpTest *>(ctx)->accepted_.push_back(handle);
        };
        mr_err err = mr_listener_open(&listener, loop(), &address, on_accept, this, &os_error_);
        if (err == MR_OK) {
            listeners_.push_back(listener);
        }
        return err;
    }

    int os_error_ = 0;
};

TEST_P(IocpTest, LoopsShareAnAddressOnlyIfAllOfThemSaySo) {
    mr_listen_address address = {};
    address.reuse_port = true;
    address.claim = true;
    ASSERT_EQ(MR_OK, Open(address)) << os_error_;
    address.port = mr_listener_port(listeners_[0]);
    EXPECT_EQ(MR_ERR_ADDRINUSE, Open(address));
    address.claim = false;
    EXPECT_EQ(MR_OK, Open(address)) << os_error_;
    address.reuse_port = false;
    EXPECT_EQ(MR_ERR_ADDRINUSE, Open(address));
}

TEST_P(IocpTest, LoopsThatShareASocketAllAcceptFromIt) {
    mr_listen_address address = {};
    address.host = "127.0.0.1";
    address.reuse_port = true;
    ASSERT_EQ(MR_OK, Open(address)) << os_error_;
    address.port = mr_listener_port(listeners_[0]);
    mr_loop *other = nullptr;
    mr_loop_options options = {};
    ASSERT_EQ(MR_OK, mr_loop_new(&other, &mr_io_iocp, &options));
    std::vector<intptr_t> others;
    mr_listener *listener = nullptr;
    auto on_accept = [](void *ctx, intptr_t handle) {
        static_cast<std::vector<intptr_t> *>(ctx)->push_back(handle);
    };
    ASSERT_EQ(MR_OK, mr_listener_open(&listener, other, &address, on_accept, &others, &os_error_));
    const size_t count = 100;
    std::vector<std::unique_ptr<Peer>> peers;
    for (size_t i = 0; i < count; i++) {
        peers.push_back(backend_->Connect(address.port));
    }
    RunUntil([&] {
        EXPECT_EQ(MR_OK, mr_loop_run_once(other, 1));
        return accepted_.size() + others.size() == count;
    });
    EXPECT_GT(accepted_.size(), 0u);
    EXPECT_GT(others.size(), 0u);
    mr_listener_close(listeners_[0]);
    listeners_.clear();
    // The socket lives on in the other loop.
    size_t before = others.size();
    peers.push_back(backend_->Connect(address.port));
    RunUntil([&] {
        EXPECT_EQ(MR_OK, mr_loop_run_once(other, 1));
        return others.size() == before + 1;
    });
    for (intptr_t handle : others) {
        mr_handle_close(other, handle);
    }
    mr_listener_close(listener);
    mr_loop_free(other);
}

TEST_P(IocpTest, RefusesWhatWindowsHasNot) {
    mr_listen_address address = {};
    address.unix_path = "millrace.sock";
    EXPECT_EQ(MR_ERR_UNSUPPORTED, Open(address));
    address = {};
    address.bind_interface = "lo";
    EXPECT_EQ(MR_ERR_UNSUPPORTED, Open(address));
    address = {};
    address.host = "192.0.2.1";
    EXPECT_EQ(MR_ERR_ADDRNOTAVAIL, Open(address));
    EXPECT_EQ(WSAEADDRNOTAVAIL, os_error_);
    address.host = "256.0.0.1.invalid";
    EXPECT_EQ(MR_ERR_ADDRNOTAVAIL, Open(address));
}

// As one that another loop detached, where Windows can't take a socket's port away from it.
TEST_P(IocpTest, AHandleThatHasAnotherPortForGoodWorks) {
    HANDLE foreign = CreateIoCompletionPort(INVALID_HANDLE_VALUE, nullptr, 0, 1);
    ASSERT_NE(nullptr, foreign);
    uint16_t port = Listen();
    for (mr_close_mode mode : {MR_CLOSE_ABORT, MR_CLOSE_FLUSH}) {
        std::unique_ptr<Peer> peer = backend_->Connect(port);
        RunUntil([&] { return accepted_.size() == 1; });
        HANDLE handle = reinterpret_cast<HANDLE>(accepted_[0]);
        ASSERT_EQ(foreign, CreateIoCompletionPort(handle, foreign, 0, 0));
        conns_.push_back(std::make_unique<Conn>());
        Conn *conn = conns_.back().get();
        ASSERT_EQ(MR_OK, mr_stream_attach(loop(), conn, accepted_[0], mr_slice_of(nullptr, 0),
                                          &kConnHandler));
        accepted_.clear();
        conn->on_recv = [](Conn *stream, mr_buf *, mr_slice data, size_t *) {
            stream->Write(std::string(reinterpret_cast<const char *>(data.data), data.len));
            return data.len;
        };
        for (uint32_t i = 0; i < 100; i++) {
            SendAll(peer.get(), Pattern(100, i));
            ASSERT_EQ(Pattern(100, i), RecvAll(peer.get(), 100));
        }
        // So that there is a send in flight, too.
        std::string big = Pattern(backend_->MoreThanFits());
        conn->Write(big);
        ASSERT_TRUE(big.substr(0, 1 << 20) == RecvAll(peer.get(), 1 << 20));
        mr_stream_close(conn, mode, mode == MR_CLOSE_ABORT ? 0 : UINT32_MAX);
        if (mode == MR_CLOSE_FLUSH) {
            std::string rest;
            EXPECT_EQ(Peer::State::kEnded, DrainToEnd(peer.get(), &rest));
            EXPECT_TRUE(big.substr(1 << 20) == rest);
            peer->EndSending();
        }
        RunUntil([&] { return conn->closed(); });
        EXPECT_EQ(MR_OK, conn->why);
    }
    OVERLAPPED_ENTRY entry;
    ULONG count = 0;
    EXPECT_FALSE(GetQueuedCompletionStatusEx(foreign, &entry, 1, &count, 0, FALSE))
        << "nothing completes there";
    CloseHandle(foreign);
}

}  // namespace

INSTANTIATE_TEST_SUITE_P(Iocp, BackendTest, testing::Values(&MakeIocp),
                         [](const auto &) { return std::string("iocp"); });
INSTANTIATE_TEST_SUITE_P(Iocp, IocpTest, testing::Values(&MakeIocp),
                         [](const auto &) { return std::string("iocp"); });

int main(int argc, char **argv) {
    WSADATA about;
    if (WSAStartup(MAKEWORD(2, 2), &about) != 0) {
        return 1;
    }
    testing::InitGoogleTest(&argc, argv);
    return RUN_ALL_TESTS();
}
