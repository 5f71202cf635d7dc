// UTF-8 of more than sixteen bytes, codec/utf8.c: where a look at sixteen at a time ends and one
// at each character begins, no character is cut or judged by half. Letters, and behind them any
// bytes around the sixteenth; what those are judged for is utf8_proof.c's.
#include "codec/utf8.h"
#include "tests/proofs/proof.h"

#define LETTERS 14
#define OTHERS_MAX 4

int main(void) {
    // The judge of short texts, for comparison, sees only what follows the letters.
    uint8_t bytes[LETTERS + OTHERS_MAX];
    size_t others = nondet_size();
    ASSUME(others >= 2 && others <= OTHERS_MAX);
    for (size_t i = 0; i < LETTERS; i++) {
        bytes[i] = 'a';
    }
    bool good = mr_utf8_valid(mr_slice_of(bytes, LETTERS + others));
    PROVE(good == mr_utf8_valid(mr_slice_of(bytes + LETTERS, others)));
    REACHES(good && bytes[LETTERS] >= 0xf0);
    REACHES(good && bytes[LETTERS + 1] >= 0xe0);
    REACHES(!good && bytes[LETTERS + 1] < 0x80 && others > 2 && bytes[LETTERS + 2] < 0x80);
    return 0;
}
