"""At a pace: every row gets its first answer, and thoughts take what is left over, the least sure rows first."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from framegate.pipelines.driver.ledger import Limit, LocalLedger
from framegate.pipelines.driver.pacemaker import MIN_SEEN, Horizon, Pacemaker
from framegate.schemas.spending import Grant, RowCost

FIRST, THINK, TOKENS = 1.0, 4.0, 40


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def bound(pacemaker: Pacemaker, said: Grant) -> float:
    pace = pacemaker.pace()
    return 0.0 if not said.thinks else 2.0 if pace is None else pace


def answer(pacemaker: Pacemaker, clock: Clock, confidences: np.ndarray, threshold: float = 0.9, over_at: float = 1e9):
    """One row after the other on one engine; (has an answer, thought) of each."""
    answered, thought = [], []
    for number, confidence in enumerate(confidences):
        said = pacemaker.reserve(str(number), 1)
        if said == "refused" or clock.now >= over_at:
            break
        assert isinstance(said, Grant)
        below = min(threshold, bound(pacemaker, said))
        thinks = bool(confidence < below)
        clock.now += FIRST + THINK * thinks
        pacemaker.settle(
            str(number),
            [RowCost(float(confidence), FIRST, THINK * thinks, TOKENS * thinks)],
        )
        answered.append(True)
        thought.append(thinks)
    return np.array(answered), np.array(thought)


@pytest.mark.parametrize("share", [0.1, 0.3, 0.6, 1.0])
def test_a_deadline_leaves_a_first_answer_to_all_and_is_used(share: float) -> None:
    confidences, clock = np.random.default_rng(0).random(2000), Clock()
    over_at = 2000 * (FIRST + share * 0.9 * THINK)
    pacemaker = Pacemaker(Horizon(num_rows=2000, over_at=over_at), clock=clock)
    answered, thought = answer(pacemaker, clock, confidences, over_at=over_at)
    assert len(answered) >= 1990
    assert clock.now == pytest.approx(over_at, rel=0.05)
    late = confidences[200 : len(thought)]
    assert late[thought[200:]].mean() < late[~thought[200:]].mean() - 0.3, "the least sure think"


def test_a_budget_of_tokens_lasts_for_the_whole_run() -> None:
    confidences, clock = np.random.default_rng(1).random(2000), Clock()
    ledger = LocalLedger(Limit(thinking_tokens=400 * TOKENS, row_tokens=2 * TOKENS))
    _, thought = answer(Pacemaker(Horizon(num_rows=2000), ledger, clock=clock), clock, confidences)
    assert len(thought) == 2000
    assert 380 <= thought.sum() <= 400
    assert thought[1500:].sum() > 60, "a fifth of the last rows, too"


def test_a_budget_of_the_engine_is_kept_for_first_answers() -> None:
    confidences, clock = np.random.default_rng(2).random(2000), Clock()
    ledger = LocalLedger(Limit(engine_seconds=2000 * FIRST + 300 * THINK))
    answered, thought = answer(Pacemaker(Horizon(num_rows=2000), ledger, clock=clock), clock, confidences)
    assert len(answered) >= 1990
    assert 290 <= thought.sum() <= 310


def test_an_estimate_that_is_too_low_spends_early_and_still_keeps_to_the_budget() -> None:
    confidences, clock = np.random.default_rng(3).random(2000), Clock()
    ledger = LocalLedger(Limit(thinking_tokens=400 * TOKENS, row_tokens=TOKENS))
    _, thought = answer(Pacemaker(Horizon(num_rows=200), ledger, clock=clock), clock, confidences)
    assert len(thought) == 2000
    assert 390 <= thought.sum() <= 400


def test_before_some_rows_are_seen_the_gate_decides_alone() -> None:
    ledger = LocalLedger(Limit(thinking_tokens=10_000, row_tokens=TOKENS))
    pacemaker = Pacemaker(Horizon(num_rows=10_000), ledger)
    for number in range(MIN_SEEN):
        assert pacemaker.reserve(str(number), 1) == Grant(is_paced=True)
        assert pacemaker.pace() is None
        pacemaker.settle(str(number), [RowCost(0.5, FIRST, THINK, TOKENS)])
    assert pacemaker.reserve("another", 1) == Grant(is_paced=True)
    assert pacemaker.pace() is not None


@given(
    limit=st.integers(0, 300),
    rows=st.lists(st.tuples(st.none() | st.floats(0, 1), st.integers(0, 10)), max_size=80),
    num_rows=st.integers(0, 100),
)
def test_tokens_never_go_over_whatever_rows_write(limit, rows, num_rows) -> None:
    ledger = LocalLedger(Limit(thinking_tokens=limit, row_tokens=10))
    pacemaker = Pacemaker(Horizon(num_rows=num_rows), ledger)
    for number, (confidence, tokens) in enumerate(rows):
        said = pacemaker.reserve(str(number), 1)
        assert isinstance(said, Grant)
        spent = tokens if (-1.0 if confidence is None else confidence) < bound(pacemaker, said) and said.thinks else 0
        pacemaker.settle(str(number), [RowCost(confidence, 0.0, 0.0, spent)])
    assert ledger.spent()[0] <= limit
    assert pacemaker.refusal() is None
