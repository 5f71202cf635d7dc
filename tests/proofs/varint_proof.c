// Variable Byte Integers, section 1.5.5: what is written is read back, all that is read was in
// its shortest form, and all four-byte inputs are judged as the standard says.
#include "codec/internal.h"
#include "tests/proofs/proof.h"

// The standard's own algorithm, with the shortest form asked for by the value.
static bool decode_naive(const uint8_t *bytes, size_t len, uint32_t *value_out, size_t *used_out) {
    uint32_t multiplier = 1;
    uint32_t value = 0;
    for (size_t i = 0; i < 4 && i < len; i++) {
        value += (bytes[i] & 127u) * multiplier;
        multiplier *= 128;
        if ((bytes[i] & 128u) == 0) {
            *value_out = value;
            *used_out = i + 1;
            return i == 0 || value >= multiplier / 128;
        }
    }
    return false;
}

static void reads_what_was_written(void) {
    uint32_t value = nondet_u32();
    ASSUME(value <= MR_REMAINING_LENGTH_MAX);
    uint8_t bytes[4];
    size_t len = (size_t)(store_varint(bytes, value) - bytes);
    PROVE(len == varint_len(value));
    PROVE(len >= 1 && len <= 4);
    struct mr_decode_error error;
    struct reader reader = reader_of(mr_slice_of(bytes, len), &error);
    uint32_t read = nondet_u32();
    PROVE(mr_reader_varint(&reader, &read));
    PROVE(read == value);
    PROVE(reader.next == bytes + len);
    REACHES(len == 1);
    REACHES(len == 4 && value == MR_REMAINING_LENGTH_MAX);
}

static void judges_as_the_standard(void) {
    uint8_t bytes[5] = {nondet_u8(), nondet_u8(), nondet_u8(), nondet_u8(), nondet_u8()};
    size_t len = nondet_size();
    ASSUME(len <= sizeof(bytes));
    uint32_t value;
    size_t used;
    bool good = decode_naive(bytes, len, &value, &used);
    struct mr_decode_error error;
    struct reader reader = reader_of(mr_slice_of(bytes, len), &error);
    uint32_t read;
    bool accepted = mr_reader_varint(&reader, &read);
    PROVE(accepted == good);
    if (accepted) {
        PROVE(read == value);
        PROVE((size_t)(reader.next - reader.start) == used);
        // And so what was read would be written as the same bytes.
        uint8_t again[4];
        PROVE((size_t)(store_varint(again, read) - again) == used);
        for (size_t i = 0; i < used; i++) {
            PROVE(again[i] == bytes[i]);
        }
    }
    REACHES(accepted && used == 4);
    REACHES(!accepted && len == 5);
    REACHES(!accepted && len == 0);
}

int main(void) {
    if (nondet_bool()) {
        reads_what_was_written();
    } else {
        judges_as_the_standard();
    }
    return 0;
}
