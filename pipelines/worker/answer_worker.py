"""AnswerWorker: waits to be let into the engine, asks blocks of units, and commits each as it comes back.

Commit happens in the process that has the answers: whatever Ray does with the outputs of a worker that dies, no row is
lost with them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import asdict, dataclass
from typing import Final, Protocol

import pyarrow as pa

from framegate.pipelines.commit.journal import Receipt, commit_unit, read_receipt, unit_name
from framegate.pipelines.commit.unit_rows import RunFacts
from framegate.pipelines.failpoints import reach
from framegate.pipelines.reason.occupancy import Occupancy, Place
from framegate.pipelines.worker.attempts import Attempt, Attempts, EndedAttempts, Work, crash_failure, timeout_failure
from framegate.pipelines.worker.engine_admission import EngineAdmission
from framegate.pipelines.worker.process_end import ProcessEnd
from framegate.pipelines.worker.spending import cost_of, wait_for_grant
from framegate.schemas.clock import now
from framegate.schemas.errors import EngineError, EngineTimeout
from framegate.schemas.spending import Grant, Ledger, RowCost
from framegate.schemas.unit import AnsweredUnit, DecodedUnit

COMMIT_THREADS: Final = 16  # a commit waits for storage most of the time

SetPlace = Callable[[Place], None]
"""Tells the stage's Occupancy where a unit is now."""


class AnsweringStage(Protocol):
    """`pipelines.reason.stage.ReasonStage` is one. Called from many threads at once."""

    @property
    def occupancy(self) -> Occupancy: ...

    def answer_each(
        self,
        units: Sequence[DecodedUnit],
        *,
        think_below: float | None = None,
        on_answered: Callable[[], None] | None = None,
    ) -> Iterator[tuple[int, AnsweredUnit]]:
        """Asks about all of them at once; each with its place among them as it is answered. `think_below` bounds who
        may think, as in ClipFrames. `on_answered` is called for each question that comes back, from any thread."""
        ...

    def num_questions_wanted(self) -> int | None:
        """How many questions at once keep its engine busy; None where it does not tell."""
        ...

    def why_worn(self) -> str | None:
        """Why another process should take this one's place, or None. Called after each answer."""
        ...

    def close(self) -> None: ...


@dataclass(frozen=True)
class _Unit:
    """A unit that is here, how to tell where it is, what it may spend, and what its answers took."""

    decoded: DecodedUnit
    work: Work
    set_place: SetPlace
    grant: Grant
    costs: list[RowCost]


