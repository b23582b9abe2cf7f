"""Headers whose numbers no video can have: each is refused or counts as not told, and crashes nothing."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from tests.decode.corpus_films import FRAGMENTED, film
from tests.decode.corpus_run import clips_of, make_stage, planned, reason_of
from tests.decode.structured import mp4, riff, tree


def decode(data: bytes, tmp_path: Path):
    path = tmp_path / "film.bin"
    path.write_bytes(data)
    stage = make_stage("pyav")
    try:
        return [*stage.decode(planned(path))]
    finally:
        stage.close()


@pytest.mark.parametrize("ratio", [(1 << 30, 1), (1, 1 << 30), (65535, 1), (1, 65535)])
def test_pixels_that_are_far_longer_than_high_are_too_large(ratio: tuple[int, int], tmp_path: Path) -> None:
    root = mp4.parse(film())
    (picture,) = tree.named(root, b"avc1")
    picture.children = [
        *(box for box in picture.children or () if box.name != b"pasp"),
        tree.Node(name=b"pasp", body=struct.pack(">II", *ratio)),
    ]
    units = decode(b"".join(mp4.write(box) for box in root.children or ()), tmp_path)
    assert reason_of(units) == "too_large"
    failure = units[-1].failure
    assert failure is not None
    assert "1,048,576 to a side" in failure.message


def test_a_rate_that_is_none_counts_as_not_told(tmp_path: Path) -> None:
    root = riff.parse(film("avi", "mpeg4"))
    (head,) = tree.named(root, b"strh")
    head.body = head.body[:20] + struct.pack("<II", 1, 2_000_000_000) + head.body[28:]  # the clock of the stream
    units = decode(b"".join(riff.write(chunk) for chunk in root.children or ()), tmp_path)
    assert reason_of(units) is None
    assert units[0].facts is not None
    assert units[0].facts.fps is None


def test_a_false_clock_makes_no_weeks_of_clips_of_a_few_frames(tmp_path: Path) -> None:
    root = mp4.parse(film(muxer_options=FRAGMENTED))
    (clock,) = tree.named(root, b"mdhd")
    clock.body = clock.body[:12] + struct.pack(">I", 16) + clock.body[16:]
    units = decode(b"".join(mp4.write(box) for box in root.children or ()), tmp_path)
    assert reason_of(units) is None
    assert units[0].facts is not None
    assert units[0].facts.duration_seconds == 4000.0
    clips = clips_of(units)
    assert len(clips) == 40  # as many as there are frames
    assert units[-1].video_clips == 40
    assert clips[-1].is_last
