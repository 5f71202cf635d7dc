#include "tests/sim/core.h"

#include <stdio.h>
#include <stdlib.h>

#include "broker/retained/retained.h"
#include "trie/trie.h"

#define LISTENER_TEXT "listener 1883\nallow_anonymous true\nsys_interval 0\n"
#define SWEEP_MS 1000u
#define SWEEP_MESSAGES 2000u
// Linger and connect timeouts are long over after so many turns.
#define SHUT_DOWN_STEPS UINT64_C(10000000)

// ------------------------------------------------------------------------ configuration

static enum mr_err read_text(void *ctx, const char *path, char **text_out, size_t *len_out) {
    const char *more = ctx != NULL ? ctx : "";
    (void)path;
    size_t len = strlen(LISTENER_TEXT) + strlen(more);
    char *text = malloc(len + 1);
    if (text == NULL) {
        return MR_ERR_NOMEM;
    }
    snprintf(text, len + 1, "%s%s", LISTENER_TEXT, more);
    *text_out = text;
    *len_out = len;
    return MR_OK;
}

static enum mr_err list_nothing(void *ctx, const char *folder, char ***names_out,
                                size_t *count_out) {
    (void)ctx;
    (void)folder;
    *names_out = NULL;
    *count_out = 0;
    return MR_ERR_NOTFOUND;
}

static enum mr_err read_config(struct mr_core *core, const char *text) {
    struct mr_config_reader reader = {(void *)(uintptr_t)text, read_text, list_nothing};
    struct mr_config_overrides overrides = {.path = "simulation", .workers = -1};
    struct mr_config_messages messages = {0};
    enum mr_err err = mr_config_read(&core->config, &messages, &reader, &overrides);
    for (size_t i = 0; i < messages.count; i++) {
        fprintf(stderr, "%s\n", messages.lines[i]);
    }
    mr_config_messages_fini(&messages);
    return err;
}

static enum mr_err make_policies(struct mr_core *core) {
    core->policies = mr_policy_set_new(core->config->security_count);
    if (core->policies == NULL) {
        return MR_ERR_NOMEM;
    }
    for (uint32_t i = 0; i < core->config->security_count; i++) {
        struct mr_auth_source source = {.allow_anonymous = true};
        char *message = NULL;
        enum mr_err err = mr_auth_policy_new(&core->policies->policies[i], &source, &message);
        free(message);
        MR_TRY(err);
    }
    return MR_OK;
}

// ------------------------------------------------------------------------------- workers

static void on_accept(void *ctx, intptr_t handle) {
    struct mr_core_worker *worker = ctx;
    mr_protocol_accept(worker->protocol, 0, handle);
}

static void on_wake(void *ctx) {
    struct mr_core_worker *worker = ctx;
    mr_protocol_on_wake(worker->protocol);
}

static bool on_turn_end(void *ctx) {
    struct mr_core_worker *worker = ctx;
    return mr_protocol_on_turn_end(worker->protocol);
}

static void on_timer(struct mr_timer *timer) {
    struct mr_core_worker *worker = MR_CONTAINER_OF(timer, struct mr_core_worker, timer);
    mr_router_begin(mr_protocol_router(worker->protocol));
    mr_retained_sweep(worker->core->shared.retained, mr_loop_now_ms(worker->loop), SWEEP_MESSAGES,
                      NULL, NULL);
    mr_timer_start(worker->loop, &worker->timer, SWEEP_MS);
}

static enum mr_err worker_init(struct mr_core *core, uint32_t index) {
    struct mr_core_worker *worker = &core->workers[index];
    worker->core = core;
    worker->index = index;
    struct mr_loop_options loop = {
        .ctx = worker,
        .on_wake = on_wake,
        .on_turn_end = on_turn_end,
        .pool = {.bytes_max = core->config->memory_bytes_max / core->worker_count},
    };
    MR_TRY(mr_loop_new(&worker->loop, mr_sim_backend(core->sim), &loop));
    struct mr_protocol_options protocol = {
        .shared = &core->shared,
        .loop = worker->loop,
        .worker = index,
        .policies = core->policies,
        .listener_connections = &core->listener_connections,
    };
    MR_TRY(mr_protocol_new(&worker->protocol, &protocol));
    struct mr_listen_address address = {
        .port = core->config->listeners[0].port,
        .reuse_port = core->worker_count > 1,
        .claim = index == 0,
    };
    int os_error;
    MR_TRY(
        mr_listener_open(&worker->listener, worker->loop, &address, on_accept, worker, &os_error));
    core->port = mr_listener_port(worker->listener);
    mr_timer_init(&worker->timer, on_timer);
    if (index == 0) {
        mr_timer_start(worker->loop, &worker->timer, SWEEP_MS);
    }
    return MR_OK;
}

