"""What runs said against the rows that they left: every row was planned, and every finished run's sums are there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, fields
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from framegate.pipelines.audit.intake import SUMS, Intake
from framegate.pipelines.audit.keys import KINDS, doubled, key_text, unplanned
from framegate.pipelines.audit.report import AuditReport
from framegate.pipelines.audit.sealed import Seals
from framegate.pipelines.audit.strays import Below
from framegate.pipelines.commit.output import Output
from framegate.pipelines.commit.records import parse_record
from framegate.pipelines.commit.seal_log import RunCounts
from framegate.schemas.errors import CredentialsError, FramegateError, StorageError

_BATCH_ROWS: Final = 100_000
_COUNTS: Final = tuple(field.name for field in fields(RunCounts))
_REMOVED: Final = ("answers", "failures")  # what a note of an erasure calls the first two of SUMS


def read_finished(report: AuditReport, output: Output) -> dict[str, dict[str, Any]]:
    """The records of runs that came to their end, by run_id; a damaged one is a finding."""
    uris = [info.uri for info in output.list("runs") if not info.uri.endswith(".begun.json")]
    records = {}
    for uri, data in output.store.read_many(uri for uri in uris if uri.endswith(".json")):
        try:
            records[uri.rpartition("/")[2].removesuffix(".json")] = parse_record(uri, data)
        except StorageError as error:
            report["counts"].find(str(error))
    return records


def check_planned(report: AuditReport, output: Output, intake: Intake) -> None:
    """Every row's run began and planned it; every config_id is described. No key stands twice, while we are at it."""
    check = report["planned"]
    begun = _names(output, "runs", ".begun.json")
    plans = _names(output, "plans", ".parquet")
    for config_id in sorted(set(intake.configs.names) - _names(output, "configs", ".yaml")):
        check.find(f"configs/{config_id}.yaml is missing, so that nobody knows what its rows were asked with")
    known = []
    for code, run_id in enumerate(intake.runs.names):
        if run_id not in begun:
            check.find(f"run {run_id!r} wrote rows, and runs/{run_id}.begun.json is missing")
        if run_id in plans and _read_plan(report, output, run_id, code, intake):
            known.append(code)
        else:
            check.find(f"run {run_id!r} wrote rows, and plans/{run_id}.parquet is missing or cannot be read")
    for run_id in sorted(plans - set(intake.runs.names)) if intake.tombstones else ():
        _read_plan(report, output, run_id, None, intake)
    check.num_checked = sum(intake.num_rows.values())
    _check_keys(report, intake, np.array(known, np.int32))


def _check_keys(report: AuditReport, intake: Intake, known: np.ndarray) -> None:
    unique = (report["unique_results"], report["unique_failures"])
    for kind, check in enumerate(unique):
        check.num_checked = intake.num_rows[kind]
    for rows, plans in intake.spool.parts():
        for row, other in doubled(rows):
            config_id = intake.configs.names[row["config"]]
            files = sorted({intake.files.names[place] for place in (row["file"], other["file"])})
            unique[row["kind"]].find(f"{key_text(row)} of config_id {config_id} stands twice, in {' and '.join(files)}")
        for row in unplanned(rows[np.isin(rows["run"], known)], plans, intake.spool):
            run_id = intake.runs.names[row["run"]]
            report["planned"].find(f"{key_text(row)} in {KINDS[row['kind']]} is in no plan of its run {run_id}")


