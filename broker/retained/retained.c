#include "broker/retained/retained.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "broker/retained/internal.h"
#include "broker/retained/tree.h"

// Messages that one call takes out from under the lock. Callbacks run without it, so they may
// take their time and use the store.
#define BATCH_MAX 64u
// What one match may look at before it returns, in bytes of topic names and a fixed cost for
// each: some hundred short topic names, and at least one long one.
#define VISIT_COST 64u
#define VISITS_COST_MAX (64u * 1024u)

// One tree under one mutex. A change costs a descent, a match is cut in pieces; a lock for
// readers and writers would cost more than it saves, and let readers starve the writers.
struct mr_retained {
    pthread_mutex_t lock;
    struct mr_retained_options options;
    struct mr_retained_memory memory;
    struct mr_retained_tree tree;
    struct mr_retained_stats stats;
    uint64_t own_count;  // Of the broker's own messages.
    uint64_t own_bytes;
    // The topic name that the last sweep ended with; empty: at the beginning.
    uint8_t *swept;
    size_t swept_len;
};

enum mr_err mr_retained_new(struct mr_retained **out, const struct mr_retained_options *options) {
    struct mr_retained *store = calloc(1, sizeof(*store));
    if (store == NULL) {
        return MR_ERR_NOMEM;
    }
    if (pthread_mutex_init(&store->lock, NULL) != 0) {
        free(store);
        return MR_ERR_NOMEM;
    }
    store->options = *options;
    store->memory.allocations_left = MR_RETAINED_ALLOCATIONS_UNLIMITED;
    mr_retained_tree_init(&store->tree, &store->memory);
    *out = store;
    return MR_OK;
}

struct mr_retained_memory *mr_retained_memory_of(struct mr_retained *store) {
    return &store->memory;
}

struct mr_retained_tree *mr_retained_tree_of(struct mr_retained *store) {
    return &store->tree;
}

// The locks can't fail: the mutex is an ordinary one and never locked twice by a thread.
static void lock(struct mr_retained *store) {
    int error = pthread_mutex_lock(&store->lock);
    MR_ASSERT(error == 0);
}

static void unlock(struct mr_retained *store) {
    int error = pthread_mutex_unlock(&store->lock);
    MR_ASSERT(error == 0);
}

// ------------------------------------------------------------------- references

// The store's own reference, which some thread took for whoever releases it.
static void stored_unref(struct mr_message *message) {
    mr_buf_adopt(message->buf);
    mr_message_unref(message);
}

static size_t source_bytes(size_t len) {
    return sizeof(struct mr_retained_source) + len;
}

static bool source_is(const struct mr_retained_source *source, struct mr_slice text) {
    return source == NULL ? text.len == 0
                          : mr_slice_eq(mr_slice_of(source->bytes, source->len), text);
}

static struct mr_slice source_text(const struct mr_retained_source *source) {
    return source == NULL ? mr_slice_of(NULL, 0) : mr_slice_of(source->bytes, source->len);
}

static struct mr_retained_source *source_ref(struct mr_retained_source *source) {
    if (source != NULL) {
        source->refs++;
    }
    return source;
}

// NULL is allowed. Under the lock.
static void source_unref(struct mr_retained *store, struct mr_retained_source *source) {
    if (source != NULL && --source->refs == 0) {
        mr_retained_memory_free(&store->memory, source, source_bytes(source->len));
    }
}

// A reference to a source with that text: one of the neighbours', if it is the same, since a
// client's topics are often near each other in the order. NULL if it is empty.
static enum mr_err source_get(struct mr_retained *store, struct mr_slice text,
                              struct mr_retained_entry *neighbors[2],
                              struct mr_retained_source **out) {
    for (int i = 0; i < 2; i++) {
        if (neighbors[i] != NULL && source_is(neighbors[i]->source, text)) {
            *out = source_ref(neighbors[i]->source);
            return MR_OK;
        }
    }
    if (text.len == 0) {
        *out = NULL;
        return MR_OK;
    }
    if (text.len > UINT32_MAX) {
        return MR_ERR_LIMIT;
    }
    struct mr_retained_source *source =
        mr_retained_memory_alloc(&store->memory, source_bytes(text.len));
    if (source == NULL) {
        return MR_ERR_NOMEM;
    }
    source->refs = 1;
    source->len = (uint32_t)text.len;
    memcpy(source->bytes, text.data, text.len);
    *out = source;
    return MR_OK;
}

// ---------------------------------------------------------------------- changes

