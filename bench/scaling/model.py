"""The workers' turns as a model; the page says how it goes."""

import dataclasses

CORES = [1, 2, 4, 8, 16, 32, 64, 128]
LOADS = [10, 100, 1000]
WORKERS_MAX = 64  # MR_WORKERS_MAX: `targets` of a message is one word.


@dataclasses.dataclass
class Costs:
    """Nanoseconds; each with where it comes from."""

    # CPU of a delivery within one worker, the kernel's part included, and more, if the receiver is
    # another worker's: `bench/load` on one worker and on two of them, where half of the pairs
    # cross. The difference, doubled, is the second number.
    local: float
    remote: float
    # A cache line's way from another core; a batch has one in the ring.
    line: float = 80
    # A batch: its stamp is an atomic addition on the target's line.
    stamp: float = 80
    # A batch: what the target pays to find the oldest, for each other worker, and what each turn
    # pays to look for something to flush. mailbox_bench, from 2 to 64 workers.
    scan: float = 6.2
    flush: float = 4.5
    # A turn: epoll_wait and the ends of lists.
    turn: float = 1500
    # Held for a retained message that is stored: retained_bench, ReplaceAtRandom/messages:100000.
    retained_lock: float = 630
    # Held for a SUBSCRIBE's filter: trie_bench, InsertAll.
    trie_lock: float = 450
    # Held for a CONNECT: registry_bench, ClaimRelease, and two lines from another core.
    registry_lock: float = 200


CASES = {
    # pair -P 100 -w 500: 55.3 ns with one worker, 60.5 ns with two.
    "QoS 0, bursts with one topic each": Costs(local=55, remote=10),
    # pair -P 10 -q 2: 344 ns and 502 ns. Each message is a parcel of its own.
    "QoS 2": Costs(local=344, remote=316),
}
FIRST = next(iter(CASES.values()))


@dataclasses.dataclass
class Turn:
    """The turn that reproduces itself."""

    cores: int
    load: int
    ns: float
    batches: float
    stamps_busy: float  # Share of the time in which a target's counter is being added to.

    @property
    def delivery_ns(self):
        return self.ns / self.load

    @property
    def per_second(self):
        return self.cores * self.load / self.ns * 1e9


def batches_out(cores, load):
    """Targets that get something, if each message goes to a worker drawn at random."""
    if cores == 1:
        return 0.0
    return (cores - 1) * (1 - (1 - 1 / cores) ** load)


def turn(cores, load, costs=None, local_share=None):
    """`local_share`: of deliveries within a worker; None: as chance has it."""
    costs = costs or FIRST
    away = (1 - 1 / cores) if local_share is None else (1 - local_share) * (cores > 1)
    batches = batches_out(cores, load * away * cores / max(1, cores - 1)) if away else 0.0
    others = cores - 1
    ns = (
        costs.turn
        + load * (costs.local + away * costs.remote)
        + others * costs.flush
        + batches * (costs.stamp + costs.line)  # Sent, and as many taken:
        + batches * others * costs.scan
    )
    # A counter is a queue with one server: each batch to this target occupies it for a line's
    # way. What waits there waits in the middle of a flush.
    busy = min(0.99, batches * costs.stamp / ns)
    ns += batches * costs.stamp * busy / (2 * (1 - busy))
    return Turn(cores, load, ns, batches, busy)


def ceiling(hold_ns):
    """What a lock allows, whatever the number of cores."""
    return 1e9 / hold_ns


def ring_bytes(cores, entries_min=256, total=1 << 18, parcel=56, entries_max=4096):
    """As broker/router/mailbox.c sizes them."""
    entries = entries_max
    while entries > entries_min and entries * cores * cores > total:
        entries //= 2
    return entries * parcel * cores * (cores - 1)
