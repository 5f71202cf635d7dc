#include "io/buf/chain.h"

#include <assert.h>

// A run of bytes in one buffer, which it references.
struct segment {
    struct mr_buf *buf;
    const uint8_t *data;
    uint32_t len;
    bool is_copy;    // The buffer is this chain's own: bytes were copied or encoded into it.
    bool is_moving;  // While compacting: this one will be copied out.
};

// Where small pieces go, one behind the other.
struct gather {
    // Has a reference of its own beside those of the segments in it. May be NULL.
    struct mr_buf *chunk;
    // The last run of pieces that mr_chain_append_ref() copied: where its source ended
    // and how long it was. Only compared, never read through.
    const uint8_t *run_end;
    uint32_t run_len;
    uint32_t chunk_used;  // Bytes of the chunk from here on are free.
};

// Segments, oldest first, in the memory of `buf`. All but the last block are full.
struct mr_chain_block {
    struct mr_chain_block *next;
    struct mr_buf *buf;
    // Of the chain, but here so that an empty one needs no room for it. Only that of the
    // last block counts; it moves on with each new one.
    struct gather gather;
    uint32_t first;  // Index of the oldest segment.
    uint32_t end;    // Index behind the youngest.
    uint32_t max;
    struct segment segments[];
};

// Both start small, because most connections have little pending at most times, and
// double while the chain isn't empty. A chunk is also no larger than what is pending, so
// that a chain that is never empty, but never long, doesn't come to hold the largest.
#define BLOCK_BYTES_MIN 160u
#define BLOCK_BYTES_MAX 1024u
#define CHUNK_BYTES_MIN 256u
#define CHUNK_BYTES_MAX (16u * 1024u)

static_assert(sizeof(struct mr_chain_block) + 4 * sizeof(struct segment) <= BLOCK_BYTES_MIN,
              "the first block holds a few segments");

// ------------------------------------------------------------ blocks and chunk

static uint32_t grown(uint32_t bytes, uint32_t bytes_max) {
    return bytes >= bytes_max / 2 ? bytes_max : bytes * 2;
}

// Appends an empty block.
static bool block_append(struct mr_chain *chain, struct mr_buf_pool *pool) {
    struct mr_chain_block *tail = chain->tail;
    uint32_t bytes = tail == NULL ? BLOCK_BYTES_MIN : grown(tail->buf->capacity, BLOCK_BYTES_MAX);
    struct mr_buf *buf = mr_buf_new(pool, bytes);
    if (MR_UNLIKELY(buf == NULL)) {
        return false;
    }
    struct mr_chain_block *block = (void *)buf->data;
    *block = (struct mr_chain_block){
        .buf = buf,
        .max = (uint32_t)((buf->capacity - sizeof(*block)) / sizeof(struct segment)),
    };
    if (tail == NULL) {
        chain->head = block;
    } else {
        block->gather = tail->gather;
        tail->gather = (struct gather){0};
        tail->next = block;
    }
    chain->tail = block;
    return true;
}

// Makes sure that one segment can be appended without failing.
static bool segment_prepare(struct mr_chain *chain, struct mr_buf_pool *pool) {
    return (chain->tail != NULL && chain->tail->end < chain->tail->max) ||
           block_append(chain, pool);
}

// Takes the caller's reference to `buf`.
static void segment_push(struct mr_chain *chain, struct mr_buf *buf, const uint8_t *data,
                         uint32_t len, bool is_copy) {
    struct mr_chain_block *tail = chain->tail;
    tail->segments[tail->end++] = (struct segment){buf, data, len, is_copy, false};
    chain->bytes += len;
}

static void segment_lengthen(struct mr_chain *chain, struct segment *segment, size_t len) {
    segment->len += (uint32_t)len;
    chain->bytes += len;
}

// Returns the youngest segment, or NULL. A last block without segments, which only a
// reservation leaves, hides it; that costs one segment and no more.
static struct segment *segment_last(const struct mr_chain *chain) {
    struct mr_chain_block *tail = chain->tail;
    return tail == NULL || tail->end == tail->first ? NULL : &tail->segments[tail->end - 1];
}

static bool segment_ends_at(const struct segment *segment, const struct mr_buf *buf,
                            const uint8_t *data) {
    return segment != NULL && segment->buf == buf && segment->data + segment->len == data;
}

static size_t chunk_room(const struct mr_chain *chain) {
    const struct mr_chain_block *tail = chain->tail;
    return tail == NULL || tail->gather.chunk == NULL
               ? 0
               : tail->gather.chunk->capacity - tail->gather.chunk_used;
}

