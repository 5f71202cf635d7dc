// Pushing, publishing, popping, falling asleep and waking up in any order, against a plain
// array. The input is a sequence of operations; the first two bytes choose the ring.
#include "io/ring/ring.h"

#define ENTRIES_MAX (1u << 16)
#define ENTRY_BYTES_MAX 40u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct world {
    struct mr_ring *ring;
    uint32_t entry_count;
    uint32_t entry_bytes;
    // Entries are numbered; all below `popped` were popped, all below `published` are
    // visible, all below `pushed` are in.
    uint32_t popped;
    uint32_t published;
    uint32_t pushed;
    bool asleep;
};

// What entry number `number` holds.
static void entry_fill(const struct world *world, uint8_t *entry, uint32_t number) {
    for (uint32_t i = 0; i < world->entry_bytes; i++) {
        entry[i] = (uint8_t)(number * 31 + (number >> 8) + i * 7);
    }
}

static void op_push(struct world *world) {
    uint8_t entry[ENTRY_BYTES_MAX];
    entry_fill(world, entry, world->pushed);
    bool has_room = world->pushed - world->popped < world->entry_count;
    MR_ASSERT(mr_ring_push(world->ring, entry) == has_room);
    world->pushed += has_room;
}

static void op_publish(struct world *world) {
    bool must_wake = world->asleep && world->published != world->pushed;
    MR_ASSERT(mr_ring_publish(world->ring) == must_wake);
    world->published = world->pushed;
    // Whoever is woken calls awake some time later; until then it isn't woken again.
    world->asleep = world->asleep && !must_wake;
}

static void op_pop(struct world *world) {
    uint8_t expected[ENTRY_BYTES_MAX];
    uint8_t entry[ENTRY_BYTES_MAX + 1];
    bool has_entry = world->popped != world->published;
    entry[world->entry_bytes] = 0xa5;
    MR_ASSERT(mr_ring_pop(world->ring, entry) == has_entry);
    MR_ASSERT(entry[world->entry_bytes] == 0xa5);
    if (has_entry) {
        entry_fill(world, expected, world->popped);
        MR_ASSERT(memcmp(entry, expected, world->entry_bytes) == 0);
        world->popped++;
    }
}

static void op_sleep(struct world *world) {
    world->asleep = world->popped == world->published;
    MR_ASSERT(mr_ring_sleep(world->ring) == world->asleep);
}

static void op_awake(struct world *world) {
    mr_ring_awake(world->ring);
    world->asleep = false;
}

static void op_free_count(struct world *world, uint32_t wanted) {
    uint32_t free_count = world->entry_count - (world->pushed - world->popped);
    uint32_t answer = mr_ring_free_count(world->ring, wanted);
    // At least as many as it says; and it says the truth when it would not suffice.
    MR_ASSERT(answer <= free_count);
    MR_ASSERT(answer >= wanted || answer == free_count);
}

static void step(struct world *world, uint8_t op) {
    uint32_t repeat = 1u + (op >> 3);
    for (uint32_t i = 0; i < repeat; i++) {
        switch (op & 7u) {
            case 0:
            case 1:
                op_push(world);
                break;
            case 2:
                op_publish(world);
                break;
            case 3:
            case 4:
                op_pop(world);
                break;
            case 5:
                op_sleep(world);
                break;
            case 6:
                op_awake(world);
                break;
            default:
                op_free_count(world, i);
                break;
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 2) {
        return 0;
    }
    struct world world = {
        .entry_count = 1u << (data[0] % 8),
        .entry_bytes = 1u + data[1] % ENTRY_BYTES_MAX,
    };
    if (mr_ring_new(&world.ring, world.entry_count, world.entry_bytes) != MR_OK) {
        return 0;
    }
    for (size_t i = 2; i < size && i < ENTRIES_MAX; i++) {
        step(&world, data[i]);
    }
    mr_ring_free(world.ring);
    return 0;
}
