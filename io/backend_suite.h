// The tests that every backend has to pass, and what it takes to write more of them.
//
// A backend's test says how to reach it (Backend) and instantiates the suite:
//   INSTANTIATE_TEST_SUITE_P(Epoll, BackendTest, testing::Values(&MakeEpoll), ...);
// All runs on one thread: a test turns the loop until something has happened. Nothing
// here asserts a time.
#ifndef MILLRACE_IO_BACKEND_SUITE_H
#define MILLRACE_IO_BACKEND_SUITE_H

#include <gtest/gtest.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "io/backend.h"
#include "io/loop.h"

// The far end of a connection. Nothing waits.
class Peer {
 public:
    enum class State {
        kOpen,
        kEnded,
        kReset
    };

    virtual ~Peer() = default;
    // Returns how many bytes the system took, perhaps 0.
    virtual size_t Send(const std::string &bytes) = 0;
    // Appends what has come, at most `max` bytes, and says whether more may come.
    virtual State Recv(std::string *bytes, size_t max) = 0;
    virtual void EndSending() = 0;
    virtual void Reset() = 0;
};

class Backend {
 public:
    virtual ~Backend() = default;
    virtual const mr_io_backend *Table() = 0;
    virtual std::unique_ptr<Peer> Connect(uint16_t port) = 0;
    // Lets time go by while no loop runs.
    virtual void PassTime(uint32_t ms) = 0;
    // Can loops run on several threads?
    virtual bool HasThreads() = 0;
    // Has the next turn everything that was sent before it?
    virtual bool IsPrompt() = 0;
    // How many buffers a loop may have ready to receive into, for all streams together.
    virtual uint32_t RecvBufCount() {
        return 1;
    }
    // Is a reset known as one if it came before the stream was attached? Else it may seem an end.
    virtual bool TellsEarlyResets() {
        return true;
    }
    // How many connections a test may have at once.
    virtual size_t PairCountMax() {
        return 10000;
    }
    // How many bytes surely don't fit between a sender and a receiver that doesn't read.
    virtual size_t MoreThanFits() = 0;
};

// A stream with its owner, who by default consumes everything and keeps a copy.
struct Conn : public mr_stream {
    using OnRecv = std::function<size_t(Conn *, mr_buf *, mr_slice, size_t *)>;

    std::string received;
    int recv_count = 0;
    int drain_count = 0;
    int close_count = 0;
    mr_err why = MR_OK;
    OnRecv on_recv;
    std::function<void(Conn *)> on_drain;
    std::function<void(Conn *)> on_close;
    std::function<void(Conn *, intptr_t, mr_buf *, std::string)> on_detach;

    bool closed() const {
        return close_count > 0;
    }
    // Appends and flushes.
    void Write(const std::string &bytes);
    // For on_recv: keeps a copy of everything.
    size_t Take(mr_slice data);
};

extern const mr_stream_handler kConnHandler;
// As above, with high_bytes 1000 and low_bytes 100.
extern const mr_stream_handler kConnWatermarkHandler;

enum class StreamState;  // Both are backend_suite_states.cc's.
enum class CloseWay;

class BackendTest : public testing::TestWithParam<std::unique_ptr<Backend> (*)()> {
 protected:
    void SetUp() override;
    void TearDown() override;

    // The loop is made on first use, with `options`.
    mr_loop *loop();
    void Turn(uint32_t wait_ms_max = 0);
    // Turns the loop until `done`; fails the test if that never happens.
    void RunUntil(const std::function<bool()> &done);
    uint16_t Listen(mr_listen_address address = {});
    // Connects a peer and attaches the other end.
    struct Pair {
        std::unique_ptr<Peer> peer;
        Conn *conn;
    };
    Pair MakePair(const mr_stream_handler *handler = &kConnHandler);
    // Sends all of it, turning the loop meanwhile.
    void SendAll(Peer *peer, const std::string &bytes);
    // Receives until `len` bytes have come, turning the loop meanwhile.
    std::string RecvAll(Peer *peer, size_t len);
    Peer::State DrainToEnd(Peer *peer, std::string *bytes);
    struct mr_loop_stats Stats();
    mr_buf_stats PoolStats();
    void CloseAll();

    // Makes `conn` take messages of a 4-byte length and that many bytes, and keep them.
    struct Messages {
        std::vector<std::string> bodies;
        int call_count = 0;
    };
    static void TakeMessages(Conn *conn, Messages *messages);
    static std::string Message(const std::string &body);

    struct Subject;
    void AttachSubject(Subject *subject, const std::string &initial);
    void BringTo(StreamState state, Subject *subject);
    void CloseSubject(StreamState state, CloseWay way, Pair *other);

    std::unique_ptr<Backend> backend_;
    mr_loop_options options_ = {};
    std::vector<intptr_t> accepted_;
    std::vector<std::unique_ptr<Conn>> conns_;
    std::vector<mr_listener *> listeners_;

 private:
    mr_loop *loop_ = nullptr;
};

// `len` bytes that differ from place to place.
std::string Pattern(size_t len, uint32_t seed = 1);

#endif  // MILLRACE_IO_BACKEND_SUITE_H
