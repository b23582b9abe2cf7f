"""A video with scenes, decoded in parts, gives what it gives whole; and each of its windows is scanned once."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from framegate.pipelines.decode import part as part_module
from framegate.pipelines.decode import scan_sharing
from framegate.pipelines.decode.clip_reader import ClipReader
from framegate.pipelines.decode.policy import Policy
from framegate.pipelines.decode.readers.reader import Selection, VideoHeader
from framegate.pipelines.decode.scan import WINDOW_SECONDS, Scan, Window
from framegate.pipelines.decode.scan_sharing import CutsBoard, LocalCutsBoard, Scanned, Taken
from framegate.pipelines.decode.stage import DecodeStage
from framegate.pipelines.store import Store
from framegate.schemas.clip import Video
from framegate.schemas.config import ClipsConfig, DecodeConfig, FramesConfig
from framegate.schemas.errors import DecodeFailed, DecoderCrash, StorageError, TruncatedVideo, VideoError
from framegate.schemas.unit import PlannedVideo

FRAMES = FramesConfig(fps=1, max_frames=2, min_frame_pixels=28 * 28, max_frame_pixels=56 * 56)
SCENES = ClipsConfig(scenes=True, seconds=20, min_seconds=1)
HEIGHT, WIDTH = 16, 128
GROUP = 4


@pytest.fixture(autouse=True)
def small_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(part_module, "MAX_GROUP_CLIPS", GROUP)


class SceneFilm:
    """A reader of still scenes, each of its own colour, which begin at `cuts_seconds`; ten pictures a second.

    The picture ends at `ends_at`, the header announces `duration`. From `fails_at` on reading raises `error`; after
    a DecoderCrash this reader is gone.
    """

    def __init__(
        self,
        cuts_seconds: Sequence[float],
        duration: float,
        *,
        ends_at: float | None = None,
        fails_at: float = float("inf"),
        error: VideoError | None = None,
        cut_short: bool = False,
    ) -> None:
        self.header = VideoHeader(
            container="iso_bmff", codec="h264", display_height=HEIGHT, display_width=WIDTH, duration_seconds=duration,
            is_cut_short=cut_short,
        )  # fmt: skip
        self.cuts = np.array([0.0, *cuts_seconds])
        self.ends_at = duration if ends_at is None else ends_at
        self.fails_at, self.error = fails_at, error or DecodeFailed("A damaged place.")
        self.is_gone = False
        self.size_bytes, self.bytes_read = 10**9, 1000

    def read(self, times_seconds: Sequence[float], *, height: int, width: int, out: object = None) -> Selection:
        if self.is_gone or times_seconds[-1] >= self.fails_at:
            self.is_gone = isinstance(self.error, DecoderCrash)
            raise self.error
        shown = np.unique([np.floor(seconds * 10 + 1e-6) / 10 for seconds in times_seconds if seconds < self.ends_at])
        scenes = np.searchsorted(self.cuts, shown, side="right")
        colours = np.stack([scenes * 97 % 251, scenes * 41 % 239, scenes * 173 % 227], axis=1).astype(np.uint8)
        frames_THWC = np.broadcast_to(colours[:, None, None, :], (len(shown), height, width, 3))
        return Selection(np.ascontiguousarray(frames_THWC), shown, times_seconds[-1] >= self.ends_at)

    def count_bytes(self, times_seconds: Sequence[float]) -> int | None:
        return None

    def close(self) -> None: ...

    def __enter__(self) -> SceneFilm:
        return self

    def __exit__(self, *exc_info: object) -> None: ...


class CountingBoard(LocalCutsBoard):
    """Counts how often each window was handed out. Thread-safe."""

    def __init__(self) -> None:
        super().__init__()
        self.handed_out: Counter[int] = Counter()
        self._lock = threading.Lock()

    def take(self, film: str, wanted: Sequence[int]) -> Taken:
        with self._lock:
            taken = super().take(film, wanted)
            if taken.to_scan is not None:
                self.handed_out[taken.to_scan] += 1
            return taken

    def tell(self, film: str, number: int, scanned: Scanned | None) -> None:
        with self._lock:
            super().tell(film, number, scanned)


Rows = tuple[list[tuple], list[tuple]]


def read_part(
    make_film: Callable[[], SceneFilm], part: int, num_parts: int, board: CutsBoard | None, breaks_off: int | None
) -> Rows:
    """Clips and errors of one part, as the stage reads it: opened again where the scan ended the reader."""
    video = Video(uri="a.mp4", version="1", size_bytes=10**9)
    planned = PlannedVideo(video=video, question_hashes=("q",), part=part, num_parts=num_parts, breaks_off=breaks_off)
    clip_reader = ClipReader(planned, Policy(frames=FRAMES, clips=SCENES), board)
    found, errors = [], []
    while True:
        reader = make_film()
        try:
            for one in clip_reader.read(reader, reader, "pyav"):
                found.append((one.clip, one.is_last, one.is_truncated, one.frames.frames_THWC[:, 0, 0].tolist()))
        except VideoError as error:
            if clip_reader.is_to_be_reopened:
                clip_reader.is_to_be_reopened = False
                continue
            errors.append((type(error), str(error), clip_reader.next_index))
        return found, errors


def read_parts(
    make_film: Callable[[], SceneFilm],
    num_parts: int,
    *,
    order: Sequence[int] | None = None,
    board: CutsBoard | None = None,
    breaks_off: int | None = None,
) -> Rows:
    parts = {
        part: read_part(make_film, part, num_parts, board, breaks_off)
        for part in (range(num_parts) if order is None else order)
    }
    return [row for part in sorted(parts) for row in parts[part][0]], [
        row for part in sorted(parts) for row in parts[part][1]
    ]


CUTS = np.cumsum(np.random.default_rng(7).uniform(2, 23, 60)).round(1)
FILMS: dict[str, Callable[[], SceneFilm]] = {
    "whole": lambda: SceneFilm(CUTS[CUTS < 290], 290.0),
    "no scenes": lambda: SceneFilm([], 290.0),
    "picture ends early": lambda: SceneFilm(CUTS[CUTS < 140], 290.0, ends_at=161.0),
    "cut short": lambda: SceneFilm(CUTS[CUTS < 290], 290.0, cut_short=True),
    "damaged": lambda: SceneFilm(CUTS[CUTS < 290], 290.0, fails_at=142.0),
    "crashes": lambda: SceneFilm(CUTS[CUTS < 290], 290.0, fails_at=142.0, error=DecoderCrash("Signal 11.")),
    "crashes at once": lambda: SceneFilm(CUTS[CUTS < 290], 290.0, fails_at=3.0, error=DecoderCrash("Signal 11.")),
    "shorter than a window": lambda: SceneFilm([3.0, 9.0], 30.0),
}


@pytest.mark.parametrize("name", FILMS)
@pytest.mark.parametrize("num_parts", [2, 3, 7])
def test_parts_of_scenes_are_the_video(name: str, num_parts: int) -> None:
    whole = read_parts(FILMS[name], 1)
    assert len(whole[0]) > 6 or "crashes" in name or "shorter" in name
    assert len(whole[1]) == (0 if name in {"whole", "no scenes", "picture ends early", "shorter than a window"} else 1)
    for order in (range(num_parts), range(num_parts - 1, -1, -1)):
        board = CountingBoard()
        found, errors = read_parts(FILMS[name], num_parts, order=order, board=board)
        assert (found, errors) == whole
        num_windows = int(FILMS[name]().header.duration_seconds // WINDOW_SECONDS) + 1
        assert all(times == 1 for times in board.handed_out.values())
        assert len(board.handed_out) <= num_windows


def test_without_a_board_each_part_scans_for_itself() -> None:
    assert read_parts(FILMS["whole"], 3) == read_parts(FILMS["whole"], 1)


def test_every_part_of_a_long_video_has_work() -> None:
    board = LocalCutsBoard()
    counts = [len(read_part(FILMS["whole"], part, 4, board, None)[0]) for part in range(4)]
    assert min(counts) >= GROUP


def test_a_video_with_scenes_that_is_known_to_break_off_says_nothing_again() -> None:
    found, [(kind, _, index)] = read_parts(FILMS["cut short"], 1)
    assert kind is TruncatedVideo
    for num_parts in (1, 3):
        assert read_parts(FILMS["cut short"], num_parts, breaks_off=index) == (found, [])


def test_workers_at_the_same_time_share_the_scan() -> None:
    whole, board, parts = read_parts(FILMS["whole"], 1), CountingBoard(), {}

    def work(part: int) -> None:
        parts[part] = read_part(FILMS["whole"], part, 5, board, None)

    threads = [threading.Thread(target=work, args=(part,)) for part in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert [row for part in range(5) for row in parts[part][0]] == whole[0]
    assert set(board.handed_out.values()) == {1}


def test_a_window_that_nobody_told_of_is_handed_out_again(monkeypatch: pytest.MonkeyPatch) -> None:
    board = LocalCutsBoard()
    assert board.take("film", [4, 3]) == Taken({}, 4)
    assert board.take("film", [4, 3]) == Taken({}, 3)
    assert board.take("film", [4, 3]) == Taken({}, None)
    assert board.take("other film", [4]) == Taken({}, 4)
    board.tell("film", 3, None)
    assert board.take("film", [4, 3]).to_scan == 3
    window = Scanned(window=Window((1.5,), 60.0, False))
    board.tell("film", 3, window)
    assert board.take("film", [4, 3]) == Taken({3: window}, None)
    monkeypatch.setattr(scan_sharing, "CLAIM_SECONDS", -1.0)  # whoever had it is taken for dead
    assert board.take("film", [4, 3]) == Taken({3: window}, 4)


def test_storage_that_fails_says_nothing_of_the_window() -> None:
    class Failing(Scan):
        def window(self, number: int) -> Window:
            raise StorageError("away")

    board = LocalCutsBoard()
    film = FILMS["whole"]()
    shared = scan_sharing.SharedScan(Failing(film, 0.1), board, "film")
    with pytest.raises(StorageError, match="away"):
        next(shared.windows(range(2)))
    assert board.take("film", [0]) == Taken({}, 0)


def draw_noisy_scene(number: int, *, height: int, width: int) -> np.ndarray:
    """Noise, so that the film is large beside what opening it takes; around another colour every seven seconds."""
    colour = np.random.default_rng(number // 28).integers(40, 216, 3)
    noise = np.random.default_rng(number).integers(-30, 31, (height, width, 3))
    return (colour + noise).astype(np.uint8)


def test_a_real_film_with_scenes_in_parts_is_the_film(write_film: Callable[..., Path], tmp_path: Path) -> None:
    """130 s, a cut each seven seconds: three windows."""
    path = write_film(
        tmp_path / "film.mp4",
        times_seconds=[number / 4 for number in range(4 * 130)],
        height=128,
        width=128,
        drawing=draw_noisy_scene,
        codec_options={"crf": "10"},
    )
    info = Store().stat(str(path))
    planned = PlannedVideo(
        video=Video(uri=str(path), version=info.version, size_bytes=info.size_bytes), question_hashes=("q1", "q2")
    )
    told = {}
    for num_parts in (1, 3):
        stage = DecodeStage(
            policy=Policy(frames=FRAMES, clips=SCENES),
            decode=DecodeConfig(sandbox=False),
            storage_options={},
            board=LocalCutsBoard(),
        )
        parts = [list(stage.decode(replace(planned, part=part, num_parts=num_parts))) for part in range(num_parts)]
        assert all(parts), "a part without work"
        told[num_parts] = [
            (unit.failure, one.clip, one.is_last, one.frames.frames_THWC.tobytes())
            for units in parts
            for unit in units
            for one in unit.clips
        ]
        stage.close()
    assert len(told[1]) > 16
    assert told[3] == told[1]
