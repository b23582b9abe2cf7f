"""Views against plain DuckDB on the same files of a local disk, alternately, in one process, warm."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

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
    """One query. Seconds are medians: `open` until SQL can be asked, the rest until its rows are there."""

    query: str
    num_rows: int
    plain_seconds: float
    view_seconds: float
    ratio: float
    open_seconds: float


def measure_local(
    output: Output, archive: Archive, *, repeats: int, on_query: Callable[[str], None]
) -> Iterator[QueryFigures]:
    """Figures of each typical query. Raises FramegateError where the two sides do not give the same rows."""
    for name, sql in typical_queries(archive).items():
        on_query(name)
        plain_times, view_times, open_times = [], [], []
        table = pa.table({})
        for repeat in range(-WARM_UPS, repeats):
            plain, seconds = _plain(output, sql)
            gc.collect()
            table, view_seconds, open_seconds = _view(output, sql)
            if name != STANDING and not _alike(table, plain):
                raise FramegateError(f"'{name}' gives other rows by the view than by plain DuckDB on the same files")
            if repeat >= 0:
                plain_times.append(seconds)
                view_times.append(view_seconds)
                open_times.append(open_seconds)
        plain_seconds, view_seconds = statistics.median(plain_times), statistics.median(view_times)
        yield QueryFigures(
            query=name,
            num_rows=table.num_rows,
            plain_seconds=plain_seconds,
            view_seconds=view_seconds,
            ratio=view_seconds / plain_seconds,
            open_seconds=statistics.median(open_times),
        )


def _plain(output: Output, sql: str) -> tuple[pa.Table, float]:
    names = {
        view: f"read_parquet('{join(output.root, table)}/**/*.parquet', hive_partitioning = true)"
        for view, table in (("answers", "results"), ("failures", "failures"))
    }
    began = time.perf_counter()
    with duckdb.connect() as connection:
        table = connection.sql(sql.format(**names)).to_arrow_table()
    return table, time.perf_counter() - began


def _view(output: Output, sql: str) -> tuple[pa.Table, float, float]:
    began = time.perf_counter()
    with open_views(output.root, {}) as views:
        opened = time.perf_counter()
        table = select(views, sql.format(answers="answers", failures="failures"))
    ended = time.perf_counter()
    return table, ended - began, opened - began


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