// Is the youngest segment one that new bytes in the chunk would lengthen?
static bool chunk_is_last(const struct mr_chain *chain) {
    const struct mr_chain_block *tail = chain->tail;
    return tail != NULL && tail->gather.chunk != NULL &&
           segment_ends_at(segment_last(chain), tail->gather.chunk,
                           tail->gather.chunk->data + tail->gather.chunk_used);
}

// Appends the next `len` bytes of the chunk. There must be room, and either the last
// segment reaches up to them or one was prepared.
static void chunk_extend(struct mr_chain *chain, size_t len) {
    struct mr_chain_block *tail = chain->tail;
    if (chunk_is_last(chain)) {
        segment_lengthen(chain, segment_last(chain), len);
    } else {
        segment_push(chain, mr_buf_ref(tail->gather.chunk),
                     tail->gather.chunk->data + tail->gather.chunk_used, (uint32_t)len, true);
    }
    tail->gather.chunk_used += (uint32_t)len;
}

// Returns owned a chunk to follow the present one, with room for at least `bytes`.
static struct mr_buf *chunk_new(const struct mr_chain *chain, struct mr_buf_pool *pool,
                                size_t bytes) {
    const struct mr_chain_block *tail = chain->tail;
    size_t size = CHUNK_BYTES_MIN;
    if (tail != NULL && tail->gather.chunk != NULL && chain->bytes > CHUNK_BYTES_MIN) {
        size = grown(tail->gather.chunk->capacity, CHUNK_BYTES_MAX);
        size = chain->bytes < size ? (size_t)chain->bytes : size;
    }
    return mr_buf_new(pool, bytes > size ? bytes : size);
}

// Takes the caller's reference to `chunk`.
static void chunk_replace(struct mr_chain *chain, struct mr_buf *chunk) {
    struct mr_chain_block *tail = chain->tail;
    if (tail->gather.chunk != NULL) {
        mr_buf_unref(tail->gather.chunk);
    }
    tail->gather.chunk = chunk;
    tail->gather.chunk_used = 0;
}

// Starts a new chunk, with a segment prepared, so that chunk_extend() works for `len`
// contiguous bytes. On failure the chain holds what it held.
static bool chunk_renew(struct mr_chain *chain, struct mr_buf_pool *pool, size_t len) {
    struct mr_buf *chunk = chunk_new(chain, pool, len);
    if (MR_UNLIKELY(chunk == NULL)) {
        return false;
    }
    if (MR_UNLIKELY(!segment_prepare(chain, pool))) {
        mr_buf_unref(chunk);
        return false;
    }
    chunk_replace(chain, chunk);
    return true;
}

// The same in the present chunk, if it has room.
static bool chunk_prepare(struct mr_chain *chain, struct mr_buf_pool *pool, size_t len) {
    if (MR_LIKELY(chunk_room(chain) >= len)) {
        return chunk_is_last(chain) || segment_prepare(chain, pool);
    }
    return chunk_renew(chain, pool, len);
}

// ------------------------------------------------------------------- appending

enum mr_err mr_chain_append_copy(struct mr_chain *chain, struct mr_buf_pool *pool,
                                 struct mr_slice slice) {
    if (slice.len == 0) {
        return MR_OK;
    }
    size_t head_len = 0;
    if (slice.len <= chunk_room(chain)) {
        if (MR_UNLIKELY(!chunk_prepare(chain, pool, slice.len))) {
            return MR_ERR_NOMEM;
        }
    } else {
        // What is left of the chunk is filled up if that lengthens the last segment: it
        // doesn't cost one more then.
        struct segment *last = segment_last(chain);
        head_len = chunk_is_last(chain) ? chunk_room(chain) : 0;
        if (MR_UNLIKELY(!chunk_renew(chain, pool, slice.len - head_len))) {
            return MR_ERR_NOMEM;
        }
        if (head_len > 0) {
            memcpy(last->buf->data + last->buf->capacity - head_len, slice.data, head_len);
            segment_lengthen(chain, last, head_len);
        }
    }
    struct mr_chain_block *tail = chain->tail;
    memcpy(tail->gather.chunk->data + tail->gather.chunk_used, slice.data + head_len,
           slice.len - head_len);
    chunk_extend(chain, slice.len - head_len);
    return MR_OK;
}

// Is it cheaper to copy a small piece than to reference it?
static bool copy_is_cheaper(const struct mr_chain *chain, const struct mr_buf *buf) {
    if (buf->pool != mr_buf_pool_current) {
        // Two atomic operations on a line that other workers use at the same time cost
        // more than copying four lines, and the owner gets its buffer back sooner.
        return true;
    }
    // Alone, a reference is as good as a copy and can be lengthened. Behind copied bytes,
    // a copy needs no entry of its own. A second small piece shows that pieces come from
    // many buffers: from then on they are gathered. Between large pieces each needs an
    // entry anyway.
    const struct segment *last = segment_last(chain);
    return last != NULL && (last->is_copy || last->len <= MR_CHAIN_COPY_BYTES);
}

