"""Rows think first where it changes most, those of the audit sample before all, and no more than can be reached."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from framegate.pipelines.calibrate.change_rate import ChangeRate
from framegate.pipelines.calibrate.worth import Worth
from framegate.pipelines.plan.spending import MARGIN, Reach, arrange
from framegate.schemas.deepening import DEEPENABLE

UNKNOWN, BOUNDLESS = Worth(), Reach()
RATE = ChangeRate(np.array([0.5, 0.9]), np.array([0.4, 0.1]))


def table(rows: list[tuple[str, float | None, float | None]]) -> pa.Table:
    """Of (question_hash, confidence, audit_rank)."""
    blank = {
        field.name: None if field.nullable else {"string": "x", "int32": 0}[str(field.type)] for field in DEEPENABLE
    }
    return pa.Table.from_pylist(
        [
            {**blank, "question_hash": hash, "confidence_first": confidence, "audit_rank": rank, "clip_index": number}
            for number, (hash, confidence, rank) in enumerate(rows)
        ],
        schema=DEEPENABLE,
    )


def order(rows, worth=UNKNOWN, reach=BOUNDLESS, always=()) -> list[int]:
    return arrange(table(rows), worth, reach, always).column("clip_index").to_pylist()


def test_the_least_sure_come_first_where_nothing_is_known() -> None:
    assert order([("a", 0.9, None), ("a", 0.6, None), ("b", 0.7, None), ("a", None, None)]) == [3, 1, 2, 0]


def test_the_change_expected_per_token_decides_where_it_is_known() -> None:
    worth = Worth(tokens={"long": 1000.0, "short": 10.0}, rate=RATE)
    assert order([("long", 0.5, None), ("short", 0.9, None), ("short", 0.7, None)], worth) == [2, 1, 0]


def test_the_audit_sample_comes_by_its_rank_and_then_what_thinks_in_any_case() -> None:
    rows = [("a", 0.3, None), ("a", 0.99, 0.02), ("always", 0.99, None), ("a", 0.2, 0.5), ("a", 0.4, 0.01)]
    assert order(rows, always={"always"}) == [4, 1, 3, 2, 0]


def test_no_more_is_planned_than_can_be_reached() -> None:
    rows = [("a", number / 100, None) for number in range(100)]
    known = Worth(tokens={"a": 10.0}, seconds_per_token=0.5)
    assert len(order(rows, known, Reach(tokens=50))) == MARGIN * 5
    assert len(order(rows, known, Reach(engine_seconds=50))) == MARGIN * 10
    assert len(order(rows, known, Reach(tokens=50, engine_seconds=5))) == MARGIN * 1
    assert len(order(rows, known, Reach(tokens=0))) == 1, "one at least: a unit may always be asked"
    assert len(order(rows, Worth(), Reach(tokens=50))) == 100, "nobody knows what a thought takes"
    assert len(order(rows, known)) == 100


def test_of_nothing_nothing_is_planned() -> None:
    assert order([]) == []


@given(
    rows=st.lists(
        st.tuples(
            st.sampled_from("abc"),
            st.none() | st.floats(0, 1),
            st.none() | st.floats(0, 1, exclude_max=True),
        ),
        max_size=30,
    ),
    tokens=st.none() | st.integers(0, 500),
)
def test_any_rows_come_in_an_order_of_which_less_reach_gives_the_beginning(rows, tokens) -> None:
    worth = Worth(tokens={"a": 10.0, "b": 40.0}, rate=RATE)
    whole = order(rows, worth, always={"c"})
    assert sorted(whole) == list(range(len(rows)))
    part = order(rows, worth, Reach(tokens=tokens), always={"c"})
    assert part == whole[: len(part)]
    ranks = [rows[place][2] for place in whole]
    audited = [rank for rank in ranks if rank is not None]
    assert ranks[: len(audited)] == sorted(audited)


def test_questions_that_never_thought_take_what_others_do() -> None:
    assert Worth(tokens={"a": 10.0, "b": 30.0}).tokens_of(["a", "c"]) == pytest.approx([10, 20])
