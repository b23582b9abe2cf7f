"""AnswerWorker: attempts are marked, and nothing is asked or stored twice."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import ClassVar

import pytest

from framegate.pipelines.commit.unit_rows import RunFacts
from framegate.pipelines.worker.answer_worker import AnswerWorker
from framegate.pipelines.worker.attempts import MAX_ENDED, Attempts
from framegate.schemas.errors import CredentialsError
from framegate.schemas.tables import DECODED
from framegate.schemas.unanswered import Failure
from framegate.schemas.unit import AnsweredUnit, DecodedUnit, to_table
from tests.worker.mortal_workers import Model, begin, journal, markers, run_as_ray_would


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
