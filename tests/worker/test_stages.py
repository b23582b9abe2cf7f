"""Around the stages: attempts are noted, what kills its process is given up, nothing is asked or stored twice."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pyarrow as pa
import pytest

from framegate.pipelines.commit.journal import from_parquet, unit_uri
from framegate.pipelines.commit.output import Output
from framegate.pipelines.commit.unit_rows import RunFacts
from framegate.pipelines.reason.occupancy import Occupancy
from framegate.pipelines.store import Store
from framegate.pipelines.worker.attempts import Attempts
from framegate.pipelines.worker.stages import CommitStage, NotedDecode
from framegate.schemas.clip import Clip, FrameBatch
from framegate.schemas.errors import CredentialsError
from framegate.schemas.planned import PlannedVideo
from framegate.schemas.rows import Failure
from framegate.schemas.tables import ANSWERED, DECODED, PLANNED
from framegate.schemas.work import DecodedClip, DecodedUnit, to_table

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

    def wanted_rows(self) -> int | None:
        return None

    def close(self) -> None:
        pass

    def start(self, process: Process) -> None:
        self.process, self._inside = process, set()

    def __call__(self, batch: pa.Table) -> Iterator[pa.Table]:
        [unit] = DecodedUnit.from_table(batch)
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
        yield to_table([unit.all_failed(FAILURE)], ANSWERED)


def journal(attempts: Attempts) -> list[dict[str, Any]]:
    infos = attempts.output.list("journal")
    return [row for info in infos for row in from_parquet(info.uri, attempts.output.store.read(info.uri)).to_pylist()]


def notes(attempts: Attempts) -> list[str]:
    return [info.uri for info in attempts.output.list("attempts")]


def run_as_ray_would(model: Model, attempts: Attempts, facts: RunFacts, batch: pa.Table) -> tuple[pa.Table, int]:
    """All units at once, each in a thread, in process after process until one of them lives; and how many died."""
    for num_deaths in range(20):
        process = Process(attempts.output.store)
        model.start(process)
        mortal = replace(attempts, output=replace(attempts.output, store=cast(Store, process)))
        stage = CommitStage(make_stage=lambda: model, attempts=mortal, facts=facts, max_attempts=3)
        with ThreadPoolExecutor(batch.num_rows) as threads:
            futures = [threads.submit(stage, batch.slice(row, 1)) for row in range(batch.num_rows)]
            wait(futures)
        if not process.died.is_set():
            return pa.concat_tables(future.result() for future in futures), num_deaths
    raise AssertionError("it is retried for ever")


def test_each_unit_is_committed_with_its_receipt_and_no_note_stands(
    attempts: Attempts, facts: RunFacts, make_decoded: Callable[..., DecodedUnit]
) -> None:
    model, batch = Model(), to_table([make_decoded("a"), make_decoded("b"), make_decoded("c")], DECODED)
    receipts, _ = run_as_ray_would(model, attempts, facts, batch)
    assert sorted(model.asked) == ["a", "b", "c"]
    assert receipts.column("created").to_pylist() == [True] * 3
    assert receipts.column("failure_reason").to_pylist() == ["engine_error"] * 3
    assert sorted(row["video_uri"] for row in journal(attempts)) == ["a.mp4", "b.mp4", "c.mp4"]
    assert notes(attempts) == []


def test_what_the_journal_has_is_not_asked_again(
    attempts: Attempts, facts: RunFacts, make_decoded: Callable[..., DecodedUnit]
) -> None:
    run_as_ray_would(Model(), attempts, facts, to_table([make_decoded("a")], DECODED))
    model, both = Model(), to_table([make_decoded("a"), make_decoded("b")], DECODED)
    ours, _ = run_as_ray_would(model, attempts, facts, both)
    assert model.asked == ["b"]
    assert ours.column("created").to_pylist() == [True, True]
    theirs, _ = run_as_ray_would(model, attempts, replace(facts, run_id="another"), both)
    assert theirs.column("created").to_pylist() == [False, False]
    assert {row["run_id"] for row in journal(attempts)} == {facts.run_id}


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
    # A neighbour that was committed when the worker died may keep its note until the run is over.
    given_up = make_decoded(names[place]).video.video_id
    assert [uri for uri in notes(attempts) if given_up in uri] == []


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
    for unit in to_table([make_decoded("a"), make_decoded("b")], DECODED).to_pylist():
        _, video_id, name = unit_uri(attempts.output.layout, unit, facts.config_id).rsplit("/", 2)
        attempts.begin(video_id, name.removesuffix(".parquet"))
    model, batch = Model(), to_table([make_decoded(name) for name in "abcdef"], DECODED)
    run_as_ray_would(model, attempts, facts, batch)
    assert sorted(model.asked) == list("abcdef")
    assert all(names in ({"a"}, {"b"}) for names in model.together if names & {"a", "b"})
    assert notes(attempts) == []


def test_a_unit_that_died_in_company_gets_a_chance_alone_even_where_one_attempt_is_all(
    attempts: Attempts, facts: RunFacts, make_decoded: Callable[..., DecodedUnit]
) -> None:
    [unit] = to_table([make_decoded("a")], DECODED).to_pylist()
    _, video_id, name = unit_uri(attempts.output.layout, unit, facts.config_id).rsplit("/", 2)
    attempts.begin(video_id, name.removesuffix(".parquet"))
    stage = CommitStage(make_stage=Model, attempts=attempts, facts=facts, max_attempts=1)
    [receipt] = stage(to_table([make_decoded("a")], DECODED)).to_pylist()
    assert receipt["failure_reason"] == "engine_error"


def test_a_failure_of_decoding_passes_without_a_note_and_is_not_asked(
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
    stage = CommitStage(make_stage=lambda: model, attempts=attempts, facts=facts, max_attempts=3)
    [receipt] = stage(to_table([failed], DECODED)).to_pylist()
    assert (model.asked, notes(attempts)) == ([], [])
    assert (receipt["undecoded"], receipt["failure_reason"]) == (True, "storage")
    assert [(row["reason"], row["attempts"]) for row in journal(attempts)] == [("storage", 2)]


def test_a_video_that_kills_its_decoder_is_given_up(
    attempts: Attempts, facts: RunFacts, units: SimpleNamespace
) -> None:
    planned = PlannedVideo(video=units.make_video("x"), question_hashes=("h",), undecoded_attempts=1)

    def dies(batch: pa.Table) -> Iterator[pa.Table]:
        raise Died
        yield batch

    batch = to_table([planned], PLANNED)
    for _ in range(3):
        with pytest.raises(Died):
            list(NotedDecode(make_stage=lambda: dies, attempts=attempts, facts=facts, max_attempts=3)(batch))
    [table] = NotedDecode(make_stage=lambda: dies, attempts=attempts, facts=facts, max_attempts=3)(batch)
    [unit] = DecodedUnit.from_table(table)
    assert unit.failure is not None
    assert (unit.failure.reason, unit.failed_attempt) == ("actor_crash", 2)
    assert "died 3 times" in unit.failure.message
    assert notes(attempts) == []
    # It is stored although nobody took what was handed on, and what is handed on adds nothing.
    assert [(row["reason"], row["attempts"]) for row in journal(attempts)] == [("actor_crash", 2)]
    stage = CommitStage(make_stage=Model, attempts=attempts, facts=facts, max_attempts=3)
    assert [(receipt["created"], receipt["undecoded"]) for receipt in stage(table).to_pylist()] == [(True, True)]
    assert len(journal(attempts)) == 1


def test_an_error_that_ends_the_run_is_no_death(
    attempts: Attempts, facts: RunFacts, make_decoded: Callable[..., DecodedUnit], units: SimpleNamespace
) -> None:
    def refuses(batch: pa.Table) -> Iterator[pa.Table]:
        raise CredentialsError("expired")
        yield batch

    class Refuses(Model):
        def __call__(self, batch: pa.Table) -> Iterator[pa.Table]:
            return refuses(batch)

    decode = NotedDecode(make_stage=lambda: refuses, attempts=attempts, facts=facts, max_attempts=3)
    commit = CommitStage(make_stage=Refuses, attempts=attempts, facts=facts, max_attempts=3)
    planned = PlannedVideo(video=units.make_video("x"), question_hashes=("h",))
    for _ in range(4):
        with pytest.raises(CredentialsError):
            list(decode(to_table([planned], PLANNED)))
        with pytest.raises(CredentialsError):
            commit(to_table([make_decoded("a"), make_decoded("b")], DECODED))
    assert notes(attempts) == []
