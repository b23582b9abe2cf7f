"""When a decoder has had enough time: counted while it works, and for it alone."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from framegate.pipelines.decode.readers.blocks import RangeFile
from framegate.pipelines.decode.readers.reader import open_reader
from framegate.pipelines.decode.sandbox.deadlines import VideoDeadlines
from framegate.pipelines.decode.sandbox.sandbox import Sandbox
from framegate.schemas.config import DecodeConfig
from framegate.schemas.errors import (
    DecodeTimeout,
)
from tests.decode.sandbox.sources import Bytes


def stopwatch(counter: list[int], **limits: float) -> VideoDeadlines:
    return VideoDeadlines(DecodeConfig(**limits), lambda: str(counter[0]).encode())


def test_a_deadline_between_frames_begins_anew_with_each_frame() -> None:
    counter = [0]
    watch = stopwatch(counter, frame_seconds=10)
    watch.begin("frame")
    for counter[0] in range(50):
        watch.spend(9)
    with pytest.raises(DecodeTimeout, match="no frame for 10 seconds"):
        watch.spend(11)


def test_opening_has_one_deadline_whatever_progress_there_is() -> None:
    counter = [0]
    watch = stopwatch(counter, open_seconds=10)
    for counter[0] in range(3):
        watch.spend(3)
    with pytest.raises(DecodeTimeout, match="open_seconds"):
        watch.spend(3)


def test_a_decoder_that_says_nothing_has_the_time_of_all_its_frames() -> None:
    watch = stopwatch([0], frame_seconds=10)
    watch.begin("frame", num_frames=5)
    watch.spend(49)
    with pytest.raises(DecodeTimeout, match=r"no frame for 50 seconds .*frame_seconds is 10"):
        watch.spend(2)


def test_the_time_of_all_reads_counts_for_the_video() -> None:
    watch = stopwatch([0], frame_seconds=10, video_seconds=25)
    for _ in range(3):
        watch.begin("frame")
        watch.spend(8)
    watch.begin("frame")
    with pytest.raises(DecodeTimeout, match="video_seconds"):
        watch.spend(8)


def test_slow_storage_is_not_the_decoders_fault(make_sandbox: Callable[..., Sandbox]) -> None:
    class Slow(Bytes):
        def read(self, start: int, end: int) -> bytes:
            time.sleep(1.5)
            return super().read(start, end)

    sandbox = make_sandbox("Plain", open_seconds=1.2, video_seconds=2.5)
    assert sandbox.open("Plain", Slow()).header.codec == "grey"


@pytest.mark.parametrize("decoder", ["pyav", "decord"])
def test_our_readers_tell_of_each_frame_that_they_decode(film: bytes, decoder: str) -> None:
    pytest.importorskip("decord" if decoder == "decord" else "av")
    told: list[None] = []
    with open_reader(decoder, RangeFile.of(film)) as reader:
        reader.progress = lambda: told.append(None)  # type: ignore[attr-defined]
        reader.read([1.0, 2.0, 3.0], height=28, width=28)
    assert len(told) >= 3
