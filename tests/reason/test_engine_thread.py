"""One engine for many callers: who leaves when, what breaks whom, and which thread does it."""

from __future__ import annotations

import gc
import threading
import time
import weakref
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from framegate.pipelines.reason import engine_thread
from framegate.pipelines.reason.engine_thread import EngineThread
from framegate.pipelines.reason.engines.scripted import ScriptedEngine, say_yes
from framegate.pipelines.reason.occupancy import Occupancy
from framegate.pipelines.reason.questions import ClipRequest
from framegate.pipelines.reason.strategies.gated import Gated
from framegate.pipelines.reason.strategies.protocol import Ask, FinishedAsk
from framegate.schemas.clip import FrameBatch
from framegate.schemas.config import EngineConfig
from framegate.schemas.errors import EngineError, EngineTimeout
from framegate.schemas.qa import Question

QUESTIONS = tuple(Question(id=f"q{number}", text=f"Is it {number}?", type="yes_no") for number in range(2))
GATED = Gated(threshold=0.97, max_answer_tokens=64, max_thinking_tokens=1024)
TIMEOUT = 30


def make_request(name: str) -> ClipRequest:
    frames = FrameBatch(frames_THWC=np.zeros((1, 2, 2, 3), np.uint8), pts_seconds=np.zeros(1), duration_seconds=1.0)
    return ClipRequest(id=f"{name}/0", frames=frames, clip_start_seconds=0.0, questions=QUESTIONS)


class HeldEngine(ScriptedEngine):
    """Keeps the clips whose names begin with `long` until `release` is set, and remembers who touched it."""

    def __init__(self, release: threading.Event | None = None) -> None:
        super().__init__()
        self.threads = {threading.get_ident()}
        self.num_open: list[int] = []
        self.has_long = threading.Event()
        self._release = release or threading.Event()
        self._held: list[FinishedAsk] = []

    @property
    def num_unfinished(self) -> int:
        return super().num_unfinished + len(self._held)

    def add(self, ask: Ask) -> None:
        self.threads.add(threading.get_ident())
        super().add(ask)

    def step(self) -> list[FinishedAsk]:
        self.threads.add(threading.get_ident())
        self.num_open.append(self.num_unfinished)
        finished = super().step()
        self._held += [one for one in finished if one.ask.clip.id.startswith("long")]
        if self._held:
            self.has_long.set()
            time.sleep(0.001)
        done, self._held = (self._held, []) if self._release.is_set() else ([], self._held)
        return [one for one in finished if not one.ask.clip.id.startswith("long")] + done


@pytest.fixture
def make_thread() -> Any:
    made: list[EngineThread] = []

    def make(factory: Callable[[], Any], **options: Any) -> EngineThread:
        made.append(EngineThread(factory, GATED, **options))
        return made[-1]

    yield make
    for thread in made:
        thread.close()


def test_who_thinks_long_keeps_nobody_out_and_nobody_back(make_thread: Callable[..., EngineThread]) -> None:
    engine = HeldEngine(release := threading.Event())
    thread = make_thread(lambda: engine)
    long = thread.ask([make_request("long")])
    for number in range(20):
        assert len(thread.ask([make_request(f"short{number}")]).result(TIMEOUT)) == 2
        assert not long.done()
    release.set()
    assert {one.question.id for one in long.result(TIMEOUT)} == {"q0", "q1"}
    assert max(engine.num_open) == 4


def test_many_callers_share_one_engine_that_one_thread_of_its_own_drives(
    make_thread: Callable[..., EngineThread],
) -> None:
    made: list[HeldEngine] = []
    thread = make_thread(lambda: made.append(HeldEngine()) or made[-1])
    with ThreadPoolExecutor(16) as callers:
        answers = callers.map(lambda n: thread.ask([make_request(f"a{n}"), make_request(f"b{n}")]).result(), range(64))
        for number, finished in enumerate(answers):
            asked = sorted((one.request_id, one.question.id) for one in finished)
            assert asked == [(f"{name}{number}/0", f"q{q}") for name in "ab" for q in range(2)]
    [engine] = made
    [ident] = engine.threads
    assert ident != threading.get_ident()


