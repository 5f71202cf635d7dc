// Ends of a stream: by the peer, by an error, by its owner in every state; and giving it
// to another loop.
#include <atomic>
#include <mutex>
#include <thread>

#include "io/backend_suite.h"

namespace {

constexpr uint32_t kDayMs = 86400000;

mr_slice SliceOf(const std::string &bytes) {
    return mr_slice_of(bytes.data(), bytes.size());
}

}  // namespace

// ------------------------------------------------------------------------- by the peer

TEST_P(BackendTest, APeerThatEndsIsClosedAfterItsBytesWereDelivered) {
    Pair pair = MakePair();
    std::string bytes = Pattern(1 << 20);
    size_t sent = 0;
    RunUntil([&] {
        sent += pair.peer->Send(bytes.substr(sent, 1 << 16));
        return sent == bytes.size();
    });
    pair.peer->EndSending();
    RunUntil([&] { return pair.conn->closed(); });
    EXPECT_EQ(MR_ERR_EOF, pair.conn->why);
    EXPECT_EQ(1, pair.conn->close_count);
    EXPECT_TRUE(bytes == pair.conn->received);
}

TEST_P(BackendTest, AHalfClosedPeerGetsTheAnswerToItsLastBytes) {
    if (!backend_->IsPrompt()) {
        GTEST_SKIP() << "the answer may leave in parts, and only the first is certain";
    }
    Pair pair = MakePair();
    pair.conn->on_recv = [](Conn *conn, mr_buf *, mr_slice data, size_t *) {
        conn->Write("answer");
        return conn->Take(data);
    };
    EXPECT_EQ(8u, pair.peer->Send("question"));
    pair.peer->EndSending();
    std::string answer;
    EXPECT_EQ(Peer::State::kEnded, DrainToEnd(pair.peer.get(), &answer));
    EXPECT_EQ("answer", answer);
    EXPECT_EQ(MR_ERR_EOF, pair.conn->why);
}

TEST_P(BackendTest, AResetClosesTheStream) {
    Pair pair = MakePair();
    pair.peer->Reset();
    RunUntil([&] { return pair.conn->closed(); });
    EXPECT_EQ(MR_ERR_RESET, pair.conn->why);
    EXPECT_EQ(1, pair.conn->close_count);
}

TEST_P(BackendTest, AResetWhileOutputIsPendingClosesTheStream) {
    Pair pair = MakePair();
    pair.conn->Write(Pattern(backend_->MoreThanFits()));
    for (int i = 0; i < 50; i++) {
        Turn();
    }
    pair.peer->Reset();
    RunUntil([&] { return pair.conn->closed(); });
    EXPECT_EQ(MR_ERR_RESET, pair.conn->why);
    EXPECT_LE(PoolStats().in_use_count, backend_->RecvBufCount());
}

TEST_P(BackendTest, APausedStreamIsNotEndedBeforeItsRestWasDelivered) {
    Pair pair = MakePair();
    bool full = true;
    pair.conn->on_recv = [&](Conn *conn, mr_buf *, mr_slice data, size_t *) {
        if (full) {
            mr_stream_recv_pause(conn);
            return size_t{0};
        }
        return conn->Take(data);
    };
    SendAll(pair.peer.get(), "last words");
    pair.peer->EndSending();
    RunUntil([&] { return pair.conn->recv_count == 1; });
    for (int i = 0; i < 5; i++) {
        Turn(1);
    }
    EXPECT_FALSE(pair.conn->closed());
    full = false;
    mr_stream_recv_resume(pair.conn);
    RunUntil([&] { return pair.conn->closed(); });
    EXPECT_EQ("last words", pair.conn->received);
    EXPECT_EQ(MR_ERR_EOF, pair.conn->why);
}

TEST_P(BackendTest, AnIncompleteMessageIsDroppedAtTheEnd) {
    Pair pair = MakePair();
    Messages messages;
    TakeMessages(pair.conn, &messages);
    std::string message = Message(Pattern(100000));
    SendAll(pair.peer.get(), message.substr(0, message.size() - 1));
    pair.peer->EndSending();
    RunUntil([&] { return pair.conn->closed(); });
    EXPECT_EQ(0u, messages.bodies.size());
    EXPECT_LE(PoolStats().in_use_count, backend_->RecvBufCount());
}

// ------------------------------------------------------------------------ by the owner

