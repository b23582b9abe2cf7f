"""The checkpoint that comes with the package: it loads, it is small, and it gates."""

from pathlib import Path

import pytest

from framegate.pipelines.lab.dock import evaluation
from framegate.pipelines.lab.dock.scoring import score_table
from framegate.pipelines.reason.models.packaged import model_folder
from framegate.schemas.config import RunConfig

MAX_CHECKPOINT_BYTES = 12_000_000
NUM_CLIPS = 60


@pytest.fixture(scope="module")
def scores(tmp_path_factory):
    def config(strategy):
        settings = evaluation.dock_settings(strategy=strategy)
        return RunConfig.model_validate({**settings, "input": {"videos": "-"}, "questions": [], "output": {"uri": "-"}})

    folder = tmp_path_factory.mktemp("clips")
    clips = list(evaluation.make_clips(folder, num_clips=NUM_CLIPS, seed=11, config=config("gated")))
    answers = [
        answer
        for strategy in evaluation.STRATEGIES
        for answer in evaluation.evaluate(clips, strategy=strategy, config=config(strategy))
    ]
    return {(row.strategy, row.kind): row for row in score_table(answers)}


def test_the_packaged_checkpoint_is_small_and_whole():
    folder = model_folder("dock")
    assert isinstance(folder, Path)
    assert sum(file.stat().st_size for file in folder.iterdir()) <= MAX_CHECKPOINT_BYTES
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= {file.name for file in folder.iterdir()}


def test_what_can_be_seen_is_answered_at_once(scores):
    row = scores["gated", "perception"]
    assert row.accuracy >= 0.9
    assert row.think_rate <= 0.3


def test_what_must_be_followed_is_thought_about_and_gains_by_it(scores):
    row = scores["gated", "multi_step"]
    assert row.think_rate >= 0.7
    assert row.accuracy >= row.first_accuracy + 0.2


def test_the_gate_costs_little_accuracy_and_saves_tokens(scores):
    gated, always = scores["gated", "all"], scores["always_think", "all"]
    assert gated.accuracy >= always.accuracy - 0.05
    assert gated.mean_generated_tokens <= 0.7 * always.mean_generated_tokens
    assert scores["direct", "all"].mean_generated_tokens < gated.mean_generated_tokens
