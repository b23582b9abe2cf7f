"""DecodeWorker: attempts are marked, and a video that kills its process is given up."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pytest

from framegate.pipelines.commit.output import Output
from framegate.pipelines.commit.unit_format import parse_unit
from framegate.pipelines.commit.unit_rows import RunFacts
from framegate.pipelines.reason.occupancy import Occupancy
from framegate.pipelines.worker.answer_worker import AnswerWorker
from framegate.pipelines.worker.attempts import Attempts
from framegate.pipelines.worker.decode_worker import DecodeWorker
from framegate.schemas.errors import CredentialsError
from framegate.schemas.tables import DECODED, PLANNED
from framegate.schemas.unit import AnsweredUnit, DecodedUnit, Failure, PlannedVideo, to_table


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
