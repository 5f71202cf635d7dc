// Paho's asynchronous C client against a broker: many messages in flight both ways.
// Run by paho_c_test.py:
//
//   paho_async HOST PORT PREFIX VERSION     VERSION: 3, 4 or 5
//
// Ends with 0 if every message came once and in order, else says what did not.
#include <MQTTAsync.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define WAIT_S 30
#define TEXT_BYTES 512
#define MESSAGES 100  // Of each QoS.

static const char *prefix;
static int version;

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static bool connected[2];
static bool subscribed;
static bool disconnected[2];
static int arrived[3];    // Next number expected, by QoS.
static int delivered[3];  // Acknowledged to the sender, by QoS.
static const char *problem;

static void set(bool *flag) {
    pthread_mutex_lock(&mutex);
    *flag = true;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&mutex);
}

static void report(const char *what) {
    pthread_mutex_lock(&mutex);
    problem = what;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&mutex);
}

static bool all_arrived(const bool *unused) {
    (void)unused;
    for (int qos = 0; qos <= 2; qos++) {
        if (arrived[qos] != MESSAGES || (qos > 0 && delivered[qos] != MESSAGES)) {
            return false;
        }
    }
    return true;
}

static bool is_set(const bool *flag) {
    return *flag;
}

static void wait_until(bool (*holds)(const bool *), const bool *flag, const char *what) {
    struct timespec end;
    clock_gettime(CLOCK_REALTIME, &end);
    end.tv_sec += WAIT_S;
    pthread_mutex_lock(&mutex);
    int code = 0;
    while (problem == NULL && !holds(flag) && code == 0) {
        code = pthread_cond_timedwait(&changed, &mutex, &end);
    }
    if (problem != NULL || code != 0) {
        fprintf(stderr, "paho_async: version %d: %s: %s (%d %d %d, %d %d)\n", version, what,
                problem != NULL ? problem : "timeout", arrived[0], arrived[1], arrived[2],
                delivered[1], delivered[2]);
        exit(EXIT_FAILURE);
    }
    pthread_mutex_unlock(&mutex);
}

static void on_connect(void *context, MQTTAsync_successData *response) {
    (void)response;
    set(context);
}

static void on_connect5(void *context, MQTTAsync_successData5 *response) {
    (void)response;
    set(context);
}

static void on_failure(void *context, MQTTAsync_failureData *response) {
    (void)context;
    report(response != NULL && response->message != NULL ? response->message : "refused");
}

static void on_failure5(void *context, MQTTAsync_failureData5 *response) {
    (void)context;
    report(response != NULL && response->message != NULL ? response->message : "refused");
}

static void count_delivered(void *context) {
    pthread_mutex_lock(&mutex);
    ++*(int *)context;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&mutex);
}

static void on_delivered(void *context, MQTTAsync_successData *response) {
    (void)response;
    count_delivered(context);
}

static void on_delivered5(void *context, MQTTAsync_successData5 *response) {
    (void)response;
    count_delivered(context);
}

static int on_message(void *context, char *topic, int topic_len, MQTTAsync_message *message) {
    (void)context;
    (void)topic_len;
    char text[32] = "";
    size_t len = (size_t)message->payloadlen;
    memcpy(text, message->payload, len < sizeof(text) ? len : sizeof(text) - 1);
    pthread_mutex_lock(&mutex);
    if ((int)strtol(text, NULL, 10) != arrived[message->qos]) {
        problem = "a message is missing, twice there or out of order";
    }
    arrived[message->qos]++;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&mutex);
    MQTTAsync_freeMessage(&message);
    MQTTAsync_free(topic);
    return 1;
}

static void check(int code, const char *what) {
    if (code != MQTTASYNC_SUCCESS) {
        fprintf(stderr, "paho_async: version %d: %s (%d)\n", version, what, code);
        exit(EXIT_FAILURE);
    }
}

