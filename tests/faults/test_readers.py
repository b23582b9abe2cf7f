"""DuckDB, pandas and Polars read results/ by a plain glob while runs and seals go on beside them."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import duckdb
import pandas as pd
import polars as pl
import pytest

from framegate.pipelines.lab.bench.faults.small_archive import QUESTIONS, make_archive, make_model

NUM_ROUNDS = 8
MAX_TRIES = 5
WRITER = """
import json, sys
from pathlib import Path
from framegate.pipelines import flow
from framegate.pipelines.reason.engines.scripted import ScriptedEngine
from framegate.schemas.job import parse_job

values = json.loads(Path(sys.argv[1]).read_text())
for number in range(int(sys.argv[2])):
    question = {"id": f"more{number}", "text": f"Is it number {number}?", "type": "yes_no"}
    flow.run(
        parse_job({**values, "questions": [*values["questions"], question]}),
        engine_factory=ScriptedEngine,
        in_process=True,
    )
"""
Seen = tuple[int, int]  # rows, and different keys


def with_duckdb(root: Path) -> Seen:
    found = duckdb.sql(
        "SELECT count(*), count(DISTINCT (video_id, clip_index, question_hash, config_id))"
        f" FROM read_parquet('{root}/**/*.parquet', hive_partitioning = true)"
    ).fetchall()
    return found[0]


def with_pandas(root: Path) -> Seen:
    frame = pd.read_parquet(root)
    return len(frame), len(frame[["video_id", "clip_index", "question_hash", "config_id"]].drop_duplicates())


def with_polars(root: Path) -> Seen:
    """Polars opens a file twice. Where it was begun or written anew in between it says so, and is asked again."""
    for _ in range(MAX_TRIES):
        with suppress(pl.exceptions.ComputeError, pl.exceptions.PanicException):
            return _with_polars(root)
    return _with_polars(root)


def _with_polars(root: Path) -> Seen:
    frame = pl.scan_parquet(f"{root}/**/*.parquet", hive_partitioning=True).collect()
    return len(frame), frame.select("video_id", "clip_index", "question_hash", "config_id").n_unique()


READERS: dict[str, Callable[[Path], Seen]] = {"duckdb": with_duckdb, "pandas": with_pandas, "polars": with_polars}


@pytest.mark.parametrize("partition_by", [[], ["camera", "written_at.date"]], ids=["plain", "partitioned"])
def test_readers_never_meet_a_key_twice_and_agree(tmp_path: Path, partition_by: list[str]) -> None:
    archive = make_archive(tmp_path / "videos")
    lines = ["uri,camera", *(f"{path},camera {number % 2}" for number, path in enumerate(archive))]
    (tmp_path / "manifest.csv").write_text("\n".join(lines), encoding="utf-8")
    job = {
        "input": {"videos": str(tmp_path / "manifest.csv")},
        "clips": {"seconds": 2},
        "frames": {"fps": 2, "max_frames": 4},
        "questions": QUESTIONS,
        "model": {"name": str(make_model(tmp_path / "model"))},
        "output": {"uri": str(tmp_path / "index"), "file_bytes": 4096, "partition_by": partition_by},
        "run": {"second": "beside"},
    }
    (tmp_path / "job.json").write_text(json.dumps(job), encoding="utf-8")
    (tmp_path / "writer.py").write_text(WRITER, encoding="utf-8")
    command = [sys.executable, str(tmp_path / "writer.py"), str(tmp_path / "job.json"), str(NUM_ROUNDS)]
    results = tmp_path / "index" / "results"
    seen: dict[str, list[Seen]] = {name: [] for name in READERS}
    # Two writers of the same job: each seals what the other one has committed.
    writers = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    try:
        while any(writer.poll() is None for writer in writers):
            if not any(results.rglob("*.parquet")):
                time.sleep(0.02)
                continue
            for name, read in READERS.items():
                seen[name].append(read(results))
    finally:
        errors = [writer.communicate()[1] for writer in writers]
    assert [writer.returncode for writer in writers] == [0, 0], errors
    for counts in seen.values():
        assert len(counts) >= 3
        assert all(num_rows == num_keys for num_rows, num_keys in counts)
        assert counts == sorted(counts), "rows that were there are gone"
    assert {read(results) for read in READERS.values()} == {(6 * (2 + NUM_ROUNDS),) * 2}
