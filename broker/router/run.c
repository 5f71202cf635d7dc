// One run of messages to all its receivers.
#include "broker/limits.h"
#include "broker/router/internal.h"

// Receivers that are looked at together: a bit for each.
#define TARGETS_AT_ONCE 64u

// Gives the run to those receivers of `targets` that can take it whole. Returns a bit for each of
// the others.
static uint64_t deliver_whole(struct mr_router *router, const struct mr_route *route,
                              const struct mr_target *targets, uint32_t count,
                              const struct mr_run *run) {
    uint64_t others = 0;
    for (uint32_t i = 0; i < count; i++) {
        struct mr_session *session = mr_router_session(router, targets[i].subscriber);
        struct mr_grant grant;
        if (MR_NEVER(session == NULL) ||
            !mr_router_grant(route, &targets[i], run->publisher, false, &grant)) {
            continue;
        }
        if (MR_LIKELY(mr_session_deliver_run(session, run, &grant))) {
            mr_router_after_delivery(router, session, true);
        } else {
            others |= UINT64_C(1) << i;
        }
    }
    return others;
}

// Gives each packet to the receivers in `chosen`: packet by packet, so that they share what is
// encoded for it.
static void deliver_singly(struct mr_router *router, const struct mr_route *route,
                           const struct mr_target *targets, uint64_t chosen,
                           const struct mr_run *run, struct mr_session *publisher, bool droppable) {
    size_t offset = 0;
    struct mr_publish publish;
    struct mr_slice packet;
    while (mr_run_next(run, &offset, &publish, &packet)) {
        struct mr_outgoing outgoing;
        mr_outgoing_init(&outgoing, &router->env.scratch, &publish, run->buf, run->publisher, 0);
        outgoing.droppable = droppable;
        for (uint64_t left = chosen; left != 0; left &= left - 1) {
            const struct mr_target *target = &targets[__builtin_ctzll(left)];
            struct mr_session *session = mr_router_session(router, target->subscriber);
            struct mr_grant grant;
            if (session != NULL && mr_router_grant(route, target, run->publisher, false, &grant)) {
                mr_router_deliver(router, session, &outgoing, &grant, publisher);
            }
        }
        mr_outgoing_fini(&outgoing);
    }
}

static void deliver_here(struct mr_router *router, const struct mr_route *route,
                         const struct mr_run *run, struct mr_session *publisher, bool droppable) {
    for (uint32_t i = 0; i < route->target_count; i += TARGETS_AT_ONCE) {
        uint32_t left = route->target_count - i;
        uint32_t count = left < TARGETS_AT_ONCE ? left : TARGETS_AT_ONCE;
        const struct mr_target *targets = &route->targets[i];
        uint64_t others = deliver_whole(router, route, targets, count, run);
        if (others != 0) {
            deliver_singly(router, route, targets, others, run, publisher, droppable);
        }
    }
}

// False: not all workers got it.
static bool deliver_elsewhere(struct mr_router *router, uint64_t workers, const struct mr_run *run,
                              bool droppable) {
    struct mr_run *copy = mr_run_copy(router->env.pool, run);
    if (copy == NULL) {
        mr_count_add(&router->counters.dropped_no_memory, run->count);
        return false;
    }
    bool sent = true;
    for (uint32_t worker = 0; workers != 0; worker++, workers >>= 1) {
        if ((workers & 1) == 0) {
            continue;
        }
        struct mr_parcel parcel = {.kind = MR_PARCEL_RUN,
                                   .droppable = droppable,
                                   .pointer = copy,
                                   .bytes = (uint32_t)run->packets.len};
        mr_buf_ref_for_other(copy->buf);
        if (!mr_mailbox_send(router->mailbox, worker, &parcel)) {
            mr_router_drop_parcel(NULL, &parcel);
            mr_count_add(&router->counters.dropped_no_memory, run->count);
            sent = false;
        }
    }
    mr_buf_unref(copy->buf);
    return sent;
}

enum mr_routed mr_router_publish_run(struct mr_router *router, const struct mr_run *run,
                                     struct mr_session *publisher) {
    const struct mr_route *route = mr_topic_cache_lookup(router->cache, run->first.topic);
    if (MR_UNLIKELY(route == NULL)) {
        mr_count(&router->counters.dropped_no_memory);
        return MR_ROUTED_NO_MEMORY;
    }
    if (route->shared_count > 0) {
        return MR_ROUTED_SINGLY;  // Its members take turns.
    }
    uint64_t elsewhere = route->other_shards;
    if (route->target_count == 0 && elsewhere == 0) {
        mr_count_add(&router->counters.routed_nowhere, run->count);
        return MR_ROUTED_NOWHERE;
    }
    if (elsewhere != 0 && !mr_mailbox_has_room(router->mailbox, elsewhere, 1)) {
        return MR_ROUTED_BUSY;
    }
    bool droppable = mr_router_cant_wait(publisher);
    deliver_here(router, route, run, publisher, droppable);
    if (elsewhere != 0 && !deliver_elsewhere(router, elsewhere, run, droppable)) {
        return MR_ROUTED_NO_MEMORY;
    }
    return MR_ROUTED;
}

void mr_router_take_run(struct mr_router *router, struct mr_run *run, bool droppable) {
    mr_buf_adopt(run->buf);
    const struct mr_route *route = mr_topic_cache_lookup(router->cache, run->first.topic);
    if (MR_LIKELY(route != NULL)) {
        deliver_here(router, route, run, NULL, droppable);
    } else {
        mr_count_add(&router->counters.dropped_no_memory, run->count);
    }
    mr_buf_unref(run->buf);
}
