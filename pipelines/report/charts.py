"""Charts as inline SVG that fits any width, in the colours of the page.

A chart is as wide as its place: positions across are percentages, heights and letters are pixels, so that letters are
as large on a telephone as on a screen, which a drawing that is scaled as a whole cannot do. Colours are the page's
classes, which know light, dark and print. There is no script: what a mark stands for is its `title`.

Every function returns markup; texts in it are escaped, and what nobody sees in them is written out.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from markupsafe import Markup

from framegate.schemas.escape import escape

_LABEL: Final = 18  # pixels of a line of text above a bar
_BAR: Final = 12
_ROW: Final = _LABEL + _BAR + 10
LEAST_WIDTH: Final = 0.15  # per cent of a chart: a second of a night must be seen
_AXIS: Final = 20  # pixels of the labels below a plot


@dataclass(frozen=True, kw_only=True)
class Bar:
    """One bar of stacked lengths, each with its class: `s1`, `s2`, ... `said` is the text at its right end.

    `whisker`: the ends of an interval, in the unit of the lengths.
    """

    label: str
    lengths: Sequence[tuple[float, str]]
    said: str
    whisker: tuple[float, float] | None = None


@dataclass(frozen=True, kw_only=True)
class Column:
    """Stacked heights from `low` to `high` along the axis. `title` is what a pointer that rests on it is told."""

    low: float
    high: float
    heights: Sequence[tuple[float, str]]
    title: str


@dataclass(frozen=True, kw_only=True)
class Point:
    """A value with its interval, at a place along the axis."""

    x: float
    y: float
    low: float
    high: float
    title: str


@dataclass(frozen=True, kw_only=True)
class Stretch:
    """Of one lane and one label, from `low` to `high` along the axis."""

    lane: str
    label: str
    low: float
    high: float
    title: str


def draw_bars(bars: Sequence[Bar], *, about: str, most: float | None = None) -> Markup:
    """Bars from left to right below one another. `most`: the value at the right end; None: the longest."""
    longest = max(
        (max(sum(length for length, _ in bar.lengths), (bar.whisker or (0, 0))[1]) for bar in bars), default=0
    )
    scale = 100 / (most or longest or 1)
    rows = Markup("").join(_bar(bar, place * _ROW, scale) for place, bar in enumerate(bars))
    return _svg(rows, len(bars) * _ROW, about)


def draw_columns(
    columns: Sequence[Column],
    *,
    low: float,
    high: float,
    ticks: Sequence[tuple[float, str]],
    about: str,
    unit: str = "",
    mark: tuple[float, str] | None = None,
    height: int = 160,
) -> Markup:
    """Columns along an axis from `low` to `high`, with its `ticks`. `mark`: a line across at a place, with its name."""
    top = max((sum(tall for tall, _ in column.heights) for column in columns), default=0)
    step = _nice(top / 3)
    most = max(step, math.ceil(top / step) * step)
    lines = range(1, round(most / step) + 1)
    parts = [_rule(step * n / most, height) for n in lines]
    parts += [_column(column, low, high, most, height) for column in columns]
    parts += [_name(step * n / most, f"{_short(step * n)}{unit if n == lines[-1] else ''}", height) for n in lines]
    if mark is not None:
        parts.append(_mark(mark, low, high, height))
    parts.append(_axis(ticks, low, high, height))
    return _svg(Markup("").join(parts), height + _AXIS, about)


def draw_points(points: Sequence[Point], *, about: str, height: int = 220) -> Markup:
    """Values from 0 to 1 on both axes, with their intervals and the diagonal on which both are equal."""
    parts = [_rule(n / 4, height) + _name(n / 4, f"{n * 25} %", height) for n in range(1, 5)]
    parts.append(Markup('<line class="rule" x1="0%" y1="{}" x2="100%" y2="0"/>').format(height))
    for point in points:
        x, y, low, high = (point.x * 100, *((1 - share) * height for share in (point.y, point.low, point.high)))
        parts.append(
            Markup(
                '<g><title>{}</title><line class="whisker" x1="{:.2f}%" y1="{:.1f}" x2="{:.2f}%" y2="{:.1f}"/>'
                '<circle class="s1" cx="{:.2f}%" cy="{:.1f}" r="5"/></g>'
            ).format(escape(point.title), x, low, x, high, x, y)
        )
    parts.append(_axis([(n / 4, f"{n / 4:g}") for n in range(5)], 0.0, 1.0, height))
    return _svg(Markup("").join(parts), height + _AXIS, about)


def draw_lanes(
    stretches: Iterable[Stretch], *, labels: Sequence[str], low: float, high: float,
    ticks: Sequence[tuple[float, str]], about: str,
) -> Markup:  # fmt: skip
    """One lane below the other, in order of their names, with a thin line for each of the labels."""
    lanes: dict[str, list[Stretch]] = {}
    for stretch in stretches:
        lanes.setdefault(stretch.lane, []).append(stretch)
    size, parts = _LABEL + 9 * len(labels) + 8, []
    for place, lane in enumerate(sorted(lanes)):
        parts.append(_text(lane, "0%", place * size + 13))
        parts.append(Markup('<line class="grid" x1="0%" y1="{0}" x2="100%" y2="{0}"/>').format((place + 1) * size - 4))
        parts += [_stretch(one, labels, place * size, low, high) for one in lanes[lane]]
    height = len(lanes) * size
    parts.append(_axis(ticks, low, high, height))
    return _svg(Markup("").join(parts), height + _AXIS, about)


def _svg(inner: Markup, height: float, about: str) -> Markup:
    return Markup('<svg role="img" aria-label="{}" width="100%" height="{}">{}</svg>').format(about, height, inner)


def _text(text: str, x: str, y: float, kind: str = "") -> Markup:
    return Markup('<text x="{}" y="{:g}"{}>{}</text>').format(
        x, y, Markup(' class="{}"').format(kind) if kind else "", escape(text)
    )


def _bar(bar: Bar, top: float, scale: float) -> Markup:
    parts, left = [_text(bar.label, "0%", top + 13), _text(bar.said, "100%", top + 13, "end")], 0.0
    y = top + _LABEL
    parts.append(Markup('<rect class="track" x="0%" y="{:g}" width="100%" height="{}"/>').format(y, _BAR))
    for length, kind in bar.lengths:
        width = length * scale
        parts.append(
            Markup('<rect class="{}" x="{:.2f}%" y="{:g}" width="{:.2f}%" height="{}"/>').format(
                kind, left, y, width, _BAR
            )
        )
        left += width
    if bar.whisker is not None:
        low, high = (max(0.0, end * scale) for end in bar.whisker)
        parts.append(
            Markup('<line class="whisker" x1="{:.2f}%" y1="{:g}" x2="{:.2f}%" y2="{:g}"/>').format(
                low, y + _BAR / 2, high, y + _BAR / 2
            )
        )
    return Markup("").join(parts)


def _column(column: Column, low: float, high: float, most: float, height: int) -> Markup:
    left, right = (_place(end, low, high) for end in (column.low, column.high))
    gap = (right - left) * 0.08
    parts, base = [Markup("<title>{}</title>").format(escape(column.title))], float(height)
    for size, kind in column.heights:
        tall = size / most * height
        base -= tall
        parts.append(
            Markup('<rect class="{}" x="{:.2f}%" y="{:.1f}" width="{:.2f}%" height="{:.1f}"/>').format(
                kind, left + gap, base, right - left - 2 * gap, tall
            )
        )
    return Markup("<g>{}</g>").format(Markup("").join(parts))


def _stretch(one: Stretch, labels: Sequence[str], top: float, low: float, high: float) -> Markup:
    number = labels.index(one.label)
    left, right = (_place(end, low, high) for end in (one.low, one.high))
    width = max(LEAST_WIDTH, right - left)
    return Markup(
        '<rect class="s{} thin" x="{:.3f}%" y="{:g}" width="{:.3f}%" height="6"><title>{}</title></rect>'
    ).format(number + 1, min(left, 100 - width), top + _LABEL + 9 * number, width, escape(one.title))


def _rule(share: float, height: int) -> Markup:
    """A line of the grid at a share of the height."""
    return Markup('<line class="grid" x1="0%" y1="{0:.1f}" x2="100%" y2="{0:.1f}"/>').format((1 - share) * height)


def _name(share: float, label: str, height: int) -> Markup:
    """Its value, below the line at the left: over what is drawn there, since a margin costs a telephone too much."""
    return _text(label, "0%", (1 - share) * height + 12, "dim")


def _mark(mark: tuple[float, str], low: float, high: float, height: int) -> Markup:
    x = _place(mark[0], low, high)
    line = Markup('<line class="mark" x1="{0:.2f}%" y1="0" x2="{0:.2f}%" y2="{1}"/>').format(x, height)
    return line + _text(mark[1], f"{x - 0.8:.2f}%", 12, "end over")


def _axis(ticks: Sequence[tuple[float, str]], low: float, high: float, height: float) -> Markup:
    parts = [Markup('<line class="axis" x1="0%" y1="{0:g}" x2="100%" y2="{0:g}"/>').format(height)]
    for at, label in ticks:
        x = _place(at, low, high)
        kind = "dim" if x < 4 else "dim end" if x > 96 else "dim middle"
        parts.append(_text(label, f"{x:.2f}%", height + 15, kind))
    return Markup("").join(parts)


def _place(value: float, low: float, high: float) -> float:
    """A place along the axis in per cent, never beside it."""
    return min(100.0, max(0.0, (value - low) / (high - low) * 100)) if high > low else 0.0


def _nice(step: float) -> float:
    """The next larger number of 1, 2 and 5 times a power of ten; 1 at the least, since all heights are counts."""
    if step <= 1:
        return 1.0
    power = 10 ** math.floor(math.log10(step))
    return next((n * power for n in (1.0, 2.0, 5.0) if n * power >= step), 10.0 * power)


def _short(value: float) -> str:
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:g}{unit}"
    return f"{value:g}"
