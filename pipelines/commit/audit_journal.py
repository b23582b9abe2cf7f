"""The units that wait for their seal: whole, well named, and whose rows they are. Also attempts that stand open.

A unit may be sealed while an audit reads: one that is gone when its turn comes is no finding, and one that a seal has
taken by the end is summed up there, not here (`Waiting.sums`).
"""

from __future__ import annotations

import hashlib
import io
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.commit.audit_keys import WAITING
from pipelines.commit.audit_report import AuditReport
from pipelines.commit.audit_rows import SUMS, Intake
from pipelines.commit.layout import Layout
from pipelines.commit.seals import read_plan
from pipelines.commit.strays import JOURNAL_NAME, Below
from pipelines.store import Store
from schemas.errors import FramegateError
from schemas.tables import INPUT_PREFIX, JOURNAL

_UNIT: Final = np.dtype([("unit", "<u8"), ("run", "<i4"), ("sums", "<i8", (len(SUMS),))])


@dataclass
class Waiting:
    """Sums by unit and run, 52 bytes each, so that what a seal takes meanwhile can be left out.

    names   of the objects that were listed, by config_id: those of a million units are 100 MB
    """

    names: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    units: list[np.ndarray] = field(default_factory=list)

    def sums(self, sealed: Sequence[str]) -> dict[int, np.ndarray]:
        """By number of a run. `sealed`: (name and sha256) of what is sealed and only waits to be deleted."""
        units = np.concatenate([np.empty(0, _UNIT), *self.units])
        units = units[~np.isin(units["unit"], np.array([_digest(text) for text in sealed], np.uint64))]
        return {int(run): units["sums"][units["run"] == run].sum(axis=0) for run in np.unique(units["run"])}


def check_journal(report: AuditReport, store: Store, layout: Layout, intake: Intake, *, is_quick: bool) -> Waiting:
    """Reads every unit whole; with `is_quick` those columns alone that the other checks need."""
    below, check, waiting = Below.of(store, layout), report["journal"], Waiting()
    num_gone = 0
    for uri, data in store.read_present(info.uri for info in store.list(layout.folder("journal"))):
        name = below.name(uri)
        check.num_checked += 1
        match = JOURNAL_NAME.fullmatch(name)
        if data is None:
            num_gone += 1
        elif match is None:
            check.find(f"{name} is no name of a unit: move it out of the journal")
        else:
            config_id, video_id = match.groups()
            waiting.names[config_id].add(name)
            problem = _take(report, waiting, intake, name, config_id, video_id, data, is_quick=is_quick)
            if problem:
                check.find(f"{name} {problem}: 'framegate seal' cannot seal it; move it out of the journal")
    if check.num_checked - num_gone:
        check.note(f"{check.num_checked - num_gone:,} units wait for 'framegate seal' or the end of a run")
    num_open = sum(1 for _ in store.list(layout.folder("attempts")))
    if num_open:
        check.note(f"{num_open:,} attempts stand open: work in progress, or work that its process died of")
    return waiting


def sealed_units(store: Store, layout: Layout, config_id: str, first_seal: int, num_seals: int) -> list[str]:
    """(name and sha256) of the units of recorded seals from `first_seal` on: what a sealer may not have deleted yet."""
    names = []
    for seal in range(max(first_seal, 0), num_seals):
        plan = read_plan(store, layout, config_id, seal)
        for item in plan.objects if plan else ():
            names.append(f"journal/config_id={config_id}/{item.name} {item.sha256}")
    return names


def _take(
    report: AuditReport, waiting: Waiting, intake: Intake, name: str, config_id: str, video_id: str, data: bytes, *,
    is_quick: bool,
) -> str | None:  # fmt: skip
    """Hands the rows of one unit on; says what is wrong with it."""
    try:
        file = pq.ParquetFile(io.BytesIO(data))
        if problem := _schema_problem(file.schema_arrow):
            return problem
        table = file.read(columns=intake.columns(WAITING) if is_quick else None)
        if table.column("video_id").unique().to_pylist() != [video_id]:
            return "holds rows of another video than its name says, or none"
        erased = intake.num_erased(table)
        sums = intake.take(table, kind=WAITING, config_id=config_id, file=name)
    except (pa.ArrowException, OSError, FramegateError) as error:
        return f"is no whole Parquet file of a unit ({(str(error).splitlines() or [''])[0]})"
    report["erased"].num_checked += table.num_rows if intake.tombstones else 0
    if erased:
        report["erased"].find(f"{name} holds {erased:,} rows of an erased video: run 'framegate erase' for it again")
    units = np.zeros(len(sums), _UNIT)
    units["unit"] = _digest(f"{name} {hashlib.sha256(data).hexdigest()}")
    units["run"], units["sums"] = list(sums), list(sums.values())
    waiting.units.append(units)
    return None


def _schema_problem(there: pa.Schema) -> str | None:
    types = {column.name: column.type for column in there}
    for column in JOURNAL:
        if types.get(column.name) != column.type:
            return f"has {types.get(column.name, 'nothing')} as {column.name}, not {column.type}"
    for column in types:
        if column not in JOURNAL.names and not column.startswith(INPUT_PREFIX):
            return f"has a column {column} that is neither ours nor of a manifest ({INPUT_PREFIX}*)"
    return None


def _digest(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little")
