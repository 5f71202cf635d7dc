// A stream is closed, in each way, whatever it is at.
#include "io/backend_suite.h"

enum class StreamState {
    kAttached,      // In this turn, with initial bytes that were not delivered.
    kReceiving,     // Nothing has come.
    kPaused,        // With bytes that were not consumed.
    kPausedAtEnd,   // And the peer has ended.
    kAwaiting,      // A part of a long message has come.
    kSending,       // Output is pending, in this turn.
    kBlocked,       // The kernel takes no more of it.
    kFlushing,      // Closed with MR_CLOSE_FLUSH, blocked.
    kLingering,     // Closed with MR_CLOSE_FLUSH, all is sent; waits for the peer's end.
    kDetaching,     // In this turn.
    kPeerHasReset,  // And perhaps nobody has noticed.
};

enum class CloseWay {
    kAbort,
    kAbortTwice,
    kFlush,
    kFlushAndLinger,
    kFlushThenAbort,
};

// A connection whose stream is freed as soon as it may be.
struct BackendTest::Subject {
    std::unique_ptr<Peer> peer;
    Conn *conn = nullptr;
    int close_count = 0;
    mr_err why = MR_OK;
    bool within_close = false;
};

namespace {

using State = StreamState;
using Way = CloseWay;

constexpr uint32_t kDayMs = 86400000;
constexpr State kStates[] = {State::kAttached,    State::kReceiving,   State::kPaused,
                             State::kPausedAtEnd, State::kAwaiting,    State::kSending,
                             State::kBlocked,     State::kFlushing,    State::kLingering,
                             State::kDetaching,   State::kPeerHasReset};
constexpr Way kWays[] = {Way::kAbort, Way::kAbortTwice, Way::kFlush, Way::kFlushAndLinger,
                         Way::kFlushThenAbort};

void Close(Conn *conn, Way way) {
    switch (way) {
        case Way::kAbort:
            mr_stream_close(conn, MR_CLOSE_ABORT, 0);
            break;
        case Way::kAbortTwice:
            mr_stream_close(conn, MR_CLOSE_ABORT, kDayMs);
            mr_stream_close(conn, MR_CLOSE_ABORT, 0);
            break;
        case Way::kFlush:
            mr_stream_close(conn, MR_CLOSE_FLUSH, 0);
            break;
        case Way::kFlushAndLinger:
            mr_stream_close(conn, MR_CLOSE_FLUSH, 20);
            break;
        case Way::kFlushThenAbort:
            mr_stream_close(conn, MR_CLOSE_FLUSH, kDayMs);
            mr_stream_close(conn, MR_CLOSE_ABORT, 0);
            break;
    }
}

// Was it closed before, with more patience? Then only an abort makes a difference.
bool IsPatient(State state, Way way) {
    return (state == State::kFlushing || state == State::kLingering) &&
           (way == Way::kFlush || way == Way::kFlushAndLinger);
}

}  // namespace

void BackendTest::AttachSubject(Subject *subject, const std::string &initial) {
    if (listeners_.empty()) {
        Listen();
    }
    subject->peer = backend_->Connect(mr_listener_port(listeners_[0]));
    RunUntil([&] { return !accepted_.empty(); });
    subject->conn = new Conn();
    subject->conn->on_close = [subject](Conn *conn) {
        EXPECT_FALSE(subject->within_close);
        subject->close_count++;
        subject->why = conn->why;
        // The function is a part of what is freed.
        auto keep = std::move(conn->on_close);
        delete conn;
    };
    subject->conn->on_detach = [](Conn *, intptr_t, mr_buf *, std::string) {
        ADD_FAILURE() << "closing wins";
    };
    ASSERT_EQ(MR_OK, mr_stream_attach(loop(), subject->conn, accepted_[0],
                                      mr_slice_of(initial.data(), initial.size()), &kConnHandler));
    accepted_.clear();
}

