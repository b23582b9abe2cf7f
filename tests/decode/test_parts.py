"""A film decoded in parts gives what it gives whole: the same units under the same names, the same end, one failure."""

from __future__ import annotations

import itertools
import tarfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from framegate.pipelines.commit.journal import unit_uri
from framegate.pipelines.commit.layout import Layout
from framegate.pipelines.decode import part as part_module
from framegate.pipelines.decode.clip_reader import ClipReader
from framegate.pipelines.decode.part import clips_of_part, group_clips, is_shared
from framegate.pipelines.decode.policy import Policy
from framegate.pipelines.decode.readers import pyav
from framegate.pipelines.decode.readers.reader import Selection, VideoHeader
from framegate.pipelines.decode.stage import DecodeStage
from framegate.pipelines.store import Store
from framegate.schemas.clip import Member, Video
from framegate.schemas.config import ClipsConfig, DecodeConfig, FramesConfig
from framegate.schemas.errors import DecodeFailed, FramegateError
from framegate.schemas.unit import DecodedUnit, PlannedVideo

HASHES = ("q1", "q2")
FRAMES = FramesConfig(fps=2, max_frames=4, min_frame_pixels=28 * 28, max_frame_pixels=56 * 56)


@pytest.fixture
def small_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    """Groups of three clips, so that a film of seconds has some."""
    monkeypatch.setattr(part_module, "MAX_GROUP_CLIPS", 3)


# --- with a scripted reader: every place where a video can end -----------------------------------------------------


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
@pytest.mark.parametrize("name", ["mp4 cut", "mkv cut"])
def test_where_a_film_is_known_to_break_off_it_ends_without_a_word(
    name: str, make_planned: Callable[[str], PlannedVideo]
) -> None:
    """A question more, or a run that was stopped: what lies before is decoded as at first, and nothing fails again."""
    planned = make_planned(name)
    whole, _ = decode(planned, 1)
    *units, failed = whole
    assert failed.failure is not None
    assert failed.failed_clip_index is not None
    again = replace(planned, breaks_off=failed.failed_clip_index, undecoded_attempts=1)
    for num_parts in (1, 2, 5):
        assert list(told(decode(again, num_parts)[0])) == list(told(units)), f"{num_parts} parts"
    first = frozenset((0, hash) for hash in HASHES)
    for num_parts in (1, 3):
        some, _ = decode(replace(again, done=first), num_parts)
        assert [unit.failure for unit in some] == [None] * len(some)


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


# --- with real films --------------------------------------------------------------------------------------------------


def noise(number: int, *, height: int, width: int) -> np.ndarray:
    """Frames that do not compress: a film of seconds is large beside what opening it takes."""
    return np.random.default_rng(number).integers(0, 256, (height, width, 3), np.uint8)


def regular(seconds: float) -> list[float]:
    return [number / 10 for number in range(round(10 * seconds))]


def irregular(seconds: float) -> list[float]:
    """Bursts at 25 a second, and pauses of up to three seconds that span edges of clips."""
    steps = itertools.cycle([0.04] * 9 + [0.5, 1.2, 0.04, 3.0])
    times = itertools.accumulate(steps, initial=0.0)
    return [round(time, 3) for time in itertools.takewhile(lambda time: time < seconds, times)]


class Film:
    """How to make it: arguments of `write_film`, and what is done to its bytes."""

    def __init__(self, name: str, times: list[float], *, keep: float = 1.0, in_tar: bool = False, **options: object):
        self.name, self.times, self.keep, self.in_tar, self.options = name, times, keep, in_tar, options


