#include "broker/router/router.h"

#include <stdlib.h>
#include <string.h>

#include "broker/limits.h"
#include "broker/router/internal.h"

#define SESSIONS_FIRST 64u
#define SESSION_INDEX_MAX 0xffffffu

// Free places of the table hold the next free index, shifted, with the lowest bit set.
static bool is_free(const struct mr_session *place) {
    return place == NULL || ((uintptr_t)place & 1) != 0;
}
static struct mr_session *free_place(uint32_t next) {
    return (struct mr_session *)((uintptr_t)next << 1 | 1);
}

struct mr_session *mr_router_session(const struct mr_router *router, uint32_t subscriber) {
    uint32_t index = mr_subscriber_index(subscriber);
    if (mr_subscriber_shard(subscriber) != router->worker || index >= router->session_capacity ||
        is_free(router->sessions[index])) {
        return NULL;
    }
    return router->sessions[index];
}

struct mr_session *mr_router_next_session(const struct mr_router *router, uint32_t *index) {
    while (++*index < router->session_capacity) {
        if (!is_free(router->sessions[*index])) {
            return router->sessions[*index];
        }
    }
    return NULL;
}

static void append_free(struct mr_router *router, uint32_t index) {
    router->sessions[index] = free_place(0);
    if (router->free_last != 0) {
        router->sessions[router->free_last] = free_place(index);
    } else {
        router->free_first = index;
    }
    router->free_last = index;
}

static enum mr_err grow_sessions(struct mr_router *router) {
    uint32_t capacity =
        router->session_capacity == 0 ? SESSIONS_FIRST : router->session_capacity * 2;
    if (capacity > SESSION_INDEX_MAX + 1) {
        return MR_ERR_LIMIT;
    }
    struct mr_session **sessions =
        realloc(router->sessions, capacity * sizeof(struct mr_session *));
    if (sessions == NULL) {
        return MR_ERR_NOMEM;
    }
    router->sessions = sessions;
    // Place 0 stays unused: a handle is never 0.
    uint32_t first = router->session_capacity == 0 ? 1 : router->session_capacity;
    router->sessions[0] = NULL;
    router->session_capacity = capacity;
    for (uint32_t i = first; i < capacity; i++) {
        append_free(router, i);
    }
    return MR_OK;
}

enum mr_err mr_router_add(struct mr_router *router, struct mr_session *session,
                          uint32_t *subscriber_out) {
    if (router->free_first == 0) {
        MR_TRY(grow_sessions(router));
    }
    uint32_t index = router->free_first;
    router->free_first = (uint32_t)((uintptr_t)router->sessions[index] >> 1);
    if (router->free_first == 0) {
        router->free_last = 0;
    }
    router->sessions[index] = session;
    router->session_count++;
    *subscriber_out = mr_subscriber_make(router->worker, index);
    return MR_OK;
}

void mr_router_remove(struct mr_router *router, uint32_t subscriber) {
    bool kept = mr_registry_set_presence(router->shared->registry, subscriber, MR_PRESENCE_NONE);
    (void)kept;  // Setting what is the default never needs memory.
    append_free(router, mr_subscriber_index(subscriber));
    router->session_count--;
}

static bool may_receive(void *ctx, uint32_t subscriber, struct mr_slice topic) {
    struct mr_router *router = ctx;
    struct mr_session *session = mr_router_session(router, subscriber);
    return session != NULL && router->hooks.may_receive(router->hooks.ctx, session, topic);
}

static void configure(struct mr_session_env *env, const struct mr_config *config) {
    env->inflight_messages_max = config->inflight_messages_max;
    env->inflight_bytes_max = config->inflight_bytes_max;
    env->queued_messages_max = config->queued_messages_max;
    env->queued_bytes_max = config->queued_bytes_max;
    env->outbox_bytes = config->outbox_bytes;
    env->queue_qos0_messages = config->queue_qos0_messages;
    env->upgrade_outgoing_qos = config->upgrade_outgoing_qos;
    env->slow_policy = config->slow_policy;
}

enum mr_err mr_router_new(struct mr_router **out, struct mr_shared *shared, uint32_t worker,
                          struct mr_loop *loop, const struct mr_router_hooks *hooks) {
    struct mr_router *router = calloc(1, sizeof(*router));
    if (router == NULL) {
        return MR_ERR_NOMEM;
    }
    router->shared = shared;
    router->loop = loop;
    router->worker = worker;
    router->hooks = *hooks;
    router->mailbox = mr_mailbox_at(shared->mailboxes, worker);
    router->env.pool = mr_loop_pool(loop);
    router->env.scratch.pool = router->env.pool;
    router->env.counters = &router->counters;
    configure(&router->env, shared->config);
    mr_mailbox_bind(router->mailbox, loop, &router->counters);
    struct mr_topic_cache_options options = {worker, shared->config->topic_cache_bytes,
                                             hooks->may_receive != NULL ? may_receive : NULL,
                                             router};
    enum mr_err err = mr_epoch_register(mr_trie_epoch(shared->trie), &router->epoch_reader);
    if (err == MR_OK) {
        err = mr_topic_cache_new(&router->cache, shared->trie, &options);
        if (err != MR_OK) {
            mr_epoch_unregister(mr_trie_epoch(shared->trie), router->epoch_reader);
        }
    }
    if (err != MR_OK) {
        free(router);
        return err;
    }
    *out = router;
    return MR_OK;
}

