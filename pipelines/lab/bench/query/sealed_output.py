"""An output of synthetic rows on a local disk, as sealing leaves it: one partition a camera, files with records.

Millions of journal objects would take longer to make than all that is measured, so that the files are encoded here by
the sealer's own functions, and recorded in its log.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import asdict
from datetime import UTC, datetime, time
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from framegate.pipelines.commit.growth import Mark
from framegate.pipelines.commit.output import Output
from framegate.pipelines.commit.partition import fix_partitioning
from framegate.pipelines.commit.seal_log import SealLog, SealRecord
from framegate.pipelines.commit.sealed_file import SealedFile
from framegate.pipelines.commit.sealed_parquet import ROW_GROUP_ROWS, SORTED_BY, encode_sealed, sort_order
from framegate.pipelines.lab.bench.query.synthetic_rows import (
    CONFIG_ID,
    INPUTS,
    SCHEMA,
    Archive,
    rows_of,
    video_id,
)
from framegate.pipelines.store import join
from framegate.schemas.counts import Counts
from framegate.schemas.tables import FAILURES

PARTITION_BY: Final = ("camera",)
NIGHTS_PER_FILE: Final = 15  # about 128 MiB a file at 10 million rows
FAILED_EVERY: Final = 200  # of so many videos one failed and was answered later, and another one is no video
FAILURES_SCHEMA: Final = pa.schema([*FAILURES, *INPUTS])


def make_output(folder: Path, archive: Archive, *, on_done: Callable[[int], None] = lambda num_rows: None) -> Output:
    """The output below `folder`; where one was begun and not finished, it is made again. `on_done`: rows so far."""
    root, ready = folder / "index", folder / "ready.json"
    output = Output.at(str(root))
    wanted = {**asdict(archive), "sorted_by": [*SORTED_BY], "columns": SCHEMA.names}
    if ready.exists() and json.loads(ready.read_text()) == wanted:
        return output
    shutil.rmtree(folder, ignore_errors=True)
    fix_partitioning(output, PARTITION_BY)
    log, num_rows, seal = SealLog(output, CONFIG_ID), 0, -1
    for seal, (table, camera, rows) in enumerate(_files(archive)):
        file = _put(output, table, f"camera={archive.cameras[camera]}", seal, rows)
        log.add_record(_record(seal, file))
        num_rows += rows.num_rows
        on_done(num_rows)
    log.fold(seal + 1)
    ready.write_text(json.dumps(wanted))
    return output


def _files(archive: Archive) -> Iterator[tuple[str, int, pa.Table]]:
    for camera in range(archive.num_cameras):
        yield "failures", camera, _failures(archive, camera)
        for first in range(0, archive.num_nights, NIGHTS_PER_FILE):
            nights = range(first, min(first + NIGHTS_PER_FILE, archive.num_nights))
            yield "results", camera, pa.concat_tables([rows_of(archive, night, camera) for night in nights])


def _put(output: Output, table: str, partition: str, seal: int, rows: pa.Table) -> SealedFile:
    rows = rows.take(pa.array(sort_order(table, rows)))
    schema = SCHEMA if table == "results" else FAILURES_SCHEMA
    groups = (rows.slice(first, ROW_GROUP_ROWS).combine_chunks() for first in range(0, rows.num_rows, ROW_GROUP_ROWS))
    mark = Mark(seal=seal, num_new_rows=rows.num_rows)
    data = encode_sealed(groups, schema, metadata=mark.to_metadata(), is_checked=False)
    uri = output.layout.sealed(table, CONFIG_ID, partition, seal)
    output.store.put_once(uri, data)
    return SealedFile.of(uri.removeprefix(join(output.root, "")), data, mark)


def _record(seal: int, file: SealedFile) -> SealRecord:
    counts = Counts(num_answers=file.num_rows) if file.table == "results" else Counts(num_failures=file.num_rows)
    return SealRecord(seal=seal, files=(file,), runs={"of-no-run": counts}, num_units=0, num_duplicates=0, num_erased=0)


def _failures(archive: Archive, camera: int) -> pa.Table:
    """Of one camera: one video of two hundred failed once and was answered later, and as many are no video."""
    rows = []
    for night in range(archive.num_nights):
        for uri in archive.videos_of(night, camera)[::FAILED_EVERY]:
            rows.append(_failure(archive, night, uri, "decode_timeout", archive.cameras[camera]))
            rows.append(_failure(archive, night, f"{uri}.txt", "not_video", archive.cameras[camera]))
    return pa.Table.from_pylist(rows, schema=FAILURES_SCHEMA)


def _failure(archive: Archive, night: int, uri: str, reason: str, camera: str) -> dict[str, Any]:
    return {
        "video_uri": uri, "video_id": video_id(uri), "clip_is_last": True, "stage": "decode", "reason": reason,
        "message": "The file is text.", "attempts": 1, "run_id": archive.run_id(night),
        "written_at": datetime.combine(archive.night(night), time(1), UTC), "input_camera": camera,
    }  # fmt: skip
