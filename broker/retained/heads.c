#include "broker/retained/heads.h"

// Compares as much of the bound's text as `prefix` has with `prefix`. A shorter text that
// `prefix` begins with comes first.
static int compare_prefix(const struct mr_topic_bound *bound, struct mr_slice prefix) {
    size_t head_len = bound->head.len < prefix.len ? bound->head.len : prefix.len;
    int order = head_len > 0 ? memcmp(bound->head.data, prefix.data, head_len) : 0;
    size_t rest_len = prefix.len - head_len;
    if (order != 0 || rest_len == 0) {
        return order;
    }
    size_t tail_len = bound->tail.len < rest_len ? bound->tail.len : rest_len;
    order = tail_len > 0 ? memcmp(bound->tail.data, prefix.data + head_len, tail_len) : 0;
    return order != 0 || tail_len == rest_len ? order : -1;
}

static uint32_t bound_value(const struct mr_topic_bound *bound, size_t from) {
    uint32_t value = 0;
    for (size_t i = from; i < from + 4; i++) {
        uint32_t byte = 0;
        if (i < bound->head.len) {
            byte = bound->head.data[i];
        } else if (i - bound->head.len < bound->tail.len) {
            byte = bound->tail.data[i - bound->head.len];
        }
        value = value << 8 | byte;
    }
    return value;
}

void mr_heads_narrow(const struct mr_heads *heads, uint32_t count, struct mr_slice first,
                     const struct mr_topic_bound *bound, uint32_t *low_out, uint32_t *high_out) {
    int order = compare_prefix(bound, mr_slice_of(first.data, heads->prefix_len));
    if (order != 0) {
        *low_out = *high_out = order < 0 ? 0 : count;
        return;
    }
    uint32_t value = bound_value(bound, heads->prefix_len);
    // At most 32 numbers in two cache lines: the compiler makes this a few vector
    // instructions.
    uint32_t below = 0;
    uint32_t not_above = 0;
    for (uint32_t i = 0; i < count; i++) {
        below += heads->values[i] < value ? 1 : 0;
        not_above += heads->values[i] <= value ? 1 : 0;
    }
    *low_out = below;
    *high_out = not_above;
}