void BackendTest::BringTo(StreamState state, Subject *subject) {
    Conn *conn = subject->conn;
    Peer *peer = subject->peer.get();
    switch (state) {
        case State::kAttached:
        case State::kReceiving:
            break;
        case State::kPaused:
        case State::kPausedAtEnd:
            conn->on_recv = [](Conn *self, mr_buf *, mr_slice, size_t *) {
                mr_stream_recv_pause(self);
                return size_t{0};
            };
            SendAll(peer, "unread");
            if (state == State::kPausedAtEnd) {
                peer->EndSending();
            }
            RunUntil([&] { return conn->recv_count == 1; });
            break;
        case State::kAwaiting:
            conn->on_recv = [](Conn *, mr_buf *, mr_slice, size_t *need) {
                *need = 200000;
                return size_t{0};
            };
            SendAll(peer, "the beginning");
            RunUntil([&] { return conn->recv_count > 0; });
            Turn();
            break;
        case State::kSending:
            conn->Write("pending");
            break;
        case State::kBlocked:
        case State::kFlushing:
            conn->Write(Pattern(backend_->MoreThanFits()));
            if (state == State::kFlushing) {
                mr_stream_close(conn, MR_CLOSE_FLUSH, kDayMs);
            }
            for (int i = 0; i < 50; i++) {
                Turn();
            }
            break;
        case State::kLingering:
            conn->Write("goodbye");
            mr_stream_close(conn, MR_CLOSE_FLUSH, kDayMs);
            EXPECT_EQ("goodbye", RecvAll(peer, 7));
            Turn();
            break;
        case State::kDetaching:
            ASSERT_EQ(MR_OK, mr_stream_detach(conn));
            break;
        case State::kPeerHasReset:
            peer->Reset();
            break;
    }
}

// Within on_recv of `other`, if given.
void BackendTest::CloseSubject(StreamState state, CloseWay way, Pair *other) {
    Subject subject;
    AttachSubject(&subject, state == State::kAttached ? "initial" : "");
    if (state != State::kAttached) {
        Turn();
    }
    BringTo(state, &subject);
    const auto close = [&] {
        if (subject.close_count == 0) {
            subject.within_close = true;
            Close(subject.conn, way);
            subject.within_close = false;
        }
    };
    if (other != nullptr) {
        size_t received = 0;
        other->conn->on_recv = [&](Conn *, mr_buf *, mr_slice data, size_t *) {
            received += data.len;
            close();
            return data.len;
        };
        SendAll(other->peer.get(), "now");
        RunUntil([&] { return received == 3; });
        other->conn->on_recv = nullptr;
    } else {
        close();
    }
    bool patient = IsPatient(state, way);
    if (patient) {
        for (int i = 0; i < 5; i++) {
            Turn();
        }
        EXPECT_EQ(0, subject.close_count) << "it was closed with more patience";
        subject.peer->Reset();
    }
    RunUntil([&] { return subject.close_count > 0; });
    for (int i = 0; i < 3; i++) {
        Turn();
    }
    EXPECT_EQ(1, subject.close_count);
    if (state != State::kPeerHasReset) {
        EXPECT_EQ(MR_OK, subject.why);
    }
    if (state != State::kPeerHasReset && !patient) {
        std::string bytes;
        EXPECT_NE(Peer::State::kOpen, DrainToEnd(subject.peer.get(), &bytes));
    }
    EXPECT_LE(PoolStats().in_use_count, backend_->RecvBufCount());
}

TEST_P(BackendTest, AStreamMayBeClosedInEachWayWhateverItIsAt) {
    for (State state : kStates) {
        for (Way way : kWays) {
            SCOPED_TRACE(testing::Message() << "state " << static_cast<int>(state) << ", way "
                                            << static_cast<int>(way));
            CloseSubject(state, way, nullptr);
            if (HasFatalFailure()) {
                return;
            }
        }
    }
}

TEST_P(BackendTest, AStreamMayBeClosedByAnotherWhateverItIsAt) {
    Pair other = MakePair();
    for (State state : kStates) {
        if (state == State::kDetaching && !backend_->IsPrompt()) {
            continue;  // It may be gone when the other one is called.
        }
        for (Way way : kWays) {
            SCOPED_TRACE(testing::Message() << "state " << static_cast<int>(state) << ", way "
                                            << static_cast<int>(way));
            CloseSubject(state, way, &other);
            if (HasFatalFailure()) {
                return;
            }
        }
    }
    SendAll(other.peer.get(), "alive");
    RunUntil([&] { return other.conn->received == "alive"; });
}
