// Memory reclamation for structures that are read without locks: what was taken out
// of one is freed only when every reader has passed a quiescent state since.
//
// After "Making Lockless Synchronization Fast" (McKenney, Hart, et al., 2006), the
// quiescent-state variant: a reader pays nothing for reading; it says once in each
// turn of its loop that it holds no reference, and says before it sleeps that it is
// away.
//
// Threads: each reader slot is for one thread. mr_epoch_retire() and
// mr_epoch_reclaim() may be called from any thread, but by one at a time (the trie
// calls them under its writers' lock).
#ifndef MILLRACE_TRIE_EPOCH_H
#define MILLRACE_TRIE_EPOCH_H

#include "base/base.h"

#ifdef __cplusplus
extern "C" {
#endif

#define MR_EPOCH_READERS_MAX 64u

struct mr_epoch;  // Opaque.

// Errors: MR_ERR_NOMEM.
MR_NODISCARD enum mr_err mr_epoch_new(struct mr_epoch **out);
// Frees everything that is still retired. No reader may be active. NULL is allowed.
void mr_epoch_free(struct mr_epoch *epoch);

// Reserves a reader slot; it starts away. Errors: MR_ERR_LIMIT.
MR_NODISCARD enum mr_err mr_epoch_register(struct mr_epoch *epoch, uint32_t *reader_out);
void mr_epoch_unregister(struct mr_epoch *epoch, uint32_t reader);

// The reader begins to read / holds no references at this moment / is away.
void mr_epoch_enter(struct mr_epoch *epoch, uint32_t reader);
void mr_epoch_quiescent(struct mr_epoch *epoch, uint32_t reader);
void mr_epoch_leave(struct mr_epoch *epoch, uint32_t reader);

// Embedded in whatever is retired, so that retiring never needs memory.
struct mr_epoch_link {
    struct mr_epoch_link *next;
    uint64_t epoch;
    void (*free_fn)(void *ctx, struct mr_epoch_link *link);
    void *ctx;
};

// The object that holds `link`, which no new reader can reach any more, is given to
// `free_fn` once every reader has passed a quiescent state. Never fails.
void mr_epoch_retire(struct mr_epoch *epoch, struct mr_epoch_link *link,
                     void (*free_fn)(void *ctx, struct mr_epoch_link *link), void *ctx);

// Frees what may be freed now. Returns how many objects still wait.
size_t mr_epoch_reclaim(struct mr_epoch *epoch);
// As mr_epoch_reclaim(), but frees `count_max` objects at most, oldest first: for threads
// that must not pay for all that gathered while a reader was held up.
size_t mr_epoch_reclaim_some(struct mr_epoch *epoch, size_t count_max);

// The memory of an epoch itself, without what is retired.
size_t mr_epoch_bytes(void);

#ifdef __cplusplus
}  // extern "C"
#endif

#endif  // MILLRACE_TRIE_EPOCH_H
