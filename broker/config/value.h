// Values: from text to fields and back, by the kind that a directive's row names.
#ifndef MILLRACE_BROKER_CONFIG_VALUE_H
#define MILLRACE_BROKER_CONFIG_VALUE_H

#include "base/base.h"
#include "broker/config/directive.h"

#ifdef __cplusplus
extern "C" {
#endif

// A row's field in `base`, the scope's struct, of whatever width.
void mr_field_set_number(const struct mr_directive *directive, void *base, uint64_t number);
uint64_t mr_field_number(const struct mr_directive *directive, const void *base);
void mr_field_set_text(const struct mr_directive *directive, void *base, const char *text);
const char *mr_field_text(const struct mr_directive *directive, const void *base);
// Takes the first word from `*rest`, which is trimmed before and after.
struct mr_slice mr_value_word(struct mr_slice *rest);

enum mr_number_sort {
    MR_NUMBER_OK,
    MR_NUMBER_NEGATIVE,
    MR_NUMBER_TOO_BIG,  // For 64 bits.
    MR_NUMBER_BAD,      // Not a whole decimal number.
};
enum mr_number_sort mr_value_number(uint64_t *out, struct mr_slice text);
bool mr_value_bool(bool *out, struct mr_slice text);

// One word as number of `directive`: MR_KIND_BOOL, NUMBER, BYTES, DURATION or CHOICE.
// False: it isn't what the row expects. `*lowered_out`: it was above the maximum.
bool mr_value_parse(uint64_t *out, bool *lowered_out, const struct mr_directive *directive,
                    struct mr_slice word);

// The choice of that name, or NULL.
const struct mr_choice *mr_choice_find(const struct mr_choice *choices, struct mr_slice word);

#ifdef __cplusplus
}  // extern "C"
#endif

#endif  // MILLRACE_BROKER_CONFIG_VALUE_H
