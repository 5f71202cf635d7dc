"""Draws bar charts and lines as SVG, with nothing but Python's own library.

The colours are told apart also by those who don't see all of them, and by their lightness; the
text takes the colour of the page's, so that a chart can be read on a dark one.
"""

import dataclasses
import math
from xml.sax.saxutils import escape

COLOURS = ["#0b6e99", "#e8a33d", "#7a7a7a", "#8c4a8e", "#4c9f70", "#c44e52"]
FONT = "font-family='system-ui,sans-serif' fill='currentColor'"
WIDTH = 860
LEFT, RIGHT, TOP = 190, 90, 64
BAR, GAP, GROUP_GAP = 14, 2, 14


@dataclasses.dataclass
class Series:
    """One colour: a value for each label; None leaves a gap."""

    name: str
    values: list
    colour: str = None


def nice_ticks(low, high, log):
    if log:
        first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
        return [10.0**e for e in range(first, last + 1)]
    step = 10 ** math.floor(math.log10(high or 1))
    for part in (1, 2, 5):
        if high / (step / part) >= 4:
            step /= part
            break
    return [i * step for i in range(int(high / step) + 2)]


class Scale:
    """From a value to a place between two pixels."""

    def __init__(self, values, begin, end, log):
        positive = [v for v in values if v and v > 0] or [1]
        self.log = log
        low, high = min(positive), max(positive)
        self.ticks = nice_ticks(low if log else 0, high, log)
        if log and len(self.ticks) < 2:
            self.ticks.append(self.ticks[-1] * 10)
        self.begin, self.end = begin, end

    def at(self, value):
        low, high = self.ticks[0], self.ticks[-1]
        if self.log:
            share = math.log(max(value, low) / low) / math.log(high / low)
        else:
            share = value / high
        return self.begin + share * (self.end - self.begin)


def text(x, y, words, anchor="start", size=12, weight="normal"):
    return (
        f"<text x='{x:.1f}' y='{y:.1f}' text-anchor='{anchor}' font-size='{size}' "
        f"font-weight='{weight}' {FONT}>{escape(words)}</text>"
    )


def line(x1, y1, x2, y2, opacity=0.25, dash=""):
    return (
        f"<line x1='{x1:.1f}' y1='{y1:.1f}' x2='{x2:.1f}' y2='{y2:.1f}' stroke='currentColor' "
        f"stroke-opacity='{opacity}'" + (f" stroke-dasharray='{dash}'" if dash else "") + "/>"
    )


def legend(series):
    parts, x = [], LEFT
    for number, one in enumerate(series):
        colour = one.colour or COLOURS[number % len(COLOURS)]
        parts.append(f"<rect x='{x}' y='36' width='12' height='12' fill='{colour}'/>")
        parts.append(text(x + 17, 46, one.name))
        x += 34 + 7 * len(one.name)
    return parts


def document(title, height, parts):
    head = (
        f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {WIDTH} {height}' role='img' "
        f"width='{WIDTH}' height='{height}' color='#333'><title>{escape(title)}</title>"
        "<style>@media (prefers-color-scheme: dark) {svg {color: #ddd}}</style>"
    )
    return "\n".join([head, text(8, 20, title, size=15, weight="bold"), *parts, "</svg>"]) + "\n"


def format_value(value):
    for limit, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= limit:
            return f"{value / limit:.3g} {unit}"
    return f"{value:.3g}"


def bars(title, unit, labels, series, log=False, marks=None, show=format_value):
    """Horizontal bars, grouped by label. `marks` are values to be shown as lines, by label."""
    group = len(series) * (BAR + GAP) + GROUP_GAP
    bottom = TOP + group * len(labels)
    everything = [v for one in series for v in one.values] + list((marks or {}).values())
    scale = Scale(everything, LEFT, WIDTH - RIGHT, log)
    parts = legend(series)
    for tick in scale.ticks:
        x = scale.at(tick)
        parts.append(line(x, TOP - 4, x, bottom, 0.15))
        parts.append(text(x, bottom + 16, format_value(tick), "middle", 11))
    for row, label in enumerate(labels):
        top = TOP + row * group + GROUP_GAP / 2
        middle = top + (group - GROUP_GAP) / 2
        parts.append(text(LEFT - 10, middle + 4, label, "end"))
        for number, one in enumerate(series):
            value = one.values[row]
            y = top + number * (BAR + GAP)
            if value is None:
                parts.append(text(LEFT + 4, y + BAR - 3, "-", size=11))
                continue
            colour = one.colour or COLOURS[number % len(COLOURS)]
            width = max(1, scale.at(value) - LEFT)
            parts.append(
                f"<rect x='{LEFT}' y='{y:.1f}' width='{width:.1f}' height='{BAR}' fill='{colour}'/>"
            )
            parts.append(text(LEFT + width + 5, y + BAR - 3, show(value), size=11))
        if marks and marks.get(label):
            x = scale.at(marks[label])
            parts.append(line(x, top - 3, x, top + group - GROUP_GAP + 1, 0.9, "3,2"))
    parts.append(text((LEFT + WIDTH - RIGHT) / 2, bottom + 34, unit, "middle", 12))
    return document(title, bottom + 46, parts)


def lines(title, x_unit, y_unit, xs, series, log_x=False, log_y=False):
    """One line for each series over common x values."""
    height = 420
    bottom = height - 60
    across = Scale(xs, LEFT / 2, WIDTH - RIGHT, log_x)
    up = Scale([v for one in series for v in one.values], bottom, TOP, log_y)
    parts = legend(series)
    for tick in up.ticks:
        parts.append(line(LEFT / 2, up.at(tick), WIDTH - RIGHT, up.at(tick), 0.15))
        parts.append(text(LEFT / 2 - 6, up.at(tick) + 4, format_value(tick), "end", 11))
    for x in xs:
        parts.append(text(across.at(x), bottom + 16, format_value(x), "middle", 11))
    for number, one in enumerate(series):
        colour = one.colour or COLOURS[number % len(COLOURS)]
        points = [(across.at(x), up.at(v)) for x, v in zip(xs, one.values) if v is not None]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        parts.append(f"<polyline points='{path}' fill='none' stroke='{colour}' stroke-width='2'/>")
        for x, y in points:
            parts.append(f"<circle cx='{x:.1f}' cy='{y:.1f}' r='3' fill='{colour}'/>")
    parts.append(text((LEFT / 2 + WIDTH - RIGHT) / 2, height - 22, x_unit, "middle"))
    parts.append(text(8, TOP - 8, y_unit))
    return document(title, height, parts)


def write(path, svg):
    with open(path, "w", encoding="utf-8") as file:
        file.write(svg)
