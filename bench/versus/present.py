"""The report of a comparison: a page of tables and the charts."""

import json
import os

from bench.chart import chart
from bench.versus import compare, loads
from bench.versus.compare import FLOOR, OURS, count, median, ratio, short, time_text

SIZES = [("16 B", 16), ("100 B", 100), ("1 KB", 1 << 10), ("16 KB", 16 << 10), ("1 MB", 1 << 20)]


def table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    lines += ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join(lines)


def cell(value, text):
    return "-" if value is None else text(value)


def throughput_of(names):
    """Those loads that run as fast as they can."""
    return [name for name in names if loads.by_name(name)]


def value_table(report, names, columns):
    """One row for each load, one column for each peer and key."""
    rows = []
    for name in names:
        row = [name]
        for peer in report["peers"]:
            parts = [
                cell(median(report["rounds"], name, peer, key), text) for key, text in columns
            ]
            row.append(" · ".join(parts) if set(parts) != {"-"} else "-")
        rows.append(row)
    return table(["load", *report["peers"]], rows)


def ratio_table(report, names):
    rounds, reference = report["rounds"], report["reference"]
    rows = []
    for name in names:
        row = [name]
        for other, key in (
            (reference, "per_second"),
            (reference, "cpu_ns"),
            (FLOOR, "per_second"),
            (FLOOR, "cpu_ns"),
        ):
            found = ratio(rounds, name, OURS, other, key)
            row.append(found.text() if found else "-")
        rows.append(row)
    head = [
        "load",
        f"throughput by {reference}'s",
        f"CPU by {reference}'s",
        "throughput by the floor's",
        "CPU by the floor's",
    ]
    return table(head, rows)


def target_table(report):
    found = compare.targets(report["rounds"], report["loads"], report["reference"])
    rows = []
    for one in found:
        met = {True: "met", False: "**not met**", None: "-"}[one.met]
        rows.append([one.load, one.what, one.wanted, one.measured, met])
    return table(["load", "what", "target", "measured", ""], rows) if rows else "None."


def faults(report):
    """What was lost or didn't run, for everybody to see."""
    lines = []
    for number, one in enumerate(report["rounds"]):
        for load, row in one.items():
            for peer, values in row.items():
                if "error" in values:
                    first = values["error"].splitlines()[0]
                    lines.append(f"- round {number + 1}, {load}, {peer}: {first}")
    return "\n".join(lines) if lines else "None: no message was lost, doubled or out of order."


def markdown(report):
    names = throughput_of(report["loads"])
    others = [name for name in report["loads"] if name not in names]
    rounds = len(report["rounds"])
    pinned = "generator on the last core, brokers on the others" if report["pinned"] else "unpinned"
    parts = [
        "# Millrace beside others",
        "Written by `bazel run //bench:versus`; [README.md](README.md) says how it is measured.",
        f"{report['machine']}; {report['date']}; {rounds} rounds of {report['seconds']:g} s; "
        f"{report['workers']} worker(s); {pinned}. Ratios: median of the rounds (smallest-largest).",
        "## Targets",
        target_table(report),
    ]
    if names:
        parts += [
            "## Millrace, as ratios",
            ratio_table(report, names),
            "## Deliveries a second · CPU of the broker for each · system calls for each",
            value_table(
                report, names, [("per_second", count), ("cpu_ns", time_text), ("syscalls", short)]
            ),
            "## Memory of the broker at the end, MB",
            value_table(report, names, [("memory_bytes", lambda v: short(v / 1e6))]),
        ]
    if loads.LATENCY in others:
        rate = median(report["rounds"], loads.LATENCY, report["peers"][0], "per_second")
        parts += [
            f"## Latency at {cell(rate, count)}/s, half of what {report['reference']} can do",
            "p50 · p99 · p99.9, counted from when a message was due.",
            value_table(report, [loads.LATENCY], quantiles()),
        ]
    if loads.SLOW in others:
        parts += [
            "## Many slow publishers",
            f"{loads.SLOW_RATE_EACH} messages a second from each of "
            f"{int(loads.SLOW_PUBLISHERS * report['scale'])} clients: CPU · system calls for each, "
            "p50 · p99 · p99.9.",
            value_table(
                report,
                [loads.SLOW],
                [("cpu_ns", time_text), ("syscalls", short), *quantiles()],
            ),
        ]
    if loads.IDLE in others:
        columns = [("memory_each_bytes", lambda v: f"{v:.0f} B")]
        parts += ["## Memory of an idle client", value_table(report, [loads.IDLE], columns)]
    if loads.CONNECTS in others:
        columns = [("per_second", count), ("cpu_ns", time_text)]
        parts += [
            "## Connects a second (with one SUBSCRIBE each) · CPU for each",
            value_table(report, [loads.CONNECTS], columns),
        ]
    parts += ["## Faults", faults(report)]
    return "\n\n".join(parts) + "\n"


