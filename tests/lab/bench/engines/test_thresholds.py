"""Thresholds: the wanted share thinks in every system, whatever its implementation makes of the confidences."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from framegate.pipelines.lab.bench.engines.measure import EngineBench
from framegate.pipelines.lab.bench.engines.systems import SYSTEMS
from framegate.pipelines.lab.bench.engines.task import Task
from framegate.pipelines.lab.bench.engines.thresholds import choose_threshold
from framegate.pipelines.lab.bench.engines.work import EngineWork
from tests.lab.bench.engines.conftest import Runs


def measure(bench: EngineBench, work: EngineWork, systems: list[str]) -> list[dict[str, Any]]:
    return bench.measure(work, systems, think_rate=0.34, num_repeats=1)


def test_as_many_think_in_every_implementation(
    bench: EngineBench, tiny_work: Callable[[str], EngineWork], runs: Runs
) -> None:
    rows = {row["system"]: row for row in measure(bench, tiny_work("qwen3_vl"), list(SYSTEMS))}
    assert list(rows) == list(SYSTEMS)
    expected = {
        **dict.fromkeys(SYSTEMS), "two_call": 0.25, "transformers_gated": 0.1, "vllm_two_request": 0.4,
        "vllm_gated": 0.4,
    }  # fmt: skip
    assert {name: row["threshold"] and pytest.approx(row["threshold"]) for name, row in rows.items()} == expected
    assert {rows[name]["num_thinking"] for name, threshold in expected.items() if threshold} == {2}
    measured = [(task.system, task.strategy, task.threshold) for task in runs.tasks[: -len(rows)]]
    assert measured == [("two_call", None, 0), ("transformers_direct", None, 0), ("vllm_gated", "direct", 0)]


def test_confidences_are_measured_once_for_all_think_rates_and_never_where_all_think(
    bench: EngineBench, tiny_work: Callable[[str], EngineWork], runs: Runs
) -> None:
    work = tiny_work("qwen3_vl")
    rows = bench.scale(work, ["two_call"], "think-rate", think_rate=0.3, num_repeats=1)
    assert [row["num_thinking"] for row in rows] == [0, 2, 3, 4, 6]
    assert len(runs.tasks) == 1 + len(rows)
    runs.tasks.clear()
    rows = bench.scale(work, ["two_call"], "questions", think_rate=0.5, num_repeats=1)
    assert [row["num_thinking"] for row in rows] == [1, 2, 4, 8, 16, 32]  # half of those of two clips
    assert len(runs.tasks) == 2 * len(rows), "other questions have other confidences"
    runs.tasks.clear()
    [row] = measure(bench, work, ["transformers_always"])
    assert (row["threshold"], len(runs.tasks)) == (None, 1)


def test_an_implementation_without_a_threshold_complains_in_its_own_rows(
    bench: EngineBench, tiny_work: Callable[[str], EngineWork], runs: Runs
) -> None:
    runs.fails = lambda task: task.strategy == "direct"
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
