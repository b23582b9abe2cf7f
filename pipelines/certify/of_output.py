"""A calibration of an output as it is now, of the config_id under which a job ran last."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from framegate.pipelines.certify.calibrate import Findings, calibrate
from framegate.pipelines.certify.copies import find_copies
from framegate.pipelines.certify.prunes import find_prunes
from framegate.pipelines.certify.request import Request, open_asked, read_asked
from framegate.pipelines.commit.calibrations import put_calibration, read_calibrations
from framegate.pipelines.commit.labels import read_labels
from framegate.pipelines.commit.output import Output
from framegate.schemas.clock import now
from framegate.schemas.config import OutputConfig
from framegate.schemas.errors import ObjectNotFound, VersionChanged

MAX_TRIES: Final = 3  # where a seal or an erasure replaces a file that is read


def calibrate_output(config: OutputConfig, request: Request) -> Findings:
    """Reads the sealed rows, and again where a file changed meanwhile, MAX_TRIES times. Stores nothing.

    Raises ConfigError where there is nothing to certify, ObjectNotFound where there is no output, StorageError.
    """
    request.check()
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
    with open_asked(config, request) as (views, config_id):
        found = read_asked(views, request)
        look = 1 + len(read_calibrations(output, config_id)) if request.every_night else None
        findings = calibrate(
            found,
            request,
            config_id=config_id,
            labels={} if request.claim == "agreement" else read_labels(output, config_id),
            look=look,
            at=now(),
        )
        delta = findings.calibration.whole.delta
        audit, epsilon, tolerance, rate = request.audit, request.epsilon, request.tolerance, request.min_rate
        copies = find_copies(views, unit=audit.unit, epsilon=epsilon, delta=delta, tolerance=tolerance, min_rate=rate)
        prunes = find_prunes(views, unit=audit.unit, epsilon=epsilon, delta=delta, tolerance=tolerance, min_rate=rate)
        certificates = () if prunes is None else prunes.certificates
        calibration = replace(findings.calibration, prunes=certificates)
        return replace(findings, calibration=calibration, copies=copies, prunes=prunes)