enum mr_err mr_chain_append_ref(struct mr_chain *chain, struct mr_buf_pool *pool,
                                struct mr_buf *buf, struct mr_slice slice) {
    if (slice.len == 0) {
        return MR_OK;
    }
    MR_DEBUG_ASSERT(slice.data >= buf->data);
    MR_DEBUG_ASSERT(slice.len <= buf->capacity - (size_t)(slice.data - buf->data));
    struct segment *last = segment_last(chain);
    if (segment_ends_at(last, buf, slice.data)) {
        segment_lengthen(chain, last, slice.len);
        return MR_OK;
    }
    uint64_t run_len = slice.len;
    if (chain->tail != NULL && chain->tail->gather.run_end == slice.data) {
        run_len += chain->tail->gather.run_len;
    }
    // If there is no memory for the copy, there may still be a free segment.
    if (run_len <= MR_CHAIN_COPY_BYTES && copy_is_cheaper(chain, buf) &&
        mr_chain_append_copy(chain, pool, slice) == MR_OK) {
        chain->tail->gather.run_end = slice.data + slice.len;
        chain->tail->gather.run_len = (uint32_t)run_len;
        return MR_OK;
    }
    if (MR_UNLIKELY(!segment_prepare(chain, pool))) {
        return MR_ERR_NOMEM;
    }
    segment_push(chain, mr_buf_ref(buf), slice.data, (uint32_t)slice.len, false);
    return MR_OK;
}

uint8_t *mr_chain_reserve(struct mr_chain *chain, struct mr_buf_pool *pool, size_t bytes) {
    // Also for no bytes there is an address to return.
    if (MR_UNLIKELY(!chunk_prepare(chain, pool, bytes > 0 ? bytes : 1))) {
        return NULL;
    }
    return chain->tail->gather.chunk->data + chain->tail->gather.chunk_used;
}

void mr_chain_commit(struct mr_chain *chain, size_t bytes_used) {
    MR_ASSERT(bytes_used <= chunk_room(chain));
    if (bytes_used > 0) {
        chunk_extend(chain, bytes_used);
    } else if (chain->bytes == 0) {
        mr_chain_clear(chain);
    }
}

// --------------------------------------------------------------------- sending

size_t mr_chain_iov(const struct mr_chain *chain, struct mr_iov *out, size_t iov_max) {
    size_t count = 0;
    for (const struct mr_chain_block *block = chain->head; block != NULL; block = block->next) {
        for (uint32_t i = block->first; i < block->end; i++) {
            if (count == iov_max) {
                return count;
            }
            out[count++] = (struct mr_iov){block->segments[i].data, block->segments[i].len};
        }
    }
    return count;
}

void mr_chain_consume(struct mr_chain *chain, uint64_t bytes) {
    MR_ASSERT(bytes <= chain->bytes);
    if (bytes == chain->bytes) {
        mr_chain_clear(chain);
        return;
    }
    // Bytes remain, so there is always a next segment, and only the last block may be
    // without any.
    chain->bytes -= bytes;
    while (bytes > 0) {
        struct mr_chain_block *block = chain->head;
        struct segment *segment = &block->segments[block->first];
        if (bytes < segment->len) {
            segment->data += bytes;
            segment->len -= (uint32_t)bytes;
            return;
        }
        bytes -= segment->len;
        mr_buf_unref(segment->buf);
        block->first++;
        if (block->first == block->end) {
            chain->head = block->next;
            mr_buf_unref(block->buf);
        }
    }
}

void mr_chain_clear(struct mr_chain *chain) {
    struct mr_chain_block *block = chain->head;
    while (block != NULL) {
        struct mr_chain_block *next = block->next;
        for (uint32_t i = block->first; i < block->end; i++) {
            mr_buf_unref(block->segments[i].buf);
        }
        if (block->gather.chunk != NULL) {
            mr_buf_unref(block->gather.chunk);
        }
        mr_buf_unref(block->buf);
        block = next;
    }
    *chain = (struct mr_chain){0};
}

// ------------------------------------------------------------------ compaction

// A slice is copied out if its share of the buffer, were that divided evenly among all
// who reference it, is more than so many times its length. So what thousands of chains
// share isn't copied for each of them, until only the slow ones are left.
#define COMPACT_WASTE_RATIO 4u
// Smaller buffers aren't worth the trouble.
#define COMPACT_CAPACITY_MIN 1024u

