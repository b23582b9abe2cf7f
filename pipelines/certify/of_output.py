"""A calibration of an output as it is now, of the config_id under which a job ran last."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from framegate.pipelines.certify.audit_rows import read_audit_rows
from framegate.pipelines.certify.calibrate import Findings, calibrate
from framegate.pipelines.commit.calibrations import put_calibration, read_calibrations
from framegate.pipelines.commit.labels import read_labels
from framegate.pipelines.commit.output import Output
from framegate.pipelines.results.agreement import STRICT, Tolerance
from framegate.pipelines.results.views import open_views
from framegate.schemas.certificate import Claim
from framegate.schemas.clock import now
from framegate.schemas.config import OutputConfig
from framegate.schemas.config.gate import AuditConfig
from framegate.schemas.errors import ConfigError, ObjectNotFound, VersionChanged

MAX_TRIES: Final = 3  # where a seal or an erasure replaces a file that is read


@dataclass(frozen=True, kw_only=True)
class Request:
    """What is to be certified.

    job          the job file's name; `config_id` in its place: that one
    claim        what is promised; `epsilon`: how much is lost at most; `delta`: the chance that this is wrong
    by           a column of the manifest, whose values are certified as well
    min_rate     rows that were audited at a lower rate are left out
    every_night  one of many calibrations of this config_id that are to hold together
    """

    job: str | None
    audit: AuditConfig
    config_id: str | None = None
    claim: Claim = "agreement"
    epsilon: float = 0.01
    delta: float = 0.05
    by: str | None = None
    min_rate: float = 0.0
    tolerance: Tolerance = STRICT
    every_night: bool = False


def calibrate_output(config: OutputConfig, request: Request) -> Findings:
    """Reads the sealed rows, and again where a file changed meanwhile, MAX_TRIES times. Stores nothing.

    Raises ConfigError where there is nothing to certify, ObjectNotFound where there is no output, StorageError.
    """
    for _ in range(MAX_TRIES - 1):
        try:
            return _calibrate(config, request)
        except (VersionChanged, ObjectNotFound):
            continue
    return _calibrate(config, request)


def store(config: OutputConfig, findings: Findings) -> str:
    """Keeps the calibration in the output; gives back where. Raises StorageError."""
    return put_calibration(Output.open(config), findings.calibration)


def _calibrate(config: OutputConfig, request: Request) -> Findings:
    output = Output.open(config)
    job = None if request.config_id else request.job
    with open_views(
        config.uri, config.storage_options, with_clips=False, config_id=request.config_id, job=job
    ) as views:
        if views.config_id is None:
            raise ConfigError(
                "the job has not run yet, so that there is nothing to calibrate; run it, or give --config-id"
            )
        found = read_audit_rows(
            views,
            unit=request.audit.unit,
            salt=request.audit.salt,
            by=request.by,
            min_rate=request.min_rate,
            tolerance=request.tolerance,
        )
        look = 1 + len(read_calibrations(output, views.config_id)) if request.every_night else None
        return calibrate(
            found,
            config_id=views.config_id,
            epsilon=request.epsilon,
            delta=request.delta,
            claim=request.claim,
            labels={} if request.claim == "agreement" else read_labels(output, views.config_id),
            look=look,
            at=now(),
        )
