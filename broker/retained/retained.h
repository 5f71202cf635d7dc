// The retained messages: the last one of each topic name, found by topic filter.
//
// Kept in the order of the topic names, and a match jumps from one name that is possible to the
// next, so that a subscription costs what it matches and not what is stored: O(log n) for each
// match and for each level value that '+' has to try. One store for all workers. MQTT 5.0
// section 3.3.1.3, [MQTT-3.3.1-5] to [MQTT-3.3.1-8].
//
// The store holds references to messages as another thread would (io/buf/buf.h): it may
// outlive the turn of the worker that put them in, not the worker's buffer pool.
//
// Threads: any thread, whether or not it has entered a buffer pool; a lock inside, held for
// O(log n) by a change and for a bounded number of topic names by a match. Callbacks run
// without it and may use the store.
#ifndef MILLRACE_BROKER_RETAINED_RETAINED_H
#define MILLRACE_BROKER_RETAINED_RETAINED_H

#include "base/base.h"
#include "broker/message/message.h"

#ifdef __cplusplus
extern "C" {
#endif

struct mr_retained;

struct mr_retained_options {
    // Limits of what clients store; the broker's own messages (publisher 0) don't count.
    uint64_t messages_max;  // 0: no limit.
    uint64_t bytes_max;     // Of mr_message_bytes() in all; 0: no limit.
};

struct mr_retained_stats {
    uint64_t message_count;
    uint64_t message_bytes;   // Topic names, properties and payloads.
    uint64_t buffer_bytes;    // The buffers that hold them, all included.
    uint64_t overhead_bytes;  // What the index takes beyond the buffers; sources included.
    uint64_t refused_count;   // Limits and memory.
    uint64_t expired_count;
};

// Errors: MR_ERR_NOMEM.
MR_NODISCARD enum mr_err mr_retained_new(struct mr_retained **out,
                                         const struct mr_retained_options *options);
// Releases all messages, whose pools are still there. NULL is allowed.
void mr_retained_free(struct mr_retained *store);
void mr_retained_stats(struct mr_retained *store, struct mr_retained_stats *out);

// Stores `message` (takes a reference of its own) in place of the one with the same topic name.
// `source` (may be empty) identifies who published it, for mr_retained_sweep(): copied.
// Errors: MR_ERR_LIMIT, MR_ERR_NOMEM, and MR_ERR_INVALID for a message without payload
// [MQTT-3.3.1-7] or topic name; then the old message stays.
MR_NODISCARD enum mr_err mr_retained_set(struct mr_retained *store, struct mr_message *message,
                                         struct mr_slice source);
// Forgets the topic's message, if there is one. Returns whether there was.
bool mr_retained_remove(struct mr_retained *store, struct mr_slice topic);

// A match that may be taken up again, so that neither lock nor memory grow with what is
// stored. Zero it before the first call.
struct mr_retained_cursor {
    bool done;
    // Private: the topic name that was looked at last, malloc'ed.
    uint8_t *after;
    uint32_t after_len;
};
void mr_retained_cursor_fini(struct mr_retained_cursor *cursor);

// Reports up to `count_max` messages (at most 64) whose topic name matches the valid filter,
// in the order of the names' bytes, each with `fn(ctx, message)`: borrowed for the call,
// mr_message_ref() keeps it. It may report fewer or none before it is done: only
// `cursor->done` says that nothing is left. `filter` has to be the same in all calls.
// Expired messages are left out (and removed in time). What is stored or removed between two
// calls with the same cursor may or may not be reported; everything else exactly once.
// Errors: MR_ERR_NOMEM (the cursor is where it was).
MR_NODISCARD enum mr_err mr_retained_match(struct mr_retained *store, struct mr_slice filter,
                                           uint64_t now_ms, uint32_t count_max,
                                           struct mr_retained_cursor *cursor,
                                           void (*fn)(void *ctx, struct mr_message *message),
                                           void *ctx);

// Housekeeping: looks at up to `count_max` messages, going on where the last call ended, and
// removes those that have expired and those for which `keep` (may be NULL) says false, unless
// they were replaced meanwhile. Returns whether it came around to the beginning.
bool mr_retained_sweep(struct mr_retained *store, uint64_t now_ms, uint32_t count_max,
                       bool (*keep)(void *ctx, const struct mr_message *message,
                                    struct mr_slice source),
                       void *ctx);
// Lets the next sweep begin at the beginning: before the first with another `keep`, so that its
// coming around means that it has judged everything.
void mr_retained_sweep_rewind(struct mr_retained *store);

#ifdef __cplusplus
}  // extern "C"
#endif

#endif  // MILLRACE_BROKER_RETAINED_RETAINED_H
