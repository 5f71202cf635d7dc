// The receiving half of a stream: where bytes go, and who is told.
//
// Nearly all bytes are consumed as soon as they come. So all streams of a loop receive
// into one buffer, filled from left to right; if nobody kept a reference it is filled
// from its start again. What a stream leaves unconsumed (its rest) is treated by size:
//  - the rest that lies at the end of the receive buffer stays there, and if its stream
//    is the next to receive, it just goes on;
//  - a short rest is copied to a small buffer when the room behind it is needed, and in
//    front of the new bytes when they come, so that one system call brings all;
//  - for a long message a buffer is made and received into: of its size, or for now of a part of
//    it, so that a peer can't take memory by announcing what it doesn't send.
#include "io/internal.h"

// Below this a receive buffer would only cost system calls.
#define RECV_BYTES_MIN 256u
#define RECV_BYTES_DEFAULT 262144u
#define RECV_TURN_BYTES_DEFAULT 262144u
#define RECV_LOOP_BYTES_DEFAULT 1048576u
// Copying so much costs about as much as entering the kernel.
#define RECV_JOIN_BYTES 4096u
// What a rest gets for having announced more; beyond, memory is for bytes that came: so many times
// what is there. If a few times that are enough for the whole it gets that, so that at most a
// quarter of a long message is copied.
#define RECV_ANNOUNCED_BYTES 16384u
#define RECV_GROWTH 16u
#define RECV_ENOUGH 4u

void mr_recv_init(struct mr_loop *loop) {
    struct mr_loop_options *options = &loop->options;
    if (options->recv_bytes == 0) {
        options->recv_bytes = RECV_BYTES_DEFAULT;
    }
    if (options->recv_bytes < RECV_BYTES_MIN) {
        options->recv_bytes = RECV_BYTES_MIN;
    }
    if (options->recv_turn_bytes_max == 0) {
        options->recv_turn_bytes_max = RECV_TURN_BYTES_DEFAULT;
    }
    if (options->recv_loop_bytes_max == 0) {
        options->recv_loop_bytes_max = RECV_LOOP_BYTES_DEFAULT;
    }
    loop->core.recv_turn_bytes_max = options->recv_turn_bytes_max;
    loop->recv_room_min = options->recv_bytes / 8;
    loop->recv_join_max =
        options->recv_bytes / 8 < RECV_JOIN_BYTES ? options->recv_bytes / 8 : RECV_JOIN_BYTES;
}

void mr_recv_fini(struct mr_loop *loop) {
    MR_ASSERT(loop->recv_tail == NULL);
    if (loop->recv_buf != NULL) {
        mr_buf_unref(loop->recv_buf);
        loop->recv_buf = NULL;
    }
}

static void count_received(struct mr_loop *loop, size_t len) {
    struct mr_io_core *core = &loop->core;
    core->stats.recv_count++;
    core->stats.recv_bytes += len;
    core->recv_loop_bytes_left -=
        len < core->recv_loop_bytes_left ? len : core->recv_loop_bytes_left;
}

// ------------------------------------------------------------------- the rest

static struct mr_slice rest_slice(const struct mr_stream *stream) {
    return mr_slice_of(stream->in->data + stream->in_offset, stream->in_len);
}

// How long the rest will have to become, as far as is known.
static size_t rest_whole(const struct mr_stream *stream) {
    if (stream->in_need > stream->in_len) {
        return stream->in_need;
    }
    return (size_t)stream->in_len * 2;
}

// How much room a rest is given now.
static size_t rest_room(const struct mr_stream *stream) {
    size_t whole = rest_whole(stream);
    size_t earned = (size_t)stream->in_len * RECV_GROWTH;
    size_t room = earned > RECV_ANNOUNCED_BYTES ? earned : RECV_ANNOUNCED_BYTES;
    return whole <= room * RECV_ENOUGH ? whole : room;
}

static bool rest_is_large(const struct mr_stream *stream) {
    return rest_whole(stream) > stream->loop->options.recv_bytes / 2 ||
           stream->in_len > stream->loop->recv_join_max;
}

