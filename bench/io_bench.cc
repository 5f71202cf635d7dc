// Each backend on TCP over loopback: echo and fan-out with few and many connections, and how
// many system calls a message takes. Both ends of each connection are streams of one loop, so
// the numbers are for both. And what an idle stream costs.
#include <arpa/inet.h>
#include <fcntl.h>
#include <malloc.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "bench/micro/micro.hh"
#include "io/epoll/epoll.h"
#include "io/loop.h"
#include "io/uring/uring.h"
#include "io/uv/uv.h"

namespace {

using micro::Check;
using micro::Loop;

constexpr size_t kMessageBytes = 64;

// Connected sockets, made one pair after the other.
class Sockets {
 public:
    Sockets() {
        listener_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        address_.sin_family = AF_INET;
        address_.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        socklen_t len = sizeof(address_);
        Check(bind(listener_, Address(), len) == 0 && listen(listener_, 16) == 0, "listen");
        Check(getsockname(listener_, Address(), &len) == 0, "port");
    }
    ~Sockets() {
        close(listener_);
    }
    Sockets(const Sockets &) = delete;
    Sockets &operator=(const Sockets &) = delete;

    void Connect(int *one, int *other) {
        *one = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        Check(connect(*one, Address(), sizeof(address_)) == 0, "connect");
        *other = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
        for (int fd : {*one, *other}) {
            int on = 1;
            Check(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) == 0, "no delay");
            Check(fcntl(fd, F_SETFL, O_NONBLOCK) == 0, "non-blocking");
        }
    }

 private:
    sockaddr *Address() {
        return reinterpret_cast<sockaddr *>(&address_);
    }

    int listener_;
    sockaddr_in address_ = {};
};

// What the process has from malloc(). It stands still if another allocator is linked.
size_t HeapBytes() {
    struct mallinfo2 info = mallinfo2();
    return info.uordblks + info.hblkhd;
}

class World;

// One end of a connection.
struct End {
    mr_stream stream;  // First, so that a stream is its end.
    World *world;
    bool returns;  // Sends back what it gets.
    int fd;
};

class World {
 public:
    World(const mr_io_backend *backend, size_t connections) {
        mr_loop_options options = {};
        Check(mr_loop_new(&loop_, backend, &options) == MR_OK, "loop");
        mr_buf_pool_enter(mr_loop_pool(loop_));
        Sockets sockets;
        for (size_t i = 0; i < connections; i++) {
            int one;
            int other;
            sockets.Connect(&one, &other);
            clients_.push_back(NewEnd(one));
            servers_.push_back(NewEnd(other));
        }
        // What a loop has but once isn't a stream's.
        TurnIdle();
        size_t before = HeapBytes();
        for (auto *ends : {&clients_, &servers_}) {
            for (auto &end : *ends) {
                Attach(end.get());
            }
        }
        TurnIdle();
        stream_heap_bytes_ =
            static_cast<double>(HeapBytes() - before) / static_cast<double>(2 * connections);
    }
    ~World() {
        for (auto *ends : {&clients_, &servers_}) {
            for (auto &end : *ends) {
                mr_stream_close(&end->stream, MR_CLOSE_ABORT, 0);
            }
        }
        while (closed_ < 2 * clients_.size()) {
            Turn();
        }
        mr_loop_free(loop_);
        mr_buf_pool_enter(nullptr);
    }
    World(const World &) = delete;
    World &operator=(const World &) = delete;

    // Waits a second at most: whoever waits for more than that waits in vain.
    void Turn() {
        uint64_t before = received_bytes_ + closed_;
        Check(mr_loop_run_once(loop_, 1000) == MR_OK, "turn");
        vain_turns_ = received_bytes_ + closed_ == before ? vain_turns_ + 1 : 0;
        Check(vain_turns_ < 60, "nothing comes any more");
    }

    // A turn in which nothing happens.
    void TurnIdle() {
        Check(mr_loop_run_once(loop_, 0) == MR_OK, "turn");
    }

    void Send(End *end, mr_buf *buf, struct mr_slice bytes) {
        mr_chain *chain = mr_stream_out(&end->stream);
        enum mr_err err = buf != nullptr
                              ? mr_chain_append_ref(chain, mr_loop_pool(loop_), buf, bytes)
                              : mr_chain_append_copy(chain, mr_loop_pool(loop_), bytes);
        Check(err == MR_OK, "append");
        mr_stream_flush(&end->stream);
    }

    void SendOne(End *end) {
        static const std::string message(kMessageBytes, 'x');
        Send(end, nullptr, micro::Slice(message));
    }

    std::vector<std::unique_ptr<End>> &clients() {
        return clients_;
    }
    std::vector<std::unique_ptr<End>> &servers() {
        return servers_;
    }
    // Messages that arrived, anywhere.
    uint64_t received() const {
        return received_bytes_ / kMessageBytes;
    }
    uint64_t Syscalls() const {
        struct mr_loop_stats stats;
        mr_loop_stats(loop_, &stats);
        return stats.syscall_count;
    }
    uint64_t Turns() const {
        struct mr_loop_stats stats;
        mr_loop_stats(loop_, &stats);
        return stats.turn_count;
    }
    // What each stream takes from the heap, besides what its owner gives it.
    double stream_heap_bytes() const {
        return stream_heap_bytes_;
    }
    // What the first server gets goes to all others instead of back.
    void FanOut() {
        for (auto &end : clients_) {
            end->returns = false;
        }
        for (auto &end : servers_) {
            end->returns = false;
        }
        fans_out_ = true;
    }

 private:
    std::unique_ptr<End> NewEnd(int fd) {
        auto end = std::make_unique<End>();
        end->world = this;
        end->returns = true;
        end->fd = fd;
        return end;
    }

