// The ring between two workers (io/ring) with its wake protocol, on a machine with store buffers.
//
// Each side's stores go through a buffer of its own, first in first out, and reach memory at any
// later time; a sequentially consistent store waits until the buffer is empty. That is x86's
// memory model, and what the code's release stores allow there.
//
// -DNO_FENCE   publishing and falling asleep only release what they store
// -DEARLY      the position is published before the entry is written
// -DNO_LOOK    the consumer falls asleep without looking again
#define ENTRIES 2
#define COUNT 5

#define ENTRY0 0
#define ENTRY1 1
#define PUBLISHED 2
#define POPPED 3
#define ASLEEP 4
#define CELLS 5

byte memory[CELLS];
chan buffer[2] = [3] of { byte, byte };  // By side: 0 the producer, 1 the consumer.
bool woken;                              // The loop's wake-up: it sticks until it is taken.
bool waiting;                            // The consumer is in the system's wait.
byte taken;
bool pushed_all;

// A load sees the side's own newest store first. What each side loads it stores itself only in
// the case of ASLEEP, which it never loads with a store to it under way.
inline store(side, cell, value) {
    buffer[side]!cell, value
}
inline fence(side) {
    empty(buffer[side])
}
inline store_seq_cst(side, cell, value) {
    store(side, cell, value);
#ifndef NO_FENCE
    fence(side);
#endif
}

proctype drain(byte side) {
    byte cell, value;
end:
    do
    :: d_step { buffer[side]?cell, value -> memory[cell] = value; cell = 0; value = 0 }
    od
}

proctype producer() {
    byte pushed, published, popped_seen, was;
    do
    :: pushed < COUNT ->
        // Pushes one entry, or two before it publishes.
        popped_seen = memory[POPPED];
        if
        :: pushed - popped_seen < ENTRIES ->
#ifdef EARLY
            store(0, PUBLISHED, pushed + 1);
#endif
            store(0, ENTRY0 + pushed % ENTRIES, pushed + 1);
            pushed++
        :: else -> goto publish  // Full: what there is has to be shown.
        fi;
        if
        :: pushed < COUNT -> skip
        :: true ->
publish:
            if
            :: published != pushed ->
                published = pushed;
                store_seq_cst(0, PUBLISHED, pushed);
                if
                :: memory[ASLEEP] != 0 ->
                    atomic {  // The exchange.
                        fence(0);
                        was = memory[ASLEEP];
                        memory[ASLEEP] = 0
                    }
                    if
                    :: was != 0 -> woken = true
                    :: else
                    fi;
                    was = 0
                :: else
                fi
            :: else
            fi
        fi
    :: else -> break
    od;
    pushed_all = true
}

proctype consumer() {
    byte popped, published_seen, entry;
    do
    :: popped == COUNT -> break
    :: else ->
        published_seen = memory[PUBLISHED];
        if
        :: popped != published_seen ->
            entry = memory[ENTRY0 + popped % ENTRIES];
            assert(entry == popped + 1);  // In order, none lost, none twice, none half written.
            entry = 0;
            popped++;
            taken = popped;
            store(1, POPPED, popped)
        :: else ->
            store_seq_cst(1, ASLEEP, 1);
#ifdef NO_LOOK
            published_seen = popped;
#else
            published_seen = memory[PUBLISHED];
#endif
            if
            :: popped == published_seen ->
                waiting = true;
                woken -> woken = false;
                waiting = false
            :: else
            fi;
            store(1, ASLEEP, 0)
        fi;
        published_seen = 0
    od
}

init {
    atomic {
        run drain(0);
        run drain(1);
        run producer();
        run consumer()
    }
}

// An invalid end state, which the checker looks for, is a consumer that waits for a wake-up that
// never comes, or a producer that waits for room.