READ_THROUGH = {"program stream", "fragmented mp4"}  # before or while anything of them is known
FAST_START = {"options": {"movflags": "faststart"}}
FILMS = {
    "mp4": Film("film.mp4", regular(30)),
    "mp4 VFR": Film("film.mp4", irregular(60)),
    "mp4 cut": Film("film.mp4", regular(30), keep=0.6, **FAST_START),
    "mp4 cut near its end": Film("film.mp4", regular(30), keep=0.97, **FAST_START),
    "mkv": Film("film.mkv", regular(30)),
    "mkv cut": Film("film.mkv", regular(30), keep=0.6),
    "ts": Film("film.ts", regular(45)),
    "fragmented mp4": Film("film.mp4", regular(30), options={"movflags": "frag_keyframe+empty_moov"}),
    "member of a shard": Film("film.mp4", regular(30), in_tar=True),
    "program stream": Film("film.mpg", regular(30), codec="mpeg2video", muxer="mpeg"),
}


@pytest.fixture(scope="module")
def make_planned(
    write_film: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], PlannedVideo]:
    made: dict[str, PlannedVideo] = {}

    def make(name: str) -> PlannedVideo:
        if name not in made:
            film = FILMS[name]
            path = write_film(
                tmp_path_factory.mktemp("parts") / film.name,
                times_seconds=film.times, drawing=noise, codec_options={"crf": "10"}, **film.options,
            )  # fmt: skip
            data = path.read_bytes()
            path.write_bytes(data[: int(film.keep * len(data))])
            made[name] = PlannedVideo(video=in_shard(path) if film.in_tar else video_at(path), question_hashes=HASHES)
        return made[name]

    return make


def video_at(path: Path) -> Video:
    info = Store().stat(str(path))
    return Video(uri=str(path), version=info.version, size_bytes=info.size_bytes)


def in_shard(path: Path) -> Video:
    shard = path.with_name("shard.tar")
    with tarfile.open(shard, "w") as tar:
        tar.add(__file__, arcname="before.txt")
        tar.add(path, arcname="film.mp4")
    with tarfile.open(shard) as tar:
        found = tar.getmember("film.mp4")
    return Video(
        uri=f"{shard}#film.mp4",
        version=Store().stat(str(shard)).version,
        size_bytes=found.size,
        member=Member(name="film.mp4", offset_bytes=found.offset_data),
    )


def make_stage(frames: FramesConfig) -> DecodeStage:
    """Without its sandbox, whose process takes longer to start than these films to decode."""
    policy = Policy(frames=frames, clips=ClipsConfig(seconds=2))
    return DecodeStage(policy=policy, decode=DecodeConfig(sandbox=False), storage_options={})


def decode(planned: PlannedVideo, num_parts: int, decoder: object = "pyav") -> tuple[list[DecodedUnit], list[int]]:
    """All units, and how many clips each part gave."""
    frames = FramesConfig.model_validate({**FRAMES.model_dump(), "decoder": decoder})
    stage = make_stage(frames)
    units, counts = [], []
    for number in range(num_parts):
        some = list(stage.decode(replace(planned, part=number, num_parts=num_parts)))
        units += some
        counts.append(sum(len(unit.clips) for unit in some))
    stage.close()
    return units, counts


def told(units: list[DecodedUnit]) -> Iterator[tuple]:
    """All that is stored of units, but times and bytes; pixels included."""
    for unit in units:
        name = unit_uri(Layout("out"), unit, "c")
        yield name, unit.decoder, unit.question_hashes, unit.attempts, unit.failure, unit.failed_clip_index
        for one in unit.clips:
            pixels = one.frames.frames_THWC.tobytes()
            yield one.clip, one.is_last, one.is_truncated, one.frames.pts_seconds.tolist(), hash(pixels)


