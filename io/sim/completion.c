// A system that completes: one send in flight for each stream, receives into buffers of the
// system's own, cancelling takes until the next turn.
#include <errno.h>

#include "io/sim/internal.h"

// The size of the system's receive buffers.
#define BUF_BYTES 4096u
#define SEND_BYTES_MAX 65536u
#define IOV_COUNT 64u

static bool send_ready(const struct mr_sim_end *end) {
    return end->stream->bytes_in_flight > 0 && (sim_pipe_room(&end->out) > 0 || sim_send_dead(end));
}

static bool recv_ready(const struct mr_sim_end *end) {
    bool receives = mr_io_recv_wanted(end->stream) || end->extra || end->place != NULL;
    return receives && sim_readable(end);
}

static bool has_event(const struct mr_sim_end *end) {
    return end->closing || end->detaching || send_ready(end) || recv_ready(end);
}

// ----------------------------------------------------------------------------- sending

// A sum over the first `len` pending bytes (or as many as one send takes).
static uint64_t flight_sum(const struct mr_stream *stream, size_t *len) {
    struct mr_iov iov[IOV_COUNT];
    size_t count = mr_chain_iov(&stream->out, iov, IOV_COUNT);
    uint64_t sum = 1469598103934665603u;
    size_t done = 0;
    for (size_t i = 0; i < count; i++) {
        for (size_t k = 0; k < iov[i].len && done < *len; k++, done++) {
            sum = (sum ^ iov[i].base[k]) * 1099511628211u;
        }
    }
    *len = done;
    return sum;
}

static void stream_send(struct mr_stream *stream) {
    struct mr_sim_end *end = sim_end_of(stream);
    sim_stir(end);
    mr_io_core(stream->loop)->stats.send_count++;
    MR_ASSERT(stream->bytes_in_flight == 0);
    size_t len = stream->out.bytes < SEND_BYTES_MAX ? (size_t)stream->out.bytes : SEND_BYTES_MAX;
    end->flight_sum = flight_sum(stream, &len);
    stream->bytes_in_flight = (uint32_t)len;
}

// What the system holds is where it was, and as it was.
static size_t flight_land(struct mr_sim_end *end) {
    size_t len = end->stream->bytes_in_flight;
    uint64_t sum = flight_sum(end->stream, &len);
    MR_ASSERT(len == end->stream->bytes_in_flight);
    MR_ASSERT(sum == end->flight_sum);
    end->stream->bytes_in_flight = 0;
    return sim_move_out(end, sim_part(end->sim, len));
}

static void send_complete(struct mr_sim_end *end) {
    if (sim_send_dead(end)) {
        end->stream->bytes_in_flight = 0;
        mr_io_on_send_failed(end->stream, MR_ERR_RESET, ECONNRESET);
        return;
    }
    mr_io_on_sent(end->stream, flight_land(end));
    mr_io_on_send_over(end->stream, false);
}

// ---------------------------------------------------------------------------- receiving

static void stream_recv(struct mr_stream *stream) {
    (void)stream;  // It is always armed; mr_io_recv_wanted() says whether it matters.
}

static void stream_recv_stop(struct mr_stream *stream) {
    struct mr_sim_end *end = sim_end_of(stream);
    sim_stir(end);
    end->extra = sim_chance(end->sim, end->sim->options.late_permille);
}

static void recv_placed(struct mr_sim_end *end, size_t max) {
    size_t len = end->place_len < max ? end->place_len : max;
    size_t got = sim_pipe_read(&end->in, end->sim, end->place, sim_part(end->sim, len));
    end->place = NULL;
    mr_io_on_recv(end->stream, got);
}

static void recv_into_own(struct mr_sim_end *end, size_t max) {
    struct mr_stream *stream = end->stream;
    struct mr_buf *buf = mr_buf_new(mr_io_core(stream->loop)->pool, BUF_BYTES);
    if (buf == NULL) {
        mr_io_on_failed(stream, MR_ERR_NOMEM, 0);
        return;
    }
    size_t len = BUF_BYTES < max ? BUF_BYTES : max;
    size_t got = sim_pipe_read(&end->in, end->sim, buf->data, sim_part(end->sim, len));
    // Two pieces of one buffer, as a system that fills its buffers gradually reports them.
    size_t first = got > 1 && end->sim->options.partial_permille > 0
                       ? (size_t)mr_sim_random(end->sim, got)
                       : got;
    mr_io_on_recv_buf(stream, buf, mr_slice_of(buf->data, first));
    mr_io_on_recv_buf(stream, buf, mr_slice_of(buf->data + first, got - first));
    mr_buf_unref(buf);
}

static void recv_complete(struct mr_sim_end *end) {
    size_t visible = sim_pipe_visible(&end->in, end->sim->now_ms);
    uint64_t left = mr_io_core(end->stream->loop)->recv_turn_bytes_max;
    size_t max = visible < left ? visible : (size_t)left;
    end->extra = false;
    if (visible == 0) {
        end->place = NULL;
        sim_recv_end(end);
    } else if (end->place != NULL) {
        recv_placed(end, max);
    } else {
        recv_into_own(end, max);
    }
}

static void recv_place(struct mr_sim_end *end) {
    if (end->place != NULL || !mr_io_recv_wanted(end->stream) ||
        !mr_io_recv_is_placed(end->stream)) {
        return;
    }
    end->place = mr_io_recv_place(end->stream, &end->place_len);
    if (end->place == NULL) {
        mr_io_on_failed(end->stream, MR_ERR_NOMEM, 0);
    }
}

// --------------------------------------------------------------------------------- ends

static void stream_close(struct mr_stream *stream, bool reset) {
    struct mr_sim_end *end = sim_end_of(stream);
    sim_stir(end);
    end->closing = true;
    end->closing_resets = reset;
}

static void stream_detach(struct mr_stream *stream) {
    struct mr_sim_end *end = sim_end_of(stream);
    sim_stir(end);
    end->detaching = true;
}

// Takes back what is in flight; some of it may have got away before.
static void cancel(struct mr_sim_end *end) {
    if (end->place != NULL) {
        end->place = NULL;
        mr_io_on_recv(end->stream, 0);
    }
    if (end->stream->bytes_in_flight > 0) {
        mr_io_on_sent(end->stream, flight_land(end));
    }
}

static void deliver(struct mr_sim_end *end) {
    if (end->closing) {
        cancel(end);
        sim_stream_closed(end->stream, end->closing_resets);
        return;
    }
    if (end->detaching) {
        if (recv_ready(end)) {
            recv_complete(end);  // It was faster than the cancelling.
        }
        cancel(end);
        sim_stream_detached(end->stream);
        return;
    }
    sim_maybe_reset(end);
    if (send_ready(end)) {
        send_complete(end);
    }
    // Several receives may have completed in one turn.
    uint64_t share = mr_io_recv_share(mr_io_core(end->stream->loop));
    for (uint64_t most = 0; most < share && recv_ready(end); most += BUF_BYTES) {
        recv_complete(end);
        recv_place(end);
    }
    recv_place(end);
}

const struct sim_style sim_completion = {
    .table =
        {
            .name = "sim-completion",
            .stream_open = sim_stream_open,
            .stream_recv = stream_recv,
            .stream_recv_stop = stream_recv_stop,
            .stream_send = stream_send,
            .stream_send_end = sim_stream_send_end,
            .stream_close = stream_close,
            .stream_detach = stream_detach,
        },
    .has_event = has_event,
    .deliver = deliver,
};
