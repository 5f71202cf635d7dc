// What a lookup costs without the rest of a broker: ns for each kind, as JSON.
//
//   lookup_time TOPICS LOOKUPS
//
// Filters and topics are as in bench/load's wildcard load: half of the filters without
// wildcard, a quarter each with + and #, one of them matches each topic, and topics come by
// Zipf's law. Each lookup is checked.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "bench/stages/stages.h"

#define TOPIC_BYTES 32u
#define TOPICS_MAX 1000000ul
#define DRAWS (1u << 16)
#define LOOKUPS_MAX 1000000000ul

static void write_topic(char *out, uint32_t number, const char *last) {
    snprintf(out, TOPIC_BYTES, "load/0/%03u/%03u/%s", number / 1000, number % 1000, last);
}

static bool fill(struct lookup *lookup, uint32_t topics) {
    static const char *const last[] = {"v", "v", "+", "#"};
    char filter[TOPIC_BYTES];
    for (uint32_t i = 0; i < topics; i++) {
        write_topic(filter, i, last[i % 4]);
        if (lookup_insert(lookup, mr_slice_str(filter), 1 + i % 1000, 0) == NULL) {
            return false;
        }
    }
    return true;
}

// Inverts the sum of 1/rank by its logarithm: near enough to Zipf's law.
static uint32_t draw(uint32_t topics, uint64_t *state) {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    double share = (double)(*state >> 11) / (double)(1ull << 53);
    uint32_t rank = (uint32_t)pow(topics, share) - 1;
    return (uint32_t)((uint64_t)rank * 1000003u % topics);
}

static double now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

// ns for a lookup; negative if one was wrong.
static double measure(enum lookup_kind kind, uint32_t topics, uint32_t lookups, char *names,
                      const uint32_t *draws) {
    struct lookup *lookup = lookup_new(kind);
    struct reader *reader = lookup != NULL ? reader_new(lookup, 0) : NULL;
    if (reader == NULL || !fill(lookup, topics)) {
        return -1;
    }
    bool right = true;
    double begin = 0;
    // The first round warms up.
    for (uint32_t i = 0; i < lookups + DRAWS; i++) {
        if (i == DRAWS) {
            begin = now_ns();
        }
        const char *name = names + (size_t)(i % DRAWS) * TOPIC_BYTES;
        const struct targets *targets = reader_find(reader, mr_slice_str(name));
        right = right && targets->count == 1 &&
                targets->list[0].subscriber == 1 + draws[i % DRAWS] % 1000;
    }
    double took = now_ns() - begin;
    reader_rest(reader);
    return right ? took / lookups : -1;
}

int main(int argc, char *argv[]) {
    unsigned long topics = argc == 3 ? strtoul(argv[1], NULL, 10) : 0;
    unsigned long lookups = argc == 3 ? strtoul(argv[2], NULL, 10) : 0;
    static char names[DRAWS * TOPIC_BYTES];
    static uint32_t draws[DRAWS];
    if (topics == 0 || topics > TOPICS_MAX || lookups == 0 || lookups > LOOKUPS_MAX) {
        fprintf(stderr, "usage: lookup_time TOPICS LOOKUPS\n");
        return EXIT_FAILURE;
    }
    uint64_t state = 88172645463325252u;
    for (uint32_t i = 0; i < DRAWS; i++) {
        draws[i] = draw((uint32_t)topics, &state);
        write_topic(names + (size_t)i * TOPIC_BYTES, draws[i], "v");
    }
    double ns[3];
    bool right = true;
    for (int kind = LOOKUP_WALK; kind <= LOOKUP_CACHE; kind++) {
        ns[kind] =
            measure((enum lookup_kind)kind, (uint32_t)topics, (uint32_t)lookups, names, draws);
        right = right && ns[kind] >= 0;
    }
    printf("{\"walk\": %.1f, \"trie\": %.1f, \"cache\": %.1f}\n", ns[0], ns[1], ns[2]);
    return right ? EXIT_SUCCESS : EXIT_FAILURE;
}
