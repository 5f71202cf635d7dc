// A chain compared with a string and a queue of pieces, by random operations.
#include "io/buf/chain.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <deque>
#include <iostream>
#include <random>
#include <string>
#include <vector>

#include "io/buf/chain_testing.hh"

namespace {

// ---------------------------------------------------------------------- model

// Random operations on a chain and on a string that must stay the same.
class Model {
 public:
    Model(uint64_t seed, uint64_t bytes_max) : random_(seed), pool_(bytes_max) {
    }

    ~Model() {
        for (mr_buf *buf : bufs_) {
            mr_buf_unref(buf);
        }
        mr_chain_clear(&chain_);
        mr_buf_pool_collect(other_.get());
        EXPECT_EQ(0u, other_.stats().in_use_count);
    }

    void Run(int steps) {
        mr_buf_pool_enter(pool_.get());
        for (int i = 0; i < steps && !testing::Test::HasFatalFailure(); i++) {
            Step();
            Check();
            // Comparing long ones takes long and shows no more.
            while (expected_.size() > 200000) {
                Send();
                Complete();
            }
        }
    }

    int failed_count() const {
        return failed_count_;
    }

 private:
    size_t Below(size_t limit) {
        return random_() % limit;
    }

    // Mostly small, sometimes large.
    size_t Length() {
        size_t limits[] = {20, 300, 300, 2000, 40000};
        return 1 + Below(limits[Below(5)]);
    }

    mr_buf *Buffer() {
        if (!bufs_.empty() && Below(4) != 0) {
            return bufs_[Below(bufs_.size())];
        }
        size_t bytes = 500 + Below(70000);
        mr_buf *buf = Below(3) == 0 ? other_.FilledForOther(bytes) : pool_.Filled(bytes);
        if (buf == nullptr) {
            return nullptr;
        }
        bufs_.push_back(buf);
        if (bufs_.size() > 3) {
            mr_buf_unref(bufs_.front());
            bufs_.pop_front();
        }
        return buf;
    }

    // Appends some slices of one buffer, often one behind the other.
    void AppendRefs() {
        mr_buf *buf = Buffer();
        size_t offset = buf == nullptr ? 0 : Below(buf->capacity);
        while (buf != nullptr && offset < buf->capacity && Below(5) != 0) {
            size_t len = std::min(Length(), static_cast<size_t>(buf->capacity) - offset);
            mr_slice slice = Part(buf, offset, len);
            if (Done(mr_chain_append_ref(&chain_, pool_.get(), buf, slice) == MR_OK)) {
                expected_ += TextOf(slice);
            }
            offset += len + (Below(3) == 0 ? 1 : 0);
        }
    }

    void AppendCopy() {
        std::string text(Length(), static_cast<char>('a' + Below(26)));
        if (Done(mr_chain_append_copy(&chain_, pool_.get(), SliceOf(text)) == MR_OK)) {
            expected_ += text;
        }
    }

    void Encode() {
        size_t reserved = Length();
        uint8_t *room = mr_chain_reserve(&chain_, pool_.get(), reserved);
        if (Done(room != nullptr)) {
            std::string text(Below(reserved + 1), static_cast<char>('A' + Below(26)));
            memcpy(room, text.data(), text.size());
            mr_chain_commit(&chain_, text.size());
            expected_ += text;
        }
    }

    // Something is given to the kernel: until it is consumed, these bytes must stay.
    void Send() {
        if (in_flight_.empty()) {
            in_flight_ = Iov(chain_, 1 + Below(20));
            if (Below(2) == 0 && !in_flight_.empty()) {
                in_flight_.back().len = 1 + Below(in_flight_.back().len);
            }
        }
    }

    void Complete() {
        size_t len = Text(in_flight_).size();
        if (Below(3) == 0) {
            len = Below(len + 1);
        }
        in_flight_.clear();
        mr_chain_consume(&chain_, len);
        expected_.erase(0, len);
    }

    bool Done(bool done) {
        failed_count_ += done ? 0 : 1;
        return done;
    }

    void Step() {
        switch (Below(12)) {
            case 0:
            case 1:
            case 2:
            case 3:
                AppendRefs();
                break;
            case 4:
                AppendCopy();
                break;
            case 5:
                Encode();
                break;
            case 6:
                mr_chain_compact(&chain_, pool_.get(), Text(in_flight_).size());
                break;
            case 7:
            case 8:
                Send();
                break;
            case 9:
                mr_buf_pool_collect(pool_.get());
                mr_buf_pool_enter(other_.get());
                mr_buf_pool_collect(other_.get());
                mr_buf_pool_enter(pool_.get());
                break;
            case 10:
                if (Below(20) == 0) {
                    in_flight_.clear();
                    mr_chain_clear(&chain_);
                    expected_.clear();
                }
                break;
            default:
                Complete();
                break;
        }
    }

    void Check() {
        ASSERT_EQ(expected_.size(), mr_chain_bytes(&chain_));
        ASSERT_EQ(expected_.size(), EqualLength(Iov(chain_), expected_));
        ASSERT_LE(EqualLength(in_flight_, expected_), expected_.size());
        if (expected_.empty()) {
            size_t own = 0;
            for (mr_buf *buf : bufs_) {
                own += buf->pool == pool_.get() ? 1 : 0;
            }
            ASSERT_EQ(own, pool_.stats().in_use_count);
        }
    }

    std::mt19937_64 random_;
    Pool other_;
    Pool pool_;
    mr_chain chain_ = {};
    std::string expected_;
    std::deque<mr_buf *> bufs_;
    std::vector<mr_iov> in_flight_;
    int failed_count_ = 0;
};

TEST(ChainModel, HoldsWhatAStringHolds) {
    uint64_t seed = Seed();
    for (uint64_t i = 0; i < 8; i++) {
        Model model(seed + i, 0);
        model.Run(300);
        EXPECT_EQ(0, model.failed_count());
    }
}

TEST(ChainModel, HoldsWhatAStringHoldsWhileMemoryIsShort) {
    uint64_t seed = Seed();
    int failed_count = 0;
    for (uint64_t i = 0; i < 8; i++) {
        Model model(seed + i, 1000 + 40000 * (i % 4));
        model.Run(300);
        failed_count += model.failed_count();
    }
    EXPECT_GT(failed_count, 0);
}

}  // namespace
