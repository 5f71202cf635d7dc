// Streams: what each has in the kernel, from its submission to its last completion.
//
//  - Shots: one receive that goes on by itself, into the loop's supply of buffers; a
//    completion for each piece. It ends (a completion without F_MORE) with the end of the
//    connection; when the supply was used up (ENOBUFS): it is submitted again after that was
//    filled; or cancelled. Pausing doesn't cancel: that comes when bytes arrive nevertheless,
//    of which the front end then holds at most what the supply holds.
//  - A placed receive: one message is awaited that is so long that copying it out of the
//    supply would cost more than to stop the shots, receive into its own buffer and start
//    them again. Once for each piece of it. Never while there are shots: the order of bytes.
//  - A send: one vectored send, which doesn't wait (MSG_DONTWAIT). So it completes within the
//    system call that submits it and nothing has to be cancelled; if the kernel takes only a
//    part, the stream counts as blocked, and the front end can save memory meanwhile.
//  - Room: a poll, once, for the end of that.
//
// A stream that is closed or detached has its receive and its poll cancelled, and is reported
// when all of them have completed. What is to be submitted is noted by linking the stream
// into `todo`; a stream that is linked isn't reported before it was taken out.
#include <errno.h>
#include <poll.h>

#include "io/socket.h"
#include "io/uring/internal.h"

// mr_stream.backend_flags. Three are small numbers.
#define TODO 0x0001u
#define RECV_SHOTS 0x0002u  // In the kernel, as are the next.
#define RECV_PLACED 0x0004u
#define SEND 0x0008u
#define ROOM 0x0010u
#define RECV_CANCELLED 0x0020u
#define ROOM_CANCELLED 0x0040u
#define SEND_WANTED 0x0080u
#define ROOM_WANTED 0x0100u
#define END_HELD 0x0200u  // Came while receiving wasn't wanted.
#define END_TOLD 0x0400u
#define CLOSING 0x0800u
#define CLOSING_RESETS 0x1000u
#define DETACHING 0x2000u
#define SEND_FAILED 0x4000u
#define PATIENCE_SHIFT 15u  // Turns that the rest of the input may still take to come.
#define PATIENCE_MAX 7u
#define FED_TURN_SHIFT 18u  // The turn, of 4, in which the last bytes came.
#define FED_TURN_MASK 3u
#define OS_ERROR_SHIFT 20u  // Of the end that is held.

#define IN_KERNEL (RECV_SHOTS | RECV_PLACED | SEND | ROOM)
#define ENDING (CLOSING | DETACHING)

// One stream submits at most so many at a time.
#define SUBMISSIONS_MAX 3u
// No more than this in a turn, so that what completes finds room.
#define PREPARE_MAX (URING_COMPLETIONS / 2)
// Less than this is copied faster than the receives are changed.
#define PLACED_BYTES_MIN 16384u

static struct uring_loop *state_of(const struct mr_stream *stream) {
    return uring_loop_of(stream->loop);
}

// ------------------------------------------------------------------------------- linking

static void push_back(struct uring_queue_of_streams *queue, struct mr_stream *stream) {
    stream->backend_data = NULL;
    if (queue->tail != NULL) {
        queue->tail->backend_data = stream;
    } else {
        queue->head = stream;
    }
    queue->tail = stream;
}

static struct mr_stream *pop(struct uring_queue_of_streams *queue) {
    struct mr_stream *stream = queue->head;
    queue->head = stream->backend_data;
    if (queue->head == NULL) {
        queue->tail = NULL;
    }
    stream->backend_data = NULL;
    return stream;
}

// Has the stream looked at before the next system call.
static void touch(struct mr_stream *stream) {
    if ((stream->backend_flags & TODO) == 0) {
        stream->backend_flags |= TODO;
        push_back(&state_of(stream)->todo, stream);
    }
}

