"""The threshold of a job that names a certificate in its place: read from the calibrations of its output."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from framegate.pipelines.commit.calibrations import read_calibrations
from framegate.pipelines.commit.output import Output
from framegate.pipelines.reason.strategies.gated import Gated
from framegate.pipelines.reason.strategies.protocol import Strategy
from framegate.schemas.certificate import YES_NO_CLAIMS, Calibration, Certificate
from framegate.schemas.config.calibration_name import LATEST
from framegate.schemas.config.gate import CertifiedThreshold, GatePart
from framegate.schemas.errors import ConfigError
from framegate.schemas.job import Job
from framegate.schemas.qa import Question


def settle_threshold(job: Job, config_id: str, strategy: Strategy) -> Strategy:
    """The strategy with the certified threshold; any other strategy as it is.

    Raises ConfigError where none is certified and the job gives none in its place, StorageError.
    """
    part = job.config.gate
    if not isinstance(part, GatePart) or not isinstance(part.threshold, CertifiedThreshold):
        return strategy
    if not isinstance(strategy, Gated):
        return strategy
    asked = part.threshold
    calibration = _find(Output.open(job.config.output), config_id, asked)
    if asked.per == "archive":
        whole = [] if calibration is None else [calibration.whole]
        return replace(strategy, threshold=_threshold(next(iter(_fitting(whole, asked)), None), asked, config_id))
    found = {} if calibration is None else {each.question_hash: each for each in _fitting(calibration.questions, asked)}
    free = [question for question in job.questions if question.think == "auto" and question.threshold is None]
    thresholds = [(one.hash, _threshold(found.get(one.hash), asked, config_id, one)) for one in free]
    return replace(strategy, threshold=asked.otherwise, by_question=tuple(thresholds))


def _find(output: Output, config_id: str, asked: CertifiedThreshold) -> Calibration | None:
    """The calibration that the job names: the last one that promises as much as it asks for, or that of an id."""
    if asked.certificate == LATEST:
        made = read_calibrations(output, config_id)
        fitting = [one for one in made if any(_fitting([one.whole], asked))]
        return fitting[-1] if fitting else None
    made = {one.calibration_id: one for one in read_calibrations(output)}
    one = made.get(asked.certificate)
    if one is None:
        known = ", ".join(made) or "none"
        raise ConfigError(f"gate.threshold: there is no calibration {asked.certificate}; the output has {known}")
    if one.config_id != config_id:
        raise ConfigError(
            f"gate.threshold: the calibration {asked.certificate} is of config_id {one.config_id}, and the job's is"
            f" {config_id}: another model, prompt or frames have another confidence; run framegate calibrate"
        )
    if not any(_fitting([one.whole], asked)):
        raise ConfigError(
            f"gate.threshold: the calibration {asked.certificate} promises {_promise(one.whole)} at epsilon"
            f" {one.whole.epsilon:g} and delta {one.whole.delta:g}, and the job asks for {_promise(asked)} at"
            f" {asked.epsilon:g} and {asked.delta:g}"
        )
    return one


def _fitting(made: Iterable[Certificate], asked: CertifiedThreshold) -> Sequence[Certificate]:
    """Those that promise as much as is asked, or more; one of several at once by what all of them promise together."""
    spare = 1 + 1e-9  # of a division and a product of the same number
    return [
        one
        for one in made
        if (one.claim, one.scope) == (asked.claim, asked.scope)
        and (asked.scope == "archive" or one.unit == asked.unit)
        and one.epsilon <= asked.epsilon
        and one.delta * one.num_together <= asked.delta * spare
    ]


def _promise(of: Certificate | CertifiedThreshold) -> str:
    return of.claim if of.scope == "archive" else f"{of.claim} of a {of.unit} to come"


def _threshold(
    made: Certificate | None, asked: CertifiedThreshold, config_id: str, question: Question | None = None
) -> float:
    if made is not None and made.threshold is not None:
        return made.threshold
    if asked.otherwise is not None:
        return asked.otherwise
    where = f"config_id {config_id}" if question is None else f"question '{question.id}' under config_id {config_id}"
    if question is not None and asked.claim in YES_NO_CLAIMS and question.type != "yes_no":
        raise ConfigError(
            f"gate.threshold: the claim {asked.claim} is about yes/no questions, and '{question.id}' is of type"
            f" {question.type}; give gate.threshold.otherwise for it, or a threshold of its own in the question bank"
        )
    why = "no calibration" if made is None else "the calibration lets nothing exit"
    raise ConfigError(
        f"gate.threshold: no threshold is certified of {where} for {_promise(asked)} at epsilon {asked.epsilon:g} and"
        f" delta {asked.delta:g} ({why}); run framegate calibrate, or give gate.threshold.otherwise for the time until"
        " then"
    )
