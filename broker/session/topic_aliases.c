#include "broker/session/topic_aliases.h"

#include <stdlib.h>
#include <xxhash.h>

// A topic name that has an alias.
struct name {
    struct mr_buf *buf;
    uint32_t hash;
};

// Open addressing over the names, at most half full. Alias n is names[n - 1].
struct mr_topic_aliases {
    struct name *names;    // `max` places.
    uint16_t *places;      // Aliases; 0: free.
    uint32_t places_mask;  // Their number - 1.
    uint16_t max;
    uint16_t count;
};

struct mr_buf *mr_alias_name_new(struct mr_buf_pool *pool, struct mr_slice topic) {
    uint16_t len = (uint16_t)topic.len;
    struct mr_buf *name = mr_buf_new(pool, sizeof(len) + topic.len);
    if (name != NULL) {
        memcpy(name->data, &len, sizeof(len));
        memcpy(name->data + sizeof(len), topic.data, topic.len);
    }
    return name;
}

struct mr_slice mr_alias_name_text(const struct mr_buf *name) {
    uint16_t len;
    memcpy(&len, name->data, sizeof(len));
    return mr_slice_of(name->data + sizeof(len), len);
}

struct mr_topic_aliases *mr_topic_aliases_new(uint16_t max) {
    uint32_t places_count = 4;
    while (places_count < 2u * max) {
        places_count *= 2;
    }
    size_t names_bytes = max * sizeof(struct name);
    struct mr_topic_aliases *aliases =
        calloc(1, sizeof(*aliases) + names_bytes + places_count * sizeof(uint16_t));
    if (aliases == NULL) {
        return NULL;
    }
    aliases->names = (struct name *)(void *)(aliases + 1);
    aliases->places = (uint16_t *)(void *)(aliases->names + max);
    aliases->places_mask = places_count - 1;
    aliases->max = max;
    return aliases;
}

void mr_topic_aliases_free(struct mr_topic_aliases *aliases) {
    if (aliases == NULL) {
        return;
    }
    for (uint32_t i = 0; i < aliases->count; i++) {
        mr_buf_unref(aliases->names[i].buf);
    }
    free(aliases);
}

static uint32_t hash_of(struct mr_slice topic) {
    return (uint32_t)XXH3_64bits(topic.data, topic.len);
}

// Where `topic` is or would be.
static uint32_t place_of(const struct mr_topic_aliases *aliases, struct mr_slice topic,
                         uint32_t hash) {
    uint32_t at = hash & aliases->places_mask;
    while (aliases->places[at] != 0) {
        const struct name *name = &aliases->names[aliases->places[at] - 1];
        if (name->hash == hash && mr_slice_eq(mr_alias_name_text(name->buf), topic)) {
            break;
        }
        at = (at + 1) & aliases->places_mask;
    }
    return at;
}

uint16_t mr_topic_aliases_find(const struct mr_topic_aliases *aliases, struct mr_slice topic,
                               bool *known_out) {
    uint16_t alias = aliases->places[place_of(aliases, topic, hash_of(topic))];
    *known_out = alias != 0;
    if (alias == 0 && aliases->count < aliases->max) {
        alias = (uint16_t)(aliases->count + 1);
    }
    return alias;
}

enum mr_err mr_topic_aliases_commit(struct mr_topic_aliases *aliases, struct mr_buf_pool *pool,
                                    struct mr_slice topic) {
    MR_DEBUG_ASSERT(aliases->count < aliases->max);
    struct mr_buf *buf = mr_alias_name_new(pool, topic);
    if (buf == NULL) {
        return MR_ERR_NOMEM;
    }
    struct name name = {buf, hash_of(topic)};
    uint32_t at = place_of(aliases, topic, name.hash);
    MR_DEBUG_ASSERT(aliases->places[at] == 0);
    aliases->names[aliases->count++] = name;
    aliases->places[at] = aliases->count;
    return MR_OK;
}
