// A queue from many threads to one, as a plain broker has it: a mutex, and a condition for its
// reader, which here waits for sockets too and so is woken through its loop instead.
//
// Threads: any.
#ifndef MILLRACE_BENCH_BEFORE_QUEUE_H
#define MILLRACE_BENCH_BEFORE_QUEUE_H

#include "base/base.h"

struct queue;

struct queue *queue_new(uint32_t entry_count, uint32_t entry_bytes);
// False: full. `*first_out`: the queue was empty, so its reader may wait.
bool queue_push(struct queue *queue, const void *entry, bool *first_out);
bool queue_pop(struct queue *queue, void *entry_out);
uint32_t queue_free_count(struct queue *queue);

#endif  // MILLRACE_BENCH_BEFORE_QUEUE_H
