// Connections to which, and with which, anything happens.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "io/backend_suite.h"

namespace {

// Both directions of a connection are endless and known, so that any part can be checked.
char ByteAt(uint32_t seed, size_t at) {
    return static_cast<char>((at * 2654435761u + seed * 97u + (at >> 11)) >> 7);
}

std::string Bytes(uint32_t seed, size_t at, size_t len) {
    std::string bytes(len, '\0');
    for (size_t i = 0; i < len; i++) {
        bytes[i] = ByteAt(seed, at + i);
    }
    return bytes;
}

// A connection to which, and with which, anything happens.
struct Life {
    uint32_t seed = 0;
    std::unique_ptr<Peer> peer;
    Conn *conn = nullptr;
    size_t peer_sent = 0;
    size_t peer_got = 0;
    size_t conn_sent = 0;
    size_t conn_got = 0;
    bool peer_ended = false;
    bool detaching = false;

    size_t OnRecv(mr_slice data, size_t *need, std::mt19937 *random) {
        size_t consumed = (*random)() % 4 == 0 ? (*random)() % (data.len + 1) : data.len;
        if ((*random)() % 16 == 0) {
            consumed = 0;
            *need = data.len + 1 + (*random)() % 100000;
        }
        for (size_t i = 0; i < consumed; i++) {
            if (static_cast<char>(data.data[i]) != ByteAt(seed, conn_got + i)) {
                ADD_FAILURE() << "byte " << conn_got + i;
                return data.len;
            }
        }
        conn_got += consumed;
        return consumed;
    }
    void PeerActs(uint32_t action, size_t len) {
        std::string got;
        switch (action) {
            case 0:
                peer->EndSending();
                peer_ended = true;
                break;
            case 1:
                peer->Reset();
                peer.reset();
                return;
            case 2:
            case 3:
            case 4:
                peer->Recv(&got, len);
                ASSERT_TRUE(got == Bytes(~seed, peer_got, got.size()));
                peer_got += got.size();
                break;
            default:
                if (!peer_ended) {
                    peer_sent += peer->Send(Bytes(seed, peer_sent, len));
                }
                break;
        }
    }
    void OwnerActs(uint32_t action, size_t len) {
        switch (action) {
            case 0:
                mr_stream_close(conn, MR_CLOSE_ABORT, 0);
                break;
            case 1:
                mr_stream_close(conn, MR_CLOSE_FLUSH, 0);
                break;
            case 2:
                mr_stream_close(conn, MR_CLOSE_FLUSH, 20);
                break;
            case 3:
                // It is attached again where it is reported, and left alone until then.
                detaching = mr_stream_detach(conn) == MR_OK;
                break;
            case 4:
            case 5:
            case 6:
                mr_stream_recv_pause(conn);
                break;
            case 7:
            case 8:
            case 9:
            case 10:
                mr_stream_recv_resume(conn);
                break;
            default:
                if (!mr_stream_closing(conn)) {
                    conn->Write(Bytes(~seed, conn_sent, len));
                    conn_sent += len;
                }
                break;
        }
    }
};

}  // namespace

TEST_P(BackendTest, RandomLivesKeepTheirBytesInOrderAndEndOnce) {
    const char *given = getenv("MILLRACE_SEED");
    const uint32_t first = given != nullptr ? static_cast<uint32_t>(atoi(given)) : 1;
    printf("seed %u\n", first);
    std::mt19937 random(first);
    options_.recv_bytes = 4096;
    options_.recv_turn_bytes_max = 16384;
    std::vector<std::unique_ptr<Life>> lives;
    for (uint32_t i = 0; i < 300; i++) {
        lives.push_back(std::make_unique<Life>());
        Life *life = lives.back().get();
        life->seed = i;
        Pair pair = MakePair();
        life->peer = std::move(pair.peer);
        life->conn = pair.conn;
        auto on_recv = [life, &random](Conn *, mr_buf *, mr_slice data, size_t *need) {
            return life->OnRecv(data, need, &random);
        };
        life->conn->on_recv = on_recv;
        life->conn->on_detach = [=](Conn *, intptr_t handle, mr_buf *, std::string rest) {
            conns_.push_back(std::make_unique<Conn>());
            Conn *next = conns_.back().get();
            next->on_recv = on_recv;
            next->on_detach = life->conn->on_detach;
            life->conn = next;
            life->detaching = false;
            ASSERT_EQ(MR_OK,
                      mr_stream_attach(loop(), next, handle, mr_slice_of(rest.data(), rest.size()),
                                       &kConnHandler));
        };
        for (int k = 0; k < 60 && !HasFailure(); k++) {
            Life *any =
                lives[lives.size() - 1 - random() % std::min<size_t>(lives.size(), 20)].get();
            size_t len = random() % (size_t{1} << (random() % 17)) + 1;
            // Ends are rare, so that something happens before.
            if (any->peer != nullptr) {
                any->PeerActs(random() % 50 == 0 ? random() % 2 : 2 + random() % 8, len);
            }
            if (!any->conn->closed() && !any->detaching) {
                any->OwnerActs(random() % 50 == 0 ? random() % 4 : 4 + random() % 12, len);
            }
            if (random() % 3 == 0) {
                Turn();
            }
        }
    }
    CloseAll();
    for (auto &conn : conns_) {
        EXPECT_EQ(1, conn->close_count);
    }
}
