// A system that says "ready".
#include <errno.h>

#include "io/sim/internal.h"

static bool send_ready(const struct mr_sim_end *end) {
    return end->blocked && (sim_pipe_room(&end->out) > 0 || sim_send_dead(end));
}

static bool has_event(const struct mr_sim_end *end) {
    return (sim_readable(end) && mr_io_recv_wanted(end->stream)) || send_ready(end);
}

static void deliver(struct mr_sim_end *end) {
    sim_maybe_reset(end);
    if (sim_readable(end)) {
        mr_io_on_recv_ready(end->stream);
    }
    if (send_ready(end)) {
        end->blocked = false;
        mr_io_on_send_ready(end->stream);
    }
}

static void stream_recv(struct mr_stream *stream) {
    struct mr_sim_end *end = sim_end_of(stream);
    struct mr_sim *sim = end->sim;
    uint64_t left = mr_io_recv_share(mr_io_core(stream->loop));
    while (sim_readable(end) && mr_io_recv_wanted(stream)) {
        if (left == 0) {
            mr_io_on_recv_share_used(stream);
            return;
        }
        size_t visible = sim_pipe_visible(&end->in, sim->now_ms);
        if (visible == 0) {
            sim_recv_end(end);
            return;
        }
        size_t room;
        uint8_t *place = mr_io_recv_place(stream, &room);
        if (place == NULL) {
            mr_io_on_failed(stream, MR_ERR_NOMEM, 0);
            return;
        }
        size_t len = room < left ? room : (size_t)left;
        len = len < visible ? len : visible;
        size_t part = sim_part(sim, len);
        left -= part;
        mr_io_on_recv(stream, sim_pipe_read(&end->in, sim, place, part));
        if (part < len && mr_sim_random(sim, 2) == 0) {
            return;  // The next bytes come with a later turn.
        }
    }
}

static void stream_recv_stop(struct mr_stream *stream) {
    (void)stream;
}

static void stream_send(struct mr_stream *stream) {
    struct mr_sim_end *end = sim_end_of(stream);
    sim_stir(end);
    struct mr_io_core *core = mr_io_core(stream->loop);
    uint64_t sent = 0;
    while (stream->out.bytes > 0 && sent < core->send_turn_bytes_max) {
        core->stats.send_count++;
        if (sim_send_dead(end)) {
            mr_io_on_send_failed(stream, MR_ERR_RESET, ECONNRESET);
            return;
        }
        size_t part = sim_part(end->sim, stream->out.bytes);
        size_t taken = sim_move_out(end, part);
        sent += taken;
        mr_io_on_sent(stream, taken);
        if (taken == 0 || part < stream->out.bytes + taken) {
            end->blocked = true;
            mr_io_on_send_over(stream, true);
            return;
        }
    }
    mr_io_on_send_over(stream, false);
}

static void stream_detach(struct mr_stream *stream) {
    sim_stream_detached(stream);
}

const struct sim_style sim_readiness = {
    .table =
        {
            .name = "sim-readiness",
            .stream_open = sim_stream_open,
            .stream_recv = stream_recv,
            .stream_recv_stop = stream_recv_stop,
            .stream_send = stream_send,
            .stream_send_end = sim_stream_send_end,
            .stream_close = sim_stream_closed,
            .stream_detach = stream_detach,
        },
    .has_event = has_event,
    .deliver = deliver,
};
