// The stage "IO model", after: workers with an event loop each, on Millrace's own loops.
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "bench/stages/count.h"
#include "bench/stages/mailbox.h"
#include "bench/stages/stages.h"
#include "io/epoll/epoll.h"
#include "io/uring/uring.h"
#include "trie/trie.h"

#define SLOTS 65536u
#define PARCELS_IN_TURN 4096u

struct loop_conn {
    struct conn conn;  // First.
    struct mr_stream stream;
    struct worker *worker;
    struct loop_conn *paused_next;
    bool paused;
};

struct accepted {
    struct accepted *next;
    intptr_t handle;
};

struct worker {
    const struct stages *stages;
    struct worker *all;
    struct mr_loop *loop;
    struct lookup *lookup;
    struct reader *reader;
    struct mailbox *out[WORKERS_MAX];  // To each other worker.
    struct loop_conn **slots;          // By subscriber index; 0 is none.
    struct loop_conn *paused;          // Wait for room in a mailbox.
    uint64_t syscalls_seen;
    uint32_t index;
    uint32_t slot_next;
    uint32_t accept_next;  // Worker that gets the next connection; of the first worker.
    bool asleep;
    pthread_t thread;
    pthread_mutex_t lock;
    struct accepted *accepted;  // Under the lock.
};

// ------------------------------------------------------------------------ sending

static struct loop_conn *of(struct conn *conn) {
    return (struct loop_conn *)conn;
}

// At once, with a system call of its own, unless earlier bytes still wait.
static void write_now(struct loop_conn *to, struct iovec *iov, size_t iov_count) {
    struct mr_buf_pool *pool = mr_loop_pool(to->worker->loop);
    struct mr_chain *chain = mr_stream_out(&to->stream);
    ssize_t sent = 0;
    if (mr_chain_bytes(chain) == 0) {
        struct msghdr message = {.msg_iov = iov, .msg_iovlen = iov_count};
        count(COUNT_SYSCALLS);
        sent = sendmsg((int)to->stream.handle, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0 && errno != EAGAIN && errno != EINTR) {
            mr_stream_close(&to->stream, MR_CLOSE_ABORT, 0);
            return;
        }
        sent = sent < 0 ? 0 : sent;
    }
    for (size_t i = 0; i < iov_count; i++) {
        size_t skip = (size_t)sent < iov[i].iov_len ? (size_t)sent : iov[i].iov_len;
        struct mr_slice rest =
            mr_slice_of((const uint8_t *)iov[i].iov_base + skip, iov[i].iov_len - skip);
        sent -= (ssize_t)skip;
        if (rest.len > 0 && mr_chain_append_copy(chain, pool, rest) != MR_OK) {
            mr_stream_close(&to->stream, MR_CLOSE_ABORT, 0);
            return;
        }
    }
    if (mr_chain_bytes(chain) > 0) {
        mr_stream_flush(&to->stream);
    }
}

// With all else that this turn writes to the connection.
static bool append(struct loop_conn *to, const struct form *form, uint16_t packet_id) {
    struct mr_buf_pool *pool = mr_loop_pool(to->worker->loop);
    struct mr_chain *chain = mr_stream_out(&to->stream);
    if (packet_id == 0) {
        return mr_chain_append_ref(chain, pool, form->buf, form->bytes) == MR_OK;
    }
    uint8_t *head = mr_chain_reserve(chain, pool, form->payload_offset);
    if (head == NULL) {
        return false;
    }
    memcpy(head, form->bytes.data, form->payload_offset);
    head[form->id_offset] = (uint8_t)(packet_id >> 8);
    head[form->id_offset + 1] = (uint8_t)packet_id;
    mr_chain_commit(chain, form->payload_offset);
    struct mr_slice payload = mr_slice_of(form->bytes.data + form->payload_offset,
                                          form->bytes.len - form->payload_offset);
    return payload.len == 0 || mr_chain_append_ref(chain, pool, form->buf, payload) == MR_OK;
}

static void send_form(struct loop_conn *to, const struct form *form, uint8_t qos) {
    uint16_t packet_id = qos > 0 ? conn_packet_id(&to->conn) : 0;
    bool ok =
        (qos == 0 || packet_id != 0) && mr_stream_pending_bytes(&to->stream) < PENDING_BYTES_MAX;
    if (ok && to->worker->stages->batch) {
        ok = append(to, form, packet_id);
        mr_stream_flush(&to->stream);
    } else if (ok) {
        uint8_t id[] = {(uint8_t)(packet_id >> 8), (uint8_t)packet_id};
        size_t split = form->id_offset > 0 ? form->id_offset : form->bytes.len;
        uint8_t *bytes = (uint8_t *)(uintptr_t)form->bytes.data;
        size_t behind = split + sizeof(id);
        struct iovec iov[] = {{bytes, split},
                              {id, sizeof(id)},
                              {bytes + behind, qos > 0 ? form->bytes.len - behind : 0}};
        write_now(to, iov, qos > 0 ? 3 : 1);
    }
    if (!ok) {
        mr_stream_close(&to->stream, MR_CLOSE_ABORT, 0);
    }
}

