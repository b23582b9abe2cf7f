"""Thirty nights of an archive on S3, behind a line on which each request takes 30 ms: commands, seconds, requests.

The output comes about as a real one does: units are committed to the journal, and each night is sealed. The server is
real, and runs on this machine.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from framegate.pipelines.commit.output import Output
from framegate.pipelines.commit.records import record_config, record_plan
from framegate.pipelines.commit.run_folding import fold_old_runs
from framegate.pipelines.commit.runs import create_run
from framegate.pipelines.commit.seal import seal
from framegate.pipelines.commit.unit_format import encode_unit
from framegate.pipelines.lab.bench.query.synthetic_rows import CONFIG_ID, Archive, question_hash, question_id, rows_of
from framegate.pipelines.lab.bench.s3_proxy import Answer, Proxy, Request
from framegate.pipelines.lab.bench.s3_server import s3_server
from framegate.pipelines.store import Store
from framegate.schemas.config import OutputConfig
from framegate.schemas.errors import FramegateError
from framegate.schemas.tables import JOURNAL

PARTITION_BY: Final = ("camera", "taken.date")
BUCKET: Final = "framegate-bench"
PUT_THREADS: Final = 8
_KEYS: Final = {"AWS_ACCESS_KEY_ID": "framegate", "AWS_SECRET_ACCESS_KEY": "framegate", "AWS_REGION": "us-east-1"}


@dataclass(frozen=True, kw_only=True)
class CommandFigures:
    """One command, as a process of its own: the median of its seconds, Python's start included, and its requests."""

    command: str
    seconds: float
    num_requests: int
    num_listings: int
    num_objects_read: int


def measure_s3(
    archive: Archive, *, delay_seconds: float, repeats: int, on_step: Callable[[str], None]
) -> Iterator[CommandFigures]:
    """Figures of each command. Raises FramegateError where one fails."""
    with (
        tempfile.TemporaryDirectory(prefix="framegate-bench-s3-") as folder,
        _environment(_KEYS),
        s3_server(Path(folder)) as endpoint,
        _SlowLine(endpoint, delay_seconds) as line,
    ):
        on_step("nights made")
        root = f"s3://{BUCKET}/index"
        make_nights(root, archive, endpoint)
        for command, arguments in _commands(root, archive).items():
            on_step(command)
            yield _measure(command, arguments, line, repeats)


def make_nights(root: str, archive: Archive, endpoint: str) -> None:
    """An output at `root` that holds all nights, each sealed for itself, with the record of its run."""
    options = {"endpoint_url": endpoint}
    output = Output.open(OutputConfig(uri=root, storage_options=options))
    Store(options).filesystem(root)[0].mkdir(BUCKET)
    record_config(output, CONFIG_ID, {"model": {"name": "synthetic"}})
    for night in range(archive.num_nights):
        commit_night(output, archive, night)
        seal(output, CONFIG_ID, partition_by=PARTITION_BY)
        _record_run(output, archive, night)


def commit_night(output: Output, archive: Archive, night: int, cameras: Iterable[int] | None = None) -> None:
    """One journal object for each video of a night, of all cameras or of some, without a seal."""
    per_video = archive.num_clips * archive.num_questions
    asked = [(question_hash(number), 1) for number in range(archive.num_questions)]
    kind = pa.field("row_kind", pa.string())
    with ThreadPoolExecutor(PUT_THREADS) as threads:
        for camera in range(archive.num_cameras) if cameras is None else cameras:
            rows = rows_of(archive, night, camera)
            rows = rows.append_column(kind, pa.repeat("answer", rows.num_rows))
            missing = [field for field in JOURNAL if field.name not in rows.column_names]
            for field in missing:
                rows = rows.append_column(field, pa.nulls(rows.num_rows, field.type))
            units = (rows.slice(first, per_video) for first in range(0, rows.num_rows, per_video))
            named = [
                (
                    output.layout.unit(
                        CONFIG_ID, unit["video_id"][0].as_py(), clip_indexes=range(archive.num_clips), questions=asked
                    ),
                    unit,
                )
                for unit in units
            ]
            for _ in threads.map(lambda one: output.store.put_once(one[0], encode_unit(one[1])), named):
                pass  # raises what a put raised


