// Packets of all types, drawn field by field: see draw.h.
#ifndef MILLRACE_FUZZ_STRUCTURED_H
#define MILLRACE_FUZZ_STRUCTURED_H

#include "fuzz/codec_any.h"
#include "fuzz/draw.h"

#define STRUCTURED_SUBSCRIPTION_IDS_MAX 4u

struct structured {
    struct codec_any packet;
    // Of a PUBLISH: what its struct doesn't hold.
    struct mr_properties properties;
    uint32_t ids[STRUCTURED_SUBSCRIPTION_IDS_MAX];
    size_t id_count;
};

// Two bytes choose version, direction and type; the rest follows from those behind. The packet
// holds until the next draw_begin().
void structured_draw(struct draw *draw, struct structured *out);

// As the encoders: the length, or 0.
size_t structured_encode(const struct structured *structured, uint8_t *out, size_t out_bytes_max);

#endif  // MILLRACE_FUZZ_STRUCTURED_H
