// Hand-over between workers: one ring for each pair, batched, with back-pressure.
//
// A worker pushes parcels during its turn and publishes them once at the end; each target
// is woken at most once. What is flushed after something else was flushed, by whomever, is taken
// after it: so whoever publishes after somebody's message was acknowledged can't overtake it.
// Messages go only where there is room (mr_mailbox_has_room), so that a
// publisher can be stopped before anything was done for its packet; control parcels that must
// not be refused wait in a list at the sender if a ring is full.
//
// Threads: each worker uses its own mailbox. They are connected before the workers run.
#ifndef MILLRACE_BROKER_ROUTER_MAILBOX_H
#define MILLRACE_BROKER_ROUTER_MAILBOX_H

#include "base/base.h"
#include "broker/sys/counters.h"
#include "io/loop.h"

#ifdef __cplusplus
extern "C" {
#endif

enum mr_parcel_kind {
    MR_PARCEL_PUBLISH,      // `pointer` is a message: deliver to your receivers.
    MR_PARCEL_RUN,          // The same for a run.
    MR_PARCEL_DIRECTED,     // A message for `subscriber`, picked for the shared filter `node`.
    MR_PARCEL_CONNECTION,   // A connection whose session lives with you; one block of malloc's.
    MR_PARCEL_CONGESTED,    // `subscriber` published to a receiver that is full: pause it.
    MR_PARCEL_UNCONGESTED,  // Whoever waits for me may go on.
    MR_PARCEL_REBALANCE,    // A member of a shared subscription came; look at stranded messages.
};

struct mr_parcel {
    uint8_t kind;    // enum mr_parcel_kind.
    uint8_t from;    // Worker that sent it.
    uint8_t qos;     // DIRECTED: of the subscription.
    bool droppable;  // PUBLISH, RUN, DIRECTED: a receiver that is full does without it.
    uint32_t subscriber;
    uint32_t bytes;  // Of messages, for the limit of what may be under way.
    void *pointer;   // Owned by the parcel.
    void *node;      // Not to be followed before it is found to be valid still.
    uint64_t key;    // Names the shared filter if `node` is gone.
    uint64_t stamp;  // The mailbox's own.
};

struct mr_mailbox;

// Creates `count` mailboxes that are connected with each other. Errors: MR_ERR_NOMEM.
MR_NODISCARD enum mr_err mr_mailboxes_new(struct mr_mailbox **out, uint32_t count);
// Parcels still under way are given to `fn`, which releases them. NULL is allowed.
void mr_mailboxes_free(struct mr_mailbox *mailboxes, uint32_t count,
                       void (*fn)(void *ctx, struct mr_parcel *parcel), void *ctx);
struct mr_mailbox *mr_mailbox_at(struct mr_mailbox *mailboxes, uint32_t index);

// The loop to wake for this mailbox and the counters of its worker.
void mr_mailbox_bind(struct mr_mailbox *mailbox, struct mr_loop *loop,
                     struct mr_counters *counters);

// Is there room for `parcels` more in the ring to each worker of the mask `targets`, and not too
// much under way to it (MR_RING_BYTES)? If not, this
// worker is woken as soon as one of them has made some.
bool mr_mailbox_has_room(struct mr_mailbox *mailbox, uint64_t targets, uint32_t parcels);

// Sends; keeps the order of parcels to one target. Only if memory for waiting control parcels
// is exhausted: false, and the caller still owns it.
MR_NODISCARD bool mr_mailbox_send(struct mr_mailbox *mailbox, uint32_t target,
                                  struct mr_parcel *parcel);

// Has something arrived that was not taken? Cheap.
bool mr_mailbox_has_arrivals(const struct mr_mailbox *mailbox);
// Looks what is there, for mr_mailbox_take(): all that was flushed before.
void mr_mailbox_look(struct mr_mailbox *mailbox);
// Takes the next parcel, in the order of the senders' flushes. False: no more of what was there.
MR_NODISCARD bool mr_mailbox_take(struct mr_mailbox *mailbox, struct mr_parcel *out);

// End of a turn: shows what was sent and wakes who must be. If control parcels still wait for room,
// their receiver wakes this worker as soon as it has made some; then it has to flush again.
void mr_mailbox_flush(struct mr_mailbox *mailbox);

// About to wait: false if there is something to take. Then mr_mailbox_awake().
MR_NODISCARD bool mr_mailbox_sleep(struct mr_mailbox *mailbox);
void mr_mailbox_awake(struct mr_mailbox *mailbox);

#ifdef __cplusplus
}  // extern "C"
#endif

#endif  // MILLRACE_BROKER_ROUTER_MAILBOX_H
