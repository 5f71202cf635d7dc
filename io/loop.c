// The loop itself: what a turn consists of, in which order.
#include "io/internal.h"

#include <stdlib.h>

#define SEND_TURN_BYTES_MAX (UINT64_C(1) << 20)

static void clock_update(struct mr_loop *loop) {
    loop->core.backend->loop_clock(loop, &loop->now_ms, &loop->wall_ms);
}

enum mr_err mr_loop_new(struct mr_loop **out, const struct mr_io_backend *backend,
                        const struct mr_loop_options *options) {
    struct mr_loop *loop = calloc(1, sizeof *loop);
    if (loop == NULL) {
        return MR_ERR_NOMEM;
    }
    loop->core.backend = backend;
    loop->core.send_turn_bytes_max = SEND_TURN_BYTES_MAX;
    if (options != NULL) {
        loop->options = *options;
    }
    mr_recv_init(loop);
    enum mr_err err = mr_buf_pool_new(&loop->core.pool, &loop->options.pool);
    if (err != MR_OK) {
        goto fail;
    }
    err = backend->loop_open(loop);
    if (err != MR_OK) {
        goto fail;
    }
    clock_update(loop);
    mr_wheel_init(&loop->wheel, loop->now_ms);
    *out = loop;
    return MR_OK;
fail:
    mr_buf_pool_free(loop->core.pool);
    free(loop);
    return err;
}

void mr_loop_free(struct mr_loop *loop) {
    if (loop == NULL) {
        return;
    }
    MR_ASSERT(loop->stream_count == 0);
    MR_ASSERT(loop->listeners == NULL);
    // The last buffers go home, which is something only the owner of the pool may do.
    struct mr_buf_pool *entered = mr_buf_pool_current;
    mr_buf_pool_enter(loop->core.pool);
    loop->core.backend->loop_close(loop);
    mr_listener_reap(loop);
    MR_ASSERT(loop->listeners_closing == NULL);
    mr_recv_fini(loop);
    mr_buf_pool_enter(entered == loop->core.pool ? NULL : entered);
    mr_buf_pool_free(loop->core.pool);
    free(loop);
}

// --------------------------------------------------------------------- waking up

void mr_loop_wake(struct mr_loop *loop) {
    uint32_t before = __atomic_exchange_n(&loop->wake_state, MR_WAKE_WOKEN, __ATOMIC_SEQ_CST);
    if (before == MR_WAKE_ASLEEP) {
        loop->core.backend->loop_wake(loop);
    }
}

// False if somebody has called already.
static bool fall_asleep(struct mr_loop *loop) {
    uint32_t expected = MR_WAKE_AWAKE;
    return __atomic_compare_exchange_n(&loop->wake_state, &expected, MR_WAKE_ASLEEP, false,
                                       __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
}

static void get_up(struct mr_loop *loop) {
    uint32_t expected = MR_WAKE_ASLEEP;
    __atomic_compare_exchange_n(&loop->wake_state, &expected, MR_WAKE_AWAKE, false,
                                __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
}

static void wakes_run(struct mr_loop *loop) {
    if (__atomic_load_n(&loop->wake_state, __ATOMIC_RELAXED) != MR_WAKE_WOKEN) {
        return;
    }
    __atomic_exchange_n(&loop->wake_state, MR_WAKE_AWAKE, __ATOMIC_SEQ_CST);
    loop->core.stats.wake_count++;
    if (loop->options.on_wake != NULL) {
        loop->options.on_wake(loop->options.ctx);
    }
}

// ----------------------------------------------------------------------- a turn

static uint64_t wait_ms_get(const struct mr_loop *loop, uint64_t wait_ms_max) {
    if (loop->no_wait) {
        return 0;
    }
    uint64_t next_ms = mr_wheel_next_ms(&loop->wheel);
    if (next_ms == MR_WHEEL_NEVER) {
        return wait_ms_max;
    }
    uint64_t wait_ms = next_ms > loop->now_ms ? next_ms - loop->now_ms : 0;
    return wait_ms < wait_ms_max ? wait_ms : wait_ms_max;
}

// Moves whenever a turn had something to do.
static uint64_t activity(const struct mr_loop *loop) {
    const struct mr_loop_stats *stats = &loop->core.stats;
    return stats->recv_count + stats->send_count + stats->accept_count + stats->wake_count;
}

static void stay_busy(struct mr_loop *loop) {
    uint64_t count = activity(loop);
    if (count != loop->busy_seen_count) {
        loop->busy_seen_count = count;
        loop->busy_until_ms = loop->now_ms + loop->options.busy_poll_ms;
    }
}

static enum mr_err turn(struct mr_loop *loop, uint64_t wait_ms_max) {
    const struct mr_io_backend *backend = loop->core.backend;
    uint64_t wait_ms = wait_ms_get(loop, wait_ms_max);
    if (loop->now_ms < loop->busy_until_ms) {
        wait_ms = 0;
    }
    if (wait_ms > 0 && !fall_asleep(loop)) {
        wait_ms = 0;
    }
    enum mr_err err = backend->loop_wait(loop, wait_ms);
    get_up(loop);
    if (err != MR_OK) {
        return err;
    }
    loop->core.stats.turn_count++;
    loop->no_wait = false;
    clock_update(loop);
    mr_buf_pool_collect(loop->core.pool);
    loop->core.recv_loop_bytes_left = loop->options.recv_loop_bytes_max;

    // First, so that who has used up a share of this turn doesn't get another one.
    mr_stream_run_recv(loop);
    backend->loop_deliver(loop);
    mr_wheel_advance(&loop->wheel, loop->now_ms);
    wakes_run(loop);
    bool more = loop->options.on_turn_end != NULL && loop->options.on_turn_end(loop->options.ctx);

    // What is queued by now is settled; what that brings up, callbacks included, is for the
    // next turn, which then mustn't wait: on_turn_end hasn't seen it yet.
    loop->no_wait = more;
    mr_stream_run_settle(loop);
    mr_listener_reap(loop);
    if (loop->options.busy_poll_ms > 0) {
        stay_busy(loop);
    }
    return MR_OK;
}

enum mr_err mr_loop_run(struct mr_loop *loop) {
    mr_buf_pool_enter(loop->core.pool);
    loop->stopping = false;
    while (!loop->stopping) {
        MR_TRY(turn(loop, MR_IO_WAIT_FOREVER));
    }
    return MR_OK;
}

enum mr_err mr_loop_run_once(struct mr_loop *loop, uint32_t wait_ms_max) {
    mr_buf_pool_enter(loop->core.pool);
    return turn(loop, wait_ms_max);
}

void mr_loop_stop(struct mr_loop *loop) {
    loop->stopping = true;
}

// --------------------------------------------------------------------- questions

struct mr_buf_pool *mr_loop_pool(struct mr_loop *loop) {
    return loop->core.pool;
}

void mr_loop_stats(const struct mr_loop *loop, struct mr_loop_stats *out) {
    *out = loop->core.stats;
}

const char *mr_loop_backend_name(const struct mr_loop *loop) {
    return loop->core.backend->name;
}

uint64_t mr_loop_now_ms(const struct mr_loop *loop) {
    return loop->now_ms;
}

uint64_t mr_loop_wall_ms(const struct mr_loop *loop) {
    return loop->wall_ms;
}
