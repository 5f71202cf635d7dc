// Support for the tests of the retained store: messages, and random topic names and
// filters that often have to do with each other.
//
// Threads: as the functions that it calls.
#ifndef MILLRACE_BROKER_RETAINED_TESTING_HH
#define MILLRACE_BROKER_RETAINED_TESTING_HH

#include <cstdint>
#include <cstdlib>
#include <iostream>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "broker/message/message.h"

namespace mr_testing {

inline uint64_t Seed() {
    const char *text = getenv("MILLRACE_SEED");
    uint64_t seed = text != nullptr ? strtoull(text, nullptr, 10) : std::random_device()();
    std::cout << "MILLRACE_SEED=" << seed << std::endl;
    return seed;
}

inline mr_slice Slice(std::string_view text) {
    return mr_slice_of(text.data(), text.size());
}

inline std::string String(mr_slice slice) {
    return std::string(reinterpret_cast<const char *>(slice.data), slice.len);
}

// The handle of some client; the broker's own messages have 0.
constexpr uint32_t kPublisher = 1;

// Returns owned; NULL if out of memory.
inline mr_message *NewMessage(mr_buf_pool *pool, std::string_view topic, std::string_view payload,
                              uint64_t expires_ms = 0, uint32_t publisher = kPublisher) {
    mr_publish packet = {};
    packet.topic = Slice(topic);
    packet.payload = Slice(payload);
    packet.retain = true;
    return mr_message_new(pool, &packet, publisher, expires_ms);
}

// Few and short levels, so that topic names share them; with bytes that sort on both
// sides of '/', empty levels, and '$' in the first level.
class Topics {
 public:
    explicit Topics(uint64_t seed) : random_(seed) {
    }

    uint32_t Below(uint32_t bound) {
        return std::uniform_int_distribution<uint32_t>(0, bound - 1)(random_);
    }

    std::string Level() {
        static const char *const kLevels[] = {"",  "a", "b",  "a!", "a0", "a.", "!",
                                              "0", "~", "aa", "ab", "$",  "$a", "\xc3\xa4"};
        return kLevels[Below(sizeof(kLevels) / sizeof(kLevels[0]))];
    }

    std::string Topic() {
        std::string topic = Level();
        for (uint32_t i = Below(5); i > 0; i--) {
            topic += "/" + Level();
        }
        return topic.empty() ? "a" : topic;
    }

    std::string Filter() {
        std::string filter;
        for (uint32_t i = Below(5) + 1; i > 0; i--) {
            uint32_t kind = Below(6);
            if (kind == 0) {
                return filter + "#";
            }
            filter += kind <= 2 ? "+" : Level();
            filter += i > 1 ? "/" : "";
        }
        return filter.empty() ? "+" : filter;
    }

    std::mt19937_64 &random() {
        return random_;
    }

 private:
    std::mt19937_64 random_;
};

}  // namespace mr_testing

#endif  // MILLRACE_BROKER_RETAINED_TESTING_HH
