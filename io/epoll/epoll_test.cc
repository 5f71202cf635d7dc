#include "io/epoll/epoll.h"

#include <arpa/inet.h>
#include <errno.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <string>

#include "io/backend_suite.h"

namespace {

class SocketPeer : public Peer {
 public:
    explicit SocketPeer(int fd) : fd_(fd) {
    }
    ~SocketPeer() override {
        if (fd_ >= 0) {
            close(fd_);
        }
    }
    size_t Send(const std::string &bytes) override {
        ssize_t sent = send(fd_, bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
        return sent < 0 ? 0 : static_cast<size_t>(sent);
    }
    State Recv(std::string *bytes, size_t max) override {
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
    void EndSending() override {
        shutdown(fd_, SHUT_WR);
    }
    void Reset() override {
        linger now = {1, 0};
        setsockopt(fd_, SOL_SOCKET, SO_LINGER, &now, sizeof now);
        close(fd_);
        fd_ = -1;
    }

 private:
    int fd_;
};

class EpollBackend : public Backend {
 public:
    const mr_io_backend *Table() override {
        return &mr_io_epoll;
    }
    std::unique_ptr<Peer> Connect(uint16_t port) override {
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        sockaddr_in name = {};
        name.sin_family = AF_INET;
        name.sin_port = htons(port);
        name.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        EXPECT_EQ(0, connect(fd, reinterpret_cast<sockaddr *>(&name), sizeof name))
            << strerror(errno);
        return std::make_unique<SocketPeer>(fd);
    }
    void PassTime(uint32_t ms) override {
        usleep(ms * 1000);
    }
    bool HasThreads() override {
        return true;
    }
    size_t MoreThanFits() override {
        return 32 << 20;
    }
};

std::unique_ptr<Backend> MakeEpoll() {
    return std::make_unique<EpollBackend>();
}

}  // namespace

INSTANTIATE_TEST_SUITE_P(Epoll, BackendTest, testing::Values(&MakeEpoll),
                         [](const auto &) { return std::string("epoll"); });
