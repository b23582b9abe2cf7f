"""The dock model on held-out clips: both engines answer the same, in one process and in several.

FRAMEGATE_DOCK_CLIPS=1000 takes all clips that `framegate eval dock` takes; the default is a sample.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

import pytest

from framegate.pipelines.lab.dock.evaluation import EVALUATION_SEED, HeldOutClip, dock_settings, make_clips
from framegate.pipelines.reason.engines.build import make_engine_factory
from framegate.pipelines.reason.questions import ClipRequest
from framegate.pipelines.reason.strategies.build import make_strategy
from framegate.schemas.config import RunConfig
from tests.vllm.conftest import EAGER, Outcome, differences, run_engine

NUM_CLIPS = int(os.environ.get("FRAMEGATE_DOCK_CLIPS", "24"))


def make_config(strategy: str = "gated", **model) -> RunConfig:
    settings = dock_settings(strategy=strategy)
    return RunConfig.model_validate(
        {
            **settings,
            "model": {"name": "dock", "dtype": "float32", **model},
            "input": {"videos": "-"},
            "questions": [],
            "output": {"uri": "-"},
        }
    )


@pytest.fixture(scope="module")
def clips(tmp_path_factory) -> list[HeldOutClip]:
    folder = tmp_path_factory.mktemp("dock")
    return list(make_clips(folder, num_clips=NUM_CLIPS, seed=EVALUATION_SEED, config=make_config()))


def answer(clips: Sequence[HeldOutClip], config: RunConfig) -> Outcome:
    strategy = make_strategy(config.gate)
    engine = make_engine_factory(config, strategy, [asked.question for asked in clips[0].asked])()
    requests = [
        ClipRequest(
            id=str(clip.number),
            frames=clip.frames,
            clip_start_seconds=0.0,
            questions=tuple(asked.question for asked in clip.asked),
        )
        for clip in clips
    ]
    outcome = run_engine(engine, strategy, requests)
    if config.model.engine == "vllm":
        engine.close()
    assert outcome.failures == {}
    return outcome


@pytest.fixture(scope="module")
def expected(clips) -> Outcome:
    return answer(clips, make_config())


def vllm_config(strategy: str = "gated", dtype: str = "float32", **engine_args) -> RunConfig:
    return make_config(strategy, engine="vllm", dtype=dtype, engine_args=EAGER | engine_args)


def compare(outcome: Outcome, expected: Outcome) -> dict[tuple[str, str], list[str]]:
    return {
        key: found for key, answer in outcome.answers.items() if (found := differences(answer, expected.answers[key]))
    }


def test_every_answer_verdict_and_count_is_the_transformers_engines(clips, expected):
    outcome = answer(clips, vllm_config())
    assert outcome.answers.keys() == expected.answers.keys()
    assert len(outcome.answers) == 2 * NUM_CLIPS
    assert {answer.finish_reason for answer in outcome.answers.values()} >= {"exit", "answered"}
    assert compare(outcome, expected) == {}


def test_in_bfloat16_verdicts_are_those_of_float32_but_for_what_rounding_turns(clips, expected):
    """Sums of 8 bits move a confidence by some thousandths: one that near the threshold may fall to the other side."""
    outcome = answer(clips, vllm_config(dtype="bfloat16"))
    turned = [
        key for key, answer in outcome.answers.items() if answer.verdict.route != expected.answers[key].verdict.route
    ]
    for key in turned:
        assert abs(expected.answers[key].confidence_first - 0.97) < 0.02, key
    assert len(turned) <= max(1, 0.005 * len(outcome.answers))


@pytest.mark.parametrize(
    ("engine_args", "environment"),
    [
        ({"tensor_parallel_size": 2}, {"VLLM_CPU_OMP_THREADS_BIND": "nobind"}),
        ({}, {"VLLM_ENABLE_V1_MULTIPROCESSING": "1"}),
    ],
    ids=["two workers", "a core of its own"],
)
def test_answers_are_the_same_where_workers_are_processes_of_their_own(
    clips, expected, monkeypatch, engine_args, environment
):
    """The driver then follows by replay: tokens and vLLM's raw log-probabilities through a sequence of its own."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    few = clips[:6]
    outcome = answer(few, vllm_config(**engine_args))
    assert len(outcome.answers) == 12
    assert compare(outcome, expected) == {}
