// A hierarchical timing wheel: many coarse one-shot timers, start and stop in O(1).
//
// Level 0 has a slot for each of the 64 ticks around now, level 1 for each 64 of them,
// and so on; a timer sits on the level of the highest digit (base 64) in which its tick
// differs from the current one, and moves down when that digit is reached. So whatever
// is on a level lies before everything on higher levels, a bitmap for each level finds
// the next thing to do without a search, and timers of one tick fire in the order in
// which they were started.
//
// Knows no clock: it is told the time. Private to io; visible for its test.
//
// Threads: one at a time.
#ifndef MILLRACE_IO_WHEEL_H
#define MILLRACE_IO_WHEEL_H

#include "base/base.h"
#include "io/loop.h"

#ifdef __cplusplus
extern "C" {
#endif

#define MR_WHEEL_SLOT_BITS 6u
#define MR_WHEEL_SLOT_COUNT (1u << MR_WHEEL_SLOT_BITS)
// 42 bits of 8 ms: more than a thousand years.
#define MR_WHEEL_LEVEL_COUNT 7u
// Longer delays are cut; 34 years.
#define MR_WHEEL_DELAY_MS_MAX (UINT64_C(1) << 40)
#define MR_WHEEL_NEVER UINT64_MAX

struct mr_wheel {
    uint64_t tick;                            // Everything up to this one has fired.
    uint64_t occupied[MR_WHEEL_LEVEL_COUNT];  // One bit for each slot.
    struct mr_timer *firing;                  // What is due, oldest first.
    uint64_t timer_count;
    struct mr_timer *slots[MR_WHEEL_LEVEL_COUNT * MR_WHEEL_SLOT_COUNT];  // Newest first.
};

void mr_wheel_init(struct mr_wheel *wheel, uint64_t now_ms);

// (Re)starts `timer` to fire `delay_ms` after `now_ms`, the caller's present time.
void mr_wheel_start(struct mr_wheel *wheel, struct mr_timer *timer, uint64_t now_ms,
                    uint64_t delay_ms);

// Nothing happens if it isn't started.
void mr_wheel_stop(struct mr_wheel *wheel, struct mr_timer *timer);

// The time in ms at which mr_wheel_advance() has something to do (perhaps only to move
// timers down a level), MR_WHEEL_NEVER if no timer is started.
uint64_t mr_wheel_next_ms(const struct mr_wheel *wheel);

// Fires all timers that are due at `now_ms`, in order of their ticks, and returns how
// many. Timers that the callbacks start may fire too if they are due; none fires twice
// at the same tick.
uint64_t mr_wheel_advance(struct mr_wheel *wheel, uint64_t now_ms);

#ifdef __cplusplus
}  // extern "C"
#endif

#endif  // MILLRACE_IO_WHEEL_H