class AnswerWorker:
    """Turns blocks of decoded units into receipts, with `make_stage()` giving the answers.

    Called from many threads at once, with one block each. All units that are here are at the engine together, and each
    is committed as soon as it is answered. A block is begun with one marker.

    Units that were begun before and never finished may have killed their process. Those that are in the journal by now
    are not asked again. Each of the others is asked alone, so that it takes no other unit with it. Once a unit has
    killed its worker `max_attempts` times, the last time alone, it is committed as failed. A step of the engine that
    does not come back is such a death, told before it happens.

    `end_process` ends this process, with an error that says why; Ray then starts another one, which gets the blocks
    that this one has not given back. A worn process commits first what it has begun, and begins nothing new. Without it
    nothing wears out, and EngineTimeout is raised. `ledger` bounds what all workers of the run spend.
    """

    def __init__(
        self,
        *,
        make_stage: Callable[[], AnsweringStage],
        attempts: Attempts,
        facts: RunFacts,
        max_attempts: int,
        end_process: Callable[[BaseException], object] | None = None,
        ledger: Ledger | None = None,
    ) -> None:
        self._stage = make_stage()
        self._admission = EngineAdmission()
        self._end = None if end_process is None else ProcessEnd(end_process, self._admission)
        self._attempts = attempts
        self._ended = EndedAttempts(attempts)
        self._facts = facts
        # All units in a process die together: the first death may have been the fault of another one.
        self._max_deaths = max(max_attempts, 2)
        self._ledger = ledger
        self._committing = ThreadPoolExecutor(COMMIT_THREADS, thread_name_prefix="commit")

    def __call__(self, batch: pa.Table) -> pa.Table:
        """As Ray calls it: rows in DECODED, one block, to a table with the columns of Receipt."""
        receipts = self.answer_block([*DecodedUnit.from_table(batch)])
        if not receipts:  # a table needs columns to be told of
            return pa.table({"video_id": pa.array([], pa.string())})
        return pa.Table.from_pylist([asdict(receipt) for receipt in receipts])

    def answer_block(self, block: Sequence[DecodedUnit]) -> list[Receipt]:
        """A receipt of each unit, committed now or before; none where the run has nothing left to spend on them.

        Waits until its ledger has enough for the block. Raises StorageError, and what the stage raises.
        """
        if self._ledger is None:
            return self._answer(block, Grant(), [])
        # Before anything is at the engine: what is there has taken already, so that nothing waits for what waits.
        name, num_rows = str(self._work(block[0])), sum(unit.num_asked for unit in block)
        grant = wait_for_grant(self._ledger, name, num_rows)
        if grant is None:
            return []
        costs: list[RowCost] = []
        receipts = self._answer(block, grant, costs)
        self._ledger.settle(name, costs)
        return receipts

    def _answer(self, block: Sequence[DecodedUnit], grant: Grant, costs: list[RowCost]) -> list[Receipt]:
        with ExitStack() as here:
            units = [
                _Unit(unit, self._work(unit), here.enter_context(self._stage.occupancy.unit()), grant, costs)
                for unit in block
            ]
            asked = [unit for unit in units if unit.decoded.failure is None]
            fresh = [unit for unit in asked if not self._attempts.has_died(unit.work)]
            receipts = [self._commit(unit, unit.decoded.answered(())) for unit in units if unit.decoded.failure]
            receipts += [self._ask_again(unit) for unit in asked if self._attempts.has_died(unit.work)]
            return receipts + (self._ask_together(fresh) if fresh else [])

    def close(self) -> None:
        self._committing.shutdown()
        self._stage.close()

    def _work(self, unit: DecodedUnit) -> Work:
        return Work(unit.video.video_id, unit_name(self._attempts.output, unit, self._facts.config_id))

    def _ask_together(self, units: Sequence[_Unit]) -> list[Receipt]:
        receipts, attempt = self._ask_beside_others(units)
        if not attempt.deaths.total:
            return receipts
        receipts = [self._ask_again(unit, together=attempt.deaths.together) for unit in units]
        self._attempts.end(attempt)
        return receipts

    def _ask_beside_others(self, units: Sequence[_Unit]) -> tuple[list[Receipt], Attempt]:
        """Asks nothing where an earlier attempt died: each unit must then be alone."""
        num_questions = sum(unit.decoded.num_asked for unit in units)
        max_questions = self._stage.num_questions_wanted()
        with ExitStack() as admitted:
            on_answered = admitted.enter_context(self._admission.shared(num_questions, max_questions))
            attempt = self._attempts.begin_first([unit.work for unit in units])
            if attempt.deaths.total:
                return [], attempt
            with self._attempts.no_death(attempt), self._begun():
                try:
                    committed = [
                        self._committing.submit(self._commit, *answered) for answered in self._ask(units, on_answered)
                    ]
                except EngineTimeout as error:
                    self._end_and_wait(error)  # meanwhile those that were answered are committed
                    raise
                admitted.close()  # the next ones may come while these are committed
                receipts = [commit.result() for commit in committed]
                self._ended.add(attempt)
            self._replace_if_worn()
            return receipts, attempt

    def _ask_again(self, unit: _Unit, *, together: int = 0) -> Receipt:
        """A unit that was begun before: what the journal has of it, or else its answers. `together`: its block died."""
        known = read_receipt(self._attempts.output, unit.decoded, self._facts)
        return known or self._ask_alone(unit, together)

    def _ask_alone(self, unit: _Unit, together: int) -> Receipt:
        with self._admission.exclusive():
            attempt = self._attempts.begin(unit.work, together=together)
            num_deaths = attempt.deaths.total
            with self._attempts.no_death(attempt), self._begun():
                if num_deaths >= self._max_deaths:
                    answered = unit.decoded.all_failed(crash_failure("reason", num_deaths))
                else:
                    try:
                        [(_, answered)] = self._ask([unit])
                    except EngineTimeout as error:
                        if num_deaths + 1 < self._max_deaths:
                            self._end_and_wait(error)
                        return self._give_up_late(unit, attempt, error)
                receipt = self._commit(unit, answered)
                self._attempts.end(attempt)
            self._replace_if_worn()
            return receipt

    def _give_up_late(self, unit: _Unit, attempt: Attempt, error: EngineTimeout) -> Receipt:
        """The unit is committed as failed while this process still can, and then the process ends."""
        if self._end is None:
            raise error
        self._admission.shut()
        failed = unit.decoded.all_failed(timeout_failure(error, attempt.deaths.total + 1))
        receipt = self._commit(unit, failed)
        self._attempts.end(attempt)
        self._end.soon(error)
        return receipt

    def _begun(self) -> AbstractContextManager[None]:
        return nullcontext() if self._end is None else self._end.begun()

    def _end_and_wait(self, error: EngineTimeout) -> None:
        """The markers stay, and count as a death. Returns only where this process must not be ended."""
        if self._end is not None:
            self._end.wait_for_it(error)

    def _replace_if_worn(self) -> None:
        if self._end is not None and (why := self._stage.why_worn()) is not None:
            self._end.when_done(EngineError(f"another process takes the place of this one: {why}"))

    def _ask(
        self, units: Sequence[_Unit], on_answered: Callable[[], None] | None = None
    ) -> Iterator[tuple[_Unit, AnsweredUnit]]:
        """Each unit as it is answered."""
        for unit in units:
            reach("reason.before")
            unit.set_place("asked")
        bound = self._bound(units[0].grant)
        decoded = [unit.decoded for unit in units]
        for place, answered in self._stage.answer_each(decoded, on_answered=on_answered, **bound):
            reach("reason.after")
            units[place].costs.extend(cost_of(answer) for clip in answered.clips for answer in clip.answers)
            units[place].set_place("leaving")
            yield units[place], answered

    def _bound(self, grant: Grant) -> dict[str, float]:
        """Who may think. Asked for now and not when the units came: many wait here, and the pace changes."""
        if not grant.thinks:
            return {"think_below": 0.0}
        below = self._ledger.pace() if grant.is_paced and self._ledger is not None else None
        return {} if below is None else {"think_below": below}

    def _commit(self, unit: _Unit, answered: AnsweredUnit) -> Receipt:
        unit.set_place("leaving")
        return commit_unit(self._attempts.output, answered, self._facts, written_at=now())