class BreaksEngine(HeldEngine):
    def __init__(self, error: BaseException, *, in_add: bool = False) -> None:
        super().__init__()
        self._error = error
        self._in_add = in_add

    def add(self, ask: Ask) -> None:
        if self._in_add and ask.clip.id.startswith("bad"):
            raise self._error
        super().add(ask)

    def step(self) -> list[FinishedAsk]:
        if not self._in_add and any(running.ask.clip.id.startswith("bad") for running in self._running):
            raise self._error
        return super().step()


@pytest.mark.parametrize("in_add", [False, True])
def test_an_engine_that_breaks_fails_what_was_in_flight_and_the_next_goes_on(
    in_add: bool, make_thread: Callable[..., EngineThread]
) -> None:
    alive: list[Any] = []

    def build() -> BreaksEngine:
        assert all(engine() is None for engine in alive), "two engines at once do not fit into a device"
        engine = BreaksEngine(RuntimeError("lost"), in_add=in_add)
        alive.append(weakref.ref(engine))
        return engine

    thread = make_thread(build)
    assert all(one.answer for one in thread.ask([make_request("before")]).result(TIMEOUT))
    long = thread.ask([make_request("long")])
    bad = thread.ask([make_request("bad"), make_request("beside")])
    for future, num_questions in ((long, 2), (bad, 4)):
        failed = future.result(TIMEOUT)
        assert len(failed) == num_questions
        assert {(one.failure_reason, one.failure_message) for one in failed} == {("engine_error", "RuntimeError: lost")}
    assert all(one.answer for one in thread.ask([make_request("after")]).result(TIMEOUT))
    assert len(alive) == 2


def test_a_library_that_exits_ends_nobody_else(make_thread: Callable[..., EngineThread]) -> None:
    thread = make_thread(lambda: BreaksEngine(SystemExit(1)))
    assert "SystemExit" in str(thread.ask([make_request("bad")]).result(TIMEOUT)[0].failure_message)
    assert thread.ask([make_request("after")]).result(TIMEOUT)[0].answer


def test_after_an_error_of_the_device_nobody_is_answered_here_any_more(
    make_thread: Callable[..., EngineThread],
) -> None:
    error = RuntimeError("CUDA error: an illegal memory access was encountered")
    made: list[int] = []
    thread = make_thread(lambda: made.append(1) or BreaksEngine(error))
    for name in ("bad", "after"):
        with pytest.raises(EngineError, match=r"no engine can work in this process any more.*illegal memory access"):
            thread.ask([make_request(name)]).result(TIMEOUT)
    assert made == [1]


def test_an_error_of_the_device_goes_to_whoever_ends_the_process(make_thread: Callable[..., EngineThread]) -> None:
    def script(ask: Ask) -> Sequence[tuple[str, float]]:
        raise RuntimeError("CUDA error: device-side assert triggered")

    seen: list[BaseException] = []
    # Even where an engine takes an error for that of one question.
    thread = make_thread(lambda: ScriptedEngine(script), on_fatal=seen.append)
    with pytest.raises(EngineError):
        thread.ask([make_request("bad")]).result(TIMEOUT)
    assert [str(error) for error in seen] == ["CUDA error: device-side assert triggered"]


def test_what_the_factory_raises_reaches_all_who_wait_and_the_next_try_may_succeed(
    make_thread: Callable[..., EngineThread],
) -> None:
    errors = [OSError("no such model")]

    def build() -> ScriptedEngine:
        if errors:
            raise errors.pop()
        return ScriptedEngine(say_yes)

    thread = make_thread(build)
    with pytest.raises(OSError, match="no such model"):
        thread.ask([make_request("a")]).result(TIMEOUT)
    assert thread.ask([make_request("a")]).result(TIMEOUT)[0].answer


def test_slots_are_those_that_the_engine_has_now(make_thread: Callable[..., EngineThread]) -> None:
    assert make_thread(ScriptedEngine).num_slots() is None

    class Shrinks(ScriptedEngine):
        num_slots = 8

        def step(self) -> list[FinishedAsk]:
            self.num_slots = 4
            return super().step()

    thread = make_thread(Shrinks)
    assert thread.num_slots() == 8
    thread.ask([make_request("a")]).result(TIMEOUT)
    assert thread.num_slots() == 4


