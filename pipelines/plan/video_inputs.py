"""What manifests and side files say of videos now, against what the log of videos has of them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from framegate.pipelines.commit.video_log import VideoLog
from framegate.pipelines.commit.video_rows import differ, in_place_of, input_names, join_rows, places_of
from framegate.schemas.clip import VideoFacts
from framegate.schemas.keys import id_numbers
from framegate.schemas.start_time import WallClock
from framegate.schemas.tables import FACT_NAMES, INPUT_PREFIX, VIDEO_STATES
from framegate.schemas.video_row import inputs_table


def inputs_of(found: pa.Table) -> dict[str, pa.ChunkedArray]:
    """The columns of manifests of rows of FOUND, and texts of side files, which are packed there; with the prefix."""
    columns = {name: found.column(name) for name in input_names(found)}
    packed = found.column("inputs")
    if not pc.call_function("binary_length", [packed]).to_numpy().any():
        return columns
    texts = [_unpack(data) for data in packed.to_pylist()]
    for name in sorted({name for row in texts for name in row}):
        column = pa.chunked_array([pa.array([row.get(name) for row in texts], pa.string())])
        columns[INPUT_PREFIX + name] = column
    return columns


def corrected_inputs(found: pa.Table, log: VideoLog, *, besides: pa.Table, with_texts: bool) -> pa.Table:
    """The rows of the log, brought up to date, of videos of which the input says something else now.

    `found` are rows of FOUND that are there; videos that have a row in `besides` are left out. A column that the input
    does not have stays as it is. `with_texts`: side files are looked at as well, each of which is unpacked for it.
    """
    columns = inputs_of(found) if with_texts else {name: found.column(name) for name in input_names(found)}
    if not columns or not log.is_begun:
        return VIDEO_STATES.empty_table()
    ids = np.setdiff1d(id_numbers(found.column("video_id")), id_numbers(besides.column("video_id")))
    known = log.rows(np.intersect1d(ids, log.ids))
    places = pa.array(places_of(known, found))
    now = {name: column.take(places) for name, column in columns.items()}
    is_other = np.zeros(known.num_rows, np.bool_)
    for name, column in now.items():
        before = known.column(name) if name in known.column_names else pa.chunked_array([pa.nulls(len(column))])
        is_other |= differ(column, before)
    return join_rows([in_place_of(known, now).filter(pa.array(is_other))])


def with_start_times(rows: pa.Table, clock: WallClock, *, before: datetime) -> pa.Table:
    """The rows of the log with the time at which each video began, where the clock can tell; `before` as it has it."""
    if not clock.sources or not rows.num_rows:
        return rows
    names = {INPUT_PREFIX + name: name for name in clock.sources if INPUT_PREFIX + name in rows.column_names}
    wanted = [*names, *FACT_NAMES, "started_at"]
    starts = [_start(row, names, clock, before) for row in rows.select(wanted).to_pylist()]
    return in_place_of(
        rows, {"started_at": pa.chunked_array([pa.array(starts, VIDEO_STATES.field("started_at").type)])}
    )


def _start(row: Mapping[str, Any], names: Mapping[str, str], clock: WallClock, before: datetime) -> Any:
    facts = VideoFacts(**{name: row[name] for name in FACT_NAMES}) if row["container"] is not None else None
    inputs = {name: row[prefixed] for prefixed, name in names.items()}
    found = clock.start_of(inputs, facts, before=before)
    return row["started_at"] if found is None else found


def _unpack(data: bytes) -> Mapping[str, Any]:
    table = inputs_table(data)
    return {} if table is None else table.to_pylist()[0]