static void rest_move(struct mr_stream *stream, struct mr_buf *to, uint32_t to_offset) {
    memcpy(to->data + to_offset, stream->in->data + stream->in_offset, stream->in_len);
    mr_buf_unref(stream->in);
    stream->in = to;
    stream->in_offset = to_offset;
    if (stream->loop->recv_tail == stream) {
        stream->loop->recv_tail = NULL;
    }
}

// Bytes behind the rest that its own buffer has.
static size_t rest_spare(const struct mr_stream *stream) {
    return (size_t)stream->in->capacity - stream->in_offset - stream->in_len;
}

// Moves the rest to a buffer of its own with room for `bytes` bytes.
static bool rest_own(struct mr_stream *stream, size_t bytes) {
    struct mr_buf *own = mr_buf_new(stream->loop->core.pool, bytes);
    if (own == NULL) {
        return false;
    }
    rest_move(stream, own, 0);
    stream->flags |= MR_STREAM_IN_OWN;
    return true;
}

// A short rest would pin all of a receive buffer, so it gets a buffer of its own; for a long one
// copying isn't worth it. If there is no memory for it the rest just stays where it is.
static void rest_unpin(struct mr_stream *stream) {
    if (stream->in_len < stream->in->capacity / 4) {
        (void)rest_own(stream, rest_is_large(stream) ? rest_room(stream) : stream->in_len);
    }
}

// Makes way for other streams in the receive buffer.
static void tail_evict(struct mr_loop *loop) {
    struct mr_stream *stream = loop->recv_tail;
    if (stream == NULL) {
        return;
    }
    loop->recv_tail = NULL;
    rest_unpin(stream);
}

void mr_recv_release(struct mr_stream *stream) {
    struct mr_loop *loop = stream->loop;
    if (stream->in == NULL) {
        return;
    }
    mr_buf_unref(stream->in);
    stream->in = NULL;
    stream->in_len = 0;
    stream->flags &= ~MR_STREAM_IN_OWN;
    if (loop->recv_tail == stream) {
        loop->recv_tail = NULL;
        if (mr_buf_is_unique(loop->recv_buf)) {
            loop->recv_used = 0;
        }
    }
}

// ------------------------------------------------------------------- the place

// Makes the receive buffer have room for at least `room` bytes.
static bool recv_buf_ready(struct mr_loop *loop, size_t room) {
    tail_evict(loop);
    if (loop->recv_buf != NULL) {
        if (loop->recv_buf->capacity - loop->recv_used >= room) {
            return true;
        }
        if (mr_buf_is_unique(loop->recv_buf)) {
            loop->recv_used = 0;
            return true;
        }
    }
    struct mr_buf *fresh = mr_buf_new(loop->core.pool, loop->options.recv_bytes);
    if (fresh == NULL) {
        return false;
    }
    if (loop->recv_buf != NULL) {
        mr_buf_unref(loop->recv_buf);
    }
    loop->recv_buf = fresh;
    loop->recv_used = 0;
    return true;
}

static uint8_t *place_shared(struct mr_loop *loop, size_t *len) {
    *len = loop->recv_buf->capacity - loop->recv_used;
    return loop->recv_buf->data + loop->recv_used;
}

// Copies a short rest to where the next bytes will come.
static bool rest_join(struct mr_stream *stream) {
    struct mr_loop *loop = stream->loop;
    size_t room = rest_whole(stream) + loop->recv_room_min;
    if (loop->recv_tail == stream) {
        // It lies there already, but there isn't enough room behind it: a new buffer.
        loop->recv_tail = NULL;
    }
    if (!recv_buf_ready(loop, room)) {
        return false;
    }
    rest_move(stream, mr_buf_ref(loop->recv_buf), loop->recv_used);
    loop->recv_used += stream->in_len;
    loop->recv_tail = stream;
    stream->flags &= ~MR_STREAM_IN_OWN;
    return true;
}

