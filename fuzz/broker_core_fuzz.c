// The whole broker core on the simulated backend: connections that send raw bytes and structured
// packets in any order and cut into any pieces, on up to three workers, with resets, half-closed
// ends, full pipes and time that goes by. The input is a setting and a sequence of operations.
//
// Checked: what must always hold in the core (mr_core_check), that each client gets a well-formed
// stream of packets that a server may send, CONNACK first and nothing behind DISCONNECT, and that
// all memory and all buffers come home.
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "codec/codec.h"
#include "tests/sim/core.h"

#define SLOTS 6u
#define OPERATIONS_MAX 400u
#define OUT_BYTES 4096u
#define IN_BYTES 70000u
#define CONNECT_BYTES 1024u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct input {
    const uint8_t *data;
    size_t left;
};

struct slot {
    struct mr_sim_end *end;
    size_t out_len;
    size_t in_len;
    size_t first_len;
    enum mr_version version;
    bool connack_seen;
    bool disconnect_seen;
    // Not cleared for each connection, only their lengths are.
    uint8_t out[OUT_BYTES];        // To be sent.
    uint8_t in[IN_BYTES];          // Received, not taken apart.
    uint8_t first[CONNECT_BYTES];  // What was sent first tells the protocol version.
};

struct world {
    struct mr_core *core;
    struct slot slots[SLOTS];
};

// Not allocated for each input: under AddressSanitizer, half a megabyte costs as much as the rest.
static struct world the_world;

static uint8_t next_byte(struct input *input) {
    if (input->left == 0) {
        return 0;
    }
    input->left--;
    return *input->data++;
}

// ----------------------------------------------------------------------- what clients send

static void flush(struct slot *slot) {
    if (slot->end == NULL || slot->out_len == 0) {
        return;
    }
    size_t sent = mr_sim_send(slot->end, mr_slice_of(slot->out, slot->out_len));
    for (size_t i = 0; i < sent && slot->first_len < CONNECT_BYTES; i++) {
        slot->first[slot->first_len++] = slot->out[i];
    }
    memmove(slot->out, slot->out + sent, slot->out_len - sent);
    slot->out_len -= sent;
}

static uint8_t *room(struct slot *slot, size_t *room_out) {
    *room_out = OUT_BYTES - slot->out_len;
    return slot->out + slot->out_len;
}

static struct mr_slice text_of(uint8_t byte, const char *const *texts, size_t count) {
    return mr_slice_str(texts[byte % count]);
}

static struct mr_slice topic_of(uint8_t byte) {
    static const char *const topics[] = {"a", "a/b", "a/c", "b", "/", "$SYS/x", "a/b/c/d", "s/1"};
    return text_of(byte, topics, 8);
}

static struct mr_slice filter_of(uint8_t byte) {
    static const char *const filters[] = {"a",     "a/b",          "a/+",          "#",
                                          "+/b",   "$share/g/s/#", "$share/h/a/+", "$SYS/#",
                                          "a/b/#", "+/+/+/+",      "a/#",          "$share/g/#"};
    return text_of(byte, filters, 12);
}

static size_t put_connect(struct input *input, uint8_t *out, size_t max) {
    static const char *const ids[] = {"", "x", "y", "z"};
    uint8_t flags = next_byte(input);
    uint8_t more = next_byte(input);
    struct mr_connect connect = {
        .version = (flags & 3) == 0   ? MR_MQTT_311
                   : (flags & 3) == 1 ? MR_MQTT_31
                                      : MR_MQTT_50,
        .clean_start = (flags & 4) != 0,
        .has_will = (flags & 8) != 0,
        .keep_alive_s = (flags & 16) != 0 ? 3 : 0,
        .client_id = text_of(flags >> 6, ids, 4),
        .will = {.topic = topic_of(more),
                 .payload = mr_slice_str("will"),
                 .qos = (uint8_t)(more % 3),
                 .retain = (more & 64) != 0},
    };
    if (connect.version == MR_MQTT_50) {
        connect.properties.present = MR_PROPERTY_BIT(MR_PROPERTY_SESSION_EXPIRY_INTERVAL) |
                                     MR_PROPERTY_BIT(MR_PROPERTY_RECEIVE_MAXIMUM) |
                                     MR_PROPERTY_BIT(MR_PROPERTY_TOPIC_ALIAS_MAXIMUM);
        connect.properties.session_expiry_s = (flags & 32) != 0 ? UINT32_MAX : more % 4;
        connect.properties.receive_max = (uint16_t)(1 + more % 8);
        connect.properties.topic_alias_max = more % 3;
        connect.will.properties.present = MR_PROPERTY_BIT(MR_PROPERTY_WILL_DELAY_INTERVAL);
        connect.will.properties.will_delay_s = more % 5;
    }
    return mr_connect_encode(&connect, out, max);
}

