#include "broker/sys/names.h"

#include <stdio.h>

#define FIGURE(topic, field) \
    { topic, offsetof(struct mr_sys_figures, field) }

// As Mosquitto 2.0 names them. Its `heap/current` and `heap/maximum` are called `current size`
// and `maximum size` only in its manual.
const struct mr_sys_name mr_sys_names[] = {
    FIGURE("clients/total", clients_total),
    FIGURE("clients/inactive", at.counters.clients_disconnected),
    FIGURE("clients/active", at.counters.clients_connected),
    FIGURE("clients/maximum", clients_maximum),
    FIGURE("messages/stored", stored_count),
    FIGURE("store/messages/count", stored_count),
    FIGURE("store/messages/bytes", stored_bytes),
    FIGURE("subscriptions/count", plain_subscriptions),
    FIGURE("shared_subscriptions/count", at.trie.shared_subscription_count),
    FIGURE("retained messages/count", at.retained.message_count),
    FIGURE("heap/current", heap_bytes),
    FIGURE("heap/maximum", heap_bytes_max),
    FIGURE("publish/messages/dropped", publish_dropped),
    FIGURE("bytes/received", at.loops.recv_bytes),
    FIGURE("bytes/sent", at.loops.send_bytes),
    // Ours.
    FIGURE("workers", at.workers),
    FIGURE("io/syscalls", at.loops.syscall_count),
    FIGURE("io/turns", at.loops.turn_count),
    FIGURE("io/receives", at.loops.recv_count),
    FIGURE("io/sends", at.loops.send_count),
    FIGURE("io/accepts", at.loops.accept_count),
    FIGURE("io/wakes", at.loops.wake_count),
    FIGURE("cache/hit", at.caches.hit_count),
    FIGURE("cache/revalidated", at.caches.revalidated_count),
    FIGURE("cache/stale", at.caches.stale_count),
    FIGURE("cache/miss", at.caches.miss_count),
    FIGURE("cache/evicted", at.caches.evicted_count),
    FIGURE("cache/uncached", at.caches.uncached_count),
    FIGURE("cache/entries", at.caches.entry_count),
    FIGURE("cache/bytes", at.caches.bytes),
    FIGURE("cache/scratch_bytes", at.caches.scratch_bytes),
    FIGURE("trie/filters", at.trie.node_count),
    FIGURE("trie/bytes", at.trie.bytes),
    FIGURE("trie/retired", at.trie.retired_count),
    FIGURE("retained/bytes", at.retained.message_bytes),
    FIGURE("retained/buffer_bytes", at.retained.buffer_bytes),
    FIGURE("retained/overhead_bytes", at.retained.overhead_bytes),
    FIGURE("retained/expired", at.retained.expired_count),
    FIGURE("memory/idle_client_bytes", at.idle_client_bytes),
    FIGURE("memory/buffers/bytes", at.buffers.in_use_bytes),
    FIGURE("memory/buffers/bytes_maximum", at.buffers.in_use_bytes_max),
    FIGURE("memory/buffers/count", at.buffers.in_use_count),
    FIGURE("memory/buffers/cached_bytes", at.buffers.cached_bytes),
    FIGURE("memory/buffers/allocated", at.buffers.allocated_count),
    FIGURE("memory/buffers/reused", at.buffers.reused_count),
    FIGURE("memory/buffers/returned", at.buffers.returned_count),
    FIGURE("limits/buffers_refused", at.buffers.refused_count),
    FIGURE("limits/retained_store_refused", at.retained.refused_count),
    FIGURE("limits/accept_pauses", at.loops.accept_pause_count),
    FIGURE("internal/never", at.never_count),
};
const size_t mr_sys_names_count = MR_ARRAY_COUNT(mr_sys_names);

const struct mr_sys_name mr_sys_loads[] = {
    FIGURE("messages/received", at.counters.packets_received),
    FIGURE("messages/sent", at.counters.packets_sent),
    FIGURE("publish/dropped", publish_dropped),
    FIGURE("publish/received", at.counters.publish_received),
    FIGURE("publish/sent", at.counters.publish_sent),
    FIGURE("bytes/received", at.loops.recv_bytes),
    FIGURE("bytes/sent", at.loops.send_bytes),
    FIGURE("sockets", at.counters.sockets_opened),
    FIGURE("connections", connects),
};
const size_t mr_sys_loads_count = MR_ARRAY_COUNT(mr_sys_loads);

