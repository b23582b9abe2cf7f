"""What pausing is for, in integers: how many steps some work takes, how full they are, how long anybody waits."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from types import SimpleNamespace
from typing import Any, cast

import pytest

from framegate.pipelines.reason.engines.own.request import Clip, Request
from framegate.pipelines.reason.engines.own.scheduler import PAUSED_STEPS, Scheduler
from framegate.pipelines.reason.stage import QUESTIONS_PER_SLOT

NUM_SLOTS, NUM_QUESTIONS = 64, 4  # of each clip
ANSWER, THOUGHT = 8, 128  # tokens
# What a step of the bench's 181 M parameters takes on one core without AMX: milliseconds, and more for each row.
STEP_COST, ROW_COST = 55, 2


@dataclass
class Memory:
    """So many rows and clips have room."""

    max_rows: int = 10**9
    rows: set[Request] = field(default_factory=set)

    def fits(self, *, num_rows: int, row_tokens: int, num_clips: int, clip_tokens: int, control_bytes: int = 0) -> bool:
        return len(self.rows) + num_rows <= self.max_rows

    def clear(self) -> None:
        self.rows.clear()


@dataclass
class Run:
    """Steps by the rows that took part in them; for each question, how many steps it was in a slot."""

    num_rows: list[int] = field(default_factory=list)
    num_open: list[int] = field(default_factory=list)
    num_entrances: int = 0
    most_held: int = 0

    @property
    def num_steps(self) -> int:
        return len(self.num_rows)

    @property
    def rows_per_step(self) -> float:
        return sum(self.num_rows) / self.num_steps

    @property
    def cost(self) -> int:
        return sum(STEP_COST + ROW_COST * rows for rows in self.num_rows)


def simulate(
    lengths: Sequence[int],
    *,
    pauses: bool = True,
    num_paused_steps: int = PAUSED_STEPS,
    max_rows: int = 10**9,
    in_flight: int = 10**9,
    unit_size: int = 1,
) -> Run:
    """Questions that write so many tokens each: above ANSWER, they think. As in a run, units of so many enter the
    engine while fewer than `in_flight` questions count; those of a unit count until all of them are answered."""
    memory, run = Memory(max_rows), Run()
    scheduler = Scheduler(memory, num_slots=NUM_SLOTS, num_paused_steps=num_paused_steps if pauses else 0)
    requests = _make(lengths)
    unit_of: dict[Request, list[Request]] = {}  # those of its unit that are not answered
    missing: dict[Request, int] = {}
    began: dict[Request, int] = {}
    num_inside = 0
    while True:
        while num_inside < in_flight and (unit := list(islice(requests, unit_size))):
            num_inside += len(unit)
            for request in tuple(unit):
                unit_of[request] = unit
                scheduler.add(request)
        entering, _, _ = scheduler.schedule()
        run.num_entrances += bool(entering)
        memory.rows.update(entering)
        run.most_held = max(run.most_held, len(scheduler.running))
        for request in entering:  # its first token comes with its prompt
            missing[request], began[request] = request.max_own_tokens - 1, run.num_steps
        paused = set(scheduler.paused)
        stepping = [request for request in scheduler.running if request not in paused]
        if not stepping:
            assert not scheduler.running
            return run
        run.num_rows.append(len(stepping))
        for request in stepping:
            missing[request] -= 1
            if missing[request] == request.max_own_tokens - ANSWER and missing[request]:
                scheduler.pause(request)
            if not missing[request]:
                memory.rows.discard(request)
                scheduler.finish(request)
                scheduler.forget_unasked()
                run.num_open.append(run.num_steps - began[request])
                unit_of[request].remove(request)
                num_inside -= 0 if unit_of[request] else unit_size
        scheduler.count_step(is_calm=True)


def _make(lengths: Sequence[int]) -> Iterator[Request]:
    clip = Clip(source=cast(Any, None), num_prefix_tokens=1)
    for number, length in enumerate(lengths):
        if number % NUM_QUESTIONS == 0:
            clip = Clip(source=cast(Any, f"clip {number}"), num_prefix_tokens=1)
        ask = cast(Any, SimpleNamespace(clip=clip.source, frames=None))
        yield Request(ask=ask, clip=clip, suffix_ids=(), max_own_tokens=length)


def draw(num_questions: int, share: float, *, spread: bool = False, seed: int = 0) -> list[int]:
    """So many lengths, of which about that share thinks; `spread`: as long as it happens, and THOUGHT on average."""
    chance = random.Random(seed)
    thoughts = [1 + int(chance.expovariate(1 / THOUGHT)) if spread else THOUGHT for _ in range(num_questions)]
    return [ANSWER + thought if chance.random() < share else ANSWER for thought in thoughts]


def test_a_few_rounds_of_work_take_as_many_steps_as_first_answers_and_one_round_of_thought() -> None:
    """The work of `bench engines --steady`: three rounds of first answers, and fewer who think than there are slots."""
    lengths = draw(3 * NUM_SLOTS, 0.3)
    assert 50 < sum(length > ANSWER for length in lengths) <= NUM_SLOTS
    run, at_once = simulate(lengths), simulate(lengths, pauses=False)
    assert run.num_steps == 3 * (ANSWER - 1) + THOUGHT
    assert run.num_entrances == 3
    assert run.num_steps < 0.92 * at_once.num_steps
    assert run.cost < 0.975 * at_once.cost


def test_in_a_long_run_steps_are_full_and_prompts_come_many_at_once() -> None:
    lengths = draw(48 * NUM_SLOTS, 0.3)
    run, at_once = simulate(lengths), simulate(lengths, pauses=False)
    assert run.rows_per_step > 0.99 * NUM_SLOTS > at_once.rows_per_step
    assert run.cost < at_once.cost
    assert run.num_entrances * 5 < at_once.num_entrances


@pytest.mark.parametrize("share", [0.02, 0.1, 0.3, 0.6, 1.0])
@pytest.mark.parametrize("num_rounds", [1, 3, 12, 48])
@pytest.mark.parametrize("spread", [False, True])
def test_whatever_the_work_pausing_costs_little_where_it_gains_nothing(
    share: float, num_rounds: int, *, spread: bool
) -> None:
    """The last to think may begin later, and be the longest."""
    lengths = draw(num_rounds * NUM_SLOTS, share, spread=spread)
    run, at_once = simulate(lengths), simulate(lengths, pauses=False)
    assert sum(run.num_rows) == sum(at_once.num_rows) == sum(lengths) - len(lengths)
    assert run.cost < 1.05 * at_once.cost
    assert run.most_held <= 2 * NUM_SLOTS


def test_what_a_run_has_in_the_engine_is_enough_to_choose_from() -> None:
    lengths = draw(24 * NUM_SLOTS, 0.3)
    assert simulate(lengths, in_flight=QUESTIONS_PER_SLOT * NUM_SLOTS).num_steps == simulate(lengths).num_steps
    assert simulate(lengths, in_flight=NUM_SLOTS).num_steps > 1.05 * simulate(lengths).num_steps


@pytest.mark.parametrize("unit_size", [4, 12, 48])
def test_units_that_count_until_they_are_answered_would_leave_steps_empty(unit_size: int) -> None:
    """Why a question makes room as soon as it is answered: most units have one that thinks."""
    lengths = draw(48 * NUM_SLOTS, 0.3)
    by_unit = simulate(lengths, in_flight=2 * NUM_SLOTS, unit_size=unit_size, pauses=False)
    assert by_unit.rows_per_step < 0.82 * NUM_SLOTS
    by_question = simulate(lengths, in_flight=QUESTIONS_PER_SLOT * NUM_SLOTS)
    assert by_question.rows_per_step > 0.99 * NUM_SLOTS
    assert by_question.cost < 0.95 * by_unit.cost


def test_where_memory_has_no_room_for_more_those_that_think_go_on_at_once() -> None:
    lengths = draw(12 * NUM_SLOTS, 0.3)
    run, at_once = simulate(lengths, max_rows=NUM_SLOTS), simulate(lengths, pauses=False, max_rows=NUM_SLOTS)
    assert run.most_held == NUM_SLOTS
    assert run.num_steps <= 1.01 * at_once.num_steps
    half = simulate(lengths, max_rows=NUM_SLOTS * 3 // 2)
    assert half.most_held == NUM_SLOTS * 3 // 2
    assert half.num_entrances < at_once.num_entrances


def test_nobody_is_paused_for_longer_than_is_said() -> None:
    """Few think, and first answers never end: they would wait for each other for thousands of steps."""
    lengths = draw(200 * NUM_SLOTS, 0.005)
    assert max(simulate(lengths).num_open) > 600
    for num_paused_steps in (20, 100, 300):
        run = simulate(lengths, num_paused_steps=num_paused_steps)
        assert max(run.num_open) <= num_paused_steps + 2 * ANSWER + THOUGHT
