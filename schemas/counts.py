"""What was committed or sealed, in numbers: one set of counters for a unit, a seal and a run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Final

SEALED_COUNTS: Final = (
    "num_clips", "num_answers", "num_failures", "num_thinking", "num_answer_tokens", "num_thinking_tokens",
)  # fmt: skip
"""The counts that the sealed tables tell of a run. Seconds are told by receipts alone."""


@dataclass(frozen=True, kw_only=True)
class Counts:
    """Numbers of rows and tokens. Tokens are those that were produced.

    num_clips      clips that a question was asked of
    num_thinking   answers that were thought about
    decode_seconds, engine_seconds   summed over processes; zero where they are not known
    """

    num_clips: int = 0
    num_answers: int = 0
    num_failures: int = 0
    num_thinking: int = 0
    num_answer_tokens: int = 0
    num_thinking_tokens: int = 0
    decode_seconds: float = 0.0
    engine_seconds: float = 0.0

    def plus(self, other: Counts) -> Counts:
        """The sum, counter by counter."""
        return Counts(**{name: getattr(self, name) + getattr(other, name) for name in _ALL})

    @staticmethod
    def of_row(row: Mapping[str, Any]) -> Counts:
        """The counters in a row of columns, such as a receipt's."""
        return Counts(**{name: row[name] for name in _ALL})

    @property
    def think_rate(self) -> float:
        """Share of the answers that were thought about; 0 before the first."""
        return self.num_thinking / self.num_answers if self.num_answers else 0.0


_ALL: Final = tuple(field.name for field in fields(Counts))
