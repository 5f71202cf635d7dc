#include "trie/members.h"

#include "trie/hash.h"

// In a slot that held a subscription: its subscriber, the high half, is 0.
#define WORD_LEFT UINT64_C(1)

// A table is replaced when this part of its slots is used; the new one is about half
// full. It shrinks when fewer than one slot in SHRINK_RATIO holds a subscription.
#define USED_PERCENT_MAX 75u
#define CAPACITY_MIN 4u
#define SHRINK_RATIO 8u
// A table that would get more slots is split into so many parts, which then grow one
// by one. Moving a million words at once would hold up a worker for many milliseconds.
#define PLAIN_CAPACITY_MAX 4096u
#define PARTS 64u
#define PART_CAPACITY_MAX (1u << 25)

// A position in a set, for rounds: 0 is the first word, then come the slots of the
// parts (a plain table is part 0). It fits 32 bits.
#define POSITION_PART_SHIFT 25u

struct mr_member_table {
    struct mr_epoch_link retired;
    uint32_t capacity;    // Slots.
    uint32_t live_count;  // Subscriptions, in all parts.
    uint32_t used_count;  // Slots that aren't empty.
    bool is_parted;
    // Words; or, if `is_parted`, the addresses of PARTS plain tables.
    _Atomic(uint64_t) slots[];
};

static size_t table_bytes(uint32_t capacity) {
    return sizeof(struct mr_member_table) + (size_t)capacity * sizeof(uint64_t);
}

static uint64_t slot_get(const struct mr_member_table *table, uint32_t index) {
    return atomic_load_explicit(&table->slots[index], memory_order_acquire);
}

static void slot_set(struct mr_member_table *table, uint32_t index, uint64_t word) {
    atomic_store_explicit(&table->slots[index], word, memory_order_release);
}

static struct mr_member_table *part_get(const struct mr_member_table *table, uint32_t part) {
    return (struct mr_member_table *)(uintptr_t)slot_get(table, part);
}

static struct mr_member_table *more_get(const struct mr_members *members) {
    return atomic_load_explicit(&members->more, memory_order_acquire);
}

static void table_free(void *ctx, struct mr_epoch_link *link) {
    struct mr_member_table *table = MR_CONTAINER_OF(link, struct mr_member_table, retired);
    mr_memory_free(ctx, table, table_bytes(table->capacity));
}

static void table_retire(struct mr_trie_memory *memory, struct mr_member_table *table) {
    mr_epoch_retire(memory->epoch, &table->retired, table_free, memory);
}

static struct mr_member_table *table_new(struct mr_trie_memory *memory, uint32_t capacity) {
    struct mr_member_table *table = mr_memory_alloc(memory, table_bytes(capacity));
    if (table != NULL) {
        table->capacity = capacity;
    }
    return table;
}

// Frees a table that no reader can see, with its parts.
static void table_free_all(struct mr_trie_memory *memory, struct mr_member_table *table) {
    for (uint32_t i = 0; table->is_parted && i < PARTS; i++) {
        struct mr_member_table *part = part_get(table, i);
        if (part != NULL) {
            table_free(memory, &part->retired);
        }
    }
    table_free(memory, &table->retired);
}

static uint64_t subscriber_hash(uint32_t subscriber) {
    return mr_hash_mix(subscriber);
}

static uint32_t hash_part(uint64_t hash) {
    return (uint32_t)(hash % PARTS);
}

static uint32_t capacity_for(uint32_t count) {
    uint32_t capacity = count * 2;
    return capacity < CAPACITY_MIN ? CAPACITY_MIN : capacity;
}

// Is one more slot in use more than the table should have?
static bool table_is_full(const struct mr_member_table *table) {
    return (uint64_t)(table->used_count + 1) * 100 > (uint64_t)table->capacity * USED_PERCENT_MAX;
}

// The slot of `subscriber` in a plain table; `capacity` if it isn't there. Then
// `*free_out` is the slot where it can be put.
static uint32_t plain_find(const struct mr_member_table *table, uint32_t subscriber,
                           uint32_t *free_out) {
    uint32_t index = mr_hash_scale((uint32_t)(subscriber_hash(subscriber) >> 32), table->capacity);
    uint32_t free_index = table->capacity;
    for (uint32_t left = table->capacity; left > 0; left--) {
        uint64_t word = slot_get(table, index);
        if (mr_member_subscriber(word) == subscriber) {
            return index;
        }
        if (mr_member_subscriber(word) == 0 && free_index == table->capacity) {
            free_index = index;
        }
        if (word == 0) {
            break;
        }
        index = index + 1 == table->capacity ? 0 : index + 1;
    }
    *free_out = free_index;
    return table->capacity;
}

