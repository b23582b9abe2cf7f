"""Accuracy against what it costs, as one SVG that loads nothing: a file of its own, or a part of a page.

Each job is a numbered mark with the interval of its accuracy; the legend below has the names, so that no text lies on
another one. Jobs that no other one beats are joined by a line. Every text is escaped, and what nobody sees in it is
written out.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Sequence
from typing import Final

from markupsafe import Markup

from framegate.pipelines.compare.figures import Comparison, JobFigures
from framegate.pipelines.compare.front import TITLES, value_of
from framegate.schemas.escape import escape

WIDTH: Final = 720
LETTER: Final = 8.5
"""Pixels that a letter of 13 pixels takes at most, in the fonts of the style; a wide one, such as a Chinese, 13."""

_LEFT, _RIGHT, _TOP, _PLOT = 64, 24, 40, 300
_LINE: Final = 22  # of the legend
_RADIUS: Final = 9.0
_LETTERS: Final = 34  # of a name in the legend, in narrow ones
_STYLE: Final = (
    "text{font:13px system-ui,'Open Sans',Arial,sans-serif;fill:#1c2430}.dim{fill:#5c6675}.end{text-anchor:end}"
    ".middle{text-anchor:middle}.paper{fill:#ffffff}.grid{stroke:#dde2e8}.axis{stroke:#5c6675}"
    ".whisker{stroke:#5c6675;stroke-width:1.5}.front{stroke:#2f6fd0;stroke-width:2;fill:none}"
    ".on{fill:#2f6fd0}.off{fill:#8a94a3}.on-text{fill:#ffffff;font-size:11px;text-anchor:middle}"
)


def draw_comparison(found: Comparison) -> Markup:
    """The picture. Jobs without a value on the axis are in the legend alone."""
    placed = [
        (place, job, value) for place, job in enumerate(found.jobs) if (value := value_of(job, found.axis)) is not None
    ]
    most = _nice(max((value for _, _, value in placed), default=0.0))
    low = _floor(found.jobs)
    spots = _spread([(_x(value, most), _y(job.accuracy, low)) for _, job, value in placed])
    parts = [Markup('<rect class="paper" width="{}" height="{}"/>').format(WIDTH, _height(found))]
    parts += _axes(low, most, _title(found))
    on_front = sorted((_x(value, most), _y(job.accuracy, low)) for _, job, value in placed if job.is_on_front)
    if len(on_front) > 1:
        points = " ".join(f"{x:.1f},{y:.1f}" for x, y in on_front)
        parts.append(Markup('<polyline class="front" points="{}"/>').format(points))
    parts += [
        _mark(place + 1, job, value, most, low, spot) for (place, job, value), spot in zip(placed, spots, strict=True)
    ]
    parts += [_legend(place, job, value_of(job, found.axis)) for place, job in enumerate(found.jobs)]
    return Markup(
        '<svg xmlns="http://www.w3.org/2000/svg" role="img" viewBox="0 0 {0} {1}" width="{0}" height="{1}"'
        ' aria-label="{2}"><style>{3}</style>{4}</svg>'
    ).format(
        WIDTH, _height(found), f"Accuracy of {len(found.jobs)} jobs against {TITLES[found.axis]}", Markup(_STYLE),
        Markup("").join(parts),
    )  # fmt: skip


def text_width(text: str) -> float:
    """Pixels that a text takes at most."""
    return sum(13.0 if unicodedata.east_asian_width(char) in "WF" or ord(char) > 0xFFFF else LETTER for char in text)


def _height(found: Comparison) -> int:
    return _TOP + _PLOT + 56 + _LINE * len(found.jobs) + 12


def _title(found: Comparison) -> str:
    currency = next((job.currency for job in found.jobs if job.currency), None)
    return TITLES[found.axis] + (f", {currency}" if found.axis == "cost" and currency else "")


def _axes(low: float, most: float, title: str) -> list[Markup]:
    parts = [_text("right answers, with 95 % intervals", 12, 22)]
    for step in range(5):
        share = low + (1 - low) * step / 4
        y = _y(share, low)
        parts.append(
            Markup('<line class="grid" x1="{}" y1="{:.1f}" x2="{}" y2="{:.1f}"/>').format(_LEFT, y, WIDTH - _RIGHT, y)
        )
        parts.append(_text(f"{round(share * 100):g} %", _LEFT - 8, y + 4, "dim end"))
    bottom = _TOP + _PLOT
    parts.append(
        Markup('<line class="axis" x1="{}" y1="{}" x2="{}" y2="{}"/>').format(_LEFT, bottom, WIDTH - _RIGHT, bottom)
    )
    for step in range(5):
        kind = "dim end" if step == 4 else "dim middle"
        parts.append(_text(f"{most * step / 4:g}", _x(most * step / 4, most), bottom + 18, kind))
    parts.append(_text(title, WIDTH - _RIGHT, bottom + 38, "end"))
    return parts


def _mark(number: int, job: JobFigures, value: float, most: float, low: float, spot: tuple[float, float]) -> Markup:
    """At its place, or beside it where another mark lies, with a line that leads there. The interval is at it."""
    x, y, title = _x(value, most), _y(job.accuracy, low), f"{job.job}: {job.accuracy:.1%} right at {value:.4g}"
    parts = [Markup("<title>{}</title>").format(escape(title))]
    if job.low is not None and job.high is not None:
        parts.append(
            Markup('<line class="whisker" x1="{0:.1f}" y1="{1:.1f}" x2="{0:.1f}" y2="{2:.1f}"/>').format(
                x, _y(job.low, low), _y(job.high, low)
            )
        )
    if spot != (x, y):
        parts.append(
            Markup('<line class="whisker" x1="{:.1f}" y1="{:.1f}" x2="{:.1f}" y2="{:.1f}"/>').format(*spot, x, y)
        )
    parts.append(
        Markup('<circle class="{}" cx="{:.1f}" cy="{:.1f}" r="{:g}"/>').format(
            "on" if job.is_on_front else "off", *spot, _RADIUS
        )
    )
    parts.append(_text(str(number), spot[0], spot[1] + 4, "on-text"))
    return Markup("<g>{}</g>").format(Markup("").join(parts))


def _legend(place: int, job: JobFigures, value: float | None) -> Markup:
    y = _TOP + _PLOT + 56 + _LINE * (place + 1) - 6
    spent = "not known" if value is None else f"{value:.4g}"
    said = f"{job.accuracy:.1%} right at {spent}{', on the front' if job.is_on_front else ''}"
    return (
        Markup('<circle class="{}" cx="{}" cy="{:.1f}" r="{:g}"/>').format(
            "on" if job.is_on_front else "off", 24, y - 4, _RADIUS
        )
        + _text(str(place + 1), 24, y, "on-text")
        + _text(_cut(escape(job.job)), 42, y)
        + _text(said, WIDTH - _RIGHT, y, "end")
    )


def _text(text: str, x: float, y: float, kind: str = "") -> Markup:
    return Markup('<text x="{:.1f}" y="{:.1f}"{}>{}</text>').format(
        x, y, Markup(' class="{}"').format(kind) if kind else "", escape(text)
    )


def _cut(text: str) -> str:
    most, taken = _LETTERS * LETTER, 0.0
    for place, char in enumerate(text):
        taken += text_width(char)
        if taken > most:
            return f"{text[: max(0, place - 1)]}…"
    return text


def _spread(places: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Marks side by side where they would lie on each other: each takes the first free place to the right, or to the
    left where the plot ends."""
    taken: list[tuple[float, float]] = []
    for x, y in places:
        steps = sorted(range(-len(places), len(places) + 1), key=lambda step: (abs(step), -step))
        spots = [(x + step * 2 * _RADIUS, y) for step in steps]
        inside = [spot for spot in spots if _RADIUS <= spot[0] <= WIDTH - _RADIUS]
        free = [spot for spot in inside if all(math.dist(spot, other) >= 2 * _RADIUS - 0.5 for other in taken)]
        taken.append((free or inside)[0])
    return taken


def _x(value: float, most: float) -> float:
    return _LEFT + (WIDTH - _RIGHT - _LEFT) * value / most


def _y(share: float, low: float) -> float:
    return _TOP + _PLOT * (1 - (share - low) / (1 - low))


def _floor(jobs: Sequence[JobFigures]) -> float:
    """Where the axis of accuracies begins: the largest of 80 %, 60 %, ... below all intervals."""
    least = min((job.accuracy if job.low is None else job.low for job in jobs), default=0.0)
    return max(0.0, math.floor(min(least, 0.999) * 5) / 5)


def _nice(value: float) -> float:
    """The next larger number whose quarters are short to write; 1 of 0."""
    if value <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next((n * power for n in (1, 1.2, 1.6, 2, 2.4, 3.2, 4, 6, 8) if n * power >= value), 10 * power)
