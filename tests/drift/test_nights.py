"""Which nights are compared: complete ones of the same job and config_id, each with all of its shards."""

from __future__ import annotations

from typing import Any

import pytest

from framegate.pipelines.drift.nights import Compared, find_compared
from framegate.pipelines.drift.series import Spans


def run(day: int, **fields: Any) -> dict[str, Any]:
    at = f"2026-11-{day:02d}T{fields.pop('hour', 1):02d}:00:00+00:00"
    counts = {"num_answers": 10, "num_failures": 0}
    common = {"state": "complete", "config_id": "a", "job": "job.yaml", "started_at": at, "counts": counts}
    return {"run_id": f"night-{day}", **common, **fields}


def names(runs: list[dict[str, Any]], run_id: str, num_before: int = 10) -> list[list[str]] | None:
    compared = find_compared(runs, run_id, num_before=num_before)
    return None if compared is None else [[run["run_id"] for run in night.runs] for night in compared.nights]


def test_nights_come_from_this_one_back() -> None:
    runs = [run(day) for day in range(1, 6)]
    assert names(runs, "night-5") == [["night-5"], ["night-4"], ["night-3"], ["night-2"], ["night-1"]]
    assert names(runs, "night-3") == [["night-3"], ["night-2"], ["night-1"]]
    assert names(runs, "night-1") is None


def test_so_many_are_read_that_three_nights_have_as_many_before_them() -> None:
    runs = [run(day) for day in range(1, 20)]
    found = names(runs, "night-19", num_before=4)
    assert found is not None
    assert len(found) == 1 + 4 + 2


@pytest.mark.parametrize(
    "other",
    [
        {"state": "stopped", "stop_code": "deadline"},
        {"state": "stopped", "stop_code": "limit"},
        {"state": "failed", "stop_code": "refused"},
        {"state": "running"},
        {"command": "deepen"},
        {"config_id": "b"},
        {"job": "other.yaml"},
        {"counts": {"num_answers": 0, "num_failures": 0}},
        {"counts": None},
    ],
)
def test_what_is_no_complete_night_of_this_job_is_left_out(other: dict[str, Any]) -> None:
    runs = [run(1), run(2, **other), run(3, state="running", counts=None)]
    assert names(runs, "night-3") == [["night-3"], ["night-1"]]


def test_shards_of_a_night_are_one_night() -> None:
    runs = [
        run(day, run_id=f"{day}-{number}", shard=f"{number}/3", hour=number)
        for day in (1, 2, 3)
        for number in (1, 2, 3)
    ]
    runs[7] |= {"state": "running"}
    assert names(runs, "3-1") == [["3-1", "3-3"], ["2-1", "2-2", "2-3"], ["1-1", "1-2", "1-3"]]
    assert names(runs, "3-3") == [["3-1", "3-3"], ["2-1", "2-2", "2-3"], ["1-1", "1-2", "1-3"]]


def test_looks_are_counted_by_records() -> None:
    runs = [run(1), run(2, drift_look=4), run(3, drift_look=None), run(4)]
    compared = find_compared(runs, "night-4", num_before=10)
    assert compared is not None
    assert compared.look == 5


def compare(num_nights: int, num_before: int) -> Compared:
    compared = find_compared(
        [run(day) for day in range(1, num_nights + 1)], f"night-{num_nights}", num_before=num_before
    )
    assert compared is not None
    return compared


def test_the_sides_of_a_window_are_nights_side_by_side() -> None:
    compared = compare(13, 10)
    assert compared.windows == (1, 3)
    assert compared.places(1) == (range(1), range(1, 11))
    assert compared.places(3) == (range(3), range(3, 13))
    assert compare(3, 10).windows == (1,)
    assert compare(4, 10).places(3) == (range(3), range(3, 4))


@pytest.mark.parametrize(("num_nights", "num_before"), [(2, 10), (3, 1), (4, 2), (13, 10), (9, 10), (5, 1)])
def test_spans_make_up_the_sides(num_nights: int, num_before: int) -> None:
    compared = compare(num_nights, num_before)
    spans = Spans.of(compared)
    number_of = {place: sum(place >= begin for begin in spans.begins) - 1 for place in range(num_nights)}
    for window in compared.windows:
        for places in compared.places(window):
            within = range(len(spans.begins))[spans.within(places)]
            assert {place for place, number in number_of.items() if number in within} == set(places)
