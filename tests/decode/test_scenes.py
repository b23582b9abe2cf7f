"""Clips begin where scenes do, keep to their bounds, and come while the video is still being scanned."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from framegate.pipelines.decode.cuts import find_cuts
from framegate.pipelines.decode.readers.blocks import RangeFile
from framegate.pipelines.decode.readers.reader import Selection, VideoHeader, open_reader
from framegate.pipelines.decode.scan import SCAN_FPS, WINDOW_SECONDS, Scan, Window
from framegate.pipelines.decode.scenes import join_scenes, split_scenes
from framegate.pipelines.decode.split import split
from framegate.schemas.config import ClipsConfig
from framegate.schemas.errors import DecodeFailed, DecoderCrash, DecodeTimeout, MemoryLimit, VideoError

THRESHOLD = 0.07
HEIGHT, WIDTH = 36, 64


def make_texture(seed: int, *, height: int = 2 * HEIGHT, width: int = 2 * WIDTH) -> np.ndarray:
    """A picture of its own colours, larger than the screen."""
    rng = np.random.default_rng(seed)
    blocks = rng.integers(0, 256, (height // 8, width // 8, 3), dtype=np.uint8)
    return np.kron(blocks, np.ones((8, 8, 1), np.uint8))


def hold(seed: int, num: int) -> np.ndarray:
    return np.repeat(make_texture(seed)[None, :HEIGHT, :WIDTH], num, axis=0)


def pan(seed: int, num: int, *, speed: int) -> np.ndarray:
    picture = make_texture(seed, width=WIDTH + num * speed + 8)
    return np.stack([picture[:HEIGHT, i * speed : i * speed + WIDTH] for i in range(num)])


def mix(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    weights = np.linspace(0, 1, len(first)).reshape(-1, 1, 1, 1)
    return (first * (1 - weights) + second * weights).astype(np.uint8)


def cuts_of(*parts: np.ndarray) -> list[int]:
    return np.flatnonzero(find_cuts(np.concatenate(parts), THRESHOLD)).tolist()


def test_a_cut_is_the_first_picture_of_the_new_scene() -> None:
    assert cuts_of(hold(1, 20), hold(2, 30), hold(3, 20)) == [20, 50]


def test_a_cut_between_moving_pictures_is_found_and_motion_alone_is_none() -> None:
    assert cuts_of(pan(1, 30, speed=1), pan(2, 30, speed=1)) == [30]
    assert cuts_of(pan(1, 60, speed=6)) == []
    assert cuts_of(hold(1, 30), pan(1, 60, speed=6)) == []


@pytest.mark.parametrize("num_lit", [1, 2])
def test_a_flash_is_no_cut(num_lit: int) -> None:
    lit = np.minimum(hold(1, num_lit).astype(int) + 150, 255).astype(np.uint8)
    assert cuts_of(hold(1, 20), lit, hold(1, 20)) == []


def test_a_dissolve_is_one_cut_in_its_middle() -> None:
    (cut,) = cuts_of(hold(1, 20), mix(hold(1, 8), hold(2, 8)), hold(2, 20))
    assert 22 <= cut <= 26


def test_a_fade_through_black_is_one_cut() -> None:
    black = np.zeros((4, HEIGHT, WIDTH, 3), np.uint8)
    fade_out, fade_in = mix(hold(1, 4), black), mix(black, hold(2, 4))
    (cut,) = cuts_of(hold(1, 20), fade_out, black[:2], fade_in, hold(2, 20))
    assert 20 <= cut <= 30


@pytest.mark.parametrize("num", [0, 1, 2, 9])
def test_a_few_pictures_of_one_scene_have_no_cut(num: int) -> None:
    assert cuts_of(hold(1, num)) == []


class Film:
    """A reader of thumbnails at SCAN_FPS that says how far it was read; from second `breaks_at` on, raises `error`."""

    def __init__(
        self,
        frames_THWC: np.ndarray,
        *,
        announced_seconds: float | None = None,
        breaks_at: float = float("inf"),
        error: VideoError | None = None,
    ) -> None:
        self.frames_THWC = frames_THWC
        duration = len(frames_THWC) / SCAN_FPS
        self.header = VideoHeader(
            container="mp4",
            codec="h264",
            display_height=HEIGHT,
            display_width=WIDTH,
            duration_seconds=announced_seconds or duration,
        )
        self.breaks_at = breaks_at
        self.error = error or DecodeFailed("The file cannot be decoded (it is damaged).")
        self.seconds_read = 0.0

    def read(self, times_seconds: Sequence[float], *, height: int, width: int, out=None) -> Selection:
        assert (height, width) == (HEIGHT, WIDTH)
        if times_seconds[-1] >= self.breaks_at:
            raise self.error
        indices = [i for i in (round(t * SCAN_FPS) for t in times_seconds) if i < len(self.frames_THWC)]
        self.seconds_read = times_seconds[-1]
        return Selection(
            self.frames_THWC[indices], np.array(indices, float) / SCAN_FPS, len(indices) < len(times_seconds)
        )

    def count_bytes(self, times_seconds: Sequence[float]) -> None:
        return None

    def close(self) -> None:
        """Nothing is open."""

    def __enter__(self) -> Film:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


@pytest.fixture(scope="module")
def long_film() -> np.ndarray:
    """Scenes of 20, 15, 3, 40 and 2 seconds, moving and still, with a dissolve of a second before the last but one."""
    return np.concatenate(
        [hold(1, 160), pan(2, 120, speed=1), hold(3, 24), mix(hold(3, 8), hold(4, 8)), hold(4, 312), hold(5, 16)]
    )


def scan(film: Film, **options: int) -> Iterator[Window]:
    """The windows from the first to the last."""
    found = Scan(film, THRESHOLD, **options)
    for number in itertools.count():
        window = found.window(number)
        yield window
        if window.is_last:
            return


@pytest.mark.parametrize("window_seconds", [5, 10, 35, 60])
def test_where_the_cuts_are_does_not_depend_on_the_windows(long_film: np.ndarray, window_seconds: int) -> None:
    whole = np.flatnonzero(find_cuts(long_film, THRESHOLD)) / SCAN_FPS
    assert len(whole) == 4
    scanned = list(scan(Film(long_film), window_seconds=window_seconds))
    assert [cut for window in scanned for cut in window.cuts_seconds] == whole.tolist()
    assert len(scanned) == -(-80 // window_seconds)
    for number, window in reversed([*enumerate(scanned)]):  # each for itself, in any order
        assert Scan(Film(long_film), THRESHOLD, window_seconds=window_seconds).window(number) == window
    for window, later in itertools.pairwise(scanned):
        assert all(cut >= window.until_seconds for cut in later.cuts_seconds)


def test_clips_of_scenes_begin_at_the_cuts_and_keep_to_their_bounds(long_film: np.ndarray) -> None:
    clips = list(split(Film(long_film), ClipsConfig(scenes=True, seconds=17, min_seconds=4)))
    starts = [start for start, _ in clips]
    assert starts[:4] == [0, 10, 20, 35]  # 20 s are two equal clips; the scene of 3 s joins the next one
    assert clips[-1][1] == 80  # the last 2 s join the scene before
    assert all(4 <= end - start <= 17 for start, end in clips)
    assert all(end == start for (_, end), (start, _) in itertools.pairwise(clips))


def test_clips_come_while_the_video_is_scanned() -> None:
    film = Film(np.concatenate([hold(seed, 25 * SCAN_FPS) for seed in range(20)]))
    clips = split_scenes(film, ClipsConfig(scenes=True, seconds=10))
    assert next(clips) == (0, 10)
    assert film.seconds_read <= WINDOW_SECONDS


@pytest.mark.parametrize("film_options", [{"breaks_at": 60.0}, {"announced_seconds": 200.0}])
def test_where_a_video_cannot_be_read_on_the_rest_is_one_scene(film_options: dict) -> None:
    frames_THWC = np.concatenate([hold(seed, 25 * SCAN_FPS) for seed in range(4)])
    film = Film(frames_THWC, **film_options)
    clips = list(split_scenes(film, ClipsConfig(scenes=True, seconds=50)))
    assert clips[:2] == [(0, 25), (25, 50)]
    assert clips[-1][1] == film.header.duration_seconds


@pytest.mark.parametrize("error", [DecodeTimeout("60 s."), DecoderCrash("Signal 11."), MemoryLimit("2 GiB.")])
def test_where_the_decoder_is_gone_its_reason_is_told(error: VideoError) -> None:
    film = Film(np.concatenate([hold(seed, 25 * SCAN_FPS) for seed in range(4)]), breaks_at=60, error=error)
    clips = split_scenes(film, ClipsConfig(scenes=True, seconds=50))
    assert next(clips) == (0, 25)
    with pytest.raises(type(error), match=str(error)):
        list(clips)


def test_a_video_that_cannot_be_scanned_at_all_is_one_scene() -> None:
    film = Film(hold(1, 80), breaks_at=0)
    assert list(split_scenes(film, ClipsConfig(scenes=True))) == [(0, 10)]


@given(
    cuts=st.lists(st.floats(0, 500), max_size=40).map(sorted),
    duration=st.floats(0.1, 600),
    min_seconds=st.floats(0, 20),
    times_longer=st.floats(2, 10),
    window=st.floats(1, 100),
)
def test_clips_cover_the_video_within_their_bounds_whatever_the_cuts(
    cuts: list[float], duration: float, min_seconds: float, times_longer: float, window: float
) -> None:
    max_seconds = max(min_seconds * times_longer, 0.1)
    cuts = [cut for cut in cuts if cut < duration]
    ends = [window * k for k in range(1, int(duration / window) + 2)]
    scanned = [Window(tuple(cut for cut in cuts if end - window <= cut < end), end, end == ends[-1]) for end in ends]
    policy = ClipsConfig.model_construct(scenes=True, min_seconds=min_seconds, seconds=max_seconds)
    clips = list(join_scenes(scanned, duration, policy))
    assert clips[0][0] == 0
    assert clips[-1][1] == duration
    assert all(end == start for (_, end), (start, _) in itertools.pairwise(clips))
    lengths = [end - start for start, end in clips]
    assert max(lengths) <= max_seconds + 1e-6
    assert min(lengths) >= min(min_seconds, duration) - 1e-6
    # The same cuts, all known at once, give the same clips.
    at_once = join_scenes([Window(tuple(cuts), duration, is_last=True)], duration, policy)
    assert [start for start, _ in at_once] == pytest.approx([start for start, _ in clips])


def test_cuts_of_an_encoded_film_are_found_by_a_real_reader(write_film, tmp_path) -> None:
    pictures = [make_texture(seed)[:HEIGHT, :WIDTH] for seed in range(3)]
    path = write_film(
        tmp_path / "film.mp4",
        times_seconds=[number / 10 for number in range(90)],
        height=HEIGHT * 4,
        width=WIDTH * 4,
        drawing=lambda number, **_: np.kron(pictures[number // 30], np.ones((4, 4, 1), np.uint8)),
    )
    with open_reader("pyav", RangeFile.of(path.read_bytes())) as reader:
        clips = list(split(reader, ClipsConfig(scenes=True)))
    assert [start for start, _ in clips] == pytest.approx([0, 3, 6], abs=0.11)
    assert clips[-1][1] == pytest.approx(9, abs=0.11)