// The buffer is one block: a header, rounded up to 16, and the data.
static uint64_t buffer_bytes(const struct mr_message *message) {
    return mr_retained_memory_cost(((sizeof(*message->buf) + 15) & ~(size_t)15) +
                                   message->buf->capacity);
}

// The broker's own messages ($SYS) have no publisher, and no share in the limits of others.
static bool is_own(const struct mr_message *message) {
    return message->publisher == 0;
}

static void count_in(struct mr_retained *store, const struct mr_message *message) {
    if (is_own(message)) {
        store->own_count++;
        store->own_bytes += mr_message_bytes(message);
    }
    store->stats.message_count++;
    store->stats.message_bytes += mr_message_bytes(message);
    store->stats.buffer_bytes += buffer_bytes(message);
}

static void count_out(struct mr_retained *store, const struct mr_message *message) {
    if (is_own(message)) {
        store->own_count--;
        store->own_bytes -= mr_message_bytes(message);
    }
    store->stats.message_count--;
    store->stats.message_bytes -= mr_message_bytes(message);
    store->stats.buffer_bytes -= buffer_bytes(message);
}

// Is there room for `message` in place of `old` (NULL: in addition)?
static bool limits_allow(const struct mr_retained *store, const struct mr_message *message,
                         const struct mr_message *old) {
    if (is_own(message)) {
        return true;
    }
    bool counted = old != NULL && !is_own(old);
    uint64_t count_max = store->options.messages_max;
    uint64_t count = store->stats.message_count - store->own_count - (counted ? 1 : 0);
    if (count_max != 0 && count >= count_max) {
        return false;
    }
    uint64_t bytes_max = store->options.bytes_max;
    uint64_t bytes = mr_message_bytes(message);
    uint64_t others =
        store->stats.message_bytes - store->own_bytes - (counted ? mr_message_bytes(old) : 0);
    return bytes_max == 0 || (bytes <= bytes_max && others <= bytes_max - bytes);
}

static enum mr_err replace(struct mr_retained *store, struct mr_retained_entry *entry,
                           struct mr_message *message, struct mr_slice source) {
    if (!limits_allow(store, message, entry->message)) {
        return MR_ERR_LIMIT;
    }
    if (!source_is(entry->source, source)) {
        struct mr_retained_entry *none[2] = {NULL, NULL};
        struct mr_retained_source *new_source;
        MR_TRY(source_get(store, source, none, &new_source));
        source_unref(store, entry->source);
        entry->source = new_source;
    }
    count_out(store, entry->message);
    count_in(store, message);
    entry->message = message;
    return MR_OK;
}

static enum mr_err add(struct mr_retained *store, struct mr_retained_entry *neighbors[2],
                       struct mr_message *message, struct mr_slice source) {
    if (!limits_allow(store, message, NULL)) {
        return MR_ERR_LIMIT;
    }
    struct mr_retained_entry entry = {message, NULL};
    MR_TRY(source_get(store, source, neighbors, &entry.source));
    enum mr_err err = mr_retained_tree_insert(&store->tree, &entry);
    if (err != MR_OK) {
        source_unref(store, entry.source);
        return err;
    }
    count_in(store, message);
    return MR_OK;
}

enum mr_err mr_retained_set(struct mr_retained *store, struct mr_message *message,
                            struct mr_slice source) {
    struct mr_slice topic = mr_message_topic(message);
    if (topic.len == 0 || message->payload_len == 0) {
        return MR_ERR_INVALID;
    }
    struct mr_retained_entry *neighbors[2];
    struct mr_message *old = NULL;
    enum mr_err err;
    lock(store);
    struct mr_retained_entry *entry = mr_retained_tree_find(&store->tree, topic, neighbors);
    if (entry != NULL) {
        old = entry->message;
        err = replace(store, entry, message, source);
    } else {
        err = add(store, neighbors, message, source);
    }
    if (err == MR_OK) {
        mr_buf_ref_for_other(message->buf);
    } else {
        store->stats.refused_count++;
    }
    unlock(store);
    if (err == MR_OK && old != NULL) {
        stored_unref(old);
    }
    return err;
}

// Takes the topic's entry out, under the lock. The caller releases the message.
static struct mr_message *take_out(struct mr_retained *store, struct mr_slice topic) {
    struct mr_retained_entry entry;
    if (!mr_retained_tree_remove(&store->tree, topic, &entry)) {
        return NULL;
    }
    count_out(store, entry.message);
    source_unref(store, entry.source);
    return entry.message;
}

