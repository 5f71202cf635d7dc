#include "broker/server/server.h"

#include <stdlib.h>
#include <string.h>

#include "broker/limits.h"
#include "broker/server/internal.h"

enum mr_err mr_server_new(struct mr_server **out, const struct mr_server_options *options) {
    if (options->worker_count == 0 || options->worker_count > MR_WORKERS_MAX) {
        return MR_ERR_LIMIT;
    }
    struct mr_server *server = calloc(1, sizeof(*server));
    if (server == NULL) {
        return MR_ERR_NOMEM;
    }
    server->config = options->config;
    server->version = options->version;
    server->memory = options->memory;
    server->policies = mr_policy_set_ref(options->policies);
    uint32_t listeners = options->config->listener_count;
    enum mr_err err =
        mr_shared_init(&server->shared, options->config, options->worker_count, options->hash_seed);
    server->worker_count = options->worker_count;
    server->workers = calloc(options->worker_count, sizeof(struct mr_worker));
    server->acceptors =
        calloc((size_t)options->worker_count * listeners, sizeof(struct mr_acceptor));
    server->listener_connections = calloc(listeners, sizeof(uint32_t));
    if (err == MR_OK && (server->workers == NULL || server->acceptors == NULL ||
                         server->listener_connections == NULL)) {
        err = MR_ERR_NOMEM;
    }
    if (err == MR_OK) {
        err = mr_sys_new(&server->sys);
    }
    for (uint32_t i = 0; err == MR_OK && i < options->worker_count; i++) {
        err = mr_worker_init(&server->workers[i], server, i, options->backend);
    }
    if (err != MR_OK) {
        mr_server_free(server);
        return err;
    }
    server->started_ms = mr_loop_now_ms(server->workers[0].loop);
    *out = server;
    return MR_OK;
}

// ------------------------------------------------------------------------- listening

static void on_accept(void *ctx, intptr_t handle) {
    struct mr_acceptor *acceptor = ctx;
    mr_protocol_accept(acceptor->worker->protocol, acceptor->listener, handle);
}

// Where only one worker can listen, it deals the connections out in turn.
static void on_accept_for_all(void *ctx, intptr_t handle) {
    struct mr_acceptor *acceptor = ctx;
    struct mr_worker *worker = acceptor->worker;
    uint32_t target = worker->next_worker;
    worker->next_worker = (target + 1) % worker->server->worker_count;
    mr_protocol_pass_on(worker->protocol, acceptor->listener, handle, target);
}

static enum mr_err open_listener(struct mr_server *server, struct mr_worker *worker, uint32_t index,
                                 const struct mr_listen_address *address, int *os_error) {
    struct mr_acceptor *acceptor =
        &server->acceptors[(size_t)worker->index * server->config->listener_count + index];
    acceptor->worker = worker;
    acceptor->listener = index;
    bool for_all = !address->reuse_port && server->worker_count > 1;
    return mr_listener_open(&worker->listeners[index], worker->loop, address,
                            for_all ? on_accept_for_all : on_accept, acceptor, os_error);
}

// Each worker listens for itself on a TCP address, and the system spreads the connections.
static enum mr_err listen_on(struct mr_server *server, uint32_t index, int *os_error) {
    const struct mr_listener_config *config = &server->config->listeners[index];
    struct mr_worker *first = &server->workers[0];
    struct mr_listen_address address = {
        .host = config->host,
        .port = config->port,
        .unix_path = config->unix_path,
        .bind_interface = config->bind_interface,
        .family = config->family,
        .tcp_nodelay = server->config->set_tcp_nodelay,
    };
    address.reuse_port = server->worker_count > 1 && config->unix_path == NULL;
    address.claim = true;
    MR_TRY(open_listener(server, first, index, &address, os_error));
    address.port = mr_listener_port(first->listeners[index]);
    address.claim = false;
    for (uint32_t i = 1; address.reuse_port && i < server->worker_count; i++) {
        MR_TRY(open_listener(server, &server->workers[i], index, &address, os_error));
    }
    return MR_OK;
}

enum mr_err mr_server_listen(struct mr_server *server, uint32_t *listener_out, int *os_error) {
    for (uint32_t i = 0; i < server->config->listener_count; i++) {
        *listener_out = i;
        *os_error = 0;
        MR_TRY(listen_on(server, i, os_error));
    }
    return MR_OK;
}

uint16_t mr_server_port(const struct mr_server *server, uint32_t listener) {
    return mr_listener_port(server->workers[0].listeners[listener]);
}

const char *mr_server_backend(const struct mr_server *server) {
    return mr_loop_backend_name(server->workers[0].loop);
}

// --------------------------------------------------------------------------- running

enum mr_err mr_server_start(struct mr_server *server) {
    MR_TRY(mr_checker_start(&server->checker, server));
    for (uint32_t i = 0; i < server->worker_count; i++) {
        enum mr_err err = mr_worker_start(&server->workers[i]);
        if (err != MR_OK) {
            mr_server_stop(server);
            return err;
        }
    }
    return MR_OK;
}

void mr_server_set_policies(struct mr_server *server, struct mr_policy_set *policies) {
    for (uint32_t i = 0; i < server->worker_count; i++) {
        if (!mr_worker_order(&server->workers[i], MR_ORDER_POLICIES, mr_policy_set_ref(policies))) {
            mr_policy_set_unref(policies);
            mr_log(MR_LOG_ERROR, "Out of memory: worker %u keeps its access rights.", i);
        }
    }
}

void mr_server_log_state(struct mr_server *server) {
    for (uint32_t i = 0; i < server->worker_count; i++) {
        if (!mr_worker_order(&server->workers[i], MR_ORDER_LOG_STATE, NULL)) {
            mr_log(MR_LOG_ERROR, "Out of memory: no state of worker %u.", i);
        }
    }
}

void mr_server_log_line(struct mr_server *server, enum mr_log_type type, const char *line,
                        size_t len) {
    struct mr_log_order *order = malloc(sizeof(*order) + len);
    if (order == NULL) {
        return;
    }
    order->type = type;
    order->len = len;
    memcpy(order->line, line, len);
    if (!mr_worker_order(&server->workers[0], MR_ORDER_LOG_LINE, order)) {
        free(order);
    }
}

void mr_server_stop(struct mr_server *server) {
    mr_checker_stop(&server->checker);
    for (uint32_t i = 0; i < server->worker_count; i++) {
        struct mr_worker *worker = &server->workers[i];
        if (worker->started) {
            bool ordered = mr_worker_order(worker, MR_ORDER_STOP, NULL);
            MR_ASSERT(ordered);
        }
    }
    for (uint32_t i = 0; i < server->worker_count; i++) {
        if (server->workers[i].started) {
            pthread_join(server->workers[i].thread, NULL);
            server->workers[i].started = false;
        }
    }
}

void mr_server_free(struct mr_server *server) {
    if (server == NULL) {
        return;
    }
    for (uint32_t i = 0; server->workers != NULL && i < server->worker_count; i++) {
        mr_worker_free_protocol(&server->workers[i]);
    }
    // Messages that the shared parts still hold go home to the workers' pools.
    mr_shared_fini(&server->shared);
    for (uint32_t i = 0; server->workers != NULL && i < server->worker_count; i++) {
        mr_worker_free_loop(&server->workers[i]);
    }
    mr_policy_set_unref(server->sweep_policies);
    mr_policy_set_unref(server->policies);
    mr_sys_free(server->sys);
    free(server->listener_connections);
    free(server->acceptors);
    free(server->workers);
    free(server);
}
