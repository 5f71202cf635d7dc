// The retained store against a list and the definition of a match. The input is lines:
//
//   sTOPIC  store a message             xTOPIC   store one that expires soon
//   rTOPIC  remove it                   gPREFIX  store as many as fill several nodes
//   mFILTER match                       cFILTER  begin a match that goes on below
//   n       take the next piece of it   w        sweep      t  let time pass
#include <stdio.h>
#include <stdlib.h>

#include "broker/retained/internal.h"
#include "broker/retained/retained.h"
#include "codec/topic.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define TOPIC_BYTES_MAX 80u
#define ENTRIES_MAX 1024u
#define LINES_MAX 400u
#define GENERATED 70u
#define PIECE 3u
#define EXPIRY_MS 5u

struct entry {
    uint8_t topic[TOPIC_BYTES_MAX];
    size_t topic_len;
    uint32_t serial;  // The message's payload.
    uint64_t expires_ms;
    uint32_t seen_count;
};

struct fuzz {
    struct mr_buf_pool *pool;
    struct mr_retained *store;
    struct entry entries[ENTRIES_MAX];
    uint32_t entry_count;
    uint32_t serial;
    uint64_t now_ms;
    // The match that is under way.
    struct mr_slice filter;
    struct mr_retained_cursor cursor;
    uint8_t last[TOPIC_BYTES_MAX];
    size_t last_len;
};

static struct mr_slice entry_topic(const struct entry *entry) {
    return mr_slice_of(entry->topic, entry->topic_len);
}

static struct entry *find(struct fuzz *fuzz, struct mr_slice topic) {
    for (uint32_t i = 0; i < fuzz->entry_count; i++) {
        if (mr_slice_eq(entry_topic(&fuzz->entries[i]), topic)) {
            return &fuzz->entries[i];
        }
    }
    return NULL;
}

static bool is_filter(struct mr_slice text) {
    struct mr_filter filter;
    mr_filter_parse(text, false, &filter);
    return filter.kind != MR_FILTER_INVALID;
}

// ------------------------------------------------------------------------- lines

static void set(struct fuzz *fuzz, struct mr_slice topic, uint64_t expires_ms) {
    if (!mr_topic_name_valid(topic) || topic.len > TOPIC_BYTES_MAX) {
        return;
    }
    struct entry *entry = find(fuzz, topic);
    if (entry == NULL) {
        if (fuzz->entry_count == ENTRIES_MAX) {
            return;
        }
        entry = &fuzz->entries[fuzz->entry_count++];
        memcpy(entry->topic, topic.data, topic.len);
        entry->topic_len = topic.len;
    }
    entry->serial = ++fuzz->serial;
    entry->expires_ms = expires_ms;
    struct mr_publish packet;
    memset(&packet, 0, sizeof(packet));
    packet.topic = topic;
    packet.payload = mr_slice_of(&entry->serial, sizeof(entry->serial));
    struct mr_message *message = mr_message_new(fuzz->pool, &packet, 0, expires_ms);
    MR_ASSERT(message != NULL);
    // Two sources, so that neighbours do and don't have the same.
    struct mr_slice source = mr_slice_str(fuzz->serial % 4 < 2 ? "odd" : "");
    MR_ASSERT(mr_retained_set(fuzz->store, message, source) == MR_OK);
    mr_message_unref(message);
}

static void generate(struct fuzz *fuzz, struct mr_slice prefix) {
    for (uint32_t i = 0; i < GENERATED; i++) {
        char topic[TOPIC_BYTES_MAX + 1];
        int len = snprintf(topic, sizeof(topic), "%.*s/%u", (int)(prefix.len % 60),
                           (const char *)prefix.data, i * 37 % GENERATED);
        set(fuzz, mr_slice_of(topic, (size_t)len), 0);
    }
}

static void forget(struct fuzz *fuzz, struct entry *entry) {
    *entry = fuzz->entries[--fuzz->entry_count];
}

static void remove_topic(struct fuzz *fuzz, struct mr_slice topic) {
    if (topic.len == 0) {
        return;
    }
    struct entry *entry = find(fuzz, topic);
    MR_ASSERT(mr_retained_remove(fuzz->store, topic) == (entry != NULL));
    if (entry != NULL) {
        forget(fuzz, entry);
    }
}

static void sweep(struct fuzz *fuzz) {
    while (!mr_retained_sweep(fuzz->store, fuzz->now_ms, PIECE, NULL, NULL)) {
    }
    for (uint32_t i = fuzz->entry_count; i-- > 0;) {
        struct entry *entry = &fuzz->entries[i];
        if (entry->expires_ms != 0 && entry->expires_ms <= fuzz->now_ms) {
            forget(fuzz, entry);
        }
    }
}

