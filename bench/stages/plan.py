"""The stages, the loads that show them, and what was claimed of each."""

import dataclasses

from bench.versus import peers

BEFORE = {
    "io": "threads",
    "batch": "off",
    "fanout": "copy",
    "lookup": "walk",
    "memory": "malloc",
    "handover": "mutex",
}
AFTER = {
    "io": "epoll",
    "batch": "on",
    "fanout": "shared",
    "lookup": "cache",
    "memory": "pool",
    "handover": "ring",
}

MIMALLOC = "/usr/lib/x86_64-linux-gnu/libmimalloc.so.2"


@dataclasses.dataclass
class Variant:
    """One way to put the bench broker together."""

    name: str
    flags: dict
    workers: int = 1
    mimalloc: bool = False

    def peer(self, binary):
        words = [binary, "--port", "{port}", "--workers", str(self.workers)]
        for key, value in self.flags.items():
            words += ["--" + key, value]
        return peers.Peer(
            self.name, words, environment={"LD_PRELOAD": MIMALLOC} if self.mimalloc else None
        )


# The steps in the order of the plan: name, what it changes.
STEPS = [
    ("event loop", {"io": "epoll"}),
    ("batched IO", {"batch": "on"}),
    ("shared buffer", {"fanout": "shared"}),
    ("trie", {"lookup": "trie"}),
    ("topic cache", {"lookup": "cache"}),
    ("buffer pool", {"memory": "pool"}),
]


def in_sequence():
    """Each step on top of those before it."""
    flags = dict(BEFORE)
    found = [Variant("before", dict(flags))]
    for name, change in STEPS:
        flags.update(change)
        found.append(Variant("+ " + name, dict(flags)))
    found.append(Variant("+ mimalloc", dict(flags), mimalloc=True))
    found.append(Variant("with io_uring", {**flags, "io": "io_uring"}))
    return found


def alone():
    """The broker before with one step."""
    found = [Variant(f"only {name}", {**BEFORE, **change}) for name, change in STEPS]
    found.append(Variant("only mimalloc", dict(BEFORE), mimalloc=True))
    return found


def left_out():
    """All of it but one."""
    return [
        Variant(f"without {name}", {**AFTER, key: BEFORE[key]})
        for name, key in (
            ("event loop", "io"),
            ("batched IO", "batch"),
            ("shared buffer", "fanout"),
            ("topic cache", "lookup"),
            ("buffer pool", "memory"),
        )
    ]


def hand_over():
    """Between two workers."""
    return [
        Variant("two workers, mutex", {**AFTER, "handover": "mutex"}, workers=2),
        Variant("two workers, ring", dict(AFTER), workers=2),
    ]


# Loads: name, arguments of bench/load.
PAIR, PAIRS, FAN_OUT, TOPICS, STEP, QOS1 = (
    "pair 10-10",
    "pair 100-100",
    "fan-out 1-100",
    "hot topics",
    "one at a time",
    "pair 10-10 QoS 1",
)
LOADS = {
    PAIR: ["pair", "-P", 10],
    PAIRS: ["pair", "-P", 100, "-w", 500],
    FAN_OUT: ["fan-out", "-S", 100, "-w", 100],
    TOPICS: ["wildcard", "-P", 4, "-S", 100, "-T", 100_000, "-w", 500],
    STEP: ["pair", "-P", 1, "-q", 1, "-w", 1],
    QOS1: ["pair", "-P", 10, "-q", 1],
}
IDLE_CLIENTS = 2000
LOOKUP_TOPICS, LOOKUPS = 100_000, 2_000_000


@dataclasses.dataclass
class Claim:
    """`better` of the two variants on `load` should be low to high times `worse`."""

    stage: str
    claimed: str
    load: str
    key: str
    worse: str
    better: str
    low: float
    high: float = None
    less: bool = False  # The value is to get smaller: the ratio is worse / better.


CLAIMS = [
    Claim("IO model", "10x throughput", PAIRS, "per_second", "before", "+ event loop", 10),
    Claim("IO model", "10x latency", STEP, "p50_ns", "before", "+ event loop", 10, less=True),
    Claim("batched IO", "3-5x", PAIR, "per_second", "+ event loop", "+ batched IO", 3, 5),
    Claim("batched IO", "60-80 % fewer system calls: 2.5-5x", PAIR, "syscalls",
          "+ event loop", "+ batched IO", 2.5, 5, less=True),
    Claim("batched IO, alone", "3-5x", PAIR, "per_second", "before", "only batched IO", 3, 5),
    Claim("zero-copy fan-out", "2-3x", FAN_OUT, "per_second",
          "+ batched IO", "+ shared buffer", 2, 3),
    Claim("zero-copy fan-out, alone", "2-3x", FAN_OUT, "per_second",
          "before", "only shared buffer", 2, 3),
    Claim("zero-copy fan-out", "2-3x (CPU of a delivery)", FAN_OUT, "cpu_ns",
          "without shared buffer", "+ buffer pool", 2, 3, less=True),
    Claim("subscription lookup", "10-100x on hot topics (the whole broker)", TOPICS, "per_second",
          "+ shared buffer", "+ topic cache", 10, 100),
    Claim("memory", "2x", PAIR, "per_second", "+ topic cache", "+ mimalloc", 2),
    Claim("memory, alone", "2x", PAIR, "per_second", "before", "only buffer pool", 2),
    Claim("memory, alone", "50-70 % less allocator work: 2-3.3x", PAIR, "allocations",
          "before", "only buffer pool", 2, 3.3, less=True),
    Claim("hand-over", "to be measured", PAIR, "per_second",
          "two workers, mutex", "two workers, ring", 0),
    Claim("all together", "100-500x", PAIR, "per_second", "before", "millrace", 100, 500),
    Claim("all together", "100-500x", FAN_OUT, "per_second", "before", "millrace", 100, 500),
    Claim("all together", "100-500x less CPU of a delivery", PAIR, "cpu_ns",
          "before", "millrace", 100, 500, less=True),
]
# Claims of plain numbers: stage, what, load, key, variant, at least or at most what.
RATE_CLAIMED, RATE_BEFORE_CLAIMED, LATENCY_BEFORE_CLAIMED_NS = 1_000_000, 200, 5_000_000
