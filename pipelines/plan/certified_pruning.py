"""A job that names a certificate of its pruning runs only while the calibrations of its output have it."""

from __future__ import annotations

from collections.abc import Sequence

from framegate.pipelines.commit.calibrations import read_calibrations
from framegate.pipelines.commit.output import Output
from framegate.schemas.certificate import Calibration
from framegate.schemas.certified_pruning import PruneCertificate
from framegate.schemas.config.calibration_name import LATEST
from framegate.schemas.config.pruning import PrunePromise
from framegate.schemas.errors import ConfigError
from framegate.schemas.job import Job


def check_pruning(job: Job, output: Output, config_id: str) -> None:
    """Raises ConfigError where the job asks for a certificate of how it prunes and there is none, StorageError."""
    prune = job.config.frames.prune
    if prune is None or prune.promise is None or not prune.level:
        return
    asked = prune.promise
    found = _find(output, config_id, asked)
    if found is None:
        raise ConfigError(
            f"frames.prune.promise: no calibration of config_id {config_id} is about pruning at epsilon"
            f" {asked.epsilon:g} and delta {asked.delta:g}; run the job without frames.prune.promise and with"
            " gate.audit, and framegate calibrate"
        )
    if found.level is None or found.level < prune.level:
        certified = "none at all" if found.level is None else f"up to {found.level:g}"
        raise ConfigError(
            f"frames.prune.promise: the job prunes at {prune.level:g}, and the calibration certifies {certified} at"
            f" epsilon {found.epsilon:g}; prune less, or ask for less"
        )


def _find(output: Output, config_id: str, asked: PrunePromise) -> PruneCertificate | None:
    """Of all rows: that of the last calibration which promises as much as is asked, or that of an id."""
    if asked.certificate == LATEST:
        fitting = [one for made in read_calibrations(output, config_id) for one in _fitting(made, asked)]
        return fitting[-1] if fitting else None
    made = {one.calibration_id: one for one in read_calibrations(output)}
    named = made.get(asked.certificate)
    if named is None:
        known = ", ".join(made) or "none"
        raise ConfigError(f"frames.prune.promise: there is no calibration {asked.certificate}; the output has {known}")
    if named.config_id != config_id:
        raise ConfigError(
            f"frames.prune.promise: the calibration {asked.certificate} is of config_id {named.config_id}, and the"
            f" job's is {config_id}: another model, prompt or pruning changes other answers; run framegate calibrate"
        )
    return next(iter(_fitting(named, asked)), None)


def _fitting(made: Calibration, asked: PrunePromise) -> Sequence[PruneCertificate]:
    return [
        one
        for one in made.prunes
        if one.question_hash is None and one.epsilon <= asked.epsilon and one.delta <= asked.delta * (1 + 1e-9)
    ]
