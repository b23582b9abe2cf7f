"""Audit: whether an output is what it should be, told from storage alone. Changes nothing.

It may run beside a run, a seal and an erasure. Rows move one way, from the journal into sealed files, so that it looks
in that order: first which runs have ended, then the journal, then which seals are recorded, then the files. What is
gone from the journal when its turn comes was sealed, and is no finding; a unit that a recorded seal holds is counted in
its files and not again where it still waits to be deleted; what a seal writes after we looked is counted in the
journal. Runs, plans and configs are written before the first row of theirs, and therefore read last. An erasure does
move things under our eyes: where something seems wrong and an erasure was at work, everything is looked at again.

Memory is bounded whatever the size: keys lie on local disk, 38 bytes a row (`audit_keys`).
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np

from pipelines.commit.audit_journal import Waiting, check_journal, sealed_units
from pipelines.commit.audit_keys import KeySpool
from pipelines.commit.audit_report import AuditReport, new_report
from pipelines.commit.audit_rows import SUMS, Intake
from pipelines.commit.audit_runs import check_counts, check_planned, check_unfinished, read_finished
from pipelines.commit.audit_sealed import Seals, check_sealed, look_at_seals
from pipelines.commit.erasures import Note, read_notes, unfinished
from pipelines.commit.layout import Layout
from pipelines.commit.strays import check_strays, check_uploads
from pipelines.commit.tombstones import read_tombstones
from pipelines.store import Store
from schemas.errors import CredentialsError, ObjectNotFound, StorageError

MAX_LOOKS: Final = 3


def audit(store: Store, layout: Layout, *, is_quick: bool = False) -> AuditReport:
    """Makes all checks. With `is_quick` sealed files are compared by rows and size, not by sha256.

    What is wrong with the output is in the report. Raises ObjectNotFound where there is no output, StorageError where
    storage cannot be listed.
    """
    if not store.is_folder(layout.root):
        raise ObjectNotFound(f"there is no output at {layout.root}: nothing lies below it")
    for _ in range(MAX_LOOKS - 1):
        before = _erasures(store, layout)
        report = _look(store, layout, is_quick=is_quick)
        if report.is_clean or _erasures(store, layout) == before:
            return report
    return _look(store, layout, is_quick=is_quick)


def _look(store: Store, layout: Layout, *, is_quick: bool) -> AuditReport:
    report = new_report()
    with tempfile.TemporaryDirectory(prefix="framegate-audit-") as folder:
        finished = read_finished(report, store, layout)
        intake = Intake(KeySpool(Path(folder)), tombstones=read_tombstones(store, layout))
        notes = _read_erasures(report, store, layout)
        sealed_before = _num_seals(store, layout)
        waiting = check_journal(report, store, layout, intake, is_quick=is_quick)
        seals = look_at_seals(report, store, layout, sorted(_num_seals(store, layout)))
        by_run = check_sealed(report, store, layout, seals, notes, intake, is_quick=is_quick)
        for run, sums in waiting.sums(_units_sealed_meanwhile(store, layout, seals, sealed_before)).items():
            by_run[run] = by_run.get(run, np.zeros(len(SUMS), np.int64)) + sums
        _count_erased_units(store, layout, seals, waiting, notes)
        check_planned(report, store, layout, intake)
        check_counts(report, finished, {intake.runs.names[run]: sums for run, sums in by_run.items()}, seals)
        check_unfinished(report, store, layout, finished)
    check_strays(report["strays"], store, layout)
    check_uploads(report["uploads"], store, layout)
    return report


def _erasures(store: Store, layout: Layout) -> set[str]:
    return {info.uri for folder in ("erasures", "tombstones") for info in store.list(layout.folder(folder))}


def _read_erasures(report: AuditReport, store: Store, layout: Layout) -> list[Note]:
    for erasure_id in unfinished(store, layout):
        report["erased"].find(f"erasure {erasure_id} has begun and is not complete: run 'framegate erase' again")
    try:
        return [note for _, note in read_notes(store, layout)]
    except CredentialsError:
        raise
    except StorageError as error:
        report["erased"].find(str(error))
        return []


def _num_seals(store: Store, layout: Layout) -> dict[str, int]:
    """How many seals of each config_id are recorded, as far as names tell."""
    numbers: dict[str, int] = {}
    for info in store.list(layout.folder("seals")):
        folder, name = info.uri.rsplit("/", 2)[-2:]
        number, _, ending = name.partition(".")
        config_id = folder.removeprefix("config_id=")
        num_seals = int(number) + 1 if number.isdigit() and ending == "json" else 0
        numbers[config_id] = max(numbers.get(config_id, 0), num_seals)
    return numbers


def _units_sealed_meanwhile(store: Store, layout: Layout, seals: Seals, before: Mapping[str, int]) -> list[str]:
    """The units that a listing of the journal, made before the seals were looked at, may have shown all the same.

    Those of the last seal before it, which may not have been deleted yet, and of all that were recorded since.
    """
    sealed = []
    for config_id, records in seals.records.items():
        num_seals = records[-1].seal + 1
        sealed += sealed_units(store, layout, config_id, before.get(config_id, 0) - 1, num_seals)
    return sealed


def _count_erased_units(store: Store, layout: Layout, seals: Seals, waiting: Waiting, notes: Sequence[Note]) -> None:
    """Adds what erasures took out of the journal. A unit that was sealed before its turn came is told by its seal."""
    units = {note.file: note for note in notes if note.table == "journal"}
    for config_id in {note.config_id for note in units.values() if note.config_id}:
        sealed: set[str] = set()
        for record in seals.records.get(config_id, ()):
            skipped = {f"journal/config_id={config_id}/{name}" for name in record.skipped}
            names = {text.split()[0] for text in sealed_units(store, layout, config_id, record.seal, record.seal + 1)}
            sealed |= names - skipped
        for name, note in units.items():
            if note.config_id == config_id and name not in sealed and name not in waiting.names[config_id]:
                for run_id, counts in note.removed.items():
                    seals.removed[run_id].update(counts)
