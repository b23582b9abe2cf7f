"""Counters add up, one by one, also those of a receipt."""

from __future__ import annotations

from framegate.pipelines.commit.journal import Receipt
from framegate.schemas.counts import SEALED_COUNTS, Counts


def test_the_sum_is_taken_counter_by_counter() -> None:
    one = Counts(num_clips=1, num_answers=2, num_failures=3, engine_seconds=0.5)
    assert one.plus(Counts(num_answers=5, decode_seconds=2.0)) == Counts(
        num_clips=1, num_answers=7, num_failures=3, engine_seconds=0.5, decode_seconds=2.0
    )


def test_a_receipt_adds_to_counts() -> None:
    receipt = Receipt(video_id="v", created=True, undecoded=False, failure_reason=None, num_answers=2, num_thinking=1)
    assert Counts(num_answers=2).plus(receipt) == Counts(num_answers=4, num_thinking=1)


def test_a_sum_with_a_part_that_is_not_known_is_not_known() -> None:
    older = Counts(num_answers=5, num_unparsed=None)
    for total in (older.plus(Counts(num_answers=2, num_unparsed=1)), Counts(num_answers=2, num_unparsed=1).plus(older)):
        assert (total.num_answers, total.num_unparsed, total.unparsed_share) == (7, None, None)
    assert Counts(num_answers=8, num_unparsed=2).unparsed_share == 0.25
    assert Counts().unparsed_share == 0.0


def test_seals_count_no_seconds() -> None:
    assert all(not name.endswith("seconds") for name in SEALED_COUNTS)


def test_the_think_rate_of_nothing_is_zero() -> None:
    assert Counts().think_rate == 0.0
    assert Counts(num_answers=4, num_thinking=1).think_rate == 0.25