uint8_t *mr_io_recv_place(struct mr_stream *stream, size_t *len) {
    struct mr_loop *loop = stream->loop;
    if (stream->in == NULL || (stream->flags & MR_STREAM_CLOSING)) {
        return recv_buf_ready(loop, loop->recv_room_min) ? place_shared(loop, len) : NULL;
    }
    size_t whole = rest_whole(stream);
    size_t missing = whole - stream->in_len;
    if (loop->recv_tail == stream) {
        size_t room = loop->recv_buf->capacity - loop->recv_used;
        if (room >= missing && room >= loop->recv_room_min) {
            return place_shared(loop, len);
        }
    }
    if (!rest_is_large(stream)) {
        return rest_join(stream) ? place_shared(loop, len) : NULL;
    }
    size_t enough = missing < RECV_JOIN_BYTES ? missing : RECV_JOIN_BYTES;
    bool fits = (stream->flags & MR_STREAM_IN_OWN) != 0 && rest_spare(stream) >= enough;
    if (!fits && !rest_own(stream, rest_room(stream))) {
        return NULL;
    }
    stream->flags |= MR_STREAM_PLACED;
    // Not more than is missing: so the next message begins in the shared buffer again.
    size_t spare = rest_spare(stream);
    *len = missing < spare ? missing : spare;
    return stream->in->data + stream->in_offset + stream->in_len;
}

bool mr_io_recv_is_placed(const struct mr_stream *stream) {
    return stream->in != NULL && stream->loop->recv_tail != stream &&
           (stream->flags & MR_STREAM_CLOSING) == 0 && stream->in_need > stream->in_len &&
           rest_is_large(stream);
}

// ----------------------------------------------------------------- the delivery

bool mr_io_recv_wanted(const struct mr_stream *stream) {
    uint32_t flags = stream->flags;
    if (flags & MR_STREAM_CLOSING) {
        // What still comes is read and dropped: closing a socket with unread bytes in it
        // would reset the connection and take our last bytes from the peer.
        return (flags & (MR_STREAM_FLUSHED | MR_STREAM_ENDED)) == MR_STREAM_FLUSHED;
    }
    return (flags & (MR_STREAM_PAUSED | MR_STREAM_DETACHING | MR_STREAM_PEER_ENDED)) == 0;
}

// Hands out the rest if its owner can do something with it.
static void deliver(struct mr_stream *stream) {
    if (stream->in_len == 0 || stream->in_len < stream->in_need) {
        return;
    }
    stream->flags &= ~MR_STREAM_REDELIVER;
    size_t need = 0;
    size_t consumed = stream->handler->on_recv(stream, stream->in, rest_slice(stream), &need);
    MR_ASSERT(consumed <= stream->in_len);
    if (stream->flags & MR_STREAM_CLOSING) {
        mr_recv_release(stream);
        return;
    }
    stream->in_offset += (uint32_t)consumed;
    stream->in_len -= (uint32_t)consumed;
    if (stream->in_len == 0) {
        stream->in_need = 0;
        mr_recv_release(stream);
    } else if (need > UINT32_MAX) {
        mr_stream_end(stream, MR_ERR_LIMIT, 0);
    } else {
        stream->in_need = (uint32_t)need;
    }
}

void mr_io_on_recv(struct mr_stream *stream, size_t len) {
    struct mr_loop *loop = stream->loop;
    stream->flags &= ~MR_STREAM_PLACED;
    if (len == 0 || (stream->flags & MR_STREAM_CLOSING)) {
        return;
    }
    count_received(loop, len);
    if (stream->in == NULL) {
        stream->in = mr_buf_ref(loop->recv_buf);
        stream->in_offset = loop->recv_used;
        stream->in_len = 0;
        stream->in_need = 0;
        loop->recv_tail = stream;
    }
    if (loop->recv_tail == stream) {
        loop->recv_used += (uint32_t)len;
    }
    stream->in_len += (uint32_t)len;
    // A backend that completes may bring bytes although it was told to stop.
    if ((stream->flags & (MR_STREAM_PAUSED | MR_STREAM_DETACHING)) == 0) {
        deliver(stream);
    }
}

// Puts `data` behind the rest. False if out of memory.
static bool rest_append(struct mr_stream *stream, struct mr_buf *buf, struct mr_slice data) {
    if (stream->in == NULL) {
        stream->in = mr_buf_ref(buf);
        stream->in_offset = (uint32_t)(data.data - buf->data);
        stream->in_len = (uint32_t)data.len;
        stream->in_need = 0;
        return true;
    }
    size_t end = (size_t)stream->in_offset + stream->in_len;
    if (stream->in == buf && buf->data + end == data.data) {
        stream->in_len += (uint32_t)data.len;
        return true;
    }
    size_t sum = stream->in_len + data.len;
    bool fits = (stream->flags & MR_STREAM_IN_OWN) != 0 && rest_spare(stream) >= data.len;
    if (!fits) {
        size_t room = rest_room(stream);
        if (sum > UINT32_MAX || !rest_own(stream, sum > room ? sum : room)) {
            return false;
        }
    }
    memcpy(stream->in->data + stream->in_offset + stream->in_len, data.data, data.len);
    stream->in_len = (uint32_t)sum;
    return true;
}

