// The life of a stream: attached, closed or detached, and the queue of streams that the
// loop has to look at before a turn ends. A stream's memory stays valid until that queue is
// run, so a backend may go on with a batch of events whatever a callback has done.
#include "io/internal.h"

#include <assert.h>
#include <stdlib.h>

#define WORK_FLAGS (MR_STREAM_SEND | MR_STREAM_RECV | MR_STREAM_COMPACT)

static_assert(sizeof(struct mr_stream) <= 96, "an idle connection costs this");

// A stream that waits for its last bytes to get away and for the peer to close.
struct mr_linger {
    struct mr_timer timer;
    struct mr_stream *stream;
    struct mr_buf *held;  // A receive may still be in flight into it.
};

// -------------------------------------------------------------------- the queue

static void queue_push(struct mr_stream_queue *queue, struct mr_stream *stream) {
    stream->dirty_next = NULL;
    if (queue->tail != NULL) {
        queue->tail->dirty_next = stream;
    } else {
        queue->head = stream;
    }
    queue->tail = stream;
}

static struct mr_stream *queue_pop(struct mr_stream_queue *queue) {
    struct mr_stream *stream = queue->head;
    if (stream != NULL) {
        queue->head = stream->dirty_next;
        if (queue->head == NULL) {
            queue->tail = NULL;
        }
        stream->dirty_next = NULL;
    }
    return stream;
}

static struct mr_stream_queue queue_take(struct mr_stream_queue *queue) {
    struct mr_stream_queue taken = *queue;
    queue->head = NULL;
    queue->tail = NULL;
    return taken;
}

void mr_stream_queue(struct mr_stream *stream, uint32_t flags) {
    struct mr_loop *loop = stream->loop;
    stream->flags |= flags;
    if (flags != MR_STREAM_COMPACT) {
        loop->no_wait = true;  // Compaction alone is no reason to hurry.
    }
    if ((stream->flags & (MR_STREAM_QUEUED | MR_STREAM_SETTLING)) == 0) {
        stream->flags |= MR_STREAM_QUEUED;
        queue_push(&loop->work, stream);
    }
}

void mr_stream_run_recv(struct mr_loop *loop) {
    struct mr_stream_queue due = queue_take(&loop->work);
    struct mr_stream *stream;
    while ((stream = queue_pop(&due)) != NULL) {
        if ((stream->flags & MR_STREAM_RECV) == 0) {
            queue_push(&loop->work, stream);
            continue;
        }
        // It stays queued, whatever happens, so that it is settled in this turn.
        queue_push(&loop->work, stream);
        mr_recv_run(stream);
    }
}

// -------------------------------------------------------------------- lingering

static void on_linger_fire(struct mr_timer *timer) {
    struct mr_linger *linger = MR_CONTAINER_OF(timer, struct mr_linger, timer);
    mr_stream_end(linger->stream, MR_OK, 0);
}

static void linger_start(struct mr_stream *stream, uint32_t linger_ms) {
    if (stream->flags & MR_STREAM_LINGERING) {
        return;
    }
    struct mr_linger *linger = malloc(sizeof *linger);
    if (linger == NULL) {
        mr_stream_end(stream, MR_OK, 0);
        return;
    }
    mr_timer_init(&linger->timer, on_linger_fire);
    linger->stream = stream;
    linger->held = stream->in;
    stream->linger = linger;
    stream->flags |= MR_STREAM_LINGERING;
    mr_timer_start(stream->loop, &linger->timer, linger_ms);
}

static void linger_free(struct mr_stream *stream) {
    if ((stream->flags & MR_STREAM_LINGERING) == 0) {
        return;
    }
    struct mr_linger *linger = stream->linger;
    mr_timer_stop(stream->loop, &linger->timer);
    stream->in = linger->held;
    stream->flags &= ~MR_STREAM_LINGERING;
    free(linger);
}

// Everything is sent. Closing now would reset the connection if the peer has sent something
// that we haven't read, and a reset may take our last bytes from it. So we end only our
// direction and wait for the peer to end its own.
static void settle_flushed(struct mr_stream *stream) {
    const struct mr_io_backend *backend = stream->loop->core.backend;
    if ((stream->flags & MR_STREAM_LINGER) == 0) {
        mr_stream_end(stream, MR_OK, 0);
        return;
    }
    stream->flags |= MR_STREAM_FLUSHED;
    backend->stream_recv(stream);
    if ((stream->flags & MR_STREAM_ENDED) == 0) {
        backend->stream_send_end(stream);
    }
}

