"""The report of the stages: measured beside claimed, tables and charts."""

import os

from bench.chart import chart
from bench.stages import plan
from bench.versus.compare import count, median, ratio, short, time_text
from bench.versus.present import cell, faults, table

COLUMNS = [
    ("deliveries/s", "per_second", count),
    ("CPU of a delivery", "cpu_ns", time_text),
    ("p50", "p50_ns", time_text),
    ("p99", "p99_ns", time_text),
    ("system calls", "syscalls", short),
    ("allocations", "allocations", short),
    ("locks", "locks", short),
    ("memory, MB", "memory_bytes", lambda v: short(v / 1e6)),
]


def verdict(claim, found):
    """In words, what came out of a claim."""
    if claim.low == 0:
        return "measured"
    if found.median < claim.low:
        much = "no gain" if found.median < 1.1 else f"only {short(found.median)}x"
        return f"**does not hold**: {much}"
    if claim.high and found.median > claim.high:
        return "more than claimed"
    return "holds"


def claim_rows(report):
    rounds = report["rounds"]
    for claim in plan.CLAIMS:
        better, worse = claim.better, claim.worse
        if claim.less:
            better, worse = worse, better
        found = ratio(rounds, claim.load, better, worse, claim.key)
        if found is None and claim.less:
            # To nothing at all: a ratio has no number.
            left = median(rounds, claim.load, claim.better, claim.key)
            text, word = ("to 0", "more than claimed") if left == 0 else ("not measured", "-")
        elif found is None:
            text, word = "not measured", "-"
        else:
            text, word = found.text(), verdict(claim, found)
        what = f"{claim.load}: {claim.better} by {claim.worse}"
        yield [claim.stage, claim.claimed, what, text, word]


def number_rows(report):
    """Claims of plain numbers."""
    rounds = report["rounds"]

    def row(stage, claimed, what, found, text, met):
        if found is None:
            return [stage, claimed, what, "not measured", "-"]
        return [stage, claimed, what, text(found), "holds" if met(found) else "**does not hold**"]

    allocations = median(rounds, plan.FAN_OUT, "+ buffer pool", "allocations")
    yield row(
        "zero-copy fan-out", "allocations of a delivery to 0", plan.FAN_OUT, allocations, short,
        lambda v: v < 0.001,
    )
    before = median(rounds, "idle", "before", "memory_each_bytes")
    after = median(rounds, "idle", "+ event loop", "memory_each_bytes")
    text = lambda v: f"{v / 1024:.1f} KiB"
    yield row(
        "IO model", "a client took 1-2 MB", "idle: before", before, text,
        lambda v: v >= 1 << 20,
    )
    yield row(
        "IO model", "and then about nothing", "idle: + event loop", after, text,
        lambda v: v < 2048,
    )
    rate = median(rounds, plan.STEP, "before", "per_second")
    yield row(
        "all together", "about 200 messages/s for a client before", plan.STEP + ": before", rate,
        count, lambda v: v < 2 * plan.RATE_BEFORE_CLAIMED,
    )
    latency = median(rounds, plan.STEP, "before", "p50_ns")
    yield row(
        "all together", "5 ms for a message before", plan.STEP + ": before, p50", latency,
        time_text, lambda v: v > plan.LATENCY_BEFORE_CLAIMED_NS / 2,
    )
    for load in plan.PAIR, plan.FAN_OUT:
        rate = median(rounds, load, "millrace", "per_second")
        yield row(
            "all together", "1,000,000 messages/s", load + ": millrace", rate, count,
            lambda v: v >= plan.RATE_CLAIMED,
        )
    ns = report["lookup_ns"]
    for kind in "trie", "cache":
        yield row(
            "subscription lookup", "10-100x on hot topics (the lookup alone)",
            f"walk by {kind}: {ns['walk']:.0f} ns by {ns[kind]:.0f} ns", ns["walk"] / ns[kind],
            lambda v: short(v) + "x", lambda v: v >= 10,
        )


def load_table(report, load):
    rows = []
    for name in report["variants"]:
        cells = [cell(median(report["rounds"], load, name, k), f) for _, k, f in COLUMNS]
        rows.append([name, *cells])
    return table(["variant", *[head for head, _, _ in COLUMNS]], rows)


def perf_table(report):
    rows = []
    for name in report["variants"]:
        seen = median(report["rounds"], plan.PAIR, name, "syscalls_perf")
        if seen is not None:
            own = median(report["rounds"], plan.PAIR, name, "syscalls")
            rows.append([name, short(own), short(seen)])
    return table(["variant", "its own count", "perf's"], rows) if rows else "perf isn't there."


def idle_table(report):
    rounds = report["rounds"]
    rows = []
    for name in report["variants"]:
        found = median(rounds, "idle", name, "memory_each_bytes")
        if found is not None:
            rows.append([name, f"{found:.0f} B"])
    return table(["variant", "memory of an idle client"], rows)


def markdown(report):
    pinned = "generator on the last core, broker on the others" if report["pinned"] else "unpinned"
    head = ["stage", "claimed", "what was compared", "measured", ""]
    parts = [
        "# The stages, measured beside claimed",
        "Written by `bazel run //bench:stages`; [README.md](README.md) says how it is measured.",
        f"{report['machine']}; {report['date']}; {len(report['rounds'])} rounds of "
        f"{report['seconds']:g} s; {pinned}. Ratios: median of the rounds (smallest-largest).",
        table(head, [*claim_rows(report), *number_rows(report)]),
    ]
    for load in report["loads"]:
        words = " ".join(map(str, plan.LOADS[load]))
        parts += [f"## {load}", f"`load {words}`; values are for each delivery."]
        parts += [load_table(report, load)]
    parts += ["## Idle clients", idle_table(report)]
    parts += [f"## System calls of a delivery, {plan.PAIR}", perf_table(report)]
    parts += ["## Faults", faults(report)]
    return "\n\n".join(parts) + "\n"


# ------------------------------------------------------------------------ charts


def draw(report, folder):
    """Writes stages-*.svg: the sequence on each load."""
    names = [v.name for v in plan.in_sequence()] + ["millrace"]
    names = [name for name in names if name in report["variants"]]
    shown = [load for load in report["loads"] if load != plan.STEP]
    rounds = report["rounds"]

    def series(key):
        return [
            chart.Series(load, [median(rounds, load, name, key) for name in names])
            for load in shown
        ]

    charts = {
        "throughput": chart.bars(
            "Deliveries a second, stage by stage", "deliveries/s, logarithmic", names,
            series("per_second"), log=True,
        ),
        "cpu": chart.bars(
            "CPU of the broker for each delivery, stage by stage",
            "ns, logarithmic; less is better", names, series("cpu_ns"), log=True, show=time_text,
        ),
        "syscalls": chart.bars(
            "System calls for each delivery, stage by stage", "logarithmic; less is better",
            names, series("syscalls"), log=True,
        ),
        "allocations": chart.bars(
            "Allocations for each delivery, stage by stage", "less is better",
            names, series("allocations"),
        ),
    }
    for name, svg in charts.items():
        chart.write(os.path.join(folder, f"stages-{name}.svg"), svg)
