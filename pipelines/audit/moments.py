"""Times in records: none lies in the future."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Final

from framegate.schemas.clock import now

TOLERANCE: Final = timedelta(days=1)
"""Clocks of machines differ, and some are set to a local time."""


def find_future(value: Any) -> str | None:
    """What is wrong with a time in ISO 8601, which may be missing; None where nothing."""
    if value is None:
        return None
    try:
        at = value if isinstance(value, datetime) else datetime.fromisoformat(value)
    except (TypeError, ValueError):
        return f"is {value!r}, which is no time"
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    return f"is {at.isoformat()}, which is yet to come" if at > now() + TOLERANCE else None
