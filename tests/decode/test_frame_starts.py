"""Which frame is on display, told from the times of packets alone."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from framegate.pipelines.decode.readers.frame_starts import MAX_REORDERED, FrameStarts, IrregularPackets


def starts_of(*ticks: int) -> FrameStarts:
    starts = FrameStarts()
    for start in ticks:
        starts.add(start)
    return starts


@given(st.sets(st.integers(-50, 50), min_size=1), st.integers(-60, 60))
def test_the_frame_on_display_is_the_last_that_has_started_or_else_the_first(ticks: set[int], limit: int) -> None:
    starts = starts_of(*ticks)
    assert starts.on_display(limit) == max((start for start in ticks if start <= limit), default=min(ticks))
    assert starts.after(limit) == min((start for start in ticks if start > limit), default=None)
    assert starts.newest == max(ticks)
    starts.forget_before(limit)
    assert bool(starts) == any(start >= limit for start in ticks)


def test_a_limit_is_settled_once_a_packet_is_decoded_after_it_and_no_reordered_one_can_follow() -> None:
    starts = FrameStarts()
    for dts, pts in ((0, 0), (1, 4), (2, 2), (3, 3)):  # a stream that holds back two frames
        starts.note_dts(dts, pts)
        starts.add(pts)
    assert not starts.is_settled(2, 2)
    assert starts.is_settled(2, 1)
    starts.note_dts(5, 6)
    starts.add(6)
    assert starts.is_settled(2, 2)
    assert not starts.is_settled(4, 2)


@pytest.mark.parametrize("dts", [None, 9, -1], ids=["none", "behind its pts", "backwards"])
def test_without_reliable_decode_times_only_many_later_frames_settle_a_limit(dts: int | None) -> None:
    starts = starts_of(0)
    if dts is not None:
        starts.note_dts(0, 0)
        starts.note_dts(dts, 1)
    for start in range(1, MAX_REORDERED + 1):
        starts.add(start)
    assert not starts.is_settled(0, 0)
    starts.add(MAX_REORDERED + 1)
    assert starts.is_settled(0, 0)


def test_what_packets_must_not_say_is_irregular() -> None:
    with pytest.raises(IrregularPackets, match="no packet has a time"):
        FrameStarts().on_display(0)
    starts = starts_of(0, 4, 8)
    with pytest.raises(IrregularPackets, match="the same time"):
        starts.add(4)
    starts.settle(6)
    starts.settle(5)
    with pytest.raises(IrregularPackets, match="after later ones"):
        starts.add(6)
    starts.add(7)
    assert starts.on_display(7) == 7
