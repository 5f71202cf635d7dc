#include "broker/registry/registry.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "base/aligned.h"

// Two workers that serve different clients meet in one shard once in so many times.
#define SHARDS 256u
#define BUCKETS_MIN 16u
#define CACHE_LINE_BYTES 64u

// A hash table with chains. The entries never move, only the array of chains does: so a
// shard of a million clients' registry rearranges four thousand addresses, under its lock.
struct shard {
    _Alignas(CACHE_LINE_BYTES) pthread_mutex_t lock;
    struct mr_registry_entry **buckets;  // NULL before the first claim.
    uint32_t bucket_count;               // A power of two, or 0.
    uint32_t entry_count;
};

#define PRESENCE_WORKERS_MAX 64u
#define PRESENCE_CHUNK_BYTES 65536u
#define PRESENCE_CHUNKS 256u
_Static_assert((uint64_t)PRESENCE_CHUNK_BYTES *PRESENCE_CHUNKS == UINT64_C(1) << 24,
               "all indexes of a subscriber handle");

struct presence_chunk {
    _Atomic(uint8_t) states[PRESENCE_CHUNK_BYTES];  // enum mr_presence.
};

// One worker's sessions. Made by that worker, seen by all, and never taken away.
struct presence_map {
    _Atomic(struct presence_chunk *) chunks[PRESENCE_CHUNKS];
};

struct mr_registry {
    struct shard shards[SHARDS];
    uint64_t hash_seed;
    _Atomic(uint64_t) entry_count;
    _Atomic(struct presence_map *) presence[PRESENCE_WORKERS_MAX];
};

enum mr_err mr_registry_new(struct mr_registry **out, uint64_t hash_seed) {
    struct mr_registry *registry = mr_aligned_alloc(CACHE_LINE_BYTES, sizeof(*registry));
    if (registry == NULL) {
        return MR_ERR_NOMEM;
    }
    memset(registry, 0, sizeof(*registry));
    registry->hash_seed = hash_seed;
    for (uint32_t i = 0; i < SHARDS; i++) {
        if (pthread_mutex_init(&registry->shards[i].lock, NULL) != 0) {
            while (i > 0) {
                pthread_mutex_destroy(&registry->shards[--i].lock);
            }
            mr_aligned_free(registry);
            return MR_ERR_NOMEM;
        }
    }
    *out = registry;
    return MR_OK;
}

void mr_registry_free(struct mr_registry *registry) {
    if (registry == NULL) {
        return;
    }
    for (uint32_t i = 0; i < SHARDS; i++) {
        MR_ASSERT(registry->shards[i].entry_count == 0);
        free(registry->shards[i].buckets);
        pthread_mutex_destroy(&registry->shards[i].lock);
    }
    for (uint32_t i = 0; i < PRESENCE_WORKERS_MAX; i++) {
        struct presence_map *map =
            atomic_load_explicit(&registry->presence[i], memory_order_acquire);
        for (uint32_t j = 0; map != NULL && j < PRESENCE_CHUNKS; j++) {
            free(atomic_load_explicit(&map->chunks[j], memory_order_acquire));
        }
        free(map);
    }
    mr_aligned_free(registry);
}

// -------------------------------------------------------------------- client ids

static struct shard *shard_of(struct mr_registry *registry, uint64_t hash) {
    return &registry->shards[hash >> 56];
}
_Static_assert(SHARDS == 1u << 8, "shards are chosen by the highest 8 bits");

// The mutex is an ordinary one and never locked twice by a thread: it can't fail.
static void lock(struct shard *shard) {
    int error = pthread_mutex_lock(&shard->lock);
    MR_ASSERT(error == 0);
}

static void unlock(struct shard *shard) {
    int error = pthread_mutex_unlock(&shard->lock);
    MR_ASSERT(error == 0);
}

static struct mr_registry_entry **bucket_of(struct shard *shard, uint64_t hash) {
    return &shard->buckets[hash & (shard->bucket_count - 1)];
}

