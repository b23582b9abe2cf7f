"""A part of the corpus through the whole flow: every input is answered or failed, and Parquet says which and why."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

from framegate.pipelines import flow
from framegate.pipelines.reason.engines.scripted import ScriptedEngine
from framegate.schemas.job import parse_job
from tests.decode.corpus import CASES

NAMES = {
    "h264_mp4", "hevc_10_bit", "av1_mkv", "turned_90", "sound_is_longer", "cut_at_50_percent", "index_cut_off",
    "cover_alone", "huge_h264_ts", "encrypted", "noise_for_frames", "empty", "png", "hls", "dash_utf_16",
    "other_file_by_alias",
}  # fmt: skip


@pytest.mark.usefixtures("ray_cluster")
def test_every_input_is_answered_or_failed_and_then_skipped(tmp_path: Path, model_folder: Path) -> None:
    cases = {case.name: case for case in CASES if case.name in NAMES}
    assert set(cases) == NAMES
    (tmp_path / "videos").mkdir()
    for name, case in cases.items():
        (tmp_path / "videos" / f"{name}.mp4").write_bytes(case.make())
    job = parse_job(
        {
            "input": {"videos": str(tmp_path / "videos")},
            "clips": {"seconds": 2},
            "frames": {"fps": 1, "max_frames": 2, "min_frame_pixels": 3136, "max_frame_pixels": 3136},
            "questions": [{"id": "red", "text": "Is it red?", "type": "yes_no"}],
            "model": {"name": str(model_folder)},
            "output": {"uri": str(tmp_path / "index")},
            "ray": {"decode_workers": 1},
        }
    )
    summary = flow.run(job, engine_factory=ScriptedEngine)
    num_failed = sum(case.reason is not None for case in cases.values())
    assert summary.is_complete
    assert (summary.num_videos_planned, summary.num_videos_failed) == (len(cases), num_failed)
    assert summary.num_videos_answered == len(cases) - num_failed

    failures = _rows(tmp_path, "failures", "reason, clip_index")
    assert {name: rows[0][0] for name, rows in failures.items()} == {
        name: case.reason for name, case in cases.items() if case.reason is not None
    }
    assert all(len(rows) == 1 for rows in failures.values())
    results = _rows(tmp_path, "results", "clip_index, clip_is_last, clip_is_truncated")
    assert set(results) == {name for name, case in cases.items() if case.num_clips[1] > 0}
    for name, rows in results.items():
        assert [index for index, _, _ in rows] == list(range(len(rows)))
        assert [is_last for _, is_last, _ in rows] == [False] * (len(rows) - 1) + [name not in failures]
    cut = results["cut_at_50_percent"]
    assert [is_truncated for _, _, is_truncated in cut] == [False] * (len(cut) - 1) + [True]
    assert failures["cut_at_50_percent"] == [("truncated", len(cut))]

    again = flow.run(job, engine_factory=ScriptedEngine)
    assert (again.num_videos_skipped, again.num_videos_answered, again.num_videos_failed) == (len(cases), 0, 0)


def _rows(root: Path, table: str, columns: str) -> dict[str, list[tuple]]:
    """By the stem of the video's name, clip by clip."""
    found: dict[str, list[tuple]] = {}
    query = f"SELECT video_uri, {columns} FROM '{root}/index/{table}/**/*.parquet' ORDER BY video_uri, clip_index"
    for uri, *values in duckdb.sql(query).fetchall():
        found.setdefault(Path(uri).stem, []).append(tuple(values))
    return found
