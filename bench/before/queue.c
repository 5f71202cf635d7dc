#include "bench/before/queue.h"

#include <pthread.h>
#include <stdlib.h>

struct queue {
    pthread_mutex_t lock;
    uint32_t capacity;
    uint32_t entry_bytes;
    uint32_t begin;
    uint32_t count;
    uint8_t *entries;
};

struct queue *queue_new(uint32_t entry_count, uint32_t entry_bytes) {
    struct queue *queue = calloc(1, sizeof(*queue));
    if (queue == NULL) {
        return NULL;
    }
    queue->entries = calloc(entry_count, entry_bytes);
    if (queue->entries == NULL || pthread_mutex_init(&queue->lock, NULL) != 0) {
        free(queue->entries);
        free(queue);
        return NULL;
    }
    queue->capacity = entry_count;
    queue->entry_bytes = entry_bytes;
    return queue;
}

static uint8_t *entry_at(struct queue *queue, uint32_t index) {
    return queue->entries + (size_t)(index % queue->capacity) * queue->entry_bytes;
}

bool queue_push(struct queue *queue, const void *entry, bool *first_out) {
    pthread_mutex_lock(&queue->lock);
    bool room = queue->count < queue->capacity;
    *first_out = queue->count == 0;
    if (room) {
        memcpy(entry_at(queue, queue->begin + queue->count), entry, queue->entry_bytes);
        queue->count++;
    }
    pthread_mutex_unlock(&queue->lock);
    return room;
}

bool queue_pop(struct queue *queue, void *entry_out) {
    pthread_mutex_lock(&queue->lock);
    bool found = queue->count > 0;
    if (found) {
        memcpy(entry_out, entry_at(queue, queue->begin), queue->entry_bytes);
        queue->begin = (queue->begin + 1) % queue->capacity;
        queue->count--;
    }
    pthread_mutex_unlock(&queue->lock);
    return found;
}

uint32_t queue_free_count(struct queue *queue) {
    pthread_mutex_lock(&queue->lock);
    uint32_t free_count = queue->capacity - queue->count;
    pthread_mutex_unlock(&queue->lock);
    return free_count;
}
