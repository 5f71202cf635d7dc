// Writing one PUBLISH to one connection.
#include <string.h>

#include "broker/session/internal.h"

#define FLAGS_QOS 0x06
#define FLAGS_QOS_SHIFT 1
#define FLAGS_DUP 0x08

// How the PUBLISH of one delivery differs from that of others.
struct variant {
    const struct mr_grant *grant;
    uint16_t packet_id;
    bool dup;
};

// The packet's head is written: what follows has to be written, too.
static enum mr_transmit append_payload(struct mr_session *session,
                                       const struct mr_outgoing *outgoing) {
    struct mr_slice payload;
    struct mr_buf *buf = mr_outgoing_payload(outgoing, &payload);
    if (mr_chain_append_ref(session->link->out, session->env->pool, buf, payload) != MR_OK) {
        // Half a packet can't be taken back: the connection is lost.
        mr_link_fail(session->link, MR_LINK_NO_MEMORY);
        return MR_TRANSMIT_NO_MEMORY;
    }
    return MR_TRANSMIT_DONE;
}

static bool append_patched(struct mr_session *session, const struct mr_encoding *encoding,
                           const struct variant *variant) {
    struct mr_link *link = session->link;
    uint8_t *room = mr_chain_reserve(link->out, session->env->pool, encoding->head.len);
    if (room == NULL) {
        return false;
    }
    memcpy(room, encoding->head.data, encoding->head.len);
    room[0] = (uint8_t)((room[0] & ~FLAGS_QOS) | variant->grant->qos << FLAGS_QOS_SHIFT |
                        (variant->dup ? FLAGS_DUP : 0));
    room[encoding->packet_id_offset] = (uint8_t)(variant->packet_id >> 8);
    room[encoding->packet_id_offset + 1] = (uint8_t)variant->packet_id;
    mr_chain_commit(link->out, encoding->head.len);
    return true;
}

// With bytes that all receivers of this layout share.
static enum mr_transmit write_shared(struct mr_session *session, struct mr_outgoing *outgoing,
                                     const struct variant *variant) {
    struct mr_link *link = session->link;
    uint8_t qos = variant->grant->qos;
    const struct mr_encoding *encoding;
    enum mr_err err = mr_outgoing_encode(outgoing, (enum mr_version)link->version,
                                         variant->grant->retain, qos > 0, &encoding);
    if (MR_UNLIKELY(err != MR_OK)) {
        return err == MR_ERR_LIMIT ? MR_TRANSMIT_TOO_LARGE : MR_TRANSMIT_NO_MEMORY;
    }
    size_t payload_len = encoding->payload_apart ? outgoing->packet->payload.len : 0;
    if (MR_UNLIKELY(encoding->head.len + payload_len > link->packet_bytes_max)) {
        return MR_TRANSMIT_TOO_LARGE;
    }
    bool written = qos > 0 ? append_patched(session, encoding, variant)
                           : mr_chain_append_ref(link->out, session->env->pool, encoding->buf,
                                                 encoding->head) == MR_OK;
    if (MR_UNLIKELY(!written)) {
        return MR_TRANSMIT_NO_MEMORY;
    }
    return encoding->payload_apart ? append_payload(session, outgoing) : MR_TRANSMIT_DONE;
}

// Takes the listener's mount point off the topic name that the client shall see.
static struct mr_slice mounted_topic(const struct mr_link *link, struct mr_slice topic) {
    struct mr_slice prefix = mr_link_mount_point(link);
    if (topic.len > prefix.len && mr_slice_has_prefix(topic, prefix)) {
        return mr_slice_of(topic.data + prefix.len, topic.len - prefix.len);
    }
    return topic;
}

// Writes `packet` (all but its payload, if that is large) with subscription identifiers.
static enum mr_transmit write_packet(struct mr_session *session, struct mr_outgoing *outgoing,
                                     const struct mr_publish *packet,
                                     const struct mr_grant *grant) {
    struct mr_link *link = session->link;
    enum mr_version version = (enum mr_version)link->version;
    bool apart = packet->payload.len > MR_OUTGOING_COPY_BYTES;
    size_t bytes_max =
        MR_PUBLISH_HEAD_BYTES(packet->topic.len, packet->properties_raw.len, grant->id_count) +
        (apart ? 0 : packet->payload.len);
    uint8_t *room = mr_chain_reserve(link->out, session->env->pool, bytes_max);
    if (MR_UNLIKELY(room == NULL)) {
        return MR_TRANSMIT_NO_MEMORY;
    }
    size_t len =
        apart
            ? mr_publish_encode_head(version, packet, grant->ids, grant->id_count, room, bytes_max)
            : mr_publish_encode(version, packet, grant->ids, grant->id_count, room, bytes_max);
    bool too_large = len == 0 || len + (apart ? packet->payload.len : 0) > link->packet_bytes_max;
    mr_chain_commit(link->out, too_large ? 0 : len);
    if (MR_UNLIKELY(too_large)) {
        return MR_TRANSMIT_TOO_LARGE;
    }
    return apart ? append_payload(session, outgoing) : MR_TRANSMIT_DONE;
}

