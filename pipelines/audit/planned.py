"""The plans of runs as an audit takes them in: what each run set out to do, and which erased videos they still name."""

from __future__ import annotations

from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

from framegate.pipelines.audit.intake import Intake
from framegate.pipelines.audit.report import AuditReport
from framegate.pipelines.commit.output import Output
from framegate.pipelines.commit.plan_history import list_plans, plan_of, read_folded_rows, read_folded_runs
from framegate.pipelines.store.parquet import PARQUET_ERRORS
from framegate.schemas.errors import CredentialsError, FramegateError, ObjectNotFound, StorageError

_BATCH_ROWS: Final = 100_000


def name_plans(report: AuditReport, output: Output, intake: Intake, *, folded: bool = False) -> frozenset[str]:
    """The runs that have a plan, those that have rows among them, and with `folded` all others. None is read."""
    names = frozenset(plan_of(info.uri) for info in list_plans(output))
    return names if not folded and names.issuperset(intake.runs.names) else names | _name_folded(report, output)


def take_plans(report: AuditReport, output: Output, intake: Intake, *, configs: dict[str, set[str]]) -> frozenset[str]:
    """Takes in the plans of all runs that have rows, and looks for erased videos in every plan. Returns the runs whose
    plan was read. `configs` gets the config_ids of these plans, by run."""
    codes = {run_id: code for code, run_id in enumerate(intake.runs.names)}
    read: set[str] = set()
    # Objects first and the history after them: what is folded meanwhile moves that way.
    for run_id in sorted(plan_of(info.uri) for info in list_plans(output)):
        if _take_plan(report, output, run_id, codes.get(run_id), intake, configs):
            read.add(run_id)
        elif run_id not in codes:
            report["planned"].find(f"plans/{run_id}.parquet cannot be read: bring it back from a copy")
    folded = _name_folded(report, output)
    return frozenset(read) | (
        folded if folded and _take_folded(report, output, codes, intake, configs) else frozenset()
    )


def _take_plan(
    report: AuditReport,
    output: Output,
    run_id: str,
    code: int | None,
    intake: Intake,
    configs: dict[str, set[str]],
) -> bool:
    """False where it cannot be read; true where it is gone, as it is in the history then, which comes next."""
    num_erased = 0
    try:
        with output.store.open_read(output.layout.plan(run_id)) as source:
            for batch in pq.ParquetFile(source).iter_batches(_BATCH_ROWS, columns=_columns(intake)):
                rows = pa.Table.from_batches([batch])
                configs.setdefault(run_id, set()).update(rows.column("config_id").unique().to_pylist())
                num_erased += _take(rows, code, intake)
    except CredentialsError:
        raise
    except ObjectNotFound:
        return code is None
    except (*PARQUET_ERRORS, FramegateError):
        return False
    _tell_erased(report, f"plans/{run_id}.parquet", num_erased)
    return True


def _take_folded(
    report: AuditReport, output: Output, codes: dict[str, int], intake: Intake, configs: dict[str, set[str]]
) -> bool:
    """False where the history cannot be read."""
    num_erased = 0
    try:
        for run_id, rows in read_folded_rows(output, _columns(intake)):
            configs.setdefault(run_id, set()).update(rows.column("config_id").unique().to_pylist())
            num_erased += _take(rows, codes.get(run_id), intake)
    except CredentialsError:
        raise
    except ObjectNotFound:
        return False
    except StorageError as error:
        report["planned"].find(str(error))
        return False
    _tell_erased(report, "plans/history.parquet", num_erased)
    return True


def _name_folded(report: AuditReport, output: Output) -> frozenset[str]:
    try:
        return read_folded_runs(output)
    except CredentialsError:
        raise
    except StorageError as error:
        report["planned"].find(str(error))
        return frozenset()


def _columns(intake: Intake) -> list[str]:
    return ["video_id", "question_hashes", "config_id", *(["video_uri"] if intake.tombstones else [])]


def _take(rows: pa.Table, code: int | None, intake: Intake) -> int:
    """How many rows are of erased videos. Takes them in where `code`, the number of their run, is given."""
    if code is not None:
        intake.spool.add_plan(code, rows.column("video_id"), rows.column("question_hashes"))
    return intake.num_erased(rows)


def _tell_erased(report: AuditReport, name: str, num_erased: int) -> None:
    if num_erased:
        report["erased"].find(f"{name} names {num_erased:,} erased videos: run 'framegate erase' again")
