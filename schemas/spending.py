"""What workers and whoever keeps a run's budget tell each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol


class RowCost(NamedTuple):
    """What one answer took. `confidence` is that of its first answer; None: it had none."""

    confidence: float | None
    first_seconds: float
    think_seconds: float
    thinking_tokens: int


@dataclass(frozen=True)
class Grant:
    """A unit may be asked.

    thinks     False where no row of it may think
    is_paced   whether the ledger has a `pace`, to be asked for when the unit is
    """

    thinks: bool = True
    is_paced: bool = False


Admission = Grant | Literal["wait", "refused"]
"""Of a unit: it is asked, waits for others to bring back what they did not need, or is left, as all is spent."""


Refusal = Literal["spent", "lost"]


class Ledger(Protocol):
    """Keeps what a run may spend, for all its workers. Any thread may call it."""

    def reserve(self, unit: str, num_rows: int) -> Admission:
        """May this unit be asked? One that was let in, and whose worker died since, is let in again."""
        ...

    def pace(self) -> float | None:
        """Below which confidence rows may think of what is asked now, where the gate would have them think. Others are
        deferred. None: as the gate has it."""
        ...

    def settle(self, unit: str, rows: Sequence[RowCost]) -> None:
        """The unit is done, and its answers took so much."""
        ...

    def refusal(self) -> Refusal | None:
        """Why it has turned a unit away: all is `spent`, or what keeps the ledger was `lost`; None: it has not."""
        ...
