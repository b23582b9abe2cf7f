"""A job that names a certificate has its threshold from the calibrations of its output, or is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from framegate.pipelines.commit.calibrations import put_calibration
from framegate.pipelines.commit.output import Output
from framegate.pipelines.plan.certified_threshold import settle_threshold
from framegate.pipelines.reason.strategies.build import make_strategy
from framegate.pipelines.reason.strategies.gated import Gated
from framegate.schemas.certificate import Calibration, Certificate
from framegate.schemas.errors import ConfigError, EngineError
from framegate.schemas.job import Job, parse_job
from framegate.schemas.qa import Question
from tests.asking import make_clip

OURS, OTHER = "a" * 16, "b" * 16
QUESTIONS = [
    {"id": "q", "text": "Did it?", "type": "yes_no"},
    {"id": "n", "text": "How many?", "type": "number"},
    {"id": "own", "text": "Which?", "threshold": 0.5},
    {"id": "always", "text": "Why?", "think": "always"},
]
Q, N, OWN, ALWAYS = (Question(**values) for values in QUESTIONS)


def make_job(output: Output, **threshold: Any) -> Job:
    return parse_job(
        {
            "input": {"videos": "videos/"},
            "questions": QUESTIONS,
            "model": {"name": "m"},
            "output": {"uri": output.root},
            "gate": {"threshold": {"certificate": "latest", **threshold}},
        }
    )


def certificate(threshold: float | None, question: Question | None = None, **values: Any) -> Certificate:
    return Certificate(
        **{
            "claim": "agreement",
            "question_id": question and question.id,
            "question_hash": question and question.hash,
            "epsilon": 0.01,
            "delta": 0.05,
            "threshold": threshold,
            "num_rows": 1000,
            "population": 9000,
            "num_exits": 500,
            "num_different": 1,
            "bound": 0.009,
            "num_missing": 0,
            **values,
        }
    )


def put(output: Output, number: int, whole: Certificate, *questions: Certificate, config_id: str = OURS) -> str:
    calibration = Calibration(
        calibration_id=f"2026113{number}T081500000000Z-0a1b2c",
        config_id=config_id,
        made_at=f"2026-11-3{number}T08:15:00+00:00",
        audit_rate=0.01,
        audit_unit="row",
        audit_salt="framegate",
        num_uncovered=0,
        number_tolerance=0.0,
        span_overlap=0.5,
        whole=whole,
        questions=questions,
    )
    put_calibration(output, calibration)
    return calibration.calibration_id


@pytest.fixture
def output(tmp_path: Path) -> Output:
    return Output.at(str(tmp_path / "index"))


def settle(output: Output, **threshold: Any) -> Gated:
    job = make_job(output, **threshold)
    settled = settle_threshold(job, OURS, make_strategy(job.config.gate))
    assert isinstance(settled, Gated)
    return settled


def test_the_newest_that_promises_as_much_counts(output: Output) -> None:
    put(output, 0, certificate(0.9))
    put(output, 1, certificate(0.8))
    put(output, 2, certificate(0.7, epsilon=0.02))
    put(output, 3, certificate(0.6, delta=0.1))
    put(output, 4, certificate(0.1), config_id=OTHER)
    assert settle(output).threshold == 0.8
    assert settle(output, epsilon=0.05).threshold == 0.7
    assert settle(output, epsilon=0.05, delta=0.2).threshold == 0.6


def test_each_question_has_its_own(output: Output) -> None:
    put(output, 0, certificate(0.9), *(certificate(t, q, delta=0.025, num_together=2) for t, q in ((0.7, Q), (0.8, N))))
    gate = settle(output, per="question")
    clip = make_clip()
    assert [gate.ruling(clip, question).threshold for question in (Q, N, OWN, ALWAYS)] == [0.7, 0.8, 0.5, None]
    with pytest.raises(EngineError, match="the threshold of 'new' is not settled"):
        gate.ruling(clip, Question(id="new", text="New?"))


def test_certificates_at_once_promise_what_all_of_them_do(output: Output) -> None:
    put(output, 0, certificate(0.9), certificate(0.7, Q, delta=0.05, num_together=2), certificate(0.7, N))
    with pytest.raises(
        ConfigError, match=r"no threshold is certified of question 'q' under config_id a+ .*no calibration"
    ):
        settle(output, per="question")
    assert settle(output, per="question", otherwise=0.97).by_question == ((Q.hash, 0.97), (N.hash, 0.7))


def test_one_of_videos_to_come_is_not_one_of_the_archive(output: Output) -> None:
    put(output, 0, certificate(0.9))
    future = put(output, 1, certificate(0.8, scope="future", unit="video", num_units=400))
    assert settle(output).threshold == 0.9
    assert settle(output, scope="future").threshold == 0.8
    put(output, 2, certificate(0.7, scope="future", unit="camera", num_units=400))
    assert settle(output, scope="future").threshold == 0.8
    assert settle(output, scope="future", unit="camera").threshold == 0.7
    with pytest.raises(ConfigError, match=r"promises agreement of a video to come at epsilon .* asks for agreement at"):
        settle(output, certificate=future)
    with pytest.raises(
        ConfigError, match=r"no threshold is certified of .* for agreement of a video to come at epsilon"
    ):
        settle(output, scope="future", epsilon=0.001)


def test_precision_is_of_yes_no_questions_and_others_have_the_other_threshold(output: Output) -> None:
    claim = {"claim": "precision", "epsilon": 0.1}
    put(output, 0, certificate(0.85, Q, **claim), certificate(0.85, Q, **claim))
    gate = settle(output, **claim, per="question", otherwise=0.97)
    assert gate.by_question == ((Q.hash, 0.85), (N.hash, 0.97))
    with pytest.raises(ConfigError, match=r"the claim precision is about yes/no questions, and 'n' is of type number"):
        settle(output, **claim, per="question")
    with pytest.raises(ConfigError, match=r"of question 'q' .* for recall at epsilon"):
        settle(output, claim="recall", epsilon=0.1, per="question")


def test_one_that_lets_nothing_exit_gives_no_threshold(output: Output) -> None:
    put(output, 0, certificate(None))
    with pytest.raises(ConfigError, match=r"the calibration lets nothing exit.*gate\.threshold\.otherwise"):
        settle(output)
    assert settle(output, otherwise=0.97).threshold == 0.97


def test_without_one_the_job_is_refused_or_takes_the_other(output: Output) -> None:
    with pytest.raises(ConfigError, match=r"no threshold is certified .*no calibration\); run framegate calibrate"):
        settle(output)
    assert settle(output, otherwise=0.9).threshold == 0.9


def test_one_that_is_named_is_held_to_the_config_id_and_the_promise(output: Output) -> None:
    ours = put(output, 0, certificate(0.9, epsilon=0.02))
    others = put(output, 1, certificate(0.8), config_id=OTHER)
    assert settle(output, certificate=ours, epsilon=0.02).threshold == 0.9
    with pytest.raises(ConfigError, match=rf"{others} is of config_id b+, and the job's is a+: another model"):
        settle(output, certificate=others)
    with pytest.raises(
        ConfigError, match=r"promises agreement at epsilon 0\.02 and delta .* asks for agreement at 0\.01"
    ):
        settle(output, certificate=ours)
    with pytest.raises(ConfigError, match=rf"there is no calibration .*; the output has {ours}, {others}"):
        settle(output, certificate="20250101T000000000000Z-000000")


def test_a_threshold_that_is_a_number_reads_nothing(output: Output) -> None:
    job = parse_job({**_minimal(output), "gate": {"threshold": 0.5}})
    strategy = make_strategy(job.config.gate)
    assert settle_threshold(job, OURS, strategy) is strategy


def _minimal(output: Output) -> dict[str, Any]:
    return {"input": {"videos": "v/"}, "questions": QUESTIONS, "model": {"name": "m"}, "output": {"uri": output.root}}


@pytest.mark.parametrize(
    ("threshold", "said"),
    [
        ({"certificate": "newest"}, "gate.threshold.certificate: 'newest' is neither `latest` nor the id"),
        (
            {"certificat": "latest"},
            "gate.threshold.certificat is not a known key; did you mean gate.threshold.certific",
        ),
        ({}, "gate.threshold.certificate is missing"),
        ({"certificate": "latest", "epsilon": 0}, "gate.threshold.epsilon: input should be greater than 0, got 0"),
        (
            {"certificate": "latest", "claim": "recall"},
            "the claim recall is about yes/no questions; say per: question, and otherwise: for the others",
        ),
        (
            {"certificate": "latest", "claim": "error", "scope": "future"},
            "scope: future is there for the claim agreement, not for error",
        ),
        ({"certificate": "latest", "unit": "camera"}, "unit: camera is for scope: future"),
        ({"certificate": "latest", "scope": "past"}, "gate.threshold.scope: input should be 'archive' or 'future'"),
        (1.5, "gate.threshold: input should be less than or equal to 1, got 1.5"),
        ([0.5], "gate.threshold: input should be a valid number"),
    ],
    ids=str,
)
def test_what_is_wrong_is_told_of_the_kind_that_was_meant(output: Output, threshold: object, said: str) -> None:
    with pytest.raises(ConfigError) as refused:
        parse_job({**_minimal(output), "gate": {"threshold": threshold}})
    assert said in str(refused.value)
