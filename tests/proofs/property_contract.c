// What is known of mr_reader_property(): it refuses, or takes at least two bytes and hands out
// slices of what it took. property_proof.c proves that it does no more than this.
#include "tests/proofs/contract.h"

bool mr_reader_property(struct reader *reader, unsigned packet_type, uint64_t *present,
                        struct mr_property *out) {
    prove_reader(reader);
    PROVE(packet_type < 16);
    struct mr_property any;
    uint8_t id = nondet_u8();
    size_t len = nondet_size();
    if (nondet_bool()) {
        // The caller gives up, and must not look at these.
        *present = nondet_u64();
        *out = any;
        return refuse_property(reader);
    }
    ASSUME(len >= 2 && len <= reader_left(reader));
    ASSUME(id >= MR_PROPERTY_PAYLOAD_FORMAT_INDICATOR &&
           id <= MR_PROPERTY_SHARED_SUBSCRIPTION_AVAILABLE);
    any.id = (enum mr_property_id)id;
    any.raw = mr_slice_of(reader->next, len);
    any.name = any_part(any.raw);
    any.value = any_part(any.raw);
    any.number = nondet_u32();
    ASSUME(id != MR_PROPERTY_TOPIC_ALIAS || (any.number >= 1 && any.number <= UINT16_MAX));
    ASSUME(id != MR_PROPERTY_PAYLOAD_FORMAT_INDICATOR || any.number <= 1);
    *out = any;
    *present |= MR_PROPERTY_BIT(id);
    reader->next += len;
    if (contracts.property_count < MR_ARRAY_COUNT(contracts.property)) {
        contracts.property[contracts.property_count] = any;
    }
    contracts.property_count++;
    return true;
}