// ------------------------------------------------------------------------- match

static void restart(struct fuzz *fuzz, struct mr_slice filter) {
    mr_retained_cursor_fini(&fuzz->cursor);
    fuzz->cursor.done = false;
    fuzz->filter = filter;
    fuzz->last_len = 0;
    for (uint32_t i = 0; i < fuzz->entry_count; i++) {
        fuzz->entries[i].seen_count = 0;
    }
}

static void on_message(void *ctx, struct mr_message *message) {
    struct fuzz *fuzz = ctx;
    struct mr_slice topic = mr_message_topic(message);
    MR_ASSERT(mr_filter_matches(fuzz->filter, topic));
    MR_ASSERT(!mr_message_expired(message, fuzz->now_ms));
    struct entry *entry = find(fuzz, topic);
    MR_ASSERT(entry != NULL);
    entry->seen_count++;
    MR_ASSERT(mr_message_payload(message).len == sizeof(entry->serial));
    MR_ASSERT(memcmp(mr_message_payload(message).data, &entry->serial, sizeof(entry->serial)) == 0);
    // In order, so none comes twice.
    size_t common_len = topic.len < fuzz->last_len ? topic.len : fuzz->last_len;
    int order = memcmp(fuzz->last, topic.data, common_len);
    MR_ASSERT(order < 0 || (order == 0 && fuzz->last_len < topic.len));
    memcpy(fuzz->last, topic.data, topic.len);
    fuzz->last_len = topic.len;
}

static void match_piece(struct fuzz *fuzz) {
    if (fuzz->filter.len > 0) {
        MR_ASSERT(mr_retained_match(fuzz->store, fuzz->filter, fuzz->now_ms, PIECE, &fuzz->cursor,
                                    on_message, fuzz) == MR_OK);
    }
}

static void match_all(struct fuzz *fuzz, struct mr_slice filter) {
    restart(fuzz, filter);
    while (!fuzz->cursor.done) {
        match_piece(fuzz);
    }
    for (uint32_t i = 0; i < fuzz->entry_count; i++) {
        const struct entry *entry = &fuzz->entries[i];
        bool expired = entry->expires_ms != 0 && entry->expires_ms <= fuzz->now_ms;
        bool expected = !expired && mr_filter_matches(filter, entry_topic(entry));
        MR_ASSERT(entry->seen_count == (expected ? 1u : 0u));
    }
}

static void obey(struct fuzz *fuzz, struct mr_slice line) {
    struct mr_slice text = mr_slice_of(line.data + 1, line.len - 1);
    switch (line.data[0]) {
        case 's':
            set(fuzz, text, 0);
            break;
        case 'x':
            set(fuzz, text, fuzz->now_ms + EXPIRY_MS);
            break;
        case 'r':
            remove_topic(fuzz, text);
            break;
        case 'g':
            generate(fuzz, text);
            break;
        case 'm':
            if (is_filter(text)) {
                match_all(fuzz, text);
            }
            break;
        case 'c':
            if (is_filter(text)) {
                restart(fuzz, text);
            }
            break;
        case 'n':
            match_piece(fuzz);
            break;
        case 'w':
            sweep(fuzz);
            break;
        case 't':
            fuzz->now_ms++;
            break;
        default:
            break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct fuzz *fuzz = calloc(1, sizeof(*fuzz));
    MR_ASSERT(fuzz != NULL);
    fuzz->now_ms = 1;
    struct mr_buf_pool_options pool_options = {0};
    struct mr_retained_options options = {0};
    MR_ASSERT(mr_buf_pool_new(&fuzz->pool, &pool_options) == MR_OK);
    mr_buf_pool_enter(fuzz->pool);
    MR_ASSERT(mr_retained_new(&fuzz->store, &options) == MR_OK);
    const uint8_t *end = data + size;
    for (uint32_t i = 0; i < LINES_MAX && data < end; i++) {
        const uint8_t *newline = memchr(data, '\n', (size_t)(end - data));
        const uint8_t *stop = newline != NULL ? newline : end;
        if (stop > data) {
            obey(fuzz, mr_slice_of(data, (size_t)(stop - data)));
        }
        data = newline != NULL ? newline + 1 : end;
    }
    MR_ASSERT(mr_retained_tree_check(mr_retained_tree_of(fuzz->store)) == fuzz->entry_count);
    mr_retained_cursor_fini(&fuzz->cursor);
    mr_retained_free(fuzz->store);
    mr_buf_pool_enter(NULL);
    mr_buf_pool_free(fuzz->pool);  // Asserts that every message came home.
    free(fuzz);
    return 0;
}
