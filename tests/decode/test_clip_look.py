"""What a clip looks like: its thumbnail is small and can be read, and its measures mean what they say."""

from __future__ import annotations

import io

import av
import numpy as np
import pytest

from framegate.pipelines.decode.clip_look import MAX_THUMBNAIL_BYTES, look_at, make_thumbnail
from framegate.schemas.clip import FrameBatch


def batch(frames_THWC: np.ndarray) -> FrameBatch:
    times = np.arange(len(frames_THWC)) / 2
    return FrameBatch(frames_THWC=frames_THWC, pts_seconds=times, duration_seconds=len(frames_THWC) / 2)


def plain(num_frames: int, *levels: int, size: tuple[int, int] = (112, 196)) -> np.ndarray:
    return np.stack([np.full((*size, 3), levels[n % len(levels)], np.uint8) for n in range(num_frames)])


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(7).integers(0, 256, shape, dtype=np.uint8)


def decoded(data: bytes) -> np.ndarray:
    with av.open(io.BytesIO(data), format="jpeg_pipe") as container:
        [frame] = container.decode(video=0)
        return frame.to_ndarray(format="rgb24")


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((280, 504), (89, 160)),
        ((504, 280), (160, 89)),
        ((160, 160), (160, 160)),
        ((56, 84), (56, 84)),
        ((28, 1400), (3, 160)),
        ((1400, 28), (160, 3)),
        ((2, 2), (2, 2)),
        ((1, 1), (1, 1)),
    ],
)
def test_a_thumbnail_is_160_pixels_at_most_small_and_readable(
    shape: tuple[int, int], expected: tuple[int, int]
) -> None:
    for picture in (noise(*shape, 3), np.full((*shape, 3), 200, np.uint8)):
        data = make_thumbnail(picture)
        assert len(data) <= MAX_THUMBNAIL_BYTES
        assert data[:2] == b"\xff\xd8"
        assert data[-2:] == b"\xff\xd9"
        assert decoded(data).shape == (*expected, 3)
        assert make_thumbnail(picture) == data


def test_a_thumbnail_has_the_colours_of_its_picture() -> None:
    picture = np.zeros((120, 160, 3), np.uint8)
    picture[:, :80], picture[:, 80:] = (230, 40, 40), (30, 60, 220)
    small = decoded(make_thumbnail(picture)).astype(int)
    assert np.abs(small[60, 30] - (230, 40, 40)).max() < 12
    assert np.abs(small[60, 130] - (30, 60, 220)).max() < 12


def test_the_thumbnail_is_the_middle_frame() -> None:
    look = look_at(batch(plain(5, 0, 60, 120, 180, 240)))
    assert abs(int(decoded(look.thumbnail).mean()) - 120) < 3


@pytest.mark.parametrize(
    ("frames", "motion", "darkness"),
    [
        (plain(4, 100), 0.0, 0.0),
        (plain(4, 0), 0.0, 1.0),
        (plain(4, 0, 255), 1.0, 0.5),
        (plain(3, 31, 32), 1 / 255, 2 / 3),
        (plain(1, 90), None, 0.0),
        (plain(2, 0, 51, size=(2, 2)), 0.2, 0.5),
        (plain(2, 0, 51, size=(3, 500)), 0.2, 0.5),
        (plain(2, 0, 51, size=(500, 3)), 0.2, 0.5),
    ],
)
def test_motion_and_darkness_are_shares(frames: np.ndarray, motion: float | None, darkness: float) -> None:
    look = look_at(batch(frames))
    assert look.motion == (None if motion is None else pytest.approx(motion, abs=0.005))
    assert look.darkness == pytest.approx(darkness, abs=0.001)


def test_the_noise_of_a_sensor_is_little_motion() -> None:
    still = plain(8, 120).astype(int) + np.random.default_rng(7).normal(0, 4, (8, 112, 196, 3)).round().astype(int)
    moving = plain(8, 60)
    for number in range(8):
        moving[number, 30:80, 20 * number : 20 * number + 40] = 220
    look, other = look_at(batch(still.clip(0, 255).astype(np.uint8))), look_at(batch(moving))
    assert look.motion is not None
    assert other.motion is not None
    assert look.motion < 0.012 < 0.04 < other.motion


def test_frames_are_left_as_they_are() -> None:
    frames = noise(3, 40, 60, 3)
    frames.flags.writeable = False
    before = frames.copy()
    look_at(batch(frames))
    assert (frames == before).all()


@pytest.mark.parametrize("num_frames", [1, 2, 127, 128, 129, 300])
def test_a_clip_of_many_frames_has_the_measures_of_all_of_them_together(num_frames: int) -> None:
    """As many as are looked at together, and more."""
    frames = noise(num_frames, 8, 8, 3) // 4
    look = look_at(batch(frames))
    grey = ((frames.astype(np.int64) * (77, 150, 29)).sum(axis=-1) // 256).astype(np.int64)
    motion = np.abs(np.diff(grey, axis=0)).mean() / 255 if num_frames > 1 else None
    assert look.motion == (motion if motion is None else pytest.approx(motion, rel=1e-12))
    assert look.darkness == (grey < 32).mean()