// With bytes of its own: subscription identifiers, a topic alias, a mount point, or nobody to
// share them with.
static enum mr_transmit write_own(struct mr_session *session, struct mr_outgoing *outgoing,
                                  const struct variant *variant) {
    struct mr_link *link = session->link;
    bool v5 = link->version == MR_MQTT_50;
    struct mr_publish packet = *outgoing->packet;
    if (v5 && mr_outgoing_properties(outgoing, &packet.properties_raw) != MR_OK) {
        return MR_TRANSMIT_NO_MEMORY;
    }
    packet.qos = variant->grant->qos;
    packet.packet_id = variant->packet_id;
    packet.dup = variant->dup;
    packet.retain = variant->grant->retain;
    packet.topic = mounted_topic(link, packet.topic);
    packet.topic_alias = 0;
    struct mr_slice topic = packet.topic;
    bool known = false;
    if (v5 && link->aliases != NULL) {
        packet.topic_alias = mr_topic_aliases_find(link->aliases, topic, &known);
        packet.topic.len = known ? 0 : topic.len;
    }
    enum mr_transmit result = write_packet(session, outgoing, &packet, variant->grant);
    if (result == MR_TRANSMIT_DONE && packet.topic_alias != 0 && !known) {
        // If it can't be remembered, the same alias is defined again by the next topic.
        enum mr_err err = mr_topic_aliases_commit(link->aliases, session->env->pool, topic);
        (void)err;
    }
    return result;
}

// May a packet that came at level `wire_version` go out as it came, at QoS 0?
static inline bool takes_wire(const struct mr_link *link, uint8_t wire_version, size_t packet_bytes,
                              const struct mr_grant *grant) {
    if (link->mount_point != NULL || packet_bytes > link->packet_bytes_max) {
        return false;
    }
    if (link->version == MR_MQTT_50) {
        return wire_version == MR_MQTT_50 && link->aliases == NULL && grant->id_count == 0;
    }
    return wire_version < MR_MQTT_50;  // 3.1 and 3.1.1 have the same PUBLISH.
}

static enum mr_transmit write_publish(struct mr_session *session, struct mr_outgoing *outgoing,
                                      const struct variant *variant) {
    const struct mr_link *link = session->link;
    const struct mr_grant *grant = variant->grant;
    if (grant->qos == 0 && !grant->retain && outgoing->wire.len > 0 &&
        takes_wire(link, outgoing->wire_version, outgoing->wire.len, grant)) {
        mr_count(&session->env->counters->forwarded_unaltered);
        return mr_chain_append_ref(link->out, session->env->pool, outgoing->source,
                                   outgoing->wire) == MR_OK
                   ? MR_TRANSMIT_DONE
                   : MR_TRANSMIT_NO_MEMORY;
    }
    if (link->mount_point != NULL || outgoing->has_one_receiver ||
        (link->version == MR_MQTT_50 && (grant->id_count > 0 || link->aliases != NULL))) {
        return write_own(session, outgoing, variant);
    }
    return write_shared(session, outgoing, variant);
}

bool mr_session_transmit_run(struct mr_session *session, const struct mr_run *run,
                             const struct mr_grant *grant) {
    struct mr_link *link = session->link;
    if (!takes_wire(link, run->version, run->packet_max, grant)) {
        return false;
    }
    struct mr_counters *counters = session->env->counters;
    if (MR_UNLIKELY(mr_chain_append_ref(link->out, session->env->pool, run->buf, run->packets) !=
                    MR_OK)) {
        mr_count_add(&counters->dropped_no_memory, run->count);
        return true;
    }
    mr_count_add(&counters->packets_sent, run->count);
    mr_count_add(&counters->publish_sent, run->count);
    mr_count_add(&counters->publish_bytes_sent, run->payload_bytes);
    mr_count_add(&counters->forwarded_unaltered, run->count);
    return true;
}

enum mr_transmit mr_session_transmit(struct mr_session *session, struct mr_outgoing *outgoing,
                                     const struct mr_grant *grant, uint16_t packet_id, bool dup) {
    struct variant variant = {grant, packet_id, dup};
    enum mr_transmit result = write_publish(session, outgoing, &variant);
    struct mr_counters *counters = session->env->counters;
    if (MR_LIKELY(result == MR_TRANSMIT_DONE)) {
        mr_count(&counters->packets_sent);
        mr_count(&counters->publish_sent);
        mr_count_add(&counters->publish_bytes_sent, outgoing->packet->payload.len);
    } else if (result == MR_TRANSMIT_TOO_LARGE) {
        mr_count(&counters->dropped_too_large);
    }
    return result;
}
