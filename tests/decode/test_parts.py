"""Parts of a scripted video, at every place where it can end: the same clips, the same end, one failure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from framegate.pipelines.decode.clip_reader import ClipReader
from framegate.pipelines.decode.part import clips_of_part, group_clips, is_shared
from framegate.pipelines.decode.policy import Policy
from framegate.pipelines.decode.readers.reader import Selection, VideoHeader
from framegate.schemas.clip import Video
from framegate.schemas.config import ClipsConfig, FramesConfig
from framegate.schemas.errors import DecodeFailed, FramegateError
from framegate.schemas.unit import PlannedVideo

FRAMES = FramesConfig(fps=2, max_frames=4, min_frame_pixels=28 * 28, max_frame_pixels=56 * 56)


class ScriptedReader:
    """Ten frames a second up to `ends_at`, in a header that announces more."""

    def __init__(self, *, ends_at: float, announced: float, cut_short: bool, fails_at: float | None = None) -> None:
        self.header = VideoHeader(
            container="iso_bmff", codec="h264", display_height=56, display_width=56, duration_seconds=announced,
            is_cut_short=cut_short,
        )  # fmt: skip
        self._ends_at, self._fails_at = ends_at, fails_at
        self.size_bytes, self.bytes_read = 10**9, 1000

    def read(self, times_seconds: Sequence[float], *, height: int, width: int, out: object = None) -> Selection:
        self.bytes_read += 10 * len(times_seconds)
        if self._fails_at is not None and times_seconds[-1] >= self._fails_at:
            raise DecodeFailed("The scripted reader fails here.")
        shown = [seconds for seconds in times_seconds if seconds < self._ends_at]
        return Selection(
            np.zeros((len(shown), height, width, 3), np.uint8), np.array(shown), len(shown) < len(times_seconds)
        )

    def count_bytes(self, times_seconds: Sequence[float]) -> int | None:
        return None

    def close(self) -> None: ...

    def __enter__(self) -> ScriptedReader:
        return self

    def __exit__(self, *exc_info: object) -> None: ...


def read_parts(
    num_parts: int, clips: ClipsConfig, done: frozenset[tuple[int, str]] = frozenset(), **script: object
) -> tuple[list[tuple], list[tuple], list[int]]:
    """The clips of all parts in order, their errors with the clip that they were raised at, and bytes per part."""
    video = Video(uri="a.mp4", version="1", size_bytes=10**9)
    found, errors, num_bytes = [], [], []
    for number in range(num_parts):
        planned = PlannedVideo(video=video, question_hashes=("q",), done=done, part=number, num_parts=num_parts)
        clip_reader, reader = ClipReader(planned, Policy(frames=FRAMES, clips=clips)), ScriptedReader(**script)
        read: list[int] = []
        try:
            for decoded in clip_reader.read(reader, reader):
                found.append((decoded.clip, decoded.is_last, decoded.is_truncated, decoded.frames.pts_seconds.tolist()))
                read.append(decoded.bytes_read)
        except FramegateError as error:
            errors.append((type(error), str(error), clip_reader.next_index))
        num_bytes.append(sum(read))
    return found, errors, num_bytes


STRETCHES = [ClipsConfig(seconds=2), ClipsConfig(seconds=2, stride_seconds=1), ClipsConfig(seconds=2, stride_seconds=3)]


@pytest.mark.usefixtures("small_groups")
@pytest.mark.parametrize("cut_short", [False, True])
@pytest.mark.parametrize("clips", STRETCHES, ids=["end to end", "overlapping", "with gaps"])
def test_wherever_a_video_ends_its_parts_find_the_same_end(clips: ClipsConfig, cut_short: bool) -> None:
    announced = 24.0
    # Around every edge of clips and of groups, and far from the end that the header announces.
    for ends_at in [0.0, *np.arange(0.5, 24.5, 0.5).tolist(), 6.05, 11.95, 12.05]:
        script = {"ends_at": ends_at, "announced": announced, "cut_short": cut_short}
        whole = read_parts(1, clips, **script)
        for num_parts in (2, 3, 4, 7):
            found, errors, _ = read_parts(num_parts, clips, **script)
            assert (found, errors) == whole[:2], f"{num_parts} parts of a video that ends at {ends_at} s"


@pytest.mark.usefixtures("small_groups")
@pytest.mark.parametrize("done_clips", [{0, 1}, {3, 5}, {2}, {6}, {0, 1, 2, 3, 4, 5}, {5, 6, 7}])
def test_what_is_stored_already_is_read_in_no_part_and_changes_no_end(done_clips: set[int]) -> None:
    done = frozenset((index, "q") for index in done_clips)
    for ends_at in (17.0, 18.0, 24.0):  # what is done had frames: it lies before the end
        script = {"ends_at": ends_at, "announced": 24.0, "cut_short": False}
        for num_parts in (2, 3, 4):
            assert (
                read_parts(num_parts, STRETCHES[0], done, **script)[:2]
                == (read_parts(1, STRETCHES[0], done, **script)[:2])
            )


@pytest.mark.usefixtures("small_groups")
def test_a_place_that_cannot_be_decoded_is_told_once_and_parts_behind_it_go_on() -> None:
    script = {"ends_at": 24.0, "announced": 24.0, "cut_short": False}
    found, errors, _ = read_parts(1, STRETCHES[0], **script)
    assert (len(found), errors) == (12, [])

    class FailsAt(ScriptedReader):
        def read(self, times_seconds: Sequence[float], **options: object) -> Selection:
            if any(8 <= seconds < 10 for seconds in times_seconds):
                raise DecodeFailed("A damaged place.")
            return super().read(times_seconds, **options)

    video = Video(uri="a.mp4", version="1", size_bytes=10**9)
    for num_parts in (2, 4):
        indexes, failed = [], []
        for number in range(num_parts):
            planned = PlannedVideo(video=video, question_hashes=("q",), part=number, num_parts=num_parts)
            clip_reader, reader = ClipReader(planned, Policy(frames=FRAMES, clips=STRETCHES[0])), FailsAt(**script)
            try:
                for decoded in clip_reader.read(reader, reader):
                    indexes.append(decoded.clip.index)
            except DecodeFailed:
                failed.append(clip_reader.next_index)
        assert failed == [4]
        assert indexes == [0, 1, 2, 3, 6, 7, 8, 9, 10, 11]


@pytest.mark.usefixtures("small_groups")
def test_opening_counts_for_each_part_and_is_not_done_where_it_costs_the_file() -> None:
    script = {"ends_at": 24.0, "announced": 24.0, "cut_short": False}
    _, _, (whole,) = read_parts(1, STRETCHES[0], **script)
    _, _, parts = read_parts(4, STRETCHES[0], **script)
    assert sum(parts) - whole == 3 * 1000 + 3 * 10 + 3 * 10  # openings, a look behind and a look ahead at each seam
    header = ScriptedReader(**script).header
    planned = PlannedVideo(video=Video(uri="a.mp4", version="1", size_bytes=10**9), question_hashes=("q",), num_parts=4)
    assert [clips_of_part(replace(planned, part=part), header, STRETCHES[0]) for part in (0, 1)] == [
        range(3),
        range(3, 6),
    ]
    assert is_shared(planned, header, STRETCHES[0], opening_bytes=250_000_000)
    assert not is_shared(planned, header, STRETCHES[0], opening_bytes=250_000_001)
    assert not is_shared(planned, replace(header, container="mpeg_ps"), STRETCHES[0], opening_bytes=0)
    assert not is_shared(planned, header, ClipsConfig(whole_video=True), opening_bytes=0)


@pytest.mark.parametrize(
    ("clips", "size"),
    [
        (ClipsConfig(), 8),
        (ClipsConfig(seconds=2), 32),
        (ClipsConfig(seconds=600), 1),
        (ClipsConfig(seconds=30, stride_seconds=10), 24),
        (ClipsConfig(whole_video=True), 1),
        (ClipsConfig(scenes=True), 32),
    ],
)
def test_groups_are_some_minutes_of_clips(clips: ClipsConfig, size: int) -> None:
    assert group_clips(clips) == size
