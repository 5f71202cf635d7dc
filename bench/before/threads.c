// The IO model before: a blocking thread for each client, which reads a packet, looks up who
// gets it, and writes to each of them itself, under that client's lock.
//
// With --batch on it reads as much as there is, and what it has for a client after that leaves
// in one vectored send. Millrace's trie has places for 64 readers, not for thousands of
// threads: here they share one, and its topic cache, under a lock.
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench/before/threads.h"
#include "bench/stages/count.h"
#include "io/buf/chain.h"
#include "trie/trie.h"

#define BACKLOG 4096
#define READ_BYTES (64u << 10)
#define POOL_CACHED_BYTES (256u << 10)
#define HEADER_BYTES_MAX 5u
#define NO_FILES_PAUSE_US 10000u

// ------------------------------------------------------------------------ the table of clients

static void client_unref(struct client *client) {
    if (__atomic_sub_fetch(&client->refs, 1, __ATOMIC_ACQ_REL) == 0) {
        close(client->fd);
        pthread_mutex_destroy(&client->write_lock);
        free(client);
    }
}

static bool table_add(struct threads *threads, struct client *client) {
    uint32_t tried = 0;
    pthread_rwlock_wrlock(&threads->table_lock);
    do {
        threads->next = threads->next % (CLIENTS_MAX - 1) + 1;
    } while (threads->table[threads->next] != NULL && ++tried < CLIENTS_MAX);
    if (tried < CLIENTS_MAX) {
        threads->table[threads->next] = client;
        client->conn.subscriber = mr_subscriber_make(0, threads->next);
    }
    pthread_rwlock_unlock(&threads->table_lock);
    return tried < CLIENTS_MAX;
}

static void table_remove(struct threads *threads, const struct client *client) {
    pthread_rwlock_wrlock(&threads->table_lock);
    threads->table[mr_subscriber_index(client->conn.subscriber)] = NULL;
    pthread_rwlock_unlock(&threads->table_lock);
}

// ------------------------------------------------------------------------ writing

// All of it, however long it takes. Under the receiver's lock.
static bool write_all(struct client *to, struct iovec *iov, size_t iov_count) {
    struct msghdr message = {.msg_iov = iov, .msg_iovlen = iov_count};
    while (message.msg_iovlen > 0) {
        ssize_t n = sendmsg(to->fd, &message, MSG_NOSIGNAL);
        count(COUNT_SYSCALLS);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return false;
        }
        while (message.msg_iovlen > 0 && (size_t)n >= message.msg_iov->iov_len) {
            n -= (ssize_t)message.msg_iov->iov_len;
            message.msg_iov++;
            message.msg_iovlen--;
        }
        if (message.msg_iovlen > 0) {
            message.msg_iov->iov_base = (uint8_t *)message.msg_iov->iov_base + n;
            message.msg_iov->iov_len -= (size_t)n;
        }
    }
    return true;
}

static void lock(struct client *client) {
    count(COUNT_LOCKED);
    pthread_mutex_lock(&client->write_lock);
}

static void unlock(struct client *client) {
    pthread_mutex_unlock(&client->write_lock);
}

static bool send_now(struct client *to, const struct form *form, uint8_t qos) {
    uint8_t *bytes = (uint8_t *)(uintptr_t)form->bytes.data;
    lock(to);
    uint16_t packet_id = qos > 0 ? conn_packet_id(&to->conn) : 0;
    uint8_t id[] = {(uint8_t)(packet_id >> 8), (uint8_t)packet_id};
    size_t split = qos > 0 ? form->id_offset : form->bytes.len;
    size_t behind = split + sizeof(id);
    struct iovec iov[] = {
        {bytes, split}, {id, sizeof(id)}, {bytes + behind, qos > 0 ? form->bytes.len - behind : 0}};
    bool ok = (qos == 0 || packet_id != 0) && write_all(to, iov, qos > 0 ? 3 : 1);
    unlock(to);
    return ok;
}

