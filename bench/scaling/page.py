"""The model's page and chart."""

import os

from bench.chart import chart
from bench.scaling.model import CASES, CORES, FIRST, LOADS, WORKERS_MAX, ceiling, ring_bytes, turn

TEXT = """# More cores than were measured

Written by `bazel run //bench:scaling` from a model; the numbers are no measurement. What feeds it
was measured on 2 cores, and stands with its source in `bench/scaling/model.py`. Use it for
shapes: what grows with the number of cores, and which shared structure is the first to break.

## The model

All workers are busy. In each turn a worker handles some messages of its own clients, each for one
receiver on a worker drawn at random (no luck with placement: the worst case for a design that
shares nothing), and what the others have flushed to it. A turn's time is

    turn + messages * (local + away * remote) + others * flush
         + batches * (stamp + line + others * scan + waiting for the stamp counter)

with `away` = 1 - 1/cores, and batches = others * (1 - (1 - 1/cores)^messages). A target's stamp
counter is a queue with one server and service times that don't vary (M/D/1).

What was seen at 2 workers, with the generator on the same two cores (`bench/load`, 3 interleaved
rounds of 1 s): pair 100-100 at QoS 0 went from 11.3 to 13.0 M/s, where the generator took 0.94 of
a core; QoS 2 pairs went from 2.9 to 2.5 M/s, where it took 0.36 and two workers had only the rest.
So two cores can't show how far two workers scale; they show what a delivery costs (55 -> 60 ns,
344 -> 502 ns with half of the pairs on different workers), and that is what the model starts from.

{tables}

{chart}

## Locks

Three structures are shared under a lock. None is taken for an ordinary PUBLISH. A lock's ceiling
doesn't grow with the cores, so the share of messages that may take it falls.

{locks}

## What breaks first

1. **Finding the oldest batch**, whatever the load, once messages cross workers. A target looks at
   the first entry of each other worker's ring for each batch: with the square of the cores in a
   turn. At 32 cores that is {scan_32:.0%} of a turn of 100 messages, at 128 {scan_128:.0%}: more
   cores than 64 add nothing then. The way out is a heap of rings by stamp.
2. **The retained store's lock**, if many messages are retained: {retained} a second is all that any
   number of cores stores, reached at 8 cores when one message in {retained_8} is retained. The way
   out is one index for each range of topic names; matches of filters with wildcards then visit
   several.
3. **The word of targets.** A message's targets are bits of one 64-bit word, so there are at most
   {workers_max} workers (`MR_WORKERS_MAX`); the lines for 128 are what two words would do. More
   than that on one machine: several brokers' worth of memory channels, where a process for each
   socket and a bridge between them is the better answer.
4. **Rings for each pair of workers** take memory with the square of their number: {rings_64} at 64,
   touched only as far as they are used.

Not broken by more cores: the topic cache and the trie's readers (nothing is written), buffers
(counted by their owner without atomic instructions), stamp counters (batches grow when turns do,
so they are busy {stamps:.0%} of the time at most in the tables above).

## Placement

The column "of ideal" is the price of receivers that live elsewhere. It isn't paid by deliveries
within a worker, nor by fan-out: there one parcel goes to each worker, whatever the number of
receivers. So what grows best is broadcast; what grows worst is pairs at random.
"""


def table(costs):
    lines = [
        "| cores | messages of own clients in a turn | deliveries a second | of ideal | "
        "CPU of each | batches in a turn | a stamp counter is busy | rings |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for cores in CORES:
        for load in LOADS:
            it = turn(cores, load, costs)
            ideal = cores * turn(1, load, costs).per_second
            lines.append(
                f"| {cores} | {load} | {chart.format_value(it.per_second)} | "
                f"{it.per_second / ideal:.0%} | "
                f"{it.delivery_ns:.0f} ns | {it.batches:.1f} | {it.stamps_busy:.1%} | "
                f"{chart.format_value(ring_bytes(cores))}B |"
            )
    return "\n".join(lines)


def locks(costs):
    lines = [
        "| lock | held | ceiling | of messages at 8, 32, 128 cores (100 in a turn) |",
        "|---|---|---|---|",
    ]
    for name, hold in (
        ("retained store: a retained PUBLISH", costs.retained_lock),
        ("trie: a filter of a SUBSCRIBE or UNSUBSCRIBE", costs.trie_lock),
        ("registry: a CONNECT", costs.registry_lock),
    ):
        shares = ", ".join(
            f"{min(1, ceiling(hold) / turn(cores, 100, costs).per_second):.2%}"
            for cores in (8, 32, 128)
        )
        most = chart.format_value(ceiling(hold))
        lines.append(f"| {name} | {hold:.0f} ns | {most} a second | {shares} |")
    return "\n".join(lines)


def scan_share(cores, costs, load=100):
    it = turn(cores, load, costs)
    return it.batches * (cores - 1) * costs.scan / it.ns


def picture(costs):
    series = [
        chart.Series(f"{load} in a turn", [turn(c, load, costs).per_second for c in CORES])
        for load in LOADS
    ]
    own = [turn(c, 100, costs, local_share=1).per_second for c in CORES]
    series.append(chart.Series("100, receivers on the same worker", own))
    title = "Model: QoS 0 deliveries a second"
    return chart.lines(title, "cores", "a second", CORES, series, log_x=True, log_y=True)


def text(costs=None):
    costs = costs or FIRST
    retained = ceiling(costs.retained_lock)
    return TEXT.format(
        tables="\n\n".join(f"### {name}\n\n{table(one)}" for name, one in CASES.items()),
        chart="![deliveries a second by cores](scaling.svg)",
        locks=locks(costs),
        retained=chart.format_value(retained),
        retained_8=round(turn(8, 100, costs).per_second / retained),
        scan_32=scan_share(32, costs),
        scan_128=scan_share(128, costs),
        workers_max=WORKERS_MAX,
        rings_64=chart.format_value(ring_bytes(64)) + "B",
        stamps=max(
            turn(cores, load, one).stamps_busy
            for cores in CORES
            for load in LOADS
            for one in CASES.values()
        ),
    )


def write(folder, words):
    with open(os.path.join(folder, "scaling.md"), "w", encoding="utf-8") as file:
        file.write(words)
    chart.write(os.path.join(folder, "scaling.svg"), picture(FIRST))
