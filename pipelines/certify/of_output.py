"""A calibration of an output as it is now, of the config_id under which a job ran last.

Of an output in which no gate decided about audited rows there is no threshold to certify. Where rows of it took over
answers, these are certified alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final, TypeVar

from framegate.pipelines.certify.audit_rows import find_audit_rows
from framegate.pipelines.certify.calibrate import Findings, calibrate
from framegate.pipelines.certify.copies import CopyFindings, find_copies
from framegate.pipelines.certify.prunes import find_prunes
from framegate.pipelines.certify.request import Request, open_asked, read_asked
from framegate.pipelines.commit.calibrations import put_calibration, read_calibrations
from framegate.pipelines.commit.labels import read_labels
from framegate.pipelines.commit.output import Output
from framegate.pipelines.results.views import Views
from framegate.schemas.clock import now
from framegate.schemas.config import OutputConfig
from framegate.schemas.errors import ObjectNotFound, VersionChanged

MAX_TRIES: Final = 3  # where a seal or an erasure replaces a file that is read
_Found = TypeVar("_Found")


def calibrate_output(config: OutputConfig, request: Request) -> Findings:
    """Reads the sealed rows, and again where a file changed meanwhile, MAX_TRIES times. Stores nothing.

    Raises ConfigError where there is nothing to certify, ObjectNotFound where there is no output, StorageError.
    """
    request.check()
    return _read_again(lambda: _calibrate(config, request))


def certify_output(config: OutputConfig, request: Request) -> Findings | CopyFindings:
    """As `calibrate_output`; where no gate decided about an audited row, what taking over answers loses alone, if that
    is what was asked: the claim agreement of the archive, as a whole and once. Raises what `calibrate_output` does."""
    request.check()
    plain = request.claim == "agreement" and request.scope == "archive" and request.by is None
    if plain and not request.every_night and (copies := _read_again(lambda: _copies_alone(config, request))):
        return copies
    return calibrate_output(config, request)


def store(config: OutputConfig, findings: Findings) -> str:
    """Keeps the calibration in the output; gives back where. Raises StorageError."""
    return put_calibration(Output.open(config), findings.calibration)


def _read_again(read: Callable[[], _Found]) -> _Found:
    for _ in range(MAX_TRIES - 1):
        try:
            return read()
        except (VersionChanged, ObjectNotFound):
            continue
    return read()


def _copies_alone(config: OutputConfig, request: Request) -> CopyFindings | None:
    """None where a gate decided about audited rows, or no audited row took over an answer."""
    with open_asked(config, request) as (views, _):
        if find_audit_rows(views, min_rate=request.min_rate) is not None:
            return None
        copies = _find_copies(views, request, request.delta)
    return copies if copies is not None and copies.whole.population else None


def _find_copies(views: Views, request: Request, delta: float) -> CopyFindings | None:
    return find_copies(
        views,
        unit=request.audit.unit,
        salt=request.audit.salt,
        epsilon=request.epsilon,
        delta=delta,
        tolerance=request.tolerance,
        min_rate=request.min_rate,
    )


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
        prunes = find_prunes(
            views,
            unit=request.audit.unit,
            epsilon=request.epsilon,
            delta=delta,
            tolerance=request.tolerance,
            min_rate=request.min_rate,
        )
        certificates = () if prunes is None else prunes.certificates
        calibration = replace(findings.calibration, prunes=certificates)
        copies = _find_copies(views, request, delta)
        return replace(findings, calibration=calibration, copies=copies, prunes=prunes)
