// Writing one PUBLISH to one connection.
#include <string.h>

#include "broker/session/internal.h"

#define ENCODED_QOS_SHIFT 1
#define ENCODED_DUP 0x08

static enum mr_transmit done_if(enum mr_err err) {
    return err == MR_OK ? MR_TRANSMIT_DONE : MR_TRANSMIT_NO_MEMORY;
}

static bool append_payload_apart(struct mr_session *session, struct mr_outgoing *outgoing) {
    enum mr_err err = mr_chain_append_ref(session->link->out, session->env->pool,
                                          outgoing->source, outgoing->packet->payload);
    return err == MR_OK;
}

// With bytes that all receivers of this layout share.
static enum mr_transmit transmit_shared(struct mr_session *session, struct mr_outgoing *outgoing,
                                        const struct mr_encoding *encoding, uint8_t qos,
                                        uint16_t packet_id, bool dup) {
    struct mr_link *link = session->link;
    struct mr_buf_pool *pool = session->env->pool;
    size_t payload_len = encoding->payload_apart ? outgoing->packet->payload.len : 0;
    if (encoding->head.len + payload_len > link->packet_bytes_max) {
        return MR_TRANSMIT_TOO_LARGE;
    }
    if (qos == 0) {
        if (mr_chain_append_ref(link->out, pool, encoding->buf, encoding->head) != MR_OK) {
            return MR_TRANSMIT_NO_MEMORY;
        }
    } else {
        uint8_t *room = mr_chain_reserve(link->out, pool, encoding->head.len);
        if (room == NULL) {
            return MR_TRANSMIT_NO_MEMORY;
        }
        memcpy(room, encoding->head.data, encoding->head.len);
        room[0] = (uint8_t)((room[0] & ~0x06) | qos << ENCODED_QOS_SHIFT | (dup ? ENCODED_DUP : 0));
        room[encoding->packet_id_offset] = (uint8_t)(packet_id >> 8);
        room[encoding->packet_id_offset + 1] = (uint8_t)packet_id;
        mr_chain_commit(link->out, encoding->head.len);
    }
    if (encoding->payload_apart && !append_payload_apart(session, outgoing)) {
        // Half a packet can't be taken back: the connection is lost.
        link->failed = MR_LINK_NO_MEMORY;
        return MR_TRANSMIT_NO_MEMORY;
    }
    return MR_TRANSMIT_DONE;
}

// Takes the listener's mount point off the topic name that the client shall see.
static struct mr_slice mounted_topic(const struct mr_link *link, struct mr_slice topic) {
    size_t len = link->mount_point.len;
    if (len > 0 && topic.len > len && memcmp(topic.data, link->mount_point.data, len) == 0) {
        return mr_slice_of(topic.data + len, topic.len - len);
    }
    return topic;
}

// With bytes of its own: subscription identifiers, a topic alias or a mount point.
static enum mr_transmit transmit_own(struct mr_session *session, struct mr_outgoing *outgoing,
                                     const struct mr_grant *grant, uint8_t qos,
                                     uint16_t packet_id, bool dup) {
    struct mr_link *link = session->link;
    struct mr_buf_pool *pool = session->env->pool;
    struct mr_publish packet = *outgoing->packet;
    struct mr_message *message = mr_outgoing_message(outgoing);
    if (message == NULL) {
        return MR_TRANSMIT_NO_MEMORY;
    }
    packet.properties_raw = mr_message_properties(message);
    packet.qos = qos;
    packet.packet_id = packet_id;
    packet.dup = dup;
    packet.retain = grant->retain;
    packet.topic_alias = 0;
    packet.topic = mounted_topic(link, packet.topic);
    struct mr_slice topic = packet.topic;
    bool alias_known = false;
    if (link->aliases != NULL) {
        packet.topic_alias = mr_topic_aliases_find(link->aliases, topic, &alias_known);
        if (alias_known) {
            packet.topic.len = 0;
        }
    }
    size_t head_max =
        MR_PUBLISH_HEAD_BYTES(packet.topic.len, packet.properties_raw.len, grant->id_count);
    bool apart = packet.payload.len > MR_OUTGOING_COPY_BYTES;
    size_t bytes_max = head_max + (apart ? 0 : packet.payload.len);
    uint8_t *room = mr_chain_reserve(link->out, pool, bytes_max);
    if (room == NULL) {
        return MR_TRANSMIT_NO_MEMORY;
    }
    enum mr_version version = (enum mr_version)link->version;
    size_t len = apart ? mr_publish_encode_head(version, &packet, grant->ids, grant->id_count,
                                                room, bytes_max)
                       : mr_publish_encode(version, &packet, grant->ids, grant->id_count, room,
                                           bytes_max);
    if (len == 0 || len + (apart ? packet.payload.len : 0) > link->packet_bytes_max) {
        mr_chain_commit(link->out, 0);
        return MR_TRANSMIT_TOO_LARGE;
    }
    mr_chain_commit(link->out, len);
    if (apart && !append_payload_apart(session, outgoing)) {
        link->failed = MR_LINK_NO_MEMORY;
        return MR_TRANSMIT_NO_MEMORY;
    }
    if (packet.topic_alias != 0 && !alias_known) {
        // If it can't be remembered, the same alias is defined again by the next topic.
        enum mr_err err = mr_topic_aliases_commit(link->aliases, pool, topic);
        (void)err;
    }
    return MR_TRANSMIT_DONE;
}

static enum mr_transmit write_packet(struct mr_session *session, struct mr_outgoing *outgoing,
                                     const struct mr_grant *grant, uint8_t qos,
                                     uint16_t packet_id, bool dup) {
    struct mr_link *link = session->link;
    bool v5 = link->version == MR_MQTT_50;
    bool own = link->mount_point.len > 0 || (v5 && (grant->id_count > 0 || link->aliases != NULL));
    if (own) {
        return transmit_own(session, outgoing, grant, qos, packet_id, dup);
    }
    bool same_level = outgoing->wire_version == link->version ||
                      (!v5 && outgoing->wire_version != 0 && outgoing->wire_version < MR_MQTT_50);
    if (qos == 0 && outgoing->wire.len > 0 && !grant->retain && same_level &&
        outgoing->wire.len <= link->packet_bytes_max) {
        mr_count(&session->env->counters->forwarded_unaltered);
        return done_if(mr_chain_append_ref(link->out, session->env->pool, outgoing->source,
                                           outgoing->wire));
    }
    const struct mr_encoding *encoding =
        mr_outgoing_encode(outgoing, (enum mr_version)link->version, grant->retain, qos > 0);
    if (encoding == NULL) {
        return MR_TRANSMIT_NO_MEMORY;
    }
    return transmit_shared(session, outgoing, encoding, qos, packet_id, dup);
}

enum mr_transmit mr_session_transmit(struct mr_session *session, struct mr_outgoing *outgoing,
                                     const struct mr_grant *grant, uint16_t packet_id, bool dup) {
    enum mr_transmit result =
        write_packet(session, outgoing, grant, grant->qos, packet_id, dup);
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
