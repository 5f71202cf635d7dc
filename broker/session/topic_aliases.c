#include "broker/session/topic_aliases.h"

#include <stdlib.h>

struct mr_topic_aliases *mr_topic_aliases_new(uint16_t max) {
    struct mr_topic_aliases *aliases = malloc(sizeof(*aliases));
    struct mr_buf **names = calloc(max, sizeof(struct mr_buf *));
    if (aliases == NULL || names == NULL) {
        free(aliases);
        free(names);
        return NULL;
    }
    aliases->max = max;
    aliases->count = 0;
    aliases->names = names;
    return aliases;
}

void mr_topic_aliases_free(struct mr_topic_aliases *aliases) {
    if (aliases == NULL) {
        return;
    }
    for (uint32_t i = 0; i < aliases->count; i++) {
        mr_buf_unref(aliases->names[i]);
    }
    free(aliases->names);
    free(aliases);
}

static struct mr_slice name_of(const struct mr_buf *buf) {
    uint16_t len;
    memcpy(&len, buf->data, sizeof(len));
    return mr_slice_of(buf->data + sizeof(len), len);
}

uint16_t mr_topic_aliases_find(const struct mr_topic_aliases *aliases, struct mr_slice topic,
                               bool *known_out) {
    for (uint32_t i = 0; i < aliases->count; i++) {
        if (mr_slice_eq(name_of(aliases->names[i]), topic)) {
            *known_out = true;
            return (uint16_t)(i + 1);
        }
    }
    *known_out = false;
    return aliases->count < aliases->max ? (uint16_t)(aliases->count + 1) : 0;
}

enum mr_err mr_topic_aliases_commit(struct mr_topic_aliases *aliases, struct mr_buf_pool *pool,
                                    struct mr_slice topic) {
    uint16_t len = (uint16_t)topic.len;
    struct mr_buf *buf = mr_buf_new(pool, sizeof(len) + topic.len);
    if (buf == NULL) {
        return MR_ERR_NOMEM;
    }
    memcpy(buf->data, &len, sizeof(len));
    memcpy(buf->data + sizeof(len), topic.data, topic.len);
    aliases->names[aliases->count++] = buf;
    return MR_OK;
}
