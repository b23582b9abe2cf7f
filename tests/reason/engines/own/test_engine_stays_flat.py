"""An engine that has answered thousands of questions is as large as one that has answered a few hundred."""

from __future__ import annotations

import gc
import os
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from framegate.pipelines.reason.questions import QuestionRunner
from framegate.pipelines.reason.strategies.gated import Gated
from framegate.schemas.qa import Question
from tests.own_process import in_own_process
from tests.reason.conftest import Workbench
from tests.reason.engines.own.faulty_checkpoint import assert_nothing_is_left

# More of them: FRAMEGATE_FLAT_REQUESTS=10000 pytest -s tests/reason/engines/own/test_engine_stays_flat.py
NUM_REQUESTS = int(os.environ.get("FRAMEGATE_FLAT_REQUESTS", "900"))
NUM_WARM = min(1000, NUM_REQUESTS // 4)  # by then caches and torch's own pools have their size
NUM_PARTS = 3  # of the rest: what is kept for ever makes each of them larger, what the allocator keeps one of them
NUM_SLOTS = 16
QUESTIONS = tuple(Question(id=f"q{number}", text="look again " * (1 + number % 5), type="text") for number in range(40))
GATE = Gated(threshold=0.97, max_answer_tokens=2, max_thinking_tokens=2)
MOST_GROWTH_BYTES = 2**20  # the frames alone of one part, 225 requests, are 2 MB, their patches 8 MB


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def stores(runner: QuestionRunner) -> list[tuple[int, int]]:
    cache = runner.engine.runner.cache
    return [(store.num_slots, store.capacity) for store in (cache.clip_store, cache.row_store)]


def ask(runner: QuestionRunner, bench, numbers: range) -> int:
    """Answer one request per number, two waiting for each that runs; how many came back."""
    num_back, waiting = 0, iter(numbers)
    while True:
        while runner.num_unfinished < 2 * runner.num_slots and (number := next(waiting, None)) is not None:
            questions = tuple(
                replace(QUESTIONS[(number + place) % 40], think="never" if number % 3 else "always")
                for place in range(1 + number % 2)
            )
            request = bench.make_request(number, questions, num_frames=2 + 2 * (number % 2), size=(32, 32))
            runner.add(request)
        finished = runner.step()
        assert all(one.answer is not None for one in finished)
        num_back += len(finished)
        if not runner.num_unfinished:
            return num_back


@dataclass(frozen=True)
class Growth:
    """How much larger the process is after each part than before it, in bytes and in Python's objects, and the stores
    after each part."""

    num_bytes: list[int]
    num_objects: list[int]
    stores: list[list[tuple[int, int]]]


def ask_many(checkpoint: Path) -> Growth:
    bench = Workbench()
    runner = QuestionRunner(bench.engine(checkpoint, num_slots=NUM_SLOTS), GATE)
    ask(runner, bench, range(NUM_WARM))
    growth = Growth([], [], [])
    part_size = (NUM_REQUESTS - NUM_WARM) // NUM_PARTS
    for first in range(NUM_WARM, NUM_REQUESTS - part_size + 1, part_size):
        gc.collect()
        num_bytes, num_objects = resident_bytes(), len(gc.get_objects())
        numbers = range(first, first + part_size)
        assert ask(runner, bench, numbers) == sum(1 + number % 2 for number in numbers)
        gc.collect()
        growth.num_bytes.append(resident_bytes() - num_bytes)
        growth.num_objects.append(len(gc.get_objects()) - num_objects)
        growth.stores.append(stores(runner))
    print(f"bytes more after each of {NUM_PARTS} parts: {growth.num_bytes}; objects: {growth.num_objects}")
    assert_nothing_is_left(runner)
    return growth


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="resident memory is read from /proc")
def test_memory_is_flat_over_many_requests(random_checkpoints):
    growth = in_own_process(ask_many, random_checkpoints["qwen3_vl"])
    assert min(growth.num_bytes) < MOST_GROWTH_BYTES
    assert min(growth.num_objects) < (NUM_REQUESTS - NUM_WARM) // NUM_PARTS // 2
    # As many requests as step, and as many paused ones; each may be the last of its clip.
    assert all(num_slots <= 2 * NUM_SLOTS for sizes in growth.stores for num_slots, _ in sizes)
    assert len({num_tokens for sizes in growth.stores for _, num_tokens in sizes}) == 1
