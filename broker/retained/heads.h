// Internal. The first bytes in which the keys of a node differ, side by side.
//
// The keys of a node are in order, and neighbours have much in common: what they all
// begin with is left out, and of the rest four bytes are kept next to each other. So a
// search in a node reads one or two keys, which lie all over the memory, instead of five.
//
// Threads: under the store's lock.
#ifndef MILLRACE_BROKER_RETAINED_HEADS_H
#define MILLRACE_BROKER_RETAINED_HEADS_H

#include "base/base.h"
#include "broker/retained/bound.h"

#ifdef __cplusplus
extern "C" {
#endif

#define MR_HEADS_MAX 32u

struct mr_heads {
    uint32_t prefix_len;  // Bytes that all keys of the node begin with; perhaps not all such.
    uint32_t values[MR_HEADS_MAX];
};

static inline uint32_t mr_heads_common_len(struct mr_slice a, struct mr_slice b) {
    uint32_t len = 0;
    while (len < a.len && len < b.len && a.data[len] == b.data[len]) {
        len++;
    }
    return len;
}

// The four bytes of `key` from `from` on, so that they compare as the keys do. What is
// missing counts as 0: then keys that differ may have one head, but never the wrong order.
static inline uint32_t mr_heads_value(struct mr_slice key, size_t from) {
    uint32_t value = 0;
    for (size_t i = from; i < from + 4; i++) {
        value = value << 8 | (i < key.len ? key.data[i] : 0u);
    }
    return value;
}

// Narrows the `count` keys of a node, of which `first` is the first one, down to those
// from `*low_out` to before `*high_out`: what lies before them lies before `bound`, what lies
// behind them behind it. Only they have to be compared.
void mr_heads_narrow(const struct mr_heads *heads, uint32_t count, struct mr_slice first,
                     const struct mr_topic_bound *bound, uint32_t *low_out, uint32_t *high_out);

#ifdef __cplusplus
}  // extern "C"
#endif

#endif  // MILLRACE_BROKER_RETAINED_HEADS_H
