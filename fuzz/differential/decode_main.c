// Our side of the comparison with another decoder. Reads packets from standard input, one a line
//
//   VERSION DIRECTION HEX      5 c 100c00044d5154540502003c00000161
//
// (direction c from a client, s from a server; a CONNECT brings its own version) and writes one
// line of JSON for each: what the decoder says of it. Texts are in hex.
//
//   decode --draw COUNT SEED   writes that many such lines instead: good packets of all types
#include <stdio.h>
#include <stdlib.h>

#include "fuzz/codec_any.h"
#include "fuzz/structured.h"

#define PACKET_BYTES_MAX (1u << 20)
#define DRAWN_BYTES_MAX 4096u  // Longer ones are passed over: the other side is slow.
#define SEED_BYTES 160u

static void put_hex(struct mr_slice bytes) {
    putchar('"');
    for (size_t i = 0; i < bytes.len; i++) {
        printf("%02x", bytes.data[i]);
    }
    putchar('"');
}

static void put_text(const char *name, struct mr_slice bytes) {
    printf(",\"%s\":", name);
    put_hex(bytes);
}

static void put_number(const char *name, unsigned number) {
    printf(",\"%s\":%u", name, number);
}

static bool is_text(enum mr_property_id id) {
    switch (id) {
        case MR_PROPERTY_CONTENT_TYPE:
        case MR_PROPERTY_RESPONSE_TOPIC:
        case MR_PROPERTY_CORRELATION_DATA:
        case MR_PROPERTY_ASSIGNED_CLIENT_IDENTIFIER:
        case MR_PROPERTY_AUTHENTICATION_METHOD:
        case MR_PROPERTY_AUTHENTICATION_DATA:
        case MR_PROPERTY_RESPONSE_INFORMATION:
        case MR_PROPERTY_SERVER_REFERENCE:
        case MR_PROPERTY_REASON_STRING:
            return true;
        default:
            return false;
    }
}

static void put_properties(const char *name, struct mr_slice raw) {
    printf(",\"%s\":[", name);
    struct mr_property property;
    bool is_first = true;
    while (mr_property_next(&raw, &property)) {
        printf("%s[%u,", is_first ? "" : ",", (unsigned)property.id);
        is_first = false;
        if (property.id == MR_PROPERTY_USER_PROPERTY) {
            put_hex(property.name);
            putchar(',');
            put_hex(property.value);
        } else if (is_text(property.id)) {
            put_hex(property.value);
        } else {
            printf("%u", property.number);
        }
        putchar(']');
    }
    putchar(']');
}

static void put_connect(const struct mr_connect *packet) {
    put_number("version", packet->version);
    put_number("bridge", packet->bridge);
    put_number("clean", packet->clean_start);
    put_number("keep_alive", packet->keep_alive_s);
    put_text("client_id", packet->client_id);
    if (packet->has_user_name) {
        put_text("user_name", packet->user_name);
    }
    if (packet->has_password) {
        put_text("password", packet->password);
    }
    if (packet->has_will) {
        put_text("will_topic", packet->will.topic);
        put_text("will_payload", packet->will.payload);
        put_number("will_qos", packet->will.qos);
        put_number("will_retain", packet->will.retain);
        put_properties("will_properties", packet->will.properties.raw);
    }
    put_properties("properties", packet->properties.raw);
}

static void put_subscribe(const struct mr_subscribe *packet) {
    put_number("packet_id", packet->packet_id);
    struct mr_slice rest = packet->entries;
    struct mr_slice filter;
    struct mr_subscription_options options;
    printf(",\"entries\":[");
    for (const char *comma = ""; mr_subscribe_next(&rest, &filter, &options); comma = ",") {
        printf("%s[", comma);
        put_hex(filter);
        printf(",%u,%u,%u,%u]", options.qos, options.no_local, options.retain_as_published,
               options.retain_handling);
    }
    putchar(']');
    put_properties("properties", packet->properties.raw);
}

static void put_unsubscribe(const struct mr_unsubscribe *packet) {
    put_number("packet_id", packet->packet_id);
    struct mr_slice rest = packet->entries;
    struct mr_slice filter;
    printf(",\"entries\":[");
    for (const char *comma = ""; mr_unsubscribe_next(&rest, &filter); comma = ",") {
        printf("%s[", comma);
        put_hex(filter);
        putchar(']');
    }
    putchar(']');
    put_properties("properties", packet->properties.raw);
}

static void put_publish(const struct mr_publish *packet) {
    put_text("topic", packet->topic);
    put_text("payload", packet->payload);
    put_number("qos", packet->qos);
    put_number("dup", packet->dup);
    put_number("retain", packet->retain);
    if (packet->qos != 0) {
        put_number("packet_id", packet->packet_id);
    }
    put_properties("properties", packet->properties_raw);
}

