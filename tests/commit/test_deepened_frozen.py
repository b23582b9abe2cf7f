"""Rows are completed in place: a glob shows each as before or as after, whoever is killed, frozen or started twice."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace

import pytest

from framegate.pipelines.commit.output import Output
from framegate.pipelines.commit.seal import compact, finish_seals
from framegate.pipelines.commit.unit_rows import RunFacts
from framegate.pipelines.erase.erase import erase
from tests.commit.deepened_world import NAMES, Rows, World, make_worlds
from tests.watched_store import Killed, WatchedStore


@pytest.fixture
def worlds(memory_root: str, units: SimpleNamespace, facts: RunFacts) -> Callable[[object], World]:
    return make_worlds(memory_root, units, facts)


def every_request(worlds: Callable[[object], World], run: Callable[[World, int], bool]) -> None:
    """Runs in a world of its own for each request, until there is none of that number."""
    number = 0
    while run(worlds(number), number):
        number += 1
    assert number > 10


def assert_clean(world: World, number: int) -> None:
    """An audit takes longer than all else that is done here: every third world has one."""
    if number % 3 == 0:
        assert world.findings() == {}, number


def assert_each_row_is_whole(world: World, before: Rows, after: Rows) -> None:
    for key, row in world.rows().items():
        assert row in (before[key], after[key])


def test_a_sealer_that_dies_before_any_request_is_completed(worlds: Callable[[object], World]) -> None:
    whole = worlds("whole")
    before = whole.rows()
    whole.deepen(*NAMES, failing=True)
    whole.seal()
    after, counts, failures = whole.rows(), whole.counts(), whole.rows("failures")

    def run(world: World, number: int) -> bool:
        def die(n: int) -> None:
            if n == number:
                raise Killed

        world.deepen(*NAMES, failing=True)
        try:
            world.seal(WatchedStore(before=die))
        except Killed:
            assert_each_row_is_whole(world, before, after)
            assert_clean(world, number)
            if number % 2:
                finish_seals(world.output, world.facts.config_id)
                assert_each_row_is_whole(world, before, after)
            world.seal()
            assert (world.rows(), world.rows("failures"), world.counts()) == (after, failures, counts)
            assert world.waiting() == []
            assert_clean(world, number)
            return True
        return False

    every_request(worlds, run)


def test_a_sealer_frozen_anywhere_while_others_seal_erase_and_compact(worlds: Callable[[object], World]) -> None:
    def run(world: World, number: int) -> bool:
        world.deepen(*NAMES)

        def others(n: int) -> None:
            if n == number:
                world.seal()
                world.answer("d")
                world.seal()
                erase(world.output, ["b.mp4"])
                compact(world.output, world.facts.config_id)
                world.deepen("d", "a", attempt=2, second="yes")
                world.seal()

        store = WatchedStore(before=others)
        world.seal(store)
        if store.num_requests[0] <= number:
            return False
        assert {(key[0], row["answer"]) for key, row in world.rows().items()} == {
            ("a.mp4", "no"), ("c.mp4", "no"), ("d.mp4", "yes"),
        }, number  # fmt: skip
        assert world.counts()["deepening"].num_deepened == 16, number
        assert_clean(world, number)
        assert world.waiting() == [], number
        return True

    every_request(worlds, run)


def test_other_seals_frozen_anywhere_while_rows_are_completed(worlds: Callable[[object], World]) -> None:
    def run(world: World, number: int) -> bool:
        world.answer("d")

        def others(n: int) -> None:
            if n == number:
                world.seal()
                world.deepen(*NAMES, "d")
                world.seal()

        store = WatchedStore(before=others)
        world.seal(store)
        compact(Output(store, world.output.layout), world.facts.config_id)
        if store.num_requests[0] <= number:
            return False
        world.seal()
        assert {(key[0], row["answer"]) for key, row in world.rows().items()} == {(f"{n}.mp4", "no") for n in "abcd"}
        assert_clean(world, number)
        return True

    every_request(worlds, run)


def test_an_erasure_frozen_anywhere_while_rows_are_completed(worlds: Callable[[object], World]) -> None:
    def run(world: World, number: int) -> bool:
        world.deepen(*NAMES)

        def others(n: int) -> None:
            if n == number:
                world.seal()

        store = WatchedStore(before=others)
        erase(Output(store, world.output.layout), ["b.mp4"])
        if store.num_requests[0] <= number:
            return False
        world.seal()
        assert {(key[0], row["answer"]) for key, row in world.rows().items()} == {("a.mp4", "no"), ("c.mp4", "no")}
        assert_clean(world, number)
        return True

    every_request(worlds, run)
