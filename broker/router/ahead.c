// A look at the packets further on in a receive buffer. Publishers with many topics miss the
// processor's cache with each of them: where those of the next packets lie in the topic cache is
// asked for all at once, while there is something else to do.
#include <assert.h>

#include "broker/limits.h"
#include "broker/router/internal.h"

static_assert(MR_TOPIC_LOOKAHEAD_CEILING <= MR_TOPIC_CACHE_PREFETCH_MAX, "what can be asked for");

void mr_router_look_ahead_slow(struct mr_router *router, struct mr_slice topic,
                               struct mr_slice rest) {
    uint32_t max = router->shared->config->topic_lookahead;
    if (max == 0 || !mr_topic_cache_is_large(router->cache)) {
        router->ahead_end = rest.data + rest.len;
        return;
    }
    struct mr_slice topics[MR_TOPIC_CACHE_PREFETCH_MAX];
    uint32_t count = 0;
    size_t len;
    while (count < max && mr_run_peek(rest, &topics[count], &len)) {
        // Always the same topic: nothing to be gained.
        if (count == 0 && mr_slice_eq(topic, topics[0])) {
            return;
        }
        rest = mr_slice_of(rest.data + len, rest.len - len);
        count++;
    }
    router->ahead_end = rest.data;
    mr_topic_cache_prefetch(router->cache, topics, count);
}
