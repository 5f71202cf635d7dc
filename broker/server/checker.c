// Passwords are checked here, one at a time, so that their slow hashes never stop a worker.
#include "broker/server/internal.h"

// Logins that may wait. Beyond, clients are told that the server is busy.
#define REQUESTS_MAX 1024u

// Waits for a request; NULL when the checker is stopping and there are no more. Those that waited
// then are dropped: a thousand slow hashes would keep the broker from ending for a minute.
static struct mr_password_request *take(struct mr_password_checker *checker) {
    pthread_mutex_lock(&checker->lock);
    while (checker->first == NULL && !checker->stopping) {
        pthread_cond_wait(&checker->wanted, &checker->lock);
    }
    struct mr_password_request *request = checker->first;
    if (request != NULL) {
        checker->first = request->next;
        checker->count--;
        if (checker->first == NULL) {
            checker->last = &checker->first;
        }
        request->dropped = checker->stopping;
    }
    pthread_mutex_unlock(&checker->lock);
    return request;
}

static struct mr_worker *worker_of(struct mr_password_checker *checker,
                                   const struct mr_protocol *protocol) {
    struct mr_worker *worker = checker->server->workers;
    while (worker->protocol != protocol) {
        worker++;
    }
    return worker;
}

static void *run(void *ctx) {
    struct mr_password_checker *checker = ctx;
    struct mr_password_request *request;
    while ((request = take(checker)) != NULL) {
        if (!request->dropped) {
            struct mr_slice user_name = mr_slice_of(request->user_name, request->user_name_len);
            struct mr_slice password = mr_slice_of(request->password, request->password_len);
            request->result = mr_auth_check_password(request->policy, user_name, password);
        }
        // Answers are never refused: there are at most REQUESTS_MAX of them.
        struct mr_worker *worker = worker_of(checker, request->protocol);
        bool answered = mr_worker_order(worker, MR_ORDER_PASSWORD, request);
        MR_ASSERT(answered);
    }
    return NULL;
}

enum mr_err mr_checker_start(struct mr_password_checker *checker, struct mr_server *server) {
    checker->server = server;
    checker->last = &checker->first;
    if (pthread_mutex_init(&checker->lock, NULL) != 0 ||
        pthread_cond_init(&checker->wanted, NULL) != 0 ||
        pthread_create(&checker->thread, NULL, run, checker) != 0) {
        return MR_ERR_NOMEM;
    }
    checker->started = true;
    return MR_OK;
}

bool mr_checker_add(void *ctx, struct mr_password_request *request) {
    struct mr_password_checker *checker = ctx;
    pthread_mutex_lock(&checker->lock);
    bool room = checker->count < REQUESTS_MAX && !checker->stopping;
    if (room) {
        request->next = NULL;
        *checker->last = request;
        checker->last = &request->next;
        checker->count++;
        pthread_cond_signal(&checker->wanted);
    }
    pthread_mutex_unlock(&checker->lock);
    return room;
}

void mr_checker_stop(struct mr_password_checker *checker) {
    if (!checker->started) {
        return;
    }
    // All requests go back to where they came from: clients stay in memory as long as one refers
    // to them.
    pthread_mutex_lock(&checker->lock);
    checker->stopping = true;
    pthread_cond_signal(&checker->wanted);
    pthread_mutex_unlock(&checker->lock);
    pthread_join(checker->thread, NULL);
    pthread_cond_destroy(&checker->wanted);
    pthread_mutex_destroy(&checker->lock);
    checker->started = false;
}