static void flush(struct client *from) {
    struct iovec iov[64];
    for (uint32_t i = 0; i < from->pending_count; i++) {
        struct pending *pending = &from->pending[i];
        bool ok = true;
        lock(pending->to);
        while (ok && mr_chain_bytes(&pending->chain) > 0) {
            struct mr_iov pieces[MR_ARRAY_COUNT(iov)];
            size_t pieces_count = mr_chain_iov(&pending->chain, pieces, MR_ARRAY_COUNT(iov));
            size_t bytes = 0;
            for (size_t k = 0; k < pieces_count; k++) {
                iov[k] = (struct iovec){(void *)(uintptr_t)pieces[k].base, pieces[k].len};
                bytes += pieces[k].len;
            }
            ok = write_all(pending->to, iov, pieces_count);
            mr_chain_consume(&pending->chain, bytes);
        }
        unlock(pending->to);
        mr_chain_clear(&pending->chain);
        from->pending_of[mr_subscriber_index(pending->to->conn.subscriber)] = 0;
        client_unref(pending->to);
    }
    from->pending_count = 0;
}

// What `from` has for `to`; takes a reference the first time.
static struct mr_chain *pending_of(struct client *from, struct client *to) {
    uint32_t *place = &from->pending_of[mr_subscriber_index(to->conn.subscriber)];
    if (*place != 0 && from->pending[*place - 1].to != to) {
        flush(from);  // Of a client that is gone, whose number `to` has got.
    }
    if (*place == 0) {
        if (from->pending_count == from->pending_capacity) {
            from->pending_capacity = from->pending_capacity * 2 + 16;
            from->pending = realloc(from->pending, from->pending_capacity * sizeof(*from->pending));
            if (from->pending == NULL) {
                abort();
            }
        }
        __atomic_fetch_add(&to->refs, 1, __ATOMIC_RELAXED);
        from->pending[from->pending_count++] = (struct pending){.to = to};
        *place = from->pending_count;
    }
    return &from->pending[*place - 1].chain;
}

static bool append(struct client *from, struct client *to, const struct form *form, uint8_t qos) {
    struct mr_chain *chain = pending_of(from, to);
    if (qos == 0) {
        return mr_chain_append_ref(chain, from->pool, form->buf, form->bytes) == MR_OK;
    }
    lock(to);
    uint16_t packet_id = conn_packet_id(&to->conn);
    unlock(to);
    uint8_t *head = mr_chain_reserve(chain, from->pool, form->bytes.len);
    if (head == NULL) {
        return false;
    }
    memcpy(head, form->bytes.data, form->bytes.len);
    head[form->id_offset] = (uint8_t)(packet_id >> 8);
    head[form->id_offset + 1] = (uint8_t)packet_id;
    mr_chain_commit(chain, packet_id != 0 ? form->bytes.len : 0);
    return packet_id != 0;
}

static void reply(struct conn *conn, const uint8_t *data, size_t len) {
    struct client *client = (struct client *)conn;
    if (client->threads->stages->batch) {
        // If memory runs out the client waits for an answer in vain.
        (void)!mr_chain_append_copy(pending_of(client, client), client->pool,
                                    mr_slice_of(data, len));
        return;
    }
    struct iovec iov = {(void *)(uintptr_t)data, len};
    lock(client);
    (void)!write_all(client, &iov, 1);
    unlock(client);
}

// ------------------------------------------------------------------------ publishing

// Fills client->receivers with references.
static void find_receivers(struct client *client, struct mr_slice topic) {
    struct threads *threads = client->threads;
    bool walk = threads->stages->lookup == LOOKUP_WALK;
    struct reader *reader = walk ? client->reader : threads->reader;
    if (!walk) {
        count(COUNT_LOCKED);
        pthread_mutex_lock(&threads->reader_lock);
    }
    const struct targets *targets = reader_find(reader, topic);
    if (targets->count > client->receivers_capacity) {
        client->receivers_capacity = targets->count * 2;
        client->receivers =
            realloc(client->receivers, client->receivers_capacity * sizeof(*client->receivers));
        if (client->receivers == NULL) {
            abort();
        }
    }
    client->receiver_count = 0;
    count(COUNT_LOCKED);
    pthread_rwlock_rdlock(&threads->table_lock);
    for (uint32_t i = 0; i < targets->count; i++) {
        struct client *to = threads->table[mr_subscriber_index(targets->list[i].subscriber)];
        if (to != NULL) {
            __atomic_fetch_add(&to->refs, 1, __ATOMIC_RELAXED);
            client->receivers[client->receiver_count++] =
                (struct receiver){to, targets->list[i].qos};
        }
    }
    pthread_rwlock_unlock(&threads->table_lock);
    reader_rest(reader);
    if (!walk) {
        pthread_mutex_unlock(&threads->reader_lock);
    }
}