static void plain_put_at(struct mr_member_table *table, uint32_t index, uint64_t word) {
    table->used_count += slot_get(table, index) == 0;
    table->live_count++;
    slot_set(table, index, word);
}

// Adds a word whose subscriber isn't there to a table that has room.
static void plain_put(struct mr_member_table *table, uint64_t word) {
    uint32_t index = 0;
    (void)plain_find(table, mr_member_subscriber(word), &index);
    plain_put_at(table, index, word);
}

static void plain_copy(struct mr_member_table *to, const struct mr_member_table *from) {
    for (uint32_t i = 0; i < from->capacity; i++) {
        uint64_t word = slot_get(from, i);
        if (mr_member_subscriber(word) != 0) {
            plain_put(to, word);
        }
    }
}

// A plain table with what `from` (plain or NULL) has and room for `count`; or NULL.
static struct mr_member_table *plain_rebuilt(struct mr_trie_memory *memory,
                                             const struct mr_member_table *from, uint32_t count) {
    struct mr_member_table *table = table_new(memory, capacity_for(count));
    if (table != NULL && from != NULL) {
        plain_copy(table, from);
    }
    return table;
}

// The table in parts of what the plain table `from` has; or NULL.
static struct mr_member_table *parted_from_plain(struct mr_trie_memory *memory,
                                                 const struct mr_member_table *from) {
    struct mr_member_table *table = table_new(memory, PARTS);
    if (table == NULL) {
        return NULL;
    }
    table->is_parted = true;
    uint32_t counts[PARTS] = {0};
    for (uint32_t i = 0; i < from->capacity; i++) {
        uint32_t subscriber = mr_member_subscriber(slot_get(from, i));
        counts[hash_part(subscriber_hash(subscriber))] += subscriber != 0;
    }
    for (uint32_t i = 0; i < PARTS; i++) {
        struct mr_member_table *part = table_new(memory, capacity_for(counts[i] + 1));
        if (part == NULL) {
            table_free_all(memory, table);
            return NULL;
        }
        slot_set(table, i, (uint64_t)(uintptr_t)part);
    }
    for (uint32_t i = 0; i < from->capacity; i++) {
        uint64_t word = slot_get(from, i);
        uint32_t subscriber = mr_member_subscriber(word);
        if (subscriber != 0) {
            plain_put(part_get(table, hash_part(subscriber_hash(subscriber))), word);
        }
    }
    table->live_count = from->live_count;
    return table;
}

// The plain table of what the table in parts `from` has; or NULL.
static struct mr_member_table *plain_from_parted(struct mr_trie_memory *memory,
                                                 const struct mr_member_table *from) {
    struct mr_member_table *table = table_new(memory, capacity_for(from->live_count));
    for (uint32_t i = 0; table != NULL && i < PARTS; i++) {
        plain_copy(table, part_get(from, i));
    }
    return table;
}

static void more_replace(struct mr_members *members, struct mr_trie_memory *memory,
                         struct mr_member_table *table) {
    struct mr_member_table *old = more_get(members);
    atomic_store_explicit(&members->more, table, memory_order_release);
    if (old == NULL) {
        return;
    }
    for (uint32_t i = 0; old->is_parted && i < PARTS; i++) {
        table_retire(memory, part_get(old, i));
    }
    table_retire(memory, old);
}

// Sees to it that the plain table that is to take `subscriber` has room. Returns that
// table, or NULL without memory.
static struct mr_member_table *make_room(struct mr_members *members, struct mr_trie_memory *memory,
                                         uint32_t subscriber) {
    struct mr_member_table *table = more_get(members);
    if (table == NULL || (!table->is_parted && table_is_full(table))) {
        uint32_t count = table == NULL ? 1 : table->live_count + 1;
        struct mr_member_table *bigger = capacity_for(count) > PLAIN_CAPACITY_MAX
                                             ? parted_from_plain(memory, table)
                                             : plain_rebuilt(memory, table, count);
        if (bigger == NULL) {
            return NULL;
        }
        more_replace(members, memory, bigger);
        table = bigger;
    }
    if (!table->is_parted) {
        return table;
    }
    uint32_t at = hash_part(subscriber_hash(subscriber));
    struct mr_member_table *part = part_get(table, at);
    if (!table_is_full(part)) {
        return part;
    }
    if (capacity_for(part->live_count + 1) > PART_CAPACITY_MAX) {
        return NULL;
    }
    struct mr_member_table *bigger = plain_rebuilt(memory, part, part->live_count + 1);
    if (bigger != NULL) {
        slot_set(table, at, (uint64_t)(uintptr_t)bigger);
        table_retire(memory, part);
    }
    return bigger;
}

