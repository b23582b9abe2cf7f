"""One engine and the one thread that drives it, shared by any number of callers: clips in, a future out.

Questions join those that run at the next step. A caller's future is done as soon as its own last question is, whatever
else still runs.
"""

from __future__ import annotations

import gc
import threading
import time
import weakref
from collections.abc import Callable, Sequence
from concurrent.futures import Future, InvalidStateError
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass, field

from framegate.pipelines.reason.engines.failures import describe_failure, is_fatal
from framegate.pipelines.reason.engines.protocol import EngineFactory
from framegate.pipelines.reason.occupancy import Occupancy
from framegate.pipelines.reason.questions import ClipRequest, Finished, QuestionRunner
from framegate.pipelines.reason.strategies.protocol import Capability, Strategy
from framegate.pipelines.reason.watchdog import Late, Watchdog
from framegate.schemas.config import EngineConfig
from framegate.schemas.errors import EngineError, EngineTimeout
from framegate.schemas.qa import Question

ABANDON_SECONDS = 60.0  # for callers to store what they have, once the engine has not come back
JOIN_SECONDS = 10.0  # for one step to come to its end; then the thread is left behind, and ends with the process

A_STEP, LOADING = "a step of the engine", "loading the model"


class EngineThread:
    """Builds the engine in its thread when it is first asked, and again after it broke down.

    An engine that raises, in `add` or `step`, fails all questions that it had (`engine_error`), and the next question
    finds a new engine. After a fatal error no engine can work in this process: `on_fatal` is called in the thread and
    should end the process; where it returns, and without it, callers get an EngineError now and ever after. What the
    factory raises is raised to all who wait. The thread is a daemon, and ends with `close` or with this object.
    `needs` is as in QuestionRunner.

    With `limits`, a watchdog looks whether the model is loaded and each step comes back in time. Where a step does not,
    all who wait, and all who ask from then on, get an EngineTimeout; where loading does not, an EngineError. The engine
    cannot be used any more: callers should end the process once they have stored what they have. `on_fatal` ends it
    where they have not after ABANDON_SECONDS.
    """

    def __init__(
        self,
        engine_factory: EngineFactory,
        strategy: Strategy,
        *,
        on_fatal: Callable[[BaseException], None] | None = None,
        occupancy: Occupancy | None = None,
        limits: EngineConfig | None = None,
        needs: frozenset[Capability] = frozenset(),
    ) -> None:
        self.occupancy = occupancy or Occupancy()
        self._drive = _Drive(engine_factory, strategy, on_fatal, self.occupancy, limits, needs)
        # The thread has no reference to this object, so that the thread ends when nothing else has one either.
        self._thread = threading.Thread(target=self._drive.run, name="engine", daemon=True)
        self._ends = weakref.finalize(self, _end, self._drive, self._thread)

    def ask(
        self, requests: Sequence[ClipRequest], on_answered: Callable[[], None] | None = None
    ) -> Future[list[Finished]]:
        """The questions of these clips once all of them are answered or failed. Ids must differ from those of other
        clips in the engine. `on_answered` is called in the engine's thread for each question that comes back, and must
        not raise."""
        asked = _Asked(
            {(request.id, question.hash): question for request in requests for question in request.questions},
            on_answered=on_answered,
        )
        asked.requests = list(requests)
        if asked.open:
            self._give(asked)
        else:
            asked.future.set_result([])
        return asked.future

    def num_slots(self) -> int | None:
        """How many asks the engine runs at once; None where it takes all. Builds the engine if need be."""
        if not self._drive.is_built:
            asked = _Asked({})
            self._give(asked)
            asked.future.result()
        return self._drive.num_slots

    def close(self) -> None:
        """Ends the thread after its present step. What is not answered by then is cancelled."""
        self._ends()

    def _give(self, asked: _Asked) -> None:
        self._drive.give(asked)
        with self._drive.changed:
            if not self._thread.ident:
                self._thread.start()


