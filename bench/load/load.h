// The load generator: many MQTT clients in one thread, far cheaper than a broker.
//
// Flow is by credit: a publisher has at most `window` messages under way, counted where they
// arrive, so that nothing is lost by overload and what is measured is the broker. Each message
// carries publisher, sequence number and time: losses, duplicates, reordering and latency are
// seen at the receiver.
//
// Threads: one.
#ifndef MILLRACE_BENCH_LOAD_LOAD_H
#define MILLRACE_BENCH_LOAD_LOAD_H

#include <stdio.h>

#include "base/base.h"

// What each payload begins with.
struct stamp {
    uint32_t publisher;
    uint32_t sequence;
    uint64_t time_ns;  // When it was sent, or should have been (open loop).
};
#define STAMP_BYTES 16u

enum shape {
    SHAPE_PAIR,     // Publisher i to subscriber i.
    SHAPE_FAN_IN,   // All publishers to each subscriber, by a wildcard.
    SHAPE_FAN_OUT,  // Each publisher to all subscribers, one topic.
    SHAPE_IDLE,     // Connections that do nothing.
    SHAPE_CHURN,    // Connect, subscribe, disconnect, again and again.
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
    int pid;                // Of the broker; 0: unknown.
    uint32_t sources;       // Addresses 127.0.0.1 and up to connect from.
    bool json;
};

// False: wrong; a message was written to standard error.
bool options_parse(struct options *out, int argc, char *argv[]);

// ------------------------------------------------------------------------ histogram

// Latencies in ns, about 1 % wide bins.
struct histogram {
    uint64_t bins[64 * 64];
    uint64_t count;
    uint64_t max;
};
void histogram_add(struct histogram *histogram, uint64_t value);
uint64_t histogram_percentile(const struct histogram *histogram, double percent);

// ------------------------------------------------------------------------ connections

struct load;

struct client {
    int fd;
    uint32_t index;
    bool publisher;
    bool ready;    // CONNACK and SUBACK have come.
    bool blocked;  // The kernel takes no more.
    uint8_t *in;   // Partial packet.
    size_t in_len;
    size_t in_capacity;
    uint8_t *out;
    size_t out_begin;
    size_t out_len;
    size_t out_capacity;
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
    // Subscriber.
    uint32_t *expected;  // Next sequence number, by publisher.
};

struct load {
    struct options options;
    int epoll_fd;
    struct client *clients;  // Subscribers first.
    uint32_t client_count;
    uint64_t fan_out;  // Deliveries of one message.
    uint64_t slowest;  // Fan-out: messages that the slowest subscriber has.
    uint64_t started_ns;
    uint64_t now_ns;
    bool running;
    bool measuring;
    // Results.
    uint64_t published;
    uint64_t delivered;
    uint64_t lost;
    uint64_t duplicated;
    uint64_t reordered;
    uint64_t failed;  // Connections that were refused or ended.
    uint64_t connects;
    struct histogram latency;
};

uint64_t clock_ns(void);

// client.c
bool client_open(struct load *load, struct client *client);
void client_close(struct client *client);
// Reads and handles what is there. False: the connection ended.
bool client_read(struct load *load, struct client *client);
// Publishes as credit allows.
void client_publish(struct load *load, struct client *client);
bool client_write(struct load *load, struct client *client);
bool client_has_credit(const struct load *load, const struct client *client);

// report.c
struct usage {
    double cpu_seconds;
    uint64_t memory_bytes;
};
// Of another process; zeros if it is unknown.
struct usage usage_of(int pid);
void report(const struct load *load, double seconds, struct usage before, struct usage after,
            double own_cpu_seconds, FILE *out);

#endif  // MILLRACE_BENCH_LOAD_LOAD_H
