// What the packets share: a reader that checks before it moves, a writer that never
// runs over, properties and reason codes by packet type. Private to the package.
#ifndef MILLRACE_CODEC_INTERNAL_H
#define MILLRACE_CODEC_INTERNAL_H

#include "codec/codec.h"
#include "codec/utf8.h"

#define MR_STRING_BYTES_MAX 65535u

// One bit for each packet type, in tables of what is allowed where. Type 0 doesn't
// exist on the wire; its bit stands for what has rules of its own: among properties
// the will, among reason codes the DISCONNECT of a client.
#define MR_PACKET_BIT(type) (1u << (type))
#define MR_TYPE_WILL 0
#define MR_TYPE_CLIENT_DISCONNECT 0

// Bit n: a PUBLISH may have flags n. Not those with QoS 3 [MQTT-3.3.1-4], nor those
// with DUP and QoS 0 [MQTT-3.3.1-2].
#define MR_PUBLISH_FLAGS 0x3c3fu

// Stores why and where a packet is refused, and answers BAD. Out of line and cold, so
// that checks cost a compare and a jump.
__attribute__((cold)) enum mr_decode_status mr_refuse(struct mr_decode_error *error,
                                                      enum mr_reason reason, size_t offset,
                                                      const char *what);

// ---------------------------------------------------------------------- reading

// A cursor over the bytes of one packet. Each read checks, reads and advances; if it
// can't, it stores why in `error` and answers false, and the decoder gives up.
struct reader {
    const uint8_t *next;
    const uint8_t *end;
    const uint8_t *start;  // Where offsets count from.
    struct mr_decode_error *error;
};

static inline struct reader reader_of(struct mr_slice bytes, struct mr_decode_error *error) {
    static const uint8_t nothing[1];
    const uint8_t *start = bytes.len ? bytes.data : nothing;  // NULL takes no arithmetic.
    struct reader reader = {start, start + bytes.len, start, error};
    return reader;
}

static inline size_t reader_left(const struct reader *reader) {
    return (size_t)(reader->end - reader->next);
}

// Always false.
static inline bool reader_refuse(struct reader *reader, enum mr_reason reason, const uint8_t *at,
                                 const char *what) {
    mr_refuse(reader->error, reason, (size_t)(at - reader->start), what);
    return false;
}

// Are `len` more bytes there?
static inline bool reader_has(struct reader *reader, size_t len) {
    return MR_LIKELY(reader_left(reader) >= len) ||
           reader_refuse(reader, MR_REASON_MALFORMED_PACKET, reader->next,
                         "field runs past the end");
}

static inline uint16_t load_u16(const uint8_t *bytes) {
    return (uint16_t)(bytes[0] << 8 | bytes[1]);
}

