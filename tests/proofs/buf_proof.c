// Reference counts of a shared buffer: from any counts, each call of the owner or of another
// thread keeps them right, and the buffer goes home with the last reference and not before. So by
// induction every row of calls does, however long.
//
// One call after the other, on one thread that changes sides: what happens between threads is
// for the model checkers and TSan.
#include "io/buf/buf.c"

#include "tests/proofs/proof.h"

// Beyond what any broker has; the counts have 32 bits.
#define REFS_MAX (1u << 30)

// References by who holds them; `sent` are on their way to another thread.
struct refs {
    uint32_t owner;
    uint32_t others;
    uint32_t sent;
};

static bool counts_right(const struct mr_buf *buf, const struct refs *refs) {
    return buf->local_refs == refs->owner &&
           buf->shared_refs == refs->others + refs->sent + (refs->owner != 0);
}

static bool is_home(const struct mr_buf_pool *pool, const struct mr_buf *buf) {
    return pool->stats.in_use_count == 0 || pool->returned == buf;
}

static void ref(struct mr_buf *buf, struct refs *refs, bool by_owner) {
    PROVE(mr_buf_ref(buf) == buf);
    refs->owner += by_owner;
    refs->others += !by_owner;
}

static void unref(struct mr_buf *buf, struct refs *refs, bool by_owner) {
    ASSUME(by_owner ? refs->owner != 0 : refs->others != 0);
    refs->owner -= by_owner;
    refs->others -= !by_owner;
    mr_buf_unref(buf);
}

static void send(struct mr_buf *buf, struct refs *refs, bool by_owner) {
    ASSUME(by_owner ? refs->owner != 0 : refs->others != 0);
    PROVE(mr_buf_ref_for_other(buf) == buf);
    refs->sent++;
}

static void adopt(struct mr_buf *buf, struct refs *refs, bool by_owner) {
    ASSUME(refs->sent != 0);
    mr_buf_adopt(buf);
    refs->sent--;
    refs->owner += by_owner;
    refs->others += !by_owner;
}

static void ask(const struct mr_buf *buf, const struct refs *refs, bool by_owner) {
    ASSUME(by_owner ? refs->owner != 0 : refs->others != 0);
    PROVE(mr_buf_is_unique(buf) == (refs->owner + refs->others + refs->sent == 1));
}

int main(void) {
    struct mr_buf_pool pool = {0};
    struct mr_buf_pool elsewhere = {0};
    struct mr_buf buf = {.pool = &pool, .capacity = CLASS_BYTES_MIN};
    struct refs refs;
    pool.options.cached_bytes_max = CACHED_BYTES_DEFAULT;
    pool.stats.in_use_count = 1;
    pool.stats.in_use_bytes = buf.capacity;
    refs.owner = nondet_u32();
    refs.others = nondet_u32();
    refs.sent = nondet_u32();
    ASSUME(refs.owner < REFS_MAX && refs.others < REFS_MAX && refs.sent < REFS_MAX);
    ASSUME(refs.owner + refs.others + refs.sent != 0);
    buf.local_refs = refs.owner;
    buf.shared_refs = refs.others + refs.sent + (refs.owner != 0);

    bool by_owner = nondet_bool();
    mr_buf_pool_enter(by_owner ? &pool : &elsewhere);
    switch (nondet_u8()) {
        case 0:
            // The owner may come back to what only others hold.
            ASSUME(by_owner || refs.others != 0);
            ref(&buf, &refs, by_owner);
            break;
        case 1:
            unref(&buf, &refs, by_owner);
            break;
        case 2:
            send(&buf, &refs, by_owner);
            break;
        case 3:
            adopt(&buf, &refs, by_owner);
            break;
        default:
            ask(&buf, &refs, by_owner);
            break;
    }
    bool last = refs.owner + refs.others + refs.sent == 0;
    PROVE(last || counts_right(&buf, &refs));
    PROVE(is_home(&pool, &buf) == last);
    REACHES(last && by_owner);
    REACHES(last && !by_owner);
    REACHES(!last && refs.owner == 0 && by_owner);

    if (last) {
        mr_buf_pool_enter(&pool);
        mr_buf_pool_collect(&pool);
        PROVE(pool.stats.in_use_count == 0 && pool.stats.in_use_bytes == 0);
        PROVE(pool.free[0] == &buf && pool.stats.cached_bytes == buf.capacity);
    }
    return 0;
}
