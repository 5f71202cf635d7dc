// What one worker counts. Each worker writes its own set; anyone may read it at any time.
//
// Threads: mr_count*() by the owning worker; reading by any thread.
#ifndef MILLRACE_BROKER_SYS_COUNTERS_H
#define MILLRACE_BROKER_SYS_COUNTERS_H

#include "base/base.h"

#ifdef __cplusplus
extern "C" {
#endif

// X(name, what it counts).
#define MR_COUNTER_MAP(X)                                                              \
    X(packets_received, "packets of all types from clients")                           \
    X(packets_sent, "packets of all types to clients")                                 \
    X(publish_received, "PUBLISH packets from clients")                                \
    X(publish_sent, "PUBLISH packets to clients")                                      \
    X(publish_bytes_received, "payload bytes from clients")                            \
    X(publish_bytes_sent, "payload bytes to clients")                                  \
    X(forwarded_unaltered, "deliveries that re-used the received bytes")               \
    X(connects_accepted, "sessions begun or resumed")                                  \
    X(connects_refused, "CONNECT packets refused")                                     \
    X(connect_timeouts, "connections without CONNECT in time")                         \
    X(keep_alive_timeouts, "clients silent for too long")                              \
    X(takeovers, "connections that took over a session")                               \
    X(connections_handed_over, "connections moved to the worker of their session")     \
    X(sockets_opened, "connections accepted")                                          \
    X(sockets_refused, "connections closed at a limit")                                \
    X(clients_connected, "clients with a connection now")                              \
    X(clients_disconnected, "sessions without a connection now")                       \
    X(clients_expired, "sessions ended by expiry")                                     \
    X(wills_sent, "will messages published")                                           \
    X(protocol_errors, "packets that closed their connection")                         \
    X(subscribes_refused, "filters refused in a SUBACK")                               \
    X(acl_publish_denied, "PUBLISH packets without the right to")                      \
    X(routed_nowhere, "messages without a receiver")                                   \
    X(queued_messages, "messages waiting or in flight now")                            \
    X(queued_bytes, "bytes of them")                                                   \
    X(dropped_queue_full, "deliveries dropped at a queue limit")                       \
    X(dropped_oldest, "deliveries dropped for newer ones")                             \
    X(dropped_offline, "QoS 0 deliveries to sessions without a connection")            \
    X(dropped_too_large, "deliveries larger than the client's maximum")                \
    X(dropped_expired, "deliveries whose message expired")                             \
    X(dropped_no_memory, "deliveries dropped for lack of memory")                      \
    X(dropped_denied, "waiting deliveries whose receiver lost the right to read them") \
    X(dropped_session_end, "deliveries dropped with their session")                    \
    X(slow_disconnects, "clients disconnected for being slow")                         \
    X(backpressure_pauses, "times that a publisher was paused")                        \
    X(ring_full, "times that a hand-over ring was full")                               \
    X(parcels_sent, "messages handed to another worker")                               \
    X(parcels_received, "messages taken from another worker")                          \
    X(shared_redelivered, "shared messages given to another member")                   \
    X(retained_refused, "retained messages refused at a limit")                        \
    X(memory_disconnects, "clients closed for lack of memory")

struct mr_counters {
#define MR_COUNTER_FIELD(name, text) uint64_t name;
    MR_COUNTER_MAP(MR_COUNTER_FIELD)
#undef MR_COUNTER_FIELD
};

static inline void mr_count_add(uint64_t *counter, uint64_t n) {
    __atomic_store_n(counter, *counter + n, __ATOMIC_RELAXED);
}
static inline void mr_count(uint64_t *counter) {
    mr_count_add(counter, 1);
}
static inline void mr_count_sub(uint64_t *counter, uint64_t n) {
    __atomic_store_n(counter, *counter - n, __ATOMIC_RELAXED);
}
static inline uint64_t mr_counter_read(const uint64_t *counter) {
    return __atomic_load_n(counter, __ATOMIC_RELAXED);
}

#ifdef __cplusplus
}  // extern "C"
#endif

#endif  // MILLRACE_BROKER_SYS_COUNTERS_H
