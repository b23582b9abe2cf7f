"""SealConfig: when a run seals while it works."""

from __future__ import annotations

import re
from typing import Final

from pydantic import Field, field_validator

from framegate.schemas.config.part import Part

NEVER: Final = "never"
_SECONDS: Final = {"s": 1, "m": 60, "h": 3600}
_TIME: Final = re.compile(r"(\d+(?:\.\d+)?)([smh])")
MAX_SECONDS: Final = 7 * 24 * 3600.0


class SealConfig(Part):
    """When committed units become Parquet. Changes no answer."""

    every: int | str = Field(
        default="30m",
        description="a run seals while it works, each so often (`30m`, `2h`) or each so many units (`5000`); `never`: "
        "only at its end",
    )

    @field_validator("every", mode="before")
    @classmethod
    def _is_a_time_or_a_number(cls, every: object) -> object:
        is_number = isinstance(every, int) and not isinstance(every, bool) and every >= 1
        if is_number or every == NEVER or (isinstance(every, str) and 1 <= (_seconds(every) or 0) <= MAX_SECONDS):
            return every
        raise ValueError(
            f"{every!r} is neither a time from 1s to 168h, such as 30m or 2h, nor a number of units, such as 5000, nor"
            f" {NEVER}"
        )

    @property
    def every_seconds(self) -> float | None:
        """None where it goes by units, or never."""
        return _seconds(self.every) if isinstance(self.every, str) else None

    @property
    def every_units(self) -> int | None:
        """None where it goes by time, or never."""
        return self.every if isinstance(self.every, int) else None


def _seconds(text: str) -> float | None:
    found = _TIME.fullmatch(text)
    return float(found[1]) * _SECONDS[found[2]] if found else None
