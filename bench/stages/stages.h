// A broker made of parts, each in the plain form of bench/before or in Millrace's own, chosen on
// the command line: so that what each of them gains can be measured alone and together.
//
//   --io        threads: a blocking thread for each client   epoll, io_uring: the event loop
//   --batch     off: a send for each packet (and, with threads, two receives)
//               on: a vectored send for each connection and turn, large receives
//   --fanout    copy: each subscriber gets a packet of its own   shared: one buffer for all
//   --lookup    walk: of a plain tree   trie: of Millrace's   cache: by topic
//   --memory    malloc: and free, for each buffer   pool: buffers are used again
//   --handover  mutex: a locked queue to each worker   ring: without locks
//
// It is a broker for load generators: MQTT 3.1.1 and 5.0, QoS 0 and 1, clean sessions only. It
// checks packets with the real codec, and drops their properties. It has no retained messages, no
// wills, no access control, sends nothing again, and closes a connection that falls too far
// behind. What differs between two runs is only what the options say.
#ifndef MILLRACE_BENCH_STAGES_STAGES_H
#define MILLRACE_BENCH_STAGES_STAGES_H

#include "base/base.h"
#include "codec/codec.h"
#include "io/buf/buf.h"

#define WORKERS_MAX 16u
#define PACKET_BYTES_MAX (16u << 20)
// A connection is closed when so many bytes or QoS 1 messages wait for it.
#define PENDING_BYTES_MAX (256u << 20)
#define INFLIGHT_MAX 60000u

enum io_kind {
    IO_THREADS,
    IO_EPOLL,
    IO_URING,
};

enum lookup_kind {
    LOOKUP_WALK,
    LOOKUP_TRIE,
    LOOKUP_CACHE,
};

struct stages {
    uint16_t port;
    uint32_t workers;
    enum io_kind io;
    bool batch;
    bool shared;
    enum lookup_kind lookup;
    bool pool;
    bool ring;
};

// options.c. `*out` holds the defaults. False: wrong; a message was written to standard error.
bool stages_parse(struct stages *out, int argc, char *argv[]);
extern const struct stages stages_before;  // All of it plain.

// ------------------------------------------------------------------------ lookup.c

struct target {
    uint32_t subscriber;
    uint8_t qos;
};

// Who gets a message: those of one's own shard, and which other shards have some.
struct targets {
    struct target *list;
    uint32_t count;
    uint32_t capacity;
    uint64_t other_shards;
};

struct lookup;  // Subscriptions, for all.
struct reader;  // For one thread at a time, serving the subscribers of one shard.

struct lookup *lookup_new(enum lookup_kind kind);
struct reader *reader_new(struct lookup *lookup, uint32_t shard);
// Returns what lookup_remove() takes; NULL if out of memory or the filter is invalid.
void *lookup_insert(struct lookup *lookup, struct mr_slice filter, uint32_t subscriber,
                    uint8_t qos);
void lookup_remove(struct lookup *lookup, void *node, uint32_t subscriber);
// Valid until the next call of this reader.
const struct targets *reader_find(struct reader *reader, struct mr_slice topic);
// The reader holds nothing, and may not come back for long.
void reader_rest(struct reader *reader);

// ------------------------------------------------------------------------ fanout.c

// An encoded PUBLISH in a buffer.
struct form {
    struct mr_buf *buf;
    struct mr_slice bytes;
    size_t id_offset;  // Of the packet identifier; 0: none (QoS 0).
    size_t payload_offset;
};

// One message and the forms of it that were made.
struct message {
    const struct mr_publish *publish;
    struct mr_buf_pool *pool;
    struct form forms[2][2];  // By 5.0 or not, and QoS.
};

// `whole` is the packet as it was received in `buf` from a client of `version`: if that doesn't
// have to be changed, it is a form, too. NULL and empty if there is none.
void message_init(struct message *message, const struct mr_publish *publish,
                  struct mr_buf_pool *pool, bool shared, struct mr_buf *buf, struct mr_slice whole,
                  uint8_t version);
// The form for one subscriber: its own, or one that all share. To be given back with
// message_put(). False: out of memory.
bool message_get(struct message *message, bool shared, uint8_t version, uint8_t qos,
                 struct form *out);
void message_put(bool shared, const struct form *form);
void message_fini(struct message *message);

// ------------------------------------------------------------------------ conn.c

struct conn;

// How bytes get to a connection, and messages to their receivers.
struct transport {
    void (*reply)(struct conn *conn, const uint8_t *data, size_t len);
    // Publishes a message that `conn` sent: `whole`, in `buf`.
    bool (*publish)(struct conn *conn, const struct mr_publish *publish, struct mr_buf *buf,
                    struct mr_slice whole);
};

// What is the same for all transports; the first member of their connections.
struct conn {
    const struct transport *transport;
    struct lookup *lookup;
    uint32_t subscriber;
    uint8_t version;  // 0 before CONNECT.
    uint16_t packet_id;
    uint32_t inflight;  // QoS 1 messages without PUBACK. Atomic.
    void **nodes;       // Of its subscriptions.
    uint32_t node_count;
    uint32_t node_capacity;
};

// Handles one packet. False: the connection has to be closed.
bool conn_on_packet(struct conn *conn, const struct mr_frame *frame, struct mr_slice body,
                    struct mr_buf *buf, struct mr_slice whole);
// Removes its subscriptions.
void conn_forget(struct conn *conn);
// The next packet identifier; 0 if too many are in flight. One thread at a time.
uint16_t conn_packet_id(struct conn *conn);

// ------------------------------------------------------------------------ transports

// bench/before/threads.c and loops.c: serve until the process ends. False: they can't.
bool threads_run(const struct stages *stages);
bool loops_run(const struct stages *stages);

// broker.c: serves; writes counters to standard output on SIGUSR1; ends on SIGTERM.
int broker_run(const struct stages *stages);

#endif  // MILLRACE_BENCH_STAGES_STAGES_H
