"""Seconds of an engine by what they were spent in."""

from __future__ import annotations

import pytest

from framegate.pipelines.reason.occupancy import STATES, Occupancy


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_every_second_has_its_state() -> None:
    clock = Clock()
    occupancy = Occupancy(clock)

    def spend(seconds: float) -> None:
        clock.now += seconds

    spend(1)  # before_first
    with occupancy.unit() as first:
        spend(2)  # arriving
        with occupancy.loading():
            spend(4)
        first("asked")
        occupancy.hold(3, 4)
        spend(8)  # short
        with occupancy.unit():
            spend(16)  # short_beside_units
            occupancy.hold(4, 4)
            spend(32)  # full
        occupancy.hold(0, 4)
        first("leaving")
        spend(64)
    spend(128)  # no_unit
    expected = {
        "before_first": 1, "arriving": 2, "loading": 4, "short": 8, "short_beside_units": 16, "full": 32,
        "leaving": 64, "no_unit": 128,
    }  # fmt: skip
    assert occupancy.read() == pytest.approx(expected)
    assert set(expected) == set(STATES)


def test_an_engine_that_tells_no_slots_is_full_with_anything() -> None:
    clock = Clock()
    occupancy = Occupancy(clock)
    occupancy.hold(1, None)
    clock.now = 5
    assert occupancy.read()["full"] == 5


def test_a_unit_that_fails_is_gone() -> None:
    clock = Clock()
    occupancy = Occupancy(clock)

    def fail() -> None:
        with occupancy.unit() as move:
            move("leaving")
            raise OSError("no room")

    with pytest.raises(OSError, match="no room"):
        fail()
    clock.now = 3
    assert occupancy.read()["no_unit"] == 3
