"""AnswerWorker: attempts are marked, what kills its process is given up, nothing is asked or stored twice."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar, cast

import numpy as np
import pyarrow as pa
import pytest

from framegate.pipelines.commit.journal import unit_name
from framegate.pipelines.commit.output import Output
from framegate.pipelines.commit.unit_format import parse_unit
from framegate.pipelines.commit.unit_rows import RunFacts
from framegate.pipelines.reason.occupancy import Occupancy
from framegate.pipelines.store import Store
from framegate.pipelines.worker import process_end
from framegate.pipelines.worker.answer_worker import AnswerWorker
from framegate.pipelines.worker.attempts import MAX_ENDED, STALE_AFTER, Attempts, Deaths, Work, read_deaths
from framegate.schemas.clip import Clip, FrameBatch
from framegate.schemas.errors import CredentialsError, EngineTimeout
from framegate.schemas.tables import DECODED
from framegate.schemas.unit import AnsweredUnit, DecodedClip, DecodedUnit, Failure, to_table

FAILURE = Failure(stage="reason", reason="engine_error", message="no")


class Died(BaseException):
    """Stands for the end of the process: nothing catches it."""


@pytest.fixture
def attempts(tmp_path: Path, facts: RunFacts) -> Attempts:
    return Attempts(output=Output.at(str(tmp_path)), config_id=facts.config_id, run_id=facts.run_id)


@pytest.fixture
def make_decoded(units: SimpleNamespace) -> Callable[..., DecodedUnit]:
    def make(name: str, index: int = 0) -> DecodedUnit:
        video, question = units.make_video(name), units.QUESTIONS[0]
        frames = FrameBatch(frames_THWC=np.zeros((1, 2, 2, 3), np.uint8), pts_seconds=np.zeros(1), duration_seconds=2.0)
        clip = Clip(video_id=video.video_id, index=index, start_seconds=2.0 * index, end_seconds=2.0 * index + 2)
        decoded = DecodedClip(clip=clip, frames=frames, is_last=True, decode_seconds=0.5)
        return DecodedUnit(
            video=video, question_hashes=(question.hash,), attempts=(1,), decoder="pyav-1", clips=(decoded,)
        )

    return make


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


def test_each_unit_is_committed_with_its_receipt_and_no_marker_is_left(
    attempts: Attempts, facts: RunFacts, make_decoded: Callable[..., DecodedUnit]
) -> None:
    model, batch = Model(), to_table([make_decoded("a"), make_decoded("b"), make_decoded("c")], DECODED)
    receipts, _ = run_as_ray_would(model, attempts, facts, batch)
    assert sorted(model.asked) == ["a", "b", "c"]
    assert receipts.column("created").to_pylist() == [True] * 3
    assert receipts.column("failure_reason").to_pylist() == ["engine_error"] * 3
    assert sorted(row["video_uri"] for row in journal(attempts)) == ["a.mp4", "b.mp4", "c.mp4"]
    assert markers(attempts) == []


def begin(attempts: Attempts, facts: RunFacts, *units: DecodedUnit) -> None:
    """As a worker leaves it that died with the units in hand."""
    names = [unit_name(attempts.output, unit, facts.config_id) for unit in units]
    attempts.begin_first([Work(unit.video.video_id, name) for unit, name in zip(units, names, strict=True)])


@pytest.mark.parametrize("block_rows", [1, 2])
def test_what_a_worker_committed_before_it_died_is_not_asked_again(
    block_rows: int, attempts: Attempts, facts: RunFacts, make_decoded: Callable[..., DecodedUnit]
) -> None:
    a, b = make_decoded("a"), make_decoded("b")
    run_as_ray_would(Model(), attempts, facts, to_table([a], DECODED))
    if block_rows == 1:
        begin(attempts, facts, a)
    else:
        begin(attempts, facts, a, b)
    model = Model()
    receipts, _ = run_as_ray_would(model, attempts, facts, to_table([a, b], DECODED), block_rows=block_rows)
    assert model.asked == ["b"]
    assert receipts.column("created").to_pylist() == [True, True]


@pytest.mark.parametrize("block_rows", [1, 2])
def test_what_another_run_committed_stays_and_the_receipt_says_so(
    block_rows: int, attempts: Attempts, facts: RunFacts, make_decoded: Callable[..., DecodedUnit]
) -> None:
    batch = to_table([make_decoded("a"), make_decoded("b")], DECODED)
    run_as_ray_would(Model(), attempts, facts, batch)
    other = replace(facts, run_id="another")
    theirs, _ = run_as_ray_would(Model(), attempts, other, batch, block_rows=block_rows)
    assert theirs.column("created").to_pylist() == [False, False]
    assert {row["run_id"] for row in journal(attempts)} == {facts.run_id}
    # Of a block that Ray gives out twice, as after the loss of its receipts.
    ours, _ = run_as_ray_would(Model(), attempts, facts, batch, block_rows=block_rows)
    assert ours.column("created").to_pylist() == [True, True]


def test_a_block_is_begun_with_one_marker_and_those_of_many_blocks_go_together(
    attempts: Attempts, facts: RunFacts, make_decoded: Callable[..., DecodedUnit]
) -> None:
    class Looks(Model):
        def answer(self, unit: DecodedUnit) -> AnsweredUnit:
            self.found.append(len(markers(attempts)))
            return super().answer(unit)

        found: ClassVar[list[int]] = []

    worker = AnswerWorker(make_stage=Looks, attempts=attempts, facts=facts, max_attempts=3)
    for number in range(MAX_ENDED):
        block = [make_decoded(f"{number}-{name}") for name in "abc"]
        assert worker(to_table(block, DECODED)).num_rows == 3
    assert Looks.found == [n for n in range(1, MAX_ENDED + 1) for _ in range(3)]
    assert markers(attempts) == []
    assert len(journal(attempts)) == 3 * MAX_ENDED


@pytest.mark.parametrize("poison", ["a", "c", "d", "bd", "abcd"])
def test_what_kills_its_worker_in_a_block_is_given_up_and_its_neighbours_are_not(
    poison: str, attempts: Attempts, facts: RunFacts, make_decoded: Callable[..., DecodedUnit]
) -> None:
    model, batch = Model(poison=tuple(poison)), to_table([make_decoded(name) for name in "abcd"], DECODED)
    receipts, num_deaths = run_as_ray_would(model, attempts, facts, batch, block_rows=4)
    assert num_deaths == 1 + 2 * len(poison), "once together, then twice alone: three attempts at each"
    reasons = {row["video_uri"].removesuffix(".mp4"): row["reason"] for row in journal(attempts)}
    assert reasons == {name: "actor_crash" if name in poison else "engine_error" for name in "abcd"}
    assert all("died 3 times" in row["message"] for row in journal(attempts) if row["reason"] == "actor_crash")
    assert receipts.num_rows == 4
    assert receipts.column("created").to_pylist() == [True] * 4
    assert markers(attempts) == []


def test_a_unit_at_which_an_earlier_run_died_in_a_block_is_asked_alone(
    attempts: Attempts, facts: RunFacts, make_decoded: Callable[..., DecodedUnit]
) -> None:
    a, b, c = (make_decoded(name) for name in "abc")
    begin(replace(attempts, run_id="killed"), facts, a, b)
    later = datetime.now(UTC) + 2 * STALE_AFTER
    attempts = replace(attempts, deaths=read_deaths(attempts.output, attempts.config_id, now=later))
    assert set(attempts.deaths.values()) == {Deaths(together=1)}
    model = Model()
    receipts, _ = run_as_ray_would(model, attempts, facts, to_table([a, b, c], DECODED), block_rows=3)
    assert (sorted(model.asked), receipts.num_rows) == (["a", "b", "c"], 3)
    assert sum(row["reason"] == "engine_error" for row in journal(attempts)) == 3


@pytest.mark.parametrize("place", range(4))
def test_a_unit_that_kills_its_worker_is_given_up_alone(
    place: int, attempts: Attempts, facts: RunFacts, make_decoded: Callable[..., DecodedUnit]
) -> None:
    names = ["a", "b", "c", "d"]
    model, batch = Model(poison=(names[place],)), to_table([make_decoded(name) for name in names], DECODED)
    receipts, num_deaths = run_as_ray_would(model, attempts, facts, batch)
    assert num_deaths == 3
    reasons = {row["video_uri"].removesuffix(".mp4"): row["reason"] for row in journal(attempts)}
    assert reasons == {name: "actor_crash" if name == names[place] else "engine_error" for name in names}
    assert receipts.num_rows == 4
    # A neighbour that was committed when the worker died may keep its marker until the run is over.
    given_up = make_decoded(names[place]).video.video_id
    assert [uri for uri in markers(attempts) if given_up in uri] == []


def test_two_units_that_kill_are_both_given_up_and_the_others_are_not(
    attempts: Attempts, facts: RunFacts, make_decoded: Callable[..., DecodedUnit]
) -> None:
    model, batch = Model(poison=("b", "d")), to_table([make_decoded(name) for name in "abcdef"], DECODED)
    run_as_ray_would(model, attempts, facts, batch)
    given_up = {row["video_uri"] for row in journal(attempts) if row["reason"] == "actor_crash"}
    assert given_up == {"b.mp4", "d.mp4"}


def test_what_was_at_work_when_the_worker_died_is_asked_alone(
    attempts: Attempts, facts: RunFacts, make_decoded: Callable[..., DecodedUnit]
) -> None:
    # As a worker leaves it that died with a and b in hand.
    begin(attempts, facts, make_decoded("a"))
    begin(attempts, facts, make_decoded("b"))
    model, batch = Model(), to_table([make_decoded(name) for name in "abcdef"], DECODED)
    run_as_ray_would(model, attempts, facts, batch)
    assert sorted(model.asked) == list("abcdef")
    assert all(names in ({"a"}, {"b"}) for names in model.together if names & {"a", "b"})
    assert markers(attempts) == []


def test_a_unit_that_died_beside_another_gets_a_chance_alone_even_where_one_attempt_is_all(
    attempts: Attempts, facts: RunFacts, make_decoded: Callable[..., DecodedUnit]
) -> None:
    begin(attempts, facts, make_decoded("a"))
    worker = AnswerWorker(make_stage=Model, attempts=attempts, facts=facts, max_attempts=1)
    [receipt] = worker(to_table([make_decoded("a")], DECODED)).to_pylist()
    assert receipt["failure_reason"] == "engine_error"


def test_a_failure_of_decoding_passes_without_a_marker_and_is_not_asked(
    attempts: Attempts, facts: RunFacts, units: SimpleNamespace
) -> None:
    failed = DecodedUnit(
        video=units.make_video("x"),
        question_hashes=("h",),
        attempts=(),
        decoder="pyav-1",
        failure=Failure(stage="decode", reason="storage", message="gone"),
        failed_attempt=2,
    )

    model = Model()
    worker = AnswerWorker(make_stage=lambda: model, attempts=attempts, facts=facts, max_attempts=3)
    [receipt] = worker(to_table([failed], DECODED)).to_pylist()
    assert (model.asked, markers(attempts)) == ([], [])
    assert (receipt["undecoded"], receipt["failure_reason"]) == (True, "storage")
    assert [(row["reason"], row["attempts"]) for row in journal(attempts)] == [("storage", 2)]


def test_an_error_that_ends_the_run_is_no_death(
    attempts: Attempts, facts: RunFacts, make_decoded: Callable[..., DecodedUnit]
) -> None:
    class Refuses(Model):
        def answer(self, unit: DecodedUnit) -> AnsweredUnit:
            raise CredentialsError("expired")

    worker = AnswerWorker(make_stage=Refuses, attempts=attempts, facts=facts, max_attempts=3)
    for _ in range(4):
        with pytest.raises(CredentialsError):
            worker(to_table([make_decoded("a"), make_decoded("b")], DECODED))
    assert markers(attempts) == []


class Hangs(Model):
    """A stage whose engine does not come back from the videos in `poison`."""

    def answer(self, unit: DecodedUnit) -> AnsweredUnit:
        if unit.video.uri.removesuffix(".mp4") in self.poison:
            raise EngineTimeout("a step of the engine did not come back within 9 s")
        return super().answer(unit)


class Ended(BaseException):
    """A process whose end was asked for."""


@pytest.fixture
def quick_end(monkeypatch: pytest.MonkeyPatch) -> list[BaseException]:
    """Why processes were ended. A thread that waits for the end of its process is freed, and never goes on."""
    monkeypatch.setattr(process_end, "REPLY_SECONDS", 0.01)
    causes: list[BaseException] = []

    def wait(self: process_end.ProcessEnd, error: BaseException) -> None:
        self.soon(error)
        raise Ended

    monkeypatch.setattr(process_end.ProcessEnd, "wait_for_it", wait)
    return causes


def wait_for(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_unit_that_hangs_is_tried_again_alone_and_committed_with_its_own_reason_the_last_time(
    attempts: Attempts, facts: RunFacts, make_decoded: Callable[..., DecodedUnit], quick_end: list[BaseException]
) -> None:
    batch = to_table([make_decoded("a")], DECODED)
    for number in range(1, 3):
        worker = AnswerWorker(
            make_stage=lambda: Hangs(poison=("a",)),
            attempts=attempts,
            facts=facts,
            max_attempts=3,
            end_process=quick_end.append,
        )
        with pytest.raises(Ended):
            worker(batch)
        wait_for(lambda number=number: len(quick_end) == number)
        assert (len(markers(attempts)), journal(attempts)) == (number, [])
    worker = AnswerWorker(
        make_stage=lambda: Hangs(poison=("a",)),
        attempts=attempts,
        facts=facts,
        max_attempts=3,
        end_process=quick_end.append,
    )
    [receipt] = worker(batch).to_pylist()
    wait_for(lambda: len(quick_end) == 3)
    [row] = journal(attempts)
    assert (receipt["failure_reason"], row["reason"]) == ("engine_timeout", "engine_timeout")
    assert row["message"] == (
        "A step of the engine did not come back within 9 s; work on it ended its process 3 times, and it is not tried"
        " again."
    )
    assert markers(attempts) == []


def test_without_a_process_to_end_a_timeout_is_raised_and_is_no_death(
    attempts: Attempts, facts: RunFacts, make_decoded: Callable[..., DecodedUnit]
) -> None:
    worker = AnswerWorker(make_stage=lambda: Hangs(poison=("a",)), attempts=attempts, facts=facts, max_attempts=3)
    with pytest.raises(EngineTimeout):
        worker(to_table([make_decoded("a")], DECODED))
    assert markers(attempts) == []


def test_a_worn_process_commits_what_it_has_begun_begins_nothing_new_and_then_ends(
    attempts: Attempts, facts: RunFacts, make_decoded: Callable[..., DecodedUnit], quick_end: list[BaseException]
) -> None:
    class Worn(Model):
        """Worn from its first answer on; the second unit is at work until the test lets it go."""

        def __init__(self) -> None:
            super().__init__()
            self.release, self.has_begun = threading.Event(), threading.Event()

        def answer(self, unit: DecodedUnit) -> AnsweredUnit:
            if unit.video.uri == "slow.mp4":
                self.has_begun.set()
                assert self.release.wait(20)
            return super().answer(unit)

        def why_worn(self) -> str | None:
            return "it is old"

    stage = Worn()
    worker = AnswerWorker(
        make_stage=lambda: stage, attempts=attempts, facts=facts, max_attempts=1, end_process=quick_end.append
    )
    threads = ThreadPoolExecutor(3)
    slow = threads.submit(worker.answer_block, [make_decoded("slow")])
    assert stage.has_begun.wait(20)
    worker.answer_block([make_decoded("first")])
    wait_for(lambda: worker._admission._is_closed)
    new = threads.submit(worker.answer_block, [make_decoded("new")])
    time.sleep(0.1)
    assert quick_end == [], "it ended with a unit in hand"
    stage.release.set()
    slow.result(20)
    wait_for(lambda: quick_end)
    assert str(quick_end[0]) == "another process takes the place of this one: it is old"
    assert not new.done()
    assert sorted(row["video_uri"] for row in journal(attempts)) == ["first.mp4", "slow.mp4"]
    assert (stage.asked, markers(attempts)) == (["first", "slow"], [])
    with worker._admission._changed:  # the process is gone; here its thread must not outlive the test
        worker._admission._is_closed = False
        worker._admission._changed.notify_all()
    new.result(20)