def check_counts(report: AuditReport, finished: Mapping[str, Mapping[str, Any]], seals: Seals) -> None:
    """What seals say that they hold of each run is in their files, and finished runs say the same.

    A run's record sums up the seals that there were when it ended. A last request of it may have been under way then,
    so that a later seal holds more of it: its record is right where it is the sum of the first seals, however many.
    """
    check = report["counts"]
    for config_id, records in sorted(seals.records.items()):
        for record in () if config_id in seals.unsure else records:
            check.num_checked += 1
            here = {run_id for id, seal, run_id in seals.found if (id, seal) == (config_id, record.seal)}
            for run_id in sorted({*record.runs, *here}):
                key = (config_id, record.seal, run_id)
                wanted = _sums(asdict(record.runs.get(run_id, RunCounts())), SUMS)
                if sentence := _difference(wanted, seals.found[key], seals.removed[key]):
                    check.find(f"seal {record.seal} of config_id {config_id} says of run {run_id} {sentence}")
    for run_id, run in sorted(finished.items()):
        check.num_checked += 1
        config_id = str(run.get("config_id"))
        if config_id in seals.unsure:
            check.note(f"the runs of config_id {config_id} cannot be summed up while sealed_files has findings there")
            continue
        of_seals = [asdict(record.runs.get(run_id, RunCounts())) for record in seals.records.get(config_id, ())]
        totals = np.cumsum([np.zeros(len(_COUNTS), np.int64), *(_sums(counts, _COUNTS) for counts in of_seals)], axis=0)
        said = _sums(run.get("counts") or {}, _COUNTS)
        if not (totals == said).all(axis=1).any():
            wrong = "; ".join(
                f"{name} {said[place]:,} but seals hold {totals[-1][place]:,}"
                for place, name in enumerate(_COUNTS)
                if said[place] != totals[-1][place]
            )
            check.find(f"runs/{run_id}.json says {wrong or 'what its seals held at no time'}")


def check_unfinished(report: AuditReport, output: Output, finished: Iterable[str]) -> None:
    """Says how many runs have not come to their end."""
    open_runs = sorted(_names(output, "runs", ".begun.json") - set(finished))
    if open_runs:
        report["counts"].note(f"{len(open_runs):,} runs were killed or are at work, such as {open_runs[-1]}")


def _sums(counts: Mapping[str, Any], names: Sequence[str]) -> np.ndarray:
    return np.array([int(counts.get(name, 0)) for name in names], np.int64)


def _difference(wanted: np.ndarray, found: np.ndarray, removed: Mapping[str, int]) -> str:
    """What was sealed against what stands. Of what erasures took answers and failures alone are known, not tokens."""
    less = wanted - found
    less[:2] -= [removed.get(name, 0) for name in _REMOVED]
    if removed and less.min() >= 0:
        less[2:] = 0
    return "; ".join(
        f"{name} {wanted[place]:,} but {wanted[place] - less[place]:,} are accounted for"
        for place, name in enumerate(SUMS)
        if less[place]
    )


def _read_plan(report: AuditReport, output: Output, run_id: str, code: int | None, intake: Intake) -> bool:
    """Hands a plan on where `code` is given, and looks for erased videos in it. False where it cannot be read."""
    columns = [*(("video_id", "question_hashes") if code is not None else ())]
    columns += ["video_uri"] if intake.tombstones else []
    num_erased = 0
    try:
        with output.store.open_read(output.layout.plan(run_id)) as source:
            for batch in pq.ParquetFile(source).iter_batches(_BATCH_ROWS, columns=columns):
                table = pa.Table.from_batches([batch])
                num_erased += intake.num_erased(table)
                if code is not None:
                    intake.spool.add_plan(code, table.column("video_id"), table.column("question_hashes"))
    except CredentialsError:
        raise
    except (pa.ArrowException, OSError, KeyError, FramegateError):
        return False
    if num_erased:
        report["erased"].find(f"plans/{run_id}.parquet names {num_erased:,} erased videos: run 'framegate erase' again")
    return True


def _names(output: Output, kind: str, ending: str) -> set[str]:
    """The names in a folder, without their ending."""
    prefix, below = f"{kind}/", Below.of(output)
    names: Sequence[str] = [below.name(info.uri).removeprefix(prefix) for info in output.list(kind)]
    return {name.removesuffix(ending) for name in names if name.endswith(ending)}
