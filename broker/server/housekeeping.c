// What the first worker does once a second for all: $SYS, expired retained messages.
#include "broker/server/internal.h"

// Retained messages that are looked at in a second, so that a large store costs little at a time.
#define SWEEP_MESSAGES 2000u

void mr_publish_text(struct mr_worker *worker, struct mr_slice topic, struct mr_slice payload,
                     bool retain) {
    struct mr_router *router = mr_protocol_router(worker->protocol);
    struct mr_publish publish = {.topic = topic, .payload = payload, .retain = retain};
    struct mr_message *message = mr_message_new(router->env.pool, &publish, 0, 0);
    if (message != NULL) {
        mr_router_publish_message(router, message, mr_slice_of(NULL, 0));
        mr_message_unref(message);
    }
}

static void publish_value(void *ctx, struct mr_slice topic, struct mr_slice value) {
    mr_publish_text(ctx, topic, value, true);
}

// Client ids of this length stand for others in the figure of idle memory: the longest that every
// 3.1.1 server takes.
#define TYPICAL_CLIENT_ID_LEN 23u

static void publish_sys(struct mr_worker *worker) {
    struct mr_server *server = worker->server;
    struct mr_sys_snapshot snapshot = {
        .version = server->version,
        .io_backend = mr_loop_backend_name(worker->loop),
        .uptime_ms = mr_loop_now_ms(worker->loop) - server->started_ms,
        .workers = server->worker_count,
        .idle_client_bytes = mr_protocol_idle_client_bytes(TYPICAL_CLIENT_ID_LEN),
        .never_count = mr_never_count(),
    };
    for (uint32_t i = 0; i < server->worker_count; i++) {
        struct mr_worker *other = &server->workers[i];
        struct mr_report report;
        pthread_mutex_lock(&other->lock);
        report = other->report;
        pthread_mutex_unlock(&other->lock);
        mr_sys_add_counters(&snapshot.counters, &report.counters);
        mr_sys_add_loop(&snapshot.loops, &report.loop);
        mr_sys_add_buffers(&snapshot.buffers, &report.buffers);
        mr_sys_add_cache(&snapshot.caches, &report.cache);
    }
    mr_trie_stats(server->shared.trie, &snapshot.trie);
    mr_retained_stats(server->shared.retained, &snapshot.retained);
    if (server->memory != NULL) {
        server->memory(&snapshot.heap_bytes, &snapshot.heap_bytes_max);
    }
    mr_sys_update(server->sys, &snapshot, publish_value, worker);
}

static bool keep(void *ctx, const struct mr_message *message, struct mr_slice source) {
    return mr_protocol_source_may_publish(ctx, source, mr_message_topic(message));
}

// Messages of publishers that lost the right to publish them go, too (CVE-2018-12546).
static void sweep_retained(struct mr_worker *worker) {
    struct mr_server *server = worker->server;
    bool around =
        mr_retained_sweep(server->shared.retained, mr_loop_now_ms(worker->loop), SWEEP_MESSAGES,
                          server->sweep_policies != NULL ? keep : NULL, server->sweep_policies);
    if (around && server->sweep_policies != NULL) {
        mr_policy_set_unref(server->sweep_policies);
        server->sweep_policies = NULL;
    }
}

void mr_housekeeping(struct mr_worker *worker) {
    struct mr_server *server = worker->server;
    uint64_t now = mr_loop_now_ms(worker->loop);
    sweep_retained(worker);
    uint64_t interval_ms = (uint64_t)server->config->sys_interval_s * 1000;
    if (interval_ms != 0 && now >= server->sys_due_ms) {
        server->sys_due_ms = now + interval_ms;
        publish_sys(worker);
    }
}
