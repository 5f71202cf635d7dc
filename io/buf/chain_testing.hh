// What the tests of chains share: a pool that counts what is out, a chain with the bytes that it
// should hold.
#ifndef MILLRACE_IO_BUF_CHAIN_TESTING_HH
#define MILLRACE_IO_BUF_CHAIN_TESTING_HH

#include <gtest/gtest.h>

#include <cstdlib>
#include <deque>
#include <iostream>
#include <random>
#include <string>
#include <vector>

#include "io/buf/chain.h"

namespace {

inline uint64_t Seed() {
    const char *text = getenv("MILLRACE_SEED");
    uint64_t seed = text != nullptr ? strtoull(text, nullptr, 10) : std::random_device()();
    std::cout << "MILLRACE_SEED=" << seed << std::endl;
    return seed;
}

inline mr_slice SliceOf(const std::string &text) {
    return mr_slice_of(text.data(), text.size());
}

inline std::vector<mr_iov> Iov(const mr_chain &chain, size_t iov_max) {
    std::vector<mr_iov> iov(iov_max);
    iov.resize(mr_chain_iov(&chain, iov.data(), iov_max));
    return iov;
}

inline std::vector<mr_iov> Iov(const mr_chain &chain) {
    size_t iov_max = 16;
    std::vector<mr_iov> iov = Iov(chain, iov_max);
    while (iov.size() == iov_max) {
        iov_max *= 2;
        iov = Iov(chain, iov_max);
    }
    return iov;
}

inline std::string Text(const std::vector<mr_iov> &iov) {
    std::string text;
    for (const mr_iov &piece : iov) {
        text.append(reinterpret_cast<const char *>(piece.base), piece.len);
    }
    return text;
}

inline std::string Text(const mr_chain &chain) {
    return Text(Iov(chain));
}

// How long the pieces are together if they are the beginning of `text`; else SIZE_MAX.
inline size_t EqualLength(const std::vector<mr_iov> &iov, const std::string &text) {
    size_t offset = 0;
    for (const mr_iov &piece : iov) {
        if (piece.len > text.size() - offset ||
            memcmp(text.data() + offset, piece.base, piece.len) != 0) {
            return SIZE_MAX;
        }
        offset += piece.len;
    }
    return offset;
}

// A pool that is entered while it exists, and that owns nothing at the end, or the test
// fails.
class Pool {
 public:
    explicit Pool(uint64_t bytes_max = 0) : entered_before_(mr_buf_pool_current) {
        mr_buf_pool_options options = {};
        options.bytes_max = bytes_max;
        options.cached_bytes_max = 1 << 20;
        EXPECT_EQ(MR_OK, mr_buf_pool_new(&pool_, &options));
        mr_buf_pool_enter(pool_);
    }
    Pool(const Pool &) = delete;
    Pool &operator=(const Pool &) = delete;

    ~Pool() {
        mr_buf_pool_enter(pool_);
        mr_buf_pool_collect(pool_);
        EXPECT_EQ(0u, stats().in_use_count);
        mr_buf_pool_free(pool_);
        mr_buf_pool_enter(entered_before_);
    }

    mr_buf_pool *get() const {
        return pool_;
    }

    mr_buf_stats stats() const {
        mr_buf_stats stats;
        mr_buf_pool_stats(pool_, &stats);
        return stats;
    }

    // A buffer with `bytes` bytes that differ from those of the one before.
    mr_buf *Filled(size_t bytes) {
        mr_buf *buf = mr_buf_new(pool_, bytes);
        if (buf != nullptr) {
            for (size_t i = 0; i < bytes; i++) {
                buf->data[i] = static_cast<uint8_t>(i * 7 + seed_);
            }
            seed_++;
        }
        return buf;
    }

    // A buffer of this pool whose only reference belongs to whoever enters another.
    mr_buf *FilledForOther(size_t bytes) {
        mr_buf_pool *current = mr_buf_pool_current;
        mr_buf_pool_enter(pool_);
        mr_buf *buf = Filled(bytes);
        mr_buf_ref_for_other(buf);
        mr_buf_unref(buf);
        mr_buf_pool_enter(current);
        mr_buf_adopt(buf);
        return buf;
    }

 private:
    mr_buf_pool *entered_before_;
    mr_buf_pool *pool_ = nullptr;
    size_t seed_ = 1;
};

inline mr_slice Part(const mr_buf *buf, size_t offset, size_t len) {
    return mr_slice_of(buf->data + offset, len);
}

inline std::string TextOf(mr_slice slice) {
    return std::string(reinterpret_cast<const char *>(slice.data), slice.len);
}

class Chain : public testing::Test {
 protected:
    void TearDown() override {
        mr_chain_clear(&chain_);
        EXPECT_EQ(0u, pool_.stats().in_use_count);
    }

    void Ref(mr_buf *buf, size_t offset, size_t len) {
        ASSERT_EQ(MR_OK, mr_chain_append_ref(&chain_, pool_.get(), buf, Part(buf, offset, len)));
        expected_ += TextOf(Part(buf, offset, len));
        Check();
    }

    // References a buffer of its own.
    void RefNew(size_t len) {
        mr_buf *buf = pool_.Filled(len);
        Ref(buf, 0, len);
        mr_buf_unref(buf);
    }

    void Copy(const std::string &text) {
        ASSERT_EQ(MR_OK, mr_chain_append_copy(&chain_, pool_.get(), SliceOf(text)));
        expected_ += text;
        Check();
    }

    void Encode(size_t reserved, const std::string &text) {
        uint8_t *room = mr_chain_reserve(&chain_, pool_.get(), reserved);
        ASSERT_NE(nullptr, room);
        memset(room, '?', reserved);
        memcpy(room, text.data(), text.size());
        mr_chain_commit(&chain_, text.size());
        expected_ += text;
        Check();
    }

    void Consume(size_t len) {
        mr_chain_consume(&chain_, len);
        expected_.erase(0, len);
        Check();
    }

    void Compact(uint64_t bytes_in_flight = 0) {
        mr_chain_compact(&chain_, pool_.get(), bytes_in_flight);
        Check();
    }

    void Check() {
        ASSERT_EQ(expected_.size(), mr_chain_bytes(&chain_));
        ASSERT_EQ(expected_.size(), EqualLength(Iov(chain_), expected_));
    }

    size_t EntryCount() {
        return Iov(chain_).size();
    }

    Pool pool_;
    mr_chain chain_ = {};
    std::string expected_;
};

}  // namespace

#endif  // MILLRACE_IO_BUF_CHAIN_TESTING_HH
