// What the files of this component share.
#ifndef MILLRACE_BROKER_SERVER_INTERNAL_H
#define MILLRACE_BROKER_SERVER_INTERNAL_H

#include <pthread.h>

#include "broker/server/server.h"
#include "broker/sys/sys.h"
#include "io/loop.h"

// What a worker is told by threads that aren't workers. Seldom, so a lock is right here.
enum mr_order_kind {
    MR_ORDER_PASSWORD,  // `pointer`: struct mr_password_request, answered.
    MR_ORDER_POLICIES,  // `pointer`: struct mr_policy_set, one reference.
    MR_ORDER_LOG_STATE,
    MR_ORDER_LOG_LINE,  // `pointer`: struct mr_log_order.
    MR_ORDER_STOP,
};

struct mr_order {
    struct mr_order *next;
    enum mr_order_kind kind;
    void *pointer;
};

// What waits for one worker.
struct mr_orders {
    struct mr_order *first;
    struct mr_order **last;
    uint32_t count;
    struct mr_password_request *answers;
    bool stop;
};

struct mr_log_order {
    enum mr_log_type type;
    size_t len;
    char line[];
};

// What a worker reports of itself, now and then.
struct mr_report {
    struct mr_counters counters;
    struct mr_loop_stats loop;
    struct mr_buf_stats buffers;
    struct mr_topic_cache_stats cache;
};

// Orders that may wait for one worker: beyond, log lines are dropped.
#define MR_ORDERS_MAX 4096u

struct mr_worker {
    struct mr_server *server;
    struct mr_loop *loop;
    struct mr_protocol *protocol;
    struct mr_listener **listeners;  // By listener; NULL where it has none.
    struct mr_timer timer;           // Reports; on the first worker $SYS and housekeeping.
    uint32_t index;
    uint32_t next_worker;  // For connections that are passed on in turn.
    pthread_t thread;
    bool started;
    bool stopping;
    pthread_mutex_t lock;  // For the fields below.
    struct mr_orders orders;
    struct mr_report report;
};

// One thread that computes the hashes of passwords.
struct mr_password_checker {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wanted;
    struct mr_password_request *first;
    struct mr_password_request **last;
    uint32_t count;
    bool started;
    bool stopping;
    struct mr_server *server;
};

// For `on_accept` of the listener.
struct mr_acceptor {
    struct mr_worker *worker;
    uint32_t listener;
};

struct mr_server {
    const struct mr_config *config;
    const char *version;
    void (*memory)(uint64_t *bytes_out, uint64_t *bytes_max_out);
    struct mr_shared shared;
    struct mr_worker *workers;
    struct mr_acceptor *acceptors;  // By worker, by listener.
    uint32_t *listener_connections;
    struct mr_password_checker checker;
    struct mr_sys *sys;
    struct mr_policy_set *policies;
    uint32_t worker_count;
    uint64_t started_ms;
    // Of the first worker.
    struct mr_policy_set *sweep_policies;  // Retained messages are being checked against it.
    uint64_t sys_due_ms;
};

// worker.c
enum mr_err mr_worker_init(struct mr_worker *worker, struct mr_server *server, uint32_t index,
                           const struct mr_io_backend *backend);
// The calling thread enters the worker's pool.
void mr_worker_free_protocol(struct mr_worker *worker);
void mr_worker_free_loop(struct mr_worker *worker);
enum mr_err mr_worker_start(struct mr_worker *worker);
// Any thread. False: too many are waiting, or no memory; the caller still owns `pointer`.
// PASSWORD and STOP are never refused.
bool mr_worker_order(struct mr_worker *worker, enum mr_order_kind kind, void *pointer);

// checker.c
enum mr_err mr_checker_start(struct mr_password_checker *checker, struct mr_server *server);
bool mr_checker_add(void *ctx, struct mr_password_request *request);
void mr_checker_stop(struct mr_password_checker *checker);

// housekeeping.c: on the first worker, once a second.
void mr_housekeeping(struct mr_worker *worker);
void mr_publish_text(struct mr_worker *worker, struct mr_slice topic, struct mr_slice payload,
                     bool retain);

#endif  // MILLRACE_BROKER_SERVER_INTERNAL_H