@dataclass
class _Asked:
    """What one caller waits for: its `open` questions by (request id, question hash)."""

    open: dict[tuple[str, str], Question]
    on_answered: Callable[[], None] | None = None
    requests: list[ClipRequest] = field(default_factory=list)
    finished: list[Finished] = field(default_factory=list)
    future: Future[list[Finished]] = field(default_factory=Future)

    def fail(self, error: Exception) -> None:
        reason, message = describe_failure(error)
        for (request_id, _), question in self.open.items():
            self.finished.append(
                Finished(
                    request_id=request_id,
                    question=question,
                    answer=None,
                    failure_reason=reason,
                    failure_message=message,
                )
            )
        self.future.set_result(self.finished)


class _Drive:
    """The thread's work. `give` and `stop` are called from any thread; `changed` guards what they touch."""

    def __init__(
        self,
        factory: EngineFactory,
        strategy: Strategy,
        on_fatal: Callable[[BaseException], None] | None,
        occupancy: Occupancy,
        limits: EngineConfig | None,
        needs: frozenset[Capability],
    ) -> None:
        self.changed = threading.Condition()
        self.is_built = False
        self.num_slots: int | None = None
        self._factory = factory
        self._strategy = strategy
        self._on_fatal = on_fatal
        self._occupancy = occupancy
        self._limits = limits
        self._needs = needs
        self._watchdog = None if limits is None else Watchdog(self._on_late, max_seconds=limits.deadline_seconds)
        self._inbox: list[_Asked] = []
        self._taken: list[_Asked] = []  # out of the inbox, and not yet open
        self._late_error: EngineError | None = None
        self._is_stopped = False
        self._fatal_error: EngineError | None = None
        self._runner: QuestionRunner | None = None
        self._open: dict[str, _Asked] = {}  # by request id

    def give(self, asked: _Asked) -> None:
        with self.changed:
            if self._is_stopped:
                raise EngineError("the engine is closed")
            if self._late_error is not None:
                raise self._late_error
            self._inbox.append(asked)
            self.changed.notify()

    def stop(self) -> None:
        with self.changed:
            self._is_stopped = True
            self.changed.notify()

    def run(self) -> None:
        if self._watchdog is not None:
            self._watchdog.start()
        try:
            self._run()
        finally:
            if self._watchdog is not None:
                self._watchdog.close()

    def _run(self) -> None:
        while self._wait():
            new = self._take()
            if (self._runner is None and not self._build(new)) or self._late_error is not None:
                continue
            for asked in [asked for asked in new if not asked.open]:
                asked.future.set_result([])
            try:
                with self._watch_step():
                    self._admit(new)
                    self._step()
            except Exception as error:
                self._break_down(error)
            except BaseException as error:  # a library that calls exit() ends no run, and leaves nobody waiting
                self._break_down(EngineError(f"the engine ended with {type(error).__name__}: {error}"))
        for asked in {id(asked): asked for asked in [*self._inbox, *self._open.values()]}.values():
            asked.future.cancel()
        self._runner = None

    def _wait(self) -> bool:
        """Until there is something to do; False where the thread should end."""
        with self.changed:
            self.changed.wait_for(lambda: self._inbox or self._open or self._is_stopped)
            return not self._is_stopped and self._late_error is None

    def _take(self) -> list[_Asked]:
        with self.changed:
            new, self._inbox = self._inbox, []
            self._taken = new
            return new

    def _watch_step(self) -> AbstractContextManager[None]:
        if self._watchdog is None or self._limits is None:
            return nullcontext()
        return self._watchdog.watch(A_STEP, self._limits.deadline_seconds)

    def _watch_loading(self) -> AbstractContextManager[None]:
        if self._watchdog is None or self._limits is None:
            return nullcontext()
        return self._watchdog.watch(LOADING, self._limits.load_seconds)

    def _on_late(self, late: Late) -> None:
        """In the watchdog's thread, while the engine's hangs."""
        message = f"{late.what} did not come back within {late.max_seconds:g} s"
        error = EngineTimeout(message) if late.what == A_STEP else EngineError(message)
        with self.changed:
            self._late_error = error
            waiting = {id(asked): asked for asked in [*self._inbox, *self._taken, *self._open.values()]}
        for asked in waiting.values():
            with suppress(InvalidStateError):  # it was answered at the last moment, or earlier
                asked.future.set_exception(error)
        if self._on_fatal is not None:
            time.sleep(ABANDON_SECONDS)
            self._on_fatal(error)

    def _build(self, new: list[_Asked]) -> bool:
        try:
            if self._fatal_error is not None:
                raise self._fatal_error
            with self._occupancy.loading(), self._watch_loading():
                self._runner = QuestionRunner(self._factory(), self._strategy, needs=self._needs)
        except BaseException as error:
            if isinstance(error, EngineError):
                error.__traceback__ = None  # its frames may hold an engine that the strategy cannot use
            if self._late_error is None:  # else all have been told
                self._raise_to_all(new, error)
            return False
        self._tell(0)
        self.is_built = True
        return True

    def _tell(self, num_asks: int) -> None:
        """Slots are read each time, as an engine may change their number."""
        if self._runner is not None:
            self.num_slots = self._runner.num_slots
        self._occupancy.hold(num_asks, self.num_slots)

    def _admit(self, new: list[_Asked]) -> None:
        assert self._runner is not None
        for asked in new:  # all of them first: where `add` raises, all of them are in what breaks down
            self._open |= {request.id: asked for request in asked.requests if request.questions}
        for asked in new:
            requests, asked.requests = asked.requests, []
            for request in requests:
                self._runner.add(request)

    def _step(self) -> None:
        assert self._runner is not None
        if not self._open:
            return
        self._tell(self._runner.engine.num_unfinished)
        done = self._runner.step()
        if self._late_error is not None:  # too late: nobody waits for it any more
            return
        for finished in done:
            self._hand_over(finished)
        if self._open and not self._runner.engine.num_unfinished:
            raise EngineError("the engine lost questions: it is idle and they have not come back")
        if not self._open:
            self._tell(0)

    def _hand_over(self, finished: Finished) -> None:
        asked = self._open.get(finished.request_id)
        if asked is None or asked.open.pop((finished.request_id, finished.question.hash), None) is None:
            return  # no caller waits for it any more
        asked.finished.append(finished)
        if asked.on_answered is not None:
            asked.on_answered()
        if not asked.open:
            self._forget(asked)
            asked.future.set_result(asked.finished)

    def _forget(self, asked: _Asked) -> None:
        self._open = {request_id: one for request_id, one in self._open.items() if one is not asked}

    def _break_down(self, error: Exception) -> None:
        """What was in flight fails. The engine goes before a new one is built: a device may not hold two."""
        lost = list({id(asked): asked for asked in self._open.values()}.values())
        fatal = is_fatal(error)
        if fatal and self._on_fatal is not None:
            self._on_fatal(error)
        self._runner, self._open = None, {}
        self._tell(0)
        if fatal:
            _, message = describe_failure(error)
            self._fatal_error = EngineError(f"no engine can work in this process any more, start it again: {message}")
            for asked in lost:
                asked.future.set_exception(self._fatal_error)
        else:
            for asked in lost:
                asked.fail(error)
        error.__traceback__ = None  # its frames hold the engine
        del error
        gc.collect()

    def _raise_to_all(self, new: list[_Asked], error: BaseException) -> None:
        waiting = {id(asked): asked for asked in [*new, *self._open.values()]}
        self._open = {}
        for asked in waiting.values():
            asked.future.set_exception(error)


def _end(drive: _Drive, thread: threading.Thread) -> None:
    drive.stop()
    if thread.ident and thread is not threading.current_thread():
        thread.join(JOIN_SECONDS)
