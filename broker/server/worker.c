// One worker: a thread with its loop, its protocol and its listeners.
#include <stdlib.h>

#include "broker/server/internal.h"

#define REPORT_MS 1000u

// ---------------------------------------------------------------------------- orders

static bool is_never_refused(enum mr_order_kind kind) {
    return kind == MR_ORDER_PASSWORD || kind == MR_ORDER_STOP;
}

// Without memory of their own: a request has a link, and one stop is enough.
static void add_never_refused(struct mr_orders *orders, enum mr_order_kind kind, void *pointer) {
    if (kind == MR_ORDER_STOP) {
        orders->stop = true;
        return;
    }
    struct mr_password_request *request = pointer;
    request->next = orders->answers;
    orders->answers = request;
}

static void add(struct mr_orders *orders, struct mr_order *order) {
    order->next = NULL;
    *orders->last = order;
    orders->last = &order->next;
    orders->count++;
}

bool mr_worker_order(struct mr_worker *worker, enum mr_order_kind kind, void *pointer) {
    struct mr_order *order = NULL;
    if (!is_never_refused(kind)) {
        order = malloc(sizeof(*order));
        if (order == NULL) {
            return false;
        }
        *order = (struct mr_order){NULL, kind, pointer};
    }
    pthread_mutex_lock(&worker->lock);
    bool room = kind != MR_ORDER_LOG_LINE || worker->orders.count < MR_ORDERS_MAX;
    if (order == NULL) {
        add_never_refused(&worker->orders, kind, pointer);
    } else if (room) {
        add(&worker->orders, order);
    }
    pthread_mutex_unlock(&worker->lock);
    if (!room) {
        free(order);
        return false;
    }
    mr_loop_wake(worker->loop);
    return true;
}

static void orders_init(struct mr_orders *orders) {
    *orders = (struct mr_orders){0};
    orders->last = &orders->first;
}

static struct mr_orders take_orders(struct mr_worker *worker) {
    pthread_mutex_lock(&worker->lock);
    struct mr_orders orders = worker->orders;
    orders_init(&worker->orders);
    pthread_mutex_unlock(&worker->lock);
    return orders;
}

static void give_answers(struct mr_password_request *request) {
    while (request != NULL) {
        struct mr_password_request *next = request->next;
        mr_protocol_password_checked(request);
        request = next;
    }
}

static void stop_if_done(struct mr_worker *worker) {
    if (worker->stopping && mr_protocol_client_count(worker->protocol) == 0) {
        mr_loop_stop(worker->loop);
    }
}

static void stop(struct mr_worker *worker) {
    for (uint32_t i = 0; i < worker->server->config->listener_count; i++) {
        if (worker->listeners[i] != NULL) {
            mr_listener_close(worker->listeners[i]);
            worker->listeners[i] = NULL;
        }
    }
    mr_timer_stop(worker->loop, &worker->timer);
    mr_protocol_shut_down(worker->protocol);
    worker->stopping = true;
}

static const char *log_topic_of(enum mr_log_type type) {
    switch (type) {
        case MR_LOG_DEBUG:
            return "$SYS/broker/log/D";
        case MR_LOG_ERROR:
            return "$SYS/broker/log/E";
        case MR_LOG_WARNING:
            return "$SYS/broker/log/W";
        case MR_LOG_INFORMATION:
            return "$SYS/broker/log/I";
        case MR_LOG_SUBSCRIBE:
            return "$SYS/broker/log/M/subscribe";
        case MR_LOG_UNSUBSCRIBE:
            return "$SYS/broker/log/M/unsubscribe";
        default:
            return "$SYS/broker/log/N";
    }
}

// With a worker that is stopping, or was never started, only what has to be given back matters.
static void carry_out(struct mr_worker *worker, const struct mr_order *order) {
    switch (order->kind) {
        case MR_ORDER_POLICIES:
            mr_protocol_set_policies(worker->protocol, order->pointer);
            if (worker->index == 0) {
                mr_policy_set_unref(worker->server->sweep_policies);
                worker->server->sweep_policies = order->pointer;
                mr_retained_sweep_rewind(worker->server->shared.retained);
            } else {
                mr_policy_set_unref(order->pointer);
            }
            return;
        case MR_ORDER_LOG_STATE:
            mr_protocol_log_state(worker->protocol);
            return;
        case MR_ORDER_LOG_LINE: {
            struct mr_log_order *line = order->pointer;
            mr_publish_text(worker, mr_slice_str(log_topic_of(line->type)),
                            mr_slice_of(line->line, line->len), false);
            free(line);
            return;
        }
        case MR_ORDER_PASSWORD:
        case MR_ORDER_STOP:
            return;  // Not in this list.
    }
}