// The plain table that has `subscriber`, if any has; NULL without any table.
static struct mr_member_table *table_of(const struct mr_members *members, uint32_t subscriber) {
    struct mr_member_table *table = more_get(members);
    if (table != NULL && table->is_parted) {
        table = part_get(table, hash_part(subscriber_hash(subscriber)));
    }
    return table;
}

void mr_members_fini(struct mr_members *members, struct mr_trie_memory *memory) {
    struct mr_member_table *table = more_get(members);
    if (table != NULL) {
        table_free_all(memory, table);
    }
}

enum mr_err mr_members_put(struct mr_members *members, struct mr_trie_memory *memory, uint64_t word,
                           uint64_t *old_out) {
    uint32_t subscriber = mr_member_subscriber(word);
    uint64_t first = atomic_load_explicit(&members->first, memory_order_relaxed);
    if (mr_member_subscriber(first) == subscriber) {
        *old_out = first;
        atomic_store_explicit(&members->first, word, memory_order_release);
        return MR_OK;
    }
    struct mr_member_table *table = table_of(members, subscriber);
    uint32_t free_index = 0;
    uint32_t index = table == NULL ? 0 : plain_find(table, subscriber, &free_index);
    if (table != NULL && index < table->capacity) {
        *old_out = slot_get(table, index);
        slot_set(table, index, word);
        return MR_OK;
    }
    if (first == 0) {
        *old_out = 0;
        atomic_store_explicit(&members->first, word, memory_order_release);
        return MR_OK;
    }
    table = make_room(members, memory, subscriber);
    if (table == NULL) {
        return MR_ERR_NOMEM;
    }
    *old_out = 0;
    plain_put(table, word);
    struct mr_member_table *more = more_get(members);
    more->live_count += more->is_parted;
    return MR_OK;
}

// After a removal from `table`, which is the whole or a part: gives back what is no
// longer needed, if there is the memory to do so.
static void shrink(struct mr_members *members, struct mr_trie_memory *memory,
                   struct mr_member_table *table, uint32_t subscriber) {
    struct mr_member_table *more = more_get(members);
    if (more->live_count == 0) {
        more_replace(members, memory, NULL);
    } else if (more->is_parted && more->live_count < PLAIN_CAPACITY_MAX / SHRINK_RATIO) {
        struct mr_member_table *plain = plain_from_parted(memory, more);
        if (plain != NULL) {
            more_replace(members, memory, plain);
        }
    } else if (table->capacity > SHRINK_RATIO * CAPACITY_MIN &&
               table->live_count < table->capacity / SHRINK_RATIO) {
        struct mr_member_table *smaller = plain_rebuilt(memory, table, table->live_count);
        if (smaller == NULL) {
            return;
        }
        if (more->is_parted) {
            slot_set(more, hash_part(subscriber_hash(subscriber)), (uint64_t)(uintptr_t)smaller);
            table_retire(memory, table);
        } else {
            more_replace(members, memory, smaller);
        }
    }
}

uint64_t mr_members_drop(struct mr_members *members, struct mr_trie_memory *memory,
                         uint32_t subscriber) {
    uint64_t word = atomic_load_explicit(&members->first, memory_order_relaxed);
    if (mr_member_subscriber(word) == subscriber) {
        atomic_store_explicit(&members->first, 0, memory_order_release);
        return word;
    }
    struct mr_member_table *table = table_of(members, subscriber);
    uint32_t free_index = 0;
    uint32_t index = table == NULL ? 0 : plain_find(table, subscriber, &free_index);
    if (table == NULL || index == table->capacity) {
        return 0;
    }
    word = slot_get(table, index);
    slot_set(table, index, WORD_LEFT);
    table->live_count--;
    struct mr_member_table *more = more_get(members);
    more->live_count -= more->is_parted;
    shrink(members, memory, table, subscriber);
    return word;
}