const struct mr_sys_name mr_sys_counter_names[] = {
#define COUNTER(name, text) FIGURE(#name, at.counters.name),
    MR_COUNTER_MAP(COUNTER)
#undef COUNTER
};
const size_t mr_sys_counter_names_count = MR_ARRAY_COUNT(mr_sys_counter_names);

static const struct {
    const char *name;
    const char *topic;
} counter_topics[] = {
    {"packets_received", "messages/received"},
    {"packets_sent", "messages/sent"},
    {"publish_received", "publish/messages/received"},
    {"publish_sent", "publish/messages/sent"},
    {"publish_bytes_received", "publish/bytes/received"},
    {"publish_bytes_sent", "publish/bytes/sent"},
    {"forwarded_unaltered", "publish/messages/forwarded_unaltered"},
    {"routed_nowhere", "publish/messages/routed_nowhere"},
    {"wills_sent", "publish/messages/wills"},
    {"shared_redelivered", "publish/messages/shared_redelivered"},
    {"acl_publish_denied", "publish/messages/denied"},
    {"connects_accepted", "clients/accepted"},
    {"connects_refused", "clients/refused"},
    {"clients_connected", "clients/connected"},
    {"clients_disconnected", "clients/disconnected"},
    {"clients_expired", "clients/expired"},
    {"takeovers", "clients/takeovers"},
    {"protocol_errors", "clients/protocol_errors"},
    {"sockets_opened", "sockets/opened"},
    {"subscribes_refused", "subscriptions/refused"},
    {"queued_messages", "queued/messages"},
    {"queued_bytes", "queued/bytes"},
    {"connect_timeouts", "limits/connect_timeout"},
    {"keep_alive_timeouts", "limits/keep_alive"},
    {"sockets_refused", "limits/sockets_refused"},
    {"slow_disconnects", "limits/slow_disconnects"},
    {"backpressure_pauses", "limits/backpressure_pauses"},
    {"retained_refused", "limits/retained_refused"},
    {"memory_disconnects", "limits/memory_disconnects"},
    {"parcels_sent", "handover/sent"},
    {"parcels_received", "handover/received"},
    {"ring_full", "handover/ring_full"},
    {"connections_handed_over", "handover/connections"},
};

void mr_sys_counter_topic(const char *name, char out[MR_SYS_TOPIC_BYTES_MAX]) {
    for (size_t i = 0; i < MR_ARRAY_COUNT(counter_topics); i++) {
        if (strcmp(name, counter_topics[i].name) == 0) {
            snprintf(out, MR_SYS_TOPIC_BYTES_MAX, "%s", counter_topics[i].topic);
            return;
        }
    }
    static const char dropped[] = "dropped_";
    size_t len = sizeof(dropped) - 1;
    if (strncmp(name, dropped, len) == 0) {
        snprintf(out, MR_SYS_TOPIC_BYTES_MAX, "drops/%s", name + len);
        return;
    }
    snprintf(out, MR_SYS_TOPIC_BYTES_MAX, "counters/%s", name);
}

void mr_sys_figures_of(const struct mr_sys_snapshot *snapshot, struct mr_sys_figures *out) {
    const struct mr_counters *counters = &snapshot->counters;
    memset(out, 0, sizeof(*out));
    out->at = *snapshot;
    out->clients_total = counters->clients_connected + counters->clients_disconnected;
    // Each CONNECT was answered one way or the other.
    out->connects = counters->connects_accepted + counters->connects_refused;
    // What Mosquitto counts: lost at a limit. Expiry, QoS 0 to an absent client and the end of
    // a session are not losses; each has its own figure in drops/.
    out->publish_dropped =
        counters->dropped_queue_full + counters->dropped_oldest + counters->dropped_no_memory;
    // Mosquitto counts shared ones apart.
    out->plain_subscriptions =
        snapshot->trie.subscription_count - snapshot->trie.shared_subscription_count;
    // A message that waits for several clients counts for each.
    out->stored_count = counters->queued_messages + snapshot->retained.message_count;
    out->stored_bytes = counters->queued_bytes + snapshot->retained.message_bytes;
    bool known = snapshot->heap_bytes != 0;
    out->heap_bytes = known ? snapshot->heap_bytes : snapshot->buffers.in_use_bytes;
    out->heap_bytes_max = known ? snapshot->heap_bytes_max : snapshot->buffers.in_use_bytes_max;
}
