"""The plans of runs that are long over, in one object: `plans/history.parquet`.

`commit.run_folding` brings plans here: the history takes their rows and is replaced by If-Match, and then their own
objects go. A plan is created once and changed by erasures alone, so that one which is in both places has the same rows
in both, or fewer where an erasure has come by one of them only. A reader looks at the objects first and then at the
history.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from framegate.pipelines.commit.document_list import put_version
from framegate.pipelines.commit.layout import HISTORY
from framegate.pipelines.commit.output import Output
from framegate.pipelines.commit.records import PLAN, PLAN_GROUP_ROWS
from framegate.pipelines.failpoints import reach
from framegate.pipelines.store import ObjectInfo
from framegate.pipelines.store.parquet import encode_parquet, one_of_ours, read_columns, read_parquet
from framegate.schemas.errors import ObjectNotFound, StorageError

PLAN_HISTORY: Final = pa.schema([pa.field("run_id", pa.string(), nullable=False), *PLAN])
"""The rows of all plans, by run and video."""

MAX_PLAN_BYTES: Final = 2**20  # some ten thousand videos; a larger plan keeps its object
MAX_BYTES: Final = 64 * 2**20  # of the history, which is rewritten as a whole: later plans keep their objects
MAX_TRIES: Final = 20
_BATCH_ROWS: Final = 65_536
_ABOUT: Final = b"framegate"


@dataclass(frozen=True, kw_only=True)
class PlanHistory:
    """Rows in PLAN_HISTORY and the runs whose plans they are: one of which an erasure took all rows has none.

    `version` and `size_bytes` of the object; None and 0: there is none yet. `nonce`: as in `RunHistory`.
    """

    rows: pa.Table
    runs: tuple[str, ...] = ()
    nonce: str | None = None
    version: str | None = None
    size_bytes: int = 0


def read_plan(output: Output, run_id: str, columns: Sequence[str]) -> pa.Table:
    """Some columns of a run's plan, wherever it is. Raises ObjectNotFound where there is none, StorageError."""
    try:
        return read_columns(output.store, output.layout.plan(run_id), columns)
    except ObjectNotFound:
        if run_id not in read_folded_runs(output):
            raise
    names = [*dict.fromkeys(["run_id", *columns])]
    rows = read_columns(output.store, output.layout.plan_history, names)
    return rows.filter(pc.field("run_id") == run_id).select([*columns])


def read_plans(output: Output, columns: Sequence[str]) -> Iterator[tuple[str, pa.Table]]:
    """Some columns of all plans, with the run, in any order. One that is folded meanwhile may come twice, or in parts.

    Raises StorageError.
    """
    for info in list_plans(output):
        with suppress(ObjectNotFound):  # folded since: it is in the history, which is read after the objects
            yield plan_of(info.uri), read_columns(output.store, info.uri, columns)
    with suppress(ObjectNotFound):
        yield from read_folded_rows(output, columns)


def list_plans(output: Output) -> list[ObjectInfo]:
    """The plans that are objects of their own."""
    found = (info for info in output.list("plans") if info.uri.endswith(".parquet"))
    return [info for info in found if plan_of(info.uri) != HISTORY]


def plan_of(uri: str) -> str:
    """The run whose plan an object below plans/ is."""
    return uri.rpartition("/")[2].removesuffix(".parquet")


def read_folded_runs(output: Output) -> frozenset[str]:
    """The runs whose plans are in the history: its footer is enough. Raises StorageError."""
    try:
        return frozenset(read_parquet(output.store, output.layout.plan_history, _about)["runs"])
    except ObjectNotFound:
        return frozenset()


def read_folded_rows(output: Output, columns: Sequence[str]) -> Iterator[tuple[str, pa.Table]]:
    """Rows of all plans in the history, each time of one run, some at a time. Raises ObjectNotFound, StorageError."""
    uri, names = output.layout.plan_history, [*dict.fromkeys(["run_id", *columns])]
    with output.store.open_read(uri) as source, one_of_ours(uri):
        for batch in pq.ParquetFile(source).iter_batches(_BATCH_ROWS, columns=names):
            rows = pa.Table.from_batches([batch])
            for run_id in rows.column("run_id").unique().to_pylist():
                yield run_id, rows.filter(pc.field("run_id") == run_id).select([*columns])


def fold_plans(output: Output, plans: Mapping[str, ObjectInfo]) -> None:
    """Brings plans, by run_id, into the history, and deletes their objects; nothing where another process folds, or
    the history is full. Raises StorageError."""
    history = _begin(output)  # before the plans: see `commit.run_folding`
    if history.size_bytes >= MAX_BYTES:
        return
    tables = {run_id: _read_plan(output, run_id) for run_id in plans}
    present = {run_id: rows for run_id, rows in tables.items() if rows is not None}
    if not present:  # another process has folded them all
        return
    kept = history.rows.filter(~pc.field("run_id").isin(list(present)))
    rows, runs = pa.concat_tables([kept, *present.values()]), (*{*history.runs, *present},)
    if _put(output, replace(history, rows=rows, runs=runs)):
        reach("plans.folded")
        output.store.delete([plans[run_id].uri for run_id in present])


def renew_history(output: Output) -> None:
    """Gives the history another version, so that whoever read the old one cannot put back what was erased since.

    Raises StorageError.
    """
    for _ in range(MAX_TRIES):
        history = _read(output)
        if history.version is None or _put(output, replace(history, nonce=secrets.token_hex(8))):
            return
    raise StorageError(f"{output.layout.plan_history} was changed {MAX_TRIES} times while an erasure came by")


def _begin(output: Output) -> PlanHistory:
    history = _read(output)
    if history.version is None:
        _put(output, history)
        history = _read(output)
    return history


def _put(output: Output, history: PlanHistory) -> bool:
    """False where it has changed since it was read."""
    return put_version(output.store, output.layout.plan_history, _encode(history), history.version)


def _read(output: Output) -> PlanHistory:
    uri = output.layout.plan_history
    try:
        info, data = output.store.read_version(uri)
    except ObjectNotFound:
        return PlanHistory(rows=PLAN_HISTORY.empty_table())
    with one_of_ours(uri):
        file = pq.ParquetFile(pa.BufferReader(data))
        rows, about = file.read().cast(PLAN_HISTORY).replace_schema_metadata(), _about(file)
    return PlanHistory(
        rows=rows, runs=tuple(about["runs"]), nonce=about["nonce"], version=info.version, size_bytes=len(data)
    )


def _read_plan(output: Output, run_id: str) -> pa.Table | None:
    """None where it is gone: another process has folded it."""
    try:
        rows = read_columns(output.store, output.layout.plan(run_id), PLAN.names)
    except ObjectNotFound:
        return None
    run = pa.repeat(pa.scalar(run_id), rows.num_rows)
    return rows.cast(PLAN).replace_schema_metadata().add_column(0, PLAN_HISTORY.field("run_id"), run)


def _encode(history: PlanHistory) -> bytes:
    about = json.dumps({"runs": sorted(history.runs), "nonce": history.nonce}).encode()
    ordered = history.rows.sort_by([("run_id", "ascending"), ("video_id", "ascending")])
    return encode_parquet(ordered.replace_schema_metadata({_ABOUT: about}), row_group_rows=PLAN_GROUP_ROWS)


def _about(file: pq.ParquetFile) -> dict[str, Any]:
    """Raises KeyError where the file is no history."""
    return json.loads((file.schema_arrow.metadata or {})[_ABOUT])
