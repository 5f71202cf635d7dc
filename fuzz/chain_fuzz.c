// Appending by reference, by copy and in place, sending, consuming and compacting in any
// order, with buffers of two pools and with memory that runs out, against a plain array
// of bytes. The input is a sequence of operations.
#include "io/buf/chain.h"

#define BUFS_MAX 4u
#define IOV_MAX_FUZZED 24u
#define MODEL_BYTES_MAX (256u * 1024u)
// Beyond, an operation consumes first.
#define MODEL_BYTES_HIGH (64u * 1024u)
#define PIECE_BYTES_MAX (64u * 1024u)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct input {
    const uint8_t *data;
    size_t left;
};

struct world {
    struct mr_buf_pool *pool;   // Of the chain.
    struct mr_buf_pool *other;  // As if of another thread.
    struct mr_chain chain;
    struct mr_buf *bufs[BUFS_MAX];
    uint32_t offsets[BUFS_MAX];  // Where the last slice of each ended.
    struct mr_iov in_flight[IOV_MAX_FUZZED];
    size_t in_flight_count;
    size_t in_flight_bytes;
    uint8_t fill;
    uint8_t *model;  // What the chain must hold.
    size_t model_len;
};

static uint8_t model_memory[MODEL_BYTES_MAX];

static uint8_t next_byte(struct input *input) {
    if (input->left == 0) {
        return 0;
    }
    input->left--;
    return *input->data++;
}

// Mostly small, but up to what no chunk holds.
static size_t next_len(struct input *input) {
    uint8_t byte = next_byte(input);
    return byte < 224 ? byte : (size_t)(byte - 223) * 900;
}

static void model_append(struct world *world, const uint8_t *data, size_t len) {
    MR_ASSERT(world->model_len + len <= MODEL_BYTES_MAX);
    memcpy(world->model + world->model_len, data, len);
    world->model_len += len;
}

static void fill(struct world *world, uint8_t *data, size_t len) {
    world->fill = (uint8_t)(world->fill + 37);
    for (size_t i = 0; i < len; i++) {
        data[i] = (uint8_t)(world->fill + i);
    }
}

// ------------------------------------------------------------------ operations

static void op_buf_new(struct world *world, struct input *input) {
    uint8_t choice = next_byte(input);
    struct mr_buf **slot = &world->bufs[choice % BUFS_MAX];
    if (*slot != NULL) {
        mr_buf_unref(*slot);
        *slot = NULL;
    }
    bool is_foreign = (choice & 0x80) != 0;
    struct mr_buf_pool *pool = is_foreign ? world->other : world->pool;
    mr_buf_pool_enter(pool);
    struct mr_buf *buf = mr_buf_new(pool, next_len(input));
    if (buf != NULL) {
        fill(world, buf->data, buf->capacity);
        if (is_foreign) {
            mr_buf_ref_for_other(buf);
            mr_buf_unref(buf);
        }
    }
    mr_buf_pool_enter(world->pool);
    *slot = buf;
    world->offsets[choice % BUFS_MAX] = 0;
    if (buf != NULL && is_foreign) {
        mr_buf_adopt(buf);
    }
}

static void op_append_ref(struct world *world, struct input *input) {
    uint8_t choice = next_byte(input);
    struct mr_buf *buf = world->bufs[choice % BUFS_MAX];
    uint32_t *offset = &world->offsets[choice % BUFS_MAX];
    if (buf == NULL) {
        return;
    }
    // Often where the last slice ended; else somewhere.
    if ((choice & 0xc0) == 0) {
        *offset = (uint32_t)next_len(input);
    }
    if (*offset > buf->capacity) {
        *offset = 0;
    }
    size_t len = next_len(input);
    if (len > buf->capacity - *offset) {
        len = buf->capacity - *offset;
    }
    struct mr_slice slice = mr_slice_of(buf->data + *offset, len);
    if (mr_chain_append_ref(&world->chain, world->pool, buf, slice) == MR_OK) {
        model_append(world, slice.data, slice.len);
        *offset += (uint32_t)len;
    }
}

static void op_append_copy(struct world *world, struct input *input) {
    static uint8_t bytes[PIECE_BYTES_MAX];
    size_t len = next_len(input);
    fill(world, bytes, len);
    if (mr_chain_append_copy(&world->chain, world->pool, mr_slice_of(bytes, len)) == MR_OK) {
        model_append(world, bytes, len);
    }
}

static void op_encode(struct world *world, struct input *input) {
    size_t reserved = next_len(input);
    size_t used = next_len(input) % (reserved + 1);
    uint8_t *room = mr_chain_reserve(&world->chain, world->pool, reserved);
    if (room != NULL) {
        fill(world, room, reserved);
        mr_chain_commit(&world->chain, used);
        model_append(world, room, used);
    }
}