// Spreads the entries over another number of buckets. Without memory all stays as it is,
// only the chains are longer or the array larger than they should be.
static void resize(struct shard *shard, uint32_t bucket_count) {
    struct mr_registry_entry **buckets = calloc(bucket_count, sizeof(struct mr_registry_entry *));
    if (buckets == NULL) {
        return;
    }
    for (uint32_t i = 0; i < shard->bucket_count; i++) {
        struct mr_registry_entry *entry = shard->buckets[i];
        while (entry != NULL) {
            struct mr_registry_entry *next = entry->next;
            struct mr_registry_entry **bucket = &buckets[entry->hash & (bucket_count - 1)];
            entry->next = *bucket;
            *bucket = entry;
            entry = next;
        }
    }
    free(shard->buckets);
    shard->buckets = buckets;
    shard->bucket_count = bucket_count;
}

static struct mr_registry_entry *find(struct shard *shard, uint64_t hash,
                                      struct mr_slice client_id) {
    struct mr_registry_entry *entry = shard->bucket_count > 0 ? *bucket_of(shard, hash) : NULL;
    while (entry != NULL &&
           (entry->hash != hash || !mr_slice_eq(mr_registry_entry_client_id(entry), client_id))) {
        entry = entry->next;
    }
    return entry;
}

static struct mr_registry_entry *entry_new(uint64_t hash, struct mr_slice client_id,
                                           uint16_t worker) {
    struct mr_registry_entry *entry = malloc(sizeof(*entry) + client_id.len);
    if (entry == NULL) {
        return NULL;
    }
    entry->hash = hash;
    entry->session = NULL;
    entry->worker = worker;
    entry->client_id_len = (uint16_t)client_id.len;
    if (client_id.len > 0) {
        memcpy(entry->client_id, client_id.data, client_id.len);
    }
    return entry;
}

// Under the lock. Errors: MR_ERR_NOMEM.
static enum mr_err insert(struct shard *shard, struct mr_registry_entry *entry) {
    if (shard->entry_count >= shard->bucket_count) {
        resize(shard, shard->bucket_count == 0 ? BUCKETS_MIN : shard->bucket_count * 2);
        if (shard->bucket_count == 0) {
            return MR_ERR_NOMEM;
        }
    }
    struct mr_registry_entry **bucket = bucket_of(shard, entry->hash);
    entry->next = *bucket;
    *bucket = entry;
    shard->entry_count++;
    return MR_OK;
}

enum mr_err mr_registry_claim(struct mr_registry *registry, struct mr_slice client_id,
                              uint16_t worker, struct mr_registry_entry **entry_out,
                              uint16_t *owner_out) {
    if (MR_NEVER(client_id.len > UINT16_MAX)) {
        return MR_ERR_INVALID;
    }
    uint64_t hash = XXH3_64bits_withSeed(client_id.len > 0 ? (const void *)client_id.data : "",
                                         client_id.len, registry->hash_seed);
    struct shard *shard = shard_of(registry, hash);
    // Made before the lock is taken; nearly all claims are of client ids that are free.
    struct mr_registry_entry *entry = entry_new(hash, client_id, worker);
    enum mr_err err = MR_ERR_NOMEM;
    lock(shard);
    struct mr_registry_entry *claimed = find(shard, hash, client_id);
    if (claimed != NULL) {
        // Copied under the lock: without it, the entry is its owner's to release.
        *owner_out = claimed->worker;
        if (claimed->worker == worker) {
            *entry_out = claimed;
        }
        err = MR_ERR_EXISTS;
    } else if (entry != NULL) {
        err = insert(shard, entry);
    }
    unlock(shard);
    if (err != MR_OK) {
        free(entry);
        return err;
    }
    atomic_fetch_add_explicit(&registry->entry_count, 1, memory_order_relaxed);
    *entry_out = entry;
    return MR_OK;
}

