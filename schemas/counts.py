"""What was committed or sealed, in numbers: one set of counters for a unit, a seal and a run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

SEALED_COUNTS: Final = (
    "num_clips", "num_answers", "num_unparsed", "num_failures", "num_thinking", "num_answer_tokens",
    "num_thinking_tokens", "num_deferred", "num_deepened", "num_deepened_tokens",
)  # fmt: skip
"""The counts that the sealed tables tell of a run. Seconds are told by receipts alone."""


@dataclass(frozen=True, kw_only=True)
class Counts:
    """Numbers of rows and tokens. Tokens are those that were produced.

    num_clips      clips that a question was asked of
    num_unparsed   answers of which neither box could be read as the type asks; None where a record of an older version
                   does not tell
    num_thinking   answers that were thought about
    num_deferred   answers that were to think and were let go, with their first answer, to think later
    num_deepened   rows that it thought about after the fact, which took `num_deepened_tokens`. All else that is counted
                   of such a row is counted for the run that answered it
    decode_seconds, engine_seconds   summed over processes; zero where they are not known
    """

    num_clips: int = 0
    num_answers: int = 0
    num_unparsed: int | None = 0
    num_failures: int = 0
    num_thinking: int = 0
    num_answer_tokens: int = 0
    num_thinking_tokens: int = 0
    num_deferred: int = 0
    num_deepened: int = 0
    num_deepened_tokens: int = 0
    decode_seconds: float = 0.0
    engine_seconds: float = 0.0

    def plus(self, other: Counts) -> Counts:
        """The sum, counter by counter. A sum of which a part is not known is not known."""
        return Counts(**{name: self._sum(other, name) for name in Counts.__dataclass_fields__})

    @property
    def unparsed_share(self) -> float | None:
        """Share of the answers that could not be read; 0 before the first, None where it is not known."""
        if self.num_unparsed is None:
            return None
        return self.num_unparsed / self.num_answers if self.num_answers else 0.0

    @property
    def think_rate(self) -> float:
        """Share of the answers that were thought about; 0 before the first."""
        return self.num_thinking / self.num_answers if self.num_answers else 0.0

    def _sum(self, other: Counts, name: str) -> Any:
        values = getattr(self, name), getattr(other, name)
        return None if None in values else sum(values)


def add_counts(runs: Mapping[str, Counts], more: Mapping[str, Counts]) -> dict[str, Counts]:
    """The sums by run_id, in order of the run_ids."""
    return {run_id: runs.get(run_id, Counts()).plus(more.get(run_id, Counts())) for run_id in sorted({*runs, *more})}
