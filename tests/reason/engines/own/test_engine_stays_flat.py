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
NUM_WARM = min(1000, NUM_REQUESTS // 3)  # by then stores, caches and torch's own pools have their size
QUESTIONS = tuple(Question(id=f"q{number}", text="look again " * (1 + number % 5), type="text") for number in range(40))
GATE = Gated(threshold=0.97, max_answer_tokens=2, max_thinking_tokens=2)
MOST_GROWTH_BYTES = 8 * 2**20  # the frames alone of 9,000 requests are 80 MB, their patches 320 MB


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
    """What is larger after all requests than after the first NUM_WARM."""

    num_bytes: int
    num_objects: int
    stores: tuple[list[tuple[int, int]], list[tuple[int, int]]]  # before, after


def ask_many(checkpoint: Path) -> Growth:
    bench = Workbench()
    runner = QuestionRunner(bench.engine(checkpoint, num_slots=16), GATE)
    ask(runner, bench, range(NUM_WARM))
    gc.collect()
    sizes, before, num_objects = stores(runner), resident_bytes(), len(gc.get_objects())
    rest = range(NUM_WARM, NUM_REQUESTS)
    assert ask(runner, bench, rest) == sum(1 + number % 2 for number in rest)
    gc.collect()
    growth = Growth(resident_bytes() - before, len(gc.get_objects()) - num_objects, (sizes, stores(runner)))
    print(
        f"resident MiB: {before / 2**20:.1f} after {NUM_WARM} requests, {growth.num_bytes / 2**20:+.1f} after the rest"
    )
    assert_nothing_is_left(runner)
    return growth


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="resident memory is read from /proc")
def test_memory_is_flat_over_many_requests(random_checkpoints):
    growth = in_own_process(ask_many, random_checkpoints["qwen3_vl"])
    assert growth.num_bytes < MOST_GROWTH_BYTES
    assert growth.num_objects < (NUM_REQUESTS - NUM_WARM) // 2
    assert growth.stores[0] == growth.stores[1]
