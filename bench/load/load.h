// The load generator: many MQTT clients in one thread, far cheaper than a broker.
//
// Flow is by credit: a publisher has at most `window` messages under way, counted where they
// arrive, so that nothing is lost by overload and what is measured is the broker. Each message
// carries publisher, sequence number and time: losses, duplicates, reordering and latency are
// seen at the receiver.
//
// With a rate the loop is open: each message has a time at which it is due, and its latency
// counts from then, whether or not anything held it up (no coordinated omission).
//
// Threads: one. Several processes are several independent copies of the load, each with its
// own topics; their results are added up.
#ifndef MILLRACE_BENCH_LOAD_LOAD_H
#define MILLRACE_BENCH_LOAD_LOAD_H

#include <stdio.h>

#include "base/base.h"

// What each payload begins with.
struct stamp {
    uint32_t publisher;
    uint32_t sequence;  // Among the messages of this publisher to the same receivers.
    uint64_t time_ns;   // When it was sent, or should have been (open loop).
};
#define STAMP_BYTES 16u

#define PROCESSES_MAX 64u
// Topics are load/PROCESS/ddd/ddd/v.
#define TOPICS_MAX 1000000u

enum shape {
    SHAPE_PAIR,      // Publisher i to subscriber i.
    SHAPE_FAN_IN,    // All publishers to each subscriber, by a wildcard.
    SHAPE_FAN_OUT,   // Each publisher to all subscribers, one topic.
    SHAPE_WILDCARD,  // Many filters, spread over the subscribers; topics by Zipf's law.
    SHAPE_RETAINED,  // Subscribers get all retained messages, again and again.
    SHAPE_IDLE,      // Connections that do nothing.
    SHAPE_CHURN,     // Connect, subscribe, disconnect, again and again.
};

struct options {
    const char *host;
    uint16_t port;
    enum shape shape;
    uint32_t publishers;
    uint32_t subscribers;
    uint32_t payload_bytes;
    uint32_t window;
    uint8_t qos;
    uint8_t version;  // 4 or 5.
    double seconds;
    double warm_up_seconds;
    double rate;            // Messages a second in all; 0: as fast as credit allows.
    uint64_t messages_max;  // Published in all; 0: by time only.
    uint32_t topics;        // Wildcard: filters; retained: messages.
    double zipf;            // Exponent.
    int pid;                // Of the broker; 0: unknown.
    uint32_t sources;       // Addresses 127.0.0.1 and up to connect from.
    uint32_t processes;
    bool json;
};

// False: wrong; a message was written to standard error.
bool options_parse(struct options *out, int argc, char *argv[]);
const char *shape_name(enum shape shape);

// ------------------------------------------------------------------------ results

// Times in ns, about 1 % wide bins.
struct histogram {
    uint64_t bins[64 * 64];
    uint64_t count;
    uint64_t max;
};
void histogram_add(struct histogram *histogram, uint64_t value);
void histogram_merge(struct histogram *into, const struct histogram *from);
uint64_t histogram_percentile(const struct histogram *histogram, double percent);

// Of another process; zeros if it is unknown.
struct usage {
    double cpu_seconds;
    uint64_t memory_bytes;
};
struct usage usage_of(int pid);

struct results {
    uint64_t published;
    uint64_t delivered;
    uint64_t lost;
    uint64_t duplicated;
    uint64_t reordered;
    uint64_t failed;  // Connections that were refused or ended.
    uint64_t connects;
    uint64_t rounds;  // Retained: complete sets that a subscriber got.
    double seconds;   // Measured.
    double own_cpu_seconds;
    double connect_seconds;    // Until every client was ready.
    struct usage usage_begin;  // Of the broker; from the first process only.
    struct usage usage_end;
    struct histogram latency;   // Retained: of a whole set.
    struct histogram lateness;  // Open loop: how late we sent what was due.
};

void results_merge(struct results *into, const struct results *from);
void report(const struct options *options, const struct results *results, struct usage idle,
            FILE *out);

// ------------------------------------------------------------------------ connections

struct load;

