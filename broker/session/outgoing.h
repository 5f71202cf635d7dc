// One application message during its delivery: what its receivers share.
//
// Encodes the PUBLISH at most once for each layout that receivers need, and re-uses the
// bytes that came in when they are already right. Lives on the stack of one routing call.
//
// Threads: the worker's.
#ifndef MILLRACE_BROKER_SESSION_OUTGOING_H
#define MILLRACE_BROKER_SESSION_OUTGOING_H

#include "base/base.h"
#include "broker/message/message.h"
#include "codec/codec.h"
#include "io/buf/buf.h"

#ifdef __cplusplus
extern "C" {
#endif

// Payloads up to this size are copied behind their head, so that a delivery is one
// contiguous piece; larger ones are referenced. bench/fanout_bench.cc.
#define MR_OUTGOING_COPY_BYTES 1024u

// Room in which heads are encoded that several receivers refer to. Zero but for `pool` at first.
struct mr_scratch {
    struct mr_buf_pool *pool;
    struct mr_buf *buf;  // Current buffer, one reference; NULL at first.
    uint32_t used;
};
void mr_scratch_fini(struct mr_scratch *scratch);

// One encoded layout. `head` is in `buf`; the payload follows in it, or is referenced apart.
struct mr_encoding {
    struct mr_buf *buf;  // One reference.
    struct mr_slice head;
    uint32_t packet_id_offset;  // In head, for QoS 1 and 2.
    bool payload_apart;         // See mr_outgoing_payload().
};

struct mr_outgoing {
    struct mr_scratch *scratch;
    const struct mr_publish *packet;  // Topic complete; borrowed.
    struct mr_buf *source;            // What the packet's slices lie in; borrowed.
    struct mr_message *message;       // One reference; NULL until somebody needs it.
    uint64_t expires_ms;
    uint32_t publisher;
    // The packet as it came, if QoS 0 receivers at the level `wire_version` may get exactly
    // these bytes with RETAIN as 0; else empty.
    struct mr_slice wire;
    uint8_t wire_version;
    bool has_one_receiver;  // Here: then there is nothing to be shared. False at first.
    bool droppable;         // Policy `backpressure`: nobody waits with it. False at first.
    uint8_t encoded;        // A bit for each of `encodings` that is there.
    struct mr_encoding encodings[8];  // By level (5.0 or not), RETAIN, packet identifier.
};

// Prepares `out` for `packet`, whose slices lie in `source`.
void mr_outgoing_init(struct mr_outgoing *out, struct mr_scratch *scratch,
                      const struct mr_publish *packet, struct mr_buf *source, uint32_t publisher,
                      uint64_t expires_ms);
// Prepares `out` for a message that exists; `packet` is filled and must outlive `out`.
void mr_outgoing_init_message(struct mr_outgoing *out, struct mr_scratch *scratch,
                              struct mr_message *message, uint64_t now_ms,
                              struct mr_publish *packet);
void mr_outgoing_fini(struct mr_outgoing *out);

// The message, made now if need be. Returns borrowed, or NULL if out of memory.
struct mr_message *mr_outgoing_message(struct mr_outgoing *out);

// What it counts for against limits in bytes.
static inline uint64_t mr_outgoing_bytes(const struct mr_outgoing *out) {
    return (uint64_t)out->packet->topic.len + out->packet->properties_raw.len +
           out->packet->payload.len;
}

// The properties that receivers get as they came, without those that concern one hop only or
// are written anew. Borrowed from `out`. Errors: MR_ERR_NOMEM.
MR_NODISCARD enum mr_err mr_outgoing_properties(struct mr_outgoing *out,
                                                struct mr_slice *properties_out);
// The payload and, as result, the buffer that it lies in; both borrowed.
struct mr_buf *mr_outgoing_payload(const struct mr_outgoing *out, struct mr_slice *payload_out);

// The encoding for a level, with RETAIN as `retain`, and with a packet identifier (to be
// patched in, along with QoS and DUP) or without. Borrowed from `out`. Errors: MR_ERR_NOMEM;
// MR_ERR_LIMIT: at this level the packet would be larger than the protocol allows.
MR_NODISCARD enum mr_err mr_outgoing_encode(struct mr_outgoing *out, enum mr_version version,
                                            bool retain, bool with_packet_id,
                                            const struct mr_encoding **encoding_out);

#ifdef __cplusplus
}  // extern "C"
#endif

#endif  // MILLRACE_BROKER_SESSION_OUTGOING_H