bool mr_retained_remove(struct mr_retained *store, struct mr_slice topic) {
    lock(store);
    struct mr_message *message = take_out(store, topic);
    unlock(store);
    if (message == NULL) {
        return false;
    }
    stored_unref(message);
    return true;
}

void mr_retained_free(struct mr_retained *store) {
    if (store == NULL) {
        return;
    }
    struct mr_topic_bound first = mr_topic_bound_of(mr_slice_of(NULL, 0), false);
    struct mr_retained_place place;
    mr_retained_tree_seek(&store->tree, &first, &place);
    for (; place.leaf != NULL; mr_retained_place_next(&place)) {
        // Going on needs no topic names, so the messages may be gone.
        struct mr_retained_entry *entry = mr_retained_place_entry(&place);
        source_unref(store, entry->source);
        stored_unref(entry->message);
    }
    mr_retained_tree_fini(&store->tree);
    MR_ASSERT(store->memory.bytes == 0);
    free(store->swept);
    pthread_mutex_destroy(&store->lock);
    free(store);
}

void mr_retained_stats(struct mr_retained *store, struct mr_retained_stats *out) {
    lock(store);
    *out = store->stats;
    out->overhead_bytes = store->memory.bytes;
    unlock(store);
}

// ------------------------------------------------------------------------ match

// What a match found: pinned, so that the lock may go.
struct found {
    struct mr_message *messages[BATCH_MAX];
    uint32_t count;
    // The last one that was looked at; NULL if there is nothing behind it to look at.
    struct mr_message *last;
};

static void found_collect(struct mr_retained *store, struct found *found, struct mr_slice filter,
                          struct mr_topic_bound bound, uint64_t now_ms, uint32_t count_max) {
    struct mr_retained_place place;
    mr_retained_tree_seek(&store->tree, &bound, &place);
    size_t cost = 0;
    while (place.leaf != NULL) {
        struct mr_message *message = mr_retained_place_entry(&place)->message;
        struct mr_slice topic = mr_message_topic(message);
        struct mr_topic_step step;
        mr_topic_step_at(&step, filter, topic);
        if (step.matches && !mr_message_expired(message, now_ms)) {
            found->messages[found->count++] = mr_message_ref(message);
        }
        if (!step.more) {
            return;
        }
        cost += VISIT_COST + topic.len;
        if (found->count == count_max || cost > VISITS_COST_MAX) {
            found->last = mr_message_ref(message);
            return;
        }
        if (step.next.above) {
            mr_retained_place_next(&place);
        } else {
            mr_retained_tree_seek_forward(&store->tree, &step.next, &place);
        }
    }
}

// Moves the cursor to `topic`. Errors: MR_ERR_NOMEM; then it stays.
static enum mr_err cursor_move(struct mr_retained_cursor *cursor, struct mr_slice topic) {
    uint8_t *after = realloc(cursor->after, topic.len);
    if (after == NULL) {
        return MR_ERR_NOMEM;
    }
    memcpy(after, topic.data, topic.len);
    cursor->after = after;
    cursor->after_len = (uint32_t)topic.len;
    return MR_OK;
}

void mr_retained_cursor_fini(struct mr_retained_cursor *cursor) {
    free(cursor->after);
    cursor->after = NULL;
    cursor->after_len = 0;
}

// Where the match has to go on. False if nothing can be left.
static bool cursor_bound(const struct mr_retained_cursor *cursor, struct mr_slice filter,
                         struct mr_topic_bound *out) {
    if (cursor->after == NULL) {
        *out = mr_topic_bound_first(filter);
        return true;
    }
    struct mr_topic_step step;
    mr_topic_step_at(&step, filter, mr_slice_of(cursor->after, cursor->after_len));
    *out = step.next;
    return step.more;
}

enum mr_err mr_retained_match(struct mr_retained *store, struct mr_slice filter, uint64_t now_ms,
                              uint32_t count_max, struct mr_retained_cursor *cursor,
                              void (*fn)(void *ctx, struct mr_message *message), void *ctx) {
    if (cursor->done || count_max == 0) {
        return MR_OK;
    }
    struct found found;
    found.count = 0;
    found.last = NULL;
    struct mr_topic_bound bound;
    if (filter.len > 0 && cursor_bound(cursor, filter, &bound)) {
        lock(store);
        found_collect(store, &found, filter, bound, now_ms,
                      count_max < BATCH_MAX ? count_max : BATCH_MAX);
        unlock(store);
    }
    enum mr_err err = MR_OK;
    if (found.last == NULL) {
        mr_retained_cursor_fini(cursor);
        cursor->done = true;
    } else {
        err = cursor_move(cursor, mr_message_topic(found.last));
        mr_message_unref(found.last);
    }
    for (uint32_t i = 0; i < found.count; i++) {
        if (err == MR_OK) {
            fn(ctx, found.messages[i]);
        }
        mr_message_unref(found.messages[i]);
    }
    return err;
}

