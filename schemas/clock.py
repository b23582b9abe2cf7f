"""The time of day as this program sees it: the machine's clock, moved by a variable where a later night is rehearsed.

`FRAMEGATE_CLOCK_OFFSET_SECONDS=86400` lets a process and its workers live a day later. Spans of time are measured with
`time.monotonic`, which it does not move. Requests to storage are signed with the machine's own clock.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from typing import Final

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
