// What happened, by thread: each thread counts in a line of its own.
//
// Calls of malloc() and its like are counted where they are linked (--wrap): see BUILD. So the
// allocator itself may be another one.
//
// Threads: any.
#ifndef MILLRACE_BENCH_STAGES_COUNT_H
#define MILLRACE_BENCH_STAGES_COUNT_H

#include "base/base.h"

enum counter {
    COUNT_PUBLISHED,  // PUBLISH packets that came.
    COUNT_DELIVERED,  // And that went out, one for each subscriber.
    COUNT_ALLOCATED,  // malloc(), calloc(), realloc() and the like.
    COUNT_FREED,
    COUNT_SYSCALLS,
    COUNT_LOCKED,  // Mutexes and readers-writer locks taken for messages.
    COUNTERS,
};

void count_add(enum counter counter, uint64_t by);
static inline void count(enum counter counter) {
    count_add(counter, 1);
}
uint64_t count_total(enum counter counter);

#endif  // MILLRACE_BENCH_STAGES_COUNT_H