// A stream that the others have left nothing comes before them, but behind those that have
// waited for longer: otherwise the same few would get all, turn after turn.
static void touch_starved(struct mr_stream *stream) {
    if ((stream->backend_flags & TODO) == 0) {
        stream->backend_flags |= TODO;
        push_back(&state_of(stream)->starved, stream);
    }
}

// ------------------------------------------------------------------------------ preparing

static bool place_is_worth_it(const struct mr_stream *stream) {
    return mr_io_recv_is_placed(stream) && stream->in_need - stream->in_len >= PLACED_BYTES_MIN;
}

static void recv_cancel(struct mr_stream *stream) {
    if (stream->backend_flags & RECV_CANCELLED) {
        return;
    }
    enum uring_tag tag =
        stream->backend_flags & RECV_SHOTS ? URING_TAG_RECV_SHOTS : URING_TAG_RECV_PLACED;
    mr_uring_queue_push_cancel(&state_of(stream)->queue, uring_user_data(stream, tag));
    stream->backend_flags |= RECV_CANCELLED;
}

static struct io_uring_sqe *recv_push(struct mr_stream *stream, enum uring_tag tag) {
    struct io_uring_sqe *sqe =
        mr_uring_queue_push(&state_of(stream)->queue, IORING_OP_RECV, uring_user_data(stream, tag));
    sqe->fd = (int)stream->handle;
    return sqe;
}

static void recv_shots_prepare(struct mr_stream *stream) {
    struct io_uring_sqe *sqe = recv_push(stream, URING_TAG_RECV_SHOTS);
    sqe->ioprio = IORING_RECV_MULTISHOT;
    sqe->flags = IOSQE_BUFFER_SELECT;
    sqe->buf_group = MR_URING_SUPPLY_GROUP;
    stream->backend_flags |= RECV_SHOTS;
}

static void recv_placed_prepare(struct mr_stream *stream) {
    size_t len;
    uint8_t *place = mr_io_recv_place(stream, &len);
    if (place == NULL) {
        // The stream's end is settled in this turn.
        mr_io_on_failed(stream, MR_ERR_NOMEM, 0);
        state_of(stream)->no_wait = true;
        return;
    }
    uint64_t share = mr_io_core(stream->loop)->recv_turn_bytes_max;
    struct io_uring_sqe *sqe = recv_push(stream, URING_TAG_RECV_PLACED);
    sqe->addr = (uint64_t)(uintptr_t)place;
    sqe->len = (uint32_t)(len < share ? len : share);
    stream->backend_flags |= RECV_PLACED;
}

static void recv_prepare(struct mr_stream *stream) {
    uint32_t flags = stream->backend_flags;
    bool wanted = mr_io_recv_wanted(stream);
    if (flags & RECV_SHOTS) {
        if (!wanted || place_is_worth_it(stream)) {
            recv_cancel(stream);
        }
    } else if (wanted && (flags & (RECV_PLACED | END_HELD | END_TOLD)) == 0) {
        if (place_is_worth_it(stream)) {
            recv_placed_prepare(stream);
        } else {
            recv_shots_prepare(stream);
        }
    }
}

// Fewer bytes than `len_max`, if need be.
static uint32_t iov_trim(struct iovec *iovs, size_t *count, uint64_t len_max) {
    uint64_t sum = 0;
    for (size_t i = 0; i < *count; i++) {
        if (iovs[i].iov_len > len_max - sum) {
            iovs[i].iov_len = (size_t)(len_max - sum);
            *count = i + 1;
        }
        sum += iovs[i].iov_len;
    }
    return (uint32_t)sum;
}

