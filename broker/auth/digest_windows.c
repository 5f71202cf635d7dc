// Before what needs it.
#include <windows.h>
// After it.
#include <bcrypt.h>

#include "broker/auth/digest.h"

// The library wants to write where it only reads.
static PUCHAR bytes_of(struct mr_slice slice) {
    return (PUCHAR)(uintptr_t)slice.data;
}

static bool open_sha512(BCRYPT_ALG_HANDLE *out, ULONG flags) {
    return BCRYPT_SUCCESS(BCryptOpenAlgorithmProvider(out, BCRYPT_SHA512_ALGORITHM, NULL, flags));
}

bool mr_digest_pbkdf2(uint8_t out[MR_DIGEST_BYTES], struct mr_slice password, struct mr_slice salt,
                      uint32_t iterations) {
    BCRYPT_ALG_HANDLE hmac;
    if (!open_sha512(&hmac, BCRYPT_ALG_HANDLE_HMAC_FLAG)) {
        return false;
    }
    NTSTATUS status =
        BCryptDeriveKeyPBKDF2(hmac, bytes_of(password), (ULONG)password.len, bytes_of(salt),
                              (ULONG)salt.len, iterations, out, MR_DIGEST_BYTES, 0);
    (void)BCryptCloseAlgorithmProvider(hmac, 0);
    return BCRYPT_SUCCESS(status);
}

bool mr_digest_sha512(uint8_t out[MR_DIGEST_BYTES], struct mr_slice password,
                      struct mr_slice salt) {
    BCRYPT_ALG_HANDLE sha512;
    BCRYPT_HASH_HANDLE hash = NULL;
    if (!open_sha512(&sha512, 0)) {
        return false;
    }
    bool done = BCRYPT_SUCCESS(BCryptCreateHash(sha512, &hash, NULL, 0, NULL, 0, 0)) &&
                BCRYPT_SUCCESS(BCryptHashData(hash, bytes_of(password), (ULONG)password.len, 0)) &&
                BCRYPT_SUCCESS(BCryptHashData(hash, bytes_of(salt), (ULONG)salt.len, 0)) &&
                BCRYPT_SUCCESS(BCryptFinishHash(hash, out, MR_DIGEST_BYTES, 0));
    if (hash != NULL) {
        (void)BCryptDestroyHash(hash);
    }
    (void)BCryptCloseAlgorithmProvider(sha512, 0);
    return done;
}

bool mr_digest_equal(const uint8_t a[MR_DIGEST_BYTES], const uint8_t b[MR_DIGEST_BYTES]) {
    // volatile: else a compiler might stop at the first difference.
    volatile uint8_t difference = 0;
    for (size_t i = 0; i < MR_DIGEST_BYTES; i++) {
        difference |= a[i] ^ b[i];
    }
    return difference == 0;
}

void mr_digest_clear(void *bytes, size_t len) {
    SecureZeroMemory(bytes, len);
}
