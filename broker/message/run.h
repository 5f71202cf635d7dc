// A run: PUBLISH packets that came one behind the other from one client and differ in
// nothing but their payloads. Same topic name, same properties, QoS 0, RETAIN 0. What
// was found out about the first (rights, receivers, whether its bytes may go out as they
// came) holds for all, so that a burst costs little more than one message. A single
// packet is a run of one.
//
// Threads: a value; reading by any holder of its buffer.
#ifndef MILLRACE_BROKER_MESSAGE_RUN_H
#define MILLRACE_BROKER_MESSAGE_RUN_H

#include "base/base.h"
#include "codec/codec.h"
#include "io/buf/buf.h"

#ifdef __cplusplus
extern "C" {
#endif

struct mr_run {
    struct mr_buf *buf;       // What the packets lie in; borrowed.
    struct mr_slice packets;  // All of them.
    struct mr_publish first;  // Taken apart, its topic complete.
    uint64_t payload_bytes;   // Of all.
    uint32_t count;           // At least 1.
    uint32_t packet_max;      // Bytes of the largest one.
    uint32_t same_len;        // Bytes between fixed header and payload: alike in all.
    uint32_t first_header_len;
    uint32_t publisher;  // Subscriber handle of the session it came from; 0: none.
    uint8_t version;     // enum mr_version of the bytes.
};

// May `publish`, which came at `version`, start a run? Its bytes may then be passed on unaltered
// to QoS 0 receivers of that level.
static inline bool mr_run_may_start(const struct mr_publish *publish) {
    const uint64_t hop_properties = MR_PROPERTY_BIT(MR_PROPERTY_TOPIC_ALIAS) |
                                    MR_PROPERTY_BIT(MR_PROPERTY_MESSAGE_EXPIRY_INTERVAL) |
                                    MR_PROPERTY_BIT(MR_PROPERTY_SUBSCRIPTION_IDENTIFIER);
    return publish->qos == 0 && !publish->retain &&
           (publish->properties_present & hop_properties) == 0;
}

// A run of the one packet at `packet`, which lies in `buf` and was decoded into run->first.
void mr_run_start(struct mr_run *run, struct mr_buf *buf, struct mr_slice packet,
                  enum mr_version version, uint32_t publisher);

struct mr_run_limits {
    uint32_t count_max;
    uint32_t packet_max;   // Bytes of a packet.
    uint32_t payload_max;  // Bytes of a payload.
};

// Takes in the packets at the front of `rest`, which follows the run in its buffer, as far as
// they belong to it: complete and within `limits`.
void mr_run_extend(struct mr_run *run, struct mr_slice rest, const struct mr_run_limits *limits);

// Walks the packets: start with *offset = 0; false at the end. `publish_out` borrows from the run.
bool mr_run_next(const struct mr_run *run, size_t *offset, struct mr_publish *publish_out,
                 struct mr_slice *packet_out);

// The PUBLISH packet that `rest` begins with: its topic name and its length. False if there is
// none, not whole, or without a name. Nothing else about it has been checked.
bool mr_run_peek(struct mr_slice rest, struct mr_slice *topic_out, size_t *len_out);

// A copy of `run` and its bytes in one buffer, `buf`, which it lives in: for other workers.
// Returns owned (one reference to `buf`), or NULL if out of memory.
struct mr_run *mr_run_copy(struct mr_buf_pool *pool, const struct mr_run *run);

#ifdef __cplusplus
}  // extern "C"
#endif

#endif  // MILLRACE_BROKER_MESSAGE_RUN_H
