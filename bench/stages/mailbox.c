#include "bench/stages/mailbox.h"

#include <stdlib.h>

#include "bench/before/queue.h"
#include "bench/stages/count.h"
#include "io/ring/ring.h"

#define PARCELS 32768u

struct mailbox {
    struct mr_ring *ring;
    struct queue *queue;
    uint32_t queue_room;  // As last seen, less what was pushed since: there is one giver.
    struct mr_loop *reader;
};

struct mailbox *mailbox_new(bool ring, struct mr_loop *reader) {
    struct mailbox *mailbox = calloc(1, sizeof(*mailbox));
    if (mailbox == NULL) {
        return NULL;
    }
    mailbox->reader = reader;
    if (!ring) {
        mailbox->queue = queue_new(PARCELS, sizeof(struct parcel));
    }
    bool ok = ring ? mr_ring_new(&mailbox->ring, PARCELS, sizeof(struct parcel)) == MR_OK
                   : mailbox->queue != NULL;
    if (!ok) {
        free(mailbox);
        return NULL;
    }
    return mailbox;
}

bool mailbox_room(struct mailbox *mailbox) {
    if (mailbox->ring != NULL) {
        return mr_ring_free_count(mailbox->ring, 1) > 0;
    }
    if (mailbox->queue_room == 0) {
        mailbox->queue_room = queue_free_count(mailbox->queue);
    }
    return mailbox->queue_room > 0;
}

void mailbox_push(struct mailbox *mailbox, const struct parcel *parcel) {
    if (mailbox->ring != NULL) {
        MR_ASSERT(mr_ring_push(mailbox->ring, parcel));
        return;
    }
    bool first;
    count(COUNT_LOCKED);
    MR_ASSERT(queue_push(mailbox->queue, parcel, &first));
    mailbox->queue_room--;
    if (first) {
        mr_loop_wake(mailbox->reader);
    }
}

void mailbox_flush(struct mailbox *mailbox) {
    if (mailbox->ring != NULL && mr_ring_publish(mailbox->ring)) {
        mr_loop_wake(mailbox->reader);
    }
}

bool mailbox_pop(struct mailbox *mailbox, struct parcel *out) {
    if (mailbox->ring != NULL) {
        return mr_ring_pop(mailbox->ring, out);
    }
    count(COUNT_LOCKED);
    return queue_pop(mailbox->queue, out);
}

// Who pushes to an empty queue wakes its reader, asleep or not.
bool mailbox_sleep(struct mailbox *mailbox) {
    return mailbox->ring == NULL || mr_ring_sleep(mailbox->ring);
}

void mailbox_awake(struct mailbox *mailbox) {
    if (mailbox->ring != NULL) {
        mr_ring_awake(mailbox->ring);
    }
}