static bool publish(struct conn *conn, const struct mr_publish *publish_in, struct mr_buf *buf,
                    struct mr_slice whole) {
    struct client *from = (struct client *)conn;
    const struct stages *stages = from->threads->stages;
    struct message message;
    find_receivers(from, publish_in->topic);
    message_init(&message, publish_in, from->pool, stages->shared, buf, whole, conn->version);
    for (uint32_t i = 0; i < from->receiver_count; i++) {
        struct client *to = from->receivers[i].client;
        uint8_t qos =
            from->receivers[i].qos < publish_in->qos ? from->receivers[i].qos : publish_in->qos;
        struct form form;
        if (message_get(&message, stages->shared, to->conn.version, qos, &form)) {
            bool ok = stages->batch ? append(from, to, &form, qos) : send_now(to, &form, qos);
            if (!ok) {
                shutdown(to->fd, SHUT_RDWR);  // Its own thread will notice.
            }
            count(COUNT_DELIVERED);
            message_put(stages->shared, &form);
        }
        client_unref(to);
    }
    message_fini(&message);
    return true;
}

// ------------------------------------------------------------------------ reading

static bool read_exactly(struct client *client, uint8_t *out, size_t bytes) {
    while (bytes > 0) {
        ssize_t n = recv(client->fd, out, bytes, 0);
        count(COUNT_SYSCALLS);
        if (n == 0 || (n < 0 && errno != EINTR)) {
            return false;
        }
        out += n > 0 ? n : 0;
        bytes -= n > 0 ? (size_t)n : 0;
    }
    return true;
}

// The fixed header, then the rest: packet by packet.
static bool read_packet(struct client *client) {
    uint8_t header[HEADER_BYTES_MAX];
    struct mr_frame frame;
    struct mr_decode_error error;
    enum mr_decode_status status = MR_DECODE_MORE;
    size_t len = 0;
    while (status == MR_DECODE_MORE && len < sizeof(header)) {
        size_t more = len == 0 ? 2 : 1;
        if (!read_exactly(client, header + len, more)) {
            return false;
        }
        len += more;
        status = mr_frame_decode(mr_slice_of(header, len), client->conn.version, PACKET_BYTES_MAX,
                                 &frame, &error);
    }
    if (status != MR_DECODE_DONE) {
        return false;
    }
    struct mr_buf *buf = mr_buf_new(client->pool, len + frame.body_len);
    if (buf == NULL) {
        return false;
    }
    memcpy(buf->data, header, len);
    bool ok = read_exactly(client, buf->data + len, frame.body_len) &&
              conn_on_packet(&client->conn, &frame, mr_slice_of(buf->data + len, frame.body_len),
                             buf, mr_slice_of(buf->data, len + frame.body_len));
    mr_buf_unref(buf);
    return ok;
}

// Handles the complete packets in `data`; returns their bytes, or SIZE_MAX. `*need` is the
// length of the one that isn't complete.
static size_t take_packets(struct client *client, struct mr_buf *buf, size_t len, size_t *need) {
    size_t at = 0;
    *need = 0;
    while (at < len) {
        struct mr_slice rest = mr_slice_of(buf->data + at, len - at);
        struct mr_frame frame;
        struct mr_decode_error error;
        enum mr_decode_status status =
            mr_frame_decode(rest, client->conn.version, PACKET_BYTES_MAX, &frame, &error);
        size_t bytes = (size_t)frame.header_len + frame.body_len;
        if (status == MR_DECODE_MORE) {
            break;
        }
        if (status == MR_DECODE_DONE && rest.len < bytes) {
            *need = bytes;
            break;
        }
        if (status != MR_DECODE_DONE ||
            !conn_on_packet(&client->conn, &frame,
                            mr_slice_of(rest.data + frame.header_len, frame.body_len), buf,
                            mr_slice_of(rest.data, bytes))) {
            return SIZE_MAX;
        }
        at += bytes;
    }
    return at;
}

