"""Videos for the tests: every frame shows its own number as eight black or white stripes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from framegate.pipelines.decode import part as part_module

REAL_VIDEOS = Path(__file__).resolve().parents[3] / "shared" / "videos"


def _numbered_frame(number: int, *, height: int, width: int) -> np.ndarray:
    bits = [(number >> bit) & 1 for bit in range(8)]
    columns = np.repeat([255 * bit for bit in bits], width // 8).astype(np.uint8)
    return np.ascontiguousarray(np.broadcast_to(columns[None, :, None], (height, width, 3)))


def _number_of(frame_HWC: np.ndarray) -> int:
    width = frame_HWC.shape[1]
    centres = [int((bit + 0.5) * width / 8) for bit in range(8)]
    return sum(1 << bit for bit, x in enumerate(centres) if frame_HWC[:, x].mean() > 127)


def _write_film(
    path: Path,
    *,
    times_seconds: Sequence[float],
    codec: str = "libx264",
    muxer: str | None = None,
    height: int = 64,
    width: int = 96,
    rotation_degrees: int | None = None,
    pixel_ratio: Fraction | None = None,
    gop_frames: int = 12,
    fps: int = 10,
    b_frames: int = 2,
    drawing: Callable[..., np.ndarray] = _numbered_frame,
    options: dict[str, str] | None = None,
    codec_options: dict[str, str] | None = None,
) -> Path:
    """One frame at each of `times_seconds`, numbered from 0."""
    time_base = Fraction(1, fps) if codec in ("mpeg2video", "libsvtav1") else Fraction(1, 1000)  # these want steps of 1
    with av.open(path, "w", format=muxer, options=options or {}) as container:
        stream = container.add_stream(codec, rate=fps, options=codec_options or {})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.codec_context.gop_size = gop_frames
        stream.codec_context.max_b_frames = b_frames
        stream.codec_context.time_base = time_base
        if pixel_ratio is not None:
            stream.codec_context.sample_aspect_ratio = pixel_ratio
        if rotation_degrees is not None:
            stream.set_display_rotation(rotation_degrees)
        for number, seconds in enumerate(times_seconds):
            frame = av.VideoFrame.from_ndarray(drawing(number, height=height, width=width), format="rgb24")
            frame.time_base, frame.pts = time_base, round(seconds / time_base)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def _write_sound(path: Path) -> Path:
    with av.open(path, "w") as container:
        stream = container.add_stream("aac", rate=48_000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), dtype=np.float32), format="fltp", layout="mono")
        frame.sample_rate = 48_000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


@pytest.fixture(scope="session")
def write_film() -> Callable[..., Path]:
    return _write_film


@pytest.fixture(scope="session")
def write_sound() -> Callable[[Path], Path]:
    return _write_sound


@pytest.fixture(scope="session")
def number_of() -> Callable[[np.ndarray], int]:
    """Reads a frame's number off its stripes."""
    return _number_of


@pytest.fixture(scope="session")
def film(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """10 s of 10 frames a second, H.264 in MP4 with its index in front, as served over the web."""
    path = tmp_path_factory.mktemp("film") / "film.mp4"
    return _write_film(
        path, times_seconds=[number / 10 for number in range(100)], options={"movflags": "faststart"}
    ).read_bytes()


@pytest.fixture(scope="session")
def real_videos() -> list[Path]:
    if not REAL_VIDEOS.is_dir():
        pytest.skip(f"no real videos at {REAL_VIDEOS}")
    return sorted(path for path in REAL_VIDEOS.iterdir() if path.suffix in (".mp4", ".mkv"))


@pytest.fixture
def small_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    """Groups of three clips, so that a film of seconds has some."""
    monkeypatch.setattr(part_module, "MAX_GROUP_CLIPS", 3)
