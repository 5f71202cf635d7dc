// The stage "hand-over": messages from one worker to another, through a locked queue or a ring.
//
// Threads: push, room and flush for the giving worker; the others for the taking one.
#ifndef MILLRACE_BENCH_STAGES_MAILBOX_H
#define MILLRACE_BENCH_STAGES_MAILBOX_H

#include "base/base.h"
#include "io/buf/buf.h"
#include "io/loop.h"

// A message in a buffer of its own: topic name, then payload.
struct parcel {
    struct mr_buf *buf;
    uint32_t topic_len;
    uint32_t payload_len;
    uint8_t qos;
};

struct mailbox;

// `reader` is the loop of the taking worker.
struct mailbox *mailbox_new(bool ring, struct mr_loop *reader);
bool mailbox_room(struct mailbox *mailbox);
// There has to be room.
void mailbox_push(struct mailbox *mailbox, const struct parcel *parcel);
void mailbox_flush(struct mailbox *mailbox);
bool mailbox_pop(struct mailbox *mailbox, struct parcel *out);
// The taking worker is about to wait: false if something came.
bool mailbox_sleep(struct mailbox *mailbox);
void mailbox_awake(struct mailbox *mailbox);

#endif  // MILLRACE_BENCH_STAGES_MAILBOX_H
