"""What surrounds decoding and reasoning in a worker: attempts are noted before, answers are committed after.

Both stages are plain callables over Arrow tables around another one. Commit happens in the process that has the
answers: what Ray does with its output, should a worker die, can then lose no row. Knows nothing of Ray, decoders or
engines.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any, Protocol

import pyarrow as pa

from framegate.pipelines.commit.journal import Receipt, commit_unit, read_receipt, unit_uri
from framegate.pipelines.commit.unit_rows import RunFacts
from framegate.pipelines.failpoints import reach
from framegate.pipelines.reason.occupancy import Occupancy, Place
from framegate.pipelines.worker.attempts import Attempt, Attempts
from framegate.pipelines.worker.engine_turns import Turns
from framegate.schemas.planned import PlannedVideo
from framegate.schemas.rows import Failure
from framegate.schemas.tables import ANSWERED, DECODED
from framegate.schemas.work import AnsweredUnit, DecodedUnit, to_table

DECODE_SCOPE = "decode"

Row = Mapping[str, Any]
Move = Callable[[Place], None]


class DecodingStage(Protocol):
    """PLANNED rows to DECODED rows."""

    def __call__(self, batch: pa.Table) -> Iterator[pa.Table]: ...


class AnsweringStage(Protocol):
    """DECODED rows to ANSWERED rows, for many threads at once."""

    @property
    def occupancy(self) -> Occupancy: ...

    def __call__(self, batch: pa.Table) -> Iterator[pa.Table]: ...

    def wanted_rows(self) -> int | None:
        """How many questions at once keep it busy; None where it does not tell."""
        ...

    def close(self) -> None: ...


def crash_failure(stage: str, num_deaths: int) -> Failure:
    """The failure of what killed its process each time."""
    times = "once" if num_deaths == 1 else f"{num_deaths} times"
    message = f"The process that worked on it died {times} before it was done; it is not tried again."
    return Failure(stage=stage, reason="actor_crash", message=message)


class NotedDecode:
    """PLANNED rows to DECODED rows. A video that killed its worker `max_attempts` times is given up.

    Giving up is committed here, and not only handed on: Ray runs a stage again whose process died, and takes what it
    hands on for what it had handed on before, place by place.
    """

    def __init__(
        self, *, make_stage: Callable[[], DecodingStage], attempts: Attempts, facts: RunFacts, max_attempts: int
    ) -> None:
        self._stage = make_stage()
        self._attempts = attempts
        self._facts = facts
        self._max_attempts = max_attempts

    def __call__(self, batch: pa.Table) -> Iterator[pa.Table]:
        for row, planned in enumerate(PlannedVideo.from_table(batch)):
            attempt = self._attempts.begin(planned.video.video_id, DECODE_SCOPE)
            reach("decode.before")
            with self._attempts.no_death(attempt):
                if attempt.num_deaths >= self._max_attempts:
                    yield self._give_up(planned, attempt)
                else:
                    for unit in self._stage(batch.slice(row, 1)):
                        reach("decode.unit")
                        yield unit
            reach("decode.after")
            self._attempts.end(attempt)

    def _give_up(self, planned: PlannedVideo, attempt: Attempt) -> pa.Table:
        given_up = _given_up(planned, attempt)
        commit_unit(
            self._attempts.output,
            _row(given_up.answered(())),
            self._facts,
            written_at=datetime.now(UTC),
        )
        return to_table([given_up], DECODED)


class CommitStage:
    """DECODED rows to receipts, one for each, with `make_stage()` giving the answers.

    Made to be called from many threads at once, with one unit each: their units are at the engine together, and each is
    committed by its own thread as soon as it is answered. What the journal has already is not asked again. A unit that
    was begun before and did not come back is asked alone, so that it takes no other one with it, and is committed as
    failed once it has killed its worker `max_attempts` times, the last time alone. Raises what storage raises.
    """

    def __init__(
        self, *, make_stage: Callable[[], AnsweringStage], attempts: Attempts, facts: RunFacts, max_attempts: int
    ) -> None:
        self._stage = make_stage()
        self._turns = Turns()
        self._attempts = attempts
        self._facts = facts
        # What is in one process dies together: the first death may have been a neighbour's fault.
        self._max_deaths = max(max_attempts, 2)

    def __call__(self, batch: pa.Table) -> pa.Table:
        units = [batch.slice(row, 1) for row in range(batch.num_rows)]
        return pa.Table.from_pylist([asdict(self._receive(unit)) for unit in units])

    def close(self) -> None:
        self._stage.close()

    def _receive(self, unit: pa.Table) -> Receipt:
        with self._stage.occupancy.unit() as move:
            [row] = unit.drop_columns(["frames"]).to_pylist()
            known = read_receipt(self._attempts.output, row, self._facts)
            if known is not None:
                return known
            if row["failure"] is not None:
                [decoded] = DecodedUnit.from_table(unit)
                return self._commit(_row(decoded.answered(())), None, move)
            return self._ask_together(unit, row, move) or self._ask_alone(unit, row, move)

    def _ask_together(self, unit: pa.Table, row: Row, move: Move) -> Receipt | None:
        """None where an earlier attempt died: it is left alone then."""
        num_rows = len(row["clips"]) * len(row["question_hashes"])
        max_rows = self._stage.wanted_rows()
        with ExitStack() as turn:
            turn.enter_context(self._turns.together(num_rows, max_rows))
            attempt = self._begin(row)
            if attempt.num_deaths:
                self._attempts.retract(attempt)
                return None
            with self._attempts.no_death(attempt):
                answered = self._ask(unit, move)
                turn.close()  # the next one may come while this one is committed
                return self._commit(answered, attempt, move)

    def _ask_alone(self, unit: pa.Table, row: Row, move: Move) -> Receipt:
        with self._turns.alone():
            attempt = self._begin(row)
            with self._attempts.no_death(attempt):
                if attempt.num_deaths < self._max_deaths:
                    return self._commit(self._ask(unit, move), attempt, move)
                [decoded] = DecodedUnit.from_table(unit)
                given_up = decoded.all_failed(crash_failure("reason", attempt.num_deaths))
                return self._commit(_row(given_up), attempt, move)

    def _begin(self, row: Row) -> Attempt:
        _, video_id, name = unit_uri(self._attempts.output.layout, row, self._facts.config_id).rsplit("/", 2)
        return self._attempts.begin(video_id, name.removesuffix(".parquet"))

    def _ask(self, unit: pa.Table, move: Move) -> Row:
        reach("reason.before")
        move("asked")
        [table] = self._stage(unit)
        reach("reason.after")
        [answered] = table.to_pylist()
        return answered

    def _commit(self, answered: Row, attempt: Attempt | None, move: Move) -> Receipt:
        move("leaving")
        receipt = commit_unit(self._attempts.output, answered, self._facts, written_at=datetime.now(UTC))
        if attempt is not None:
            self._attempts.end(attempt)
        return receipt


def _row(answered: AnsweredUnit) -> Row:
    [row] = to_table([answered], ANSWERED).to_pylist()
    return row


def _given_up(planned: PlannedVideo, attempt: Attempt) -> DecodedUnit:
    return DecodedUnit(
        video=planned.video,
        question_hashes=planned.question_hashes,
        attempts=(),
        decoder="",
        failure=crash_failure("decode", attempt.num_deaths),
        failed_attempt=planned.undecoded_attempts + 1,
    )
