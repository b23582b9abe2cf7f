"""`--until 06:00` and `--for 4h` as a moment in UTC, in the job's time zone and across changes of the clock."""

from __future__ import annotations

import re
from datetime import UTC, datetime, time, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from framegate.schemas.errors import ConfigError
from framegate.schemas.run import Deadline

_UNITS: Final = {"d": 86_400, "h": 3600, "m": 60, "s": 1}
_SPAN: Final = re.compile(r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?")
_CLOCK: Final = re.compile(r"(\d{1,2}):(\d{2})")
MAX_SPAN: Final = timedelta(days=366)


def read_deadline(until: str | None, span: str | None, *, timezone: str, now: datetime) -> Deadline | None:
    """When a run has to be over, in UTC, and how that was said; None where neither option is given.

    `timezone` is what a time without an offset is in. Raises ConfigError.
    """
    if until is not None and span is not None:
        raise ConfigError(f"--until {until} and --for {span}: give one of them")
    if until is not None:
        at = _read_until(until.strip(), ZoneInfo(timezone), now)
        return Deadline(at=at, said=f"--until {until}, that is {_local(at, timezone)}")
    if span is not None:
        at = now + _read_span(span.strip())
        return Deadline(at=at, said=f"--for {span}, that is {_local(at, timezone)}")
    return None


def _local(at: datetime, timezone: str) -> str:
    return f"{at.astimezone(ZoneInfo(timezone)):%Y-%m-%d %H:%M %Z}"


def _read_until(text: str, zone: ZoneInfo, now: datetime) -> datetime:
    if match := _CLOCK.fullmatch(text):
        hour, minute = int(match[1]), int(match[2])
        if hour > 23 or minute > 59:
            raise ConfigError(f"--until {text}: a time of day is 00:00 to 23:59")
        return _next(time(hour, minute), zone, now)
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigError(
            f"--until {text} is no time; give a time of day such as 06:00, or a date with it such as 2026-11-30T06:00"
        ) from None
    at = (at if at.tzinfo is not None else at.replace(tzinfo=zone)).astimezone(UTC)
    if at <= now:
        raise ConfigError(f"--until {text} is past: in {zone.key} it is {now.astimezone(zone):%Y-%m-%d %H:%M} now")
    return at


def _next(clock: time, zone: ZoneInfo, now: datetime) -> datetime:
    """When the clock of a zone next shows that time.

    Where clocks are set back, a time comes twice, and both count. Where they are set forward, a time that is left out
    comes as long after midnight as it would have: 02:30 is then 03:30.
    """
    today = now.astimezone(zone).date()
    days = [today + timedelta(days=number) for number in (-1, 0, 1, 2)]
    firsts = [datetime.combine(day, clock, zone).astimezone(UTC) for day in days]
    seconds = [datetime.combine(day, clock.replace(fold=1), zone).astimezone(UTC) for day in days]
    shown = [moment for moment in seconds if moment.astimezone(zone).time() == clock]
    return min(moment for moment in (*firsts, *shown) if moment > now)


def _read_span(text: str) -> timedelta:
    match = _SPAN.fullmatch(text)
    numbers = [] if match is None else zip(_UNITS, match.groups(), strict=True)
    parts = {unit: int(number) for unit, number in numbers if number}
    try:
        span = timedelta(seconds=sum(number * _UNITS[unit] for unit, number in parts.items()))
    except OverflowError:
        span = MAX_SPAN + timedelta(days=1)
    if not span:
        raise ConfigError(f"--for {text} is no length of time; give hours and minutes, such as 4h, 90m or 1h30m")
    if span > MAX_SPAN:
        raise ConfigError(f"--for {text} is longer than {MAX_SPAN.days} days; leave it out for no deadline")
    return span
