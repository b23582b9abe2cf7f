"""Which chart shows which figure of a report."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from markupsafe import Markup

from framegate.pipelines.report.charts import (
    Bar,
    Column,
    Point,
    Stretch,
    draw_bars,
    draw_columns,
    draw_lanes,
    draw_points,
)
from framegate.pipelines.report.figures import Attention, Ended, Report, Saving, Timeline, Trust
from framegate.pipelines.report.say import say_clock, say_number, say_share, say_time

MAX_BARS: Final = 30
MAX_LANES: Final = 20
_LETTERS: Final = 30  # of a label that shares its line with a figure, on a screen 390 pixels wide


def draw_all(report: Report) -> dict[str, Markup | None]:
    """By name; None in place of one that has nothing to show."""
    zone = ZoneInfo(report.time_zone)
    return {
        "throughput": _throughput(report.ended, zone),
        "tokens": _tokens(report.saving),
        "think": _think(report.trust),
        "confidence": _confidence(report.trust),
        "reliability": _reliability(report.trust),
        "failures": _failures(report.attention),
        "timeline": _timeline(report.timeline, zone),
    }


def list_lanes(timeline: Timeline) -> Sequence[str]:
    """The cameras that are drawn: those with the most events."""
    numbers: dict[str, int] = {}
    for event in timeline.events:
        numbers[event.camera or ""] = numbers.get(event.camera or "", 0) + 1
    return sorted(numbers, key=lambda camera: (-numbers[camera], camera))[:MAX_LANES]


def _throughput(ended: Ended, zone: ZoneInfo) -> Markup | None:
    bins = ended.throughput
    if len(bins) < 2:
        return None
    seconds = bins[0].seconds
    low, high = bins[0].at.timestamp(), bins[-1].at.timestamp() + seconds
    columns = [
        Column(
            low=each.at.timestamp(),
            high=each.at.timestamp() + seconds,
            heights=[(each.num_clips * 60 / seconds, "s1")],
            title=f"{say_time(each.at, zone)}: {each.num_clips:,} clips in {seconds:g} s",
        )
        for each in bins
    ]
    return draw_columns(
        columns, low=low, high=high, ticks=_times(low, high, zone), unit=" clips a minute",
        about="Clips a minute over the night",
    )  # fmt: skip


def _tokens(saving: Saving) -> Markup | None:
    bars = []
    for each in saving.questions[:MAX_BARS]:
        saved = each.saved_tokens
        lengths, said = [(float(each.spent_tokens), "s1")], f"{say_number(each.spent_tokens)} written"
        whisker = None
        if saved is not None:
            lengths.append((max(0.0, saved.value), "s2"))
            said = f"{say_number(each.spent_tokens)} written, {say_number(round(saved.value))} saved"
            whisker = (each.spent_tokens + saved.low, each.spent_tokens + saved.high)
        bars.append(Bar(label=_cut(each.question_id, 18), lengths=lengths, said=said, whisker=whisker))
    return draw_bars(bars, about="Tokens written and saved, by question") if bars and saving.is_gated else None


def _think(trust: Trust) -> Markup | None:
    bars = [
        Bar(label=_cut(each.question_id), lengths=[(each.think_rate, "s1")], said=say_share(each.think_rate))
        for each in sorted(trust.questions, key=lambda each: -each.think_rate)[:MAX_BARS]
    ]
    return draw_bars(bars, most=1.0, about="Share of clips that were thought about, by question") if bars else None


def _confidence(trust: Trust) -> Markup | None:
    columns = [
        Column(
            low=each.low,
            high=each.high,
            heights=[(each.num_exited, "s1"), (each.num_thought, "s2")],
            title=f"{each.low:.2f} to {each.high:.2f}: {each.num_exited:,} exited, {each.num_thought:,} thought",
        )
        for each in trust.confidence
    ]
    if not columns:
        return None
    mark = None if trust.threshold is None else (trust.threshold, f"τ {trust.threshold:g}")
    ticks = [(n / 4, f"{n / 4:g}") for n in range(5)]
    about = "First answers by confidence"
    return draw_columns(columns, low=0.0, high=1.0, ticks=ticks, mark=mark, unit=" answers", about=about)


def _reliability(trust: Trust) -> Markup | None:
    points = [
        Point(
            x=each.mean_confidence,
            y=each.agreement.value,
            low=each.agreement.low,
            high=each.agreement.high,
            title=f"confidence {each.mean_confidence:.2f}: {say_share(each.agreement.value)} of {each.num_rows:,}"
            " second answers agree",
        )
        for each in trust.reliability
    ]
    return draw_points(points, about="Agreement of second answers, by confidence of the first") if points else None


def _failures(attention: Attention) -> Markup | None:
    bars = [
        Bar(
            label=each.reason,
            lengths=[(each.num_given_up, "s2"), (each.num_failures - each.num_given_up, "s1")],
            said=f"{each.num_failures:,}",
        )
        for each in attention.failures[:MAX_BARS]
    ]
    return draw_bars(bars, about="Failures that stand, by reason") if bars else None


def _timeline(timeline: Timeline, zone: ZoneInfo) -> Markup | None:
    lanes = {*list_lanes(timeline)}
    events = [event for event in timeline.events if (event.camera or "") in lanes]
    if not events:
        return None
    low = min(event.started_at for event in events).timestamp()
    high = max(event.ended_at for event in events).timestamp()
    stretches = [
        Stretch(
            lane=_cut(event.camera or "no camera", 40),
            label=event.label,
            low=event.started_at.timestamp(),
            high=event.ended_at.timestamp(),
            title=f"{event.label}, {say_time(event.started_at, zone)} to {say_clock(event.ended_at, zone)},"
            f" {event.num_clips:,} clips",
        )
        for event in events
    ]
    ticks = _times(low, high, zone)
    return draw_lanes(stretches, labels=timeline.labels, low=low, high=high, ticks=ticks, about="Events by camera")


def _times(low: float, high: float, zone: ZoneInfo) -> list[tuple[float, str]]:
    """Ticks at both ends and in the middle, with their days where the ends are of different ones."""
    ends = [datetime.fromtimestamp(at, zone) for at in (low, high)]
    form = "%H:%M:%S" if high - low < 600 else "%H:%M"
    if ends[0].date() != ends[1].date():
        form = "%m-%d %H:%M" if high - low < 5 * 86_400 else "%Y-%m-%d"
    middle = ends[0] + timedelta(seconds=(high - low) / 2)
    return [(at.timestamp(), f"{at:{form}}") for at in (ends[0], middle.astimezone(zone), ends[1])]


def _cut(text: str, most: int = _LETTERS) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"