static void op_send(struct world *world, struct input *input) {
    size_t iov_max = next_byte(input) % (IOV_MAX_FUZZED + 1);
    world->in_flight_count = mr_chain_iov(&world->chain, world->in_flight, iov_max);
    world->in_flight_bytes = 0;
    for (size_t i = 0; i < world->in_flight_count; i++) {
        world->in_flight_bytes += world->in_flight[i].len;
    }
}

// The kernel took some or all of what it was given.
static void complete(struct world *world, size_t bytes) {
    mr_chain_consume(&world->chain, bytes);
    world->model_len -= bytes;
    memmove(world->model, world->model + bytes, world->model_len);
    world->in_flight_count = 0;
    world->in_flight_bytes = 0;
}

static void op_complete(struct world *world, struct input *input) {
    uint8_t choice = next_byte(input);
    size_t bytes = world->in_flight_bytes;
    complete(world, (choice & 1) == 0 ? bytes : bytes * (choice >> 1) / 128);
}

static void op_compact(struct world *world, struct input *input) {
    (void)input;
    mr_chain_compact(&world->chain, world->pool, world->in_flight_bytes);
}

static void op_clear(struct world *world, struct input *input) {
    if (next_byte(input) % 8 == 0) {
        mr_chain_clear(&world->chain);
        complete(world, 0);
        world->model_len = 0;
    }
}

static void op_collect(struct world *world, struct input *input) {
    (void)input;
    mr_buf_pool_enter(world->other);
    mr_buf_pool_collect(world->other);
    mr_buf_pool_enter(world->pool);
    mr_buf_pool_collect(world->pool);
}

static void (*const ops[])(struct world *world, struct input *input) = {
    op_buf_new, op_append_ref, op_append_ref, op_append_ref, op_append_copy, op_encode,
    op_send,    op_complete,   op_compact,    op_clear,      op_collect,
};

// ---------------------------------------------------------------------- checks

// Do the pieces hold the beginning of the model? Returns their length.
static size_t check_pieces(const struct world *world, const struct mr_iov *iov, size_t count) {
    size_t offset = 0;
    for (size_t i = 0; i < count; i++) {
        MR_ASSERT(iov[i].len > 0);
        MR_ASSERT(iov[i].len <= world->model_len - offset);
        MR_ASSERT(memcmp(iov[i].base, world->model + offset, iov[i].len) == 0);
        offset += iov[i].len;
    }
    return offset;
}

static void check(const struct world *world) {
    static struct mr_iov iov[MODEL_BYTES_MAX];
    MR_ASSERT(mr_chain_bytes(&world->chain) == world->model_len);
    size_t count = mr_chain_iov(&world->chain, iov, MODEL_BYTES_MAX);
    MR_ASSERT(check_pieces(world, iov, count) == world->model_len);
    check_pieces(world, world->in_flight, world->in_flight_count);
    if (world->model_len == 0) {
        uint64_t own_count = 0;
        for (size_t i = 0; i < BUFS_MAX; i++) {
            own_count += world->bufs[i] != NULL && world->bufs[i]->pool == world->pool;
        }
        struct mr_buf_stats stats;
        mr_buf_pool_stats(world->pool, &stats);
        MR_ASSERT(stats.in_use_count == own_count);
    }
}

static void finish(struct world *world) {
    mr_chain_clear(&world->chain);
    for (size_t i = 0; i < BUFS_MAX; i++) {
        if (world->bufs[i] != NULL) {
            mr_buf_unref(world->bufs[i]);
        }
    }
    // They insist that everything came home.
    mr_buf_pool_free(world->pool);
    mr_buf_pool_free(world->other);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct input input = {data, size};
    struct world world = {.model = model_memory};
    struct mr_buf_pool_options options = {.cached_bytes_max = 64u * 1024u};
    if (mr_buf_pool_new(&world.other, &options) != MR_OK) {
        return 0;
    }
    uint8_t limit = next_byte(&input);
    options.bytes_max = (uint64_t)limit * 512;  // 0 for none.
    if (mr_buf_pool_new(&world.pool, &options) != MR_OK) {
        mr_buf_pool_free(world.other);
        return 0;
    }
    mr_buf_pool_enter(world.pool);
    while (input.left > 0) {
        ops[next_byte(&input) % MR_ARRAY_COUNT(ops)](&world, &input);
        check(&world);
        if (world.model_len > MODEL_BYTES_HIGH) {
            complete(&world, world.model_len - world.model_len / 4);
        }
    }
    finish(&world);
    return 0;
}
