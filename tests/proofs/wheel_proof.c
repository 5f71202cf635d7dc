// Timer wheel: at any time of the next centuries, a timer of any delay is put where it belongs;
// from there, a clock that goes on brings it nearer or fires it, at its tick and not before. The
// way of a timer is a row of such steps, and so by induction however far the clock goes.
//
// One timer, and in place of lists what they are with one: that several share a slot is up to unit
// tests.
#include "io/wheel.h"
#include "tests/proofs/proof.h"

// With the longest delay, still below the wheel's 42 bits of ticks.
#define NOW_MS_MAX (UINT64_C(1) << 44)
#define TICK_MAX ((UINT64_C(1) << 42) - 1)

static struct mr_wheel wheel;
static struct mr_timer timer;
static struct mr_timer **where;  // The list that it is on, NULL if none.
static uint32_t fired_count;

// In place of wheel.c's, which would write to the list.
void list_push(struct mr_timer **head, struct mr_timer *pushed) {
    PROVE(where == NULL && pushed == &timer);
    where = head;
    timer.link = head;
    timer.next = NULL;
}

void list_reverse(struct mr_timer **from, struct mr_timer **to) {
    PROVE(where == from);
    // A list of the caller's own is empty again before anything is put anywhere.
    where = to == &wheel.firing ? to : NULL;
    timer.link = to;
    timer.next = NULL;
    *to = &timer;
}

static void on_fire(struct mr_timer *fired) {
    PROVE(fired == &timer && timer.link == NULL && wheel.firing == NULL);
    fired_count++;
}

static uint32_t digit_of(uint64_t tick, uint32_t level) {
    return (uint32_t)(tick / (UINT64_C(1) << (6 * level)) % 64);
}

// On the level of the highest digit in which the two differ.
static uint32_t index_of(uint64_t due_tick, uint64_t tick) {
    uint32_t level = 0;
    for (uint32_t i = 1; i < MR_WHEEL_LEVEL_COUNT; i++) {
        if (digit_of(due_tick, i) != digit_of(tick, i)) {
            level = i;
        }
    }
    return level * 64 + digit_of(due_tick, level);
}

static bool only_bit(uint32_t index) {
    bool only = true;
    for (uint32_t level = 0; level < MR_WHEEL_LEVEL_COUNT; level++) {
        uint64_t wanted = level == index / 64 ? UINT64_C(1) << index % 64 : 0;
        only = only && wheel.occupied[level] == wanted;
    }
    return only;
}

// Is the timer where one that is due at `due_tick` belongs?
static bool is_placed(uint64_t due_tick) {
    uint32_t index = index_of(due_tick, wheel.tick);
    return only_bit(index) && where == &wheel.slots[index] && timer.link == where &&
           wheel.timer_count == 1;
}

static void start(void) {
    // The wheel may be behind the clock: callbacks start timers before it has caught up.
    uint64_t now_ms = nondet_u64();
    uint64_t delay_ms = nondet_u64();
    ASSUME(now_ms <= NOW_MS_MAX);
    wheel.tick = nondet_u64();
    ASSUME(wheel.tick <= now_ms / MR_TIMER_TICK_MS);
    uint64_t cut_ms = delay_ms < MR_WHEEL_DELAY_MS_MAX ? delay_ms : MR_WHEEL_DELAY_MS_MAX;
    // Rounded up: never early.
    uint64_t due_tick = (now_ms + cut_ms) / MR_TIMER_TICK_MS;
    due_tick += (now_ms + cut_ms) % MR_TIMER_TICK_MS != 0;
    if (due_tick <= wheel.tick) {
        due_tick = wheel.tick + 1;
    }
    mr_wheel_start(&wheel, &timer, now_ms, delay_ms);
    PROVE(is_placed(due_tick));
    PROVE(due_tick <= TICK_MAX);
    REACHES(delay_ms == 0);
    REACHES(delay_ms == UINT64_MAX && now_ms == NOW_MS_MAX);
    mr_wheel_stop(&wheel, &timer);
    PROVE(only_bit(UINT32_MAX) && wheel.timer_count == 0 && timer.link == NULL);
}

static void advance(void) {
    uint64_t due_tick = nondet_u64();
    wheel.tick = nondet_u64();
    ASSUME(wheel.tick < due_tick && due_tick <= TICK_MAX);
    uint32_t index = index_of(due_tick, wheel.tick);
    wheel.occupied[index / 64] = UINT64_C(1) << index % 64;
    wheel.timer_count = 1;
    where = &wheel.slots[index];
    timer.link = where;
    // Rounded up to ticks, this is due_tick.
    timer.deadline_ms = due_tick * MR_TIMER_TICK_MS - nondet_u8() % MR_TIMER_TICK_MS;

    uint64_t next_ms = mr_wheel_next_ms(&wheel);
    uint64_t next_tick = next_ms / MR_TIMER_TICK_MS;
    PROVE(next_ms % MR_TIMER_TICK_MS == 0);
    PROVE(wheel.tick < next_tick && next_tick <= due_tick);
    // At most so far in one step.
    uint64_t now_ms = nondet_u64();
    ASSUME(now_ms / MR_TIMER_TICK_MS <= next_tick && now_ms / MR_TIMER_TICK_MS > wheel.tick);
    bool due = now_ms / MR_TIMER_TICK_MS == due_tick;
    PROVE(mr_wheel_advance(&wheel, now_ms) == due && fired_count == due);
    PROVE(wheel.tick == now_ms / MR_TIMER_TICK_MS);
    PROVE(due || is_placed(due_tick));
    PROVE(!due || (only_bit(UINT32_MAX) && wheel.timer_count == 0 && timer.link == NULL));
    REACHES(due && due_tick == TICK_MAX);
    REACHES(!due && wheel.tick == next_tick);
    REACHES(!due && wheel.tick < next_tick);
}

int main(void) {
    timer.on_fire = on_fire;
    if (nondet_bool()) {
        start();
    } else {
        advance();
    }
    return 0;
}
