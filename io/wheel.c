#include "io/wheel.h"

#include <assert.h>

#define SLOT_MASK (MR_WHEEL_SLOT_COUNT - 1u)

static_assert(MR_WHEEL_SLOT_COUNT == 64, "a level's bitmap is one uint64_t");

void mr_wheel_init(struct mr_wheel *wheel, uint64_t now_ms) {
    memset(wheel, 0, sizeof *wheel);
    wheel->tick = now_ms / MR_TIMER_TICK_MS;
}

static void list_push(struct mr_timer **head, struct mr_timer *timer) {
    timer->next = *head;
    if (timer->next != NULL) {
        timer->next->link = &timer->next;
    }
    timer->link = head;
    *head = timer;
}

// Moves the list at `from` to the empty list at `to`, in reversed order.
static void list_reverse(struct mr_timer **from, struct mr_timer **to) {
    struct mr_timer *timer = *from;
    *from = NULL;
    while (timer != NULL) {
        struct mr_timer *next = timer->next;
        list_push(to, timer);
        timer = next;
    }
}

static uint32_t digit(uint64_t tick, uint32_t level) {
    return (uint32_t)(tick >> (level * MR_WHEEL_SLOT_BITS)) & SLOT_MASK;
}

static uint64_t timer_tick(const struct mr_timer *timer) {
    return (timer->deadline_ms + MR_TIMER_TICK_MS - 1) / MR_TIMER_TICK_MS;
}

// Puts `timer` where it belongs, but not before `tick_min`.
static void slot_insert(struct mr_wheel *wheel, struct mr_timer *timer, uint64_t tick_min) {
    uint64_t tick = timer_tick(timer);
    if (tick < tick_min) {
        tick = tick_min;
    }
    uint64_t difference = tick ^ wheel->tick;
    uint32_t level = 0;
    if (difference != 0) {
        level = (63u - (uint32_t)__builtin_clzll(difference)) / MR_WHEEL_SLOT_BITS;
    }
    MR_ASSERT(level < MR_WHEEL_LEVEL_COUNT);
    uint32_t slot = digit(tick, level);
    wheel->occupied[level] |= UINT64_C(1) << slot;
    list_push(&wheel->slots[level * MR_WHEEL_SLOT_COUNT + slot], timer);
}

void mr_wheel_start(struct mr_wheel *wheel, struct mr_timer *timer, uint64_t now_ms,
                    uint64_t delay_ms) {
    if (delay_ms > MR_WHEEL_DELAY_MS_MAX) {
        delay_ms = MR_WHEEL_DELAY_MS_MAX;
    }
    mr_wheel_stop(wheel, timer);
    timer->deadline_ms = now_ms + delay_ms;
    slot_insert(wheel, timer, wheel->tick + 1);
    wheel->timer_count++;
}

void mr_wheel_stop(struct mr_wheel *wheel, struct mr_timer *timer) {
    struct mr_timer **link = timer->link;
    if (link == NULL) {
        return;
    }
    *link = timer->next;
    if (timer->next != NULL) {
        timer->next->link = link;
    }
    timer->next = NULL;
    timer->link = NULL;
    wheel->timer_count--;
    // If it was the only one of a slot, the slot's own head pointed to it.
    if (*link == NULL && link >= wheel->slots &&
        link < wheel->slots + MR_ARRAY_COUNT(wheel->slots)) {
        size_t index = (size_t)(link - wheel->slots);
        wheel->occupied[index / MR_WHEEL_SLOT_COUNT] &=
            ~(UINT64_C(1) << (index % MR_WHEEL_SLOT_COUNT));
    }
}

// The next tick at which there is something to do.
static uint64_t next_tick(const struct mr_wheel *wheel) {
    for (uint32_t level = 0; level < MR_WHEEL_LEVEL_COUNT; level++) {
        if (wheel->occupied[level] != 0) {
            uint32_t shift = level * MR_WHEEL_SLOT_BITS;
            uint64_t slot = (uint64_t)__builtin_ctzll(wheel->occupied[level]);
            uint64_t above = wheel->tick >> shift >> MR_WHEEL_SLOT_BITS;
            return ((above << MR_WHEEL_SLOT_BITS) | slot) << shift;
        }
    }
    return MR_WHEEL_NEVER;
}

uint64_t mr_wheel_next_ms(const struct mr_wheel *wheel) {
    uint64_t tick = next_tick(wheel);
    return tick == MR_WHEEL_NEVER ? MR_WHEEL_NEVER : tick * MR_TIMER_TICK_MS;
}

// Moves the timers of all levels whose digit has just been reached down, from the highest
// level on, because a level's timers may land on the next one's slot that is due as well.
static void cascade(struct mr_wheel *wheel) {
    for (uint32_t level = MR_WHEEL_LEVEL_COUNT - 1; level > 0; level--) {
        uint32_t slot = digit(wheel->tick, level);
        uint64_t bit = UINT64_C(1) << slot;
        if ((wheel->occupied[level] & bit) == 0) {
            continue;
        }
        wheel->occupied[level] &= ~bit;
        struct mr_timer *oldest_first = NULL;
        list_reverse(&wheel->slots[level * MR_WHEEL_SLOT_COUNT + slot], &oldest_first);
        while (oldest_first != NULL) {
            struct mr_timer *timer = oldest_first;
            oldest_first = timer->next;
            slot_insert(wheel, timer, wheel->tick);
        }
    }
}

static uint64_t fire_slot(struct mr_wheel *wheel) {
    uint32_t slot = digit(wheel->tick, 0);
    uint64_t bit = UINT64_C(1) << slot;
    if ((wheel->occupied[0] & bit) == 0) {
        return 0;
    }
    wheel->occupied[0] &= ~bit;
    list_reverse(&wheel->slots[slot], &wheel->firing);
    uint64_t fired_count = 0;
    // A callback may stop any of the others, which takes it off this list.
    while (wheel->firing != NULL) {
        struct mr_timer *timer = wheel->firing;
        mr_wheel_stop(wheel, timer);
        fired_count++;
        timer->on_fire(timer);
    }
    return fired_count;
}

uint64_t mr_wheel_advance(struct mr_wheel *wheel, uint64_t now_ms) {
    uint64_t target = now_ms / MR_TIMER_TICK_MS;
    uint64_t fired_count = 0;
    while (wheel->tick < target) {
        uint64_t tick = next_tick(wheel);
        if (tick > target) {
            wheel->tick = target;
            break;
        }
        wheel->tick = tick;
        cascade(wheel);
        fired_count += fire_slot(wheel);
    }
    return fired_count;
}
