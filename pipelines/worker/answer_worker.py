"""AnswerWorker: looks a unit up in the journal, waits to be let into the engine, asks, and commits what comes back.

Commit happens in the process that has the answers: whatever Ray does with the outputs of a worker that dies, no row is
lost with them.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import asdict
from typing import Protocol

import pyarrow as pa

from framegate.pipelines.commit.journal import Receipt, commit_unit, read_receipt, unit_uri
from framegate.pipelines.commit.unit_rows import RunFacts
from framegate.pipelines.failpoints import reach
from framegate.pipelines.reason.occupancy import Occupancy, Place
from framegate.pipelines.worker.attempts import Attempt, Attempts, crash_failure, timeout_failure
from framegate.pipelines.worker.engine_admission import EngineAdmission
from framegate.pipelines.worker.process_end import ProcessEnd
from framegate.schemas.clock import now
from framegate.schemas.errors import EngineError, EngineTimeout
from framegate.schemas.unit import AnsweredUnit, DecodedUnit

SetPlace = Callable[[Place], None]
"""Tells the stage's Occupancy where a unit is now."""


class AnsweringStage(Protocol):
    """`pipelines.reason.stage.ReasonStage` is one. Called from many threads at once."""

    @property
    def occupancy(self) -> Occupancy: ...

    def answer(self, decoded: DecodedUnit) -> AnsweredUnit: ...

    def num_questions_wanted(self) -> int | None:
        """How many questions at once keep its engine busy; None where it does not tell."""
        ...

    def why_worn(self) -> str | None:
        """Why another process should take this one's place, or None. Called after each answer."""
        ...

    def close(self) -> None: ...


class AnswerWorker:
    """Turns decoded units into receipts, with `make_stage()` giving the answers.

    Called from many threads at once, with one unit each. Their units are at the engine together, and each thread
    commits its own as soon as it is answered. A unit that is in the journal already is not asked again.

    A unit that was begun before and never finished may have killed its process. It is asked alone, so that it takes no
    other unit with it. Once it has killed its worker `max_attempts` times, the last time alone, it is committed as
    failed. A step of the engine that does not come back is such a death, told before it happens.

    `end_process` ends this process, with an error that says why; Ray then starts another one, which gets the units that
    this one has not answered. A worn process commits first what it has begun, and begins nothing new. Without it
    nothing wears out, and EngineTimeout is raised.
    """

    def __init__(
        self,
        *,
        make_stage: Callable[[], AnsweringStage],
        attempts: Attempts,
        facts: RunFacts,
        max_attempts: int,
        end_process: Callable[[BaseException], object] | None = None,
    ) -> None:
        self._stage = make_stage()
        self._admission = EngineAdmission()
        self._end = None if end_process is None else ProcessEnd(end_process, self._admission)
        self._attempts = attempts
        self._facts = facts
        # All units in a process die together: the first death may have been the fault of another one.
        self._max_deaths = max(max_attempts, 2)

    def __call__(self, batch: pa.Table) -> pa.Table:
        """As Ray calls it: rows in DECODED to a table with the columns of Receipt."""
        return pa.Table.from_pylist([asdict(self.answer(unit)) for unit in DecodedUnit.from_table(batch)])

    def answer(self, unit: DecodedUnit) -> Receipt:
        """The receipt of the unit, committed now or before. Raises StorageError, and what the stage raises."""
        with self._stage.occupancy.unit() as set_place:
            known = read_receipt(self._attempts.output, unit, self._facts)
            if known is not None:
                return known
            if unit.failure is not None:
                return self._commit(unit.answered(()), None, set_place)
            return self._ask_beside_others(unit, set_place) or self._ask_alone(unit, set_place)

    def close(self) -> None:
        self._stage.close()

    def _ask_beside_others(self, unit: DecodedUnit, set_place: SetPlace) -> Receipt | None:
        """None where an earlier attempt died: the unit must then be alone."""
        num_questions = len(unit.clips) * len(unit.question_hashes)
        max_questions = self._stage.num_questions_wanted()
        with ExitStack() as admitted:
            admitted.enter_context(self._admission.shared(num_questions, max_questions))
            attempt = self._begin(unit)
            if attempt.num_deaths:
                self._attempts.retract(attempt)
                return None
            with self._attempts.no_death(attempt), self._begun():
                try:
                    answered = self._ask(unit, set_place)
                except EngineTimeout as error:
                    self._end_and_wait(error)
                    raise
                admitted.close()  # the next one may come while this one is committed
                return self._commit(answered, attempt, set_place)

    def _ask_alone(self, unit: DecodedUnit, set_place: SetPlace) -> Receipt:
        with self._admission.exclusive():
            attempt = self._begin(unit)
            with self._attempts.no_death(attempt), self._begun():
                if attempt.num_deaths >= self._max_deaths:
                    given_up = unit.all_failed(crash_failure("reason", attempt.num_deaths))
                    return self._commit(given_up, attempt, set_place)
                try:
                    answered = self._ask(unit, set_place)
                except EngineTimeout as error:
                    if attempt.num_deaths + 1 < self._max_deaths:
                        self._end_and_wait(error)
                    return self._give_up_late(unit, attempt, error, set_place)
                return self._commit(answered, attempt, set_place)

    def _give_up_late(self, unit: DecodedUnit, attempt: Attempt, error: EngineTimeout, set_place: SetPlace) -> Receipt:
        """The unit is committed as failed while this process still can, and then the process ends."""
        if self._end is None:
            raise error
        self._admission.shut()
        receipt = self._commit(unit.all_failed(timeout_failure(error, attempt.num_deaths + 1)), attempt, set_place)
        self._end.soon(error)
        return receipt

    def _begun(self) -> AbstractContextManager[None]:
        return nullcontext() if self._end is None else self._end.begun()

    def _end_and_wait(self, error: EngineTimeout) -> None:
        """The unit's marker stays, and counts as a death. Returns only where this process must not be ended."""
        if self._end is not None:
            self._end.wait_for_it(error)

    def _replace_if_worn(self) -> None:
        if self._end is not None and (why := self._stage.why_worn()) is not None:
            self._end.when_done(EngineError(f"another process takes the place of this one: {why}"))

    def _begin(self, unit: DecodedUnit) -> Attempt:
        _, video_id, name = unit_uri(self._attempts.output.layout, unit, self._facts.config_id).rsplit("/", 2)
        return self._attempts.begin(video_id, name.removesuffix(".parquet"))

    def _ask(self, unit: DecodedUnit, set_place: SetPlace) -> AnsweredUnit:
        reach("reason.before")
        set_place("asked")
        answered = self._stage.answer(unit)
        reach("reason.after")
        return answered

    def _commit(self, answered: AnsweredUnit, attempt: Attempt | None, set_place: SetPlace) -> Receipt:
        set_place("leaving")
        receipt = commit_unit(self._attempts.output, answered, self._facts, written_at=now())
        if attempt is not None:
            self._attempts.end(attempt)
            self._replace_if_worn()
        return receipt