static void put_fields(const struct codec_any *packet) {
    switch (packet->type) {
        case MR_CONNECT:
            put_connect(&packet->as.connect);
            break;
        case MR_CONNACK:
            put_number("session_present", packet->as.connack.session_present);
            put_number("code", packet->as.connack.code);
            put_properties("properties", packet->as.connack.properties.raw);
            break;
        case MR_PUBLISH:
            put_publish(&packet->as.publish);
            break;
        case MR_SUBSCRIBE:
            put_subscribe(&packet->as.subscribe);
            break;
        case MR_UNSUBSCRIBE:
            put_unsubscribe(&packet->as.unsubscribe);
            break;
        case MR_SUBACK:
        case MR_UNSUBACK:
            put_number("packet_id", packet->as.suback.packet_id);
            put_text("codes", packet->as.suback.codes);
            put_properties("properties", packet->as.suback.properties.raw);
            break;
        case MR_DISCONNECT:
            put_number("code", packet->as.disconnect.reason);
            put_properties("properties", packet->as.disconnect.properties.raw);
            break;
        case MR_AUTH:
            put_number("code", packet->as.auth.reason);
            put_properties("properties", packet->as.auth.properties.raw);
            break;
        case MR_PINGREQ:
        case MR_PINGRESP:
            break;
        default:
            put_number("packet_id", packet->as.ack.packet_id);
            put_number("code", packet->as.ack.reason);
            put_properties("properties", packet->as.ack.properties.raw);
            break;
    }
}

static void put_bad(const struct mr_decode_error *error) {
    printf("{\"bad\":\"%s\",\"reason\":%u,\"offset\":%u}\n", error->what, (unsigned)error->reason,
           error->offset);
}

static void decode(int version, bool from_client, struct mr_slice bytes) {
    struct mr_frame frame;
    struct mr_decode_error error = {0};
    bool is_connect = bytes.len != 0 && bytes.data[0] >> 4 == MR_CONNECT;
    enum mr_decode_status status =
        mr_frame_decode(bytes, is_connect ? 0 : version, PACKET_BYTES_MAX, &frame, &error);
    if (status == MR_DECODE_BAD) {
        put_bad(&error);
        return;
    }
    if (status == MR_DECODE_MORE || bytes.len - frame.header_len < frame.body_len) {
        puts("{\"more\":1}");
        return;
    }
    struct codec_any packet = {.version = (enum mr_version)version,
                               .type = (enum mr_packet_type)frame.type,
                               .flags = frame.flags,
                               .from_client = from_client};
    // Where its memory ends, so that a sanitizer sees each byte read too far.
    struct mr_slice body = mr_slice_of(bytes.data + frame.header_len, frame.body_len);
    uint8_t *copy = codec_exact_copy(body);
    body.data = copy;
    if (codec_any_decode(&packet, body, &error) == MR_DECODE_DONE) {
        printf("{\"type\":%d", (int)packet.type);
        put_fields(&packet);
        puts("}");
    } else {
        put_bad(&error);
    }
    free(copy);
}

static int hex_digit(char c) {
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static int decode_all(void) {
    char *line = NULL;
    size_t room = 0;
    ssize_t len;
    while ((len = getline(&line, &room, stdin)) > 0) {
        int version = line[0] - '0';
        if (len < 5 || version < MR_MQTT_31 || version > MR_MQTT_50) {
            fprintf(stderr, "decode: not a packet: %s", line);
            return 2;
        }
        uint8_t *bytes = malloc((size_t)len);
        MR_ASSERT(bytes != NULL);
        size_t count = 0;
        const char *digits = line + 4;
        for (size_t i = 0; hex_digit(digits[i]) >= 0 && hex_digit(digits[i + 1]) >= 0; i += 2) {
            bytes[count++] = (uint8_t)(hex_digit(digits[i]) << 4 | hex_digit(digits[i + 1]));
        }
        decode(version, line[2] == 'c', mr_slice_of(bytes, count));
        free(bytes);
    }
    free(line);
    return 0;
}

static uint64_t random_next(uint64_t *state) {
    uint64_t x = (*state += 0x9e3779b97f4a7c15u);
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

static void draw_all(unsigned long count, uint64_t seed) {
    static uint8_t out[DRAWN_BYTES_MAX];
    for (unsigned long i = 0; i < count;) {
        uint8_t bytes[SEED_BYTES];
        size_t len = random_next(&seed) % sizeof(bytes);
        for (size_t j = 0; j < len; j++) {
            // Mostly small, so that texts are short.
            uint64_t number = random_next(&seed);
            bytes[j] = (uint8_t)(number % 4 == 0 ? number >> 8 : number >> 8 & 15);
        }
        bytes[0] = (uint8_t)random_next(&seed);
        bytes[1] = (uint8_t)random_next(&seed);
        struct draw draw = draw_begin(bytes, len < 2 ? 2 : len);
        struct structured drawn;
        structured_draw(&draw, &drawn);
        size_t packet_len = structured_encode(&drawn, out, sizeof(out));
        if (packet_len == 0) {
            continue;
        }
        printf("%d %c ", (int)drawn.packet.version, drawn.packet.from_client ? 'c' : 's');
        for (size_t j = 0; j < packet_len; j++) {
            printf("%02x", out[j]);
        }
        putchar('\n');
        i++;
    }
}

int main(int argc, char **argv) {
    if (argc == 4 && strcmp(argv[1], "--draw") == 0) {
        draw_all(strtoul(argv[2], NULL, 10), strtoull(argv[3], NULL, 10));
        return 0;
    }
    if (argc != 1) {
        fprintf(stderr, "usage: decode [--draw COUNT SEED]\n");
        return 2;
    }
    return decode_all();
}