struct client {
    int fd;
    uint32_t index;
    bool publisher;
    bool ready;    // CONNACK and all SUBACKs have come.
    bool blocked;  // The kernel takes no more.
    bool dirty;    // A publisher in load.dirty.
    bool ponged;
    uint8_t *in;  // Partial packet.
    size_t in_len;
    size_t in_capacity;
    size_t in_wanted;  // Its length, if it is a large one.
    uint8_t *out;
    size_t out_begin;
    size_t out_len;
    size_t out_capacity;
    size_t direct_left;  // Large packets are sent from `packet` itself: what is left of it.
    // Publisher.
    uint64_t sent;       // Messages.
    uint64_t delivered;  // Deliveries of them, at all receivers.
    uint64_t acked;      // QoS 1 and 2: completed.
    uint64_t due;        // Open loop: messages that should have been sent.
    uint16_t packet_id;
    uint8_t *packet;  // Encoded PUBLISH to be patched.
    size_t packet_len;
    size_t stamp_offset;
    size_t packet_id_offset;
    size_t topic_offset;  // Of its six digits (wildcard).
    uint32_t topic_next;  // Place in load.topics.
    uint32_t *sent_to;    // Wildcard: messages, by subscriber.
    // Subscriber.
    uint32_t *expected;     // Next sequence number, by publisher.
    uint32_t filters_next;  // Wildcard: first one not yet subscribed to.
    uint64_t *got;          // Retained: a bit for each message of this round.
    uint32_t got_count;
    uint64_t round_ns;
};

// What all processes see.
struct shared {
    uint32_t connected;  // Processes whose clients are all ready. Atomic, as all here.
    uint32_t failed;
    uint64_t go_ns;  // When to begin.
    struct results results[PROCESSES_MAX];
};

struct load {
    struct options options;
    struct shared *shared;
    uint32_t process;
    int epoll_fd;
    struct client *clients;  // Subscribers first.
    uint32_t client_count;
    struct client **dirty;  // Publishers that may have something to do.
    uint32_t dirty_count;
    uint64_t fan_out;          // Deliveries of one message.
    uint64_t sent_each_max;    // Messages of each publisher.
    double interval_ns;        // Open loop: between two messages of all.
    uint64_t scheduled;        // Open loop: messages that were due, of all.
    uint64_t delivered_swept;  // Fan-out: `delivered` when publishers were last looked at.
    uint32_t *topics;          // Wildcard: a long random sequence of topic numbers.
    uint64_t started_ns;
    uint64_t now_ns;
    bool running;
    bool measuring;
    struct results results;
};

uint64_t clock_ns(void);
double cpu_seconds(void);

// client.c
bool client_open(struct load *load, struct client *client);
void client_close(struct client *client);
void client_leave(struct client *client);  // DISCONNECT, then close.
void client_put_subscribe(struct load *load, struct client *client);
void client_put_ping(struct client *client);
uint8_t *client_reserve(struct client *client, size_t bytes);
bool client_write(struct client *client);

// topics.c
#define TOPIC_BYTES 64u
void topic_of(const struct load *load, uint32_t index, char out[TOPIC_BYTES]);
void filter_of(const struct load *load, uint32_t index, char out[TOPIC_BYTES]);
// Filter `number` of the many ones, and who subscribes to it.
void filter_numbered(const struct load *load, uint32_t number, char out[TOPIC_BYTES]);
uint32_t subscriber_of(const struct load *load, uint32_t number);
// The first filter of `subscriber` from `number` on; options.topics if there is none.
uint32_t filter_next(const struct load *load, uint32_t subscriber, uint32_t number);
void topic_put_digits(uint8_t *digits, uint32_t number);
#define TOPIC_DRAWS (1u << 20)
bool topics_draw(struct load *load);

// receive.c
// Reads and handles what is there. False: the connection ended.
bool client_read(struct load *load, struct client *client);

// publish.c
void client_mark_dirty(struct load *load, struct client *client);
bool client_make_packet(struct load *load, struct client *client, bool retain, bool empty);
// Publishes what credit allows, on all dirty publishers.
void publish_all(struct load *load);
// Open loop: makes due what is due by now.
void publish_schedule(struct load *load);
// Retained: all messages, or as many empty ones that remove them. True: the broker has them.
bool publish_retained(struct load *load, bool empty);

// turn.c
void turn(struct load *load, int wait_ms);
bool connect_all(struct load *load);

#endif  // MILLRACE_BENCH_LOAD_LOAD_H