def _record_run(output: Output, archive: Archive, night: int) -> None:
    run_id = archive.run_id(night)
    started_at = datetime.combine(archive.night(night), datetime.min.time()) + timedelta(days=1, hours=1)
    fold_old_runs(output, started_at.replace(tzinfo=UTC))  # as a run does when it begins
    counts = {"num_clips": archive.num_videos * archive.num_clips, "num_failures": 0, "num_thinking": 0}
    figures = {"num_videos_planned": archive.num_videos, "num_videos_answered": archive.num_videos}
    record = {
        "run_id": run_id, "config_id": CONFIG_ID, "started_at": f"{started_at.isoformat()}+00:00", "state": "complete",
        "elapsed_seconds": 3600.0, "is_complete": True, "counts": counts, **figures, "num_videos_failed": 0,
        "num_videos_skipped": 0, "num_videos_left": 0, "stop_code": None, "stop_reason": None,
    }  # fmt: skip
    create_run(output, run_id, record)
    videos = [
        {"video_id": row["video_id"], "video_uri": row["video_uri"], "video_version": "1", "question_hashes": [],
         "config_id": CONFIG_ID}
        for camera in range(archive.num_cameras)
        for row in rows_of(archive, night, camera).group_by(["video_id", "video_uri"]).aggregate([]).to_pylist()
    ]  # fmt: skip
    record_plan(output, run_id, pa.Table.from_pylist(videos))


def _commands(root: str, archive: Archive) -> dict[str, list[str]]:
    sql = (
        "SELECT taken_date, answer, count(*) AS n FROM answers"
        f" WHERE question_id = '{question_id(0)}' AND camera = '{archive.cameras[0]}' GROUP BY ALL"
    )
    return {
        "query, filtered": ["query", sql, "--output", root, "--format", "csv"],
        "query, failures": ["query", "SELECT reason, count(*) AS n FROM failures GROUP BY 1", "--output", root],
        "status": ["status", root],
    }


def _measure(command: str, arguments: list[str], line: _SlowLine, repeats: int) -> CommandFigures:
    seconds = []
    environment = {**os.environ, "AWS_ENDPOINT_URL": line.endpoint}
    for _ in range(repeats + 1):  # the first one fills caches of Python's files
        line.clear()
        began = time.perf_counter()
        process = [sys.executable, "-m", "framegate", *arguments]
        done = subprocess.run(process, env=environment, capture_output=True, text=True, check=False)
        seconds.append(time.perf_counter() - began)
        if done.returncode:
            raise FramegateError(f"'{command}' ended with {done.returncode}: {done.stderr[-2000:]}")
    return CommandFigures(
        command=command,
        seconds=statistics.median(seconds[1:]),
        num_requests=line.kinds.total(),
        num_listings=line.kinds["listing"],
        num_objects_read=line.kinds["read"],
    )


class _SlowLine(Proxy):
    """A way to the server on which each request takes `delay_seconds` longer. `kinds` counts them."""

    def __init__(self, endpoint: str, delay_seconds: float) -> None:
        super().__init__(endpoint, self._decide)
        self.kinds: Counter[str] = Counter()
        self._delay_seconds = delay_seconds
        self._lock = threading.Lock()

    def clear(self) -> None:
        self.kinds = Counter()

    def _decide(self, request: Request, serve: Callable[[], Answer]) -> Answer:
        is_listing = "list-type=2" in request.target
        with self._lock:
            self.kinds["listing" if is_listing else "read" if request.method == "GET" else "other"] += 1
        time.sleep(self._delay_seconds)
        return serve()


@contextmanager
def _environment(variables: dict[str, str]) -> Iterator[None]:
    """The server and the commands take their keys from the environment."""
    before: dict[str, Any] = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})
