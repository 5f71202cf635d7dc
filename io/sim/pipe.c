#include "io/sim/internal.h"

void sim_pipe_open(struct sim_pipe *pipe, size_t capacity) {
    memset(pipe, 0, sizeof *pipe);
    pipe->capacity = capacity;
}

void sim_pipe_close(struct sim_pipe *pipe, struct mr_sim *sim) {
    if (pipe->data != NULL) {
        sim->options.release(pipe->data);
        pipe->data = NULL;
    }
}

size_t sim_pipe_room(const struct sim_pipe *pipe) {
    return pipe->capacity - pipe->len;
}

size_t sim_pipe_visible(const struct sim_pipe *pipe, uint64_t now_ms) {
    return now_ms >= pipe->due_ms ? pipe->len : pipe->visible_len;
}

size_t sim_pipe_write(struct sim_pipe *pipe, struct mr_sim *sim, struct mr_slice bytes) {
    size_t room = sim_pipe_room(pipe);
    size_t len = bytes.len < room ? bytes.len : room;
    if (len > 0 && pipe->data == NULL) {
        pipe->data = sim->options.alloc(pipe->capacity);
    }
    if (len == 0 || pipe->data == NULL) {
        return 0;
    }
    pipe->visible_len = sim_pipe_visible(pipe, sim->now_ms);
    memcpy(pipe->data + pipe->len, bytes.data, len);
    pipe->len += len;
    if (sim->options.delay_ms_max > 0 && sim_chance(sim, sim->options.delay_permille)) {
        // Later bytes never overtake earlier ones, so all that isn't visible waits.
        uint64_t due_ms = sim->now_ms + 1 + mr_sim_random(sim, sim->options.delay_ms_max);
        pipe->due_ms = due_ms > pipe->due_ms ? due_ms : pipe->due_ms;
    }
    return len;
}

size_t sim_pipe_read(struct sim_pipe *pipe, struct mr_sim *sim, uint8_t *out, size_t max) {
    size_t visible = sim_pipe_visible(pipe, sim->now_ms);
    size_t len = visible < max ? visible : max;
    if (len == 0) {
        return 0;
    }
    memcpy(out, pipe->data, len);
    memmove(pipe->data, pipe->data + len, pipe->len - len);
    pipe->len -= len;
    pipe->visible_len = visible - len;
    if (pipe->len == 0) {
        sim_pipe_close(pipe, sim);
    }
    return len;
}

void sim_pipe_reset(struct sim_pipe *pipe) {
    pipe->reset = true;
    pipe->len = 0;
    pipe->visible_len = 0;
}

bool sim_pipe_at_end(const struct sim_pipe *pipe) {
    return pipe->len == 0 && (pipe->ended || pipe->reset);
}
