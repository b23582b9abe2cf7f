"""DecodeWorker: attempts are marked, and a video that kills its process is given up."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from framegate.pipelines.commit.output import Output
from framegate.pipelines.commit.unit_format import parse_unit
from framegate.pipelines.commit.unit_rows import RunFacts
from framegate.pipelines.reason.occupancy import Occupancy
from framegate.pipelines.worker.answer_worker import AnswerWorker
from framegate.pipelines.worker.attempts import Attempts, Deaths, Work
from framegate.pipelines.worker.decode_worker import DecodeWorker
from framegate.schemas.clip import Clip, FrameBatch
from framegate.schemas.errors import CredentialsError
from framegate.schemas.tables import DECODED, PLANNED
from framegate.schemas.unanswered import Failure
from framegate.schemas.unit import AnsweredUnit, DecodedClip, DecodedUnit, PlannedVideo, to_table


class Died(BaseException):
    """Stands for the end of the process: nothing catches it."""


class Raises:
    """A decoding stage that always raises."""

    def __init__(self, error: BaseException) -> None:
        self._error = error

    def decode(self, planned: PlannedVideo) -> Iterator[DecodedUnit]:
        raise self._error
        yield


class Fails:
    """A decoding stage that gives two units of each video, both without frames."""

    def decode(self, planned: PlannedVideo) -> Iterator[DecodedUnit]:
        for clip_index in range(2):
            yield DecodedUnit(
                video=planned.video,
                question_hashes=planned.question_hashes,
                attempts=(),
                decoder="pyav-1",
                failure=Failure(stage="decode", reason="truncated", message="it ends early"),
                failed_clip_index=clip_index,
            )


class Unasked:
    """An answering stage that must not be asked anything."""

    def __init__(self) -> None:
        self.occupancy = Occupancy()

    def num_questions_wanted(self) -> int | None:
        return None

    def answer(self, decoded: DecodedUnit) -> AnsweredUnit:
        raise AssertionError("asked about a video that was given up")

    def close(self) -> None:
        pass


@pytest.fixture
def attempts(tmp_path: Path, facts: RunFacts) -> Attempts:
    return Attempts(output=Output.at(str(tmp_path)), config_id=facts.config_id, run_id=facts.run_id)


@pytest.fixture
def batch(units: SimpleNamespace) -> pa.Table:
    return to_table([PlannedVideo(video=units.make_video("x"), question_hashes=("h",), undecoded_attempts=1)], PLANNED)


def journal(attempts: Attempts) -> list[dict[str, Any]]:
    infos = attempts.output.list("journal")
    return [row for info in infos for row in parse_unit(info.uri, attempts.output.store.read(info.uri)).to_pylist()]


def markers(attempts: Attempts) -> list[str]:
    return [info.uri for info in attempts.output.list("attempts")]


def test_each_unit_is_a_table_of_one_row_and_the_marker_stays_until_the_video_ends(
    attempts: Attempts, facts: RunFacts, batch: pa.Table
) -> None:
    tables = DecodeWorker(make_stage=Fails, attempts=attempts, facts=facts, max_attempts=3)(batch)
    for clip_index in range(2):
        table = next(tables)
        assert table.schema.equals(DECODED)
        assert table.column("failed_clip_index").to_pylist() == [clip_index]
        assert len(markers(attempts)) == 1
    assert next(tables, None) is None
    assert markers(attempts) == []


def test_a_video_that_kills_its_decoder_is_given_up(attempts: Attempts, facts: RunFacts, batch: pa.Table) -> None:
    def make_worker() -> DecodeWorker:
        return DecodeWorker(make_stage=lambda: Raises(Died()), attempts=attempts, facts=facts, max_attempts=3)

    for _ in range(3):
        with pytest.raises(Died):
            list(make_worker()(batch))
    [table] = make_worker()(batch)
    [unit] = DecodedUnit.from_table(table)
    assert unit.failure is not None
    assert (unit.failure.reason, unit.failed_attempt) == ("actor_crash", 2)
    assert "died 3 times" in unit.failure.message
    assert markers(attempts) == []
    # It is stored although nobody took what was handed on, and what is handed on adds nothing.
    assert [(row["reason"], row["attempts"]) for row in journal(attempts)] == [("actor_crash", 2)]
    worker = AnswerWorker(make_stage=Unasked, attempts=attempts, facts=facts, max_attempts=3)
    assert [(receipt["created"], receipt["undecoded"]) for receipt in worker(table).to_pylist()] == [(True, True)]
    assert len(journal(attempts)) == 1


def test_an_error_that_ends_the_run_is_no_death(attempts: Attempts, facts: RunFacts, batch: pa.Table) -> None:
    refuses = Raises(CredentialsError("expired"))
    worker = DecodeWorker(make_stage=lambda: refuses, attempts=attempts, facts=facts, max_attempts=3)
    for _ in range(4):
        with pytest.raises(CredentialsError):
            list(worker(batch))
    assert markers(attempts) == []


class Decodes:
    """A decoding stage that gives one unit of each video, and dies of the videos in `poison`."""

    def __init__(self, units: SimpleNamespace, poison: tuple[str, ...] = ()) -> None:
        self.decoded: list[str] = []
        self._units = units
        self._poison = poison

    def decode(self, planned: PlannedVideo) -> Iterator[DecodedUnit]:
        name = planned.video.uri.removesuffix(".mp4")
        self.decoded.append(name)
        if name in self._poison:
            raise Died
        frames = FrameBatch(frames_THWC=np.zeros((1, 2, 2, 3), np.uint8), pts_seconds=np.zeros(1), duration_seconds=2.0)
        clip = Clip(video_id=planned.video.video_id, index=0, start_seconds=0.0, end_seconds=2.0)
        decoded = DecodedClip(clip=clip, frames=frames, is_last=True, decode_seconds=0.5)
        yield DecodedUnit(
            video=planned.video, question_hashes=("h",), attempts=(1,), decoder="pyav-1", clips=(decoded,)
        )


def plan_of(units: SimpleNamespace, names: str) -> pa.Table:
    return to_table([PlannedVideo(video=units.make_video(name), question_hashes=("h",)) for name in names], PLANNED)


def test_small_videos_are_begun_with_one_marker_and_leave_together(
    attempts: Attempts, facts: RunFacts, units: SimpleNamespace
) -> None:
    stage = Decodes(units)
    worker = DecodeWorker(make_stage=lambda: stage, attempts=attempts, facts=facts, max_attempts=3, max_together=4)
    tables = worker(plan_of(units, "abcdef"))
    first = next(tables)
    assert (first.num_rows, first.schema.equals(DECODED), stage.decoded) == (4, True, list("abcd"))
    [marker] = markers(attempts)
    assert json.loads(Path(marker).read_text())["works"] == [
        f"{units.make_video(name).video_id}/decode" for name in "abcd"
    ]
    assert [table.num_rows for table in tables] == [2]
    assert len(markers(attempts)) == 2, "they go some at a time, and at the end of the run"
    attempts.forget()
    assert markers(attempts) == []


@pytest.mark.parametrize(("poison", "max_attempts"), [("a", 3), ("d", 3), ("bc", 2), ("abcd", 1)])
def test_what_kills_its_worker_in_a_block_is_given_up_once_it_has_killed_one_alone(
    poison: str, max_attempts: int, attempts: Attempts, facts: RunFacts, units: SimpleNamespace
) -> None:
    stage = Decodes(units, tuple(poison))
    num_deaths = 0
    while True:
        worker = DecodeWorker(
            make_stage=lambda: stage, attempts=attempts, facts=facts, max_attempts=max_attempts, max_together=4
        )
        try:
            tables = list(worker(plan_of(units, "abcd")))
            break
        except Died:
            num_deaths += 1
    assert num_deaths == 1 + len(poison) * max(1, max_attempts - 1)
    found = [unit for table in tables for unit in DecodedUnit.from_table(table)]
    assert [unit.video.uri for unit in found] == ["a.mp4", "b.mp4", "c.mp4", "d.mp4"]
    given_up = {unit.video.uri[0] for unit in found if unit.failure is not None}
    assert given_up == set(poison)
    assert {row["video_uri"][0] for row in journal(attempts)} == given_up
    times = max(2, max_attempts)
    assert all(f"died {times} times" in row["message"] for row in journal(attempts))
    assert markers(attempts) == []


def test_a_video_at_which_an_earlier_run_died_is_decoded_with_a_marker_of_its_own(
    attempts: Attempts, facts: RunFacts, units: SimpleNamespace
) -> None:
    work = Work(units.make_video("b").video_id, "decode")
    seen: list[int] = []

    class Looks(Decodes):
        def decode(self, planned: PlannedVideo) -> Iterator[DecodedUnit]:
            seen.append(len(json.loads(Path(markers(attempts)[0]).read_text())["works"]))
            return super().decode(planned)

    died = replace(attempts, deaths={work: Deaths(together=1)})
    worker = DecodeWorker(make_stage=lambda: Looks(units), attempts=died, facts=facts, max_attempts=1, max_together=4)
    [table] = worker(plan_of(units, "abcd"))
    assert (table.num_rows, seen) == (4, [1, 1, 1, 1])
    assert table.column("failure").null_count == 4, "nobody is given up for a death in a block"


def test_parts_of_a_video_are_tried_and_given_up_each_for_itself(
    attempts: Attempts, facts: RunFacts, units: SimpleNamespace
) -> None:
    video = units.make_video("x")
    parts = [PlannedVideo(video=video, question_hashes=("h",), part=number, num_parts=2) for number in range(2)]
    worker = DecodeWorker(make_stage=Fails, attempts=attempts, facts=facts, max_attempts=1)
    # Both are at work at once: neither is the other's death.
    working = [worker.decode(part) for part in parts]
    first = [next(units_of_part) for units_of_part in working]
    assert [unit.failure and unit.failure.reason for unit in first] == ["truncated"] * 2
    assert len(markers(attempts)) == 2
    for units_of_part in working:
        list(units_of_part)
    assert markers(attempts) == []
    dying = DecodeWorker(make_stage=lambda: Raises(Died()), attempts=attempts, facts=facts, max_attempts=1)
    with pytest.raises(Died):
        list(dying.decode(parts[1]))
    assert [unit.failure and unit.failure.reason for unit in worker.decode(parts[0])] == ["truncated"] * 2
    [given_up] = worker.decode(parts[1])
    assert given_up.failure is not None
    assert given_up.failure.reason == "actor_crash"