// ------------------------------------------------------------------------ sweep

// What a sweep looks at, with references of its own.
struct sweep {
    struct mr_retained_entry entries[BATCH_MAX];
    bool expired[BATCH_MAX];
    bool drop[BATCH_MAX];
    uint32_t count;
    bool came_around;
    bool stuck;  // No memory to remember the place.
};

// Under the lock.
static void sweep_to_beginning(struct mr_retained *store) {
    free(store->swept);
    store->swept = NULL;
    store->swept_len = 0;
}

// Takes the next entries. Under the lock.
static void sweep_collect(struct mr_retained *store, struct sweep *sweep, uint32_t count_max) {
    struct mr_topic_bound bound =
        mr_topic_bound_of(mr_slice_of(store->swept, store->swept_len), store->swept_len > 0);
    struct mr_retained_place place;
    mr_retained_tree_seek(&store->tree, &bound, &place);
    sweep->count = 0;
    sweep->stuck = false;
    while (place.leaf != NULL && sweep->count < count_max) {
        struct mr_retained_entry *entry = mr_retained_place_entry(&place);
        struct mr_retained_entry *taken = &sweep->entries[sweep->count++];
        taken->message = mr_message_ref(entry->message);
        taken->source = source_ref(entry->source);
        mr_retained_place_next(&place);
    }
    sweep->came_around = place.leaf == NULL;
    if (sweep->came_around) {
        sweep_to_beginning(store);
        return;
    }
    struct mr_slice topic = mr_message_topic(sweep->entries[sweep->count - 1].message);
    uint8_t *swept = realloc(store->swept, topic.len);
    if (swept == NULL) {
        sweep->stuck = true;
        return;
    }
    memcpy(swept, topic.data, topic.len);
    store->swept = swept;
    store->swept_len = topic.len;
}

// Removes what was judged, unless it was replaced meanwhile, and gives up the references to
// the sources. Under the lock. Afterwards `drop` tells what was removed.
static void sweep_drop(struct mr_retained *store, struct sweep *sweep) {
    for (uint32_t i = 0; i < sweep->count; i++) {
        struct mr_message *message = sweep->entries[i].message;
        source_unref(store, sweep->entries[i].source);
        if (!sweep->drop[i]) {
            continue;
        }
        struct mr_slice topic = mr_message_topic(message);
        struct mr_retained_entry *entry = mr_retained_tree_find(&store->tree, topic, NULL);
        sweep->drop[i] = entry != NULL && entry->message == message;
        if (sweep->drop[i]) {
            (void)take_out(store, topic);
            store->stats.expired_count += sweep->expired[i] ? 1 : 0;
        }
    }
}

bool mr_retained_sweep(struct mr_retained *store, uint64_t now_ms, uint32_t count_max,
                       bool (*keep)(void *ctx, const struct mr_message *message,
                                    struct mr_slice source),
                       void *ctx) {
    struct sweep sweep;
    sweep.came_around = false;
    while (count_max > 0 && !sweep.came_around) {
        lock(store);
        sweep_collect(store, &sweep, count_max < BATCH_MAX ? count_max : BATCH_MAX);
        unlock(store);
        count_max -= sweep.count;
        for (uint32_t i = 0; i < sweep.count; i++) {
            const struct mr_retained_entry *entry = &sweep.entries[i];
            sweep.expired[i] = mr_message_expired(entry->message, now_ms);
            sweep.drop[i] = sweep.expired[i] || (keep != NULL && !keep(ctx, entry->message,
                                                                       source_text(entry->source)));
        }
        lock(store);
        sweep_drop(store, &sweep);
        unlock(store);
        for (uint32_t i = 0; i < sweep.count; i++) {
            if (sweep.drop[i]) {
                stored_unref(sweep.entries[i].message);
            }
            mr_message_unref(sweep.entries[i].message);
        }
        if (sweep.stuck) {
            return false;
        }
    }
    return sweep.came_around;
}

void mr_retained_sweep_rewind(struct mr_retained *store) {
    lock(store);
    sweep_to_beginning(store);
    unlock(store);
}