    void Attach(End *end) {
        static const mr_stream_handler handler = {
            OnRecv, [](mr_stream *) {}, OnClose, nullptr, 1 << 20, 1 << 19};
        enum mr_err err =
            mr_stream_attach(loop_, &end->stream, end->fd, mr_slice_of(nullptr, 0), &handler);
        Check(err == MR_OK, "attach");
    }

    static size_t OnRecv(mr_stream *stream, mr_buf *buf, struct mr_slice data, size_t *) {
        End *end = reinterpret_cast<End *>(stream);
        World *world = end->world;
        world->received_bytes_ += data.len;
        if (end->returns) {
            world->Send(end, buf, data);
        } else if (world->fans_out_ && end == world->servers_[0].get()) {
            for (size_t i = 1; i < world->servers_.size(); i++) {
                world->Send(world->servers_[i].get(), buf, data);
            }
        }
        return data.len;
    }

    static void OnClose(mr_stream *stream, enum mr_err, int) {
        reinterpret_cast<End *>(stream)->world->closed_++;
    }

    mr_loop *loop_ = nullptr;
    std::vector<std::unique_ptr<End>> clients_;
    std::vector<std::unique_ptr<End>> servers_;
    uint64_t received_bytes_ = 0;
    uint64_t closed_ = 0;
    uint64_t vain_turns_ = 0;
    double stream_heap_bytes_ = 0;
    bool fans_out_ = false;
};

// The values of the argument `backend`.
enum {
    kEpoll,
    kUring,
    kUv,
};

const mr_io_backend *BackendOf(benchmark::State &state) {
    const char *why;
    switch (state.range(0)) {
        case kEpoll:
            return &mr_io_epoll;
        case kUv:
            return &mr_io_uv;
        default:
            if (!mr_io_uring_available(&why)) {
                state.SkipWithError(why);
                return nullptr;
            }
            return &mr_io_uring;
    }
}

// `syscalls` had been made before the loop.
void Report(benchmark::State &state, const World &world, uint64_t syscalls, uint64_t messages) {
    Check(world.Syscalls() > syscalls, "system calls are counted");
    state.counters["syscalls"] =
        static_cast<double>(world.Syscalls() - syscalls) / static_cast<double>(messages);
}

// On each connection one message goes to and fro. One operation is one message received and
// sent back by either end.
void Echo(benchmark::State &state) {
    const mr_io_backend *backend = BackendOf(state);
    if (backend == nullptr) {
        return;
    }
    uint64_t connections = static_cast<uint64_t>(state.range(1));
    World world(backend, connections);
    for (auto &client : world.clients()) {
        world.SendOne(client.get());
    }
    while (world.received() < 4 * connections) {
        world.Turn();
    }
    uint64_t first = world.received();
    uint64_t syscalls = world.Syscalls();
    uint64_t wanted = first;
    Loop loop(state, static_cast<int64_t>(connections));
    for (auto _ : loop) {
        wanted += connections;
        while (world.received() < wanted) {
            world.Turn();
        }
    }
    uint64_t messages = world.received() - first;
    // A turn brings what comes, up to one for each end.
    loop.Expect(messages >= static_cast<uint64_t>(loop.Operations()) &&
                    messages < static_cast<uint64_t>(loop.Operations()) + 2 * connections,
                "messages");
    Report(state, world, syscalls, messages);
}
BENCHMARK(Echo)
    ->ArgNames({"backend", "connections"})
    ->ArgsProduct({{kEpoll, kUring, kUv}, {1, 100, 1000}});

// One publisher, many subscribers. One operation is a message received by one of them.
void FanOut(benchmark::State &state) {
    const mr_io_backend *backend = BackendOf(state);
    if (backend == nullptr) {
        return;
    }
    uint64_t subscribers = static_cast<uint64_t>(state.range(1));
    World world(backend, subscribers + 1);
    world.FanOut();
    uint64_t syscalls = world.Syscalls();
    uint64_t wanted = 0;
    Loop loop(state, static_cast<int64_t>(subscribers));
    for (auto _ : loop) {
        world.SendOne(world.clients()[0].get());
        wanted += 1 + subscribers;
        while (world.received() < wanted) {
            world.Turn();
        }
    }
    loop.Expect(world.received() == wanted, "each got each");
    Report(state, world, syscalls, static_cast<uint64_t>(loop.Operations()));
}
BENCHMARK(FanOut)
    ->ArgNames({"backend", "connections"})
    ->ArgsProduct({{kEpoll, kUring, kUv}, {1, 100, 1000}});

// One operation is a turn of a loop in which nothing happens to its streams. `bytes` is what each
// of them takes, the struct in its owner's memory included. (What the kernel has for it isn't.)
void Idle(benchmark::State &state) {
    const mr_io_backend *backend = BackendOf(state);
    if (backend == nullptr) {
        return;
    }
    World world(backend, static_cast<uint64_t>(state.range(1)));
    uint64_t syscalls = world.Syscalls();
    uint64_t turns = world.Turns();
    Loop loop(state);
    for (auto _ : loop) {
        world.TurnIdle();
    }
    loop.Expect(world.Turns() - turns == static_cast<uint64_t>(loop.Count()), "turns");
    loop.Expect(world.received() == 0, "nothing came");
    state.counters["syscalls"] =
        static_cast<double>(world.Syscalls() - syscalls) / static_cast<double>(loop.Count());
    state.counters["bytes"] = static_cast<double>(sizeof(mr_stream)) + world.stream_heap_bytes();
}
BENCHMARK(Idle)
    ->ArgNames({"backend", "connections"})
    ->ArgsProduct({{kEpoll, kUring, kUv}, {100, 1000}});

}  // namespace
