#include "io/backend_suite.h"

#include <algorithm>

// ------------------------------------------------------------------------- support

namespace {

size_t OnRecv(mr_stream *stream, mr_buf *buf, mr_slice data, size_t *need) {
    Conn *conn = static_cast<Conn *>(stream);
    conn->recv_count++;
    if (conn->on_recv) {
        return conn->on_recv(conn, buf, data, need);
    }
    return conn->Take(data);
}

void OnDrain(mr_stream *stream) {
    Conn *conn = static_cast<Conn *>(stream);
    conn->drain_count++;
    if (conn->on_drain) {
        conn->on_drain(conn);
    }
}

void OnClose(mr_stream *stream, mr_err why, int) {
    Conn *conn = static_cast<Conn *>(stream);
    conn->close_count++;
    conn->why = why;
    if (conn->on_close) {
        conn->on_close(conn);
    }
}

void OnDetach(mr_stream *stream, intptr_t handle, mr_buf *buf, mr_slice rest) {
    Conn *conn = static_cast<Conn *>(stream);
    // It counts as closed, so that CloseAll() leaves it alone.
    conn->close_count++;
    if (conn->on_detach) {
        conn->on_detach(conn, handle, buf,
                        std::string(reinterpret_cast<const char *>(rest.data), rest.len));
    }
}

mr_slice SliceOf(const std::string &bytes) {
    return mr_slice_of(bytes.data(), bytes.size());
}

}  // namespace

const mr_stream_handler kConnHandler = {OnRecv, OnDrain, OnClose, OnDetach, 0, 0};
const mr_stream_handler kConnWatermarkHandler = {OnRecv, OnDrain, OnClose, OnDetach, 1000, 100};

void Conn::Write(const std::string &bytes) {
    ASSERT_EQ(MR_OK,
              mr_chain_append_copy(mr_stream_out(this), mr_loop_pool(this->loop), SliceOf(bytes)));
    mr_stream_flush(this);
}

size_t Conn::Take(mr_slice data) {
    received.append(reinterpret_cast<const char *>(data.data), data.len);
    return data.len;
}

std::string Pattern(size_t len, uint32_t seed) {
    std::string bytes(len, '\0');
    uint32_t state = seed * 2654435761u + 1;
    for (char &byte : bytes) {
        state = state * 1664525u + 1013904223u;
        byte = static_cast<char>(state >> 24);
    }
    return bytes;
}

void BackendTest::SetUp() {
    backend_ = GetParam()();
}

void BackendTest::TearDown() {
    CloseAll();
    mr_loop_free(loop_);
    loop_ = nullptr;
    conns_.clear();
    mr_buf_pool_enter(nullptr);
    backend_.reset();
}

mr_loop *BackendTest::loop() {
    if (loop_ == nullptr) {
        EXPECT_EQ(MR_OK, mr_loop_new(&loop_, backend_->Table(), &options_));
        mr_buf_pool_enter(mr_loop_pool(loop_));
    }
    return loop_;
}

void BackendTest::Turn(uint32_t wait_ms_max) {
    ASSERT_EQ(MR_OK, mr_loop_run_once(loop(), wait_ms_max));
}

void BackendTest::RunUntil(const std::function<bool()> &done) {
    // Far more than anything here takes; a broken backend fails instead of hanging.
    const int turns_max = 200000;
    const int idle_turns_max = 2000;
    int idle_turns = 0;
    for (int turn = 0; turn < turns_max && idle_turns < idle_turns_max; turn++) {
        if (done()) {
            return;
        }
        struct mr_loop_stats before = Stats();
        Turn(idle_turns < 100 ? 1 : 10);
        struct mr_loop_stats after = Stats();
        bool idle = before.recv_bytes == after.recv_bytes && before.send_bytes == after.send_bytes;
        idle_turns = idle ? idle_turns + 1 : 0;
    }
    FAIL() << "it never happened";
}