enum mr_err mr_core_new(struct mr_core **out, const struct mr_core_options *options) {
    struct mr_core *core = calloc(1, sizeof(*core));
    if (core == NULL) {
        return MR_ERR_NOMEM;
    }
    enum mr_err err = mr_sim_new(&core->sim, &options->sim);
    if (err == MR_OK) {
        err = read_config(core, options->config_text);
    }
    if (err == MR_OK) {
        err = make_policies(core);
    }
    if (err == MR_OK) {
        err =
            mr_shared_init(&core->shared, core->config, options->worker_count, options->hash_seed);
    }
    core->workers = calloc(options->worker_count, sizeof(struct mr_core_worker));
    if (err == MR_OK && core->workers == NULL) {
        err = MR_ERR_NOMEM;
    }
    for (uint32_t i = 0; err == MR_OK && i < options->worker_count; i++) {
        core->worker_count = options->worker_count;
        err = worker_init(core, i);
    }
    if (err != MR_OK) {
        mr_core_free(core);
        return err;
    }
    *out = core;
    return MR_OK;
}

// -------------------------------------------------------------------------------- ending

static uint32_t client_count(const struct mr_core *core) {
    uint32_t count = 0;
    for (uint32_t i = 0; i < core->worker_count; i++) {
        struct mr_protocol *protocol = core->workers[i].protocol;
        count += protocol != NULL ? mr_protocol_client_count(protocol) : 0;
    }
    return count;
}

// Connections on their way from one worker to another are clients of neither.
static bool is_deserted(const struct mr_core *core) {
    return client_count(core) == 0 && mr_core_is_drained(core);
}

static void shut_down(struct mr_core *core) {
    for (uint32_t i = 0; i < core->worker_count; i++) {
        struct mr_core_worker *worker = &core->workers[i];
        if (worker->loop == NULL) {
            continue;
        }
        mr_buf_pool_enter(mr_loop_pool(worker->loop));
        mr_timer_stop(worker->loop, &worker->timer);
        if (worker->listener != NULL) {
            mr_listener_close(worker->listener);
        }
        if (worker->protocol != NULL) {
            mr_protocol_shut_down(worker->protocol);
        }
    }
    for (uint64_t step = 0; step < SHUT_DOWN_STEPS && !is_deserted(core); step += 100) {
        mr_sim_run(core->sim, 100);
    }
}

void mr_core_free(struct mr_core *core) {
    if (core == NULL) {
        return;
    }
    shut_down(core);
    for (uint32_t i = 0; i < core->worker_count; i++) {
        struct mr_core_worker *worker = &core->workers[i];
        if (worker->loop != NULL) {
            mr_buf_pool_enter(mr_loop_pool(worker->loop));
            mr_protocol_free(worker->protocol);
        }
    }
    mr_shared_fini(&core->shared);
    for (uint32_t i = 0; i < core->worker_count; i++) {
        if (core->workers[i].loop != NULL) {
            mr_buf_pool_enter(mr_loop_pool(core->workers[i].loop));
            mr_loop_free(core->workers[i].loop);
        }
    }
    mr_buf_pool_enter(NULL);
    free(core->workers);
    mr_policy_set_unref(core->policies);
    mr_config_free(core->config);
    mr_sim_free(core->sim);
    free(core);
}

// ------------------------------------------------------------------------------- running

bool mr_core_run(struct mr_core *core, uint64_t steps) {
    return mr_sim_run(core->sim, steps);
}

void mr_core_counters(const struct mr_core *core, struct mr_counters *out) {
    memset(out, 0, sizeof(*out));
    for (uint32_t i = 0; i < core->worker_count; i++) {
        const struct mr_counters *counters =
            &mr_protocol_router(core->workers[i].protocol)->counters;
#define ADD(name, text) out->name += counters->name;
        MR_COUNTER_MAP(ADD)
#undef ADD
    }
}

bool mr_core_is_drained(const struct mr_core *core) {
    struct mr_counters sum;
    mr_core_counters(core, &sum);
    return sum.parcels_sent == sum.parcels_received;
}

uint32_t mr_core_session_count(const struct mr_core *core) {
    uint32_t count = 0;
    for (uint32_t i = 0; i < core->worker_count; i++) {
        count += mr_protocol_router(core->workers[i].protocol)->session_count;
    }
    return count;
}

