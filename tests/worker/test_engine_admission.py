"""Admission to the engine: as many units as keep it busy, and one alone where it must be."""

from __future__ import annotations

import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

from framegate.pipelines.worker.engine_admission import EngineAdmission

TIMEOUT = 30


def test_others_wait_once_there_are_questions_enough_and_one_too_large_goes_in_by_itself() -> None:
    admission = EngineAdmission()

    def enter() -> None:
        with admission.shared(1, 4):
            pass

    for held in ((100,), (3, 1), (3, 5)):
        with ThreadPoolExecutor(1) as threads, ExitStack() as stack:
            for num_questions in held:
                stack.enter_context(admission.shared(num_questions, 4))
            waiting = threads.submit(enter)
            with admission.shared(100, None):  # of an engine that does not tell its slots
                time.sleep(0.02)
            assert not waiting.done()
            stack.close()
            waiting.result(TIMEOUT)


def test_who_is_alone_shares_with_nobody_and_everybody_has_a_turn() -> None:
    admission, lock, draw = EngineAdmission(), threading.Lock(), random.Random(0)
    inside: list[str] = []
    met: list[tuple[str, ...]] = []

    def work(name: str) -> None:
        admitted = admission.exclusive() if name.startswith("alone") else admission.shared(1, 6)
        with admitted:
            with lock:
                inside.append(name)
                met.append(tuple(inside))
            time.sleep(draw.random() / 500)
            with lock:
                inside.remove(name)

    names = [f"alone{n}" if n % 5 == 0 else f"together{n}" for n in range(200)]
    with ThreadPoolExecutor(16) as threads:
        list(threads.map(work, names, timeout=TIMEOUT))
    assert len(met) == 200
    assert all(len(names) == 1 for names in met if any(name.startswith("alone") for name in names))
    assert 1 < max(len(names) for names in met) <= 6


def test_who_comes_later_waits_behind_who_must_be_alone() -> None:
    admission, order = EngineAdmission(), list[str]()
    with ThreadPoolExecutor(2) as threads:
        with admission.shared(1, None):

            def alone() -> None:
                with admission.exclusive():
                    order.append("alone")

            def together() -> None:
                with admission.shared(1, None):
                    order.append("together")

            first = threads.submit(alone)
            while not admission.is_exclusive_awaited:
                time.sleep(0.001)
            second = threads.submit(together)
            time.sleep(0.02)
            assert order == []
        first.result(TIMEOUT)
        second.result(TIMEOUT)
    assert order == ["alone", "together"]


def test_questions_that_are_answered_make_room_before_their_caller_leaves() -> None:
    admission = EngineAdmission()

    def enter() -> None:
        with admission.shared(2, 4):
            pass

    with ThreadPoolExecutor(2) as threads:
        with admission.shared(5, 4) as answered:
            waiting = [threads.submit(enter) for _ in range(2)]
            answered()
            time.sleep(0.02)
            assert not any(one.done() for one in waiting)
            answered()
            for one in waiting:
                one.result(TIMEOUT)
            for _ in range(3):
                answered()
        with admission.shared(4, 4):
            late = threads.submit(enter)
            answered()  # of a caller that has left: it has been counted
            time.sleep(0.02)
            assert not late.done()
        late.result(TIMEOUT)
