// Topic names and topic filters: validity, and the definition of a match (which the trie
// replaces where there are many).
#include <string>

#include "bench/micro/micro.hh"
#include "codec/topic.h"

namespace {

using micro::Loop;

void NameValid(benchmark::State &state, const char *topic, bool expected) {
    struct mr_slice slice = mr_slice_str(topic);
    int64_t found = 0;
    Loop loop(state);
    for (auto _ : loop) {
        benchmark::DoNotOptimize(slice);
        found += mr_topic_name_valid(slice) == expected;
    }
    loop.Expect(found == loop.Count(), "topic name");
}

void FilterParse(benchmark::State &state, const char *text, enum mr_filter_kind expected) {
    struct mr_slice slice = mr_slice_str(text);
    struct mr_filter filter;
    int64_t found = 0;
    Loop loop(state);
    for (auto _ : loop) {
        benchmark::DoNotOptimize(slice);
        mr_filter_parse(slice, true, &filter);
        found += filter.kind == expected;
    }
    loop.Expect(found == loop.Count(), "filter");
}

using Relation = bool (*)(struct mr_slice, struct mr_slice);

void Related(benchmark::State &state, Relation related, const char *filter, const char *other,
             bool expected) {
    struct mr_slice a = mr_slice_str(filter);
    struct mr_slice b = mr_slice_str(other);
    int64_t found = 0;
    Loop loop(state);
    for (auto _ : loop) {
        benchmark::DoNotOptimize(a);
        found += related(a, b) == expected;
    }
    loop.Expect(found == loop.Count(), "match");
}

BENCHMARK_CAPTURE(NameValid, good, "building/12/sensor/7", true);
BENCHMARK_CAPTURE(NameValid, wildcard, "building/12/sensor/+", false);
BENCHMARK_CAPTURE(FilterParse, exact, "building/12/sensor/7", MR_FILTER_EXACT);
BENCHMARK_CAPTURE(FilterParse, plus, "building/+/sensor/+/co2", MR_FILTER_WILDCARD);
BENCHMARK_CAPTURE(FilterParse, hash, "building/12/#", MR_FILTER_WILDCARD);
BENCHMARK_CAPTURE(FilterParse, shared, "$share/group/building/12/#", MR_FILTER_WILDCARD);
BENCHMARK_CAPTURE(FilterParse, bad, "building/12/sen+sor", MR_FILTER_INVALID);
BENCHMARK_CAPTURE(Related, matches_exact, mr_filter_matches, "building/12/sensor/7",
                  "building/12/sensor/7", true);
BENCHMARK_CAPTURE(Related, matches_plus, mr_filter_matches, "building/+/sensor/+",
                  "building/12/sensor/7", true);
BENCHMARK_CAPTURE(Related, matches_hash, mr_filter_matches, "building/#", "building/12/sensor/7",
                  true);
BENCHMARK_CAPTURE(Related, matches_not, mr_filter_matches, "building/+/sensor/8",
                  "building/12/sensor/7", false);
BENCHMARK_CAPTURE(Related, covers, mr_filter_covers, "building/#", "building/+/sensor/7", true);

}  // namespace