static inline uint32_t load_u32(const uint8_t *bytes) {
    return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

static inline bool reader_u8(struct reader *reader, uint8_t *out) {
    if (!reader_has(reader, 1)) {
        return false;
    }
    *out = *reader->next;
    reader->next += 1;
    return true;
}

static inline bool reader_u16(struct reader *reader, uint16_t *out) {
    if (!reader_has(reader, 2)) {
        return false;
    }
    *out = load_u16(reader->next);
    reader->next += 2;
    return true;
}

static inline bool reader_u32(struct reader *reader, uint32_t *out) {
    if (!reader_has(reader, 4)) {
        return false;
    }
    *out = load_u32(reader->next);
    reader->next += 4;
    return true;
}

static inline bool reader_bytes(struct reader *reader, size_t len, struct mr_slice *out) {
    if (!reader_has(reader, len)) {
        return false;
    }
    *out = mr_slice_of(reader->next, len);
    reader->next += len;
    return true;
}

// A Variable Byte Integer in its shortest form [MQTT-1.5.5-1].
bool mr_reader_varint(struct reader *reader, uint32_t *out);

// Two bytes of length and that many bytes.
static inline bool reader_binary(struct reader *reader, struct mr_slice *out) {
    uint16_t len;
    return reader_u16(reader, &len) && reader_bytes(reader, len, out);
}

// The same with the rules of a UTF-8 Encoded String.
bool mr_reader_string(struct reader *reader, struct mr_slice *out);

// A packet identifier, which is never 0 [MQTT-2.2.1-3].
bool mr_reader_packet_id(struct reader *reader, uint16_t *out);

// A single reason code that packets of `packet_type` may carry. A value that no packet can
// have is malformed, one that belongs to other packets a protocol error.
bool mr_reader_reason(struct reader *reader, unsigned packet_type, enum mr_reason *out);

// Each byte of `codes` as mr_reader_reason() checks one.
bool mr_reader_reasons(struct reader *reader, unsigned packet_type, struct mr_slice *out);

// Nothing may follow.
static inline bool reader_end(struct reader *reader) {
    return reader->next == reader->end ||
           reader_refuse(reader, MR_REASON_MALFORMED_PACKET, reader->next,
                         "bytes behind the end of the packet");
}

// ------------------------------------------------------------------- properties

// Reads the property length and narrows `*properties` to the properties behind it.
bool mr_reader_properties_begin(struct reader *reader, struct reader *properties);

// Takes one property for a packet of `packet_type` and checks it: known, allowed there, not
// twice (`*present` is kept), well formed, in range.
bool mr_reader_property(struct reader *reader, unsigned packet_type, uint64_t *present,
                        struct mr_property *out);

// Reads property length and properties for a packet of `packet_type`.
bool mr_reader_properties(struct reader *reader, unsigned packet_type, struct mr_properties *out);

// Clears the numbers and the raw slice. Enough where no properties were decoded, since
// the other slices are only looked at if their bit in `present` is set.
static inline void properties_clear(struct mr_properties *properties) {
    memset(properties, 0, offsetof(struct mr_properties, content_type));
}

// Length of the encoded properties of a packet of `packet_type`, without the property length;
// SIZE_MAX if they can't be encoded.
size_t mr_properties_encoded_len(const struct mr_properties *properties, unsigned packet_type);

// ---------------------------------------------------------------------- writing

// A cursor over the room for one packet. Lengths are computed before anything is
// written, so it can't run over; if it would, it writes nothing and MR_NEVER counts.
struct writer {
    uint8_t *next;
    uint8_t *end;
};

static inline void writer_bytes(struct writer *writer, struct mr_slice bytes) {
    if (MR_NEVER((size_t)(writer->end - writer->next) < bytes.len) || bytes.len == 0) {
        return;
    }
    memcpy(writer->next, bytes.data, bytes.len);
    writer->next += bytes.len;
}

static inline void writer_u8(struct writer *writer, unsigned value) {
    uint8_t bytes[1] = {(uint8_t)value};
    writer_bytes(writer, mr_slice_of(bytes, sizeof(bytes)));
}

static inline void writer_u16(struct writer *writer, unsigned value) {
    uint8_t bytes[2] = {(uint8_t)(value >> 8), (uint8_t)value};
    writer_bytes(writer, mr_slice_of(bytes, sizeof(bytes)));
}

static inline void writer_u32(struct writer *writer, uint32_t value) {
    uint8_t bytes[4] = {(uint8_t)(value >> 24), (uint8_t)(value >> 16), (uint8_t)(value >> 8),
                        (uint8_t)value};
    writer_bytes(writer, mr_slice_of(bytes, sizeof(bytes)));
}

// Bytes of a Variable Byte Integer up to MR_REMAINING_LENGTH_MAX.
static inline size_t varint_len(size_t value) {
    return 1u + (value > 0x7f) + (value > 0x3fff) + (value > 0x1fffff);
}

// Writes one to `out`, which has room, and returns the end.
static inline uint8_t *store_varint(uint8_t *out, size_t value) {
    while (value > 0x7f) {
        *out++ = (uint8_t)(value | 0x80);
        value >>= 7;
    }
    *out++ = (uint8_t)value;
    return out;
}

static inline void writer_varint(struct writer *writer, size_t value) {
    uint8_t bytes[MR_FIXED_HEADER_BYTES_MAX];
    MR_DEBUG_ASSERT(value <= MR_REMAINING_LENGTH_MAX);
    size_t len = (size_t)(store_varint(bytes, value & MR_REMAINING_LENGTH_MAX) - bytes);
    writer_bytes(writer, mr_slice_of(bytes, len));
}

// A string or binary data, with its length in front.
static inline void writer_binary(struct writer *writer, struct mr_slice bytes) {
    writer_u16(writer, (unsigned)bytes.len);
    writer_bytes(writer, bytes);
}

// Property length and properties, whose length `len` was computed for this packet.
void mr_writer_properties(struct writer *writer, const struct mr_properties *properties,
                          unsigned packet_type, size_t len);

// Starts a packet of exactly `body_len` bytes behind the fixed header. False if it is
// longer than the protocol allows or doesn't fit.
bool mr_writer_begin(struct writer *writer, unsigned first, size_t body_len, uint8_t *out,
                     size_t out_bytes_max);

// Ends it: its length.
static inline size_t writer_end(const struct writer *writer, const uint8_t *out) {
    return MR_NEVER(writer->next != writer->end) ? 0 : (size_t)(writer->next - out);
}

// Bytes of a string or binary data with its length, or SIZE_MAX if it is too long.
// Sums go through length_sum(), which keeps that.
static inline size_t binary_len(struct mr_slice bytes) {
    return bytes.len > MR_STRING_BYTES_MAX ? SIZE_MAX : 2 + bytes.len;
}

static inline size_t length_sum(size_t a, size_t b) {
    return a > SIZE_MAX - b ? SIZE_MAX : a + b;
}

// The first byte of a packet with these flags.
static inline unsigned first_byte(unsigned type, unsigned flags) {
    return type << 4 | flags;
}

// Property length and properties together.
static inline size_t properties_field_len(size_t encoded_len) {
    return encoded_len > MR_REMAINING_LENGTH_MAX ? SIZE_MAX : varint_len(encoded_len) + encoded_len;
}

#endif  // MILLRACE_CODEC_INTERNAL_H