static void reply(struct conn *conn, const uint8_t *data, size_t len) {
    struct loop_conn *to = of(conn);
    if (!to->worker->stages->batch) {
        struct iovec iov = {(void *)(uintptr_t)data, len};
        write_now(to, &iov, 1);
    } else if (mr_chain_append_copy(mr_stream_out(&to->stream), mr_loop_pool(to->worker->loop),
                                    mr_slice_of(data, len)) != MR_OK) {
        mr_stream_close(&to->stream, MR_CLOSE_ABORT, 0);
    } else {
        mr_stream_flush(&to->stream);
    }
}

// ------------------------------------------------------------------------ messages

// To the receivers on this worker. Returns which others have some.
static uint64_t deliver(struct worker *worker, struct message *message) {
    bool shared = worker->stages->shared;
    const struct targets *targets = reader_find(worker->reader, message->publish->topic);
    for (uint32_t i = 0; i < targets->count; i++) {
        struct loop_conn *to = worker->slots[mr_subscriber_index(targets->list[i].subscriber)];
        uint8_t qos = targets->list[i].qos < message->publish->qos ? targets->list[i].qos
                                                                   : message->publish->qos;
        struct form form;
        if (to == NULL || mr_stream_closing(&to->stream) ||
            !message_get(message, shared, to->conn.version, qos, &form)) {
            continue;
        }
        send_form(to, &form, qos);
        count(COUNT_DELIVERED);
        message_put(shared, &form);
    }
    return targets->other_shards;
}

static struct mr_buf *pack(struct worker *worker, const struct mr_publish *publish) {
    size_t bytes = publish->topic.len + publish->payload.len;
    struct mr_buf *buf = mr_buf_new(mr_loop_pool(worker->loop), bytes);
    if (buf != NULL) {
        memcpy(buf->data, publish->topic.data, publish->topic.len);
        if (publish->payload.len > 0) {
            memcpy(buf->data + publish->topic.len, publish->payload.data, publish->payload.len);
        }
    }
    return buf;
}

static bool hand_over(struct worker *worker, const struct mr_publish *publish, uint64_t shards) {
    struct mr_buf *buf = NULL;
    for (uint32_t i = 0; i < worker->stages->workers; i++) {
        if ((shards >> i & 1) == 0) {
            continue;
        }
        if (buf == NULL) {
            buf = pack(worker, publish);
        }
        if (buf == NULL) {
            return false;
        }
        struct parcel parcel = {mr_buf_ref_for_other(buf), (uint32_t)publish->topic.len,
                                (uint32_t)publish->payload.len, publish->qos};
        mailbox_push(worker->out[i], &parcel);
        if (!worker->stages->shared) {
            mr_buf_unref(buf);
            buf = NULL;
        }
    }
    if (buf != NULL) {
        mr_buf_unref(buf);
    }
    return true;
}

static bool publish(struct conn *conn, const struct mr_publish *publish_in, struct mr_buf *buf,
                    struct mr_slice whole) {
    struct worker *worker = of(conn)->worker;
    struct message message;
    message_init(&message, publish_in, mr_loop_pool(worker->loop), worker->stages->shared, buf,
                 whole, conn->version);
    uint64_t others = deliver(worker, &message);
    message_fini(&message);
    return others == 0 || hand_over(worker, publish_in, others);
}

// Returns whether there is more.
static bool take_parcels(struct worker *worker, struct mailbox *mailbox) {
    struct parcel parcel;
    for (uint32_t i = 0; i < PARCELS_IN_TURN; i++) {
        if (!mailbox_pop(mailbox, &parcel)) {
            return false;
        }
        mr_buf_adopt(parcel.buf);
        const uint8_t *data = parcel.buf->data;
        struct mr_publish publish_in = {
            .topic = mr_slice_of(data, parcel.topic_len),
            .payload = mr_slice_of(data + parcel.topic_len, parcel.payload_len),
            .qos = parcel.qos,
        };
        struct message message;
        message_init(&message, &publish_in, mr_loop_pool(worker->loop), worker->stages->shared,
                     NULL, mr_slice_of(NULL, 0), 0);
        deliver(worker, &message);
        message_fini(&message);
        mr_buf_unref(parcel.buf);
    }
    return true;
}

