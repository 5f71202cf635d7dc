// The simulation itself: time, chance, and the tests' ends of connections.
#include "io/sim/sim.h"

#include <stdlib.h>

#include "io/sim/internal.h"

#define PIPE_BYTES_DEFAULT 65536u
#define PORT_FIRST 1024u
#define START_MS UINT64_C(1000000)

// ---------------------------------------------------------------------------- chance

// SplitMix64: any seed will do, and the state is one number.
static uint64_t random_next(struct mr_sim *sim) {
    uint64_t z = (sim->random += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

uint64_t mr_sim_random(struct mr_sim *sim, uint64_t bound) {
    MR_ASSERT(bound > 0);
    return random_next(sim) % bound;
}

void mr_sim_calm(struct mr_sim *sim) {
    sim->options.partial_permille = 0;
    sim->options.late_permille = 0;
    sim->options.delay_permille = 0;
    sim->options.reset_permille = 0;
}

bool sim_chance(struct mr_sim *sim, uint32_t permille) {
    return permille > 0 && mr_sim_random(sim, 1000) < permille;
}

size_t sim_part(struct mr_sim *sim, size_t len) {
    if (len <= 1 || !sim_chance(sim, sim->options.partial_permille)) {
        return len;
    }
    // Single bytes are as likely as long pieces.
    switch (mr_sim_random(sim, 4)) {
        case 0:
            return 1;
        case 1:
            return 1 + (size_t)mr_sim_random(sim, len < 16 ? len : 16);
        case 2:
            return 1 + (size_t)mr_sim_random(sim, len < 1024 ? len : 1024);
        default:
            return 1 + (size_t)mr_sim_random(sim, len);
    }
}

// ----------------------------------------------------------------------- its own life

enum mr_err mr_sim_new(struct mr_sim **out, const struct mr_sim_options *options) {
    struct mr_sim *sim = calloc(1, sizeof *sim);
    if (sim == NULL) {
        return MR_ERR_NOMEM;
    }
    if (options != NULL) {
        sim->options = *options;
    }
    if (sim->options.alloc == NULL) {
        sim->options.alloc = malloc;
        sim->options.release = free;
    }
    if (sim->options.pipe_bytes_max == 0) {
        sim->options.pipe_bytes_max = PIPE_BYTES_DEFAULT;
    }
    bool completes = sim->options.style == MR_SIM_COMPLETION;
    sim->style = completes ? &sim_completion : &sim_readiness;
    sim->backend = sim->style->table;
    sim_backend_init(&sim->backend);
    sim->random = sim->options.seed;
    sim->now_ms = START_MS;
    sim->port_next = PORT_FIRST;
    *out = sim;
    return MR_OK;
}

void mr_sim_free(struct mr_sim *sim) {
    if (sim == NULL) {
        return;
    }
    MR_ASSERT(sim->loops == NULL);
    while (sim->quiet != NULL) {
        sim_stir(sim->quiet);
    }
    for (struct mr_sim_end *end = sim->ends; end != NULL; end = end->next) {
        MR_ASSERT(end->owner != SIM_OWNER_STREAM);
        end->near_closed = true;
        end->owner = SIM_OWNER_NONE;
    }
    sim_reap(sim);
    free(sim);
}

const struct mr_io_backend *mr_sim_backend(struct mr_sim *sim) {
    return &sim->backend;
}

// ------------------------------------------------------------------------------- time

uint64_t mr_sim_now_ms(const struct mr_sim *sim) {
    return sim->now_ms;
}

void mr_sim_advance(struct mr_sim *sim, uint64_t ms) {
    sim->now_ms += ms;
}

static uint64_t pipe_due_ms(const struct sim_pipe *pipe, uint64_t now_ms) {
    return pipe->len > 0 && pipe->due_ms > now_ms ? pipe->due_ms : SIM_NEVER;
}

uint64_t sim_next_due_ms(const struct mr_sim *sim) {
    uint64_t next = SIM_NEVER;
    for (const struct mr_sim_end *end = sim->ends; end != NULL; end = end->next) {
        uint64_t in = pipe_due_ms(&end->in, sim->now_ms);
        uint64_t out = pipe_due_ms(&end->out, sim->now_ms);
        next = in < next ? in : next;
        next = out < next ? out : next;
    }
    return next;
}

static bool loop_is_idle(const struct sim_loop *self) {
    return self->idle_until_ms > self->sim->now_ms && !sim_loop_has_event(self);
}

// A loop that has something to do, or NULL.
static struct sim_loop *loop_pick(struct mr_sim *sim) {
    uint64_t busy_count = 0;
    for (struct sim_loop *self = sim->loops; self != NULL; self = self->next) {
        busy_count += loop_is_idle(self) ? 0 : 1;
    }
    if (busy_count == 0) {
        return NULL;
    }
    uint64_t skip = mr_sim_random(sim, busy_count);
    struct sim_loop *self = sim->loops;
    while (loop_is_idle(self) || skip-- > 0) {
        self = self->next;
    }
    return self;
}

// Nothing can happen now. False if nothing ever will.
static bool time_jump(struct mr_sim *sim) {
    uint64_t next = sim_next_due_ms(sim);
    for (const struct sim_loop *self = sim->loops; self != NULL; self = self->next) {
        next = self->idle_until_ms < next ? self->idle_until_ms : next;
    }
    if (next == SIM_NEVER) {
        return false;
    }
    sim->now_ms = next;
    return true;
}

bool mr_sim_run(struct mr_sim *sim, uint64_t steps) {
    // The test may have given any loop something to do since.
    for (struct sim_loop *self = sim->loops; self != NULL; self = self->next) {
        self->idle_until_ms = 0;
    }
    for (uint64_t step = 0; step < steps; step++) {
        struct sim_loop *self = loop_pick(sim);
        if (self == NULL) {
            if (!time_jump(sim)) {
                return false;
            }
            continue;
        }
        sim->stepping = true;
        enum mr_err err = mr_loop_run_once(self->loop, UINT32_MAX);
        sim->stepping = false;
        MR_ASSERT(err == MR_OK);
    }
    return true;
}

// ------------------------------------------------------------------------ connections

static void end_unlink(struct mr_sim_end *end) {
    struct mr_sim *sim = end->sim;
    if (end->prev != NULL) {
        end->prev->next = end->next;
    } else if (end->quiet) {
        sim->quiet = end->next;
    } else {
        sim->ends = end->next;
    }
    if (end->next != NULL) {
        end->next->prev = end->prev;
    } else if (!end->quiet) {
        sim->ends_tail = end->prev;
    }
}

static void end_append(struct mr_sim_end *end) {
    struct mr_sim *sim = end->sim;
    end->quiet = false;
    end->next = NULL;
    end->prev = sim->ends_tail;
    if (end->prev != NULL) {
        end->prev->next = end;
    } else {
        sim->ends = end;
    }
    sim->ends_tail = end;
}

void sim_stir(struct mr_sim_end *end) {
    if (end->quiet) {
        end_unlink(end);
        end_append(end);
    }
}

static void end_put_aside(struct mr_sim_end *end) {
    struct mr_sim *sim = end->sim;
    end_unlink(end);
    end->quiet = true;
    end->prev = NULL;
    end->next = sim->quiet;
    if (end->next != NULL) {
        end->next->prev = end;
    }
    sim->quiet = end;
}

static void end_free(struct mr_sim_end *end) {
    struct mr_sim *sim = end->sim;
    end_unlink(end);
    sim_pipe_close(&end->in, sim);
    sim_pipe_close(&end->out, sim);
    sim->options.release(end);
}

// Whatever can happen next begins with a call of sim_stir().
static bool is_quiet(const struct mr_sim_end *end) {
    const struct sim_pipe *in = &end->in;
    const struct sim_pipe *out = &end->out;
    bool comes = in->len > 0 || in->ended || in->reset;
    bool goes = end->blocked || (out->len > 0 && out->due_ms > end->sim->now_ms);
    bool busy = end->extra || end->place != NULL || end->closing || end->detaching;
    return end->owner == SIM_OWNER_STREAM && !comes && !goes && !busy && !out->reset &&
           !end->near_closed && end->stream->bytes_in_flight == 0;
}

void sim_reap(struct mr_sim *sim) {
    if (sim->delivering) {
        return;
    }
    struct mr_sim_end *end = sim->ends;
    while (end != NULL) {
        struct mr_sim_end *next = end->next;
        if (end->near_closed && end->owner == SIM_OWNER_NONE) {
            end_free(end);
        } else if (is_quiet(end)) {
            end_put_aside(end);
        }
        end = next;
    }
}

static struct mr_listener *listener_find(struct mr_sim *sim, uint16_t port) {
    // With reuse_port there may be several; who is served is chance.
    struct mr_listener *found = NULL;
    uint64_t count = 0;
    for (struct mr_listener *listener = sim->listeners; listener != NULL;
         listener = listener->sockets[0].backend_data) {
        if (listener->port == port && mr_sim_random(sim, ++count) == 0) {
            found = listener;
        }
    }
    return found;
}

enum mr_err mr_sim_connect(struct mr_sim *sim, struct mr_sim_end **out, uint16_t port) {
    struct mr_listener *listener = listener_find(sim, port);
    if (listener == NULL) {
        return MR_ERR_NOTFOUND;
    }
    struct mr_sim_end *end = sim->options.alloc(sizeof *end);
    if (end == NULL) {
        return MR_ERR_NOMEM;
    }
    memset(end, 0, sizeof *end);
    sim_pipe_open(&end->in, sim->options.pipe_bytes_max);
    sim_pipe_open(&end->out, sim->options.pipe_bytes_max);
    end->sim = sim;
    end->port = port;
    end->number = ++sim->connection_count;
    end->listener = listener;
    end_append(end);
    *out = end;
    return MR_OK;
}

void sim_far_close(struct mr_sim_end *end, bool reset) {
    // What we haven't read, and what we didn't want to wait for, ends in a reset.
    if (reset || end->in.len > 0) {
        sim_pipe_reset(&end->out);
    }
    end->out.ended = true;
    end->stream = NULL;
    end->owner = SIM_OWNER_NONE;
    sim_stir(end);
}

size_t mr_sim_send(struct mr_sim_end *end, struct mr_slice bytes) {
    if (end->in.ended || end->out.reset) {
        return 0;
    }
    if (end->owner == SIM_OWNER_NONE) {
        sim_pipe_reset(&end->out);  // Nobody is there any more.
        return 0;
    }
    sim_stir(end);
    return sim_pipe_write(&end->in, end->sim,
                          mr_slice_of(bytes.data, sim_part(end->sim, bytes.len)));
}

size_t mr_sim_recv(struct mr_sim_end *end, void *out, size_t max) {
    return sim_pipe_read(&end->out, end->sim, out, max);
}

enum mr_sim_state mr_sim_end_state(const struct mr_sim_end *end) {
    if (end->out.reset) {
        return MR_SIM_RESET;
    }
    return sim_pipe_at_end(&end->out) ? MR_SIM_ENDED : MR_SIM_OPEN;
}

bool mr_sim_end_is_alone(const struct mr_sim_end *end) {
    return end->owner == SIM_OWNER_NONE;
}

void mr_sim_end_sending(struct mr_sim_end *end) {
    end->in.ended = true;
    sim_stir(end);
}

void mr_sim_reset(struct mr_sim_end *end) {
    sim_stir(end);
    end->in.reset = true;
    sim_pipe_reset(&end->out);
}

void mr_sim_end_close(struct mr_sim_end *end) {
    if (end == NULL) {
        return;
    }
    end->in.ended = true;
    end->in.reset = end->in.reset || end->out.len > 0;
    end->near_closed = true;
    if (end->owner == SIM_OWNER_NONE && !end->sim->delivering) {
        end_free(end);
    } else {
        sim_stir(end);
    }
}
