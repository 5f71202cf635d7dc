// A match of topic filter and topic name, section 4.7: for all valid ones up to a length, the
// answer is that of a walk over single characters, which knows nothing of levels.
#include "codec/topic.h"
#include "tests/proofs/proof.h"

// Up to five empty levels, or two with a character each; "/+/#" matches "/".
#define FILTER_BYTES_MAX 4
#define TOPIC_BYTES_MAX 3

// Wildcards fill a level [MQTT-4.7.1-1] [MQTT-4.7.1-2], and there is something [MQTT-4.7.3-1].
static bool filter_valid(struct mr_slice filter) {
    for (size_t i = 0; i < filter.len; i++) {
        uint8_t byte = filter.data[i];
        bool begins = i == 0 || filter.data[i - 1] == '/';
        bool last = i + 1 == filter.len;
        if (byte == '#' && !(begins && last)) {
            return false;
        }
        if (byte == '+' && !(begins && (last || filter.data[i + 1] == '/'))) {
            return false;
        }
    }
    return filter.len != 0;
}

static bool topic_valid(struct mr_slice topic) {
    for (size_t i = 0; i < topic.len; i++) {
        if (topic.data[i] == '+' || topic.data[i] == '#') {
            return false;
        }
    }
    return topic.len != 0;
}

// These stand for all: the code asks for no other, and else only whether two are the same.
static bool is_of_alphabet(struct mr_slice text) {
    for (size_t i = 0; i < text.len; i++) {
        uint8_t byte = text.data[i];
        if (byte != 'a' && byte != 'b' && byte != '/' && byte != '+' && byte != '#' &&
            byte != '$') {
            return false;
        }
    }
    return true;
}

static bool matches_naive(struct mr_slice filter, struct mr_slice topic) {
    if (topic.data[0] == '$' && (filter.data[0] == '+' || filter.data[0] == '#')) {
        return false;  // [MQTT-4.7.2-1]
    }
    size_t have = 0;
    for (size_t want = 0; want < filter.len; want++) {
        uint8_t byte = filter.data[want];
        if (byte == '#') {
            return true;
        }
        if (byte == '+') {
            while (have < topic.len && topic.data[have] != '/') {
                have++;
            }
        } else if (have < topic.len && topic.data[have] == byte) {
            have++;
        } else {
            // What '#' stands for includes the level before it: section 4.7.1.2.
            return have == topic.len && byte == '/' && want + 2 == filter.len &&
                   filter.data[want + 1] == '#';
        }
    }
    return have == topic.len;
}

int main(void) {
    struct mr_slice filter = any_slice(FILTER_BYTES_MAX);
    struct mr_slice topic = any_slice(TOPIC_BYTES_MAX);
    ASSUME(is_of_alphabet(filter) && is_of_alphabet(topic));
    ASSUME(filter_valid(filter) && topic_valid(topic));
    bool matches = mr_filter_matches(filter, topic);
    PROVE(matches == matches_naive(filter, topic));
    REACHES(matches && filter.len == FILTER_BYTES_MAX && topic.len == 1);
    REACHES(matches && filter.data[0] == '+' && topic.data[0] == '/');
    REACHES(!matches && filter.data[0] == '#');
    REACHES(!matches && filter.len == topic.len && filter.data[0] == topic.data[0]);
    return 0;
}
