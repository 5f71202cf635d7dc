"""Ratios between peers, of values that were measured in the same round, and targets."""

import dataclasses
import statistics

from bench.versus import loads

FLOOR = "floor"
OURS = "millrace"


def values(rounds, load, peer, key):
    """One for each round in which there is one."""
    found = (r.get(load, {}).get(peer, {}).get(key) for r in rounds)
    return [value for value in found if value is not None]


def median(rounds, load, peer, key):
    found = values(rounds, load, peer, key)
    return statistics.median(found) if found else None


@dataclasses.dataclass
class Ratio:
    """The median of the rounds' ratios, and the smallest and largest one."""

    median: float
    low: float
    high: float

    def text(self):
        return f"{short(self.median)}x ({short(self.low)}-{short(self.high)})"


def ratio(rounds, load, peer, other, key):
    """`peer` by `other`, round by round; None without a common round."""
    found = []
    for one in rounds:
        a = one.get(load, {}).get(peer, {}).get(key)
        b = one.get(load, {}).get(other, {}).get(key)
        if a is not None and b:
            found.append(a / b)
    if not found:
        return None
    return Ratio(statistics.median(found), min(found), max(found))


def short(value):
    """Three digits."""
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def count(value):
    for limit, unit in ((1e6, " M"), (1e3, " k")):
        if value >= limit:
            return short(value / limit) + unit
    return short(value)


def time_text(ns):
    for limit, unit in ((1e9, " s"), (1e6, " ms"), (1e3, " us")):
        if ns >= limit:
            return short(ns / limit) + unit
    return short(ns) + " ns"


# ------------------------------------------------------------------------ targets


@dataclasses.dataclass
class Target:
    """One sentence of the plan, and what came out."""

    load: str
    what: str
    wanted: str
    measured: str
    met: bool  # None: not measured.


def target(load, what, wanted, found, met, text):
    if found is None:
        return Target(load, what, wanted, "not measured", None)
    return Target(load, what, wanted, text(found), met(found))


def at_least(load, what, limit, found):
    return target(
        load, what, f"at least {short(limit)}x", found, lambda r: r.median >= limit, Ratio.text
    )


def at_most(load, what, limit, found):
    return target(
        load, what, f"at most {short(limit)}x", found, lambda r: r.median <= limit, Ratio.text
    )


def limit_of(load, what, limit, found, text):
    return target(load, what, "at most " + text(limit), found, lambda v: v <= limit, text)


def throughput_targets(rounds, load, reference):
    name = load.name
    if load.ratio_min:
        found = ratio(rounds, name, OURS, reference, "per_second")
        yield at_least(name, f"throughput by {reference}'s", load.ratio_min, found)
    if load.floor_throughput_min:
        found = ratio(rounds, name, OURS, FLOOR, "per_second")
        yield at_least(name, "throughput by the floor's", load.floor_throughput_min, found)
    if load.floor_max:
        found = ratio(rounds, name, OURS, FLOOR, "cpu_ns")
        yield at_most(name, "CPU of a delivery by the floor's", load.floor_max, found)
    if load.cpu_ns_max:
        found = median(rounds, name, OURS, "cpu_ns")
        yield limit_of(name, "CPU of a delivery", load.cpu_ns_max, found, time_text)
    if load.syscalls_max:
        found = median(rounds, name, OURS, "syscalls")
        yield limit_of(name, "system calls of a delivery", load.syscalls_max, found, short)


def targets(rounds, selected, reference):
    """All targets of the selected loads."""
    for load in loads.THROUGHPUT:
        if load.name in selected:
            yield from throughput_targets(rounds, load, reference)
    if loads.LATENCY in selected:
        for key in "p50", "p99", "p99.9":
            found = ratio(rounds, loads.LATENCY, OURS, reference, key + "_ns")
            what = f"{key} by {reference}'s"
            yield at_most(loads.LATENCY, what, loads.LATENCY_RATIO_MAX, found)
    if loads.IDLE in selected:
        found = median(rounds, loads.IDLE, OURS, "memory_each_bytes")
        text = lambda v: f"{v:.0f} bytes"
        yield limit_of(loads.IDLE, "memory of a client", loads.IDLE_BYTES_MAX, found, text)
    if loads.CONNECTS in selected:
        found = ratio(rounds, loads.CONNECTS, OURS, reference, "per_second")
        yield at_least(loads.CONNECTS, f"by {reference}'s", loads.CONNECTS_RATIO_MIN, found)
