"""A job that asks for a certificate of how it prunes runs only with one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from framegate.pipelines.commit.calibrations import put_calibration
from framegate.pipelines.commit.output import Output
from framegate.pipelines.plan.certified_pruning import check_pruning
from framegate.schemas.certificate import Calibration, Certificate
from framegate.schemas.certified_pruning import PruneCertificate, PruneLevel
from framegate.schemas.errors import ConfigError
from framegate.schemas.job import Job, parse_job

OURS, OTHER = "a" * 16, "b" * 16


@pytest.fixture
def output(tmp_path: Path) -> Output:
    return Output.at(str(tmp_path / "index"))


def make_job(output: Output, prune: dict[str, Any], **promise: Any) -> Job:
    return parse_job(
        {
            "input": {"videos": "videos/"},
            "questions": [{"id": "q", "text": "Did it?", "type": "yes_no"}],
            "model": {"name": "m"},
            "output": {"uri": output.root},
            "frames": {"prune": {**prune, "promise": {"certificate": "latest", **promise}}},
        }
    )


def put(output: Output, level: float | None, *, number: int = 1, config_id: str = OURS, **values: Any) -> str:
    """A calibration that certifies so much pruning of all rows, and more of a question."""
    tested = PruneLevel(
        level=0.1, num_rows=500, population=900, num_different=1, bound=0.009, video_share=0.5, prompt_share=0.6
    )
    shared: dict[str, Any] = {
        "epsilon": 0.01, "delta": 0.05, "levels": (tested,), "unit": "row", "num_missing": 0, **values
    }  # fmt: skip
    whole = PruneCertificate(question_id=None, question_hash=None, level=level, **shared)
    of_question = PruneCertificate(question_id="q", question_hash="0" * 16, level=2.0, **shared)
    gate = Certificate(
        claim="agreement", question_id=None, question_hash=None, epsilon=0.01, delta=0.05, threshold=0.9, num_rows=500,
        population=900, num_exits=1, num_different=0, bound=0.01, num_missing=0,
    )  # fmt: skip
    made = Calibration(
        calibration_id=f"20261130T08150{number}000000Z-0a1b2c", config_id=config_id, made_at="2026-11-30T08:15+00:00",
        audit_rate=0.5, audit_unit="row", audit_salt="", num_uncovered=0, number_tolerance=0.0, span_overlap=0.5,
        whole=gate, questions=(), prunes=(whole, of_question),
    )  # fmt: skip
    put_calibration(output, made)
    return made.calibration_id


def change(threshold: float) -> dict[str, Any]:
    return {"method": "change", "threshold": threshold}


def test_up_to_what_is_certified_it_runs_and_beyond_it_is_refused(output: Output) -> None:
    put(output, 0.1)
    for threshold in (0.0, 0.02, 0.1):
        check_pruning(make_job(output, change(threshold)), output, OURS)
    with pytest.raises(ConfigError, match=r"the job prunes at 0\.2, and the calibration certifies up to 0\.1 at"):
        check_pruning(make_job(output, change(0.2)), output, OURS)
    with pytest.raises(ConfigError, match="certifies up to"):
        check_pruning(make_job(output, {"method": "evs", "rate": 0.5}), output, OURS)


def test_the_latest_counts(output: Output) -> None:
    put(output, 0.1, number=1)
    put(output, None, number=2)
    with pytest.raises(ConfigError, match="certifies none at all"):
        check_pruning(make_job(output, change(0.1)), output, OURS)
    put(output, 0.1, number=3)
    check_pruning(make_job(output, change(0.1)), output, OURS)


def test_what_promises_less_than_is_asked_does_not_count(output: Output) -> None:
    put(output, 0.1, epsilon=0.02)
    check_pruning(make_job(output, change(0.1), epsilon=0.02), output, OURS)
    for asked in ({}, {"epsilon": 0.02, "delta": 0.01}):
        with pytest.raises(ConfigError, match=f"no calibration of config_id {OURS} is about pruning at epsilon"):
            check_pruning(make_job(output, change(0.1), **asked), output, OURS)


def test_another_config_id_is_refused(output: Output) -> None:
    name = put(output, 0.1, config_id=OTHER)
    with pytest.raises(ConfigError, match="no calibration of config_id"):
        check_pruning(make_job(output, change(0.1)), output, OURS)
    with pytest.raises(ConfigError, match=f"is of config_id {OTHER}, and the job's is {OURS}"):
        check_pruning(make_job(output, change(0.1), certificate=name), output, OURS)
    check_pruning(make_job(output, change(0.1), certificate=name), output, OTHER)
    with pytest.raises(
        ConfigError, match=f"there is no calibration 20991130T081500000000Z-0a1b2c; the output has {name}"
    ):
        check_pruning(make_job(output, change(0.1), certificate="20991130T081500000000Z-0a1b2c"), output, OURS)


def test_without_a_promise_nothing_is_asked_for(output: Output) -> None:
    job = make_job(output, change(0.1))
    prune = job.config.frames.prune
    assert prune is not None
    prune = prune.model_copy(update={"promise": None})
    config = job.config.model_copy(update={"frames": job.config.frames.model_copy(update={"prune": prune})})
    check_pruning(Job(config=config, questions=job.questions), output, OURS)
