"""The log of videos: the last state of each counts, and folding it loses none, whenever the process dies."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pytest

from framegate.pipelines.commit.output import Output
from framegate.pipelines.commit.tombstones import set_tombstones
from framegate.pipelines.commit.video_log import MAX_OBJECTS, add_to_video_log, read_video_log
from framegate.pipelines.failpoints import FAIL_AT, FAIL_WITH
from framegate.schemas.clip import make_video_id
from framegate.schemas.keys import uri_digest
from framegate.schemas.tables import VIDEO_STATES

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
NUM_NIGHTS = MAX_OBJECTS + 2


def change(night: int, state: str = "current") -> pa.Table:
    """What a night has seen: one new video, or another state of it."""
    uri = f"night{night}.mp4"
    row = {
        "video_uri": uri,
        "video_id": make_video_id(uri, "1"),
        "video_version": "1",
        "size_bytes": 5,
        "state": state,
        "first_seen": NOON,
        "since": NOON,
        "source": "videos/",
    }
    return pa.Table.from_pylist([row], schema=VIDEO_STATES)


def live(root: Path, nights: range) -> None:
    for night in nights:
        output = Output.at(str(root))
        add_to_video_log(output, change(night), read_video_log(output))


def states(root: Path) -> dict[str, str]:
    rows = read_video_log(Output.at(str(root))).rows().to_pylist()
    assert len({row["video_uri"] for row in rows}) == len(rows)
    return {row["video_uri"]: row["state"] for row in rows}


def objects(root: Path) -> int:
    return sum(1 for _ in Output.at(str(root)).list("videos"))


def in_a_process(root: Path, nights: range, **environment: str) -> subprocess.Popen[bytes]:
    code = (
        "import sys; from pathlib import Path; sys.path.insert(0, sys.argv[1])\n"
        "from tests.commit.test_video_log import live\n"
        "live(Path(sys.argv[2]), range(int(sys.argv[3]), int(sys.argv[4])))"
    )
    folder = str(Path(__file__).resolve().parents[2])
    arguments = [folder, str(root), str(nights.start), str(nights.stop)]
    return subprocess.Popen([sys.executable, "-c", code, *arguments], env={**os.environ, **environment}, cwd=folder)


EVERYTHING = {f"night{night}.mp4": "current" for night in range(NUM_NIGHTS)}


def test_a_month_of_nights_is_folded_into_one_object(tmp_path: Path) -> None:
    live(tmp_path, range(NUM_NIGHTS))
    assert states(tmp_path) == EVERYTHING
    assert objects(tmp_path) < MAX_OBJECTS // 2


def test_a_later_state_takes_the_place_of_an_earlier_one(tmp_path: Path) -> None:
    live(tmp_path, range(NUM_NIGHTS))
    output = Output.at(str(tmp_path))
    add_to_video_log(output, change(3, "gone"), read_video_log(output))
    assert states(tmp_path) == {**EVERYTHING, "night3.mp4": "gone"}


@pytest.mark.parametrize("place", ["videos.added:20", "videos.folded:1", "delete.before:1", "delete.after:1"])
def test_a_process_that_dies_while_it_folds_loses_no_state(place: str, tmp_path: Path) -> None:
    died = in_a_process(tmp_path, range(NUM_NIGHTS), **{FAIL_AT: place})
    assert died.wait(60) == -signal.SIGKILL
    live(tmp_path, range(NUM_NIGHTS))
    assert states(tmp_path) == EVERYTHING
    assert objects(tmp_path) < MAX_OBJECTS


def test_a_process_that_sleeps_while_it_folds_takes_nothing_away_when_it_wakes(tmp_path: Path) -> None:
    sleeper = in_a_process(tmp_path, range(MAX_OBJECTS + 1), **{FAIL_AT: "videos.folded:1", FAIL_WITH: "STOP"})
    assert os.WIFSTOPPED(os.waitpid(sleeper.pid, os.WUNTRACED)[1]), "it never came to that place"
    live(tmp_path, range(MAX_OBJECTS + 1, NUM_NIGHTS))
    os.kill(sleeper.pid, signal.SIGCONT)
    assert sleeper.wait(60) == 0
    assert states(tmp_path) == EVERYTHING


def test_folding_does_not_bring_an_erased_video_back(tmp_path: Path) -> None:
    live(tmp_path, range(MAX_OBJECTS - 1))
    set_tombstones(Output.at(str(tmp_path)), [uri_digest("night5.mp4")], "erasure-1")
    live(tmp_path, range(MAX_OBJECTS - 1, NUM_NIGHTS))
    folded = [info.uri for info in Output.at(str(tmp_path)).list("videos") if info.uri.endswith(".all.parquet")]
    assert len(folded) == 1
    assert "night5.mp4" not in states(tmp_path)
