"""Jobs of strategies with several asks: what they refuse, and what their rows have."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import duckdb
import pytest

from framegate.pipelines import flow
from framegate.pipelines.deepen import gate_of
from framegate.pipelines.plan.forecast import forecast
from framegate.pipelines.reason.engines.scripted import ScriptedEngine
from framegate.pipelines.reason.strategies.build import make_strategy
from framegate.schemas.errors import ConfigError
from framegate.schemas.job import Job, parse_job
from tests.asking import boxed

NAMES = ("look_again", "self_consistency", "sparse_to_dense", "frame_ensemble")


@pytest.fixture
def make_job(tmp_path: Path, make_video: Callable[..., Path], model_folder: Path) -> Callable[..., Job]:
    """Two clips, two questions."""
    make_video(tmp_path / "videos" / "video.mp4", seconds=4)

    def make(gate: dict[str, Any], *, same_within: float | None = None, **model: Any) -> Job:
        return parse_job(
            {
                "input": {"videos": str(tmp_path / "videos")},
                "clips": {"seconds": 2, "same_within": same_within},
                "frames": {"fps": 4, "max_frames": 8},
                "questions": [
                    {"id": "q", "text": "Did it?", "type": "yes_no"},
                    {"id": "n", "text": "How many?", "type": "number", "think": "never"},
                ],
                "model": {"name": str(model_folder), **model},
                "gate": gate,
                "output": {"uri": str(tmp_path / "index")},
            }
        )

    return make


def say(ask: Any) -> Any:
    return [*boxed("1" if ask.question.type == "number" else "yes", -0.5), ("hm", 0.0), *boxed("no", -0.01)]


@pytest.mark.parametrize("name", NAMES)
def test_it_runs_in_the_flow(make_job: Callable[..., Job], name: str) -> None:
    job = make_job({"strategy": name})
    budgets = [budget for one in job.questions for budget in make_strategy(job.config.gate).budgets(one)]
    foreseen = forecast(job, flow.plan(job), make_strategy(job.config.gate)).max_generated_tokens
    assert (
        2 * sum(budget.num_tokens for budget in budgets)
        <= foreseen
        < 2 * sum(budget.num_tokens + 100 * len(budget.forced_texts) for budget in budgets) + 1
    )
    summary = flow.run(job, engine_factory=partial(ScriptedEngine, say), in_process=True)
    assert summary.is_complete
    rows = duckdb.sql(
        f"SELECT question_id, answer, strategy, thinking, num_video_tokens, asks FROM"
        f" '{job.config.output.uri}/results/**/*.parquet' ORDER BY ALL"
    ).fetchall()
    assert [row[:4] for row in rows] == [("n", "1", name, False)] * 2 + [("q", "no", name, True)] * 2
    for *_, num_video_tokens, asks in rows:
        assert num_video_tokens == sum(ask["num_video_tokens"] for ask in asks)
    assert flow.plan(job).videos.num_rows == 0, "all is answered"


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("key", "value", "why"),
    [
        ("budget", {"thinking_tokens": 9}, "keeps to no budget"),
        ("defer", "always", "defers no thinking"),
    ],
)
def test_what_is_the_gates_is_refused_in_a_sentence(
    make_job: Callable[..., Job], name: str, key: str, value: Any, why: str
) -> None:
    sentence = f"gate: the strategy {name} {why}.*: leave out gate.{key}, or say strategy: gated"
    with pytest.raises(ConfigError, match=sentence):
        make_job({"strategy": name, key: value})
    with pytest.raises(ConfigError, match="treshold is not a known key"):
        make_job({"strategy": name, "treshold": 0.5})
    if name != "sparse_to_dense":
        with pytest.raises(ConfigError, match="threshold"):
            make_job({"strategy": name, "threshold": {"certificate": "latest"}})


@pytest.mark.parametrize("name", NAMES)
def test_rows_are_audited_of_still_clips_alone(make_job: Callable[..., Job], name: str) -> None:
    gate = {"strategy": name, "audit": {"rate": 0.1}}
    with pytest.raises(ConfigError, match=f"the strategy {name} draws no audit sample but of still clips: leave out"):
        make_job(gate)
    audited = make_job(gate, same_within=0)
    plain = make_job({"strategy": name}, same_within=0)
    assert flow.plan(audited).config_id == flow.plan(plain).config_id


@pytest.mark.parametrize("name", NAMES)
def test_its_rows_are_not_deepened(make_job: Callable[..., Job], name: str) -> None:
    with pytest.raises(ConfigError, match=f"gate.strategy is {name}: only rows of a gated job can be deepened"):
        gate_of(make_job({"strategy": name}))


def test_what_decides_which_frames_are_seen_is_in_config_id_and_what_decides_who_thinks_is_not(
    make_job: Callable[..., Job],
) -> None:
    def config_id(**gate: Any) -> str:
        return flow.plan(make_job(gate)).config_id

    look = config_id(strategy="look_again")
    assert config_id(strategy="look_again", threshold=0.5) == look
    assert (
        len({look, *(config_id(strategy="look_again", **{key: 0.5}) for key in ("sparse_share", "sparse_threshold"))})
        == 3
    )
    votes = config_id(strategy="self_consistency")
    assert config_id(strategy="self_consistency", threshold=0.5) == votes
    assert config_id(strategy="self_consistency", decide_by="agreement") != votes
    assert config_id(strategy="sparse_to_dense") != config_id(strategy="sparse_to_dense", agree_at=0.6)
    assert config_id(strategy="frame_ensemble", threshold=0.5) == config_id(strategy="frame_ensemble")