static size_t put_publish(struct input *input, enum mr_version version, uint8_t *out, size_t max) {
    static const uint8_t payload[3000];
    uint8_t flags = next_byte(input);
    uint8_t len = next_byte(input);
    struct mr_publish publish = {
        .topic = topic_of(flags >> 4),
        .payload = mr_slice_of(payload, len < 250 ? len : len * 10u),
        .qos = (uint8_t)((flags & 3) % 3),
        .retain = (flags & 4) != 0,
        .packet_id = (uint16_t)(1 + len % 16),
    };
    publish.dup = (flags & 8) != 0 && publish.qos > 0;
    if (version == MR_MQTT_50 && (len & 32) != 0) {
        publish.topic_alias = (uint16_t)(1 + len % 3);
        if ((len & 16) != 0) {
            publish.topic = mr_slice_of(NULL, 0);
        }
    }
    if (version == MR_MQTT_50 && (len & 64) != 0) {
        publish.properties_present = MR_PROPERTY_BIT(MR_PROPERTY_MESSAGE_EXPIRY_INTERVAL);
        publish.message_expiry_s = 1;
    }
    if (publish.qos == 0) {
        publish.packet_id = 0;
    }
    return mr_publish_encode(version, &publish, NULL, 0, out, max);
}

static size_t put_subscribe(struct input *input, enum mr_version version, uint8_t *out,
                            size_t max) {
    uint8_t flags = next_byte(input);
    uint8_t first = next_byte(input);
    struct mr_subscription_options options = {.qos = (uint8_t)((flags & 3) % 3),
                                              .no_local = (flags & 4) != 0,
                                              .retain_as_published = (flags & 8) != 0,
                                              .retain_handling = (uint8_t)(flags >> 4) % 3};
    if (version != MR_MQTT_50) {
        options = (struct mr_subscription_options){.qos = options.qos};
    }
    uint8_t entries[128];
    size_t len = 0;
    uint32_t count = 1 + (first >> 6);
    for (uint32_t i = 0; i < count; i++) {
        len += mr_subscribe_encode_entry(version, filter_of((uint8_t)(first + i)), &options,
                                         entries + len, sizeof(entries) - len);
    }
    struct mr_subscribe subscribe = {.packet_id = (uint16_t)(1 + flags % 16),
                                     .entries = mr_slice_of(entries, len),
                                     .entry_count = count};
    if (version == MR_MQTT_50 && (flags & 64) != 0) {
        subscribe.properties.present = MR_PROPERTY_BIT(MR_PROPERTY_SUBSCRIPTION_IDENTIFIER);
        subscribe.properties.subscription_id = 1 + first;
    }
    return mr_subscribe_encode(version, &subscribe, out, max);
}

static size_t put_unsubscribe(struct input *input, enum mr_version version, uint8_t *out,
                              size_t max) {
    uint8_t entries[64];
    uint8_t first = next_byte(input);
    size_t len = mr_unsubscribe_encode_entry(filter_of(first), entries, sizeof(entries));
    struct mr_unsubscribe unsubscribe = {
        .packet_id = 9, .entries = mr_slice_of(entries, len), .entry_count = 1};
    return mr_unsubscribe_encode(version, &unsubscribe, out, max);
}

static size_t put_ack(struct input *input, enum mr_version version, uint8_t *out, size_t max) {
    uint8_t byte = next_byte(input);
    struct mr_ack ack = {.packet_id = (uint16_t)(1 + (byte >> 2)), .reason = MR_REASON_SUCCESS};
    return mr_ack_encode(version, (enum mr_packet_type)(MR_PUBACK + byte % 4), &ack, out, max);
}

static size_t put_end(struct input *input, enum mr_version version, uint8_t *out, size_t max) {
    uint8_t byte = next_byte(input);
    if ((byte & 1) != 0) {
        return mr_ping_encode(MR_PINGREQ, out, max);
    }
    struct mr_disconnect disconnect = {.reason = MR_REASON_SUCCESS};
    if (version == MR_MQTT_50 && (byte & 2) != 0) {
        disconnect.reason = MR_REASON_DISCONNECT_WITH_WILL;
        disconnect.properties.present = MR_PROPERTY_BIT(MR_PROPERTY_SESSION_EXPIRY_INTERVAL);
        disconnect.properties.session_expiry_s = byte >> 2;
    }
    return mr_disconnect_encode(version, &disconnect, out, max);
}

