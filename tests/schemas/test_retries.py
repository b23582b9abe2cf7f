"""When what failed is tried again."""

from __future__ import annotations

from datetime import timedelta

import pytest

from framegate.schemas.errors import REASON_MEANINGS
from framegate.schemas.retries import RETRY_AFTER, STOPS_RUN, wait_after


def test_every_reason_has_a_rule_and_no_rule_is_for_nothing() -> None:
    assert set(RETRY_AFTER) == set(REASON_MEANINGS)
    assert set(REASON_MEANINGS) >= STOPS_RUN


@pytest.mark.parametrize("reason", REASON_MEANINGS)
def test_the_wait_doubles_with_each_failure_and_ends_somewhere(reason: str) -> None:
    first = RETRY_AFTER[reason]
    waits = [wait_after(reason, attempts) for attempts in (1, 2, 3, 100)]
    if first is None:
        assert waits == [None] * 4
    else:
        assert waits[:3] == [first, 2 * first, 4 * first]
        assert first < waits[3] < timedelta(days=3000)  # type: ignore[operator]


def test_what_a_file_is_by_itself_is_not_tried_again() -> None:
    assert wait_after("decode_error", 1) is None
    assert wait_after("storage", 1) == timedelta(minutes=1)
    assert wait_after("a code of another version", 1) is None
