"""`framegate bench decode`, on a tiny film: every system gives the same pictures, and whoever does not is named."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from framegate.jobs.cli import app
from framegate.pipelines.lab.bench.decode import measure as bench
from framegate.pipelines.lab.bench.decode.films import Film, make_film
from framegate.pipelines.lab.bench.decode.measure import Outcome, picture_difference
from framegate.pipelines.lab.bench.decode.systems import ray_read_videos
from framegate.pipelines.lab.bench.decode.work import plan_work
from framegate.pipelines.lab.bench.decode.worker import shrink
from framegate.pipelines.lab.bench.processes import family, rss_bytes, usage

OURS = ("framegate_sandbox", "framegate_in_process")
QUICK = (*OURS, "decord", "pyav_sequential")
TINY = Film(name="tiny", height=72, width=128, seconds=2, bits_per_second=100_000, scene_seconds=2, gop_seconds=1)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("films") / "tiny.mp4"
    make_film(TINY, path)
    return path


@pytest.fixture(scope="module")
def framegate() -> Callable[..., Result]:
    runner = CliRunner()
    return lambda *arguments: runner.invoke(app, [str(argument) for argument in arguments])


def test_every_system_is_measured_and_gives_the_same_pictures(
    framegate: Callable[..., Result], tiny: Path, tmp_path: Path
) -> None:
    report = tmp_path / "rows.json"
    result = framegate(
        "bench", "decode", tiny, "--repeats", 1, "--tasks", "sparse", "--systems", ",".join(QUICK), "--json", report
    )
    assert result.exit_code == 0, result.output
    assert "tiny.mp4, sparse: 10 frames" in result.output
    document = json.loads(report.read_text())
    assert document["command"] == "bench decode"
    rows = {row["system"]: row for row in document["rows"]}
    assert tuple(rows) == QUICK
    for row in rows.values():
        assert (row["file"], row["task"], row["num_frames"], row["num_repeats"]) == ("tiny.mp4", "sparse", 10, 1)
        assert row["complaint"] is None
        assert row["picture_difference"] <= bench.MAX_DIFFERENCE
        assert row["seconds"] > 0
        assert row["start_seconds"] > 0
        assert row["cpu_seconds"] >= 0
        assert row["frames_per_second"] == pytest.approx(10 * row["videos_per_second"])
        assert row["bytes_read_fraction"] > 0
        assert row["peak_rss_mib"] > 20
        assert row["speedup"] == pytest.approx(rows["decord"]["seconds"] / row["seconds"])
        own_seconds, in_process_seconds = row["seconds"], rows["framegate_in_process"]["seconds"]
        assert row["ratio_to_in_process"] == pytest.approx(own_seconds / in_process_seconds)
    assert rows["framegate_sandbox"]["picture_difference"] == 0
    assert all(rows[system]["bytes_read_fraction"] <= 1.0 for system in OURS)


def test_ray_takes_the_wanted_frames_out_of_its_stream(ray_cluster: None, tiny: Path) -> None:
    work = plan_work(tiny, "dense")
    # Within the cluster that the tests share; only what it takes from a film is looked at.
    with pytest.MonkeyPatch.context() as patched:
        import ray

        patched.setattr(ray, "shutdown", lambda: None)
        with ray_read_videos() as take:
            frames_THWC = take(work).frames_THWC
    assert frames_THWC.shape == (len(work.frame_indices), work.height, work.width, 3)
    bits = shrink(frames_THWC)[:, -1, :16].mean(axis=-1) > 127
    assert [int(sum(1 << place for place in np.flatnonzero(row))) for row in bits] == list(work.frame_indices)


def test_other_frames_fewer_frames_and_no_result_are_each_named(
    framegate: Callable[..., Result], tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = np.zeros((10, 18, 32, 3), np.float32)
    wrong = right.copy()
    wrong[4, 17, 3] = 200  # one bit of one number

    def outcome(thumbnails: np.ndarray) -> Outcome:
        return Outcome(
            start_seconds=1, seconds=2, cpu_seconds=2, bytes_read=9, peak_rss_bytes=2**20, thumbnails=thumbnails
        )

    outcomes = {
        "framegate_sandbox": "gave no result: cannot decode",
        "framegate_in_process": outcome(right),
        "decord": outcome(wrong),
        "pyav_sequential": outcome(right[:9]),
    }
    monkeypatch.setattr(bench, "run_once", lambda system, *_: outcomes[system])
    result = framegate("bench", "decode", tiny, "--repeats", 2, "--tasks", "sparse", "--systems", ",".join(QUICK))
    assert result.exit_code == 1
    assert "framegate_sandbox: gave no result: cannot decode" in result.output
    assert "decord: gave other frames than the rest" in result.output
    assert "pyav_sequential: gave 9 of 10 frames" in result.output
    assert "framegate_in_process: " not in result.output


def test_a_system_that_dies_says_its_last_words(tiny: Path, tmp_path: Path) -> None:
    work = plan_work(tiny, "sparse")
    told = bench.run_once("no_such_system", work, work, tmp_path / "outcome.npz")
    assert told == "gave no result: KeyError: 'no_such_system'"


def test_unknown_systems_and_tasks_are_refused(framegate: Callable[..., Result], tiny: Path) -> None:
    for option in ("--systems", "--tasks"):
        result = framegate("bench", "decode", tiny, option, "decord,opencv")
        assert result.exit_code == 2
        assert f"{option}: " in result.output
        assert "is unknown; use some of: " in result.output


def test_a_difference_is_seen_in_a_single_cell_and_fewer_frames_are_no_match() -> None:
    one = np.full((3, 18, 32, 3), 100, np.float32)
    other = one.copy()
    other[2, 5, 6, 1] = 160
    assert picture_difference(one, one) == 0
    assert picture_difference(one, other) == 60
    assert picture_difference(one, one[:2]) == float("inf")


@pytest.mark.parametrize("size", [(18, 32), (36, 64), (336, 588), (101, 203)])
def test_a_thumbnail_is_the_mean_of_its_cells(size: tuple[int, int]) -> None:
    frames = np.random.default_rng(0).integers(0, 256, (2, *size, 3), dtype=np.uint8)
    thumbnails = shrink(frames)
    assert thumbnails.shape == (2, 18, 32, 3)
    first = frames[1, : size[0] // 18, : size[1] // 32].reshape(-1, 3)
    np.testing.assert_allclose(thumbnails[1, 0, 0], first.mean(axis=0), rtol=1e-5)


def test_this_process_is_in_its_own_family_and_uses_something() -> None:
    assert os.getpid() in family(os.getpid())
    assert rss_bytes([os.getpid()]) > 10 * 2**20
    before = usage(os.getpid())
    Path(__file__).read_bytes()
    assert usage(os.getpid()).bytes_read - before.bytes_read >= Path(__file__).stat().st_size
