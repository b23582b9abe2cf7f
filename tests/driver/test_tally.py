"""What the driver remembers of a run does not grow with its rows."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pyarrow as pa

from framegate.pipelines.commit.journal import Receipt
from framegate.pipelines.driver.tally import Tally
from framegate.schemas.keys import id_text
from tests.planned import planned


def receipt(number: int, *, created: bool = True) -> Receipt:
    return Receipt(
        video_id=id_text(number), created=created, num_clips=2, num_answers=3, num_failures=1, num_thinking=1,
        num_answer_tokens=30, num_thinking_tokens=100, decode_seconds=0.5, engine_seconds=2.0, undecoded=False,
        failure_reason=None,
    )  # fmt: skip


def test_units_of_one_video_are_one_video_and_all_their_rows() -> None:
    tally = Tally(pa.concat_tables([planned([7, 2**63]), planned([3])]))
    for number in (7, 2**63, 7, 7):
        tally.add(receipt(number))
    tally.add(receipt(3, created=False))
    assert tally.num_begun == 3
    assert (tally.counts.num_clips, tally.counts.num_answers, tally.counts.num_failures) == (8, 12, 4)
    assert tally.num_lost_races == 1


def test_a_hundred_thousand_videos_take_some_megabytes_whatever_comes_of_them() -> None:
    videos = planned(range(100_000))
    tracemalloc.start()
    try:
        tally = Tally(videos)
        before, _ = tracemalloc.get_traced_memory()
        for number in np.random.default_rng(0).integers(0, 100_000, 20_000).tolist():
            tally.add(receipt(number))
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert before < 5_000_000
    assert after - before < 50_000  # the samples of its speed