TEST_P(BackendTest, OnCloseNeverComesWithinClose) {
    for (mr_close_mode mode : {MR_CLOSE_ABORT, MR_CLOSE_FLUSH}) {
        Pair pair = MakePair();
        mr_stream_close(pair.conn, mode, 0);
        EXPECT_EQ(0, pair.conn->close_count);
        EXPECT_TRUE(mr_stream_closing(pair.conn));
        RunUntil([&] { return pair.conn->closed(); });
        EXPECT_EQ(MR_OK, pair.conn->why);
        Turn();
        EXPECT_EQ(1, pair.conn->close_count);
    }
}

TEST_P(BackendTest, CloseFromOnRecvDropsTheRestAndHearsNothingMore) {
    for (mr_close_mode mode : {MR_CLOSE_ABORT, MR_CLOSE_FLUSH}) {
        Pair pair = MakePair();
        pair.conn->on_recv = [&](Conn *conn, mr_buf *, mr_slice data, size_t *need) {
            mr_stream_close(conn, mode, kDayMs);
            *need = 100000;
            // The bytes are still there after the call.
            return conn->Take(mr_slice_of(data.data, 1));
        };
        EXPECT_GT(pair.peer->Send("abcdef"), 0u);
        RunUntil([&] { return pair.conn->recv_count == 1; });
        pair.peer->Send("more");
        pair.peer->EndSending();
        RunUntil([&] { return pair.conn->closed(); });
        EXPECT_EQ("a", pair.conn->received);
        EXPECT_EQ(1, pair.conn->recv_count);
        EXPECT_EQ(MR_OK, pair.conn->why);
    }
    EXPECT_LE(PoolStats().in_use_count, backend_->RecvBufCount());
}

TEST_P(BackendTest, CloseFromOnDrain) {
    for (mr_close_mode mode : {MR_CLOSE_ABORT, MR_CLOSE_FLUSH}) {
        Pair pair = MakePair(&kConnWatermarkHandler);
        pair.conn->on_drain = [&](Conn *conn) { mr_stream_close(conn, mode, 0); };
        pair.conn->Write(Pattern(5000));
        RunUntil([&] { return pair.conn->closed(); });
        EXPECT_EQ(MR_OK, pair.conn->why);
        EXPECT_EQ(1, pair.conn->close_count);
        std::string bytes;
        DrainToEnd(pair.peer.get(), &bytes);
        EXPECT_TRUE(Pattern(5000) == bytes);
    }
}

TEST_P(BackendTest, OnCloseMayCloseOthersAndFreeItsStream) {
    std::vector<Pair> pairs;
    for (int i = 0; i < 4; i++) {
        pairs.push_back(MakePair());
    }
    std::unique_ptr<Conn> first = std::move(conns_.front());
    conns_.erase(conns_.begin());
    bool closed = false;
    first->on_close = [&](Conn *) {
        closed = true;
        mr_stream_close(pairs[1].conn, MR_CLOSE_ABORT, 0);
        mr_stream_close(pairs[2].conn, MR_CLOSE_FLUSH, 0);
        Conn *gone = first.release();
        // Its own function is part of what is freed.
        auto keep = std::move(gone->on_close);
        delete gone;
        (void)keep;
    };
    // One of the others is in the same batch already.
    pairs[1].conn->Write("x");
    mr_stream_close(pairs[0].conn, MR_CLOSE_ABORT, 0);
    RunUntil([&] { return closed && pairs[1].conn->closed() && pairs[2].conn->closed(); });
    EXPECT_FALSE(pairs[3].conn->closed());
    SendAll(pairs[3].peer.get(), "alive");
    RunUntil([&] { return pairs[3].conn->received == "alive"; });
}

TEST_P(BackendTest, OnCloseMayUseTheMemoryForTheNextStream) {
    Pair pair = MakePair();
    std::unique_ptr<Peer> next = backend_->Connect(mr_listener_port(listeners_[0]));
    RunUntil([&] { return accepted_.size() == 1; });
    pair.conn->on_close = [&](Conn *conn) {
        conn->on_close = nullptr;
        conn->close_count = 0;
        EXPECT_EQ(MR_OK, mr_stream_attach(loop(), conn, accepted_[0], SliceOf(""), &kConnHandler));
        accepted_.clear();
    };
    mr_stream_close(pair.conn, MR_CLOSE_ABORT, 0);
    RunUntil([&] { return accepted_.empty(); });
    SendAll(next.get(), "second life");
    RunUntil([&] { return pair.conn->received == "second life"; });
}

TEST_P(BackendTest, AStreamMayBeClosedInTheTurnThatAttachedIt) {
    uint16_t port = Listen();
    std::unique_ptr<Peer> peer = backend_->Connect(port);
    RunUntil([&] { return accepted_.size() == 1; });
    conns_.push_back(std::make_unique<Conn>());
    ASSERT_EQ(MR_OK, mr_stream_attach(loop(), conns_[0].get(), accepted_[0], SliceOf("initial"),
                                      &kConnHandler));
    accepted_.clear();
    mr_stream_close(conns_[0].get(), MR_CLOSE_ABORT, 0);
    RunUntil([&] { return conns_[0]->closed(); });
    EXPECT_EQ(0, conns_[0]->recv_count);
}