static void send_prepare(struct mr_stream *stream) {
    struct uring_loop *state = state_of(stream);
    struct iovec *iovs = &state->iovs[state->iov_used];
    size_t count = mr_chain_iov(&stream->out, (struct mr_iov *)(void *)iovs, URING_SEND_IOV_MAX);
    uint32_t len = iov_trim(iovs, &count, mr_io_core(stream->loop)->send_turn_bytes_max);
    uint64_t user_data = uring_user_data(stream, URING_TAG_SEND);
    struct io_uring_sqe *sqe;
    if (count == 1) {
        sqe = mr_uring_queue_push(&state->queue, IORING_OP_SEND, user_data);
        sqe->addr = (uint64_t)(uintptr_t)iovs[0].iov_base;
        sqe->len = len;
    } else {
        struct msghdr *message = &state->messages[state->message_used++];
        *message = (struct msghdr){.msg_iov = iovs, .msg_iovlen = count};
        state->iov_used += (uint32_t)count;
        sqe = mr_uring_queue_push(&state->queue, IORING_OP_SENDMSG, user_data);
        sqe->addr = (uint64_t)(uintptr_t)message;
        sqe->len = 1;
    }
    sqe->fd = (int)stream->handle;
    sqe->msg_flags = MSG_DONTWAIT | MSG_NOSIGNAL;
    stream->bytes_in_flight = len;
    stream->backend_flags &= ~SEND_WANTED;
    stream->backend_flags |= SEND;
}

static void room_prepare(struct mr_stream *stream) {
    struct io_uring_sqe *sqe = mr_uring_queue_push(&state_of(stream)->queue, IORING_OP_POLL_ADD,
                                                   uring_user_data(stream, URING_TAG_SEND_ROOM));
    sqe->fd = (int)stream->handle;
    sqe->poll_events = POLLOUT;
    stream->backend_flags &= ~ROOM_WANTED;
    stream->backend_flags |= ROOM;
}

static void ending_prepare(struct mr_stream *stream) {
    if (stream->backend_flags & (RECV_SHOTS | RECV_PLACED)) {
        recv_cancel(stream);
    }
    if ((stream->backend_flags & (ROOM | ROOM_CANCELLED)) == ROOM) {
        mr_uring_queue_push_cancel(&state_of(stream)->queue,
                                   uring_user_data(stream, URING_TAG_SEND_ROOM));
        stream->backend_flags |= ROOM_CANCELLED;
    }
}

static void prepare(struct mr_stream *stream) {
    if (stream->backend_flags & ENDING) {
        if ((stream->backend_flags & IN_KERNEL) == 0) {
            // Still linked, only elsewhere.
            push_back(&state_of(stream)->done, stream);
            return;
        }
        ending_prepare(stream);
    } else {
        recv_prepare(stream);
        if (stream->backend_flags & SEND_WANTED) {
            send_prepare(stream);
        }
        if (stream->backend_flags & ROOM_WANTED) {
            room_prepare(stream);
        }
    }
    stream->backend_flags &= ~TODO;
}

void uring_streams_prepare(struct mr_loop *loop) {
    struct uring_loop *state = uring_loop_of(loop);
    for (uint32_t i = 0; i < PREPARE_MAX; i++) {
        struct uring_queue_of_streams *queue =
            state->starved.head != NULL ? &state->starved : &state->todo;
        if (queue->head == NULL || !uring_submit_for(loop, SUBMISSIONS_MAX)) {
            return;
        }
        prepare(pop(queue));
    }
}

// --------------------------------------------------------------------------------- ending

static void finish(struct mr_stream *stream) {
    uint32_t flags = stream->backend_flags;
    stream->backend_flags = 0;
    if (flags & CLOSING) {
        uring_count_syscall(stream->loop);
        mr_socket_close(stream->handle, (flags & CLOSING_RESETS) != 0);
        mr_io_on_closed(stream);
    } else {
        mr_io_on_detached(stream);
    }
}

static void finish_if_done(struct mr_stream *stream) {
    if ((stream->backend_flags & ENDING) && (stream->backend_flags & (IN_KERNEL | TODO)) == 0) {
        finish(stream);
    }
}

void uring_streams_finish(struct mr_loop *loop) {
    struct uring_loop *state = uring_loop_of(loop);
    while (state->done.head != NULL) {
        finish(pop(&state->done));
    }
}

