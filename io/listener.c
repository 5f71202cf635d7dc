// Listeners: who is told of new connections, and what happens when descriptors run out.
#include "io/internal.h"

#include <stdlib.h>

// When descriptors have run out accepting starts again as soon as this loop has closed one,
// or after this time, because others may have.
#define RETRY_MS 100u

static void starved_end(struct mr_listener *listener) {
    if (listener->starved) {
        listener->starved = false;
        listener->loop->listener_starved_count--;
        mr_timer_stop(listener->loop, &listener->retry);
    }
}

static void on_retry_fire(struct mr_timer *timer) {
    struct mr_listener *listener = MR_CONTAINER_OF(timer, struct mr_listener, retry);
    starved_end(listener);
    listener->loop->core.backend->listener_update(listener);
}

void mr_listener_retry(struct mr_loop *loop) {
    if (MR_LIKELY(loop->listener_starved_count == 0)) {
        return;
    }
    for (struct mr_listener *listener = loop->listeners; listener != NULL;
         listener = listener->next) {
        if (listener->starved) {
            starved_end(listener);
            loop->core.backend->listener_update(listener);
        }
    }
}

static void list_insert(struct mr_listener **head, struct mr_listener *listener) {
    listener->prev = NULL;
    listener->next = *head;
    if (*head != NULL) {
        (*head)->prev = listener;
    }
    *head = listener;
}

static void list_remove(struct mr_listener **head, struct mr_listener *listener) {
    if (listener->prev != NULL) {
        listener->prev->next = listener->next;
    } else {
        *head = listener->next;
    }
    if (listener->next != NULL) {
        listener->next->prev = listener->prev;
    }
}

enum mr_err mr_listener_open(struct mr_listener **out, struct mr_loop *loop,
                             const struct mr_listen_address *address,
                             void (*on_accept)(void *ctx, intptr_t handle), void *ctx,
                             int *os_error) {
    *os_error = 0;
    struct mr_listener *listener = calloc(1, sizeof *listener);
    if (listener == NULL) {
        return MR_ERR_NOMEM;
    }
    listener->loop = loop;
    listener->on_accept = on_accept;
    listener->ctx = ctx;
    mr_timer_init(&listener->retry, on_retry_fire);
    enum mr_err err = loop->core.backend->listener_open(listener, address, os_error);
    if (err != MR_OK) {
        free(listener);
        return err;
    }
    list_insert(&loop->listeners, listener);
    *out = listener;
    return MR_OK;
}

uint16_t mr_listener_port(const struct mr_listener *listener) {
    return listener->port;
}

void mr_listener_pause(struct mr_listener *listener) {
    if (!listener->paused) {
        listener->paused = true;
        listener->loop->core.backend->listener_update(listener);
    }
}

void mr_listener_resume(struct mr_listener *listener) {
    if (listener->paused) {
        listener->paused = false;
        listener->loop->core.backend->listener_update(listener);
    }
}

void mr_listener_close(struct mr_listener *listener) {
    struct mr_loop *loop = listener->loop;
    starved_end(listener);
    list_remove(&loop->listeners, listener);
    // Events of this turn may still refer to it, so its memory goes at the end of a turn.
    list_insert(&loop->listeners_closing, listener);
    listener->closing = true;
    loop->no_wait = true;
    loop->core.backend->listener_close(listener);
}

void mr_listener_reap(struct mr_loop *loop) {
    struct mr_listener *listener = loop->listeners_closing;
    while (listener != NULL) {
        struct mr_listener *next = listener->next;
        if (listener->closed) {
            list_remove(&loop->listeners_closing, listener);
            free(listener);
        }
        listener = next;
    }
}

bool mr_io_accept_wanted(const struct mr_listener *listener) {
    return !listener->paused && !listener->starved && !listener->closing;
}

void mr_io_on_accepted(struct mr_listener *listener, intptr_t handle) {
    struct mr_loop *loop = listener->loop;
    if (listener->closing) {
        loop->core.backend->handle_close(loop, handle);
        return;
    }
    loop->core.stats.accept_count++;
    listener->on_accept(listener->ctx, handle);
}

void mr_io_on_accept_starved(struct mr_listener *listener) {
    struct mr_loop *loop = listener->loop;
    if (listener->starved || listener->closing) {
        return;
    }
    listener->starved = true;
    loop->listener_starved_count++;
    loop->core.stats.accept_pause_count++;
    mr_timer_start(loop, &listener->retry, RETRY_MS);
    loop->core.backend->listener_update(listener);
}

void mr_io_on_listener_closed(struct mr_listener *listener) {
    listener->closed = true;
}

void mr_handle_close(struct mr_loop *loop, intptr_t handle) {
    loop->core.backend->handle_close(loop, handle);
    mr_listener_retry(loop);
}

void mr_handle_peer_text(struct mr_loop *loop, intptr_t handle, char out[MR_PEER_TEXT_BYTES]) {
    loop->core.backend->handle_peer_text(loop, handle, out);
}
