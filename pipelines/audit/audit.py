"""Audit: whether an output is what it should be, told from storage alone. Nothing is changed.

An audit may run beside a run, a seal and an erasure. Rows move one way, from the journal into sealed files, so that it
reads in that order: first which runs have ended, then the journal, then the records of seals, then the sealed files. A
unit that is missing when its turn comes was sealed, and is not a finding. A file of a seal that had no record when the
records were read is not counted. Runs, plans and configs are written before their first row, and therefore read last.
An erasure does change what was read: where there are findings and an erasure was at work, everything is read again.

Memory is bounded whatever the size: keys lie on local disk, 38 bytes a row (`pipelines.audit.keys`).
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from framegate.pipelines.audit.disk import check_hidden
from framegate.pipelines.audit.erasures import check_tombstones
from framegate.pipelines.audit.fixed_layout import check_layout
from framegate.pipelines.audit.intake import Intake
from framegate.pipelines.audit.journal import check_journal
from framegate.pipelines.audit.keys import KeySpool
from framegate.pipelines.audit.night_pages import check_night_pages
from framegate.pipelines.audit.parquet_records import check_indexes, check_video_log
from framegate.pipelines.audit.report import AuditReport, new_report
from framegate.pipelines.audit.runs import check_counts, check_planned, note_sealed_runs, note_unfinished, read_records
from framegate.pipelines.audit.sealed import check_sealed
from framegate.pipelines.audit.seals import read_seals
from framegate.pipelines.audit.signed import check_signed
from framegate.pipelines.audit.small_records import check_small_records
from framegate.pipelines.audit.unknown_objects import check_unknown_objects, check_uploads
from framegate.pipelines.commit.output import Output
from framegate.pipelines.commit.tombstones import read_tombstones
from framegate.pipelines.erase.records import Replacement, read_replacements, unfinished_erasures
from framegate.schemas.errors import CredentialsError, ObjectNotFound, StorageError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

MAX_PASSES: Final = 3


def audit(output: Output, *, is_quick: bool = False, keys: Sequence[Ed25519PublicKey] = ()) -> AuditReport:
    """Makes all checks, that of signatures where there are public `keys`; with `is_quick` those that the listing and
    the records of seals and runs are enough for: names, sizes and counts. A sealed file is opened then only if its
    size is not the recorded one.

    What is wrong with the output is in the report. Raises ObjectNotFound where there is no output, StorageError where
    storage cannot be listed.
    """
    if not output.store.is_folder(output.root):
        raise ObjectNotFound(f"there is no output at {output.root}: nothing lies below it")
    for _ in range(MAX_PASSES - 1):
        before = _erasures(output)
        report = _check_all(output, keys, is_quick=is_quick)
        if report.is_clean or _erasures(output) == before:
            return report
    return _check_all(output, keys, is_quick=is_quick)


def _check_all(output: Output, keys: Sequence[Ed25519PublicKey], *, is_quick: bool) -> AuditReport:
    report = new_report()
    with tempfile.TemporaryDirectory(prefix="framegate-audit-") as folder:
        runs = read_records(report, output)
        tombstones = read_tombstones(output)
        intake = Intake(KeySpool(Path(folder)), tombstones=tombstones)
        replacements = _read_erasures(report, output)
        check_journal(report, output, intake, is_quick=is_quick)
        seals = read_seals(report, output)
        check_sealed(report, output, seals, replacements, intake, is_quick=is_quick)
        if is_quick:
            note_sealed_runs(intake, seals)
        check_layout(report["layout"], output, seals)
        check_small_records(report["records"], output, intake, is_quick=is_quick)
        check_video_log(report["records"], output, num_erased=len(tombstones), is_quick=is_quick)
        check_indexes(report["records"], output, is_quick=is_quick)
        check_planned(report, output, runs, intake, is_quick=is_quick)
        check_counts(report, runs, seals, is_quick=is_quick)
        note_unfinished(report, runs)
        check_night_pages(report["erased"], output, len(tombstones))
        check_tombstones(report["erased"], output)
        if keys:
            check_signed(report, output, seals, keys, is_quick=is_quick)
        is_settled = not (seals.pending or seals.unknown or seals.unsure or seals.ahead)
        known = {*seals.merged, *seals.ever} if is_settled else None
    check_hidden(report["strays"], output, known)
    check_unknown_objects(report["strays"], output)
    check_uploads(report["uploads"], output)
    return report


def _erasures(output: Output) -> set[str]:
    return {info.uri for folder in ("erasures", "tombstones") for info in output.list(folder)}


def _read_erasures(report: AuditReport, output: Output) -> list[Replacement]:
    for erasure_id in unfinished_erasures(output):
        report["erased"].find(f"erasure {erasure_id} has begun and is not complete: run 'framegate erase' again")
    try:
        return [replacement for _, replacement in read_replacements(output)]
    except CredentialsError:
        raise
    except StorageError as error:
        report["erased"].find(str(error))
        return []
