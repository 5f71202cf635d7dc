// Values of packets, drawn from the bytes of a fuzzer: whatever the bytes, a valid value.
//
// What is drawn borrows from memory of this unit and holds until the next draw_begin().
#ifndef MILLRACE_FUZZ_DRAW_H
#define MILLRACE_FUZZ_DRAW_H

#include "codec/codec.h"

struct draw {
    const uint8_t *data;
    size_t left;
};

// Stands for a will among packet types, and for what only a client's DISCONNECT may carry.
#define DRAW_WILL 0u

// Starts with these bytes, and forgets what was drawn before.
struct draw draw_begin(const uint8_t *data, size_t size);

// 0 when the input is used up.
uint8_t draw_u8(struct draw *draw);
uint16_t draw_u16(struct draw *draw);
uint32_t draw_u32(struct draw *draw);

// Any bytes; mostly few, up to 65535.
struct mr_slice draw_binary(struct draw *draw);
// A UTF-8 Encoded String.
struct mr_slice draw_string(struct draw *draw);
// A topic name.
struct mr_slice draw_topic(struct draw *draw);

// Room of `len` bytes, or NULL if this input had too much already.
uint8_t *draw_room(size_t len);

// A reason code that a packet of this type may have in 5.0.
uint8_t draw_reason(struct draw *draw, unsigned packet_type, bool from_client);

// Properties that a packet of this type may have; user properties in `raw`.
struct mr_properties draw_properties(struct draw *draw, unsigned packet_type, bool from_client);

// The encoded properties of a PUBLISH that a broker passes on.
struct mr_slice draw_forwardable(struct draw *draw, struct mr_properties *properties);

// Fails unless `got` is what `drawn` had.
void draw_check_properties(const struct mr_properties *drawn, const struct mr_properties *got);

#endif  // MILLRACE_FUZZ_DRAW_H
