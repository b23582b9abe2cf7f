"""The time of day as this program sees it: the machine's clock, moved by a variable where a later night is rehearsed;
and time zones by name.

`FRAMEGATE_CLOCK_OFFSET_SECONDS=86400` lets a process and its workers live a day later. Spans of time are measured with
`time.monotonic`, which it does not move. Requests to storage are signed with the machine's own clock.
"""

from __future__ import annotations

import difflib
import os
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from framegate.schemas.errors import ConfigError

CLOCK_OFFSET: Final = "FRAMEGATE_CLOCK_OFFSET_SECONDS"


def now() -> datetime:
    """The time in UTC. Raises ConfigError where the variable is no number of seconds."""
    offset = os.environ.get(CLOCK_OFFSET)
    if offset is None:
        return datetime.now(UTC)
    try:
        return datetime.now(UTC) + timedelta(seconds=float(offset))
    except (ValueError, OverflowError) as error:
        raise ConfigError(f"{CLOCK_OFFSET}={offset} must be a number of seconds, such as 86400 for a day") from error


def find_zone(name: str) -> tzinfo:
    """The time zone of an IANA name such as `Europe/Berlin`. Raises ConfigError where there is none of this name."""
    if name == "UTC":  # needs no database of time zones, which a slim machine may not have
        return UTC
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        near = difflib.get_close_matches(name, available_timezones(), n=1, cutoff=0.5)
        hint = f"did you mean '{near[0]}'?" if near else "give an IANA name, such as Europe/Berlin or UTC"
        raise ConfigError(f"'{name}' is no time zone that this machine knows; {hint}") from error
