"""Headers whose numbers no video can have: each is refused or counts as not told, and crashes nothing."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from framegate.pipelines.decode.readers.all_packets import AllPackets, film_seconds
from framegate.pipelines.decode.readers.blocks import RangeFile
from framegate.pipelines.decode.readers.header import read_header
from framegate.pipelines.decode.readers.route import Route
from framegate.pipelines.decode.readers.timeline import Timeline
from framegate.pipelines.decode.readers.track import Track
from framegate.pipelines.decode.stage import DecodeStage
from framegate.schemas.config import DecodeConfig
from framegate.schemas.errors import DecodeFailed
from framegate.schemas.unit import DecodedUnit
from tests.decode.corpus_films import FRAGMENTED, film
from tests.decode.corpus_run import clips_of, make_stage, planned, reason_of
from tests.decode.structured import matroska, mp4, riff, tree

Decode = Callable[..., list[DecodedUnit]]
CUES, SEEK_HEAD = bytes.fromhex("1c53bb6b"), bytes.fromhex("114d9b74")


@pytest.fixture(scope="module")
def stages() -> Iterator[dict[str, DecodeStage]]:
    stages = {decoder: make_stage(decoder) for decoder in ("pyav", "decord")}
    yield stages
    for stage in stages.values():
        stage.close()


@pytest.fixture
def decode(stages: dict[str, DecodeStage], tmp_path: Path) -> Decode:
    def decode(data: bytes, decoder: str = "pyav") -> list[DecodedUnit]:
        path = tmp_path / "film.bin"
        path.write_bytes(data)
        return [*stages[decoder].decode(planned(path))]

    return decode


@pytest.mark.parametrize("ratio", [(1 << 30, 1), (1, 1 << 30), (65535, 1), (1, 65535)])
def test_pixels_that_are_far_longer_than_high_are_too_large(ratio: tuple[int, int], decode: Decode) -> None:
    root = mp4.parse(film())
    (picture,) = tree.named(root, b"avc1")
    picture.children = [
        *(box for box in picture.children or () if box.name != b"pasp"),
        tree.Node(name=b"pasp", body=struct.pack(">II", *ratio)),
    ]
    units = decode(b"".join(mp4.write(box) for box in root.children or ()))
    assert reason_of(units) == "too_large"
    failure = units[-1].failure
    assert failure is not None
    assert "1,048,576 to a side" in failure.message


def test_a_rate_that_is_none_counts_as_not_told(decode: Decode) -> None:
    root = riff.parse(film("avi", "mpeg4"))
    (head,) = tree.named(root, b"strh")
    head.body = head.body[:20] + struct.pack("<II", 1, 2_000_000_000) + head.body[28:]  # the clock of the stream
    units = decode(b"".join(riff.write(chunk) for chunk in root.children or ()))
    assert reason_of(units) is None
    assert units[0].facts is not None
    assert units[0].facts.fps is None


def test_a_false_clock_makes_no_weeks_of_clips_of_a_few_frames(decode: Decode) -> None:
    root = mp4.parse(film(muxer_options=FRAGMENTED))
    (clock,) = tree.named(root, b"mdhd")
    clock.body = clock.body[:12] + struct.pack(">I", 16) + clock.body[16:]
    units = decode(b"".join(mp4.write(box) for box in root.children or ()))
    assert reason_of(units) is None
    assert units[0].facts is not None
    assert units[0].facts.duration_seconds == 4000.0
    clips = clips_of(units)
    assert len(clips) == 40  # as many as there are frames
    assert units[-1].video_clips == 40
    assert clips[-1].is_last


@pytest.mark.parametrize("display_size", [(0, 96), (64, 0), (-1, 96)])
def test_a_picture_without_a_size_is_no_header(display_size: tuple[int, int]) -> None:
    file, limits = RangeFile.of(film()), DecodeConfig()
    track = Track(file, container="iso_bmff", limits=limits)
    with pytest.raises(DecodeFailed, match="how large its picture is"):
        read_header(
            track.container, track.stream, file, kind="iso_bmff", limits=limits, display_size=display_size,
            duration_seconds=4.0, gaps=(), rotation=0,
        )  # fmt: skip
    track.close()


def test_decord_gives_fewer_frames_than_it_counts(decode: Decode) -> None:
    root = mp4.parse(film())
    (keys,) = tree.named(root, b"stss")
    keys.body = keys.body[:8] + struct.pack(">I", 15) + keys.body[12:]  # the first frame is none
    units = decode(b"".join(mp4.write(box) for box in root.children or ()), "decord")
    failure = units[-1].failure
    assert failure is not None
    assert failure.reason == "decode_error"
    assert "and counts 40" in failure.message


def test_matroska_without_a_mark_of_any_key_frame_is_decoded(decode: Decode) -> None:
    root = matroska.parse(film("matroska"))
    (segment,) = tree.named(root, matroska.SEGMENT)
    segment.children = [child for child in segment.children or () if child.name not in (CUES, SEEK_HEAD)]
    for block in tree.named(root, matroska.SIMPLE_BLOCK):
        block.body = block.body[:3] + bytes([block.body[3] & 0x7F]) + block.body[4:]
    units = decode(b"".join(matroska.write(element) for element in root.children or ()))
    assert reason_of(units) is None
    assert len(clips_of(units)) == 2


def test_a_film_of_one_moment_lasts_as_long_as_a_last_frame() -> None:
    timeline = Timeline(time_base=Fraction(1, 90_000), origin_ticks=900, rate=None)
    packets = AllPackets(starts=np.array([900]), last_ticks=0, route=Route(int, []), num_cut=0, is_timed=True)
    assert film_seconds(0.5, packets, timeline) == 1.0
