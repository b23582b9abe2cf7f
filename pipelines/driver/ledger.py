"""What a run may still spend on thinking: each unit takes what it may need, and brings back what it did not.

A unit is let in where its need fits into what is left beside the needs of all that are at work. Where it does not fit,
it waits; once nothing else is at work it is let in as long as anything is left. So what is spent goes beyond the budget
by less than one unit, however many workers there are, and none of it is spent on work that is then thrown away.

The need of a unit in tokens is the most that its rows can write. In seconds of the engine it is what its rows take at
the most that any row took so far.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from framegate.schemas.spending import Admission, Grant, Ledger, Refusal, RowCost

CALL_TIMEOUT_SECONDS: Final = 30.0


@dataclass(frozen=True, kw_only=True)
class Limit:
    """One of the two, 0 or more. `row_tokens`: what a row writes at most after its first answer."""

    thinking_tokens: int | None = None
    engine_seconds: float | None = None
    row_tokens: int = 0

    def less(self, num_tokens: int, engine_seconds: float) -> Limit:
        """What is left of it when so much is spent."""
        tokens, seconds = self.thinking_tokens, self.engine_seconds
        return replace(
            self,
            thinking_tokens=None if tokens is None else max(0, tokens - num_tokens),
            engine_seconds=None if seconds is None else max(0.0, seconds - engine_seconds),
        )


class LocalLedger:
    """The ledger itself."""

    def __init__(self, limit: Limit) -> None:
        self.limit = limit
        self._lock = threading.Lock()
        self._rows: dict[str, int] = {}
        self._row_seconds = 0.0
        self._num_tokens, self._engine_seconds = 0, 0.0
        self._has_refused = False

    def reserve(self, unit: str, num_rows: int) -> Admission:
        with self._lock:
            if unit in self._rows:
                return Grant()
            if self._fits(num_rows) or (not self._rows and not self._is_spent()):
                self._rows[unit] = num_rows
                return Grant()
            if self._rows:
                return "wait"
            self._has_refused = True
            return "refused"

    def pace(self) -> None:
        """All that is let in thinks."""

    def settle(self, unit: str, rows: Sequence[RowCost]) -> None:
        seconds = [row.first_seconds + row.think_seconds for row in rows]
        with self._lock:
            self._rows.pop(unit, None)
            self._num_tokens += sum(row.thinking_tokens for row in rows)
            self._engine_seconds += sum(seconds)
            self._row_seconds = max(self._row_seconds, *seconds, 0.0)

    def refusal(self) -> Refusal | None:
        with self._lock:
            return "spent" if self._has_refused else None

    def spent(self) -> tuple[int, float]:
        """Thinking tokens and seconds of the engine."""
        with self._lock:
            return self._num_tokens, self._engine_seconds

    def reserve_if_it_fits(self, unit: str, num_rows: int) -> bool:
        """Takes what the unit may need, where that fits beside all that are at work; else nothing."""
        with self._lock:
            if unit not in self._rows and not self._fits(num_rows):
                return False
            self._rows[unit] = num_rows
            return True

    def _fits(self, num_rows: int) -> bool:
        num_together = num_rows + sum(self._rows.values())
        if self.limit.thinking_tokens is not None:
            return self._num_tokens + num_together * self.limit.row_tokens <= self.limit.thinking_tokens
        assert self.limit.engine_seconds is not None
        # Until a row has told what it takes, one unit tells.
        needed = num_together * self._row_seconds
        return self._row_seconds > 0 and self._engine_seconds + needed <= self.limit.engine_seconds

    def _is_spent(self) -> bool:
        if self.limit.thinking_tokens is not None:
            return self._num_tokens >= self.limit.thinking_tokens
        assert self.limit.engine_seconds is not None
        return self._engine_seconds >= self.limit.engine_seconds


class LedgerOnRay:
    """A ledger in an actor of its own, shared by all workers.

    Where the actor is lost, nothing more is let in that it bounds; with no bound but the deadline all is let in.
    """

    def __init__(self, make: Callable[[], Ledger], *, is_bounded: bool) -> None:
        """Needs a cluster. `make` is called in the actor, which ends with `end`, or with the process that made this."""
        import ray

        self._has_ended = False
        self._is_bounded = is_bounded
        self._actor: Any = ray.remote(num_cpus=0)(Kept).remote(make)

    def reserve(self, unit: str, num_rows: int) -> Admission:
        return self._call("reserve", unit, num_rows, late="wait", lost="refused" if self._is_bounded else Grant())

    def pace(self) -> float | None:
        return self._call("pace", late=0.0, lost=0.0 if self._is_bounded else None)

    def settle(self, unit: str, rows: Sequence[RowCost]) -> None:
        self._call("settle", unit, [*rows], late=None, lost=None)

    def refusal(self) -> Refusal | None:
        return None if self._has_ended else self._call("refusal", late=None, lost="lost")

    def end(self) -> None:
        """Ends the actor, once, and waits for nothing."""
        import ray

        if not self._has_ended:
            self._has_ended = True
            ray.kill(self._actor)

    def _call(self, method: str, *arguments: Any, late: Any, lost: Any) -> Any:
        """`late`: what it comes to where the actor does not answer in time; it still does what it was asked to."""
        import ray
        from ray.exceptions import ActorDiedError, ActorUnavailableError, GetTimeoutError

        try:
            return ray.get(getattr(self._actor, method).remote(*arguments), timeout=CALL_TIMEOUT_SECONDS)
        except GetTimeoutError:
            return late
        except (ActorDiedError, ActorUnavailableError):  # the latter in the moment before the former is known
            return lost


class Kept:
    """A ledger that is made where it is kept: one with a lock cannot travel."""

    def __init__(self, make: Callable[[], Ledger]) -> None:
        self._ledger = make()

    def reserve(self, unit: str, num_rows: int) -> Admission:
        return self._ledger.reserve(unit, num_rows)

    def pace(self) -> float | None:
        return self._ledger.pace()

    def settle(self, unit: str, rows: Sequence[RowCost]) -> None:
        self._ledger.settle(unit, rows)

    def refusal(self) -> Refusal | None:
        return self._ledger.refusal()