TEST_P(BackendTest, AbortDropsPendingOutput) {
    Pair pair = MakePair();
    pair.conn->Write(Pattern(backend_->MoreThanFits()));
    for (int i = 0; i < 50; i++) {
        Turn();
    }
    mr_stream_close(pair.conn, MR_CLOSE_ABORT, 0);
    RunUntil([&] { return pair.conn->closed(); });
    EXPECT_LE(PoolStats().in_use_count, backend_->RecvBufCount());
    std::string bytes;
    DrainToEnd(pair.peer.get(), &bytes);
    EXPECT_LT(bytes.size(), backend_->MoreThanFits());
}

TEST_P(BackendTest, WritingAfterCloseHasNoEffect) {
    Pair pair = MakePair();
    mr_stream_close(pair.conn, MR_CLOSE_ABORT, 0);
    pair.conn->Write("too late");
    mr_stream_recv_pause(pair.conn);
    mr_stream_recv_resume(pair.conn);
    EXPECT_EQ(MR_ERR_BUSY, mr_stream_detach(pair.conn));
    RunUntil([&] { return pair.conn->closed(); });
    std::string bytes;
    DrainToEnd(pair.peer.get(), &bytes);
    EXPECT_EQ("", bytes);
}

// --------------------------------------------------------------------- with a linger

TEST_P(BackendTest, FlushSendsEverythingToASlowReaderThenEnds) {
    Pair pair = MakePair();
    std::string expected = Pattern(backend_->MoreThanFits());
    pair.conn->Write(expected);
    mr_stream_close(pair.conn, MR_CLOSE_FLUSH, kDayMs);
    std::string bytes;
    EXPECT_EQ(Peer::State::kEnded, DrainToEnd(pair.peer.get(), &bytes));
    EXPECT_TRUE(expected == bytes);
    EXPECT_FALSE(pair.conn->closed()) << "it waits for the peer's end";
    pair.peer->EndSending();
    RunUntil([&] { return pair.conn->closed(); });
    EXPECT_EQ(MR_OK, pair.conn->why);
}

TEST_P(BackendTest, FlushWithUnreadInputDoesNotResetTheLastBytesAway) {
    Pair pair = MakePair();
    mr_stream_recv_pause(pair.conn);
    EXPECT_GT(pair.peer->Send(Pattern(200000)), 0u);
    Turn();
    pair.conn->Write("reason");
    mr_stream_close(pair.conn, MR_CLOSE_FLUSH, kDayMs);
    for (int i = 0; i < 10; i++) {
        Turn(1);
    }
    EXPECT_GT(pair.peer->Send(Pattern(200000)), 0u);
    std::string bytes;
    EXPECT_EQ(Peer::State::kEnded, DrainToEnd(pair.peer.get(), &bytes));
    EXPECT_EQ("reason", bytes);
    pair.peer->EndSending();
    RunUntil([&] { return pair.conn->closed(); });
    EXPECT_EQ(0, pair.conn->recv_count);
}

TEST_P(BackendTest, FlushGivesUpAfterTheLingerTime) {
    Pair reads_not = MakePair();
    Pair ends_not = MakePair();
    reads_not.conn->Write(Pattern(backend_->MoreThanFits()));
    mr_stream_close(reads_not.conn, MR_CLOSE_FLUSH, 30);
    mr_stream_close(ends_not.conn, MR_CLOSE_FLUSH, 60);
    RunUntil([&] { return ends_not.conn->closed(); });
    EXPECT_TRUE(reads_not.conn->closed());
    EXPECT_EQ(MR_OK, reads_not.conn->why);
    EXPECT_EQ(MR_OK, ends_not.conn->why);
    EXPECT_LE(PoolStats().in_use_count, backend_->RecvBufCount());
}

TEST_P(BackendTest, FlushWithoutLingerTimeSendsWhatTheKernelTakes) {
    if (!backend_->IsPrompt()) {
        GTEST_SKIP() << "it may take a part";
    }
    Pair pair = MakePair();
    pair.conn->Write("goodbye");
    mr_stream_close(pair.conn, MR_CLOSE_FLUSH, 0);
    RunUntil([&] { return pair.conn->closed(); });
    EXPECT_EQ("goodbye", RecvAll(pair.peer.get(), 7));
    Pair full = MakePair();
    full.conn->Write(Pattern(backend_->MoreThanFits()));
    mr_stream_close(full.conn, MR_CLOSE_FLUSH, 0);
    RunUntil([&] { return full.conn->closed(); });
}

