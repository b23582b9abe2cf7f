"""What a run may still spend: never more than the budget and one unit, and nobody waits for ever."""

from __future__ import annotations

import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from framegate.pipelines.driver.purse import Limit, LocalPurse
from framegate.pipelines.worker import spending
from framegate.pipelines.worker.spending import wait_for_grant
from framegate.schemas.spending import Grant, RowCost

ROW_TOKENS = 10


def cost(confidence: float | None = 0.5, *, first: float = 0.0, think: float = 0.0, tokens: int = 0) -> RowCost:
    return RowCost(confidence=confidence, first_seconds=first, think_seconds=think, thinking_tokens=tokens)


@given(
    limit=st.integers(1, 400),
    units=st.lists(st.tuples(st.integers(0, 4), st.floats(0, 1)), max_size=60),
    num_workers=st.integers(1, 5),
    choices=st.randoms(use_true_random=False),
)
def test_tokens_go_over_by_less_than_a_unit_whatever_the_order(limit, units, num_workers, choices) -> None:
    purse = LocalPurse(Limit(thinking_tokens=limit, row_tokens=ROW_TOKENS))
    waiting = [(f"unit {n}", rows, int(share * rows * ROW_TOKENS)) for n, (rows, share) in enumerate(units)]
    at_work: list[tuple[str, int, int]] = []
    spent = largest = 0
    while waiting or at_work:
        said = purse.take(*waiting[0][:2]) if waiting and len(at_work) < num_workers else "wait"
        if said == Grant():
            at_work.append(waiting.pop(0))
            assert purse.take(*at_work[-1][:2]) == Grant(), "its worker died, and another one asks again"
        elif said == "refused":
            assert not at_work, "nothing that is at work is thrown away"
            assert spent >= limit
            break
        else:
            assert at_work, "somebody waits, and nobody is at work"
            name, rows, tokens = at_work.pop(choices.randrange(len(at_work)))
            purse.settle(name, [cost(tokens=tokens)])
            spent, largest = spent + tokens, max(largest, rows * ROW_TOKENS)
    assert spent <= limit + largest
    assert purse.spent()[0] == spent
    assert purse.has_refused() is bool(waiting)


@given(limit=st.floats(0.5, 20), takes=st.lists(st.floats(0.01, 1), min_size=1, max_size=60))
def test_seconds_go_over_by_less_than_what_is_at_work_when_one_takes_longer_than_all_before(limit, takes) -> None:
    purse = LocalPurse(Limit(engine_seconds=limit))
    spent = 0.0
    for number, seconds in enumerate(takes):
        said = purse.take(str(number), 1)
        assert said == (Grant() if spent < limit else "refused")
        if said == "refused":
            return
        assert number > 0 or purse.take("another", 1) == "wait", "nobody knows yet what a row takes"
        purse.settle(str(number), [cost(first=seconds)])
        spent += seconds


def test_a_worker_waits_until_another_brings_back_what_it_did_not_need(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spending, "WAIT_SECONDS", 0.01)
    purse = LocalPurse(Limit(thinking_tokens=15, row_tokens=ROW_TOKENS))
    assert wait_for_grant(purse, "first", 1) == Grant()
    came: list[Grant | None] = []
    other = threading.Thread(target=lambda: came.append(wait_for_grant(purse, "second", 1)))
    other.start()
    time.sleep(0.05)
    assert came == []
    purse.settle("first", [cost(tokens=2)])
    other.join(10)
    assert came == [Grant()]
    purse.settle("second", [cost(tokens=13)])
    assert wait_for_grant(purse, "third", 1) is None
