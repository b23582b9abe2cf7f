"""Views against plain DuckDB on the same files of a local disk, alternately, in one process, warm."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

import duckdb
import numpy as np
import pyarrow as pa

from framegate.pipelines.commit.output import Output
from framegate.pipelines.lab.bench.query.synthetic_rows import Archive
from framegate.pipelines.lab.bench.query.typical import STANDING, typical_queries
from framegate.pipelines.results.views import open_views, select
from framegate.pipelines.store import join
from framegate.schemas.errors import FramegateError

WARM_UPS: Final = 1
"""Of each side and query, before the first that counts: the files are in the page cache then."""


@dataclass(frozen=True, kw_only=True)
class QueryFigures:
    """One query. Medians; `open` until SQL can be asked, the rest until its rows are there. `again`: asked once more of
    the connection that is open by then, as in a session.

    Processor seconds are those of all threads of the process: on a machine with other work they say what the clock on
    the wall cannot.
    """

    query: str
    num_rows: int
    plain_seconds: float
    view_seconds: float
    open_seconds: float
    ratio: float
    plain_cpu_seconds: float
    view_cpu_seconds: float
    cpu_ratio: float
    plain_again_seconds: float
    view_again_seconds: float
    again_ratio: float


class _Times(NamedTuple):
    seconds: float
    cpu_seconds: float
    open_seconds: float
    again_seconds: float


def measure_local(
    output: Output, archive: Archive, *, repeats: int, on_query: Callable[[str], None]
) -> Iterator[QueryFigures]:
    """Figures of each typical query. Raises FramegateError where the two sides do not give the same rows."""
    for name, sql in typical_queries(archive).items():
        on_query(name)
        plain_times: list[_Times] = []
        view_times: list[_Times] = []
        num_rows = 0
        for repeat in range(-WARM_UPS, repeats):
            plain, plain_time = _plain(output, sql)
            table, view_time = _view(output, sql)
            if name != STANDING and not _alike(table, plain):
                raise FramegateError(f"'{name}' gives other rows by the view than by plain DuckDB on the same files")
            num_rows = table.num_rows
            if repeat >= 0:
                plain_times.append(plain_time)
                view_times.append(view_time)
        plain_seconds, plain_cpu, _, plain_again = map(statistics.median, zip(*plain_times, strict=True))
        view_seconds, view_cpu, open_seconds, view_again = map(statistics.median, zip(*view_times, strict=True))
        yield QueryFigures(
            query=name,
            num_rows=num_rows,
            plain_seconds=plain_seconds,
            view_seconds=view_seconds,
            open_seconds=open_seconds,
            ratio=view_seconds / plain_seconds,
            plain_cpu_seconds=plain_cpu,
            view_cpu_seconds=view_cpu,
            cpu_ratio=view_cpu / plain_cpu,
            plain_again_seconds=plain_again,
            view_again_seconds=view_again,
            again_ratio=view_again / plain_again,
        )


def _plain(output: Output, sql: str) -> tuple[pa.Table, _Times]:
    names = {
        view: f"read_parquet('{join(output.root, table)}/**/*.parquet', hive_partitioning = true)"
        for view, table in (("answers", "results"), ("failures", "failures"))
    }
    gc.collect()
    began, cpu_began = time.perf_counter(), time.process_time()
    with duckdb.connect() as connection:
        return _asked(lambda: connection.sql(sql.format(**names)).to_arrow_table(), began, cpu_began, 0.0)


def _view(output: Output, sql: str) -> tuple[pa.Table, _Times]:
    gc.collect()
    began, cpu_began = time.perf_counter(), time.process_time()
    with open_views(output.root, {}, reads_directly=True) as views:
        open_seconds = time.perf_counter() - began
        statement = sql.format(answers="answers", failures="failures")
        return _asked(lambda: select(views, statement), began, cpu_began, open_seconds)


def _asked(ask: Callable[[], pa.Table], began: float, cpu_began: float, open_seconds: float) -> tuple[pa.Table, _Times]:
    """The rows, with the times since the connection was begun, and those of asking once more."""
    table = ask()
    ended, cpu_ended = time.perf_counter(), time.process_time()
    ask()
    return table, _Times(ended - began, cpu_ended - cpu_began, open_seconds, time.perf_counter() - ended)


def _alike(some: pa.Table, others: pa.Table) -> bool:
    """The same rows. Sums of floats depend on the order in which threads added them."""
    if some.column_names != others.column_names or some.num_rows != others.num_rows:
        return False
    for one, other in zip(some.columns, others.columns, strict=True):
        if pa.types.is_floating(one.type):
            if not np.allclose(one.to_numpy(), other.to_numpy(), rtol=1e-9, equal_nan=True):
                return False
        elif one.to_pylist() != other.to_pylist():
            return False
    return True