uint16_t BackendTest::Listen(mr_listen_address address) {
    mr_listener *listener = nullptr;
    int os_error = 0;
    if (address.host == nullptr && address.unix_path == nullptr) {
        address.host = "127.0.0.1";
    }
    auto on_accept = [](void *ctx, intptr_t handle) {
        static_cast<BackendTest *>(ctx)->accepted_.push_back(handle);
    };
    EXPECT_EQ(MR_OK, mr_listener_open(&listener, loop(), &address, on_accept, this, &os_error))
        << os_error;
    if (listener == nullptr) {
        return 0;
    }
    listeners_.push_back(listener);
    return mr_listener_port(listener);
}

BackendTest::Pair BackendTest::MakePair(const mr_stream_handler *handler) {
    if (listeners_.empty()) {
        Listen();
    }
    Pair pair;
    pair.peer = backend_->Connect(mr_listener_port(listeners_[0]));
    RunUntil([&] { return !accepted_.empty(); });
    conns_.push_back(std::make_unique<Conn>());
    pair.conn = conns_.back().get();
    EXPECT_EQ(MR_OK, mr_stream_attach(loop(), pair.conn, accepted_.back(), SliceOf(""), handler));
    accepted_.pop_back();
    return pair;
}

void BackendTest::SendAll(Peer *peer, const std::string &bytes) {
    size_t sent = 0;
    RunUntil([&] {
        sent += peer->Send(bytes.substr(sent, 1 << 16));
        return sent == bytes.size();
    });
}

std::string BackendTest::RecvAll(Peer *peer, size_t len) {
    std::string bytes;
    RunUntil([&] {
        Peer::State state = Peer::State::kOpen;
        while (bytes.size() < len && state == Peer::State::kOpen) {
            size_t before = bytes.size();
            state = peer->Recv(&bytes, len - bytes.size());
            if (bytes.size() == before) {
                break;
            }
        }
        return bytes.size() >= len || state != Peer::State::kOpen;
    });
    return bytes;
}

Peer::State BackendTest::DrainToEnd(Peer *peer, std::string *bytes) {
    Peer::State state = Peer::State::kOpen;
    RunUntil([&] {
        state = peer->Recv(bytes, 1 << 20);
        return state != Peer::State::kOpen;
    });
    return state;
}

struct mr_loop_stats BackendTest::Stats() {
    struct mr_loop_stats stats;
    mr_loop_stats(loop(), &stats);
    return stats;
}

mr_buf_stats BackendTest::PoolStats() {
    mr_buf_stats stats;
    mr_buf_pool_stats(mr_loop_pool(loop()), &stats);
    return stats;
}

void BackendTest::CloseAll() {
    if (loop_ == nullptr) {
        return;
    }
    for (mr_listener *listener : listeners_) {
        mr_listener_close(listener);
    }
    listeners_.clear();
    for (intptr_t handle : accepted_) {
        mr_handle_close(loop_, handle);
    }
    accepted_.clear();
    for (auto &conn : conns_) {
        if (!conn->closed()) {
            mr_stream_close(conn.get(), MR_CLOSE_ABORT, 0);
        }
    }
    RunUntil([&] {
        return std::all_of(conns_.begin(), conns_.end(),
                           [](const auto &conn) { return conn->closed(); });
    });
}

void BackendTest::TakeMessages(Conn *conn, Messages *messages) {
    conn->on_recv = [messages](Conn *, mr_buf *buf, mr_slice data, size_t *need) {
        EXPECT_GE(data.data, buf->data);
        EXPECT_LE(data.data + data.len, buf->data + buf->capacity);
        messages->call_count++;
        size_t used = 0;
        while (data.len - used >= 4) {
            uint32_t len;
            memcpy(&len, data.data + used, 4);
            if (data.len - used - 4 < len) {
                *need = 4 + size_t{len};
                return used;
            }
            messages->bodies.emplace_back(reinterpret_cast<const char *>(data.data) + used + 4,
                                          len);
            used += 4 + size_t{len};
        }
        *need = used < data.len ? 4 : 0;
        return used;
    };
}

std::string BackendTest::Message(const std::string &body) {
    uint32_t len = static_cast<uint32_t>(body.size());
    return std::string(reinterpret_cast<const char *>(&len), 4) + body;
}
