"""Audit: whether an output is what it should be, told from storage alone. Changes nothing.

It may run beside a run, a seal and an erasure. Rows move one way, from the journal into sealed files, so that it looks
in that order: first which runs have ended, then the journal, then which seals are recorded, then the files. What is
gone from the journal when its turn comes was sealed, and is no finding; a file of a seal that was not recorded when we
looked is under way, and not counted. Runs, plans and configs are written before the first row of theirs, and therefore
read last. An erasure does move things under our eyes: where something seems wrong and an erasure was at work,
everything is looked at again.

Memory is bounded whatever the size: keys lie on local disk, 38 bytes a row (`audit_keys`).
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Final

from framegate.pipelines.audit.intake import Intake
from framegate.pipelines.audit.journal import check_journal
from framegate.pipelines.audit.keys import KeySpool
from framegate.pipelines.audit.report import AuditReport, new_report
from framegate.pipelines.audit.runs import check_counts, check_planned, check_unfinished, read_finished
from framegate.pipelines.audit.sealed import check_sealed, look_at_seals
from framegate.pipelines.audit.strays import check_strays, check_uploads
from framegate.pipelines.commit.output import Output
from framegate.pipelines.commit.tombstones import read_tombstones
from framegate.pipelines.erase.records import Note, read_notes, unfinished
from framegate.schemas.errors import CredentialsError, ObjectNotFound, StorageError

MAX_LOOKS: Final = 3


def audit(output: Output, *, is_quick: bool = False) -> AuditReport:
    """Makes all checks. With `is_quick` sealed files are compared by rows and size, not by sha256.

    What is wrong with the output is in the report. Raises ObjectNotFound where there is no output, StorageError where
    storage cannot be listed.
    """
    if not output.store.is_folder(output.root):
        raise ObjectNotFound(f"there is no output at {output.root}: nothing lies below it")
    for _ in range(MAX_LOOKS - 1):
        before = _erasures(output)
        report = _look(output, is_quick=is_quick)
        if report.is_clean or _erasures(output) == before:
            return report
    return _look(output, is_quick=is_quick)


def _look(output: Output, *, is_quick: bool) -> AuditReport:
    report = new_report()
    with tempfile.TemporaryDirectory(prefix="framegate-audit-") as folder:
        finished = read_finished(report, output)
        intake = Intake(KeySpool(Path(folder)), tombstones=read_tombstones(output))
        notes = _read_erasures(report, output)
        check_journal(report, output, intake, is_quick=is_quick)
        seals = look_at_seals(report, output)
        check_sealed(report, output, seals, notes, intake, is_quick=is_quick)
        check_planned(report, output, intake)
        check_counts(report, finished, seals)
        check_unfinished(report, output, finished)
    check_strays(report["strays"], output)
    check_uploads(report["uploads"], output)
    return report


def _erasures(output: Output) -> set[str]:
    return {info.uri for folder in ("erasures", "tombstones") for info in output.list(folder)}


def _read_erasures(report: AuditReport, output: Output) -> list[Note]:
    for erasure_id in unfinished(output):
        report["erased"].find(f"erasure {erasure_id} has begun and is not complete: run 'framegate erase' again")
    try:
        return [note for _, note in read_notes(output)]
    except CredentialsError:
        raise
    except StorageError as error:
        report["erased"].find(str(error))
        return []