// ------------------------------------------------------------------------ connections

static bool mailboxes_have_room(struct worker *worker) {
    for (uint32_t i = 0; i < worker->stages->workers; i++) {
        if (i != worker->index && !mailbox_room(worker->out[i])) {
            return false;
        }
    }
    return true;
}

static void pause_reading(struct loop_conn *from) {
    mr_stream_recv_pause(&from->stream);
    if (!from->paused) {
        from->paused = true;
        from->paused_next = from->worker->paused;
        from->worker->paused = from;
    }
}

static size_t on_recv(struct mr_stream *stream, struct mr_buf *buf, struct mr_slice data,
                      size_t *need) {
    struct loop_conn *from = MR_CONTAINER_OF(stream, struct loop_conn, stream);
    size_t at = 0;
    while (at < data.len && !mr_stream_closing(stream)) {
        struct mr_slice rest = mr_slice_of(data.data + at, data.len - at);
        struct mr_frame frame;
        struct mr_decode_error error;
        enum mr_decode_status status =
            mr_frame_decode(rest, from->conn.version, PACKET_BYTES_MAX, &frame, &error);
        if (status == MR_DECODE_MORE) {
            break;
        }
        size_t len = (size_t)frame.header_len + frame.body_len;
        if (status == MR_DECODE_DONE && rest.len < len) {
            *need = len;
            break;
        }
        if (status == MR_DECODE_DONE && frame.type == MR_PUBLISH &&
            !mailboxes_have_room(from->worker)) {
            pause_reading(from);
            break;
        }
        if (status != MR_DECODE_DONE ||
            !conn_on_packet(&from->conn, &frame,
                            mr_slice_of(rest.data + frame.header_len, frame.body_len), buf,
                            mr_slice_of(rest.data, len))) {
            mr_stream_close(stream, MR_CLOSE_FLUSH, 0);
            break;
        }
        at += len;
    }
    return at;
}

static void on_drain(struct mr_stream *stream) {
    (void)stream;
}

static void on_close(struct mr_stream *stream, enum mr_err why, int os_error) {
    struct loop_conn *conn = MR_CONTAINER_OF(stream, struct loop_conn, stream);
    struct worker *worker = conn->worker;
    (void)why;
    (void)os_error;
    conn_forget(&conn->conn);
    worker->slots[mr_subscriber_index(conn->conn.subscriber)] = NULL;
    for (struct loop_conn **at = &worker->paused; conn->paused && *at != NULL;) {
        if (*at == conn) {
            *at = conn->paused_next;
            break;
        }
        at = &(*at)->paused_next;
    }
    free(conn);
}

static const struct mr_stream_handler stream_handler = {
    .on_recv = on_recv,
    .on_drain = on_drain,
    .on_close = on_close,
    .high_bytes = 1u << 20,
    .low_bytes = 1u << 18,
};

static const struct transport transport = {reply, publish};

static void attach(struct worker *worker, intptr_t handle) {
    struct loop_conn *conn = calloc(1, sizeof(*conn));
    uint32_t tried = 0;
    do {
        worker->slot_next = worker->slot_next % (SLOTS - 1) + 1;
    } while (worker->slots[worker->slot_next] != NULL && ++tried < SLOTS);
    if (conn == NULL || tried == SLOTS ||
        mr_stream_attach(worker->loop, &conn->stream, handle, mr_slice_of(NULL, 0),
                         &stream_handler) != MR_OK) {
        mr_handle_close(worker->loop, handle);
        free(conn);
        return;
    }
    conn->conn.transport = &transport;
    conn->conn.lookup = worker->lookup;
    conn->conn.subscriber = mr_subscriber_make(worker->index, worker->slot_next);
    conn->worker = worker;
    worker->slots[worker->slot_next] = conn;
}

// ------------------------------------------------------------------------ workers

// Connections go to the workers in turn.
static void on_accept(void *ctx, intptr_t handle) {
    struct worker *first = ctx;
    struct worker *worker = &first->all[first->accept_next++ % first->stages->workers];
    struct accepted *accepted = malloc(sizeof(*accepted));
    if (accepted == NULL) {
        mr_handle_close(first->loop, handle);
        return;
    }
    accepted->handle = handle;
    pthread_mutex_lock(&worker->lock);
    accepted->next = worker->accepted;
    worker->accepted = accepted;
    pthread_mutex_unlock(&worker->lock);
    mr_loop_wake(worker->loop);
}

