// What the files of this component share.
#ifndef MILLRACE_BROKER_SESSION_INTERNAL_H
#define MILLRACE_BROKER_SESSION_INTERNAL_H

#include "broker/session/session.h"

// The packet identifiers that a deque in flight may span: identifiers run from 1 to 65535, and
// one slow acknowledgement must not make the deque grow without end.
#define MR_INFLIGHT_SPAN_FACTOR 8u
#define MR_INFLIGHT_SPAN_MIN 256u
#define MR_PACKET_IDS 65535u

// What became of a PUBLISH that was to be written.
enum mr_transmit {
    MR_TRANSMIT_DONE,
    MR_TRANSMIT_TOO_LARGE,  // For the client: never to be sent [MQTT-3.1.2-25].
    MR_TRANSMIT_NO_MEMORY,
};

// ------------------------------------------------------------------------- items

// Fills `item` for a delivery by `grant`, without its message. False if out of memory.
bool mr_session_item_of(struct mr_session *session, const struct mr_grant *grant,
                        struct mr_item *item);
// The grant by which `item` is sent. It borrows from `item` and from `id_room`.
struct mr_grant mr_session_grant_of(const struct mr_session *session, const struct mr_item *item,
                                    uint32_t *id_room);

// Gauges of what is kept, waiting or in flight.
void mr_session_count_held(struct mr_session *session, const struct mr_message *message);
void mr_session_count_freed(struct mr_session *session, const struct mr_message *message);

// The first failure is the one that counts.
static inline void mr_link_fail(struct mr_link *link, enum mr_link_failure why) {
    if (link->failed == MR_LINK_OK) {
        link->failed = (uint8_t)why;
    }
}

// ------------------------------------------------------------------------ waiting

// Lets a delivery wait, or drops and counts it.
void mr_queue_add(struct mr_session *session, struct mr_outgoing *outgoing,
                  const struct mr_grant *grant);
// Removes the first one, which exists: with what it refers to, or only from the queue.
void mr_queue_drop_front(struct mr_session *session);
void mr_queue_move_front(struct mr_session *session);
// Keeps limits in step with an item that comes (`in`) or goes.
void mr_queue_account(struct mr_session *session, const struct mr_item *item, bool in);
// Drops waiting QoS 0 deliveries.
void mr_queue_drop_qos0(struct mr_session *session);
// Has the queue drained far enough for publishers to go on?
bool mr_queue_is_eased(const struct mr_session *session);

// ---------------------------------------------------------------------- in flight

// May another message of `message_bytes` be in flight on the session's connection?
bool mr_inflight_is_open(const struct mr_session *session, uint64_t message_bytes);
bool mr_outbox_is_open(const struct mr_session *session);

// Puts `item` (with its message, which it takes) in flight, unsent. Nothing else in flight is
// unsent. False if out of memory.
bool mr_inflight_add(struct mr_session *session, const struct mr_item *item);
// Sends the first item in flight that wasn't sent on this connection; its message is
// `outgoing`. On NO_MEMORY the link has failed and the item waits for the next connection; one
// that is TOO_LARGE is finished.
enum mr_transmit mr_inflight_send(struct mr_session *session, struct mr_outgoing *outgoing,
                                  const struct mr_grant *grant);
// Sends again what was in flight when the last connection ended, as far as possible now.
void mr_inflight_resend(struct mr_session *session);
// Takes the item at `index` in flight out, in or out of order.
void mr_inflight_finish(struct mr_session *session, uint32_t index);

// ----------------------------------------------------------------------- writing

// Writes a PUBLISH of `outgoing` to the connection and counts it.
enum mr_transmit mr_session_transmit(struct mr_session *session, struct mr_outgoing *outgoing,
                                     const struct mr_grant *grant, uint16_t packet_id, bool dup);

// Writes a run as it came and counts it. False: this connection can't get it so.
bool mr_session_transmit_run(struct mr_session *session, const struct mr_run *run,
                             const struct mr_grant *grant);

#endif  // MILLRACE_BROKER_SESSION_INTERNAL_H
