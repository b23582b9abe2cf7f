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
    """One query. Medians; `open` until SQL can be asked, the rest until its rows are there.

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


class _Times(NamedTuple):
    seconds: float
    cpu_seconds: float
    open_seconds: float


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
        plain_seconds, plain_cpu, _ = map(statistics.median, zip(*plain_times, strict=True))
        view_seconds, view_cpu, open_seconds = map(statistics.median, zip(*view_times, strict=True))
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
        )


def _plain(output: Output, sql: str) -> tuple[pa.Table, _Times]:
    names = {
        view: f"read_parquet('{join(output.root, table)}/**/*.parquet', hive_partitioning = true)"
        for view, table in (("answers", "results"), ("failures", "failures"))
    }
    gc.collect()
    began, cpu_began = time.perf_counter(), time.process_time()
    with duckdb.connect() as connection:
        table = connection.sql(sql.format(**names)).to_arrow_table()
    return table, _Times(time.perf_counter() - began, time.process_time() - cpu_began, 0.0)


def _view(output: Output, sql: str) -> tuple[pa.Table, _Times]:
    gc.collect()
    began, cpu_began = time.perf_counter(), time.process_time()
    with open_views(output.root, {}, reads_directly=True) as views:
        opened = time.perf_counter()
        table = select(views, sql.format(answers="answers", failures="failures"))
    return table, _Times(time.perf_counter() - began, time.process_time() - cpu_began, opened - began)


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