static bool segment_is_wasteful(const struct segment *segment) {
    const struct mr_buf *buf = segment->buf;
    uint64_t refs = __atomic_load_n(&buf->shared_refs, __ATOMIC_RELAXED);
    if (buf->pool == mr_buf_pool_current) {
        // Our own references stand for 1 in the shared count.
        refs += buf->local_refs - 1;
    }
    return buf->capacity >= COMPACT_CAPACITY_MIN &&
           segment->len <= buf->capacity / COMPACT_WASTE_RATIO / refs;
}

// Marks what shall be copied; returns whether there is any. First all are marked, then
// copied, because copying changes the counts of references.
static bool compact_mark(struct mr_chain *chain, uint64_t bytes_in_flight) {
    bool any = false;
    uint64_t offset = 0;
    for (struct mr_chain_block *block = chain->head; block != NULL; block = block->next) {
        for (uint32_t i = block->first; i < block->end; i++) {
            struct segment *segment = &block->segments[i];
            segment->is_moving = offset >= bytes_in_flight && segment_is_wasteful(segment);
            any = any || segment->is_moving;
            offset += segment->len;
        }
    }
    return any;
}

// How large a buffer the marked segments from index `i` of `block` on need, as many as
// go into one chunk, but at least the first.
static size_t compact_bytes(const struct mr_chain_block *block, uint32_t i) {
    size_t bytes = block->segments[i].len;
    for (i++; block != NULL; block = block->next, i = block == NULL ? 0 : block->first) {
        for (; i < block->end; i++) {
            if (!block->segments[i].is_moving) {
                continue;
            }
            if (bytes + block->segments[i].len > CHUNK_BYTES_MAX) {
                return bytes;
            }
            bytes += block->segments[i].len;
        }
    }
    return bytes;
}

static void segment_move(struct segment *segment, struct mr_buf *buf, uint8_t *data) {
    memcpy(data, segment->data, segment->len);
    mr_buf_unref(segment->buf);
    segment->buf = mr_buf_ref(buf);
    segment->data = data;
    segment->is_copy = true;
}

static void compact_move(struct mr_chain *chain, struct mr_buf_pool *pool) {
    struct mr_buf *target = NULL;
    size_t room = 0;
    for (struct mr_chain_block *block = chain->head; block != NULL; block = block->next) {
        for (uint32_t i = block->first; i < block->end; i++) {
            struct segment *segment = &block->segments[i];
            if (!segment->is_moving) {
                continue;
            }
            if (target == NULL || room < segment->len) {
                if (target != NULL) {
                    mr_buf_unref(target);
                }
                target = mr_buf_new(pool, compact_bytes(block, i));
                if (target == NULL) {
                    return;
                }
                room = target->capacity;
            }
            segment_move(segment, target, target->data + target->capacity - room);
            room -= segment->len;
        }
    }
    if (target != NULL) {
        mr_buf_unref(target);
    }
}

// Makes one of neighbours that were copied one behind the other, moves the segments
// together and releases the blocks that aren't needed any more.
static void compact_blocks(struct mr_chain *chain) {
    // What is written never overtakes what is read, because blocks were full.
    struct mr_chain_block *to_block = chain->head;
    uint32_t to = to_block->first;
    struct segment *last = NULL;
    for (struct mr_chain_block *block = chain->head; block != NULL; block = block->next) {
        for (uint32_t i = block->first; i < block->end; i++) {
            struct segment segment = block->segments[i];
            if (segment_ends_at(last, segment.buf, segment.data)) {
                last->len += segment.len;
                mr_buf_unref(segment.buf);
                continue;
            }
            if (to == to_block->max) {
                to_block = to_block->next;
                to = 0;
            }
            last = &to_block->segments[to++];
            *last = segment;
        }
    }
    to_block->end = to;
    if (to_block != chain->tail) {
        to_block->gather = chain->tail->gather;
        chain->tail->gather = (struct gather){0};
    }
    chain->tail = to_block;
    struct mr_chain_block *block = to_block->next;
    to_block->next = NULL;
    while (block != NULL) {
        struct mr_chain_block *next = block->next;
        mr_buf_unref(block->buf);
        block = next;
    }
}

void mr_chain_compact(struct mr_chain *chain, struct mr_buf_pool *pool, uint64_t bytes_in_flight) {
    if (compact_mark(chain, bytes_in_flight)) {
        compact_move(chain, pool);
        compact_blocks(chain);
    }
    // Where no bytes are pending any more, free room behind them would pin as much.
    struct mr_chain_block *tail = chain->tail;
    if (tail != NULL && tail->gather.chunk != NULL && mr_buf_is_unique(tail->gather.chunk)) {
        mr_buf_unref(tail->gather.chunk);
        tail->gather.chunk = NULL;
    }
}
