"""Times and dates in ISO 8601, as instants: with an offset, or in a zone that is given."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, date, datetime, tzinfo
from typing import Any, Final

import pyarrow as pa

from framegate.schemas.column_types import TIMESTAMP

ISO_TIMES: Final = "a time of ISO 8601, such as 2026-11-21T03:00 or 2026-11-21 03:00:00+01:00"
ISO_DATES: Final = "a date of ISO 8601, such as 2026-11-21"
_DATE: Final = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_ZONE: Final = r"(?:[Zz]|[+-]\d\d(?::?\d\d)?)?"
_TIME: Final = re.compile(
    rf"(?:\d{{4}}-\d\d-\d\d[Tt ]\d\d:\d\d(?::\d\d(?:[.,]\d+)?)?|\d{{8}}[Tt]\d{{4}}(?:\d\d(?:[.,]\d+)?)?){_ZONE}",
    re.ASCII,
)


def parse_time(text: str, zone: tzinfo) -> datetime:
    """The instant; a date alone is its midnight. Raises ValueError where the text is no time of ISO 8601."""
    text = text.strip()
    if not (_TIME.fullmatch(text) or _DATE.fullmatch(text)):
        raise ValueError(text)
    return localized(datetime.fromisoformat(text.upper()), zone)


def parse_date(text: str) -> date:
    """Raises ValueError where the text is no date of ISO 8601."""
    if not _DATE.fullmatch(text.strip()):
        raise ValueError(text)
    return date.fromisoformat(text.strip())


def localized(time: datetime, zone: tzinfo) -> datetime:
    """A time as an instant in UTC; one without an offset is in `zone`. The earlier one, where a clock was put back.

    Raises ValueError where that is before the year 1 or after the year 9999.
    """
    try:
        return (time if time.tzinfo else time.replace(tzinfo=zone)).astimezone(UTC)
    except OverflowError as error:
        raise ValueError(str(error)) from error


def look_like(texts: pa.ChunkedArray) -> pa.DataType | None:
    """The type of texts that are all dates, or all times with a date; else None."""
    distinct = texts.drop_null().unique().to_pylist()
    if all(map(_DATE.fullmatch, distinct)) and _all(parse_date, distinct):
        return pa.date32()
    if all(map(_TIME.fullmatch, distinct)) and _all(lambda text: parse_time(text, UTC), distinct):
        return TIMESTAMP
    return None


def _all(parse: Callable[[str], Any], texts: list[str]) -> bool:
    try:
        for text in texts:
            parse(text)
    except ValueError:
        return False
    return True
