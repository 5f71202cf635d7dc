// Password files: `user:$7$iterations$salt$hash` and `user:$6$salt$hash`.
#include <assert.h>
#include <stdlib.h>

#include "broker/auth/digest.h"
#include "broker/auth/internal.h"

#define USER_NAME_BYTES_MAX 65535  // A UTF-8 string of MQTT.
#define PASSWORD_BYTES_MAX 65535   // Binary data of MQTT.

static_assert(MR_PASSWORD_HASH_BYTES == MR_DIGEST_BYTES, "both hashes are SHA-512's");

// ------------------------------------------------------------------------ the file

// The text before the next `separator`, which is cut off; false: there is none.
static bool take_until(struct mr_slice *rest, char separator, struct mr_slice *out) {
    const uint8_t *at = rest->len == 0 ? NULL : memchr(rest->data, separator, rest->len);
    if (at == NULL) {
        return false;
    }
    *out = mr_slice_of(rest->data, (size_t)(at - rest->data));
    *rest = mr_slice_of(at + 1, rest->len - out->len - 1);
    return true;
}

static int base64_digit(uint8_t c) {
    if (c >= 'A' && c <= 'Z') {
        return c - 'A';
    }
    if (c >= 'a' && c <= 'z') {
        return c - 'a' + 26;
    }
    if (c >= '0' && c <= '9') {
        return c - '0' + 52;
    }
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

// Strict, unlike EVP_DecodeBlock(): no white space, no digits behind the padding, unused
// bits zero. False: malformed or longer than `size`.
static bool base64_decode(struct mr_slice text, uint8_t *out, size_t size, size_t *len_out) {
    size_t digits = text.len;
    if (text.len == 0 || text.len % 4 != 0) {
        return false;
    }
    digits -= text.data[text.len - 1] == '=';
    digits -= digits < text.len && text.data[text.len - 2] == '=';
    size_t len = digits * 3 / 4;
    if (len > size) {
        return false;
    }
    uint32_t bits = 0;
    size_t written = 0;
    for (size_t i = 0; i < digits; i++) {
        int digit = base64_digit(text.data[i]);
        if (digit < 0) {
            return false;
        }
        bits = (bits << 6 | (uint32_t)digit) & 0xffffff;
        if (i % 4 > 0) {
            out[written++] = (uint8_t)(bits >> (6 - 2 * (i % 4)));
        }
    }
    uint32_t unused = digits % 4 == 2 ? 0xf : digits % 4 == 3 ? 0x3 : 0;
    *len_out = len;
    return (bits & unused) == 0;
}

static bool parse_iterations(struct mr_slice text, int *out) {
    int number = 0;
    if (text.len == 0) {
        return false;
    }
    for (size_t i = 0; i < text.len; i++) {
        unsigned digit = (unsigned)text.data[i] - '0';
        if (digit > 9 || number > MR_PASSWORD_ITERATIONS_MAX) {
            return false;
        }
        number = number * 10 + (int)digit;
    }
    *out = number;
    return number >= 1 && number <= MR_PASSWORD_ITERATIONS_MAX;
}

// The password itself must not appear in a message: it might be in plain text.
static enum mr_err parse_hash(struct mr_password *out, struct mr_auth_file *file, const char *user,
                              struct mr_slice text) {
    struct mr_slice part;
    if (text.len == 0) {
        return mr_auth_refuse(file,
                              "user '%s' has no password hash; set a password with "
                              "mosquitto_passwd",
                              user);
    }
    if (text.data[0] != '$') {
        return mr_auth_refuse(file,
                              "the password of user '%s' isn't hashed; hash the file with "
                              "mosquitto_passwd -U",
                              user);
    }
    text = mr_slice_of(text.data + 1, text.len - 1);
    if (!take_until(&text, '$', &part) || part.len != 1 ||
        (part.data[0] != '6' && part.data[0] != '7')) {
        return mr_auth_refuse(file,
                              "the password hash of user '%s' is of an unknown kind; expected "
                              "$7$ or $6$, as mosquitto_passwd of 1.6 to 2.0 writes",
                              user);
    }
    out->kind = part.data[0] == '7' ? MR_PASSWORD_PBKDF2 : MR_PASSWORD_SHA512;
    out->iterations = 1;
    if (out->kind == MR_PASSWORD_PBKDF2 &&
        (!take_until(&text, '$', &part) || !parse_iterations(part, &out->iterations))) {
        return mr_auth_refuse(file,
                              "the password hash of user '%s': expected a number of "
                              "iterations from 1 to %d behind $7$",
                              user, MR_PASSWORD_ITERATIONS_MAX);
    }
    size_t salt_len = 0;
    if (!take_until(&text, '$', &part) ||
        !base64_decode(part, out->salt, sizeof(out->salt), &salt_len)) {
        return mr_auth_refuse(file,
                              "the password hash of user '%s': expected a salt of at most %d "
                              "bytes in base64",
                              user, MR_PASSWORD_SALT_BYTES_MAX);
    }
    out->salt_len = (uint32_t)salt_len;
    size_t hash_len = 0;
    if (!base64_decode(text, out->hash, sizeof(out->hash), &hash_len) ||
        hash_len != MR_PASSWORD_HASH_BYTES) {
        return mr_auth_refuse(file,
                              "the password hash of user '%s': expected a hash of %d bytes in "
                              "base64",
                              user, MR_PASSWORD_HASH_BYTES);
    }
    return MR_OK;
}

static enum mr_err reserve(struct mr_password_list *list) {
    if (list->count < list->capacity) {
        return MR_OK;
    }
    uint32_t capacity = list->capacity == 0 ? 16 : list->capacity * 2;
    if (capacity < list->capacity) {
        return MR_ERR_NOMEM;
    }
    struct mr_slice *names = realloc(list->names, capacity * sizeof(*names));
    if (names == NULL) {
        return MR_ERR_NOMEM;
    }
    list->names = names;
    struct mr_password *entries = realloc(list->entries, capacity * sizeof(*entries));
    if (entries == NULL) {
        return MR_ERR_NOMEM;
    }
    list->entries = entries;
    list->capacity = capacity;
    return MR_OK;
}

static enum mr_err parse_line(struct mr_password_list *list, struct mr_auth_file *file,
                              struct mr_slice line) {
    char user[MR_AUTH_QUOTE_BYTES];
    struct mr_slice name;
    struct mr_slice rest = line;
    if (memchr(line.data, '\0', line.len) != NULL) {
        return mr_auth_refuse(file, "the line contains a NUL byte");
    }
    if (!take_until(&rest, ':', &name)) {
        return mr_auth_refuse(file, "expected user:hash, but there is no ':'");
    }
    name = mr_slice_trim(name);
    if (name.len == 0 || name.len > USER_NAME_BYTES_MAX) {
        return mr_auth_refuse(file, "expected a user name of 1 to %d bytes before the ':'",
                              USER_NAME_BYTES_MAX);
    }
    MR_TRY(reserve(list));
    mr_auth_quote(name, user);
    MR_TRY(parse_hash(&list->entries[list->count], file, user, mr_slice_trim(rest)));
    list->names[list->count++] = name;
    return MR_OK;
}

static enum mr_err parse(struct mr_password_list *list, struct mr_auth_file *file,
                         struct mr_slice text) {
    struct mr_slice line;
    list->text = malloc(text.len + 1);
    if (list->text == NULL) {
        return MR_ERR_NOMEM;
    }
    if (text.len > 0) {
        memcpy(list->text, text.data, text.len);
    }
    struct mr_slice rest = mr_slice_of(list->text, text.len);
    while (mr_auth_next_line(file, &rest, &line)) {
        if (line.len > 0 && line.data[0] != '#') {
            MR_TRY(parse_line(list, file, line));
        }
    }
    uint32_t equal;
    MR_TRY(mr_name_table_init(&list->table, list->names, list->count, &equal));
    if (equal != MR_NAME_NONE) {
        // Which of the passwords should hold? Better none than the wrong one.
        char user[MR_AUTH_QUOTE_BYTES];
        return mr_auth_refuse(file, "user '%s' is there twice",
                              mr_auth_quote(list->names[equal], user));
    }
    return MR_OK;
}

enum mr_err mr_password_list_init(struct mr_password_list *list, struct mr_auth_file *file,
                                  struct mr_slice text) {
    *list = (struct mr_password_list){0};
    enum mr_err err = parse(list, file, text);
    if (err != MR_OK) {
        mr_password_list_fini(list);
    }
    return err;
}

void mr_password_list_fini(struct mr_password_list *list) {
    mr_name_table_fini(&list->table);
    free(list->names);
    if (list->entries != NULL) {
        mr_digest_clear(list->entries, list->capacity * sizeof(*list->entries));
    }
    free(list->entries);
    free(list->text);
    *list = (struct mr_password_list){0};
}

// ----------------------------------------------------------------------- the check

static bool digest(const struct mr_password *entry, struct mr_slice password,
                   uint8_t out[MR_PASSWORD_HASH_BYTES]) {
    struct mr_slice salt = mr_slice_of(entry->salt, entry->salt_len);
    return entry->kind == MR_PASSWORD_PBKDF2
               ? mr_digest_pbkdf2(out, password, salt, (uint32_t)entry->iterations)
               : mr_digest_sha512(out, password, salt);
}

bool mr_password_list_check(const struct mr_password_list *list, struct mr_slice user_name,
                            struct mr_slice password) {
    if (list->count == 0 || password.data == NULL || password.len > PASSWORD_BYTES_MAX) {
        return false;
    }
    // mosquitto_passwd can't store one with a NUL. Without this, "secret" would be "secret\0",
    // too: HMAC fills short keys up with zeros.
    if (password.len > 0 && memchr(password.data, '\0', password.len) != NULL) {
        return false;
    }
    uint32_t index = mr_name_table_find(&list->table, user_name);
    bool known = index != MR_NAME_NONE;
    if (!known) {
        // An unknown user takes as long as one of the known, always the same, so that the time
        // doesn't tell who exists.
        index = (uint32_t)(mr_name_hash(user_name) % list->count);
    }
    uint8_t hash[MR_PASSWORD_HASH_BYTES] = {0};
    bool done = digest(&list->entries[index], password, hash);
    bool equal = mr_digest_equal(hash, list->entries[index].hash);
    mr_digest_clear(hash, sizeof(hash));
    return done && equal && known;
}
