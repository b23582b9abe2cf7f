"""The reason stage: decoded units in, answered units out. One engine per stage object, built once.

A plain callable over Arrow tables: knows the engine by its protocol and nothing of Ray, models or storage.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property

import pyarrow as pa

from pipelines.reason.engines.protocol import ClipRequest, Engine, Finished
from schemas.errors import EngineError
from schemas.qa import Answer, Question
from schemas.rows import Failure
from schemas.tables import ANSWERED
from schemas.work import AnsweredClip, AnsweredUnit, DecodedClip, DecodedUnit, to_table

EngineFactory = Callable[[], Engine]


class ReasonStage:
    """Asks the questions that a unit misses, of each of its clips.

    A unit is yielded as soon as its last clip is answered, so units may leave in another order than they came.
    """

    def __init__(self, *, engine_factory: EngineFactory, questions: tuple[Question, ...]) -> None:
        self._engine_factory = engine_factory
        self._bank = {question.hash: question for question in questions}
        self._unit_numbers = itertools.count()

    @cached_property
    def _engine(self) -> Engine:
        """Built with the first batch: what is raised there reaches the caller as it is, as from no constructor."""
        return self._engine_factory()

    def __call__(self, batch: pa.Table) -> Iterator[pa.Table]:
        """DECODED rows in; tables of one ANSWERED row each out. No clip's failure raises: it becomes data."""
        open_units: dict[str, _OpenUnit] = {}
        for decoded in DecodedUnit.from_table(batch):
            unit = _OpenUnit(decoded, self._bank, name=f"unit-{next(self._unit_numbers)}")
            if unit.is_complete:
                yield to_table([unit.close()], ANSWERED)
                continue
            open_units[unit.name] = unit
            for request in unit.requests():
                self._engine.add(request)
        while open_units:
            for finished in self._step(open_units):
                name = finished.request_id.partition("/")[0]
                unit = open_units.get(name)
                if unit is None:  # of an earlier batch whose caller stopped reading
                    continue
                unit.take(finished)
                if unit.is_complete:
                    del open_units[name]
                    yield to_table([unit.close()], ANSWERED)

    def _step(self, open_units: Mapping[str, _OpenUnit]) -> list[Finished]:
        """One step. An engine that breaks down fails what was in flight, and a new one takes its place."""
        try:
            finished = list(self._engine.step())
            if not finished and not self._engine.num_unfinished:
                raise EngineError("the engine lost questions: it is idle and they have not come back")
            return finished
        except Exception as error:
            message = f"{type(error).__name__}: {error}"
            self._engine = self._engine_factory()
            return [
                Finished(
                    request_id=request_id,
                    question=question,
                    answer=None,
                    failure_reason=EngineError.reason,
                    failure_message=message,
                )
                for unit in open_units.values()
                for request_id, question in unit.unanswered()
            ]


class _OpenUnit:
    """One unit while its questions are in the engine. Requests are named `<unit>/<place of the clip>`."""

    def __init__(self, decoded: DecodedUnit, bank: Mapping[str, Question], *, name: str) -> None:
        self.name = name
        self._decoded = decoded
        self._questions = tuple(bank[question_hash] for question_hash in decoded.question_hashes)
        self._answers: list[dict[str, Answer]] = [{} for _ in decoded.clips]
        self._failures: list[dict[str, Failure]] = [{} for _ in decoded.clips]

    @property
    def is_complete(self) -> bool:
        return not any(True for _ in self.unanswered())

    def requests(self) -> Iterator[ClipRequest]:
        for place, decoded in enumerate(self._decoded.clips):
            yield ClipRequest(
                id=f"{self.name}/{place}",
                frames=decoded.frames,
                clip_start_seconds=decoded.clip.start_seconds,
                questions=self._questions,
            )

    def unanswered(self) -> Iterator[tuple[str, Question]]:
        for place, (answers, failures) in enumerate(zip(self._answers, self._failures, strict=True)):
            for question in self._questions:
                if question.hash not in answers and question.hash not in failures:
                    yield f"{self.name}/{place}", question

    def take(self, finished: Finished) -> None:
        place = int(finished.request_id.partition("/")[2])
        if finished.answer is not None:
            self._answers[place][finished.question.hash] = finished.answer
            return
        self._failures[place][finished.question.hash] = Failure(
            stage="reason",
            reason=finished.failure_reason or EngineError.reason,
            message=finished.failure_message or "the engine gave no reason",
        )

    def close(self) -> AnsweredUnit:
        clips = enumerate(self._decoded.clips)
        return self._decoded.answered(self._answered_clip(place, clip) for place, clip in clips)

    def _answered_clip(self, place: int, decoded: DecodedClip) -> AnsweredClip:
        hashes = self._decoded.question_hashes
        answers, failures = self._answers[place], self._failures[place]
        return decoded.answered(
            (answers[question_hash] for question_hash in hashes if question_hash in answers),
            ((question_hash, failures[question_hash]) for question_hash in hashes if question_hash in failures),
        )
