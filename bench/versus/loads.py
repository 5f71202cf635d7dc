"""What is measured: each load with its arguments, and the targets it has to meet."""

import dataclasses

PAYLOAD = 100
WILDCARD_TOPICS = 1_000_000

# A closed loop may have so many bytes under way for each publisher.
WINDOW_BYTES = 4 << 20
WINDOW_MAX = 1000


def window(size, publishers=1):
    """Messages under way: enough to keep everybody busy, not so many that queues overflow."""
    return max(2, min(WINDOW_MAX, WINDOW_BYTES // size, 50_000 // publishers))


@dataclasses.dataclass
class Load:
    """One load. Targets of None are not set; `floor` says whether the relay can do it."""

    name: str
    words: list
    group: str
    floor: bool = True
    ratio_min: float = None  # Throughput, times the reference's.
    floor_max: float = None  # CPU for a delivery, times the floor's.
    cpu_ns_max: float = None  # CPU for a delivery.
    floor_throughput_min: float = None  # Throughput, times the floor's.
    syscalls_max: float = None  # For each delivery.


def pair(count, size=PAYLOAD, qos=0, name=None, group="pair", **targets):
    words = ["pair", "-P", count, "-s", size, "-q", qos, "-w", window(size, count)]
    name = name or f"pair {count}-{count}" + (f" QoS {qos}" if qos else "")
    return Load(name, words, group, floor=qos == 0, **targets)


def fan_in(count, **targets):
    words = ["fan-in", "-P", count, "-s", PAYLOAD, "-w", window(PAYLOAD, count)]
    return Load(f"fan-in {count}-1", words, "fan-in", **targets)


def fan_out(count, qos=0, **targets):
    words = ["fan-out", "-S", count, "-s", PAYLOAD, "-q", qos, "-w", 100]
    name = f"fan-out 1-{count}" + (f" QoS {qos}" if qos else "")
    return Load(name, words, "fan-out", floor=qos == 0, **targets)


def payload(size, text):
    large = size >= 16 << 10
    return pair(
        1,
        size,
        name=f"payload {text}",
        group="payload",
        floor_max=1.2 if large else None,
        floor_throughput_min=1 / 1.2 if large else None,
    )


THROUGHPUT = [
    pair(1, ratio_min=50, floor_max=2, syscalls_max=0.02),
    pair(10, syscalls_max=0.02),
    pair(100, ratio_min=35, floor_max=2.5),
    fan_in(100, ratio_min=40, floor_max=2.5),
    fan_in(1000, ratio_min=40, floor_max=2.5),
    fan_out(100, ratio_min=80, floor_max=1.5),
    fan_out(1000, ratio_min=80, floor_max=1.5),
    pair(10, qos=1, ratio_min=80, cpu_ns_max=250),
    pair(10, qos=2, ratio_min=100, cpu_ns_max=400),
    fan_out(100, qos=1, ratio_min=40, cpu_ns_max=200),
    payload(16, "16 B"),
    payload(100, "100 B"),
    payload(1 << 10, "1 KB"),
    payload(16 << 10, "16 KB"),
    payload(1 << 20, "1 MB"),
    Load(
        "wildcard",
        ["wildcard", "-P", 10, "-S", 100, "-T", WILDCARD_TOPICS, "-s", PAYLOAD, "-w", 1000],
        "wildcard",
        floor=False,
        ratio_min=50,
    ),
]

# The rest is no throughput at full speed, and has measures of its own.
SLOW_PUBLISHERS, SLOW_RATE_EACH = 10_000, 10
SLOW = "slow publishers"
LATENCY = "latency"
IDLE = "idle"
CONNECTS = "connects"
LATENCY_RATIO_MAX = 1 / 3
IDLE_CLIENTS = 19_000  # Both processes have to hold them, and 20,000 descriptors is common.
IDLE_BYTES_MAX = 512
CONNECTS_RATIO_MIN = 5

# What latency is measured with, at half of the reference's throughput on the same load.
LATENCY_LOAD = "pair 10-10"
LATENCY_SHARE = 0.5

OTHERS = [SLOW, LATENCY, IDLE, CONNECTS]


def slow_words(scale):
    count = max(10, int(SLOW_PUBLISHERS * scale))
    return ["fan-in", "-P", count, "-r", count * SLOW_RATE_EACH, "-a", 4, "-w", 1000]


def latency_words(rate):
    return ["pair", "-P", 10, "-s", PAYLOAD, "-r", int(rate), "-w", 20000]


def idle_words(scale):
    return ["idle", "-S", max(50, int(IDLE_CLIENTS * scale)), "-a", 4]


def connects_words():
    return ["churn", "-S", 100, "-a", 50]


def names():
    return [load.name for load in THROUGHPUT] + OTHERS


def by_name(name):
    for load in THROUGHPUT:
        if load.name == name:
            return load
    return None
