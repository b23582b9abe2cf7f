"""A long film decoded by several workers on Ray gives the rows of one worker, also after a stop in the middle."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

import av
import duckdb
import numpy as np
import pytest

from framegate.pipelines import flow
from framegate.pipelines.plan import parts
from framegate.pipelines.reason.engines.scripted import ScriptedEngine
from framegate.schemas.job import Job
from framegate.schemas.run import Progress

pytestmark = pytest.mark.usefixtures("ray_cluster")
QUESTIONS = [{"id": "red", "text": "Is it red?", "type": "yes_no"}]
NUM_CLIPS = 4 * 64
SIDE = 96  # of a picture, in pixels
VOLATILE = "run_id, written_at, question_since, decode_seconds, engine_seconds, bytes_read"


@pytest.fixture
def archive(tmp_path: Path, make_video: Callable[..., Path]) -> Path:
    """A film of 64 s that does not compress, the same film cut off after two thirds, and three short ones."""
    folder = tmp_path / "videos"
    for number in range(3):
        make_video(folder / f"short{number}.mp4", seconds=1, shade=number)
    film, random = folder / "film.mp4", np.random.default_rng(0)
    write_film(film, (random.integers(0, 256, (SIDE, SIDE, 3), np.uint8) for _ in range(8 * 64)), fps=8)
    data = film.read_bytes()
    (folder / "cut.mp4").write_bytes(data[: 2 * len(data) // 3])
    return folder


def write_film(path: Path, pictures: Iterable[np.ndarray], *, fps: int) -> None:
    with av.open(str(path), "w", options={"movflags": "faststart"}) as container:
        stream = container.add_stream("libx264", rate=fps, options={"crf": "8"})
        stream.width = stream.height = SIDE
        stream.pix_fmt = "yuv420p"
        stream.codec_context.gop_size = 16
        for picture in pictures:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))


@pytest.fixture
def make_long_job(make_job: Callable[..., Job], tmp_path: Path) -> Callable[..., Job]:
    def make(name: str, num_workers: int) -> Job:
        return make_job(
            questions=QUESTIONS,
            clips={"seconds": 0.25, "min_seconds": 0},
            frames={"fps": 4, "max_frames": 4},
            output={"uri": str(tmp_path / name)},
            ray={"decode_workers": num_workers},
        )

    return make


def rows(job: Job, table: str) -> list[tuple]:
    columns = VOLATILE if table == "results" else "run_id, written_at, bytes_read"
    found = duckdb.sql(f"SELECT * EXCLUDE ({columns}) FROM '{job.config.output.uri}/{table}/**/*.parquet'")
    return sorted(found.fetchall(), key=str)


def test_parts_give_the_rows_of_one_worker_and_a_stopped_run_goes_on_with_other_parts(
    make_long_job: Callable[..., Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    cut: list[list[int]] = []

    def order_work(*args: object, **options: object) -> object:
        work = real_order_work(*args, **options)
        cut.append(sorted(set(work.column("num_parts").to_pylist())))
        return work

    real_order_work = parts.order_work
    monkeypatch.setattr(flow, "order_work", order_work)
    whole = make_long_job("whole", 1)
    assert flow.run(whole, engine_factory=ScriptedEngine).is_complete

    monkeypatch.setattr(parts, "MIN_PART_BYTES", 400_000)
    shared = make_long_job("shared", 3)
    assert flow.run(shared, engine_factory=ScriptedEngine).is_complete

    stopped = make_long_job("stopped", 3)
    counts: list[int] = []

    def stop(progress: Progress) -> None:
        counts.append(progress.counts.num_answers)
        if counts[-1] >= 80:
            raise KeyboardInterrupt

    # Else the workers of a slow machine are done before the driver has heard of 80 answers.
    slow = partial(ScriptedEngine, before_step=lambda asks: time.sleep(0.1))
    assert flow.run(stopped, engine_factory=slow, on_progress=stop).stop_reason is not None
    monkeypatch.setattr(parts, "MIN_PART_BYTES", 700_000)
    assert flow.run(make_long_job("stopped", 2), engine_factory=ScriptedEngine).is_complete

    assert cut[0] == [1]
    assert all(max(numbers) > 2 for numbers in cut[1:]), "nothing was decoded in parts"
    assert cut[2] != cut[3], "the second run had the parts of the first"
    answers, failures = rows(whole, "results"), rows(whole, "failures")
    assert len(answers) > NUM_CLIPS * 1.6
    assert [reason for reason in failures if "truncated" in str(reason)] == failures
    assert len(failures) == 1
    for job in (shared, stopped):
        assert rows(job, "results") == answers
        assert rows(job, "failures") == failures


def test_a_film_with_scenes_in_parts_gives_the_rows_of_one_worker(
    make_job: Callable[..., Job], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """200 s, a cut every five seconds; the workers share the scan of its four windows."""
    monkeypatch.setattr(parts, "MIN_PART_BYTES", 400_000)

    def draw(number: int) -> np.ndarray:
        colour = np.random.default_rng(number // 20).integers(40, 216, 3)
        return (colour + np.random.default_rng(number).integers(-30, 31, (SIDE, SIDE, 3))).astype(np.uint8)

    film = tmp_path / "videos" / "film.mp4"
    film.parent.mkdir(exist_ok=True)
    write_film(film, map(draw, range(4 * 200)), fps=4)
    assert film.stat().st_size > 3 * 400_000
    jobs = [
        make_job(
            questions=QUESTIONS,
            clips={"scenes": True, "seconds": 20, "min_seconds": 1},
            frames={"fps": 1, "max_frames": 2},
            output={"uri": str(tmp_path / name)},
            ray={"decode_workers": num_workers},
        )
        for name, num_workers in (("whole", 1), ("shared", 3))
    ]
    for job in jobs:
        assert flow.run(job, engine_factory=ScriptedEngine).is_complete
    answers = rows(jobs[0], "results")
    assert len(answers) > 30
    assert rows(jobs[1], "results") == answers