void mr_io_on_recv_buf(struct mr_stream *stream, struct mr_buf *buf, struct mr_slice data) {
    struct mr_loop *loop = stream->loop;
    if (data.len == 0 || (stream->flags & MR_STREAM_CLOSING)) {
        return;
    }
    count_received(loop, data.len);
    if (!rest_append(stream, buf, data)) {
        mr_stream_end(stream, MR_ERR_NOMEM, 0);
        return;
    }
    if ((stream->flags & (MR_STREAM_PAUSED | MR_STREAM_DETACHING)) == 0) {
        deliver(stream);
    }
    if (stream->in != NULL && (stream->flags & MR_STREAM_IN_OWN) == 0) {
        rest_unpin(stream);
    }
}

void mr_io_on_recv_ready(struct mr_stream *stream) {
    // If it waits for its turn it will get it anyway, but not two.
    if ((stream->flags & MR_STREAM_RECV) == 0 && mr_io_recv_wanted(stream)) {
        stream->loop->core.backend->stream_recv(stream);
    }
}

void mr_io_on_recv_share_used(struct mr_stream *stream) {
    mr_stream_queue(stream, MR_STREAM_RECV);
}

// After the last byte was delivered the stream ends; what is pending gets one chance.
static void recv_ended(struct mr_stream *stream, enum mr_err why, int os_error) {
    if (stream->flags & MR_STREAM_SEND_DEAD) {
        why = mr_stream_why(stream);
    }
    if (why == MR_ERR_EOF && stream->out.bytes > 0 &&
        (stream->flags & (MR_STREAM_BLOCKED | MR_STREAM_CLOSING)) == 0) {
        mr_stream_close_for(stream, why, (uint32_t)os_error);
        return;
    }
    stream->flags &= ~MR_STREAM_BLOCKED;
    mr_stream_end(stream, why, os_error);
}

void mr_io_on_recv_end(struct mr_stream *stream, enum mr_err why, int os_error) {
    stream->flags &= ~MR_STREAM_PLACED;
    if ((stream->flags & MR_STREAM_DETACHING) && !(stream->flags & MR_STREAM_CLOSING)) {
        return;  // The next owner will see it.
    }
    if ((stream->flags & MR_STREAM_CLOSING) == 0) {
        if ((stream->flags & (MR_STREAM_REDELIVER | MR_STREAM_PAUSED)) == MR_STREAM_REDELIVER) {
            deliver(stream);
        }
        if ((stream->flags & MR_STREAM_PAUSED) && stream->in_len > 0) {
            stream->flags |= MR_STREAM_PEER_ENDED;
            mr_stream_set_why(stream, why);
            return;
        }
    }
    recv_ended(stream, why, os_error);
}

void mr_recv_run(struct mr_stream *stream) {
    const uint32_t stopped = MR_STREAM_PAUSED | MR_STREAM_DETACHING | MR_STREAM_CLOSING;
    stream->flags &= ~MR_STREAM_RECV;
    if ((stream->flags & (stopped | MR_STREAM_REDELIVER)) == MR_STREAM_REDELIVER) {
        stream->flags &= ~MR_STREAM_REDELIVER;
        deliver(stream);
    }
    if ((stream->flags & (stopped | MR_STREAM_PEER_ENDED)) == MR_STREAM_PEER_ENDED) {
        recv_ended(stream, mr_stream_why(stream), 0);
        return;
    }
    if (mr_io_recv_wanted(stream)) {
        stream->loop->core.backend->stream_recv(stream);
    }
    const uint32_t dead = MR_STREAM_SEND_DEAD | MR_STREAM_CLOSING | MR_STREAM_RECV;
    if ((stream->flags & dead) == MR_STREAM_SEND_DEAD) {
        mr_stream_end(stream, mr_stream_why(stream), 0);
    }
}
