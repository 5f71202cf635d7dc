// Internal. Where in the order of all topic names can a filter still match?
//
// Topic names are ordered by their bytes. Given a topic name and a filter, this says
// whether they match and, whether or not, from which place on the next match can
// come: so a search seeks from one possible match to the next and skips everything
// between. `a/b/#` becomes one range, `a/+/c` two seeks for each level that '+' can be.
// Both are one loop over levels: no recursion, no memory, however deep the topics.
//
// Threads: pure functions, any thread.
#ifndef MILLRACE_BROKER_RETAINED_BOUND_H
#define MILLRACE_BROKER_RETAINED_BOUND_H

#include "base/base.h"

#ifdef __cplusplus
extern "C" {
#endif

// A place in the order: the text `head` `tail`, in two pieces so that nobody has to
// join them. The slices point into the topic name, the filter or constants.
struct mr_topic_bound {
    struct mr_slice head;
    struct mr_slice tail;
    bool above;  // Right behind that text, else right before it.
};

static inline struct mr_topic_bound mr_topic_bound_of(struct mr_slice topic, bool above) {
    struct mr_topic_bound bound = {topic, {NULL, 0}, above};
    return bound;
}

// Compares the bound's text with `topic`: negative, 0 or positive, as memcmp.
int mr_topic_bound_compare(const struct mr_topic_bound *bound, struct mr_slice topic);

struct mr_topic_step {
    bool matches;  // Does the filter match this topic name?
    bool more;     // May it match one behind it? Then none that lies before `next`.
    struct mr_topic_bound next;
};

// The place before which the valid filter `filter` matches nothing.
struct mr_topic_bound mr_topic_bound_first(struct mr_slice filter);

// Looks at one topic name; both valid. What `out->next` points to lives as long as they.
// If `next.above` is set, it is `topic` itself.
void mr_topic_step_at(struct mr_topic_step *out, struct mr_slice filter, struct mr_slice topic);

#ifdef __cplusplus
}  // extern "C"
#endif

#endif  // MILLRACE_BROKER_RETAINED_BOUND_H
