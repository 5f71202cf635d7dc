// QoS 2 towards the broker: packet identifiers of PUBLISHes whose PUBREL is still to come.
#include <string.h>

#include "broker/session/internal.h"

#define RECEIVED_FIRST 16u
// Compared at once. A new identifier is looked for in vain, so the common case looks at all.
#define RECEIVED_BLOCK 32u

static uint16_t *received_ids(const struct mr_session *session) {
    return (uint16_t *)(void *)session->received->data;
}

// Position of `packet_id`, or received_count. The oldest comes first: that is where a PUBREL
// nearly always finds it.
static uint32_t find(const struct mr_session *session, uint16_t packet_id) {
    uint32_t count = session->received_count;
    if (count == 0) {
        return 0;
    }
    const uint16_t *ids = received_ids(session);
    uint32_t at = 0;
    for (; at + RECEIVED_BLOCK <= count; at += RECEIVED_BLOCK) {
        unsigned found = 0;
        for (uint32_t i = 0; i < RECEIVED_BLOCK; i++) {
            found |= ids[at + i] == packet_id;
        }
        if (found) {
            break;
        }
    }
    while (at < count && ids[at] != packet_id) {
        at++;
    }
    return at;
}

bool mr_session_has_received(const struct mr_session *session, uint16_t packet_id) {
    return find(session, packet_id) < session->received_count;
}

static bool grow(struct mr_session *session) {
    uint32_t wanted =
        session->received_count < RECEIVED_FIRST ? RECEIVED_FIRST : session->received_count * 2u;
    struct mr_buf *buf = mr_buf_new(session->env->pool, wanted * sizeof(uint16_t));
    if (buf == NULL) {
        return false;
    }
    if (session->received != NULL) {
        memcpy(buf->data, session->received->data, session->received_count * sizeof(uint16_t));
        mr_buf_unref(session->received);
    }
    session->received = buf;
    return true;
}

enum mr_receive mr_session_receive(struct mr_session *session, uint16_t packet_id,
                                   uint16_t count_max) {
    if (mr_session_has_received(session, packet_id)) {
        return MR_RECEIVE_DUPLICATE;
    }
    if (session->received_count >= count_max) {
        return MR_RECEIVE_FULL;
    }
    uint32_t capacity =
        session->received == NULL ? 0 : session->received->capacity / (uint32_t)sizeof(uint16_t);
    if (session->received_count >= capacity && !grow(session)) {
        return MR_RECEIVE_NO_MEMORY;
    }
    received_ids(session)[session->received_count++] = packet_id;
    return MR_RECEIVE_NEW;
}

bool mr_session_release(struct mr_session *session, uint16_t packet_id) {
    uint32_t i = find(session, packet_id);
    if (i == session->received_count) {
        return false;
    }
    session->received_count--;
    memmove(&received_ids(session)[i], &received_ids(session)[i + 1],
            (session->received_count - i) * sizeof(uint16_t));
    return true;
}
