"""What a table says: ratios, medians and shares, and the floor below a step, reckoned by hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from transformers import AutoModelForImageTextToText

from framegate.pipelines.lab.bench.engines import measure
from framegate.pipelines.lab.bench.engines.bound import beside_bound, compute_bound
from framegate.pipelines.lab.bench.engines.floor import ModelSize, compute_floor, read_model_size
from framegate.pipelines.lab.bench.engines.measure import RANGES, EngineBench, work_at
from framegate.pipelines.lab.bench.engines.report import make_rows
from framegate.pipelines.lab.bench.engines.run import Interpreters
from framegate.pipelines.lab.bench.engines.shapes import FAMILY_NAMES
from framegate.pipelines.lab.bench.engines.task import Outcome, Task, Written
from framegate.pipelines.lab.bench.engines.work import EngineWork
from framegate.pipelines.reason.engines.times import EngineTimes
from framegate.schemas.errors import ConfigError
from tests.lab.bench.engines.conftest import MACHINE

SIZE = ModelSize(
    num_layer_weights=1000, num_head_weights=200, num_patch_weights=60, num_merged_weights=40, patches_per_token=4,
    num_key_value_numbers=16, num_query_numbers=32,
)  # fmt: skip
TIMES = EngineTimes(
    vision_seconds=1.0, prefill_seconds=2.0, answer_seconds=30.0, think_seconds=67.0, num_steps=10, num_step_rows=40,
    num_step_thinkers=25, num_step_keys=500, num_step_row_keys=900, num_prefill_tokens=100, num_patches=80,
)  # fmt: skip
WORK = EngineWork(num_videos=1, num_questions=2, num_frames=4, size=64, num_answer_tokens=2, num_thinking_tokens=3)


def outcome(seconds: float, tokens: dict[str, list[int]], *, times: EngineTimes | None = None) -> Outcome:
    written = [
        Written(
            request_id="clip", question_id=question, token_ids=ids, confidence=0.5, thinks=len(ids) > 2,
            num_generated_tokens=len(ids),
        )
        for question, ids in tokens.items()
    ]  # fmt: skip
    return Outcome(
        load_seconds=9.0, seconds=seconds, written=written, peak_rss_bytes=2**30, peak_device_bytes=None, times=times,
        versions={"torch": "2"}, settings={},
    )  # fmt: skip


def test_a_step_is_bound_by_memory_or_by_matrices() -> None:
    floor = compute_floor(SIZE, TIMES, MACHINE, "bfloat16")
    # 4 rows a step, 50 keys to read and 90 to attend to: 1200 weights and 50 x 16 numbers of 2 bytes; 4 x 1200 x 2 and
    # 4 x 90 x 32 operations.
    assert floor.step_bytes == 2 * (1200 + 800)
    assert floor.step_operations == 9600 + 11520
    assert (floor.step_seconds, floor.weights_seconds) == (pytest.approx(4.0), pytest.approx(2.4))
    slow = replace(MACHINE, matrix_operations_per_second=1000.0)
    assert compute_floor(SIZE, TIMES, slow, "bfloat16").step_seconds == pytest.approx(21.12)
    assert compute_floor(SIZE, TIMES, MACHINE, "float32").step_bytes == 4 * (1200 + 800)
    assert floor.prefill_seconds == pytest.approx(2 * 100 * 1000 / 20_000)
    assert floor.vision_seconds == pytest.approx(2 * 80 * (60 + 40 / 4) / 20_000)


@pytest.mark.parametrize("family", FAMILY_NAMES)
def test_a_models_size_is_that_of_its_tensors(family: str, tiny_checkpoints: dict[str, Path]) -> None:
    size = read_model_size(tiny_checkpoints[family])
    model = AutoModelForImageTextToText.from_pretrained(tiny_checkpoints[family])
    text, vision = model.model.language_model, model.model.visual
    assert size.num_layer_weights == sum(weight.numel() for weight in text.layers.parameters())
    assert size.num_head_weights == model.lm_head.weight.numel()
    embedded = sum(weight.numel() for name, weight in vision.named_parameters() if "pos_embed" in name)
    of_vision = sum(weight.numel() for weight in vision.parameters())
    assert size.num_patch_weights + size.num_merged_weights == of_vision - embedded
    config = model.config.get_text_config()
    assert size.num_key_value_numbers == config.num_hidden_layers * 2 * config.num_key_value_heads * 64


def test_rows_hold_ratios_medians_and_shares() -> None:
    tokens = {"q0": [1, 2], "q1": [1, 2, 3, 4, 5]}
    outcomes: dict[str, list[Outcome | str]] = {
        "two_call": [outcome(30.0, tokens), outcome(50.0, tokens), outcome(40.0, tokens)],
        "transformers_gated": [outcome(4.0, {**tokens, "q0": [1, 9]}, times=TIMES)],
        "vllm_gated": ["it fell over", "it fell over"],
    }
    rows = make_rows(outcomes, work=WORK, size=SIZE, machine=MACHINE, dtype="bfloat16")
    baseline, gated, broken = rows
    assert (baseline["seconds"], baseline["min_seconds"], baseline["max_seconds"]) == (40.0, 30.0, 50.0)
    assert (baseline["ratio_to_two_call"], gated["ratio_to_two_call"], broken["ratio_to_two_call"]) == (1.0, 10.0, None)
    assert (gated["num_questions"], gated["num_thinking"], gated["num_generated_tokens"]) == (2, 1, 7)
    assert (baseline["num_same_tokens"], gated["num_same_tokens"]) == (2, 1)
    assert gated["peak_rss_mib"] == 1024
    assert gated["clips_per_second"] == 0.25
    assert (gated["vision_share"], gated["answer_share"], gated["think_share"]) == (0.01, 0.3, 0.67)
    assert (gated["step_seconds"], gated["floor_step_seconds"]) == (pytest.approx(9.7), pytest.approx(4.0))
    assert (gated["answer_rows"], gated["think_rows"]) == (1.5, 2.5)
    assert gated["steps_over_floor"] == pytest.approx(9.7 / 4)
    assert baseline["vision_share"] is baseline["steps_over_floor"] is None
    assert (broken["seconds"], broken["complaint"]) == (None, "it fell over")
    assert len({tuple(row) for row in rows}) == 1, "every row has the same fields"


def test_the_bound_of_a_gated_run_is_first_answers_and_the_share_of_thought_that_is_thought() -> None:
    rows = [
        {"system": name, "seconds": seconds, "num_thinking": num_thinking, "num_questions": 40}
        for name, seconds, num_thinking in (
            ("transformers_direct", 20.0, 0),
            ("transformers_gated", 32.0, 10),
            ("transformers_always", 60.0, 40),
            ("vllm_two_request", 40.0, 10),
            ("vllm_gated", None, None),
        )
    ]
    assert compute_bound(rows) == 20 + 10 / 40 * (60 - 20)
    shares = [beside["share_of_bound"] for beside in beside_bound(rows)]
    assert shares == [None, 30 / 32, None, 30 / 40, None]
    assert [beside["ratio_to_two_request"] for beside in beside_bound(rows)] == [2, 40 / 32, 40 / 60, 1, None]
    assert compute_bound(rows[1:]) is None
    assert beside_bound(rows[1:2]) == [{"bound_seconds": None, "share_of_bound": None, "ratio_to_two_request": None}]


def test_what_was_not_generated_is_not_compared() -> None:
    """A question that exits says nothing on the tokens of one that thinks."""
    outcomes: dict[str, list[Outcome | str]] = {
        "transformers_always": [outcome(1.0, {"q0": [1, 2, 3, 4, 5]})],
        "transformers_direct": [outcome(1.0, {"q0": [1, 2]})],
    }
    rows = make_rows(outcomes, work=WORK, size=SIZE, machine=MACHINE, dtype="bfloat16")
    assert [row["num_same_tokens"] for row in rows] == [1, 1]


def test_the_gates_cost_is_a_ratio_of_medians_of_interleaved_pairs(
    bench: EngineBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds = {"gated": iter([10.0, 99.0, 10.2, 1.0, 10.1]), "always_think": iter([10.0, 10.0, 50.0, 10.0, 5.0])}
    asked: list[str | None] = []

    def run(task: Task, interpreters: Interpreters) -> Outcome:
        assert task.threshold == 1.0
        asked.append(task.strategy)
        return outcome(next(seconds[task.strategy or ""]), {"q0": [1, 2, 3, 4, 5], "q1": [1, 2, 3, 4, 5]})

    monkeypatch.setattr(measure, "run_once", run)
    [row] = bench.gating_cost(WORK, ["transformers"], num_pairs=5)
    assert row == {
        "engine": "transformers", "num_pairs": 5, "gated_seconds": 10.1, "always_seconds": 10.0,
        "ratio": pytest.approx(1.01), "versions": {"torch": "2"}, "complaint": None,
    }  # fmt: skip
    assert asked[:4] in (["gated", "always_think", "always_think", "gated"], asked[3::-1])


def test_an_engine_whose_questions_did_not_all_think_has_a_complaint_and_no_ratio(
    bench: EngineBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(task: Task, interpreters: Interpreters) -> Outcome:
        second = [1, 2] if task.system == "transformers_gated" else [1, 2, 3, 4, 5]
        return outcome(1.0, {"q0": [1, 2, 3, 4, 5], "q1": second})

    heard: list[tuple[str, int]] = []
    monkeypatch.setattr(measure, "run_once", run)
    listening = replace(bench, on_run=lambda what, num_done: heard.append((what, num_done)))
    broken, sound = listening.gating_cost(WORK, ["transformers", "vllm"], num_pairs=1)
    assert (broken["complaint"], broken["ratio"]) == ("1 of 2 questions thought, and all of them must", None)
    assert (sound["complaint"], sound["ratio"]) == (None, 1.0)
    assert set(broken) == set(sound)
    assert heard[-2:] == [("vllm gated", 2), ("vllm always_think", 3)]


def test_the_header_names_every_version_that_did_work(bench: EngineBench) -> None:
    rows = [{"versions": {"torch": "2.2"}}, {"versions": None}, {"versions": {"torch": "2.1", "vllm": "1"}}]
    assert bench.header(WORK, rows, think_rate=0.3)["versions"] == {"torch": "2.1 and 2.2", "vllm": "1"}


def test_a_range_that_a_model_cannot_take_to_its_end_is_not_begun(bench: EngineBench) -> None:
    begun: list[str] = []
    listening = replace(bench, on_run=lambda what, num_done: begun.append(what))
    with pytest.raises(ConfigError, match="32 frames of 1024 pixels square"):
        listening.scale(replace(WORK, size=1024), ["two_call"], "frames", think_rate=0.3, num_repeats=1)
    assert begun == []


@pytest.mark.parametrize(("axis", "field"), [("questions", "num_questions"), ("frames", "num_frames")])
def test_a_range_changes_one_number(axis: measure.Axis, field: str) -> None:
    changed = [work_at(WORK, axis, value) for value in RANGES[axis]]
    assert [getattr(work, field) for work in changed] == list(RANGES[axis])
    assert {replace(work, **{field: 1}) for work in changed} == {replace(WORK, **{field: 1})}


def test_work_that_a_model_cannot_take_is_refused(make_task: Callable[..., Task]) -> None:
    folder = Path(make_task("qwen3_vl", "two_call").checkpoint)
    measure.check_work(WORK, folder)
    with pytest.raises(ConfigError, match="--size: 56 is no multiple of 32"):
        measure.check_work(replace(WORK, size=56), folder)
    with pytest.raises(ConfigError, match="at most 16384 are possible: give fewer --frames"):
        measure.check_work(replace(WORK, num_frames=100_000), folder)