static void begin_ending(struct mr_stream *stream, uint32_t flags) {
    stream->backend_flags |= flags;
    if (stream->backend_flags & IN_KERNEL) {
        touch(stream);
    }
    finish_if_done(stream);
}

void uring_stream_close(struct mr_stream *stream, bool reset) {
    begin_ending(stream, CLOSING | (reset ? CLOSING_RESETS : 0));
}

void uring_stream_detach(struct mr_stream *stream) {
    begin_ending(stream, DETACHING);
}

// ------------------------------------------------------------------------------ receiving

static void end_tell(struct mr_stream *stream) {
    int os_error = (int)(stream->backend_flags >> OS_ERROR_SHIFT);
    stream->backend_flags &= (1u << OS_ERROR_SHIFT) - 1;
    stream->backend_flags &= ~END_HELD;
    stream->backend_flags |= END_TOLD;
    mr_io_on_recv_end(stream, os_error == 0 ? MR_ERR_EOF : mr_socket_err(os_error), os_error);
}

static void recv_ended(struct mr_stream *stream, int os_error) {
    if (stream->backend_flags & ENDING) {
        return;
    }
    stream->backend_flags |= END_HELD | (uint32_t)os_error << OS_ERROR_SHIFT;
    if (mr_io_recv_wanted(stream)) {
        end_tell(stream);
    }
}

static void fed_turn_set(struct mr_stream *stream, uint32_t turn) {
    stream->backend_flags &= ~(FED_TURN_MASK << FED_TURN_SHIFT);
    stream->backend_flags |= (turn & FED_TURN_MASK) << FED_TURN_SHIFT;
}

static void fed(struct mr_stream *stream) {
    stream->backend_flags |= PATIENCE_MAX << PATIENCE_SHIFT;
    fed_turn_set(stream, state_of(stream)->turn);
}

static void recv_again(struct mr_stream *stream) {
    if ((stream->backend_flags & ENDING) == 0) {
        touch(stream);
    }
}

// The supply was used up.
static void recv_starved(struct mr_stream *stream) {
    struct uring_loop *state = state_of(stream);
    if (mr_uring_supply_is_empty(&state->supply)) {
        mr_uring_supply_fill(&state->supply, mr_io_core(stream->loop)->pool);
        if (mr_uring_supply_is_empty(&state->supply)) {
            mr_io_on_failed(stream, MR_ERR_NOMEM, 0);
            return;
        }
    }
    uint32_t fed_turn = stream->backend_flags >> FED_TURN_SHIFT & FED_TURN_MASK;
    if (fed_turn == (state->turn & FED_TURN_MASK)) {
        touch(stream);
    } else {
        // However long it waits, this turn must never look like the one that fed it.
        fed_turn_set(stream, state->turn - 1);
        touch_starved(stream);
    }
}

static void recv_failed(struct mr_stream *stream, int os_error) {
    switch (os_error) {
        case ECANCELED:
        case EINTR:
        case EAGAIN:
            recv_again(stream);
            break;
        case ENOBUFS:
            if ((stream->backend_flags & ENDING) == 0) {
                recv_starved(stream);
            }
            break;
        default:
            recv_ended(stream, os_error);
            break;
    }
}

// Something else is to be received, or nothing, or the same again.
static void recv_changed(struct mr_stream *stream) {
    if ((stream->backend_flags & RECV_SHOTS) == 0 || !mr_io_recv_wanted(stream) ||
        place_is_worth_it(stream)) {
        touch(stream);
    }
}

static void on_shot(struct mr_stream *stream, const struct mr_uring_completion *completion) {
    if ((completion->flags & IORING_CQE_F_MORE) == 0) {
        stream->backend_flags &= ~(RECV_SHOTS | RECV_CANCELLED);
    }
    if (completion->res < 0) {
        recv_failed(stream, -completion->res);
    } else if (completion->res == 0) {
        // Whatever the kernel says of a buffer here, it has used nothing of it.
        recv_ended(stream, 0);
    } else {
        struct mr_uring_supply *supply = &state_of(stream)->supply;
        struct mr_buf *buf;
        struct mr_slice data =
            mr_uring_supply_take(supply, completion->flags, (uint32_t)completion->res, &buf);
        fed(stream);
        mr_io_on_recv_buf(stream, buf, data);
        mr_uring_supply_release(supply, completion->flags);
        if ((stream->backend_flags & ENDING) == 0) {
            recv_changed(stream);
        }
    }
}