void mr_router_free(struct mr_router *router) {
    if (router == NULL) {
        return;
    }
    struct mr_epoch *epoch = mr_trie_epoch(router->shared->trie);
    if (router->active) {
        mr_epoch_leave(epoch, router->epoch_reader);
    }
    mr_topic_cache_free(router->cache);
    mr_epoch_unregister(epoch, router->epoch_reader);
    mr_scratch_fini(&router->env.scratch);
    free(router->sessions);
    free(router);
}

void mr_router_begin_slow(struct mr_router *router) {
    router->active = true;
    mr_epoch_enter(mr_trie_epoch(router->shared->trie), router->epoch_reader);
    mr_mailbox_awake(router->mailbox);
}

void mr_router_take(struct mr_router *router) {
    struct mr_parcel parcel;
    mr_mailbox_look(router->mailbox);
    while (mr_mailbox_take(router->mailbox, &parcel)) {
        mr_router_take_parcel(router, &parcel);
    }
}

bool mr_router_end(struct mr_router *router) {
    if (MR_UNLIKELY(router->uncongested_late)) {
        mr_router_uncongested(router);
    }
    mr_mailbox_flush(router->mailbox);
    mr_epoch_leave(mr_trie_epoch(router->shared->trie), router->epoch_reader);
    router->active = false;
    return !mr_mailbox_sleep(router->mailbox);
}

void mr_router_forget_routes(struct mr_router *router) {
    mr_topic_cache_clear(router->cache);
}

// ------------------------------------------------------------------------ subscriptions

enum mr_err mr_router_subscribe(struct mr_router *router, struct mr_session *session,
                                const struct mr_filter *filter,
                                const struct mr_subscription_options *options,
                                uint32_t subscription_id, bool *existed_out) {
    struct mr_subscription subscription = {session->subscriber, subscription_id, options->qos,
                                           options->no_local, options->retain_as_published};
    struct mr_trie_node *node;
    MR_TRY(mr_trie_insert(router->shared->trie, filter, &subscription, &node, existed_out));
    if (*existed_out) {
        return MR_OK;
    }
    enum mr_err err = mr_subscription_set_add(&session->subscriptions, node);
    if (err != MR_OK) {
        mr_trie_remove(router->shared->trie, node, session->subscriber);
        return err;
    }
    if (filter->share.data != NULL) {
        session->is_member = true;
        mr_router_update_presence(router, session);
        mr_router_rebalance(router);
    }
    return MR_OK;
}

// `inflight`: the session ends, so that also what was sent but not acknowledged goes to others;
// else that is completed where it began [MQTT-3.10.4-3].
static void leave_node(struct mr_router *router, struct mr_session *session,
                       struct mr_trie_node *node, bool inflight) {
    if (mr_trie_node_is_shared(node)) {
        mr_router_give_away(router, session, node, inflight);
    }
    mr_trie_remove(router->shared->trie, node, session->subscriber);
}

// The node of the session's own subscription to `filter`, or NULL.
static struct mr_trie_node *find_own(const struct mr_router *router,
                                     const struct mr_session *session,
                                     const struct mr_filter *filter) {
    struct mr_trie_node *node = mr_trie_find(router->shared->trie, filter);
    bool own = node != NULL && mr_subscription_set_has(&session->subscriptions, node);
    return own ? node : NULL;
}

bool mr_router_has_subscription(const struct mr_router *router, const struct mr_session *session,
                                const struct mr_filter *filter) {
    return find_own(router, session, filter) != NULL;
}

bool mr_router_unsubscribe(struct mr_router *router, struct mr_session *session,
                           const struct mr_filter *filter) {
    struct mr_trie_node *node = find_own(router, session, filter);
    if (node == NULL) {
        return false;
    }
    mr_subscription_set_remove(&session->subscriptions, node);
    leave_node(router, session, node, false);
    mr_router_pump(router, session);
    return true;
}

void mr_router_unsubscribe_all(struct mr_router *router, struct mr_session *session) {
    uint32_t index = 0;
    struct mr_trie_node *node;
    while ((node = mr_subscription_set_next(&session->subscriptions, &index)) != NULL) {
        leave_node(router, session, node, true);
    }
    mr_subscription_set_fini(&session->subscriptions);
}
