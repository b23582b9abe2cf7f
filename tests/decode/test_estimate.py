"""What a plan says of a video is what decoding it will give."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipelines.decode.estimate import estimate, probe_duration_seconds, probe_header
from pipelines.decode.stage import DecodeStage
from pipelines.store import Store
from schemas.clip import Video
from schemas.config import ClipsConfig, FramesConfig
from schemas.errors import NotAVideo, ObjectNotFound
from schemas.pixels import count_video_tokens
from schemas.tables import PLANNED
from schemas.work import DecodedUnit, PlannedVideo, to_table


@pytest.mark.parametrize(
    "clips", [ClipsConfig(seconds=3), ClipsConfig(seconds=4, stride_seconds=2), ClipsConfig(whole_video=True)]
)
def test_an_estimate_is_what_decoding_gives(clips: ClipsConfig, film: bytes, tmp_path: Path) -> None:
    path = tmp_path / "film.mp4"
    path.write_bytes(film)
    frames = FramesConfig(fps=2, max_frames=8, max_video_tokens=64, min_frame_pixels=3136, max_frame_pixels=100_000)
    expected = estimate(probe_header(str(path), {}), clips=clips, frames=frames)

    video = Video(uri=str(path), version=Store().stat(str(path)).version, size_bytes=len(film))
    work = to_table([PlannedVideo(video=video, question_hashes=("q",))], PLANNED)
    stage = DecodeStage(frames=frames, clips=clips, storage_options={})
    decoded = [clip for table in stage(work) for unit in DecodedUnit.from_table(table) for clip in unit.clips]
    assert expected.num_clips == len(decoded)
    assert expected.num_frames == sum(len(clip.frames) for clip in decoded)
    assert expected.num_video_tokens == sum(
        count_video_tokens(*clip.frames.frames_THWC.shape[:3], factor=28, temporal_patch=2) for clip in decoded
    )


def test_the_duration_of_a_video_is_known_without_decoding_it_whole(film: bytes, tmp_path: Path) -> None:
    (tmp_path / "film.mp4").write_bytes(film)
    (tmp_path / "text.mp4").write_text("no video")
    assert probe_duration_seconds(str(tmp_path / "film.mp4"), {}) == pytest.approx(10.0)
    assert probe_duration_seconds(str(tmp_path / "text.mp4"), {}) is None
    assert probe_duration_seconds(str(tmp_path / "missing.mp4"), {}) is None


def test_a_probe_says_why_it_found_nothing(tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("no video")
    with pytest.raises(NotAVideo):
        probe_header(str(tmp_path / "text.mp4"), {})
    with pytest.raises(ObjectNotFound):
        probe_header(str(tmp_path / "missing.mp4"), {})
