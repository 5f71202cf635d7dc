// The sending half of a stream.
#include "io/internal.h"

static uint32_t bytes_bucket(uint64_t bytes) {
    return 63u - (uint32_t)__builtin_clzll(bytes | 1u);
}

static uint32_t bucket_get(const struct mr_stream *stream) {
    return (stream->flags >> MR_STREAM_BUCKET_SHIFT) & MR_STREAM_BUCKET_MASK;
}

static void bucket_set(struct mr_stream *stream) {
    stream->flags &= ~(MR_STREAM_BUCKET_MASK << MR_STREAM_BUCKET_SHIFT);
    stream->flags |= bytes_bucket(stream->out.bytes) << MR_STREAM_BUCKET_SHIFT;
}

void mr_send_note_high(struct mr_stream *stream) {
    if (stream->out.bytes > stream->handler->high_bytes) {
        stream->flags |= MR_STREAM_HIGH;
    }
}

static void drain_notify(struct mr_stream *stream) {
    const struct mr_stream_handler *handler = stream->handler;
    if ((stream->flags & MR_STREAM_HIGH) == 0 || stream->out.bytes > handler->low_bytes) {
        return;
    }
    stream->flags &= ~MR_STREAM_HIGH;
    if (handler->on_drain != NULL && (stream->flags & MR_STREAM_CLOSING) == 0) {
        stream->loop->no_wait = true;
        handler->on_drain(stream);
    }
}

void mr_stream_flush(struct mr_stream *stream) {
    if (stream->flags & MR_STREAM_CLOSING) {
        return;
    }
    mr_send_note_high(stream);
    if (stream->flags & (MR_STREAM_BLOCKED | MR_STREAM_SENDING)) {
        // Looking at a queue that only grows pays each time that it has doubled.
        if (bytes_bucket(stream->out.bytes) > bucket_get(stream)) {
            mr_stream_queue(stream, MR_STREAM_COMPACT);
        }
        return;
    }
    mr_stream_queue(stream, MR_STREAM_SEND);
}

void mr_send_run(struct mr_stream *stream) {
    uint32_t flags = stream->flags;
    stream->flags &= ~(MR_STREAM_SEND | MR_STREAM_COMPACT);
    if (flags & MR_STREAM_SEND_DEAD) {
        mr_chain_clear(&stream->out);
        return;
    }
    if (flags & (MR_STREAM_BLOCKED | MR_STREAM_SENDING)) {
        if (flags & MR_STREAM_COMPACT) {
            mr_chain_compact(&stream->out, stream->loop->core.pool, stream->bytes_in_flight);
            bucket_set(stream);
        }
        return;
    }
    if (stream->out.bytes == 0) {
        return;
    }
    mr_send_note_high(stream);
    bucket_set(stream);
    stream->flags |= MR_STREAM_SENDING;
    stream->loop->core.backend->stream_send(stream);
}

void mr_io_on_sent(struct mr_stream *stream, uint64_t len) {
    stream->loop->core.stats.send_bytes += len;
    mr_chain_consume(&stream->out, len);
}

void mr_io_on_send_over(struct mr_stream *stream, bool blocked) {
    stream->flags &= ~MR_STREAM_SENDING;
    if (blocked) {
        stream->flags |= MR_STREAM_BLOCKED;
        bucket_set(stream);
        mr_stream_queue(stream, MR_STREAM_COMPACT);
    } else if (stream->out.bytes > 0) {
        mr_stream_queue(stream, MR_STREAM_SEND);
    }
    if (stream->flags & MR_STREAM_CLOSING) {
        mr_stream_queue(stream, 0);
    }
    drain_notify(stream);
}

void mr_io_on_send_ready(struct mr_stream *stream) {
    if ((stream->flags & MR_STREAM_BLOCKED) == 0) {
        return;
    }
    stream->flags &= ~MR_STREAM_BLOCKED;
    if (stream->out.bytes > 0) {
        mr_stream_queue(stream, MR_STREAM_SEND);
    }
}

void mr_io_on_send_failed(struct mr_stream *stream, enum mr_err why, int os_error) {
    stream->flags &= ~MR_STREAM_SENDING;
    if (!mr_io_recv_wanted(stream) || (stream->flags & MR_STREAM_CLOSING)) {
        mr_stream_end(stream, why, os_error);
        return;
    }
    mr_chain_clear(&stream->out);
    mr_stream_set_why(stream, why);
    mr_stream_queue(stream, MR_STREAM_SEND_DEAD | MR_STREAM_RECV);
}
