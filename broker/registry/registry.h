// Which worker owns the session of which client id: the one place where workers agree.
//
// A session lives on the worker that created it until it ends; a connection that arrives
// elsewhere moves to it. So a session never has two owners, and taking over is a matter
// of one thread [MQTT-3.1.4-3].
//
// Also keeps for each session whether it can take a message at the moment, so that any
// worker can choose a member of a shared subscription.
//
// Threads: any. The map is parted into shards, each with a short lock; used when a
// client connects and when a session ends, never for a message. Presence is lock-free.
#ifndef MILLRACE_BROKER_REGISTRY_REGISTRY_H
#define MILLRACE_BROKER_REGISTRY_REGISTRY_H

#include "base/base.h"

#ifdef __cplusplus
extern "C" {
#endif

struct mr_registry;

// One claimed client id. Belongs to the worker that claimed it, stays where it is until it is
// released, and holds the only copy of the client id.
struct mr_registry_entry {
    struct mr_registry_entry *next;  // Private.
    uint64_t hash;                   // Private.
    void *session;                   // For the owner's use; NULL at first.
    uint16_t worker;
    uint16_t client_id_len;
    uint8_t client_id[];
};

static inline struct mr_slice mr_registry_entry_client_id(const struct mr_registry_entry *entry) {
    return mr_slice_of(entry->client_id, entry->client_id_len);
}

MR_NODISCARD enum mr_err mr_registry_new(struct mr_registry **out, uint64_t hash_seed);
// All entries must have been released. NULL is allowed.
void mr_registry_free(struct mr_registry *registry);

// Claims `client_id` for `worker`. MR_OK: it was free, `*entry_out` is the claim.
// MR_ERR_EXISTS: some worker has it, `*owner_out` says which. If that is `worker` itself,
// `*entry_out` is its claim.
// Errors: MR_ERR_NOMEM.
MR_NODISCARD enum mr_err mr_registry_claim(struct mr_registry *registry, struct mr_slice client_id,
                                           uint16_t worker, struct mr_registry_entry **entry_out,
                                           uint16_t *owner_out);
// Gives the client id up; the entry is gone.
void mr_registry_release(struct mr_registry *registry, struct mr_registry_entry *entry);
uint64_t mr_registry_count(struct mr_registry *registry);

// -------------------------------------------------------------------- presence

enum mr_presence {
    MR_PRESENCE_NONE,    // No such session, or not connected.
    MR_PRESENCE_ONLINE,  // Connected and keeping up.
    MR_PRESENCE_BUSY,    // Connected, but messages wait for it.
};

// `subscriber` as in trie/trie.h: shard in the high 8 bits. Only the owning worker sets.
// False if out of memory (the session then counts as not present).
MR_NODISCARD bool mr_registry_set_presence(struct mr_registry *registry, uint32_t subscriber,
                                           enum mr_presence presence);
enum mr_presence mr_registry_presence(const struct mr_registry *registry, uint32_t subscriber);

#ifdef __cplusplus
}  // extern "C"
#endif

#endif  // MILLRACE_BROKER_REGISTRY_REGISTRY_H
