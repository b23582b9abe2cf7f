"""Around the stages: attempts are noted, what kills its process is given up, nothing is asked or stored twice."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from pipelines.commit import attempts as attempts_module
from pipelines.commit.attempts import Attempts, read_deaths
from pipelines.commit.journal import from_parquet
from pipelines.commit.layout import Layout
from pipelines.commit.rows import RunFacts
from pipelines.commit.stage import CommitStage, NotedDecode
from pipelines.store import Store
from schemas.clip import Clip, FrameBatch
from schemas.errors import CredentialsError, StorageError
from schemas.planned import PlannedVideo
from schemas.rows import Failure
from schemas.tables import ANSWERED, DECODED, PLANNED
from schemas.work import DecodedClip, DecodedUnit, to_table

FAILURE = Failure(stage="reason", reason="engine_error", message="no")


class Died(BaseException):
    """Stands for the end of the process: nothing catches it."""


@pytest.fixture
def attempts(tmp_path: Path, facts: RunFacts) -> Attempts:
    return Attempts(store=Store(), layout=Layout(str(tmp_path)), config_id=facts.config_id, run_id=facts.run_id)


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


class Model:
    """A reason stage that fails every question, dies of the videos in `poison`, and remembers what came together."""

    def __init__(self, *, poison: tuple[str, ...] = ()) -> None:
        self.poison = poison
        self.batches: list[list[str]] = []

    def __call__(self, batch: pa.Table) -> Iterator[pa.Table]:
        units = list(DecodedUnit.from_table(batch))
        self.batches.append([unit.video.uri for unit in units])
        for unit in units:
            if unit.video.uri.removesuffix(".mp4") in self.poison:
                raise Died
            yield to_table([unit.all_failed(FAILURE)], ANSWERED)


def journal(attempts: Attempts) -> list[dict[str, Any]]:
    infos = attempts.store.list(attempts.layout.folder("journal"))
    return [row for info in infos for row in from_parquet(info.uri, attempts.store.read(info.uri)).to_pylist()]


def notes(attempts: Attempts) -> list[str]:
    return [info.uri for info in attempts.store.list(attempts.layout.folder("attempts"))]


def run_as_ray_would(model: Model, attempts: Attempts, facts: RunFacts, batch: pa.Table) -> tuple[pa.Table, int]:
    """One batch in process after process, until one of them lives; and how many died."""
    for num_deaths in range(20):
        stage = CommitStage(make_stage=lambda: model, attempts=attempts, facts=facts, max_attempts=3)
        try:
            return stage(batch), num_deaths
        except Died:
            continue
    raise AssertionError("it is retried for ever")


def test_each_unit_is_committed_with_its_receipt_and_no_note_stands(
    attempts: Attempts, facts: RunFacts, make_decoded: Callable[..., DecodedUnit]
) -> None:
    model, batch = Model(), to_table([make_decoded("a"), make_decoded("b"), make_decoded("c")], DECODED)
    receipts, _ = run_as_ray_would(model, attempts, facts, batch)
    assert model.batches == [["a.mp4", "b.mp4", "c.mp4"]]
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
    assert model.batches == [["b.mp4"]]
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
    assert notes(attempts) == []


def test_two_units_that_kill_are_both_given_up_and_the_others_are_not(
    attempts: Attempts, facts: RunFacts, make_decoded: Callable[..., DecodedUnit]
) -> None:
    model, batch = Model(poison=("b", "d")), to_table([make_decoded(name) for name in "abcdef"], DECODED)
    run_as_ray_would(model, attempts, facts, batch)
    given_up = {row["video_uri"] for row in journal(attempts) if row["reason"] == "actor_crash"}
    assert given_up == {"b.mp4", "d.mp4"}


def test_a_failure_of_decoding_passes_without_a_note(
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

    def answer(batch: pa.Table) -> Iterator[pa.Table]:
        assert notes(attempts) == []
        for unit in DecodedUnit.from_table(batch):
            yield to_table([unit.answered(())], ANSWERED)

    stage = CommitStage(make_stage=lambda: answer, attempts=attempts, facts=facts, max_attempts=3)
    [receipt] = stage(to_table([failed], DECODED)).to_pylist()
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
    stage = CommitStage(make_stage=lambda: dies, attempts=attempts, facts=facts, max_attempts=3)
    assert [(receipt["created"], receipt["undecoded"]) for receipt in stage(table).to_pylist()] == [(True, True)]
    assert len(journal(attempts)) == 1


def test_an_error_that_ends_the_run_is_no_death(
    attempts: Attempts, facts: RunFacts, make_decoded: Callable[..., DecodedUnit], units: SimpleNamespace
) -> None:
    def refuses(batch: pa.Table) -> Iterator[pa.Table]:
        raise CredentialsError("expired")
        yield batch

    decode = NotedDecode(make_stage=lambda: refuses, attempts=attempts, facts=facts, max_attempts=3)
    commit = CommitStage(make_stage=lambda: refuses, attempts=attempts, facts=facts, max_attempts=3)
    planned = PlannedVideo(video=units.make_video("x"), question_hashes=("h",))
    for _ in range(4):
        with pytest.raises(CredentialsError):
            list(decode(to_table([planned], PLANNED)))
        with pytest.raises(CredentialsError):
            commit(to_table([make_decoded("a"), make_decoded("b")], DECODED))
    assert notes(attempts) == []


def test_notes_of_another_run_count_once_they_are_old(attempts: Attempts, monkeypatch: pytest.MonkeyPatch) -> None:
    other = replace(attempts, run_id="killed")
    for scope in ("decode", "decode", "unit"):
        other.begin("video", scope)
    now = datetime.now(UTC)

    def deaths(later: timedelta) -> dict[str, int]:
        return read_deaths(attempts.store, attempts.layout, attempts.config_id, now=now + later)

    assert deaths(timedelta(minutes=50)) == {}
    old = deaths(attempts_module.STALE_AFTER + timedelta(minutes=1))
    assert old == {"video/decode": 2, "video/unit": 1}
    assert attempts.begin("video", "decode").num_deaths == 0
    assert replace(attempts, deaths=old, run_id="next").begin("video", "decode").num_deaths == 2


def test_a_run_forgets_its_own_notes_alone(attempts: Attempts) -> None:
    replace(attempts, run_id="other").begin("video", "decode")
    attempts.begin("video", "decode")
    attempts.forget()
    assert [uri.rpartition("/")[2] for uri in notes(attempts)] == ["other-0001"]


def test_a_foreign_object_among_the_notes_is_named(attempts: Attempts) -> None:
    attempts.store.put_once(attempts.layout.attempt(attempts.config_id, "v", "decode", "x", 1), b"no json")
    with pytest.raises(StorageError, match="x-0001 is no note of an attempt"):
        read_deaths(attempts.store, attempts.layout, attempts.config_id, now=datetime.now(UTC))
