"""What a plan says of a video is what decoding it will give."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from framegate.pipelines.decode.estimate import Probed, probe_videos
from framegate.pipelines.decode.policy import Policy
from framegate.pipelines.decode.stage import DecodeStage
from framegate.pipelines.store import Store
from framegate.schemas.clip import Refusal, Video
from framegate.schemas.config import ClipsConfig, DecodeConfig, FramesConfig
from framegate.schemas.errors import ConfigError, StorageError, VideoError
from framegate.schemas.pixels import count_video_tokens
from framegate.schemas.unit import PlannedVideo

IN_PROCESS = DecodeConfig(sandbox=False)
FRAMES = FramesConfig(fps=2, max_frames=8, max_video_tokens=64, min_frame_pixels=3136, max_frame_pixels=100_000)
UNIFORM = FramesConfig(
    policy="uniform", max_frames=8, max_video_tokens=64, min_frame_pixels=3136, max_frame_pixels=100_000
)


def video_at(path: Path) -> Video:
    info = Store().stat(str(path))
    return Video(uri=info.uri, version=info.version, size_bytes=info.size_bytes)


def probe_all(
    *videos: Video, policy: Policy, decode: DecodeConfig = IN_PROCESS, scans: bool = True
) -> list[Probed | VideoError | StorageError]:
    return list(probe_videos(videos, policy=policy, decode=decode, storage_options={}, scans=scans))


@pytest.fixture(scope="module")
def shots(write_film, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A minute of 10 frames a second; the picture changes at 20 and at 30 s."""
    pictures = np.random.default_rng(1).integers(0, 256, (3, 8, 12, 3), dtype=np.uint8)

    def draw(number: int, **_: int) -> np.ndarray:
        return np.kron(pictures[(number >= 200) + (number >= 300)], np.ones((8, 8, 1), np.uint8))

    path = tmp_path_factory.mktemp("shots") / "shots.mp4"
    return write_film(path, times_seconds=[number / 10 for number in range(600)], drawing=draw)


@pytest.mark.parametrize(
    "clips",
    [
        ClipsConfig(seconds=9),
        ClipsConfig(seconds=10, stride_seconds=5),
        ClipsConfig(whole_video=True),
        ClipsConfig(scenes=True, scene_threshold=0.07),
    ],
    ids=["windows", "overlap", "whole", "scenes"],
)
@pytest.mark.parametrize("frames", [FRAMES, UNIFORM], ids=["fps", "uniform"])
def test_an_estimate_is_what_decoding_gives(clips: ClipsConfig, frames: FramesConfig, shots: Path) -> None:
    (found,) = probe_all(video_at(shots), policy=Policy(frames=frames, clips=clips))
    assert isinstance(found, Probed)
    planned = PlannedVideo(video=video_at(shots), question_hashes=("q",))
    stage = DecodeStage(policy=Policy(frames=frames, clips=clips), decode=IN_PROCESS, storage_options={})
    decoded = [clip for unit in stage.decode(planned) for clip in unit.clips]
    expected = found.estimate
    assert expected.num_clips == len(decoded)
    assert expected.num_frames == sum(len(clip.frames) for clip in decoded)
    assert expected.num_video_tokens == sum(
        count_video_tokens(*clip.frames.frames_THWC.shape[:3], factor=28, temporal_patch=2) for clip in decoded
    )


def test_without_a_scan_scenes_count_as_clips_of_full_length(shots: Path) -> None:
    policy = Policy(frames=FRAMES, clips=ClipsConfig(scenes=True, scene_threshold=0.07, seconds=40))
    (scanned,) = probe_all(video_at(shots), policy=policy)
    (foreseen,) = probe_all(video_at(shots), policy=policy, scans=False)
    assert isinstance(scanned, Probed)
    assert isinstance(foreseen, Probed)
    assert scanned.estimate.num_clips == 3
    assert foreseen.estimate.num_clips == 2


def test_the_sandbox_sees_what_this_process_sees(shots: Path) -> None:
    policy = Policy(frames=FRAMES, clips=ClipsConfig(seconds=7))
    assert probe_all(video_at(shots), policy=policy, decode=DecodeConfig()) == probe_all(video_at(shots), policy=policy)


def test_sparse_frames_of_a_large_file_need_few_of_its_bytes(write_film: Callable[..., Path], tmp_path: Path) -> None:
    noise = np.random.default_rng(0)
    path = write_film(
        tmp_path / "noise.mp4",
        times_seconds=[number / 10 for number in range(400)],
        height=128,
        width=192,
        drawing=lambda number, **size: noise.integers(0, 256, (size["height"], size["width"], 3), dtype=np.uint8),
        options={"movflags": "faststart"},
    )
    sparse, dense = (
        probe_all(video_at(path), policy=Policy(frames=frames, clips=ClipsConfig(whole_video=True)))[0]
        for frames in (FramesConfig(policy="uniform", max_frames=2), FramesConfig(fps=10, max_frames=4000))
    )
    assert isinstance(sparse, Probed)
    assert isinstance(dense, Probed)
    size_bytes = path.stat().st_size
    assert sparse.estimate.bytes_to_read is not None
    assert dense.estimate.bytes_to_read is not None
    assert 0 < sparse.estimate.bytes_to_read < size_bytes / 2
    assert 0.95 * size_bytes <= dense.estimate.bytes_to_read <= size_bytes


def test_each_video_says_for_itself_why_it_gives_nothing(film: bytes, tmp_path: Path) -> None:
    (tmp_path / "film.mp4").write_bytes(film)
    (tmp_path / "text.mp4").write_text("no video")
    good, text = video_at(tmp_path / "film.mp4"), video_at(tmp_path / "text.mp4")
    outcomes = probe_all(
        text,
        good,
        replace(good, version="another"),
        replace(good, uri=str(tmp_path / "missing.mp4")),
        replace(good, refusal=Refusal(reason="unsafe_member", message="It is a link.")),
        policy=Policy(frames=FRAMES, clips=ClipsConfig()),
    )
    verdicts = ["ok" if isinstance(outcome, Probed) else outcome.reason for outcome in outcomes]
    assert verdicts == ["not_video", "ok", "source_changed", "storage", "unsafe_member"]


def test_where_one_decoder_fails_the_next_one_is_asked(real_videos: list[Path]) -> None:
    """decord cannot decode AV1."""
    (av1,) = [video_at(path) for path in real_videos if path.stem == "av1_video"]

    def probe_with(*decoders: str) -> Probed | VideoError | StorageError:
        frames = FramesConfig.model_validate({"decoder": decoders})
        return probe_all(av1, policy=Policy(frames=frames, clips=ClipsConfig()))[0]

    assert isinstance(probe_with("decord", "pyav"), Probed)


def test_a_budget_that_no_video_can_keep_is_an_error_of_the_job() -> None:
    policy = Policy(frames=FramesConfig(max_video_tokens=10), clips=ClipsConfig())
    with pytest.raises(ConfigError, match=r"frames: max_video_tokens=10 cannot hold"):
        policy.check()
    with pytest.raises(ConfigError, match=r"frames: max_video_tokens=10 cannot hold"):
        probe_all(policy=policy)


def test_a_picture_too_long_for_the_model_is_the_videos_error(write_film: Callable[..., Path], tmp_path: Path) -> None:
    path = write_film(tmp_path / "strip.mp4", times_seconds=[0, 0.1, 0.2], height=16, width=3216)
    (outcome,) = probe_all(video_at(path), policy=Policy(frames=FRAMES, clips=ClipsConfig()))
    assert isinstance(outcome, VideoError)
    assert "too elongated" in str(outcome)