@pytest.mark.usefixtures("small_groups")
@pytest.mark.parametrize("name", FILMS)
def test_a_film_in_parts_is_the_film(
    name: str, make_planned: Callable[[str], PlannedVideo], monkeypatch: pytest.MonkeyPatch
) -> None:
    # A transport stream as small as this one is read whole, and not shared then; a large one is not.
    monkeypatch.setattr(pyav, "read_where_needed", lambda track: None)
    planned = make_planned(name)
    whole, (num_clips,) = decode(planned, 1)
    assert num_clips >= 9
    failed = [unit.failure.reason for unit in whole if unit.failure is not None]
    assert failed == (["truncated"] if "cut" in name else [])
    for num_parts in (2, 5):
        units, counts = decode(planned, num_parts)
        assert list(told(units)) == list(told(whole))
        if name in READ_THROUGH:
            assert counts == [num_clips] + [0] * (num_parts - 1)
        else:
            assert sum(count > 0 for count in counts) > 1, "one worker did it all"


@pytest.mark.usefixtures("small_groups")
@pytest.mark.parametrize("decoder", ["decord", ["decord", "pyav"]])
def test_a_reader_that_reads_all_to_open_a_file_is_not_shared(
    decoder: object, make_planned: Callable[[str], PlannedVideo]
) -> None:
    planned = make_planned("mp4")
    whole, (num_clips,) = decode(planned, 1, decoder)
    units, counts = decode(planned, 3, decoder)
    assert list(told(units)) == list(told(whole))
    assert counts == [num_clips, 0, 0]


@pytest.mark.usefixtures("small_groups")
def test_what_was_answered_under_other_bounds_is_not_decoded_again(make_planned: Callable[[str], PlannedVideo]) -> None:
    planned = make_planned("mp4")
    whole, _ = decode(planned, 1)
    # A run in three parts that was killed: it has the first unit of each, and one question of another unit.
    names = {unit_uri(Layout("out"), unit, "c") for unit in whole}
    stage = make_stage(FRAMES)
    kept = [next(iter(stage.decode(replace(planned, part=number, num_parts=3)))) for number in range(3)]
    stage.close()
    done = {(one.clip.index, hash) for unit in kept for one in unit.clips for hash in HASHES}
    done |= {(4, HASHES[0])}
    left, _ = decode(replace(planned, done=frozenset(done)), 2)
    kept_names, left_names = ({unit_uri(Layout("out"), unit, "c") for unit in some} for some in (kept, left))
    assert kept_names < names
    keys = [(one.clip.index, hash) for unit in left for one in unit.clips for hash in unit.question_hashes]
    every = {(one.clip.index, hash) for unit in whole for one in unit.clips for hash in HASHES}
    assert sorted(keys) == sorted(every - done), "a key is decoded twice, or never"
    assert len(left_names) == len(left)


@pytest.mark.parametrize(
    ("content", "reason"),
    [(b"", "empty"), (b"Once upon a time.\n" * 99, "not_video"), (b"#EXTM3U\na.ts\n", "playlist")],
)
def test_what_is_no_video_is_told_by_the_first_part_alone(content: bytes, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(content)
    units, _ = decode(PlannedVideo(video=video_at(path), question_hashes=HASHES), 4)
    assert [(unit.failure and unit.failure.reason, unit.failed_clip_index) for unit in units] == [(reason, None)]


def test_what_may_pass_is_told_by_each_part_that_meets_it(tmp_path: Path) -> None:
    path = tmp_path / "changed.mp4"
    path.write_bytes(b"another version")
    video = Video(uri=str(path), version="1", size_bytes=1000)
    units, _ = decode(PlannedVideo(video=video, question_hashes=HASHES), 3)
    assert [unit.failure and unit.failure.reason for unit in units] == ["source_changed"] * 3
    assert len({unit_uri(Layout("out"), unit, "c") for unit in units}) == 1, "it is stored more than once"


def test_a_film_that_is_gone_is_told_by_the_first_part_alone(tmp_path: Path) -> None:
    video = Video(uri=str(tmp_path / "gone.mp4"), version="1", size_bytes=1000)
    units, _ = decode(PlannedVideo(video=video, question_hashes=HASHES), 3)
    assert [unit.failed_clip_index for unit in units] == [None]
