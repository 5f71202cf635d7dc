// UNSUBSCRIBE: section 3.10.
#include "tests/proofs/packet.h"

// Packet identifier and two of the smallest entries.
#define BYTES_MAX 8

int main(void) {
    struct mr_slice body = any_slice(BYTES_MAX);
    struct mr_decode_error error = {0};
    struct mr_unsubscribe packet;
    enum mr_version version = any_version();
    enum mr_decode_status status = mr_unsubscribe_decode(version, body, &packet, &error);
    prove_answer(status, body, &error, BYTES_MAX);
    if (status != MR_DECODE_DONE) {
        return 0;
    }
    PROVE(packet.packet_id != 0);
    PROVE(is_within(packet.entries, body));
    prove_properties(&packet.properties, body);
    // The walk afterwards trusts what was checked: it must find as many, and end.
    struct mr_slice rest = packet.entries;
    struct mr_slice filter;
    uint32_t count = 0;
    while (mr_unsubscribe_next(&rest, &filter)) {
        PROVE(filter.len != 0 && is_within(filter, body));
        count++;
    }
    PROVE(count == packet.entry_count && count >= 1);
    PROVE(rest.len == 0);
    REACHES(count == 2);
    return 0;
}
