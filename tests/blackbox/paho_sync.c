// Paho's synchronous C client against a broker. Run by paho_c_test.py:
//
//   paho_sync HOST PORT PREFIX VERSION      VERSION: 3, 4 or 5
//
// Ends with 0 if every message came as it should, else says what did not.
#include <MQTTClient.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WAIT_MS 20000
#define TEXT_BYTES 512

static const char *uri;
static const char *prefix;
static int version;

static void fail(const char *what, int code) {
    fprintf(stderr, "paho_sync: version %d: %s (%d)\n", version, what, code);
    exit(EXIT_FAILURE);
}

static void name_of(char out[TEXT_BYTES], const char *what) {
    snprintf(out, TEXT_BYTES, "%s/%s%d", prefix, what, version);
}

// A connected client. `will_topic` may be NULL.
static MQTTClient open_client(const char *name, bool clean, const char *will_topic) {
    MQTTClient client;
    char id[TEXT_BYTES];
    name_of(id, name);
    MQTTClient_createOptions create = MQTTClient_createOptions_initializer;
    create.MQTTVersion = version;
    int code =
        MQTTClient_createWithOptions(&client, uri, id, MQTTCLIENT_PERSISTENCE_NONE, NULL, &create);
    if (code != MQTTCLIENT_SUCCESS) {
        fail("create", code);
    }
    MQTTClient_willOptions will = MQTTClient_willOptions_initializer;
    will.topicName = will_topic;
    will.message = "dead";
    will.qos = 1;
    if (version < MQTTVERSION_5) {
        MQTTClient_connectOptions options = MQTTClient_connectOptions_initializer;
        options.MQTTVersion = version;
        options.cleansession = clean;
        options.will = will_topic != NULL ? &will : NULL;
        code = MQTTClient_connect(client, &options);
    } else {
        MQTTClient_connectOptions options = MQTTClient_connectOptions_initializer5;
        MQTTProperties properties = MQTTProperties_initializer;
        MQTTProperty expiry = {.identifier = MQTTPROPERTY_CODE_SESSION_EXPIRY_INTERVAL};
        expiry.value.integer4 = clean ? 0 : 100;
        MQTTProperties_add(&properties, &expiry);
        options.cleanstart = clean;
        options.will = will_topic != NULL ? &will : NULL;
        MQTTResponse response = MQTTClient_connect5(client, &options, &properties, NULL);
        code = response.reasonCode;
        MQTTResponse_free(response);
        MQTTProperties_free(&properties);
    }
    if (code != MQTTCLIENT_SUCCESS) {
        fail("connect", code);
    }
    return client;
}

static void close_client(MQTTClient client) {
    int code = version < MQTTVERSION_5
                   ? MQTTClient_disconnect(client, 0)
                   : MQTTClient_disconnect5(client, 0, MQTTREASONCODE_SUCCESS, NULL);
    if (code != MQTTCLIENT_SUCCESS) {
        fail("disconnect", code);
    }
    MQTTClient_destroy(&client);
}

static void subscribe(MQTTClient client, const char *filter, int qos) {
    int code;
    if (version < MQTTVERSION_5) {
        code = MQTTClient_subscribe(client, filter, qos) == MQTTCLIENT_SUCCESS ? qos : -1;
    } else {
        MQTTResponse response = MQTTClient_subscribe5(client, filter, qos, NULL, NULL);
        code = response.reasonCode;
        MQTTResponse_free(response);
    }
    if (code != qos) {
        fail("subscribe", code);
    }
}

static void publish(MQTTClient client, const char *topic, const char *text, int qos,
                    bool retained) {
    MQTTClient_deliveryToken token = 0;
    int code;
    if (version < MQTTVERSION_5) {
        code = MQTTClient_publish(client, topic, (int)strlen(text), text, qos, retained, &token);
    } else {
        MQTTResponse response = MQTTClient_publish5(client, topic, (int)strlen(text), text, qos,
                                                    retained, NULL, &token);
        code = response.reasonCode;
        MQTTResponse_free(response);
    }
    if (code != MQTTCLIENT_SUCCESS) {
        fail("publish", code);
    }
    if (qos > 0) {
        code = MQTTClient_waitForCompletion(client, token, WAIT_MS);
        if (code != MQTTCLIENT_SUCCESS) {
            fail("waiting for an acknowledgement", code);
        }
    }
}

// The next message has to be this one.
static void expect(MQTTClient client, const char *topic, const char *text, int qos, bool retained) {
    char *got_topic = NULL;
    int got_topic_len = 0;
    MQTTClient_message *got = NULL;
    int code = MQTTClient_receive(client, &got_topic, &got_topic_len, &got, WAIT_MS);
    if (code != MQTTCLIENT_SUCCESS || got == NULL) {
        fail("no message", code);
    }
    if (strcmp(got_topic, topic) != 0 || (size_t)got->payloadlen != strlen(text) ||
        memcmp(got->payload, text, strlen(text)) != 0) {
        fprintf(stderr, "paho_sync: '%s' with %d bytes, not '%s'\n", got_topic, got->payloadlen,
                topic);
        fail("another message", got->payloadlen);
    }
    if (got->qos != qos || got->retained != retained) {
        fail("another QoS or retain flag", got->qos);
    }
    MQTTClient_freeMessage(&got);
    MQTTClient_free(got_topic);
}

static void every_qos(void) {
    char topic[TEXT_BYTES];
    name_of(topic, "qos");
    MQTTClient reader = open_client("reader", true, NULL);
    MQTTClient writer = open_client("writer", true, NULL);
    subscribe(reader, topic, 2);
    for (int qos = 0; qos <= 2; qos++) {
        for (int i = 0; i < 10; i++) {
            char text[TEXT_BYTES];
            snprintf(text, sizeof(text), "%d %d", qos, i);
            publish(writer, topic, text, qos, false);
            expect(reader, topic, text, qos, false);
        }
    }
    close_client(writer);
    close_client(reader);
}

static void retained(void) {
    char topic[TEXT_BYTES];
    name_of(topic, "kept");
    MQTTClient writer = open_client("writer", true, NULL);
    publish(writer, topic, "kept", 1, true);
    MQTTClient reader = open_client("reader", true, NULL);
    subscribe(reader, topic, 1);
    expect(reader, topic, "kept", 1, true);
    publish(writer, topic, "", 1, true);
    expect(reader, topic, "", 1, false);
    close_client(reader);
    close_client(writer);
}

static void sleeping(void) {
    char topic[TEXT_BYTES];
    name_of(topic, "sleep");
    MQTTClient sleeper = open_client("sleeper", false, NULL);
    subscribe(sleeper, topic, 2);
    close_client(sleeper);
    MQTTClient writer = open_client("writer", true, NULL);
    publish(writer, topic, "1", 1, false);
    publish(writer, topic, "2", 1, false);
    sleeper = open_client("sleeper", false, NULL);
    expect(sleeper, topic, "1", 1, false);
    expect(sleeper, topic, "2", 1, false);
    close_client(sleeper);
    close_client(open_client("sleeper", true, NULL));
    close_client(writer);
}

int main(int argc, char *argv[]) {
    if (argc != 5) {
        fprintf(stderr, "usage: paho_sync HOST PORT PREFIX VERSION\n");
        return EXIT_FAILURE;
    }
    char text[TEXT_BYTES];
    snprintf(text, sizeof(text), "tcp://%s:%s", argv[1], argv[2]);
    uri = text;
    prefix = argv[3];
    version = (int)strtol(argv[4], NULL, 10);
    every_qos();
    retained();
    sleeping();
    return EXIT_SUCCESS;
}
