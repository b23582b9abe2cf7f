"""Whole processes beside each other: the same films answered, every process named, every request counted."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from framegate.jobs.lab.bench import app
from framegate.pipelines.lab.bench.driver.films import make_films
from framegate.pipelines.lab.bench.driver.measure import Measured, System, Workbench, environment_of, read_progress
from framegate.pipelines.lab.bench.driver.report import kind_rows, system_rows
from framegate.pipelines.lab.bench.driver.sampled import KindFigures, Sampler
from framegate.schemas.errors import ConfigError

ROOT = Path(__file__).resolve().parents[4]
NUM_VIDEOS = 64  # for two decode workers: blocks of 8


def test_films_are_videos_of_their_own_and_share_their_bytes(tmp_path: Path) -> None:
    films = make_films(tmp_path, 70)
    assert len(set(films)) == 70
    assert len({film.stat().st_ino for film in films}) == 32


@pytest.fixture
def look_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """So few films are answered in a second, in which two looks would not meet every kind of process."""
    monkeypatch.setattr("framegate.pipelines.lab.bench.driver.sampled.LOOK_SECONDS", 0.05)


@pytest.mark.usefixtures("look_often")
def test_a_run_and_its_requests(tmp_path: Path) -> None:
    report = tmp_path / "driver.json"
    words = [
        "driver",
        "--videos",
        str(NUM_VIDEOS),
        "--repeats",
        "1",
        "--only-ours",
        "--requests",
        "--json",
        str(report),
    ]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output
    run, *requests = json.loads(report.read_text())["rows"]
    assert (run["system"], run["num_videos"], run["num_rows"]) == ("framegate", NUM_VIDEOS, 4 * NUM_VIDEOS)
    assert 0 < run["videos_per_second"] < NUM_VIDEOS
    kinds = {figures["kind"] for figures in run["kinds"]}
    assert {"driver", "decode worker", "answer worker", "decoder", "raylet"} <= kinds
    found = {(row["operation"], row["folder"]): row["requests"] for row in requests}
    # One journal object a unit, created once and read once by the seal: nothing is looked up before it is asked.
    assert found["PUT", "journal"] == found["GET", "journal"] == NUM_VIDEOS
    assert found["PUT", "attempts"] == 2 * NUM_VIDEOS / 8, "a marker of a block before decoding, another before asking"
    assert ("GET", "attempts") not in found
    assert "requests a unit" in result.output


@pytest.mark.usefixtures("look_often")
def test_bare_ray_data_answers_the_same_films(tmp_path: Path) -> None:
    num_videos = 4 * NUM_VIDEOS
    bench = Workbench(tmp_path, num_videos, decode_workers=1)
    measured = bench.measure(System(name="bare_16", per_block=16))
    assert (measured.num_videos, measured.num_rows) == (num_videos, 4 * num_videos)
    # A worker bears its name while it is at a block, and one that answers by a constant is so for a moment.
    assert {"driver", "decode worker"} <= {figures.kind for figures in measured.kinds}


def test_another_checkout_is_imported_in_place_of_this_one(tmp_path: Path) -> None:
    other = tmp_path / "other"
    for name in ("jobs", "pipelines", "schemas"):
        (other / name).mkdir(parents=True)
        (other / name / "__init__.py").touch()
    (other / "jobs" / "framegate").mkdir()
    (other / "jobs" / "framegate" / "__init__.py").touch()
    (other / "pipelines" / "flow.py").write_text("name = 'the other one'\n")
    (tmp_path / "names").mkdir()
    script = "from framegate.pipelines import flow; print(flow.name)"
    environment = environment_of(other, tmp_path / "names")
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True)
    assert done.stdout == "the other one\n", done.stderr
    with pytest.raises(ConfigError, match=r"is no checkout of this program: pipelines/flow\.py is not there"):
        environment_of(tmp_path, tmp_path / "names")


def test_memory_that_grows_with_each_video_shows_as_a_slope(tmp_path: Path) -> None:
    script = """
import sys, time
kept = []
with open(sys.argv[1], "w", buffering=1) as file:
    for number in range(0, 60):
        kept.append(bytearray(b"x") * 1_000_000)
        file.write(f"{time.monotonic()} {10 * (number + 1)}\\n")
        time.sleep(0.1)
"""
    progress = tmp_path / "progress"
    process = subprocess.Popen([sys.executable, "-c", script, str(progress)])
    sampler = Sampler(process.pid)
    process.wait()
    sampler.stop()
    begun = read_progress(progress)
    assert (len(begun), begun[-1][1]) == (60, 600)
    [figures] = sampler.figures(begun)
    assert figures.kind == "driver"
    assert figures.grown_bytes_per_video == pytest.approx(100_000, rel=0.2)
    assert figures.peak_bytes > 50_000_000


def test_a_child_is_found_and_one_that_is_over_is_remembered() -> None:
    child = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'import time; time.sleep(1.2)'])"
    process = subprocess.Popen([sys.executable, "-c", child])
    sampler = Sampler(process.pid)
    process.wait()
    time.sleep(0.6)
    sampler.stop()
    assert {figures.kind for figures in sampler.figures([])} == {"driver", "other"}
    assert os.getpid() != process.pid


def measured(system: str, seconds: float, *kinds: KindFigures) -> Measured:
    return Measured(
        system=system, num_videos=100, num_rows=400, seconds=seconds, steady_per_second=None, kinds=tuple(kinds)
    )


def test_rows_are_medians_and_ratios_are_of_one_turn() -> None:
    figures = KindFigures(
        kind="driver", num_processes=1, cpu_seconds=2.0, peak_bytes=2**30, last_bytes=2**20, grown_bytes_per_video=None
    )
    runs = [measured("framegate", 10, figures), measured("bare_16", 5), measured("bare_16", 8)]
    runs.append(measured("framegate", 10, figures))
    ours, bare = system_rows(runs)
    assert (ours["system"], ours["videos/s"], ours["ratio"]) == ("framegate", 10, (0.5 + 0.8) / 2)
    assert bare["ratio"] == 1
    assert ours["cpu ms a video"] == 20
    [row] = kind_rows(runs)
    assert (row["process"], row["cpu ms a video"], row["peak MiB"], row["grows kB a video"]) == (
        "driver",
        20,
        1024,
        None,
    )
