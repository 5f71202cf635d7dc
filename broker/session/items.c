#include "broker/session/items.h"

#include <string.h>

#define ITEMS_FIRST_LOG2 2u
// 2^26 items of 24 bytes: beyond every configurable limit.
#define ITEMS_CEILING_LOG2 26u

static enum mr_err grow(struct mr_items *items, struct mr_buf_pool *pool) {
    uint32_t log2 = items->buf == NULL ? ITEMS_FIRST_LOG2 : items->capacity_log2 + 1u;
    if (log2 > ITEMS_CEILING_LOG2) {
        return MR_ERR_NOMEM;
    }
    struct mr_buf *buf = mr_buf_new(pool, sizeof(struct mr_item) << log2);
    if (buf == NULL) {
        return MR_ERR_NOMEM;
    }
    struct mr_item *array = (struct mr_item *)(void *)buf->data;
    if (items->buf != NULL) {
        for (uint32_t i = 0; i < items->count; i++) {
            array[i] = *mr_items_at(items, i);
        }
        mr_buf_unref(items->buf);
    }
    items->buf = buf;
    items->head = 0;
    items->capacity_log2 = log2 & 31u;
    return MR_OK;
}

enum mr_err mr_items_push(struct mr_items *items, struct mr_buf_pool *pool,
                          const struct mr_item *item) {
    if (items->buf == NULL || items->count > mr_items_mask(items)) {
        MR_TRY(grow(items, pool));
    }
    items->count++;
    *mr_items_at(items, items->count - 1) = *item;
    return MR_OK;
}

void mr_items_remove(struct mr_items *items, uint32_t index) {
    if (index < items->count / 2) {
        for (uint32_t i = index; i > 0; i--) {
            *mr_items_at(items, i) = *mr_items_at(items, i - 1);
        }
        mr_items_pop(items);
        return;
    }
    for (uint32_t i = index; i + 1 < items->count; i++) {
        *mr_items_at(items, i) = *mr_items_at(items, i + 1);
    }
    items->count--;
}

void mr_items_trim(struct mr_items *items) {
    if (items->count == 0 && items->buf != NULL) {
        mr_buf_unref(items->buf);
        memset(items, 0, sizeof(*items));
    }
}

void mr_item_release(struct mr_item *item) {
    if (item->message != NULL) {
        mr_message_unref(item->message);
        item->message = NULL;
    }
    if (item->flags & MR_ITEM_MANY_IDS) {
        mr_buf_unref(item->of.ids->buf);
        item->of.ids = NULL;
        item->flags &= (uint8_t)~MR_ITEM_MANY_IDS;
    }
}