static MQTTAsync open_client(const char *uri, int index) {
    MQTTAsync client;
    char id[TEXT_BYTES];
    snprintf(id, sizeof(id), "%s-async%d-%d", prefix, version, index);
    MQTTAsync_createOptions create = MQTTAsync_createOptions_initializer;
    create.MQTTVersion = version;
    create.maxBufferedMessages = 3 * MESSAGES;
    check(MQTTAsync_createWithOptions(&client, uri, id, MQTTCLIENT_PERSISTENCE_NONE, NULL, &create),
          "create");
    check(MQTTAsync_setCallbacks(client, NULL, NULL, on_message, NULL), "callbacks");
    MQTTAsync_connectOptions options = MQTTAsync_connectOptions_initializer;
    MQTTAsync_connectOptions options5 = MQTTAsync_connectOptions_initializer5;
    if (version == MQTTVERSION_5) {
        options = options5;
        options.onSuccess5 = on_connect5;
        options.onFailure5 = on_failure5;
        options.cleanstart = 1;
    } else {
        options.MQTTVersion = version;
        options.onSuccess = on_connect;
        options.onFailure = on_failure;
        options.cleansession = 1;
    }
    options.maxInflight = 50;
    options.context = &connected[index];
    check(MQTTAsync_connect(client, &options), "connect");
    wait_until(is_set, &connected[index], "connecting");
    return client;
}

static MQTTAsync_responseOptions response_options(void *context, bool of_publish) {
    MQTTAsync_responseOptions options = MQTTAsync_responseOptions_initializer;
    if (version == MQTTVERSION_5) {
        options.onSuccess5 = of_publish ? on_delivered5 : on_connect5;
        options.onFailure5 = on_failure5;
    } else {
        options.onSuccess = of_publish ? on_delivered : on_connect;
        options.onFailure = on_failure;
    }
    options.context = context;
    return options;
}

static void close_client(MQTTAsync client, int index) {
    MQTTAsync_disconnectOptions options = MQTTAsync_disconnectOptions_initializer;
    MQTTAsync_disconnectOptions options5 = MQTTAsync_disconnectOptions_initializer5;
    if (version == MQTTVERSION_5) {
        options = options5;
        options.onSuccess5 = on_connect5;
    } else {
        options.onSuccess = on_connect;
    }
    options.timeout = 1000;
    options.context = &disconnected[index];
    check(MQTTAsync_disconnect(client, &options), "disconnect");
    wait_until(is_set, &disconnected[index], "disconnecting");
    MQTTAsync_destroy(&client);
}

int main(int argc, char *argv[]) {
    if (argc != 5) {
        fprintf(stderr, "usage: paho_async HOST PORT PREFIX VERSION\n");
        return EXIT_FAILURE;
    }
    char uri[TEXT_BYTES];
    char topic[TEXT_BYTES];
    snprintf(uri, sizeof(uri), "tcp://%s:%s", argv[1], argv[2]);
    prefix = argv[3];
    version = (int)strtol(argv[4], NULL, 10);
    snprintf(topic, sizeof(topic), "%s/async%d", prefix, version);
    MQTTAsync reader = open_client(uri, 0);
    MQTTAsync writer = open_client(uri, 1);
    MQTTAsync_responseOptions options = response_options(&subscribed, false);
    check(MQTTAsync_subscribe(reader, topic, 2, &options), "subscribe");
    wait_until(is_set, &subscribed, "subscribing");
    for (int i = 0; i < MESSAGES; i++) {
        for (int qos = 0; qos <= 2; qos++) {
            char text[32];
            int len = snprintf(text, sizeof(text), "%d", i);
            options = response_options(&delivered[qos], true);
            check(MQTTAsync_send(writer, topic, len, text, qos, 0, &options), "send");
        }
    }
    wait_until(all_arrived, NULL, "messages");
    close_client(writer, 1);
    close_client(reader, 0);
    return EXIT_SUCCESS;
}
