"""AnswerWorker: a process that hangs or is worn is ended, and what it has begun is not lost."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from framegate.pipelines.commit.unit_rows import RunFacts
from framegate.pipelines.worker import process_end
from framegate.pipelines.worker.answer_worker import AnswerWorker
from framegate.pipelines.worker.attempts import Attempts
from framegate.schemas.errors import EngineTimeout
from framegate.schemas.tables import DECODED
from framegate.schemas.unit import AnsweredUnit, DecodedUnit, to_table
from tests.worker.mortal_workers import Model, journal, markers


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