TEST_P(BackendTest, FlushMayBeTurnedIntoAbortOnceOrOften) {
    Pair pair = MakePair();
    pair.conn->Write(Pattern(backend_->MoreThanFits()));
    mr_stream_close(pair.conn, MR_CLOSE_FLUSH, kDayMs);
    mr_stream_close(pair.conn, MR_CLOSE_FLUSH, 1);
    for (int i = 0; i < 50; i++) {
        Turn(1);
    }
    EXPECT_FALSE(pair.conn->closed());
    mr_stream_close(pair.conn, MR_CLOSE_ABORT, 0);
    mr_stream_close(pair.conn, MR_CLOSE_ABORT, 0);
    EXPECT_FALSE(pair.conn->closed());
    RunUntil([&] { return pair.conn->closed(); });
    Turn();
    EXPECT_EQ(1, pair.conn->close_count);
}

TEST_P(BackendTest, AResetWhileLingeringEndsTheStream) {
    Pair pair = MakePair();
    pair.conn->Write(Pattern(backend_->MoreThanFits()));
    mr_stream_close(pair.conn, MR_CLOSE_FLUSH, kDayMs);
    for (int i = 0; i < 50; i++) {
        Turn();
    }
    EXPECT_FALSE(pair.conn->closed());
    pair.peer->Reset();
    RunUntil([&] { return pair.conn->closed(); });
    EXPECT_EQ(MR_OK, pair.conn->why);
}

// --------------------------------------------------------------------------- detached

TEST_P(BackendTest, DetachHandsOverTheUnconsumedBytes) {
    Pair pair = MakePair();
    pair.conn->on_recv = [](Conn *conn, mr_buf *, mr_slice data, size_t *need) {
        if (data.len < 6) {
            *need = 6;
            return size_t{0};
        }
        EXPECT_EQ(MR_OK, mr_stream_detach(conn));
        EXPECT_EQ(MR_ERR_BUSY, mr_stream_detach(conn));
        return conn->Take(mr_slice_of(data.data, 3));
    };
    intptr_t handle = -1;
    std::string rest;
    pair.conn->on_detach = [&](Conn *, intptr_t given, mr_buf *buf, std::string bytes) {
        handle = given;
        rest = bytes;
        EXPECT_NE(nullptr, buf);
    };
    SendAll(pair.peer.get(), "abcdefghi");
    RunUntil([&] { return handle != -1; });
    EXPECT_EQ("abc", pair.conn->received);
    EXPECT_EQ("def", rest.substr(0, 3));
    conns_.push_back(std::make_unique<Conn>());
    Conn *next = conns_.back().get();
    ASSERT_EQ(MR_OK, mr_stream_attach(loop(), next, handle, SliceOf(rest), &kConnHandler));
    RunUntil([&] { return next->received.size() == 6; });
    EXPECT_EQ("defghi", next->received);
}

TEST_P(BackendTest, DetachIsRefusedWhileOutputIsPending) {
    Pair pair = MakePair();
    pair.conn->Write("x");
    EXPECT_EQ(MR_ERR_BUSY, mr_stream_detach(pair.conn));
    RunUntil([&] { return mr_stream_pending_bytes(pair.conn) == 0; });
    EXPECT_EQ(MR_OK, mr_stream_detach(pair.conn));
    intptr_t handle = -1;
    pair.conn->on_detach = [&](Conn *, intptr_t given, mr_buf *buf, std::string bytes) {
        handle = given;
        EXPECT_EQ(nullptr, buf);
        EXPECT_EQ("", bytes);
    };
    EXPECT_EQ(-1, handle) << "within the call";
    RunUntil([&] { return handle != -1; });
    mr_handle_close(loop(), handle);
    std::string bytes;
    DrainToEnd(pair.peer.get(), &bytes);
    EXPECT_EQ("x", bytes);
}

TEST_P(BackendTest, ClosingWinsOverDetaching) {
    Pair pair = MakePair();
    pair.conn->on_detach = [](Conn *, intptr_t, mr_buf *, std::string) { FAIL(); };
    EXPECT_EQ(MR_OK, mr_stream_detach(pair.conn));
    mr_stream_close(pair.conn, MR_CLOSE_ABORT, 0);
    RunUntil([&] { return pair.conn->closed(); });
    EXPECT_EQ(1, pair.conn->close_count);
}

