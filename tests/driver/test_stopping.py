"""One value says why a run should stop: the first reason stays, and whoever waits looks at it without a receipt."""

from __future__ import annotations

import threading
import time
from collections.abc import Generator
from datetime import timedelta
from typing import Any

import pytest

from framegate.pipelines.commit.journal import Receipt
from framegate.pipelines.driver.hearing import hear, hear_in_turn
from framegate.pipelines.driver.stopping import Stopping
from framegate.schemas.clock import now
from framegate.schemas.errors import EngineError, RunStopped
from framegate.schemas.run import Deadline, Stop

STOP = Stop(code="breaker", sentence="too much failed")
NEVER = 60.0  # longer than a test may take


def receipt(number: int = 0) -> Receipt:
    return Receipt(video_id=f"{number:016x}", created=True, undecoded=False, failure_reason=None)


def soon(stopping: Stopping, stop: Stop = STOP) -> None:
    threading.Timer(0.2, lambda: stopping.ask(stop)).start()


def ending_in(seconds: float) -> Deadline:
    return Deadline(at=now() + timedelta(seconds=seconds), said="--for a moment")


def test_the_first_reason_stays() -> None:
    stopping = Stopping()
    assert stopping.reason is None
    assert stopping.seconds_left() is None
    stopping.check()
    stopping.ask(STOP)
    stopping.ask(Stop(code="signal", sentence="signal SIGTERM"))
    assert stopping.reason == STOP
    with pytest.raises(RunStopped, match="too much failed"):
        stopping.check()


def test_a_deadline_is_a_reason_as_long_before_it_as_is_reserved() -> None:
    stopping = Stopping(ending_in(100))
    stopping.reserve_seconds = lambda: 50.0
    assert stopping.reason is None
    stopping.reserve_seconds = lambda: 101.0
    assert stopping.reason is not None
    assert stopping.reason.code == "deadline"
    assert "--for a moment" in stopping.reason.sentence
    left = stopping.seconds_left()
    assert left is not None
    assert 90 < left <= 100


def test_a_signal_after_a_deadline_shortens_what_is_left_and_never_lengthens_it() -> None:
    stopping = Stopping()
    stopping.ask(STOP, over_in_seconds=20)
    stopping.hurry(over_in_seconds=1000)
    assert (stopping.seconds_left() or 0) <= 20
    stopping.hurry(over_in_seconds=5)
    assert (stopping.seconds_left() or 0) <= 5


def test_work_gives_what_it_made_or_raised() -> None:
    assert Stopping().call(lambda: 7) == 7
    assert Stopping().finish(lambda: 7, keep_seconds=1) == 7
    with pytest.raises(ZeroDivisionError):
        Stopping().call(lambda: 1 // 0)
    with pytest.raises(ZeroDivisionError):
        Stopping().finish(lambda: 1 // 0, keep_seconds=1)


def test_work_that_changes_nothing_is_left_as_soon_as_the_run_should_stop() -> None:
    stopping = Stopping()
    soon(stopping)
    with pytest.raises(RunStopped):
        stopping.call(lambda: time.sleep(NEVER))


def test_work_that_should_be_done_has_the_time_that_is_left() -> None:
    stopping = Stopping()
    stopping.ask(STOP, over_in_seconds=1.0)
    assert stopping.finish(lambda: time.sleep(NEVER), keep_seconds=0.5) is None
    unbounded = Stopping()
    unbounded.ask(STOP)
    assert unbounded.finish(lambda: time.sleep(0.3) or "done", keep_seconds=0.5) == "done"


class Source:
    """Gives its receipts, then waits until it is told to end, and does what `then` says."""

    def __init__(self, num_receipts: int, then: BaseException | None = None) -> None:
        self._num_receipts, self._then = num_receipts, then
        self._is_ending = threading.Event()
        self.is_closed = threading.Event()

    def receipts(self) -> Generator[Receipt]:
        try:
            yield from (receipt(number) for number in range(self._num_receipts))
            assert self._is_ending.wait(NEVER)
            if self._then is not None:
                raise self._then
        finally:
            self.is_closed.set()

    def end(self) -> None:
        self._is_ending.set()


def test_a_run_that_gets_no_receipt_stops_all_the_same() -> None:
    source, stopping = Source(3), Stopping()
    soon(stopping)
    assert len(list(hear(source.receipts(), stopping, source.end))) == 3
    assert source.is_closed.is_set()


def test_a_deadline_needs_no_receipt_either() -> None:
    source = Source(1)
    assert len(list(hear(source.receipts(), Stopping(ending_in(0.3)), source.end))) == 1
    assert source.is_closed.wait(NEVER)  # no time is left to wait for it


def test_what_arrived_before_the_stop_is_heard() -> None:
    source, stopping, heard = Source(5), Stopping(), []
    for each in hear(source.receipts(), stopping, source.end):
        heard.append(each)
        time.sleep(0.05)
        stopping.ask(STOP)
    assert len(heard) == 5


def test_an_error_is_raised_and_one_that_comes_of_the_stop_is_not() -> None:
    for is_asked in (False, True):
        source, stopping = Source(1, then=EngineError("the workers are gone")), Stopping()
        source.end()
        if is_asked:
            # The group's signal ends the workers first: the driver's comes a moment later.
            soon(stopping)
            assert len(list(hear(source.receipts(), stopping, source.end))) == 1
        else:
            with pytest.raises(EngineError):
                list(hear(source.receipts(), stopping, source.end))


def test_what_does_not_end_is_left_to_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("framegate.pipelines.driver.hearing.END_SECONDS", 0.3)
    source, stopping = Source(1), Stopping()
    soon(stopping)
    assert len(list(hear(source.receipts(), stopping, lambda: time.sleep(NEVER)))) == 1
    source.end()


def test_who_stops_hearing_ends_the_source() -> None:
    source = Source(3)
    hearing = hear(source.receipts(), Stopping(), source.end)
    next(hearing)
    hearing.close()
    assert source.is_closed.is_set()


def test_in_one_process_it_looks_after_each_unit() -> None:
    stopping, closed = Stopping(), []

    def units() -> Generator[Receipt]:
        try:
            for number in range(5):
                if number == 3:
                    stopping.ask(STOP)
                yield receipt(number)
        finally:
            closed.append(True)

    assert len(list(hear_in_turn(units(), stopping))) == 4
    assert closed == [True]
    assert list(hear_in_turn(units(), stopping)) == []


def test_other_threads_may_look() -> None:
    seen: list[Any] = []
    stopping = Stopping(ending_in(1000))
    stopping.ask(STOP)
    thread = threading.Thread(target=lambda: seen.append(stopping.reason))
    thread.start()
    thread.join()
    assert seen == [STOP]
