"""What a run may still spend: never more than the budget and one unit, and nobody waits for ever."""

from __future__ import annotations

import threading
import time
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from framegate.pipelines.commit.journal import Receipt
from framegate.pipelines.driver.budget import Budget
from framegate.pipelines.driver.ledger import LedgerOnRay, Limit, LocalLedger
from framegate.pipelines.driver.stopping import Stopping
from framegate.pipelines.worker import spending
from framegate.pipelines.worker.spending import wait_for_grant
from framegate.schemas.run import Stop
from framegate.schemas.spending import Grant, Refusal, RowCost

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
    ledger = LocalLedger(Limit(thinking_tokens=limit, row_tokens=ROW_TOKENS))
    waiting = [(f"unit {n}", rows, int(share * rows * ROW_TOKENS)) for n, (rows, share) in enumerate(units)]
    at_work: list[tuple[str, int, int]] = []
    spent = largest = 0
    while waiting or at_work:
        said = ledger.reserve(*waiting[0][:2]) if waiting and len(at_work) < num_workers else "wait"
        if said == Grant():
            at_work.append(waiting.pop(0))
            assert ledger.reserve(*at_work[-1][:2]) == Grant(), "its worker died, and another one asks again"
        elif said == "refused":
            assert not at_work, "nothing that is at work is thrown away"
            assert spent >= limit
            break
        else:
            assert at_work, "somebody waits, and nobody is at work"
            name, rows, tokens = at_work.pop(choices.randrange(len(at_work)))
            ledger.settle(name, [cost(tokens=tokens)])
            spent, largest = spent + tokens, max(largest, rows * ROW_TOKENS)
    assert spent <= limit + largest
    assert ledger.spent()[0] == spent
    assert ledger.refusal() == ("spent" if waiting else None)


@given(limit=st.floats(0.5, 20), takes=st.lists(st.floats(0.01, 1), min_size=1, max_size=60))
def test_seconds_go_over_by_less_than_what_is_at_work_when_one_takes_longer_than_all_before(limit, takes) -> None:
    ledger = LocalLedger(Limit(engine_seconds=limit))
    spent = 0.0
    for number, seconds in enumerate(takes):
        said = ledger.reserve(str(number), 1)
        assert said == (Grant() if spent < limit else "refused")
        if said == "refused":
            return
        assert number > 0 or ledger.reserve("another", 1) == "wait", "nobody knows yet what a row takes"
        ledger.settle(str(number), [cost(first=seconds)])
        spent += seconds


def test_a_worker_waits_until_another_brings_back_what_it_did_not_need(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spending, "WAIT_SECONDS", 0.01)
    ledger = LocalLedger(Limit(thinking_tokens=15, row_tokens=ROW_TOKENS))
    assert wait_for_grant(ledger, "first", 1) == Grant()
    came: list[Grant | None] = []
    other = threading.Thread(target=lambda: came.append(wait_for_grant(ledger, "second", 1)))
    other.start()
    time.sleep(0.05)
    assert came == []
    ledger.settle("first", [cost(tokens=2)])
    other.join(10)
    assert came == [Grant()]
    ledger.settle("second", [cost(tokens=13)])
    assert wait_for_grant(ledger, "third", 1) is None


@pytest.mark.usefixtures("ray_cluster")
def wait_until_lost(ledger: LedgerOnRay) -> None:
    """One that is killed still answers for a moment, and a call of that moment may never come back."""
    import ray

    for _ in range(60):
        try:
            ray.get(ledger._actor.refusal.remote(), timeout=1)
        except ray.exceptions.RayActorError:
            return
        except ray.exceptions.GetTimeoutError:
            continue
    pytest.fail("an actor that was killed is still there after a minute")


def test_where_the_actor_is_lost_nothing_that_it_bounds_is_let_in() -> None:
    import ray

    limit = Limit(thinking_tokens=15, row_tokens=ROW_TOKENS)
    for is_bounded in (True, False):
        ledger = LedgerOnRay(partial(LocalLedger, limit), is_bounded=is_bounded)
        assert ledger.reserve("first", 1) == Grant()
        assert ledger.reserve("second", 1) == "wait"
        ledger.settle("first", [cost(tokens=15)])
        assert (ledger.reserve("second", 1), ledger.refusal()) == ("refused", "spent")
        ray.kill(ledger._actor)
        wait_until_lost(ledger)
        assert ledger.reserve("third", 1) == ("refused" if is_bounded else Grant())
        assert ledger.pace() == (0.0 if is_bounded else None)
        assert ledger.refusal() == "lost"
        ledger.settle("third", [cost(tokens=1)])
        ledger.end()
        assert ledger.refusal() is None


@pytest.mark.parametrize(
    ("refusal", "said"),
    [
        ("spent", "its budget of 5 thinking tokens is spent"),
        ("lost", "what keeps its budget was lost with its process, and nothing more is spent"),
    ],
)
def test_a_run_stops_and_says_whether_its_budget_is_spent_or_its_ledger_lost(refusal: Refusal, said: str) -> None:
    class Refusing(LocalLedger):
        def refusal(self) -> Refusal | None:
            return refusal

    limit, stopping = Limit(thinking_tokens=5), Stopping()
    with Budget(limit, "5 thinking tokens").watching(Refusing(limit), stopping):
        pass
    assert stopping.reason == Stop(code="budget", sentence=said)


def test_what_a_round_has_spent_is_not_there_for_the_next_one() -> None:
    receipt = Receipt(video_id="0" * 16, created=True, undecoded=False, failure_reason=None,
                      num_thinking_tokens=3, num_deepened_tokens=4, engine_seconds=2.0)  # fmt: skip
    for limit, left in (
        (Limit(thinking_tokens=20, row_tokens=5), Limit(thinking_tokens=6, row_tokens=5)),
        (Limit(thinking_tokens=5, row_tokens=5), Limit(thinking_tokens=0, row_tokens=5)),
        (Limit(engine_seconds=10.0), Limit(engine_seconds=6.0)),
    ):
        budget = Budget(limit)
        assert [*budget.hear(each for each in (receipt, receipt))] == [receipt, receipt]
        assert budget.limit == left
