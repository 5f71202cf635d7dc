#include "io/internal.h"

void mr_timer_init(struct mr_timer *timer, void (*on_fire)(struct mr_timer *timer)) {
    memset(timer, 0, sizeof *timer);
    timer->on_fire = on_fire;
}

void mr_timer_start(struct mr_loop *loop, struct mr_timer *timer, uint64_t delay_ms) {
    mr_wheel_start(&loop->wheel, timer, loop->now_ms, delay_ms);
}

void mr_timer_stop(struct mr_loop *loop, struct mr_timer *timer) {
    mr_wheel_stop(&loop->wheel, timer);
}
