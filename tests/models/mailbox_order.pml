// The order in which a worker takes what others flushed to it (broker/router/mailbox.c): a batch
// that was begun after another one was shown, by whomever, is never taken before it; and a look
// takes all that was shown before it.
//
// The rings themselves are in ring.pml. Steps of different workers mix in every possible way.
//
// -DLANE_AFTER_LANE  the receiver takes whatever is there, lane after lane
// -DSHOWN_FIRST      a batch is shown first and stamped afterwards
// -DNO_LIMIT         the receiver takes the oldest of what it finds, also what came after its look
#define SENDERS 3
#define BATCHES 2  // Of one sender at most; see below.
#define ENTRIES 3  // In each lane, never used again: one batch may have two parcels.
#define NONE 255

#define BIT(sender, batch) (1 << ((sender) * BATCHES + (batch)))
#define COUNT 4

typedef lane_of {
    byte stamp[ENTRIES];  // 0: goes on with the batch of the entry before.
    byte batch[ENTRIES];
    byte shown;
    byte taken;
}

lane_of lane[SENDERS];
byte arrived;

// An observer watches one batch, any one.
byte watched;
bool watched_shown;
bool watched_taken;
byte later;  // A bit for each batch that was begun when the watched one was shown.
byte taken;  // How many batches.

inline publish() {
    lane[me].shown = pushed;
    if
    :: watched == me * BATCHES + batch -> watched_shown = true
    :: else
    fi
}

proctype sender(byte me; byte batches) {
    byte batch, first, pushed;
    do
    :: batch < batches ->
        atomic {
            first = pushed;
            lane[me].batch[pushed] = batch;
            pushed++;
            if
            :: me == 0 && batch == 0 -> lane[me].batch[pushed] = batch; pushed++
            :: skip
            fi;
            if
            :: watched_shown -> later = later | BIT(me, batch)
            :: else
            fi
        }
#ifdef SHOWN_FIRST
        d_step {
            lane[me].stamp[first] = arrived + 1;
            publish()
        }
        arrived++;
#else
        d_step {
            arrived++;
            lane[me].stamp[first] = arrived  // Which nobody sees yet.
        }
        d_step {
            publish()
        }
#endif
        d_step { batch++; first = 0 }
    :: else -> break
    od
}

#define HAS(i) (lane[i].taken < lane[i].shown)
#define STAMP(i) lane[i].stamp[lane[i].taken]

inline look_at(i) {
    d_step {
        if
#ifdef LANE_AFTER_LANE
        :: HAS(i) && found == NONE -> found = i
#else
        :: HAS(i) && STAMP(i) <= best -> best = STAMP(i); found = i
#endif
        :: else
        fi
    }
}

proctype receiver() {
    byte limit, best, found, batch;
    bool seen;
    do
    :: taken == COUNT -> break
    :: else ->
        d_step {
            limit = arrived;
            seen = watched_shown
        }
#ifdef NO_LIMIT
        limit = NONE;
#endif
        do
        :: true ->
            // Which lane has the oldest batch? Each is looked at by itself.
            d_step {
                found = NONE;
                best = limit
            }
            look_at(0);
            look_at(1);
            look_at(2);
            if
            :: found == NONE ->
                assert(!seen || watched_taken);
                break
            :: else ->
                batch = lane[found].batch[lane[found].taken];
                do
                :: true ->
                    atomic {
                        assert(lane[found].batch[lane[found].taken] == batch);
                        lane[found].taken++;
                        if
                        :: HAS(found) && STAMP(found) == 0 -> skip
                        :: else -> break
                        fi
                    }
                od;
                best = 0;
                d_step {
                    assert((later & BIT(found, batch)) == 0 || watched_taken);
                    taken++;
                    if
                    :: watched == found * BATCHES + batch -> watched_taken = true
                    :: else
                    fi
                }
                batch = 0
            fi
        od;
        limit = 0;
        d_step { best = 0; found = 0; seen = false }
    od
}

init {
    atomic {
        select(watched : 0 .. SENDERS * BATCHES - 1);
        run sender(0, 2);
        run sender(1, 1);
        run sender(2, 1);
        run receiver()
    }
}