// ------------------------------------------------------------------ the settling

static void settle_closing(struct mr_stream *stream) {
    if (stream->flags & MR_STREAM_ENDED) {
        return;
    }
    if ((stream->flags & (MR_STREAM_LINGERING | MR_STREAM_PLACED)) == 0) {
        mr_recv_release(stream);
    }
    mr_send_run(stream);
    if (stream->out.bytes == 0 && stream->bytes_in_flight == 0 &&
        (stream->flags & (MR_STREAM_FLUSHED | MR_STREAM_ENDED)) == 0) {
        settle_flushed(stream);
    }
    if (stream->flags & MR_STREAM_ENDED) {
        return;
    }
    if (stream->flags & MR_STREAM_LINGER) {
        linger_start(stream, stream->end_data);
    } else if (stream->flags & MR_STREAM_SENDING) {
        // A backend that completes never says that the kernel takes no more.
        linger_start(stream, 0);
    } else if (stream->flags & MR_STREAM_BLOCKED) {
        // What the kernel has taken may still get away.
        stream->flags &= ~MR_STREAM_BLOCKED;
        mr_stream_end(stream, MR_OK, 0);
    }
}

static void settle(struct mr_stream *stream) {
    struct mr_loop *loop = stream->loop;
    const struct mr_io_backend *backend = loop->core.backend;
    stream->flags &= ~MR_STREAM_QUEUED;
    stream->flags |= MR_STREAM_SETTLING;
    if (stream->flags & MR_STREAM_CLOSING) {
        settle_closing(stream);
    } else if (stream->flags & MR_STREAM_DETACHING) {
        // Not to be queued again: the backend's answer may come at once or later.
        backend->stream_detach(stream);
        return;
    } else if (stream->flags & (MR_STREAM_SEND | MR_STREAM_COMPACT)) {
        mr_send_run(stream);
    }
    if (stream->flags & MR_STREAM_ENDED) {
        // Aborted although the peer doesn't read: then the kernel shouldn't wait for it either.
        backend->stream_close(stream, (stream->flags & MR_STREAM_BLOCKED) != 0);
        return;
    }
    stream->flags &= ~MR_STREAM_SETTLING;
    if (stream->flags & WORK_FLAGS) {
        mr_stream_queue(stream, stream->flags & WORK_FLAGS);
    }
}

void mr_stream_run_settle(struct mr_loop *loop) {
    struct mr_stream_queue due = queue_take(&loop->work);
    struct mr_stream *stream;
    while ((stream = queue_pop(&due)) != NULL) {
        settle(stream);
    }
}

// ---------------------------------------------------------------------- the ends

void mr_stream_close_for(struct mr_stream *stream, enum mr_err why, uint32_t end_data) {
    stream->flags |= MR_STREAM_CLOSING;
    mr_stream_set_why(stream, why);
    stream->end_data = end_data;
    mr_stream_queue(stream, MR_STREAM_SEND);
}

void mr_stream_end(struct mr_stream *stream, enum mr_err why, int os_error) {
    if (stream->flags & MR_STREAM_ENDED) {
        return;
    }
    if ((stream->flags & MR_STREAM_CLOSING) == 0) {
        mr_stream_close_for(stream, why, (uint32_t)os_error);
    }
    stream->flags |= MR_STREAM_ENDED;
    mr_stream_queue(stream, MR_STREAM_SEND);
}

void mr_io_on_failed(struct mr_stream *stream, enum mr_err why, int os_error) {
    stream->flags &= ~MR_STREAM_SENDING;
    mr_stream_end(stream, why, os_error);
}

static void stream_fini(struct mr_stream *stream) {
    linger_free(stream);
    mr_recv_release(stream);
    mr_chain_clear(&stream->out);
    stream->loop->stream_count--;
    stream->loop->no_wait = true;
}

void mr_io_on_closed(struct mr_stream *stream) {
    enum mr_err why = mr_stream_why(stream);
    int os_error = why == MR_OK ? 0 : (int)stream->end_data;
    stream_fini(stream);
    mr_listener_retry(stream->loop);
    stream->handler->on_close(stream, why, os_error);
}

