"""Figures as a person reads them: shares, times of a time zone, money, large numbers."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from zoneinfo import ZoneInfo

from framegate.pipelines.report.figures import Estimate
from framegate.pipelines.results.last_run import say_span

NOT_KNOWN = "–"


def say_number(value: float | None) -> str:
    """12,345 or 3.14; three significant digits below 1,000 where it is no whole number."""
    if value is None:
        return NOT_KNOWN
    if value == int(value) or abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def say_share(value: float | None) -> str:
    """A percentage with one decimal; what is not nothing is never shown as 0 %, and what is not all not as 100 %."""
    if value is None:
        return NOT_KNOWN
    if 0 < value < 0.0005:
        return "< 0.1 %"
    if 0.9995 < value < 1:
        return "> 99.9 %"
    return f"{value * 100:.1f} %".replace(".0 %", " %")


def say_length(seconds: float | None) -> str:
    """A length of time in its largest fitting unit, milliseconds the smallest."""
    if seconds is None:
        return NOT_KNOWN
    if 0 < seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    return f"{seconds:.1f} s" if 0 < seconds < 10 else say_span(seconds)


def say_money(value: float | None, currency: str) -> str:
    """Two decimals; four where these would say little."""
    if value is None:
        return NOT_KNOWN
    return f"{value:,.4f} {currency}" if 0 < abs(value) < 0.1 else f"{value:,.2f} {currency}"


def say_time(time: datetime | None, zone: ZoneInfo) -> str:
    return NOT_KNOWN if time is None else f"{time.astimezone(zone):%Y-%m-%d %H:%M}"


def say_clock(time: datetime, zone: ZoneInfo) -> str:
    return f"{time.astimezone(zone):%H:%M}"


def say_second(seconds: float) -> str:
    """A second of a video as players show it: 1:02:03.5."""
    tenths = round(seconds * 10)
    whole, tenth = divmod(tenths, 10)
    minutes, second = divmod(whole, 60)
    hours, minute = divmod(minutes, 60)
    text = f"{hours}:{minute:02d}:{second:02d}" if hours else f"{minute}:{second:02d}"
    return f"{text}.{tenth}" if tenth else text


def say_interval(estimate: Estimate | None, say: Callable[[float], str]) -> str:
    """` (10 to 12)` of an estimate, by the function that says one value; nothing of None."""
    if estimate is None:
        return ""
    return f" ({say(estimate.low)} to {say(estimate.high)})"
