// What the files of this component share.
#ifndef MILLRACE_BROKER_SESSION_INTERNAL_H
#define MILLRACE_BROKER_SESSION_INTERNAL_H

#include "broker/session/session.h"

// The packet identifiers that a deque in flight may span: identifiers run from 1 to 65535, and
// one slow acknowledgement must not make the deque grow without end.
#define MR_INFLIGHT_SPAN_FACTOR 8u
#define MR_INFLIGHT_SPAN_MIN 256u
#define MR_PACKET_IDS 65535u

// How many messages may be in flight on the session's connection.
uint32_t mr_session_window(const struct mr_session *session);

// The packet identifier of the item at `index` in flight.
static inline uint16_t mr_inflight_packet_id(const struct mr_session *session, uint32_t index) {
    return (uint16_t)((session->front_packet_id - 1u + index) % MR_PACKET_IDS + 1u);
}

enum mr_transmit {
    MR_TRANSMIT_DONE,
    MR_TRANSMIT_TOO_LARGE,  // For the client: never to be sent [MQTT-3.1.2-25].
    MR_TRANSMIT_NO_MEMORY,
};

// Writes the PUBLISH of `item`, whose message is `outgoing`, to the connection.
enum mr_transmit mr_session_transmit(struct mr_session *session, struct mr_outgoing *outgoing,
                                     const struct mr_grant *grant, uint16_t packet_id, bool dup);

// Takes the item at `index` in flight out, in or out of order.
void mr_inflight_finish(struct mr_session *session, uint32_t index);

#endif  // MILLRACE_BROKER_SESSION_INTERNAL_H
