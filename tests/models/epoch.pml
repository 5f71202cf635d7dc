// Reclamation for readers without locks (trie/epoch.c): no reader follows a pointer to an object
// that was freed, and when all readers are away, everything retired can be freed.
//
// One writer replaces the object at one place, again and again. Memory is weak where the code
// allows it: a reader finds any object that stood at the place since what it surely knows of, and
// it knows of a replacement only by having read an epoch that was advanced after it (release and
// acquire). A reader's store of its epoch reaches the writer late unless it is sequentially
// consistent.
//
// -DNO_FENCE       the first store of mr_epoch_enter() only releases
// -DENTER_ONCE     mr_epoch_enter() doesn't look at the epoch again
// -DRETIRE_FIRST   an object is retired before it is taken out of its place
// -DFREE_EQUAL     an object is freed as soon as all readers have seen its own epoch
// -DQUIESCENT_LATE a reader says that it is quiescent while it still holds an object
#define READERS 2
#define OBJECTS 3  // They come one after the other: replacing number k makes k + 1 the current one.
#define AWAY 0

byte current = 1;  // The epoch.
byte placed;       // Number of the object at the place.
byte epoch_of[OBJECTS];
byte placed_at[OBJECTS + 1];  // By epoch: what was at the place when it began.
bool retired[OBJECTS];
bool freed[OBJECTS];

byte seen[READERS];
chan buffer[READERS] = [2] of { byte };  // Stores of `seen` under way.
byte done;                               // Readers that have come to their end.

proctype drain(byte me) {
    byte value;
end:
    do
    :: d_step { buffer[me]?value -> seen[me] = value; value = 0 }
    od
}

// Reads the epoch, and with it what was done before it began; and says that it was seen. The store
// may be under way for as long as it likes, so that nothing has to happen between the two.
inline see_epoch() {
    atomic {
        nfull(buffer[me]) ->
        if
        :: placed_at[current] > known -> known = placed_at[current]
        :: else
        fi;
        buffer[me]!current
    }
}

inline load_place() {
    atomic {
        object = known;
        do
        :: object < placed -> object++
        :: break
        od;
        known = object;
        holds = true
    }
}

inline use() {
    assert(!freed[object])
}

proctype reader(byte me; byte visits_max) {
    byte known, object, visits;
    bool holds;
    do
    :: visits < visits_max ->
        visits++;
        // mr_epoch_enter()
        see_epoch();
#ifndef NO_FENCE
        empty(buffer[me]);
#endif
#ifndef ENTER_ONCE
        see_epoch();
#endif
        do
        :: load_place()
        :: holds -> use()
        :: true ->
            // mr_epoch_quiescent()
#ifndef QUIESCENT_LATE
            d_step { holds = false; object = 0 }
#endif
            see_epoch()
        :: break
        od;
        // mr_epoch_leave()
        holds = false;
        object = 0;
        buffer[me]!AWAY
    :: else -> break
    od;
    empty(buffer[me]);
    done++
}

inline retire() {
    d_step {
        epoch_of[old] = current;
        current++;
        placed_at[current] = placed;
        retired[old] = true
    }
}

// Looks at the readers one after the other, then frees, oldest first, some or all.
inline reclaim() {
    limit = 255;
    i = 0;
    do
    :: i < READERS ->
        d_step {
            if
            :: seen[i] != AWAY && seen[i] < limit -> limit = seen[i]
            :: else
            fi;
            i++
        }
    :: else -> break
    od;
    do
#ifdef FREE_EQUAL
    :: oldest < OBJECTS && retired[oldest] && epoch_of[oldest] <= limit ->
#else
    :: oldest < OBJECTS && retired[oldest] && epoch_of[oldest] < limit ->
#endif
        d_step { freed[oldest] = true; oldest++ }
    :: break
    od;
    limit = 0;
    i = 0
}

proctype writer() {
    byte old, oldest, limit, i;
    do
    :: old < OBJECTS - 1 ->
#ifdef RETIRE_FIRST
        retire();
        placed++;
#else
        placed++;
        retire();
#endif
        old++;
        reclaim()
    :: else -> break
    od;
    done == READERS;
    do
    :: oldest < old -> reclaim()
    :: else -> break
    od;
    // All readers are away: nothing is held back.
    assert(oldest == OBJECTS - 1)
}

init {
    atomic {
        run drain(0);
        run drain(1);
        run reader(0, 2);
        run reader(1, 1);
        run writer()
    }
}