static void on_wake(void *ctx) {
    struct worker *worker = ctx;
    pthread_mutex_lock(&worker->lock);
    struct accepted *accepted = worker->accepted;
    worker->accepted = NULL;
    pthread_mutex_unlock(&worker->lock);
    while (accepted != NULL) {
        struct accepted *next = accepted->next;
        attach(worker, accepted->handle);
        free(accepted);
        accepted = next;
    }
}

static void resume_paused(struct worker *worker) {
    while (worker->paused != NULL && mailboxes_have_room(worker)) {
        struct loop_conn *conn = worker->paused;
        worker->paused = conn->paused_next;
        conn->paused = false;
        mr_stream_recv_resume(&conn->stream);
    }
}

// Returns whether the loop must not wait.
static bool exchange_parcels(struct worker *worker) {
    bool more = false;
    uint32_t workers = worker->stages->workers;
    for (uint32_t i = 0; i < workers; i++) {
        if (i != worker->index) {
            struct mailbox *in = worker->all[i].out[worker->index];
            if (worker->asleep) {
                mailbox_awake(in);
            }
            more = take_parcels(worker, in) || more;
            mailbox_flush(worker->out[i]);
        }
    }
    worker->asleep = false;
    resume_paused(worker);
    if (more || worker->paused != NULL) {
        return true;
    }
    for (uint32_t i = 0; i < workers && !more; i++) {
        more = i != worker->index && !mailbox_sleep(worker->all[i].out[worker->index]);
        worker->asleep = true;  // Some are told; all are told again at the next turn.
    }
    return more;
}

static bool on_turn_end(void *ctx) {
    struct worker *worker = ctx;
    bool more = worker->stages->workers > 1 && exchange_parcels(worker);
    struct mr_loop_stats stats;
    mr_loop_stats(worker->loop, &stats);
    count_add(COUNT_SYSCALLS, stats.syscall_count - worker->syscalls_seen);
    worker->syscalls_seen = stats.syscall_count;
    reader_rest(worker->reader);
    return more;
}

static bool worker_init(struct worker *worker, struct worker *all, uint32_t index,
                        const struct stages *stages, struct lookup *lookup) {
    struct mr_loop_options options = {
        .ctx = worker,
        .on_wake = on_wake,
        .on_turn_end = on_turn_end,
        .pool = {.cached_bytes_max = stages->pool ? 0 : MR_BUF_CACHE_NONE},
    };
    worker->stages = stages;
    worker->all = all;
    worker->index = index;
    worker->lookup = lookup;
    worker->slots = calloc(SLOTS, sizeof(struct loop_conn *));
    worker->reader = reader_new(lookup, index);
    return worker->slots != NULL && worker->reader != NULL &&
           pthread_mutex_init(&worker->lock, NULL) == 0 &&
           mr_loop_new(&worker->loop, stages->io == IO_URING ? &mr_io_uring : &mr_io_epoll,
                       &options) == MR_OK;
}

static void *worker_run(void *ctx) {
    struct worker *worker = ctx;
    MR_ASSERT(mr_loop_run(worker->loop) == MR_OK);
    return NULL;
}

bool loops_run(const struct stages *stages) {
    static struct worker workers[WORKERS_MAX];
    struct lookup *lookup = lookup_new(stages->lookup);
    bool ok = lookup != NULL && (stages->io != IO_URING || mr_io_uring_available(NULL));
    for (uint32_t i = 0; ok && i < stages->workers; i++) {
        ok = worker_init(&workers[i], workers, i, stages, lookup);
    }
    for (uint32_t from = 0; ok && from < stages->workers; from++) {
        for (uint32_t to = 0; ok && to < stages->workers; to++) {
            workers[from].out[to] = mailbox_new(stages->ring, workers[to].loop);
            ok = workers[from].out[to] != NULL;
        }
    }
    struct mr_listen_address address = {
        .host = "127.0.0.1", .port = stages->port, .tcp_nodelay = true};
    struct mr_listener *listener;
    int os_error;
    ok = ok && mr_listener_open(&listener, workers[0].loop, &address, on_accept, &workers[0],
                                &os_error) == MR_OK;
    for (uint32_t i = 1; ok && i < stages->workers; i++) {
        ok = pthread_create(&workers[i].thread, NULL, worker_run, &workers[i]) == 0;
    }
    if (ok) {
        worker_run(&workers[0]);
    }
    return false;
}
