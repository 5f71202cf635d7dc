// What both styles do with a stream.
#include <errno.h>

#include "io/sim/internal.h"

#define IOV_COUNT 64u

bool sim_readable(const struct mr_sim_end *end) {
    return sim_pipe_visible(&end->in, end->sim->now_ms) > 0 || sim_pipe_at_end(&end->in);
}

bool sim_send_dead(const struct mr_sim_end *end) {
    return end->near_closed || end->in.reset || end->out.reset;
}

void sim_maybe_reset(struct mr_sim_end *end) {
    if (sim_chance(end->sim, end->sim->options.reset_permille)) {
        mr_sim_reset(end);
    }
}

size_t sim_move_out(struct mr_sim_end *end, size_t max) {
    struct mr_iov iov[IOV_COUNT];
    size_t count = mr_chain_iov(&end->stream->out, iov, IOV_COUNT);
    size_t moved = 0;
    for (size_t i = 0; i < count && moved < max; i++) {
        size_t len = iov[i].len < max - moved ? iov[i].len : max - moved;
        size_t taken = sim_pipe_write(&end->out, end->sim, mr_slice_of(iov[i].base, len));
        moved += taken;
        if (taken < len) {
            break;
        }
    }
    return moved;
}

void sim_recv_end(struct mr_sim_end *end) {
    if (end->in.reset) {
        mr_io_on_recv_end(end->stream, MR_ERR_RESET, ECONNRESET);
    } else {
        mr_io_on_recv_end(end->stream, MR_ERR_EOF, 0);
    }
}

enum mr_err sim_stream_open(struct mr_stream *stream) {
    struct mr_sim_end *end = sim_end_of(stream);
    MR_ASSERT(end->owner == SIM_OWNER_USER);
    struct sim_loop *self = mr_io_core(stream->loop)->backend_data;
    self->idle_until_ms = 0;  // It may be another loop's turn at the moment.
    end->owner = SIM_OWNER_STREAM;
    end->stream = stream;
    end->blocked = false;
    end->extra = false;
    end->closing = false;
    end->detaching = false;
    return MR_OK;
}

void sim_stream_send_end(struct mr_stream *stream) {
    sim_end_of(stream)->out.ended = true;
}

void sim_stream_closed(struct mr_stream *stream, bool reset) {
    struct mr_sim_end *end = sim_end_of(stream);
    end->sim->handle_count--;
    sim_far_close(end, reset);
    mr_io_on_closed(stream);
}

void sim_stream_detached(struct mr_stream *stream) {
    struct mr_sim_end *end = sim_end_of(stream);
    sim_stir(end);
    end->owner = SIM_OWNER_USER;
    end->stream = NULL;
    mr_io_on_detached(stream);
}
