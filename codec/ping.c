#include "codec/internal.h"

enum mr_decode_status mr_ping_decode(struct mr_slice body, struct mr_decode_error *error) {
    if (body.len != 0) {
        return mr_refuse(error, MR_REASON_MALFORMED_PACKET, 0, "ping with a body");
    }
    return MR_DECODE_DONE;
}

size_t mr_ping_encode(enum mr_packet_type type, uint8_t *out, size_t out_bytes_max) {
    MR_DEBUG_ASSERT(type == MR_PINGREQ || type == MR_PINGRESP);
    struct writer writer;
    if (!mr_writer_begin(&writer, first_byte(type, 0), 0, out, out_bytes_max)) {
        return 0;
    }
    return writer_end(&writer, out);
}
