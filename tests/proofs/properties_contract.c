// What is known of mr_reader_properties() and of the function that begins it: they refuse, or take
// a length of one to four bytes and as many bytes behind it; the slices of properties lie there.
// properties_proof.c proves that they do no more than this.
#include "tests/proofs/contract.h"

bool mr_reader_properties_begin(struct reader *reader, struct reader *properties) {
    prove_reader(reader);
    size_t length_bytes = nondet_size();
    size_t len = nondet_size();
    if (nondet_bool()) {
        return refuse_property(reader);
    }
    ASSUME(length_bytes >= 1 && length_bytes <= 4 && length_bytes <= reader_left(reader));
    ASSUME(len <= reader_left(reader) - length_bytes);
    reader->next += length_bytes;
    *properties = *reader;
    reader->next += len;
    properties->end = reader->next;
    return true;
}

bool mr_reader_properties(struct reader *reader, unsigned packet_type, struct mr_properties *out) {
    PROVE(packet_type < 16);
    PROVE(__CPROVER_w_ok(out, sizeof(*out)));
    struct reader properties;
    struct mr_properties any;
    if (!mr_reader_properties_begin(reader, &properties)) {
        *out = any;
        return false;
    }
    if (nondet_bool()) {
        *out = any;
        return refuse_property(reader);
    }
    any.raw = mr_slice_of(properties.next, reader_left(&properties));
    any.content_type = any_part(any.raw);
    any.response_topic = any_part(any.raw);
    any.correlation_data = any_part(any.raw);
    any.assigned_client_id = any_part(any.raw);
    any.authentication_method = any_part(any.raw);
    any.authentication_data = any_part(any.raw);
    any.response_information = any_part(any.raw);
    any.server_reference = any_part(any.raw);
    any.reason_string = any_part(any.raw);
    *out = any;
    PROVE(contracts.properties_count < MR_ARRAY_COUNT(contracts.properties_end));
    contracts.properties_end[contracts.properties_count++] = reader->next;
    return true;
}
