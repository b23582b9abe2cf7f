"""A film that several workers share gives what it gives whole: the same units under the same names, one failure."""

from __future__ import annotations

import itertools
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from framegate.pipelines.commit.journal import unit_uri
from framegate.pipelines.commit.layout import Layout
from framegate.pipelines.decode.policy import Policy
from framegate.pipelines.decode.readers import pyav
from framegate.pipelines.decode.stage import DecodeStage
from framegate.pipelines.store import Store
from framegate.schemas.clip import Member, Video
from framegate.schemas.config import ClipsConfig, DecodeConfig, FramesConfig
from framegate.schemas.unit import DecodedUnit, PlannedVideo

HASHES = ("q1", "q2")
FRAMES = FramesConfig(fps=2, max_frames=4, min_frame_pixels=28 * 28, max_frame_pixels=56 * 56)


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
