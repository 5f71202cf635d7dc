// A connection goes to the worker on which its session lives.
#include <stdlib.h>
#include <string.h>

#include "broker/protocol/client.h"

// A connection under way: the socket and the bytes that the next worker has to read again, its
// CONNECT first.
struct moving {
    intptr_t handle;
    uint32_t listener;
    bool checked;  // Its password was right.
    size_t bytes_len;
    uint8_t bytes[];
};

enum mr_handled mr_client_move(struct mr_client *client, uint32_t worker) {
    if (mr_stream_detach(&client->stream) != MR_OK) {
        return mr_client_drop(client);
    }
    client->state = MR_CLIENT_MOVING;
    client->keep_alive_s = (uint16_t)worker;  // Free for that use before CONNECT is accepted.
    client->pause |= MR_PAUSE_MOVING;
    return MR_HANDLED_LATER;
}

// Sends a connection to `worker`, or closes it if there is no memory for that.
static void send_connection(struct mr_protocol *protocol, uint32_t listener, intptr_t handle,
                            struct mr_slice bytes, bool checked, uint32_t worker) {
    struct moving *moving = malloc(sizeof(*moving) + bytes.len);
    if (moving != NULL) {
        moving->handle = handle;
        moving->listener = listener;
        moving->checked = checked;
        moving->bytes_len = bytes.len;
        if (bytes.len > 0) {
            memcpy(moving->bytes, bytes.data, bytes.len);
        }
        struct mr_parcel parcel = {.kind = MR_PARCEL_CONNECTION, .pointer = moving};
        if (mr_mailbox_send(protocol->router->mailbox, worker, &parcel)) {
            mr_count(&protocol->router->counters.connections_handed_over);
            return;
        }
        free(moving);
    }
    mr_count(&protocol->router->counters.memory_disconnects);
    __atomic_fetch_sub(&protocol->listener_connections[listener], 1, __ATOMIC_RELAXED);
    mr_handle_close(protocol->loop, handle);
}

void mr_client_on_detach(struct mr_stream *stream, intptr_t handle, struct mr_buf *buf,
                         struct mr_slice rest) {
    struct mr_client *client = MR_CONTAINER_OF(stream, struct mr_client, stream);
    struct mr_protocol *protocol = client->protocol;
    (void)buf;
    mr_router_begin(protocol->router);
    uint32_t worker = client->keep_alive_s;
    uint32_t listener = client->listener;
    mr_client_free(client);
    send_connection(protocol, listener, handle, rest, true, worker);
}

void mr_protocol_pass_on(struct mr_protocol *protocol, uint32_t listener, intptr_t handle,
                         uint32_t worker) {
    mr_router_begin(protocol->router);
    if (worker == protocol->worker) {
        mr_protocol_accept(protocol, listener, handle);
        return;
    }
    __atomic_fetch_add(&protocol->listener_connections[listener], 1, __ATOMIC_RELAXED);
    send_connection(protocol, listener, handle, mr_slice_of(NULL, 0), false, worker);
}

// Connections count from the moment they were accepted, wherever they are.
static bool over_limit(const struct mr_protocol *protocol, const struct moving *moving) {
    uint32_t now =
        __atomic_load_n(&protocol->listener_connections[moving->listener], __ATOMIC_RELAXED);
    return now > protocol->config->listeners[moving->listener].connections_max;
}

void mr_protocol_take_connection(struct mr_protocol *protocol, struct mr_parcel *parcel) {
    struct moving *moving = parcel->pointer;
    struct mr_client *client = NULL;
    // One that brings its CONNECT gets an answer, even if that is that the server shuts down.
    bool wanted = !protocol->shutting_down && !over_limit(protocol, moving);
    if (moving->checked || wanted) {
        client = mr_client_new(protocol, moving->listener);
    }
    if (client != NULL) {
        client->state = moving->checked ? MR_CLIENT_CHECKED : MR_CLIENT_NEW;
        if (mr_stream_attach(protocol->loop, &client->stream, moving->handle,
                             mr_slice_of(moving->bytes, moving->bytes_len),
                             &protocol->handler) == MR_OK) {
            if (!moving->checked) {
                mr_count(&protocol->router->counters.sockets_opened);
            }
            free(moving);
            return;
        }
        mr_client_free(client);
    }
    mr_count(&protocol->router->counters.sockets_refused);
    __atomic_fetch_sub(&protocol->listener_connections[moving->listener], 1, __ATOMIC_RELAXED);
    mr_handle_close(protocol->loop, moving->handle);
    free(moving);
}
