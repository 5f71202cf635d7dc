#include "codec/internal.h"

bool mr_writer_begin(struct writer *writer, unsigned first, size_t body_len, uint8_t *out,
                     size_t out_bytes_max) {
    if (body_len > MR_REMAINING_LENGTH_MAX) {
        return false;
    }
    size_t packet_len = 1 + varint_len(body_len) + body_len;
    if (packet_len > out_bytes_max) {
        return false;
    }
    writer->next = out;
    writer->end = out + packet_len;
    writer_u8(writer, first);
    writer_varint(writer, body_len);
    return true;
}
