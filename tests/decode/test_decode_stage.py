"""The stage gives a unit for every stretch of work and one failure row for every video that cannot be decoded."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from framegate.pipelines.decode import stage as stage_module
from framegate.pipelines.decode.part import MAX_GROUP_CLIPS
from framegate.pipelines.decode.policy import Policy
from framegate.pipelines.decode.stage import DecodeStage, decoder_version
from framegate.pipelines.store import Store
from framegate.schemas.clip import Video
from framegate.schemas.config import ClipsConfig, FramesConfig
from framegate.schemas.tables import DECODED
from framegate.schemas.unit import DecodedUnit, PlannedVideo, to_table

HASHES = ("q1", "q2")
SMALL = {"fps": 2.0, "max_frames": 8, "min_frame_pixels": 56 * 56, "max_frame_pixels": 112 * 112}


def planned(path: Path, *, version: str | None = None, done: frozenset[tuple[int, str]] = frozenset()) -> PlannedVideo:
    info = Store().stat(str(path))
    video = Video(uri=str(path), version=version or info.version, size_bytes=info.size_bytes, inputs={"camera": "c1"})
    return PlannedVideo(video=video, question_hashes=HASHES, done=done)


def decode(
    *videos: PlannedVideo, clips: ClipsConfig | None = None, decoder: str = "pyav", **frames: object
) -> list[DecodedUnit]:
    stage = DecodeStage(
        policy=Policy(
            frames=FramesConfig.model_validate({**SMALL, "decoder": decoder, **frames}),
            clips=clips or ClipsConfig(seconds=2),
        ),
        storage_options={},
    )
    units = [unit for video in videos for unit in stage.decode(video)]
    return [*DecodedUnit.from_table(to_table(units, DECODED))]  # as they reach the engine


@pytest.fixture
def film_path(tmp_path: Path, film: bytes) -> Path:
    path = tmp_path / "film.mp4"
    path.write_bytes(film)
    return path


@pytest.mark.parametrize("decoder", ["pyav", "decord"])
def test_a_video_becomes_consecutive_clips_with_their_frames(
    decoder: str, film_path: Path, number_of: Callable[[np.ndarray], int]
) -> None:
    (unit,) = decode(planned(film_path), decoder=decoder)
    assert unit.failure is None
    assert unit.question_hashes == HASHES
    assert unit.decoder == f"{decoder}-{decoder_version(decoder)}"
    assert unit.video.inputs == {"camera": "c1"}
    assert [(c.clip.index, c.clip.start_seconds, c.clip.end_seconds) for c in unit.clips] == [
        (index, 2.0 * index, 2.0 * index + 2) for index in range(5)
    ]
    assert [c.is_last for c in unit.clips] == [False] * 4 + [True]
    for decoded in unit.clips:
        assert decoded.frames.frames_THWC.shape == (4, 56, 84, 3)
        assert decoded.frames.duration_seconds == 2.0
        start = decoded.clip.start_seconds
        assert decoded.frames.pts_seconds.tolist() == pytest.approx([start, start + 0.5, start + 1, start + 1.5])
        assert [number_of(frame) for frame in decoded.frames.frames_THWC] == [
            round(10 * seconds) for seconds in decoded.frames.pts_seconds
        ]


def test_a_whole_video_is_one_clip_whose_frames_are_capped(film_path: Path) -> None:
    (unit,) = decode(planned(film_path), clips=ClipsConfig(whole_video=True))
    (decoded,) = unit.clips
    assert (decoded.clip.start_seconds, decoded.clip.end_seconds, len(decoded.frames)) == (0.0, 10.0, 8)


def test_frames_keep_to_the_token_budget(film_path: Path) -> None:
    (unit,) = decode(planned(film_path), clips=ClipsConfig(whole_video=True), max_video_tokens=16)
    frames = unit.clips[0].frames.frames_THWC
    assert frames.shape[0] / 2 * (frames.shape[1] // 28) * (frames.shape[2] // 28) <= 16


def test_units_are_bounded_in_bytes(film_path: Path) -> None:
    frame_bytes = 448 * 672 * 3
    units = decode(
        planned(film_path),
        min_frame_pixels=448 * 672,
        max_frame_pixels=448 * 672,
        max_video_tokens=100_000,
        max_frames=64,
        fps=4.0,
    )
    assert [len(unit.clips) for unit in units] == [2, 2, 1]
    assert 3 * 8 * frame_bytes > stage_module.MAX_UNIT_FRAME_BYTES >= 2 * 8 * frame_bytes
    assert [c.clip.index for unit in units for c in unit.clips] == [0, 1, 2, 3, 4]


def test_units_are_bounded_in_clips(film_path: Path) -> None:
    units = decode(planned(film_path), clips=ClipsConfig(seconds=0.2, min_seconds=0))
    assert [len(unit.clips) for unit in units] == [MAX_GROUP_CLIPS, 50 - MAX_GROUP_CLIPS]


def test_clips_that_are_done_are_not_decoded_and_units_ask_only_what_is_missing(film_path: Path) -> None:
    done = frozenset({(0, "q1"), (0, "q2"), (1, "q1"), (3, "q1"), (3, "q2")})
    units = decode(planned(film_path, done=done))
    assert [(unit.question_hashes, [c.clip.index for c in unit.clips]) for unit in units] == [
        (("q2",), [1]),
        (("q1", "q2"), [2]),
        (("q1", "q2"), [4]),
    ]
    assert units[-1].clips[-1].is_last


def test_a_video_that_is_done_gives_nothing(film_path: Path) -> None:
    done = frozenset((index, hash) for index in range(5) for hash in HASHES)
    assert decode(planned(film_path, done=done)) == []


BROKEN = [
    ("empty", b""),
    ("not_video", b"Once upon a time there was a file.\n"),
    ("not_video", b"\x89PNG\r\n\x1a\n" + bytes(100)),
    ("playlist", b"ffconcat version 1.0\nfile film.mp4\n"),
    ("playlist", b"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\nfilm.mp4\n#EXT-X-ENDLIST\n"),
]


@pytest.mark.parametrize("decoder", ["pyav", "decord"])
@pytest.mark.parametrize(("reason", "content"), BROKEN)
def test_a_broken_file_is_one_failure_and_the_next_video_is_decoded(
    decoder: str, reason: str, content: bytes, tmp_path: Path, film_path: Path
) -> None:
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(content)
    first, second = decode(planned(broken), planned(film_path), decoder=decoder)
    assert first.failure is not None
    assert (first.failure.stage, first.failure.reason) == ("decode", reason)
    assert first.failure.message.endswith(".")
    assert (first.clips, first.failed_clip_index, first.question_hashes) == ((), None, HASHES)
    assert (second.failure, len(second.clips)) == (None, 5)


def test_sound_without_pictures_is_a_failure(tmp_path: Path, write_sound: Callable[[Path], Path]) -> None:
    (unit,) = decode(planned(write_sound(tmp_path / "a.mp4")))
    assert unit.failure is not None
    assert unit.failure.reason == "no_video_stream"


def test_a_file_cut_in_its_frames_gives_its_clips_and_then_one_failure(film_path: Path, film: bytes) -> None:
    film_path.write_bytes(film[: int(len(film) * 0.6)])
    good, bad = decode(planned(film_path))
    assert [c.clip.index for c in good.clips] == list(range(len(good.clips)))
    assert not any(c.is_last for c in good.clips)
    assert bad.failure is not None
    assert (bad.failure.reason, bad.failed_clip_index) == ("truncated", len(good.clips))


def test_a_video_that_changed_since_the_plan_is_not_decoded(film_path: Path) -> None:
    (unit,) = decode(planned(film_path, version="another"))
    assert unit.failure is not None
    assert unit.failure.reason == "source_changed"


def test_a_video_that_went_away_since_it_was_planned_is_gone(film_path: Path) -> None:
    work = planned(film_path)
    film_path.unlink()
    (unit,) = decode(work)
    assert unit.failure is not None
    assert unit.failure.reason == "source_gone"


@pytest.fixture
def canary_server() -> Iterator[tuple[int, list[str]]]:
    """A loopback port that notes whoever connects."""
    visits: list[str] = []
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(0.05)
    closing = threading.Event()

    def listen() -> None:
        while not closing.is_set():
            try:
                connection, address = listener.accept()
            except TimeoutError:
                continue
            visits.append(str(address))
            connection.close()

    thread = threading.Thread(target=listen)
    thread.start()
    yield listener.getsockname()[1], visits
    closing.set()
    thread.join()
    listener.close()


@pytest.mark.parametrize("decoder", ["pyav", "decord"])
def test_playlists_reach_neither_the_network_nor_other_files(
    decoder: str, tmp_path: Path, film_path: Path, canary_server: tuple[int, list[str]]
) -> None:
    port, visits = canary_server
    texts = {
        "hls.mp4": f"#EXTM3U\n#EXTINF:10,\nhttp://127.0.0.1:{port}/a.ts\n#EXTINF:10,\n{film_path}\n#EXT-X-ENDLIST\n",
        "concat.mp4": f"ffconcat version 1.0\nfile http://127.0.0.1:{port}/a.mp4\nfile {film_path.name}\n",
        "dash.mp4": f'<MPD type="static"><BaseURL>http://127.0.0.1:{port}/</BaseURL></MPD>',
    }
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
        (unit,) = decode(planned(tmp_path / name), decoder=decoder)
        assert unit.failure is not None
        assert unit.failure.reason == "playlist"
    assert visits == []


def test_real_videos_are_decoded_to_their_end(real_videos: list[Path]) -> None:
    units = decode(*(planned(path) for path in real_videos), clips=ClipsConfig(seconds=5), max_frames=3)
    assert all(unit.failure is None for unit in units)
    last_clips = [c for unit in units for c in unit.clips if c.is_last]
    assert len(last_clips) == len(real_videos)
