#include "broker/config/words.h"

static size_t min3(size_t a, size_t b, size_t c) {
    size_t least = a < b ? a : b;
    return least < c ? least : c;
}

size_t mr_word_distance(struct mr_slice a, struct mr_slice b) {
    if (a.len > MR_WORD_BYTES_MAX || b.len > MR_WORD_BYTES_MAX) {
        return MR_WORD_BYTES_MAX;
    }
    // Three rows of the table of distances between beginnings of `a` and `b`.
    size_t rows[3][MR_WORD_BYTES_MAX + 1];
    for (size_t j = 0; j <= b.len; j++) {
        rows[0][j] = j;
    }
    for (size_t i = 1; i <= a.len; i++) {
        size_t *row = rows[i % 3];
        const size_t *above = rows[(i + 2) % 3];
        const size_t *two_above = rows[(i + 1) % 3];
        row[0] = i;
        for (size_t j = 1; j <= b.len; j++) {
            size_t replaced = above[j - 1] + (a.data[i - 1] != b.data[j - 1]);
            row[j] = min3(above[j] + 1, row[j - 1] + 1, replaced);
            if (i > 1 && j > 1 && a.data[i - 1] == b.data[j - 2] &&
                a.data[i - 2] == b.data[j - 1] && two_above[j - 2] + 1 < row[j]) {
                row[j] = two_above[j - 2] + 1;
            }
        }
    }
    return rows[a.len % 3][b.len];
}

void mr_word_consider(struct mr_word_nearest *nearest, struct mr_slice word,
                      const char *candidate) {
    struct mr_slice other = mr_slice_str(candidate);
    if (word.len == 0 || word.len > MR_WORD_BYTES_MAX) {
        return;
    }
    size_t longer = word.len > other.len ? word.len : other.len;
    size_t shorter = word.len > other.len ? other.len : word.len;
    size_t allowed = longer < 3 ? 1 : longer / 3;
    if (longer - shorter > allowed) {
        return;  // So many have to be inserted in any case.
    }
    size_t distance = mr_word_distance(word, other);
    if (distance <= allowed && (nearest->word == NULL || distance < nearest->distance)) {
        nearest->word = candidate;
        nearest->distance = distance;
    }
}