def test_closing_ends_the_thread_and_leaves_nobody_waiting(make_thread: Callable[..., EngineThread]) -> None:
    engine = HeldEngine()
    thread = make_thread(lambda: engine)
    waits = thread.ask([make_request("long")])
    assert engine.has_long.wait(TIMEOUT)
    thread.close()
    with pytest.raises(CancelledError):
        waits.result(TIMEOUT)
    with pytest.raises(EngineError, match="closed"):
        thread.ask([make_request("after")])
    assert not [one for one in threading.enumerate() if one.name == "engine" and one.is_alive()]


def test_a_thread_that_nobody_has_any_more_ends() -> None:
    thread = EngineThread(ScriptedEngine, GATED)
    thread.ask([make_request("a")]).result(TIMEOUT)
    [running] = [one for one in threading.enumerate() if one.name == "engine"]
    assert running.daemon
    del thread
    gc.collect()
    running.join(TIMEOUT)
    assert not running.is_alive()


def test_its_time_is_accounted_for(make_thread: Callable[..., EngineThread]) -> None:
    occupancy = Occupancy()

    class Slow(HeldEngine):
        num_slots = 2

    thread = make_thread(lambda: Slow(release), occupancy=occupancy)
    release = threading.Event()
    waits = thread.ask([make_request("long")])
    time.sleep(0.05)
    release.set()
    waits.result(TIMEOUT)
    assert occupancy.read()["full"] >= 0.04


LIMITS = EngineConfig(deadline_seconds=0.4, load_seconds=20)


def test_a_step_that_does_not_come_back_is_told_to_all_who_wait_and_to_all_who_ask_then(
    make_thread: Callable[..., EngineThread],
) -> None:
    release, begun = threading.Event(), threading.Event()

    def hang(asks: Sequence[Ask]) -> None:
        begun.set()
        release.wait(TIMEOUT)

    thread = make_thread(lambda: ScriptedEngine(before_step=hang), limits=LIMITS)
    at_work = thread.ask([make_request("a")])
    assert begun.wait(TIMEOUT)
    behind = thread.ask([make_request("b")])
    for future in (at_work, behind):
        with pytest.raises(EngineTimeout, match=r"a step of the engine did not come back within 0\.4 s"):
            future.result(TIMEOUT)
    with pytest.raises(EngineTimeout):
        thread.ask([make_request("c")])
    release.set()  # what comes back too late harms nobody
    thread.close()
    with pytest.raises(EngineTimeout):
        at_work.result(0)


def test_loading_has_a_deadline_of_its_own_and_ends_in_an_error_that_is_no_timeout_of_a_step(
    make_thread: Callable[..., EngineThread],
) -> None:
    slow = make_thread(lambda: time.sleep(1.5) or ScriptedEngine(), limits=LIMITS)
    assert len(slow.ask([make_request("a")]).result(TIMEOUT)) == 2
    slow.close()
    release = threading.Event()
    limits = EngineConfig(deadline_seconds=0.4, load_seconds=0.4)
    stuck = make_thread(lambda: release.wait(TIMEOUT) and ScriptedEngine(), limits=limits)
    with pytest.raises(EngineError, match="loading the model did not come back") as raised:
        stuck.num_slots()
    assert not isinstance(raised.value, EngineTimeout)
    release.set()


def test_a_caller_that_does_not_end_the_process_does_not_keep_it_alive(
    make_thread: Callable[..., EngineThread], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine_thread, "ABANDON_SECONDS", 0.1)
    ended: list[BaseException] = []
    release, is_ended = threading.Event(), threading.Event()
    thread = make_thread(
        lambda: ScriptedEngine(before_step=lambda asks: release.wait(TIMEOUT)),
        limits=LIMITS,
        on_fatal=lambda error: (ended.append(error), is_ended.set()),
    )
    future = thread.ask([make_request("a")])
    assert is_ended.wait(TIMEOUT)
    assert isinstance(ended[0], EngineTimeout)
    assert isinstance(future.exception(0), EngineTimeout)
    release.set()
