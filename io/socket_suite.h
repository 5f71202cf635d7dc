// What the tests of backends on sockets share: peers, and a second suite for what only
// sockets have. A backend's test instantiates both:
//   INSTANTIATE_TEST_SUITE_P(Epoll, BackendTest, testing::Values(&MakeEpoll), ...);
//   INSTANTIATE_TEST_SUITE_P(Epoll, SocketTest, testing::Values(&MakeEpoll), ...);
#ifndef MILLRACE_IO_SOCKET_SUITE_H
#define MILLRACE_IO_SOCKET_SUITE_H

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "io/backend_suite.h"

// The far end of a connection over a socket, which it owns.
class SocketPeer : public Peer {
 public:
    explicit SocketPeer(int fd) : fd_(fd) {
    }
    ~SocketPeer() override;
    size_t Send(const std::string &bytes) override;
    State Recv(std::string *bytes, size_t max) override;
    void EndSending() override;
    void Reset() override;

 private:
    int fd_;
};

class SocketBackend : public Backend {
 public:
    std::unique_ptr<Peer> Connect(uint16_t port) override;
    void PassTime(uint32_t ms) override;
    bool HasThreads() override {
        return true;
    }
    bool IsPrompt() override {
        return true;
    }
    // As many as this process has descriptors for, two for each.
    size_t PairCountMax() override;
    size_t MoreThanFits() override {
        // Linux lets a send buffer grow to 4 MiB and a receive buffer to 6 MiB.
        return 12 << 20;
    }
};

class SocketTest : public BackendTest {
 protected:
    enum mr_err Open(mr_listen_address address);
    // Attaches the next connection.
    Conn *Attach();
    static std::string PeerText(Conn *conn);
    std::string TempPath(const char *name);

    int os_error_ = 0;
};

sockaddr_in Ip4(uint16_t port);
sockaddr_in6 Ip6(uint16_t port);
sockaddr_un Unix(const std::string &path);
bool HasIp6();

// Returns a descriptor or -1.
template <class Name>
int ConnectTo(const Name &name) {
    int fd =
        socket(reinterpret_cast<const sockaddr *>(&name)->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, reinterpret_cast<const sockaddr *>(&name), sizeof name) != 0) {
        close(fd);
        fd = -1;
    }
    return fd;
}

#endif  // MILLRACE_IO_SOCKET_SUITE_H
