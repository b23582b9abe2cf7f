"""Span: a length of time as a job file has it, such as 30m, 12h or 1d12h; a bare number is seconds."""

from __future__ import annotations

import re
from typing import Annotated, Any, Final

from pydantic import BeforeValidator

_UNIT_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_PIECE: Final = re.compile(r"(\d+(?:\.\d+)?)([smhd])")


def parse_span(value: Any) -> float:
    """Seconds. Raises ValueError for what is no length of time."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    text = str(value).strip().lower()
    pieces = _PIECE.findall(text)
    if not pieces or "".join(number + unit for number, unit in pieces) != text:
        raise ValueError(f"{value!r} is no length of time; write 90s, 30m, 12h or 1d12h")
    return sum(float(number) * _UNIT_SECONDS[unit] for number, unit in pieces)


Span = Annotated[float, BeforeValidator(parse_span)]
"""Seconds, from a text or a number."""
