"""Thresholds: the wanted share thinks in every system, whatever its implementation makes of the confidences."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.bench.engines import run, thresholds
from pipelines.bench.engines.measure import EngineBench
from pipelines.bench.engines.run import Interpreters
from pipelines.bench.engines.systems import SYSTEMS
from pipelines.bench.engines.task import Outcome, Task, Written
from pipelines.bench.engines.thresholds import choose_threshold
from pipelines.bench.engines.work import EngineWork
from schemas.errors import EngineError

# What each implementation adds to a confidence by rounding: one threshold for all would make 1, 2 and 3 think.
ROUNDING = {"two_call": 0.0, "transformers": -0.15, "vllm": 0.15}


def write(task: Task, interpreters: Interpreters) -> Outcome:
    """What a run of `task` would come to; confidences 0.1, 0.2, ... before rounding."""
    [rounding] = [value for name, value in ROUNDING.items() if task.system.startswith(name)]
    has_gate = task.system != "transformers_direct" and task.strategy != "direct"
    written = []
    for question in range(task.work.num_asked):
        confidence = 0.1 + 0.1 * question + rounding
        thinks = task.system.endswith("always") or (has_gate and confidence < task.threshold)
        written.append(
            Written(
                request_id="clip",
                question_id=f"q{question}",
                token_ids=[1],
                confidence=confidence,
                thinks=thinks,
                num_generated_tokens=1,
            )
        )
    return Outcome(
        load_seconds=1.0, seconds=1.0, written=written, peak_rss_bytes=1, peak_device_bytes=None, times=None,
        versions={},
    )  # fmt: skip


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[Task]:
    """The tasks that were run, none of them in a process."""
    tasks: list[Task] = []

    def run_once(task: Task, interpreters: Interpreters) -> Outcome:
        tasks.append(task)
        return write(task, interpreters)

    for module in (run, thresholds):
        monkeypatch.setattr(module, "run_once", run_once)
    return tasks


def measure(bench: EngineBench, work: EngineWork, systems: list[str], think_rate: float = 0.34) -> list[dict[str, Any]]:
    return bench.measure(work, systems, think_rate=think_rate, num_repeats=1)


def test_as_many_think_in_every_implementation(
    bench: EngineBench, tiny_work: Callable[[str], EngineWork], ran: list[Task]
) -> None:
    systems = [name for name in SYSTEMS if name != "generate_always"]
    rows = {row["system"]: row for row in measure(bench, tiny_work("qwen3_vl"), systems)}
    assert list(rows) == systems
    expected = {
        "two_call": 0.25, "transformers_direct": None, "transformers_gated": 0.1, "transformers_always": None,
        "vllm_always": None, "vllm_two_request": 0.4, "vllm_gated": 0.4,
    }  # fmt: skip
    assert {name: row["threshold"] and pytest.approx(row["threshold"]) for name, row in rows.items()} == expected
    assert {rows[name]["num_thinking"] for name, threshold in expected.items() if threshold} == {2}
    measured = [(task.system, task.strategy, task.threshold) for task in ran[: -len(systems)]]
    assert measured == [("two_call", None, 0), ("transformers_direct", None, 0), ("vllm_gated", "direct", 0)]


def test_confidences_are_measured_once_for_all_think_rates_and_never_where_all_think(
    bench: EngineBench, tiny_work: Callable[[str], EngineWork], ran: list[Task]
) -> None:
    work = tiny_work("qwen3_vl")
    rows = bench.scale(work, ["two_call"], "think-rate", think_rate=0.3, num_repeats=1)
    assert [row["num_thinking"] for row in rows] == [0, 2, 3, 4, 6]
    assert len(ran) == 1 + len(rows)
    ran.clear()
    rows = bench.scale(work, ["two_call"], "questions", think_rate=0.5, num_repeats=1)
    assert [row["num_thinking"] for row in rows] == [1, 2, 4, 8, 16, 32]  # half of those of two clips
    assert len(ran) == 2 * len(rows), "other questions have other confidences"
    ran.clear()
    [row] = measure(bench, work, ["transformers_always"])
    assert (row["threshold"], len(ran)) == (None, 1)


def test_an_implementation_without_a_threshold_complains_in_its_own_rows(
    bench: EngineBench, tiny_work: Callable[[str], EngineWork], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fall_over(task: Task, interpreters: Interpreters) -> Outcome:
        if task.strategy == "direct":
            raise EngineError("vllm_gated ended with 1")
        return write(task, interpreters)

    for module in (run, thresholds):
        monkeypatch.setattr(module, "run_once", fall_over)
    systems = ["vllm_gated", "two_call", "vllm_two_request", "vllm_always"]
    rows = measure(bench, tiny_work("qwen3_vl"), systems)
    sentence = "no threshold was found: vllm_gated ended with 1"
    assert [row["complaint"] for row in rows] == [sentence, None, sentence, None]
    assert [row["num_thinking"] for row in rows] == [None, 2, None, 6]


@pytest.mark.parametrize("system", ["two_call", "transformers_direct"])
def test_the_run_that_measures_writes_first_answers_alone(make_task: Callable[..., Task], system: str) -> None:
    task = replace(make_task("qwen3_vl", system, 0.0), work=replace(make_task("qwen3_vl", system).work, num_videos=1))
    written = SYSTEMS[system](task).run(task.work.requests())
    assert {(len(one.token_ids), one.num_generated_tokens, one.thinks) for one in written} == {(5, 5, False)}
    assert all(one.confidence is not None and 0 < one.confidence < 1 for one in written)


@given(st.sets(st.floats(0.001, 0.999), min_size=1, max_size=50), st.floats(0, 1))
def test_a_threshold_makes_the_wanted_share_think(confidences: set[float], think_rate: float) -> None:
    threshold = choose_threshold(list(confidences), think_rate)
    num_thinking = sum(confidence < threshold for confidence in confidences)
    ordered = sorted(confidences)
    wanted = round(think_rate * len(ordered))
    assert num_thinking == wanted or ordered[wanted - 1] == threshold  # neighbours too close for a number in between
    assert 0 <= threshold <= 1


@pytest.mark.parametrize(("rate", "threshold"), [(0.0, 0.0), (0.5, 0.5), (0.25, 0.3), (1.0, 1.0)])
def test_a_threshold_stands_between_two_of_the_measured(rate: float, threshold: float) -> None:
    assert choose_threshold([0.8, 0.2, 0.4, 0.6], rate) == pytest.approx(threshold)
