#include <openssl/crypto.h>
#include <openssl/evp.h>

#include "broker/auth/digest.h"

bool mr_digest_pbkdf2(uint8_t out[MR_DIGEST_BYTES], struct mr_slice password, struct mr_slice salt,
                      uint32_t iterations) {
    return PKCS5_PBKDF2_HMAC((const char *)password.data, (int)password.len, salt.data,
                             (int)salt.len, (int)iterations, EVP_sha512(), MR_DIGEST_BYTES,
                             out) == 1;
}

bool mr_digest_sha512(uint8_t out[MR_DIGEST_BYTES], struct mr_slice password,
                      struct mr_slice salt) {
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    unsigned len = 0;
    bool done = context != NULL && EVP_DigestInit_ex(context, EVP_sha512(), NULL) == 1 &&
                EVP_DigestUpdate(context, password.data, password.len) == 1 &&
                EVP_DigestUpdate(context, salt.data, salt.len) == 1 &&
                EVP_DigestFinal_ex(context, out, &len) == 1 && len == MR_DIGEST_BYTES;
    EVP_MD_CTX_free(context);
    return done;
}

bool mr_digest_equal(const uint8_t a[MR_DIGEST_BYTES], const uint8_t b[MR_DIGEST_BYTES]) {
    return CRYPTO_memcmp(a, b, MR_DIGEST_BYTES) == 0;
}

void mr_digest_clear(void *bytes, size_t len) {
    OPENSSL_cleanse(bytes, len);
}
