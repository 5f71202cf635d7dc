// What both styles have in common: loops, handles and listeners.
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "io/sim/internal.h"

// Wall-clock time at the simulation's beginning: 2024-01-01.
#define WALL_MS UINT64_C(1704067200000)

static struct sim_loop *loop_of(struct mr_loop *loop) {
    return mr_io_core(loop)->backend_data;
}

static struct mr_sim *sim_of(struct mr_loop *loop) {
    return MR_CONTAINER_OF(mr_io_core(loop)->backend, struct mr_sim, backend);
}

// --------------------------------------------------------------------------------- loop

static enum mr_err loop_open(struct mr_loop *loop) {
    struct sim_loop *self = calloc(1, sizeof *self);
    if (self == NULL) {
        return MR_ERR_NOMEM;
    }
    self->loop = loop;
    self->sim = sim_of(loop);
    self->next = self->sim->loops;
    self->sim->loops = self;
    mr_io_core(loop)->backend_data = self;
    return MR_OK;
}

static void loop_close(struct mr_loop *loop) {
    struct sim_loop *self = loop_of(loop);
    struct sim_loop **link = &self->sim->loops;
    while (*link != self) {
        link = &(*link)->next;
    }
    *link = self->next;
    free(self);
}

bool sim_loop_has_event(const struct sim_loop *self) {
    if (self->woken) {
        return true;
    }
    for (const struct mr_sim_end *end = self->sim->ends; end != NULL; end = end->next) {
        if (end->owner == SIM_OWNER_BACKLOG) {
            if (end->listener->loop == self->loop && mr_io_accept_wanted(end->listener)) {
                return true;
            }
        } else if (end->owner == SIM_OWNER_STREAM && end->stream->loop == self->loop &&
                   self->sim->style->has_event(end)) {
            return true;
        }
    }
    return false;
}

static enum mr_err loop_wait(struct mr_loop *loop, uint64_t wait_ms) {
    struct sim_loop *self = loop_of(loop);
    struct mr_sim *sim = self->sim;
    self->idle_until_ms = 0;
    if (wait_ms == 0 || sim_loop_has_event(self)) {
        return MR_OK;
    }
    // The loop reckons from the time of its last turn.
    uint64_t until = wait_ms >= UINT32_MAX ? SIM_NEVER : mr_loop_now_ms(loop) + wait_ms;
    if (until <= sim->now_ms) {
        return MR_OK;
    }
    if (sim->stepping) {
        self->idle_until_ms = until;
        return MR_OK;
    }
    uint64_t due = sim_next_due_ms(sim);
    until = due < until ? due : until;
    if (until == SIM_NEVER) {
        return MR_ERR_IO;  // A real loop would sleep for ever.
    }
    sim->now_ms = until;
    return MR_OK;
}

static void loop_wake(struct mr_loop *loop) {
    loop_of(loop)->woken = true;
}

static void loop_clock(struct mr_loop *loop, uint64_t *now_ms, uint64_t *wall_ms) {
    *now_ms = sim_of(loop)->now_ms;
    *wall_ms = WALL_MS + *now_ms;
}

// ----------------------------------------------------------------------------- listeners

static bool port_is_taken(const struct mr_sim *sim, uint16_t port) {
    const struct mr_listener *listener = sim->listeners;
    while (listener != NULL && listener->port != port) {
        listener = listener->sockets[0].backend_data;
    }
    return listener != NULL;
}

static enum mr_err listener_open(struct mr_listener *listener,
                                 const struct mr_listen_address *address, int *os_error) {
    struct mr_sim *sim = sim_of(listener->loop);
    if (address->unix_path != NULL) {
        *os_error = EAFNOSUPPORT;
        return MR_ERR_UNSUPPORTED;
    }
    listener->port = address->port;
    while (listener->port == 0 || (address->port == 0 && port_is_taken(sim, listener->port))) {
        listener->port = sim->port_next++;
    }
    bool shares = address->reuse_port && !address->claim;
    if (!shares && port_is_taken(sim, listener->port)) {
        *os_error = EADDRINUSE;
        return MR_ERR_ADDRINUSE;
    }
    listener->socket_count = 1;
    listener->sockets[0].listener = listener;
    listener->sockets[0].backend_data = sim->listeners;
    sim->listeners = listener;
    return MR_OK;
}

