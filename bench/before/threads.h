// A thread for each client: what its parts know of each other.
#ifndef MILLRACE_BENCH_BEFORE_THREADS_H
#define MILLRACE_BENCH_BEFORE_THREADS_H

#include <pthread.h>

#include "bench/stages/stages.h"
#include "io/buf/chain.h"

#define CLIENTS_MAX 65536u

struct client;

struct receiver {
    struct client *client;
    uint8_t qos;
};

// What one thread has for one client until it has handled what it read.
struct pending {
    struct client *to;
    struct mr_chain chain;
};

struct client {
    struct conn conn;  // First.
    struct threads *threads;
    int fd;
    uint32_t refs;  // Atomic.
    pthread_mutex_t write_lock;
    // The rest is for the client's own thread.
    struct mr_buf_pool *pool;
    struct reader *reader;
    struct receiver *receivers;
    uint32_t receiver_count;
    uint32_t receivers_capacity;
    struct pending *pending;
    uint32_t pending_count;
    uint32_t pending_capacity;
    uint32_t *pending_of;  // By subscriber index: place in `pending`, from 1 on.
};

struct threads {
    const struct stages *stages;
    struct lookup *lookup;
    pthread_mutex_t reader_lock;
    struct reader *reader;
    pthread_rwlock_t table_lock;
    struct client *table[CLIENTS_MAX];  // By subscriber index.
    uint32_t next;
};

#endif  // MILLRACE_BENCH_BEFORE_THREADS_H
