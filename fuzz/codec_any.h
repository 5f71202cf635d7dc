// One packet of any type, decoded and encoded under one signature, for the fuzz
// targets of the codec.
#ifndef MILLRACE_FUZZ_CODEC_ANY_H
#define MILLRACE_FUZZ_CODEC_ANY_H

#include "codec/codec.h"

struct codec_any {
    enum mr_version version;
    enum mr_packet_type type;
    uint8_t flags;     // Of the fixed header.
    bool from_client;  // Matters to DISCONNECT.
    union {
        struct mr_connect connect;
        struct mr_connack connack;
        struct mr_publish publish;
        struct mr_ack ack;
        struct mr_subscribe subscribe;
        struct mr_unsubscribe unsubscribe;
        struct mr_suback suback;
        struct mr_disconnect disconnect;
        struct mr_auth auth;
    } as;
};

// Decodes `body` by the fields above the union, which are set already.
enum mr_decode_status codec_any_decode(struct codec_any *packet, struct mr_slice body,
                                       struct mr_decode_error *error);

// Encodes it as one of our components would: a PUBLISH with the properties that a
// broker forwards, and with the others set by arguments.
size_t codec_any_encode(const struct codec_any *packet, uint8_t *out, size_t out_bytes_max);

// A copy of `bytes` that ends where its memory ends; never NULL. Ends with free().
uint8_t *codec_exact_copy(struct mr_slice bytes);

#endif  // MILLRACE_FUZZ_CODEC_ANY_H
