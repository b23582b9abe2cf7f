"""The circuit breaker: a run that fails at nearly everything for one reason ends early, any other goes on."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from framegate.pipelines.commit.journal import Receipt
from framegate.pipelines.driver.breaker import Breaker
from framegate.pipelines.driver.watchers import feed_all
from framegate.schemas.config import FailuresConfig
from framegate.schemas.errors import REASON_MEANINGS
from framegate.schemas.retries import RETRY_AFTER, STOPS_RUN
from framegate.schemas.run import Stop


def receipt(failure_reason: str | None) -> Receipt:
    return Receipt(
        video_id="0" * 16, created=True, num_clips=0, num_answers=0, num_failures=1, num_thinking=0,
        num_answer_tokens=0, num_thinking_tokens=0, decode_seconds=0.0, engine_seconds=0.0, undecoded=True,
        failure_reason=failure_reason,
    )  # fmt: skip


def feed(breaker: Breaker, *reasons: str | None) -> str | None:
    sentences = [breaker.feed(receipt(reason)) for reason in reasons]
    return sentences[-1]


def test_one_reason_beyond_its_share_of_the_window_ends_the_run_and_says_which() -> None:
    breaker = Breaker(FailuresConfig(stop_window=10, stop_share=0.5))
    assert feed(breaker, *["storage"] * 5) is None
    sentence = feed(breaker, "storage")
    assert sentence is not None
    assert "6 of the last 6 units failed for one reason, storage" in sentence


def test_different_reasons_are_not_added_up() -> None:
    breaker = Breaker(FailuresConfig(stop_window=10, stop_share=0.5))
    assert feed(breaker, *["storage", "engine_error"] * 20) is None


def test_what_lies_beyond_the_window_is_forgotten() -> None:
    breaker = Breaker(FailuresConfig(stop_window=4, stop_share=0.5))
    assert feed(breaker, *["storage", "storage", None, None] * 50) is None
    assert feed(breaker, "storage", "storage", "storage") is not None


@pytest.mark.parametrize("reason", sorted(set(REASON_MEANINGS) - STOPS_RUN))
def test_a_bucket_full_of_other_files_is_no_reason_to_stop(reason: str) -> None:
    assert feed(Breaker(FailuresConfig(stop_window=4)), *[reason] * 1000) is None


@given(st.lists(st.sampled_from([None, "storage", "engine_error"]), max_size=60), st.integers(1, 12), st.floats(0.1, 1))
def test_it_trips_exactly_when_the_window_says_so(reasons: list[str | None], window: int, share: float) -> None:
    breaker = Breaker(FailuresConfig(stop_window=window, stop_share=share))
    for end, reason in enumerate(reasons, start=1):
        last = reasons[max(0, end - window) : end]
        most = max(last.count("storage"), last.count("engine_error"))
        assert (breaker.feed(receipt(reason)) is not None) == (most > share * window)


def test_every_reason_has_a_rule_for_trying_again() -> None:
    assert set(RETRY_AFTER) == set(REASON_MEANINGS)
    assert set(RETRY_AFTER) >= STOPS_RUN


def test_every_watcher_hears_every_receipt_and_the_first_of_them_counts() -> None:
    class Counts:
        """Wants the run to end from its third receipt on."""

        code = "deadline"

        def __init__(self, name: str) -> None:
            self.name, self.num_heard = name, 0

        def feed(self, receipt: Receipt) -> str | None:
            self.num_heard += 1
            return f"{self.name} heard {self.num_heard}" if self.num_heard > 2 else None

    breaker, first, second = Breaker(FailuresConfig(stop_window=10)), Counts("first"), Counts("second")
    stops = [feed_all([breaker, first, second], receipt("storage")) for _ in range(4)]
    assert stops == [None, None, *(Stop(code="deadline", sentence=f"first heard {n}") for n in (3, 4))]
    assert first.num_heard == second.num_heard == 4
