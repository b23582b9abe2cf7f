"""All systems do the same work: the same tokens for every question, and the wanted share of them thinks."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from framegate.pipelines.lab.bench.engines.run import Interpreters, run_once
from framegate.pipelines.lab.bench.engines.shapes import FAMILY_NAMES
from framegate.pipelines.lab.bench.engines.systems import SYSTEMS, VLLM_SYSTEMS
from framegate.pipelines.lab.bench.engines.task import Task, Written
from framegate.pipelines.lab.bench.engines.thresholds import choose_threshold
from framegate.pipelines.lab.bench.engines.work import make_frames, make_questions
from framegate.schemas.errors import EngineError

THINK_RATE = 0.34  # 2 of 6
ALWAYS = ("generate_always", "transformers_always")


def run(task: Task) -> dict[tuple[str, str], Written]:
    system = SYSTEMS[task.system](task)
    system.warm_up(task.work.with_other_frames().requests())
    written = system.run(task.work.requests())
    by_key = {one.key: one for one in written}
    assert len(by_key) == len(written) == task.work.num_asked
    return by_key


@pytest.mark.parametrize("family", FAMILY_NAMES)
def test_every_system_writes_the_same_tokens_and_the_wanted_share_thinks(
    family: str, make_task: Callable[..., Task]
) -> None:
    direct = run(make_task(family, "transformers_direct"))
    assert {len(one.token_ids) for one in direct.values()} == {5}
    assert len({tuple(one.token_ids) for one in direct.values()}) > 1, "equal answers would show nothing"
    confidences = [one.confidence for one in direct.values() if one.confidence is not None]
    threshold = choose_threshold(confidences, THINK_RATE)
    always = run(make_task(family, "transformers_always", threshold))
    thinkers = {key for key, one in direct.items() if one.confidence is not None and one.confidence < threshold}
    assert len(thinkers) == 2
    for name in ("two_call", "generate_always", "transformers_gated"):
        written = run(make_task(family, name, threshold))
        expected_thinkers = set(always) if name in ALWAYS else thinkers
        assert {key for key, one in written.items() if one.thinks} == expected_thinkers, name
        for key, one in written.items():
            length = 14 if one.thinks else 5
            assert one.token_ids == always[key].token_ids[:length], name
            twice = 5 if name == "two_call" and one.thinks else 0
            assert one.num_generated_tokens == length + twice, name
            if name not in ALWAYS:
                assert one.confidence == pytest.approx(direct[key].confidence, rel=1e-4), name


@pytest.mark.parametrize("family", FAMILY_NAMES)
def test_answers_depend_on_the_question_and_on_the_frames(family: str, make_task: Callable[..., Task]) -> None:
    written = run(make_task(family, "transformers_direct"))
    by_clip: dict[str, set[tuple[int, ...]]] = {}
    for (clip, _), one in written.items():
        by_clip.setdefault(clip, set()).add(tuple(one.token_ids))
    first, second = by_clip.values()
    assert first != second
    assert len(first) > 1


def test_a_batch_is_chosen_by_measuring(make_task: Callable[..., Task]) -> None:
    task = make_task("qwen3_vl", "generate_always")
    system = SYSTEMS["generate_always"](task)
    system.warm_up(task.work.with_other_frames().requests())
    assert system.settings["batch"] in (4, 6)  # 6 questions are all there are


def test_a_process_that_comes_to_no_result_says_why(make_task: Callable[..., Task], tmp_path: Path) -> None:
    task = Task(**{**vars(make_task("qwen3_vl", "two_call")), "checkpoint": str(tmp_path / "none")})
    with pytest.raises(EngineError, match=r"two_call ended with 1 and no result: .*none"):
        run_once(task, Interpreters(vllm=None))


def test_vllm_that_is_not_there_is_named(make_task: Callable[..., Task]) -> None:
    for system in VLLM_SYSTEMS:
        with pytest.raises(EngineError, match=f"{system} needs vLLM, which is not installed"):
            run_once(make_task("qwen3_vl", system), Interpreters(vllm=None))


def test_a_task_travels_as_json(make_task: Callable[..., Task]) -> None:
    task = make_task("qwen2_5_vl", "two_call", 0.123456789012345)
    assert Task.from_json(task.to_json()) == task


def test_the_systems_module_loads_no_model_package() -> None:
    """It is imported to check names, by a command that must answer at once."""
    module = "framegate.pipelines.lab.bench.engines.systems"
    script = f"import sys, {module}; print({{'torch', 'transformers', 'vllm'}} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_frames_move_and_differ_from_clip_to_clip() -> None:
    one, again, other = (make_frames(seed, 6, 64).frames_THWC for seed in (1, 1, 2))
    assert (one == again).all()
    assert (one != other).mean() > 0.5
    # More than the noise of 16 grey levels changes from frame to frame: something moves.
    assert (np.abs(one[1:].astype(int) - one[:-1]).max(axis=-1) > 40).mean() > 0.01


def test_every_question_has_words_of_its_own_and_a_longer_bank_begins_with_the_shorter() -> None:
    bank = make_questions(70)
    assert len({question.text for question in bank}) == len({question.id for question in bank}) == 70
    assert make_questions(4) == bank[:4]
    assert len({len(question.text) for question in bank[:4]}) == 4