namespace {

// A loop on a thread of its own that echoes, and gives each stream away after some bytes.
class Worker {
 public:
    Worker(const mr_io_backend *table, size_t share) : share_(share) {
        mr_loop_options options = {};
        options.ctx = this;
        options.on_wake = [](void *ctx) { static_cast<Worker *>(ctx)->OnWake(); };
        EXPECT_EQ(MR_OK, mr_loop_new(&loop_, table, &options));
    }
    ~Worker() {
        mr_loop_free(loop_);
    }
    void Start(Worker *other) {
        other_ = other;
        thread_ = std::thread([this] { EXPECT_EQ(MR_OK, mr_loop_run(loop_)); });
    }
    void Give(intptr_t handle, const std::string &rest) {
        {
            std::lock_guard<std::mutex> lock(mutex_);
            inbox_.push_back({handle, rest});
        }
        mr_loop_wake(loop_);
    }
    void Stop() {
        stopping_ = true;
        mr_loop_wake(loop_);
        thread_.join();
    }
    uint64_t moved_count() const {
        return moved_count_;
    }
    bool closed() const {
        return closed_;
    }

 private:
    struct Handover {
        intptr_t handle;
        std::string rest;
    };

    void OnWake() {
        std::vector<Handover> taken;
        {
            std::lock_guard<std::mutex> lock(mutex_);
            taken.swap(inbox_);
        }
        for (const Handover &each : taken) {
            Attach(each);
        }
        if (stopping_) {
            mr_loop_stop(loop_);
        }
    }

    void Attach(const Handover &each) {
        Conn *conn = new Conn();
        size_t echoed = 0;
        conn->on_recv = [this, echoed](Conn *stream, mr_buf *, mr_slice data, size_t *) mutable {
            // Never all of it, so that there is a rest to be handed over.
            size_t part = data.len > 1 ? data.len - 1 : data.len;
            stream->Write(std::string(reinterpret_cast<const char *>(data.data), part));
            echoed += part;
            if (echoed > share_) {
                echoed = 0;
                wants_away_ = true;
            }
            return part;
        };
        conn->on_drain = [this](Conn *stream) {
            if (wants_away_ && mr_stream_detach(stream) == MR_OK) {
                wants_away_ = false;
            }
        };
        conn->on_detach = [this](Conn *stream, intptr_t handle, mr_buf *, std::string rest) {
            moved_count_++;
            other_->Give(handle, rest);
            auto keep = std::move(stream->on_detach);
            delete stream;
        };
        conn->on_close = [this](Conn *stream) {
            closed_ = true;
            auto keep = std::move(stream->on_close);
            delete stream;
        };
        ASSERT_EQ(MR_OK,
                  mr_stream_attach(loop_, conn, each.handle, SliceOf(each.rest), &kConnHandler));
    }

    const size_t share_;  // Bytes that it echoes before it gives the stream away.
    mr_loop *loop_ = nullptr;
    Worker *other_ = nullptr;
    std::thread thread_;
    std::mutex mutex_;
    std::vector<Handover> inbox_;
    std::atomic<bool> stopping_{false};
    std::atomic<bool> closed_{false};
    std::atomic<uint64_t> moved_count_{0};
    bool wants_away_ = false;
};

}  // namespace

TEST_P(BackendTest, AStreamThatMovesBetweenTwoThreadsLosesNoByte) {
    if (!backend_->HasThreads()) {
        GTEST_SKIP();
    }
    uint16_t port = Listen();
    std::unique_ptr<Peer> peer = backend_->Connect(port);
    RunUntil([&] { return accepted_.size() == 1; });
    Worker a(backend_->Table(), 5000);
    Worker b(backend_->Table(), 3000);
    a.Start(&b);
    b.Start(&a);
    a.Give(accepted_[0], "");
    accepted_.clear();
    // The last byte may be held back as a rest.
    std::string bytes = Pattern((3 << 20) + 1);
    std::string echo;
    size_t sent = 0;
    while (echo.size() + 1 < bytes.size()) {
        if (sent < bytes.size()) {
            sent += peer->Send(bytes.substr(sent, 7000));
        }
        size_t before = echo.size();
        ASSERT_EQ(Peer::State::kOpen, peer->Recv(&echo, 1 << 16));
        if (echo.size() == before) {
            std::this_thread::yield();
        }
    }
    EXPECT_TRUE(bytes.substr(0, echo.size()) == echo);
    // How often depends on how the threads get their turns.
    EXPECT_GT(a.moved_count() + b.moved_count(), 0u);
    peer.reset();
    while (!a.closed() && !b.closed()) {
        std::this_thread::yield();
    }
    a.Stop();
    b.Stop();
}