static void read_batches(struct client *client) {
    struct mr_buf *buf = mr_buf_new(client->pool, READ_BYTES);
    size_t len = 0;
    while (buf != NULL) {
        ssize_t n = recv(client->fd, buf->data + len, buf->capacity - len, 0);
        count(COUNT_SYSCALLS);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        size_t need;
        size_t taken = n > 0 ? take_packets(client, buf, len + (size_t)n, &need) : SIZE_MAX;
        flush(client);
        if (taken == SIZE_MAX) {
            break;
        }
        // Nobody else holds the buffer any more.
        len = len + (size_t)n - taken;
        memmove(buf->data, buf->data + taken, len);
        if (need > buf->capacity) {
            struct mr_buf *larger = mr_buf_new(client->pool, need);
            if (larger != NULL) {
                memcpy(larger->data, buf->data, len);
            }
            mr_buf_unref(buf);
            buf = larger;
        }
    }
    if (buf != NULL) {
        mr_buf_unref(buf);
    }
}

// ------------------------------------------------------------------------ threads

static void *client_run(void *ctx) {
    struct client *client = ctx;
    mr_buf_pool_enter(client->pool);
    if (client->threads->stages->batch) {
        read_batches(client);
    } else {
        while (read_packet(client)) {
        }
    }
    conn_forget(&client->conn);
    table_remove(client->threads, client);
    shutdown(client->fd, SHUT_RDWR);
    mr_buf_pool_enter(NULL);
    mr_buf_pool_free(client->pool);
    free(client->receivers);
    free(client->pending);
    free(client->pending_of);
    client_unref(client);
    return NULL;
}

static const struct transport transport = {reply, publish};

static struct client *client_new(struct threads *threads, int fd) {
    struct client *client = calloc(1, sizeof(*client));
    struct mr_buf_pool_options options = {
        .cached_bytes_max = threads->stages->pool ? POOL_CACHED_BYTES : MR_BUF_CACHE_NONE};
    if (client == NULL) {
        return NULL;
    }
    client->conn.transport = &transport;
    client->conn.lookup = threads->lookup;
    client->threads = threads;
    client->fd = fd;
    client->refs = 1;
    // Of the plain tree each thread may be a reader.
    bool ok = threads->stages->lookup != LOOKUP_WALK ||
              (client->reader = reader_new(threads->lookup, 0)) != NULL;
    if (threads->stages->batch) {
        client->pending_of = calloc(CLIENTS_MAX, sizeof(uint32_t));
        ok = ok && client->pending_of != NULL;
    }
    if (!ok || pthread_mutex_init(&client->write_lock, NULL) != 0 ||
        mr_buf_pool_new(&client->pool, &options) != MR_OK) {
        free(client->pending_of);
        free(client);
        return NULL;
    }
    return client;
}

static void on_accept(struct threads *threads, int fd) {
    int one = 1;
    pthread_t thread;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    struct client *client = client_new(threads, fd);
    if (client == NULL) {
        close(fd);
        return;
    }
    if (!table_add(threads, client)) {
        client_unref(client);
    } else if (pthread_create(&thread, NULL, client_run, client) != 0) {
        table_remove(threads, client);
        client_unref(client);
    } else {
        pthread_detach(thread);
    }
}

bool threads_run(const struct stages *stages) {
    static struct threads threads;
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(stages->port)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int one = 1;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    threads.stages = stages;
    threads.lookup = lookup_new(stages->lookup);
    bool ok = threads.lookup != NULL && (threads.reader = reader_new(threads.lookup, 0)) != NULL &&
              pthread_mutex_init(&threads.reader_lock, NULL) == 0 &&
              pthread_rwlock_init(&threads.table_lock, NULL) == 0 && fd >= 0 &&
              setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) == 0 &&
              bind(fd, (struct sockaddr *)&at, sizeof(at)) == 0 && listen(fd, BACKLOG) == 0;
    if (!ok) {
        return false;
    }
    for (;;) {
        int client_fd = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
        if (client_fd >= 0) {
            on_accept(&threads, client_fd);
        } else if (errno == EMFILE || errno == ENFILE) {
            usleep(NO_FILES_PAUSE_US);
        }
    }
}