static void on_wake(void *ctx) {
    struct mr_worker *worker = ctx;
    mr_protocol_on_wake(worker->protocol);
    struct mr_orders orders = take_orders(worker);
    give_answers(orders.answers);
    struct mr_order *order = orders.first;
    while (order != NULL) {
        struct mr_order *next = order->next;
        carry_out(worker, order);
        free(order);
        order = next;
    }
    if (orders.stop) {
        stop(worker);
    }
}

// What came after the worker had stopped.
static void drop_orders(struct mr_worker *worker) {
    struct mr_orders orders = take_orders(worker);
    give_answers(orders.answers);
    struct mr_order *order = orders.first;
    while (order != NULL) {
        struct mr_order *next = order->next;
        if (order->kind == MR_ORDER_POLICIES) {
            mr_policy_set_unref(order->pointer);
        } else if (order->kind == MR_ORDER_LOG_LINE) {
            free(order->pointer);
        }
        free(order);
        order = next;
    }
}

static bool on_turn_end(void *ctx) {
    struct mr_worker *worker = ctx;
    bool more = mr_protocol_on_turn_end(worker->protocol);
    if (MR_UNLIKELY(worker->stopping)) {
        stop_if_done(worker);
    }
    return more;
}

// ---------------------------------------------------------------------------- reports

static void report(struct mr_worker *worker) {
    struct mr_router *router = mr_protocol_router(worker->protocol);
    struct mr_report now;
    now.counters = router->counters;
    mr_loop_stats(worker->loop, &now.loop);
    mr_buf_pool_stats(mr_loop_pool(worker->loop), &now.buffers);
    mr_topic_cache_stats(router->cache, &now.cache);
    pthread_mutex_lock(&worker->lock);
    worker->report = now;
    pthread_mutex_unlock(&worker->lock);
}

static void on_timer(struct mr_timer *timer) {
    struct mr_worker *worker = MR_CONTAINER_OF(timer, struct mr_worker, timer);
    mr_router_begin(mr_protocol_router(worker->protocol));
    report(worker);
    if (worker->index == 0) {
        mr_housekeeping(worker);
    }
    mr_timer_start(worker->loop, &worker->timer, REPORT_MS);
}

// ------------------------------------------------------------------- beginning and end

enum mr_err mr_worker_init(struct mr_worker *worker, struct mr_server *server, uint32_t index,
                           const struct mr_io_backend *backend) {
    worker->server = server;
    worker->index = index;
    orders_init(&worker->orders);
    worker->listeners = calloc(server->config->listener_count, sizeof(struct mr_listener *));
    if (worker->listeners == NULL || pthread_mutex_init(&worker->lock, NULL) != 0) {
        return MR_ERR_NOMEM;
    }
    struct mr_loop_options options = {
        .ctx = worker,
        .on_wake = on_wake,
        .on_turn_end = on_turn_end,
        .busy_poll_ms = server->config->busy_poll_ms,
        .pool = {.bytes_max = server->config->memory_bytes_max / server->worker_count},
    };
    MR_TRY(mr_loop_new(&worker->loop, backend, &options));
    struct mr_protocol_options protocol = {
        .shared = &server->shared,
        .loop = worker->loop,
        .worker = index,
        .policies = server->policies,
        .listener_connections = server->listener_connections,
        .hooks = {&server->checker, mr_checker_add},
    };
    MR_TRY(mr_protocol_new(&worker->protocol, &protocol));
    mr_timer_init(&worker->timer, on_timer);
    return MR_OK;
}

void mr_worker_free_protocol(struct mr_worker *worker) {
    if (worker->loop == NULL) {
        return;
    }
    mr_buf_pool_enter(mr_loop_pool(worker->loop));
    drop_orders(worker);
    for (uint32_t i = 0; i < worker->server->config->listener_count; i++) {
        if (worker->listeners[i] != NULL) {
            mr_listener_close(worker->listeners[i]);
        }
    }
    mr_protocol_free(worker->protocol);
    worker->protocol = NULL;
}

void mr_worker_free_loop(struct mr_worker *worker) {
    if (worker->loop != NULL) {
        mr_buf_pool_enter(mr_loop_pool(worker->loop));
        mr_loop_free(worker->loop);
        mr_buf_pool_enter(NULL);
        worker->loop = NULL;
    }
    free(worker->listeners);
    pthread_mutex_destroy(&worker->lock);
}

static void *run(void *ctx) {
    struct mr_worker *worker = ctx;
    mr_timer_start(worker->loop, &worker->timer, 0);
    if (mr_loop_run(worker->loop) != MR_OK) {
        mr_log(MR_LOG_ERROR, "Worker %u can't wait for events any more.", worker->index);
        abort();
    }
    return NULL;
}

enum mr_err mr_worker_start(struct mr_worker *worker) {
    if (pthread_create(&worker->thread, NULL, run, worker) != 0) {
        return MR_ERR_NOMEM;
    }
    worker->started = true;
    return MR_OK;
}