static void send_raw(struct input *input, struct slot *slot) {
    size_t len = next_byte(input);
    for (size_t i = 0; i < len && slot->out_len < OUT_BYTES && input->left > 0; i++) {
        slot->out[slot->out_len++] = next_byte(input);
    }
}

// ------------------------------------------------------------------------ what clients get

static void check_version(struct slot *slot) {
    struct mr_frame frame;
    struct mr_decode_error error;
    struct mr_connect connect = {0};
    struct mr_slice sent = mr_slice_of(slot->first, slot->first_len);
    slot->version = MR_MQTT_311;
    if (mr_frame_decode(sent, 0, UINT32_MAX, &frame, &error) == MR_DECODE_DONE &&
        sent.len - frame.header_len >= frame.body_len) {
        struct mr_slice body = mr_slice_of(sent.data + frame.header_len, frame.body_len);
        mr_connect_decode(body, &connect, &error);
        slot->version = connect.version != 0 ? connect.version : MR_MQTT_311;
    }
}

static void check_packet(struct slot *slot, const struct mr_frame *frame, struct mr_slice body) {
    union {
        struct mr_connack connack;
        struct mr_publish publish;
        struct mr_ack ack;
        struct mr_suback suback;
        struct mr_disconnect disconnect;
    } packet;
    struct mr_decode_error error;
    enum mr_packet_type type = (enum mr_packet_type)frame->type;
    enum mr_decode_status status = MR_DECODE_BAD;
    MR_ASSERT(!slot->disconnect_seen);
    MR_ASSERT(slot->connack_seen == (type != MR_CONNACK));
    switch (type) {
        case MR_CONNACK:
            status = mr_connack_decode(slot->version, body, &packet.connack, &error);
            slot->connack_seen = true;
            slot->disconnect_seen = packet.connack.code != 0;  // Nothing follows a refusal.
            break;
        case MR_PUBLISH:
            status = mr_publish_decode(slot->version, frame->flags, body, &packet.publish, &error);
            break;
        case MR_PUBACK:
        case MR_PUBREC:
        case MR_PUBREL:
        case MR_PUBCOMP:
            status = mr_ack_decode(slot->version, type, body, &packet.ack, &error);
            break;
        case MR_SUBACK:
        case MR_UNSUBACK:
            status = mr_suback_decode(slot->version, type, body, &packet.suback, &error);
            break;
        case MR_PINGRESP:
            status = mr_ping_decode(body, &error);
            break;
        case MR_DISCONNECT:
            MR_ASSERT(slot->version == MR_MQTT_50);
            status = mr_disconnect_decode(slot->version, body, false, &packet.disconnect, &error);
            slot->disconnect_seen = true;
            break;
        default:
            break;
    }
    MR_ASSERT(status == MR_DECODE_DONE);
}

static void take_packets(struct slot *slot) {
    size_t taken = 0;
    while (taken < slot->in_len) {
        struct mr_frame frame;
        struct mr_decode_error error;
        struct mr_slice rest = mr_slice_of(slot->in + taken, slot->in_len - taken);
        enum mr_decode_status status =
            mr_frame_decode(rest, MR_MQTT_50, UINT32_MAX, &frame, &error);
        MR_ASSERT(status != MR_DECODE_BAD);
        if (status == MR_DECODE_MORE || rest.len - frame.header_len < frame.body_len) {
            break;
        }
        if (!slot->connack_seen) {
            check_version(slot);
        }
        check_packet(slot, &frame, mr_slice_of(rest.data + frame.header_len, frame.body_len));
        taken += frame.header_len + frame.body_len;
    }
    memmove(slot->in, slot->in + taken, slot->in_len - taken);
    slot->in_len -= taken;
}

static void receive(struct slot *slot, size_t max) {
    if (slot->end == NULL) {
        return;
    }
    size_t left = IN_BYTES - slot->in_len;
    slot->in_len += mr_sim_recv(slot->end, slot->in + slot->in_len, max < left ? max : left);
    take_packets(slot);
}

// ------------------------------------------------------------------------------ operations

static void hang_up(struct slot *slot) {
    mr_sim_end_close(slot->end);
    memset(slot, 0, offsetof(struct slot, out));
}

static void dial(struct world *world, struct slot *slot) {
    hang_up(slot);
    enum mr_err err = mr_sim_connect(world->core->sim, &slot->end, world->core->port);
    MR_ASSERT(err == MR_OK || err == MR_ERR_NOMEM);
}

