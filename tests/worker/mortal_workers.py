"""Workers whose process dies at some videos, and what they leave."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import replace
from typing import Any, cast

import pyarrow as pa

from framegate.pipelines.commit.journal import unit_name
from framegate.pipelines.commit.unit_format import parse_unit
from framegate.pipelines.commit.unit_rows import RunFacts
from framegate.pipelines.reason.occupancy import Occupancy
from framegate.pipelines.store import Store
from framegate.pipelines.worker.answer_worker import AnswerWorker
from framegate.pipelines.worker.attempts import Attempts, Work
from framegate.schemas.unanswered import Failure
from framegate.schemas.unit import AnsweredUnit, DecodedUnit

FAILURE = Failure(stage="reason", reason="engine_error", message="no")


class Died(BaseException):
    """Stands for the end of the process: nothing catches it."""


class Process:
    """One worker process: when a thread of it dies, no other one reaches storage any more, or comes to its end."""

    def __init__(self, store: Store) -> None:
        self.died = threading.Event()
        self._store = store

    def check(self) -> None:
        if self.died.is_set():
            raise Died

    def __getattr__(self, name: str) -> Any:
        self.check()
        return getattr(self._store, name)


class Model:
    """An answering stage that fails every question, dies of the videos in `poison`, and remembers who came together."""

    def __init__(self, *, poison: tuple[str, ...] = ()) -> None:
        self.poison = poison
        self.process: Process | None = None
        self.asked: list[str] = []
        self.together: list[set[str]] = []
        self.occupancy = Occupancy()
        self._inside: set[str] = set()
        self._changed = threading.Condition()

    def num_questions_wanted(self) -> int | None:
        return None

    def why_worn(self) -> str | None:
        return None

    def close(self) -> None:
        pass

    def start(self, process: Process) -> None:
        self.process, self._inside = process, set()

    def answer_each(
        self, units: Sequence[DecodedUnit], *, on_answered: Callable[[], None] | None = None
    ) -> Iterator[tuple[int, AnsweredUnit]]:
        for place, unit in enumerate(units):
            yield place, self.answer(unit)

    def answer(self, unit: DecodedUnit) -> AnsweredUnit:
        name = unit.video.uri.removesuffix(".mp4")
        with self._changed:
            self.asked.append(name)
            self._inside.add(name)
            self.together.append(set(self._inside))
        if self.process is not None:
            if name in self.poison:
                self.process.died.set()
            self.process.died.wait(0.02 if self.poison else 0)  # time for a neighbour to die first
            self.process.check()
        with self._changed:
            self._inside.discard(name)
        return unit.all_failed(FAILURE)


def journal(attempts: Attempts) -> list[dict[str, Any]]:
    infos = attempts.output.list("journal")
    return [row for info in infos for row in parse_unit(info.uri, attempts.output.store.read(info.uri)).to_pylist()]


def markers(attempts: Attempts) -> list[str]:
    return [info.uri for info in attempts.output.list("attempts")]


def run_as_ray_would(
    model: Model, attempts: Attempts, facts: RunFacts, batch: pa.Table, *, block_rows: int = 1
) -> tuple[pa.Table, int]:
    """All blocks at once, each in a thread, in process after process until one of them lives; and how many died."""
    for num_deaths in range(20):
        process = Process(attempts.output.store)
        model.start(process)
        mortal = replace(attempts, output=replace(attempts.output, store=cast(Store, process)))
        worker = AnswerWorker(make_stage=lambda: model, attempts=mortal, facts=facts, max_attempts=3)
        with ThreadPoolExecutor(batch.num_rows) as threads:
            firsts = range(0, batch.num_rows, block_rows)
            futures = [threads.submit(worker, batch.slice(first, block_rows)) for first in firsts]
            wait(futures)
        if not process.died.is_set():
            return pa.concat_tables(future.result() for future in futures), num_deaths
    raise AssertionError("it is retried for ever")


def begin(attempts: Attempts, facts: RunFacts, *units: DecodedUnit) -> None:
    """As a worker leaves it that died with the units in hand."""
    names = [unit_name(attempts.output, unit, facts.config_id) for unit in units]
    attempts.begin_first([Work(unit.video.video_id, name) for unit, name in zip(units, names, strict=True)])