void mr_io_on_detached(struct mr_stream *stream) {
    struct mr_loop *loop = stream->loop;
    if (stream->flags & MR_STREAM_CLOSING) {
        // It was closed while the backend let go of it.
        loop->core.backend->handle_close(loop, stream->handle);
        mr_io_on_closed(stream);
        return;
    }
    struct mr_slice rest = {NULL, 0};
    struct mr_buf *buf = stream->in;
    if (buf != NULL) {
        rest = mr_slice_of(buf->data + stream->in_offset, stream->in_len);
        mr_buf_ref(buf);
    }
    stream_fini(stream);
    stream->handler->on_detach(stream, stream->handle, buf, rest);
    if (buf != NULL) {
        mr_buf_unref(buf);
    }
}

// ------------------------------------------------------------------ for the owner

static bool rest_copy(struct mr_stream *stream, struct mr_slice initial) {
    if (initial.len == 0) {
        return true;
    }
    if (initial.len > UINT32_MAX) {
        return false;
    }
    stream->in = mr_buf_new(stream->loop->core.pool, initial.len);
    if (stream->in == NULL) {
        return false;
    }
    memcpy(stream->in->data, initial.data, initial.len);
    stream->in_len = (uint32_t)initial.len;
    stream->flags |= MR_STREAM_IN_OWN;
    return true;
}

enum mr_err mr_stream_attach(struct mr_loop *loop, struct mr_stream *stream, intptr_t handle,
                             struct mr_slice initial, const struct mr_stream_handler *handler) {
    memset(stream, 0, sizeof *stream);
    stream->loop = loop;
    stream->handler = handler;
    stream->handle = handle;
    // The loop may still be being set up, by a thread that hasn't entered its pool.
    struct mr_buf_pool *entered = mr_buf_pool_current;
    mr_buf_pool_enter(loop->core.pool);
    enum mr_err err = MR_ERR_NOMEM;
    if (rest_copy(stream, initial)) {
        err = loop->core.backend->stream_open(stream);
        if (err != MR_OK) {
            mr_recv_release(stream);
        }
    }
    mr_buf_pool_enter(entered);
    if (err != MR_OK) {
        return err;
    }
    loop->stream_count++;
    if (initial.len > 0) {
        mr_stream_queue(stream, MR_STREAM_REDELIVER | MR_STREAM_RECV);
    }
    return MR_OK;
}

enum mr_err mr_stream_detach(struct mr_stream *stream) {
    const uint32_t busy = MR_STREAM_CLOSING | MR_STREAM_DETACHING | MR_STREAM_SENDING;
    MR_ASSERT(stream->handler->on_detach != NULL);
    if (stream->out.bytes > 0 || (stream->flags & busy)) {
        return MR_ERR_BUSY;
    }
    stream->flags |= MR_STREAM_DETACHING;
    mr_stream_queue(stream, MR_STREAM_SEND);
    return MR_OK;
}

void mr_stream_recv_pause(struct mr_stream *stream) {
    if ((stream->flags & (MR_STREAM_PAUSED | MR_STREAM_CLOSING | MR_STREAM_DETACHING)) == 0) {
        stream->flags |= MR_STREAM_PAUSED;
        stream->loop->core.backend->stream_recv_stop(stream);
    }
}

void mr_stream_recv_resume(struct mr_stream *stream) {
    if ((stream->flags & MR_STREAM_PAUSED) == 0) {
        return;
    }
    stream->flags &= ~MR_STREAM_PAUSED;
    if ((stream->flags & (MR_STREAM_CLOSING | MR_STREAM_DETACHING)) == 0) {
        mr_stream_queue(stream, MR_STREAM_REDELIVER | MR_STREAM_RECV);
    }
}

void mr_stream_close(struct mr_stream *stream, enum mr_close_mode mode, uint32_t linger_ms) {
    if ((stream->flags & MR_STREAM_CLOSING) == 0) {
        mr_stream_close_for(stream, MR_OK, linger_ms);
        if (linger_ms > 0) {
            stream->flags |= MR_STREAM_LINGER;
        }
    }
    if (mode == MR_CLOSE_ABORT) {
        mr_stream_end(stream, MR_OK, 0);
    }
}

bool mr_stream_closing(const struct mr_stream *stream) {
    return (stream->flags & MR_STREAM_CLOSING) != 0;
}

void mr_stream_peer_text(const struct mr_stream *stream, char out[MR_PEER_TEXT_BYTES]) {
    mr_handle_peer_text(stream->loop, stream->handle, out);
}
