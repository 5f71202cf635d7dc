// SHA-512 in the two forms that password files have, by the system's library.
//
// Threads: any; nothing is shared.
#ifndef MILLRACE_BROKER_AUTH_DIGEST_H
#define MILLRACE_BROKER_AUTH_DIGEST_H

#include "base/base.h"

#ifdef __cplusplus
extern "C" {
#endif

#define MR_DIGEST_BYTES 64

// PBKDF2 with HMAC-SHA-512. `salt` isn't empty, `iterations` is at least 1. False: the system
// can't, for lack of memory say; `out` is then undefined.
MR_NODISCARD bool mr_digest_pbkdf2(uint8_t out[MR_DIGEST_BYTES], struct mr_slice password,
                                   struct mr_slice salt, uint32_t iterations);

// SHA-512 of the password with the salt behind it. False: as above.
MR_NODISCARD bool mr_digest_sha512(uint8_t out[MR_DIGEST_BYTES], struct mr_slice password,
                                   struct mr_slice salt);

// Takes the same time whatever differs.
bool mr_digest_equal(const uint8_t a[MR_DIGEST_BYTES], const uint8_t b[MR_DIGEST_BYTES]);

// Zeros that no compiler leaves out because nobody reads them.
void mr_digest_clear(void *bytes, size_t len);

#ifdef __cplusplus
}  // extern "C"
#endif

#endif  // MILLRACE_BROKER_AUTH_DIGEST_H