uint64_t mr_core_buffers_in_use(const struct mr_core *core) {
    uint64_t count = 0;
    for (uint32_t i = 0; i < core->worker_count; i++) {
        struct mr_buf_pool *pool = mr_loop_pool(core->workers[i].loop);
        struct mr_buf_stats stats;
        // What others gave back counts only from when it is collected.
        mr_buf_pool_enter(pool);
        mr_buf_pool_collect(pool);
        mr_buf_pool_stats(pool, &stats);
        count += stats.in_use_count;
    }
    mr_buf_pool_enter(NULL);
    return count;
}

// ------------------------------------------------------------------------------ checking

struct found {
    uint32_t sessions;
    uint32_t connected;
    uint64_t held_messages;
    uint64_t subscriptions;
};

static const char *check_session(struct mr_core *core, const struct mr_core_worker *worker,
                                 const struct mr_session *session, struct found *found) {
    struct mr_registry_entry *entry = session->entry;
    if (entry->worker != worker->index ||
        mr_subscriber_shard(session->subscriber) != worker->index) {
        return "a session is not where the registry says";
    }
    struct mr_registry_entry *claimed = NULL;
    uint16_t owner;
    enum mr_err err = mr_registry_claim(core->shared.registry, mr_registry_entry_client_id(entry),
                                        (uint16_t)worker->index, &claimed, &owner);
    if (err != MR_ERR_EXISTS || claimed != entry || owner != worker->index) {
        if (err == MR_OK) {
            mr_registry_release(core->shared.registry, claimed);
        }
        return "a session has two owners or none";
    }
    enum mr_presence presence = mr_registry_presence(core->shared.registry, session->subscriber);
    if ((presence != MR_PRESENCE_NONE) != (session->link != NULL)) {
        return "the registry is wrong about a session's connection";
    }
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < session->queue.count; i++) {
        const struct mr_item *item = mr_items_at(&session->queue, i);
        bytes += (item->flags & MR_ITEM_REPLAY) != 0 ? 0 : mr_message_bytes(item->message);
        found->held_messages++;
    }
    if (bytes != session->queued_bytes) {
        return "a session's queued_bytes are not those of its queue";
    }
    for (uint32_t i = 0; i < session->inflight.count; i++) {
        found->held_messages += mr_items_at(&session->inflight, i)->message != NULL;
    }
    found->sessions++;
    found->connected += session->link != NULL;
    found->subscriptions += session->subscriptions.count;
    return NULL;
}

const char *mr_core_check(struct mr_core *core) {
    struct found found = {0};
    for (uint32_t i = 0; i < core->worker_count; i++) {
        const struct mr_core_worker *worker = &core->workers[i];
        const struct mr_router *router = mr_protocol_router(worker->protocol);
        const struct mr_session *session;
        uint32_t index = 0;
        while ((session = mr_router_next_session(router, &index)) != NULL) {
            const char *wrong = check_session(core, worker, session, &found);
            if (wrong != NULL) {
                return wrong;
            }
        }
    }
    struct mr_counters sum;
    mr_core_counters(core, &sum);
    struct mr_trie_stats trie;
    mr_trie_stats(core->shared.trie, &trie);
    if (found.sessions != mr_registry_count(core->shared.registry)) {
        return "the registry has entries without session";
    }
    if (found.connected != sum.clients_connected ||
        found.sessions != sum.clients_connected + sum.clients_disconnected) {
        return "clients_connected or clients_disconnected is wrong";
    }
    if (found.held_messages != sum.queued_messages) {
        return "queued_messages is wrong";
    }
    if (found.subscriptions != trie.subscription_count) {
        return "the sessions' subscriptions are not the trie's";
    }
    return mr_never_count() == 0 ? NULL : "something happened that never should";
}

const char *mr_core_check_empty(struct mr_core *core) {
    struct mr_counters sum;
    mr_core_counters(core, &sum);
    struct mr_trie_stats trie;
    mr_trie_stats(core->shared.trie, &trie);
    struct mr_retained_stats retained;
    mr_retained_stats(core->shared.retained, &retained);
    if (client_count(core) != 0 || core->listener_connections != 0) {
        return "connections are left";
    }
    if (mr_core_session_count(core) != 0 || mr_registry_count(core->shared.registry) != 0) {
        return "sessions are left";
    }
    if (trie.subscription_count != 0 || trie.node_count != 0) {
        return "subscriptions are left";
    }
    if (trie.retired_count != 0) {
        return "memory of the trie waits for readers";
    }
    if (retained.message_count != 0 || retained.message_bytes != 0) {
        return "retained messages are left";
    }
    if (sum.queued_messages != 0 || sum.queued_bytes != 0) {
        return "queued messages are left";
    }
    // Each worker may keep the one that it receives into, and one that it writes heads into.
    if (mr_core_buffers_in_use(core) > UINT64_C(2) * core->worker_count) {
        return "buffers are in use";
    }
    return mr_core_check(core);
}