void mr_registry_release(struct mr_registry *registry, struct mr_registry_entry *entry) {
    struct shard *shard = shard_of(registry, entry->hash);
    lock(shard);
    struct mr_registry_entry **link = bucket_of(shard, entry->hash);
    while (*link != entry) {
        MR_ASSERT(*link != NULL);
        link = &(*link)->next;
    }
    *link = entry->next;
    shard->entry_count--;
    if (shard->bucket_count > BUCKETS_MIN && shard->entry_count < shard->bucket_count / 8) {
        resize(shard, shard->bucket_count / 2);
    }
    unlock(shard);
    atomic_fetch_sub_explicit(&registry->entry_count, 1, memory_order_relaxed);
    free(entry);
}

uint64_t mr_registry_count(struct mr_registry *registry) {
    return atomic_load_explicit(&registry->entry_count, memory_order_relaxed);
}

// ---------------------------------------------------------------------- presence

// The state of `subscriber`; NULL if its chunk was never made.
static const _Atomic(uint8_t) *presence_find(const struct mr_registry *registry,
                                             uint32_t subscriber) {
    uint32_t worker = subscriber >> 24;
    if (MR_NEVER(worker >= PRESENCE_WORKERS_MAX)) {
        return NULL;
    }
    struct presence_map *map =
        atomic_load_explicit(&registry->presence[worker], memory_order_acquire);
    if (map == NULL) {
        return NULL;
    }
    uint32_t index = subscriber & 0xffffffu;
    struct presence_chunk *chunk =
        atomic_load_explicit(&map->chunks[index / PRESENCE_CHUNK_BYTES], memory_order_acquire);
    return chunk != NULL ? &chunk->states[index % PRESENCE_CHUNK_BYTES] : NULL;
}

// As presence_find, but makes what is missing; NULL without memory. Only the owning worker
// comes here, so nobody else makes the same chunk meanwhile.
static _Atomic(uint8_t) *presence_make(struct mr_registry *registry, uint32_t subscriber) {
    uint32_t worker = subscriber >> 24;
    if (MR_NEVER(worker >= PRESENCE_WORKERS_MAX)) {
        return NULL;
    }
    struct presence_map *map =
        atomic_load_explicit(&registry->presence[worker], memory_order_relaxed);
    if (map == NULL) {
        map = calloc(1, sizeof(*map));
        if (map == NULL) {
            return NULL;
        }
        atomic_store_explicit(&registry->presence[worker], map, memory_order_release);
    }
    uint32_t index = subscriber & 0xffffffu;
    _Atomic(struct presence_chunk *) *slot = &map->chunks[index / PRESENCE_CHUNK_BYTES];
    struct presence_chunk *chunk = atomic_load_explicit(slot, memory_order_relaxed);
    if (chunk == NULL) {
        chunk = calloc(1, sizeof(*chunk));
        if (chunk == NULL) {
            return NULL;
        }
        atomic_store_explicit(slot, chunk, memory_order_release);
    }
    return &chunk->states[index % PRESENCE_CHUNK_BYTES];
}

bool mr_registry_set_presence(struct mr_registry *registry, uint32_t subscriber,
                              enum mr_presence presence) {
    if (presence == MR_PRESENCE_NONE && presence_find(registry, subscriber) == NULL) {
        return true;
    }
    _Atomic(uint8_t) *state = presence_make(registry, subscriber);
    if (state == NULL) {
        return false;
    }
    // Only a hint to other threads: nothing else is handed over with it.
    atomic_store_explicit(state, (uint8_t)presence, memory_order_relaxed);
    return true;
}

enum mr_presence mr_registry_presence(const struct mr_registry *registry, uint32_t subscriber) {
    const _Atomic(uint8_t) *state = presence_find(registry, subscriber);
    return state == NULL ? MR_PRESENCE_NONE
                         : (enum mr_presence)atomic_load_explicit(state, memory_order_relaxed);
}