uint64_t mr_members_get(const struct mr_members *members, uint32_t subscriber) {
    uint64_t word = atomic_load_explicit(&members->first, memory_order_acquire);
    if (mr_member_subscriber(word) == subscriber) {
        return word;
    }
    const struct mr_member_table *table = table_of(members, subscriber);
    if (table == NULL) {
        return 0;
    }
    // The word may be replaced meanwhile, also by another subscriber's.
    uint32_t free_index = 0;
    uint32_t index = plain_find(table, subscriber, &free_index);
    word = index == table->capacity ? 0 : slot_get(table, index);
    return mr_member_subscriber(word) == subscriber ? word : 0;
}

static void visit_word(uint64_t word, const struct mr_trie_visitor *visitor) {
    if (mr_member_subscriber(word) != 0) {
        struct mr_subscription subscription = mr_member_unpack(word);
        visitor->on_subscription(visitor->ctx, &subscription);
    }
}

static void plain_visit(const struct mr_member_table *table,
                        const struct mr_trie_visitor *visitor) {
    for (uint32_t i = 0; i < table->capacity; i++) {
        visit_word(slot_get(table, i), visitor);
    }
}

void mr_members_visit(const struct mr_members *members, const struct mr_trie_visitor *visitor) {
    visit_word(atomic_load_explicit(&members->first, memory_order_acquire), visitor);
    const struct mr_member_table *table = more_get(members);
    if (table == NULL) {
        return;
    }
    if (!table->is_parted) {
        plain_visit(table, visitor);
        return;
    }
    for (uint32_t i = 0; i < PARTS; i++) {
        plain_visit(part_get(table, i), visitor);
    }
}

struct search {
    bool (*usable)(void *ctx, uint32_t subscriber);
    void *ctx;
    uint64_t word;
    uint32_t position;
};

static bool search_take(struct search *search, uint64_t word, uint32_t position) {
    uint32_t subscriber = mr_member_subscriber(word);
    if (subscriber == 0 || (search->usable != NULL && !search->usable(search->ctx, subscriber))) {
        return false;
    }
    search->word = word;
    search->position = position;
    return true;
}

// Looks at the positions from `begin` to `end - 1`.
static bool search_range(const struct mr_members *members, uint64_t begin, uint64_t end,
                         struct search *search) {
    if (begin == 0 && end > 0) {
        uint64_t first = atomic_load_explicit(&members->first, memory_order_acquire);
        if (search_take(search, first, 0)) {
            return true;
        }
        begin = 1;
    }
    const struct mr_member_table *table = more_get(members);
    uint32_t part_count = table == NULL ? 0 : table->is_parted ? PARTS : 1;
    while (begin < end) {
        uint32_t at = (uint32_t)((begin - 1) >> POSITION_PART_SHIFT);
        if (at >= part_count) {
            return false;
        }
        const struct mr_member_table *part = table->is_parted ? part_get(table, at) : table;
        uint64_t part_begin = 1 + ((uint64_t)at << POSITION_PART_SHIFT);
        for (; begin < end && begin - part_begin < part->capacity; begin++) {
            uint64_t word = slot_get(part, (uint32_t)(begin - part_begin));
            if (search_take(search, word, (uint32_t)begin)) {
                return true;
            }
        }
        begin = part_begin + (UINT64_C(1) << POSITION_PART_SHIFT);
    }
    return false;
}

uint64_t mr_members_pick(const struct mr_members *members, _Atomic(uint32_t) *cursor,
                         bool (*usable)(void *ctx, uint32_t subscriber), void *ctx) {
    // Another thread's pick makes ours fail, so that it has to look again. After so many
    // failures one member gets two messages in a row, which does no harm.
    uint32_t tries_left = 8;
    uint32_t position = atomic_load_explicit(cursor, memory_order_relaxed);
    for (;;) {
        struct search search = {usable, ctx, 0, 0};
        uint64_t behind = (uint64_t)position + 1;
        bool found = search_range(members, behind, UINT64_MAX, &search) ||
                     search_range(members, 0, behind, &search);
        if (!found) {
            return 0;
        }
        bool done = atomic_compare_exchange_weak_explicit(
            cursor, &position, search.position, memory_order_relaxed, memory_order_relaxed);
        if (done || --tries_left == 0) {
            return search.word;
        }
    }
}