static void listener_update(struct mr_listener *listener) {
    (void)listener;
}

static void listener_close(struct mr_listener *listener) {
    struct mr_sim *sim = sim_of(listener->loop);
    struct mr_listener *before = NULL;
    for (struct mr_listener *each = sim->listeners; each != listener;
         each = each->sockets[0].backend_data) {
        before = each;
    }
    if (before != NULL) {
        before->sockets[0].backend_data = listener->sockets[0].backend_data;
    } else {
        sim->listeners = listener->sockets[0].backend_data;
    }
    for (struct mr_sim_end *end = sim->ends; end != NULL; end = end->next) {
        if (end->owner == SIM_OWNER_BACKLOG && end->listener == listener) {
            sim_far_close(end, true);
        }
    }
    mr_io_on_listener_closed(listener);
}

static void accept_one(struct mr_sim_end *end) {
    struct mr_sim *sim = end->sim;
    if (!mr_io_accept_wanted(end->listener)) {
        return;
    }
    if (sim->options.handle_count_max != 0 && sim->handle_count >= sim->options.handle_count_max) {
        mr_io_on_accept_starved(end->listener);
        return;
    }
    sim->handle_count++;
    end->owner = SIM_OWNER_USER;
    mr_io_on_accepted(end->listener, (intptr_t)end);
}

// ------------------------------------------------------------------------------- handles

static void handle_close(struct mr_loop *loop, intptr_t handle) {
    struct mr_sim_end *end = (struct mr_sim_end *)handle;
    (void)loop;
    MR_ASSERT(end->owner == SIM_OWNER_USER);
    end->sim->handle_count--;
    sim_far_close(end, false);
}

static void handle_peer_text(struct mr_loop *loop, intptr_t handle, char out[MR_PEER_TEXT_BYTES]) {
    const struct mr_sim_end *end = (const struct mr_sim_end *)handle;
    (void)loop;
    snprintf(out, MR_PEER_TEXT_BYTES, "sim:%llu", (unsigned long long)end->number);
}

// ------------------------------------------------------------------------------ delivery

static void loop_deliver(struct mr_loop *loop) {
    struct sim_loop *self = loop_of(loop);
    struct mr_sim *sim = self->sim;
    self->woken = false;
    sim_reap(sim);
    sim->delivering = true;
    // From a random one on, so that no connection is always the first.
    struct mr_sim_end *first = sim->ends;
    if (first != NULL && sim->options.late_permille > 0) {
        for (uint64_t skip = mr_sim_random(sim, 8); skip > 0 && first->next != NULL; skip--) {
            first = first->next;
        }
    }
    // Callbacks may add connections (at the tail) but free none.
    struct mr_sim_end *end = first;
    for (bool wrapped = false; end != NULL && !(wrapped && end == first);) {
        if (!sim_chance(sim, sim->options.late_permille)) {
            if (end->owner == SIM_OWNER_BACKLOG && end->listener->loop == loop) {
                accept_one(end);
            } else if (end->owner == SIM_OWNER_STREAM && end->stream->loop == loop) {
                sim->style->deliver(end);
            }
        }
        end = end->next;
        if (end == NULL && !wrapped) {
            wrapped = true;
            end = sim->ends;
        }
    }
    sim->delivering = false;
}

void sim_backend_init(struct mr_io_backend *backend) {
    backend->loop_open = loop_open;
    backend->loop_close = loop_close;
    backend->loop_wait = loop_wait;
    backend->loop_deliver = loop_deliver;
    backend->loop_wake = loop_wake;
    backend->loop_clock = loop_clock;
    backend->handle_close = handle_close;
    backend->handle_peer_text = handle_peer_text;
    backend->listener_open = listener_open;
    backend->listener_update = listener_update;
    backend->listener_close = listener_close;
}
