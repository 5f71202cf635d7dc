// Is it UTF-8 as MQTT wants it? By length and by what the text is made of.
//
//   bazel run //bench:utf8_bench -- --benchmark_filter=String
#include <string>
#include <vector>

#include "bench/micro/micro.hh"
#include "codec/utf8.h"

namespace {

using micro::Check;
using micro::Loop;
using micro::Slice;

struct Text {
    const char *name;
    std::vector<std::string> parts;  // Repeated until it is long enough.
};

const Text kTexts[] = {
    {"ascii", {"building/"}},
    {"german", {"geb\xc3\xa4ude/", "f\xc3\xbchler/"}},
    {"two_bytes", {"\xd0\xb4", "\xce\xa9"}},
    {"three_bytes", {"\xe6\xb8\xa9", "\xe5\xba\xa6"}},
    {"four_bytes", {"\xf0\x9f\x98\x80", "\xf0\xaa\x9b\x94"}},
    {"mixed", {"a", "\xc3\xa4", "\xe6\xb8\xa9", "/", "\xf0\x9f\x98\x80", "room"}},
};

// `bytes` long or a little less, so that it ends with a whole character.
std::string Make(const Text &text, size_t bytes) {
    std::string made;
    for (size_t i = 0; made.size() + text.parts[i % text.parts.size()].size() <= bytes; i++) {
        made += text.parts[i % text.parts.size()];
    }
    while (made.size() < bytes) {
        made += 'x';
    }
    return made;
}

void Valid(benchmark::State &state, bool (*valid)(struct mr_slice), const Text &text,
           size_t bytes) {
    std::string made = Make(text, bytes);
    struct mr_slice slice = Slice(made);
    int64_t found = 0;
    Loop loop(state);
    for (auto _ : loop) {
        benchmark::DoNotOptimize(slice);
        found += valid(slice);
    }
    loop.Bytes(static_cast<int64_t>(bytes));
    loop.Expect(found == loop.Count(), "valid");
    // And it looked at the last byte.
    made.back() = '\xc3';
    loop.Expect(!valid(Slice(made)), "invalid");
}

const bool registered = [] {
    struct {
        const char *name;
        bool (*valid)(struct mr_slice);
        std::vector<size_t> bytes;
    } kinds[] = {
        {"TopicName", mr_utf8_valid_topic_name, {4, 9, 20, 60, 200, 60000}},
        {"String", mr_utf8_valid, {20, 60, 60000}},
        {"Payload", mr_utf8_valid_payload, {200, 1 << 20}},
    };
    for (const auto &kind : kinds) {
        for (const Text &text : kTexts) {
            for (size_t bytes : kind.bytes) {
                std::string name =
                    std::string(kind.name) + "/" + text.name + "/" + std::to_string(bytes);
                benchmark::RegisterBenchmark(name.c_str(), Valid, kind.valid, text, bytes);
            }
        }
    }
    return true;
}();

}  // namespace
