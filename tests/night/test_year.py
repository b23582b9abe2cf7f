"""A year of nights, each sealed by itself: as few files as days and cameras allow, and every row once."""

from __future__ import annotations

import os
from pathlib import Path

import duckdb
import pyarrow.parquet as pq
import pytest

from framegate.pipelines.audit.audit import audit
from framegate.pipelines.commit.output import Output
from framegate.pipelines.commit.seal import seal
from framegate.pipelines.lab.bench.query.s3_nights import PARTITION_BY, commit_night
from framegate.pipelines.lab.bench.query.synthetic_rows import CONFIG_ID, Archive

pytestmark = pytest.mark.skipif(
    "FRAMEGATE_YEAR" not in os.environ, reason="takes half an hour: FRAMEGATE_YEAR=1 pytest tests/night/test_year.py"
)
NUM_NIGHTS = 365
ARCHIVE = Archive(num_nights=NUM_NIGHTS, num_videos=100, num_cameras=10, num_clips=2, num_questions=2)
LATE_CAMERA, LATE_EVERY = 3, 7  # every so many nights, the videos of this camera come one night late
FILE_BYTES = 2**20


def live_a_year(output: Output, **options: object) -> None:
    late: list[int] = []
    for night in range(NUM_NIGHTS):
        for before in late:
            commit_night(output, ARCHIVE, before, [LATE_CAMERA])
        late = [night] if night % LATE_EVERY == 0 and night + 1 < NUM_NIGHTS else []
        commit_night(output, ARCHIVE, night, [n for n in range(ARCHIVE.num_cameras) if not late or n != LATE_CAMERA])
        seal(output, CONFIG_ID, **options)


def check_rows(output: Output) -> None:
    keys = "count(*), count(DISTINCT (video_id, clip_index, question_hash))"
    glob = f"{output.root}/results/**/*.parquet"
    assert duckdb.execute(f"SELECT {keys} FROM read_parquet(?)", [glob]).fetchall() == [(ARCHIVE.num_rows,) * 2]
    checks = audit(output).checks
    assert {check.name for check in checks if check.num_findings} <= {"planned"}, "there are no plans here"


def test_a_year_by_camera_and_day_has_one_file_for_each(tmp_path: Path) -> None:
    output = Output.at(str(tmp_path / "index"))
    live_a_year(output, partition_by=PARTITION_BY)
    folders = [file.parent for file in Path(output.root, "results").rglob("*.parquet")]
    assert len(folders) == len(set(folders)) == NUM_NIGHTS * ARCHIVE.num_cameras
    check_rows(output)


def test_a_year_without_partitions_has_as_many_files_as_its_bytes_fill_and_one(tmp_path: Path) -> None:
    output = Output.at(str(tmp_path / "index"))
    live_a_year(output, file_bytes=FILE_BYTES)
    files = sorted(Path(output.root, "results").rglob("*.parquet"))
    sizes = [file.stat().st_size for file in files]
    assert all(size >= FILE_BYTES for size in sizes[:-1])
    assert len(files) <= sum(sizes) // FILE_BYTES + 1
    rows_of_a_file = [pq.read_metadata(file).num_rows for file in files]
    assert len(files) <= ARCHIVE.num_rows // min(rows_of_a_file[:-1]) + 1
    check_rows(output)