static void on_placed(struct mr_stream *stream, const struct mr_uring_completion *completion) {
    stream->backend_flags &= ~(RECV_PLACED | RECV_CANCELLED);
    if (completion->res > 0) {
        fed(stream);
        mr_io_on_recv(stream, (size_t)completion->res);
        recv_again(stream);
        return;
    }
    mr_io_on_recv(stream, 0);
    if (completion->res == 0) {
        recv_ended(stream, 0);
    } else {
        recv_failed(stream, -completion->res);
    }
}

enum mr_err uring_stream_open(struct mr_stream *stream) {
    touch(stream);
    return MR_OK;
}

void uring_stream_recv(struct mr_stream *stream) {
    uint32_t flags = stream->backend_flags;
    if (flags & END_HELD) {
        end_tell(stream);
        return;
    }
    if (flags & END_TOLD) {
        return;
    }
    if ((flags & (RECV_SHOTS | RECV_PLACED)) == 0) {
        touch(stream);
    }
    if ((flags & SEND_FAILED) && (flags >> PATIENCE_SHIFT & PATIENCE_MAX) > 0) {
        // What the peer sent before is still on its way through the kernel, and then its end.
        stream->backend_flags -= 1u << PATIENCE_SHIFT;
        mr_io_on_recv_share_used(stream);
    }
}

void uring_stream_recv_stop(struct mr_stream *stream) {
    (void)stream;
}

// -------------------------------------------------------------------------------- sending

static void send_failed(struct mr_stream *stream, int os_error) {
    stream->backend_flags |= SEND_FAILED | PATIENCE_MAX << PATIENCE_SHIFT;
    mr_io_on_send_failed(stream, mr_socket_err(os_error), os_error);
}

static void on_sent(struct mr_stream *stream, int res) {
    uint32_t asked = stream->bytes_in_flight;
    stream->bytes_in_flight = 0;
    stream->backend_flags &= ~SEND;
    if (res > 0) {
        mr_io_on_sent(stream, (uint64_t)res);
    }
    if (stream->backend_flags & ENDING) {
        return;
    }
    if (res < 0 && res != -EAGAIN && res != -EINTR) {
        send_failed(stream, -res);
        return;
    }
    bool blocked = res != -EINTR && (res < 0 || (uint32_t)res < asked);
    if (blocked) {
        stream->backend_flags |= ROOM_WANTED;
        touch(stream);
    }
    mr_io_on_send_over(stream, blocked);
}

static void on_room(struct mr_stream *stream) {
    stream->backend_flags &= ~(ROOM | ROOM_CANCELLED);
    if ((stream->backend_flags & ENDING) == 0) {
        mr_io_on_send_ready(stream);
    }
}

void uring_stream_send(struct mr_stream *stream) {
    mr_io_core(stream->loop)->stats.send_count++;
    stream->backend_flags |= SEND_WANTED;
    touch(stream);
}

void uring_stream_send_end(struct mr_stream *stream) {
    uring_count_syscall(stream->loop);
    mr_socket_send_end(stream->handle);
}

// ------------------------------------------------------------------------------- delivery

void uring_on_stream_complete(struct mr_stream *stream, enum uring_tag tag,
                              const struct mr_uring_completion *completion) {
    if (tag == URING_TAG_RECV_SHOTS) {
        on_shot(stream, completion);
    } else if (tag == URING_TAG_RECV_PLACED) {
        on_placed(stream, completion);
    } else if (tag == URING_TAG_SEND) {
        on_sent(stream, completion->res);
    } else {
        on_room(stream);
    }
    finish_if_done(stream);
}