static void send_packet(struct input *input, struct slot *slot, uint8_t kind) {
    size_t max;
    uint8_t *out = room(slot, &max);
    enum mr_version version = MR_MQTT_311;
    if (slot->connack_seen) {
        version = slot->version;
    } else if ((kind & 128) != 0) {
        version = MR_MQTT_50;  // Sent before CONNACK came.
    }
    switch (kind & 7) {
        case 0:
            slot->out_len += put_connect(input, out, max);
            break;
        case 1:
        case 2:
            slot->out_len += put_publish(input, version, out, max);
            break;
        case 3:
            slot->out_len += put_subscribe(input, version, out, max);
            break;
        case 4:
            slot->out_len += put_unsubscribe(input, version, out, max);
            break;
        case 5:
        case 6:
            slot->out_len += put_ack(input, version, out, max);
            break;
        default:
            slot->out_len += put_end(input, version, out, max);
    }
}

static void operate(struct world *world, struct input *input) {
    uint8_t operation = next_byte(input);
    struct slot *slot = &world->slots[(operation >> 4) % SLOTS];
    switch (operation & 15) {
        case 0:
        case 1:
            dial(world, slot);
            break;
        case 2:
        case 3:
        case 4:
        case 5:
            send_packet(input, slot, next_byte(input));
            flush(slot);
            break;
        case 6:
            send_raw(input, slot);
            flush(slot);
            break;
        case 7:
            receive(slot, 1u + next_byte(input));
            break;
        case 8:
            if (slot->end != NULL) {
                mr_sim_reset(slot->end);
            }
            break;
        case 9:
            if (slot->end != NULL) {
                mr_sim_end_sending(slot->end);
            }
            break;
        case 10:
            hang_up(slot);
            break;
        case 11:
            mr_sim_advance(world->core->sim, next_byte(input) * UINT64_C(50));
            break;
        case 12:
            mr_core_run(world->core, 1);
            break;
        default:
            mr_core_run(world->core, 1 + next_byte(input) % 16u);
            for (uint32_t i = 0; i < SLOTS; i++) {
                flush(&world->slots[i]);
                receive(&world->slots[i], IN_BYTES);
            }
    }
}

static void check(struct world *world) {
    const char *wrong = mr_core_check(world->core);
    if (wrong != NULL) {
        fprintf(stderr, "%s\n", wrong);
    }
    MR_ASSERT(wrong == NULL);
}

static enum mr_err begin(struct world *world, struct input *input) {
    static const char *const configs[] = {
        "",
        "max_queued_messages 2\nmax_inflight_messages 1\noutbox_bytes 4096\n",
        ("max_queued_messages 2\nslow_consumer_policy drop-oldest\nqueue_qos0_messages true\n"
         "outbox_bytes 4096\n"),
        "max_queued_messages 2\nslow_consumer_policy disconnect\noutbox_bytes 4096\n",
        "max_queued_messages 2\nslow_consumer_policy backpressure\noutbox_bytes 4096\n",
        "max_packet_size 300\nmax_keepalive 5\nmax_subscriptions_per_client 2\n",
        "max_retained_messages 2\nupgrade_outgoing_qos true\ntopic_cache_bytes 4096\n",
        "retain_available false\nmax_topic_alias 2\n",
    };
    uint8_t setting = next_byte(input);
    uint8_t network = next_byte(input);
    struct mr_core_options options = {
        .sim = {.seed = next_byte(input),
                .style = (setting & 1) != 0 ? MR_SIM_COMPLETION : MR_SIM_READINESS,
                .pipe_bytes_max = (network & 1) != 0 ? 128 : 8192,
                .partial_permille = (network & 2) != 0 ? 400 : 0,
                .late_permille = (network & 4) != 0 ? 200 : 0,
                .delay_permille = (network & 8) != 0 ? 200 : 0,
                .delay_ms_max = 20},
        .worker_count = 1 + (uint32_t)(setting >> 1) % 3,
        .config_text = configs[(setting >> 4) % 8],
        .hash_seed = 1,
    };
    return mr_core_new(&world->core, &options);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct input input = {data, size};
    struct world *world = &the_world;
    if (begin(world, &input) != MR_OK) {
        return 0;
    }
    for (uint32_t i = 0; i < OPERATIONS_MAX && input.left > 0; i++) {
        operate(world, &input);
        if (i % 8 == 0) {
            check(world);
        }
    }
    mr_core_run(world->core, 200);
    check(world);
    for (uint32_t i = 0; i < SLOTS; i++) {
        receive(&world->slots[i], IN_BYTES);
        hang_up(&world->slots[i]);
    }
    mr_core_free(world->core);
    return 0;
}