def quantiles():
    return [(name + "_ns", time_text) for name in ("p50", "p99", "p99.9")]


# ------------------------------------------------------------------------ charts


def series(report, names, key, factor=1.0):
    found = []
    for peer in report["peers"]:
        medians = [median(report["rounds"], name, peer, key) for name in names]
        if any(value is not None for value in medians):
            scaled = [None if value is None else value * factor for value in medians]
            found.append(chart.Series(peer, scaled))
    return found


def draw(report, folder):
    """Writes versus-*.svg."""
    names = [n for n in throughput_of(report["loads"]) if not n.startswith("payload")]
    charts = {}
    if names:
        charts["throughput"] = chart.bars(
            "Deliveries a second, 100-byte payload", "deliveries/s, logarithmic", names,
            series(report, names, "per_second"), log=True,
        )
        charts["cpu"] = chart.bars(
            "CPU of the broker for each delivery", "ns, logarithmic; less is better", names,
            series(report, names, "cpu_ns"), log=True, show=time_text,
        )
    counted = [n for n in names if series(report, [n], "syscalls")]
    if counted:
        charts["syscalls"] = chart.bars(
            "System calls of the broker for each delivery", "logarithmic; less is better", counted,
            series(report, counted, "syscalls"), log=True,
        )
    sizes = [(text, size) for text, size in SIZES if f"payload {text}" in report["loads"]]
    if len(sizes) > 1:
        payloads = [f"payload {text}" for text, _ in sizes]
        lines = series(report, payloads, "per_second")
        for one in lines:
            one.values = [v and v * s for v, (_, s) in zip(one.values, sizes)]
        charts["payload"] = chart.lines(
            "Payload delivered, one publisher to one subscriber", "bytes of payload",
            "bytes/s", [size for _, size in sizes], lines, log_x=True, log_y=True,
        )
    if loads.LATENCY in report["loads"]:
        keys = ["p50", "p99", "p99.9"]
        lines = []
        for peer in report["peers"]:
            found = [median(report["rounds"], loads.LATENCY, peer, k + "_ns") for k in keys]
            lines.append(chart.Series(peer, [v and v / 1e3 for v in found]))
        charts["latency"] = chart.bars(
            f"Latency at half of what {report['reference']} can do",
            "us, logarithmic; less is better", keys, lines, log=True,
        )
    for name, svg in charts.items():
        chart.write(os.path.join(folder, f"versus-{name}.svg"), svg)


def store(report, name, to_text, to_charts, folder):
    """Writes NAME.json, NAME.md and the charts. Returns the program's exit code."""
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, name + ".json"), "w", encoding="utf-8") as file:
        json.dump(report, file, indent=1)
    text = to_text(report)
    with open(os.path.join(folder, name + ".md"), "w", encoding="utf-8") as file:
        file.write(text)
    to_charts(report, folder)
    print(text)
    rows = [row for one in report["rounds"] for row in one.values()]
    return 1 if any("error" in values for row in rows for values in row.values()) else 0
