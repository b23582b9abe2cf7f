"""Who thinks pauses until enough are there, or nothing else is: when all go on, and how many are held."""

from __future__ import annotations

from tests.reason.engines.own.scheduler_bench import Bench


def test_who_thinks_pauses_while_others_enter_and_goes_on_where_nothing_does():
    bench = Bench(num_slots=2)
    bench.add("a", 5, 5)
    bench.add("b", 5, 5)
    assert bench.enter() == ["a0", "a1"]
    bench.pause("a1")
    assert bench.enter() == ["b0"]
    bench.finish("a0")
    assert bench.enter() == ["b1"]
    assert bench.enter() == []  # the step is full
    bench.finish("b0")
    assert bench.enter() == ["a1 again"]
    assert bench.names(bench.scheduler.paused) == []


def test_enough_who_think_to_fill_a_step_go_on_together_the_oldest_first():
    bench = Bench(num_slots=4)
    bench.add("a", *[5] * 20)
    bench.enter()
    bench.pause("a2", "a0", "a3")
    assert bench.enter() == ["a4", "a5", "a6"]
    bench.pause("a5")
    assert bench.enter() == ["a2 again"]  # of four one has room beside a1, a4 and a6
    bench.finish("a1", "a4", "a6")
    assert bench.enter() == ["a0 again", "a3 again", "a5 again"]
    bench.finish("a2")
    assert bench.enter() == ["a7"]
    bench.pause("a7")
    assert bench.enter() == ["a7 again"]  # the others think already: together they are enough
    bench.finish("a0", "a3", "a5", "a7")
    assert bench.enter() == ["a8", "a9", "a10", "a11"]


def test_who_has_been_paused_for_too_long_goes_on():
    bench = Bench(num_slots=4, num_paused_steps=3)
    bench.add("a", *[5] * 20)
    bench.enter()
    bench.pause("a0")
    assert bench.enter() == ["a4"]
    for expected in ([], [], []):
        bench.scheduler.count_step(is_calm=True)
        assert bench.enter() == expected
    bench.finish("a1")
    assert bench.enter() == ["a0 again"]


def test_where_memory_is_full_who_is_paused_goes_on():
    bench = Bench(num_slots=4, max_tokens=50)
    bench.add("a", 10, 10)  # 10 + 2 * 10
    bench.add("b", 30)  # 2 * 10 + 3 * 30
    bench.enter()
    bench.pause("a0", "a1")
    assert bench.enter() == ["a0 again", "a1 again"]
    bench.finish("a0", "a1")
    assert bench.enter() == ["b0"]
    assert bench.memory.num_clears == 0


def test_as_many_are_paused_at_most_as_take_part_in_a_step():
    bench = Bench(num_slots=4)
    bench.add("a", *[5] * 20)
    bench.enter()
    bench.pause("a0", "a1", "a2")
    bench.enter()
    bench.pause("a3", "a4", "a5", "a6")
    assert len(bench.running) == 7
    assert bench.enter() == ["a0 again", "a1 again", "a2 again", "a3 again"]
    assert bench.enter() == []


def test_while_memory_is_short_nobody_is_paused():
    bench = Bench(num_slots=8, num_calm_steps=1)
    bench.add("a", *[5] * 20)
    bench.enter()
    bench.pause("a0", "a1")
    bench.enter()
    assert len(bench.running) == 10
    bench.scheduler.halve()
    assert bench.names(bench.scheduler.paused) == []
    assert (bench.scheduler.width, bench.scheduler.num_held) == (4, 4)
    assert bench.enter() == ["a0", "a1", "a2", "a3"]
    bench.pause("a0")
    assert bench.enter() == ["a0 again"]
    bench.scheduler.count_step(is_calm=True)
    assert (bench.scheduler.width, bench.scheduler.num_held) == (8, 16)


def test_where_what_entered_is_put_back_who_is_paused_goes_on():
    """Its prefix could not be laid out beside them: without them it could."""
    bench = Bench(num_slots=4)
    bench.add("a", 5, 5)
    bench.add("b", 5, 5, 5, 5, 5, 5, 5, 5)
    assert bench.enter() == ["a0", "a1", "b0", "b1"]
    bench.pause("a0", "a1", "b0")
    bench.finish("b1")
    assert bench.enter() == ["b2", "b3", "b4", "b5"]
    bench.scheduler.put_back([bench.requests[name] for name in ("b2", "b3", "b4", "b5")])
    bench.memory.rows = bench.memory.rows[:3]
    assert bench.enter() == ["a0 again", "a1 again", "b0 again", "b2"]
