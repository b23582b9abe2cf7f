"""Who enters, who waits and who is given up: with lengths alone, neither a model nor a tensor."""

from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from framegate.pipelines.reason.engines.own.request import cut_batches
from tests.reason.engines.own.scheduler_bench import Bench


def test_clips_are_served_in_the_order_in_which_they_came_and_free_slots_are_filled():
    bench = Bench(num_slots=4)
    bench.add("a", 5, 5, 5)
    bench.add("b", 5, 5, 5)
    assert bench.enter() == ["a0", "a1", "a2", "b0"]
    assert bench.enter() == []
    assert bench.finish("a1", "b0") == [False, False]
    assert bench.enter() == ["b1", "b2"]
    assert bench.running == ["a0", "a2", "b1", "b2"]


def test_a_clip_is_forgotten_with_its_last_request():
    bench = Bench(num_slots=4)
    bench.add("a", 5, 5)
    bench.enter()
    assert bench.finish("a0", "a1") == [False, True]
    assert bench.scheduler.clips == []
    assert bench.scheduler.is_idle


def test_a_clip_whose_last_request_has_gone_is_there_for_what_follows_until_it_is_told_to_go():
    bench = Bench(num_slots=4)
    bench.add("a", 5)
    bench.enter()
    first = bench.clips["a"]
    bench.memory.rows.clear()
    bench.scheduler.finish(bench.requests["a0"])
    bench.add("a", 5)
    assert bench.clips["a"] is first
    assert bench.scheduler.forget_unasked() == []
    assert bench.enter() == ["a1"]
    bench.scheduler.finish(bench.requests["a1"])
    assert bench.scheduler.forget_unasked() == [first]
    assert bench.scheduler.forget_unasked() == bench.scheduler.clips == []


def test_a_later_request_joins_its_clip_while_that_is_there_and_goes_before_later_clips():
    bench = Bench(num_slots=2)
    bench.add("a", 5)
    bench.add("b", 5, 5)
    first = bench.clips["a"]
    assert bench.enter() == ["a0", "b0"]
    bench.add("a", 5)
    assert bench.clips["a"] is first
    bench.finish("b0")
    assert bench.enter() == ["a1"]
    assert bench.finish("a0", "a1") == [False, True]
    bench.add("a", 5)
    assert bench.clips["a"] is not first
    assert bench.enter() == ["b1", "a2"]


def test_asks_of_one_clip_with_other_frames_are_another_clip():
    bench = Bench()
    bench.add("a", 5)
    ask = cast(Any, SimpleNamespace(clip="a", frames=(0, 2)))
    assert bench.scheduler.find_clip(ask) is None


def test_of_many_slots_a_few_are_not_filled_alone_for_each_prefill_has_its_price():
    bench = Bench(num_slots=64)
    bench.add("a", *[5] * 80)
    assert len(bench.enter()) == 64
    bench.finish("a0", "a1", "a2")
    assert bench.enter() == []
    bench.finish("a3")
    assert bench.enter() == ["a64", "a65", "a66", "a67"]


def test_what_does_not_fit_waits_for_others_to_go_and_nothing_overtakes_it():
    bench = Bench(num_slots=8, max_tokens=50)
    bench.add("a", 10, 10)  # 10 + 2 * 10
    bench.add("b", 20)  # 2 * 10 + 3 * 20
    bench.add("c", 1)
    assert bench.enter() == ["a0", "a1"]
    assert bench.enter() == []
    bench.finish("a0")
    assert bench.enter() == []  # 2 * 10 + 2 * 20
    bench.finish("a1")
    assert bench.enter() == ["b0"]
    bench.finish("b0")
    assert bench.enter() == ["c0"]


def test_slots_that_grew_for_others_are_made_small_again_where_nothing_runs():
    bench = Bench(num_slots=4, max_tokens=60)
    bench.add("a", 10, prefix=50)
    bench.enter()
    bench.add("b", 45, prefix=10)
    bench.finish("a0")
    assert bench.memory.num_clears == 0
    assert bench.enter() == ["b0"]
    assert bench.memory.num_clears == 1


def test_a_request_that_does_not_fit_alone_is_given_up_with_its_clip_and_the_next_clip_enters():
    bench = Bench(num_slots=4, max_tokens=60)
    bench.add("a", 10)
    bench.add("b", 70, 5)
    bench.add("c", 10)
    assert bench.enter() == ["a0"]
    bench.finish("a0")
    assert bench.enter() == ["c0", "b0 never", "b1 never"]
    assert [clip.source for clip in bench.scheduler.clips] == ["c"]


def test_requests_that_are_put_back_wait_in_front_in_their_order():
    bench = Bench(num_slots=4)
    bench.add("a", 5, 5)
    bench.add("b", 5, 5, 5)
    bench.enter()
    bench.scheduler.put_back([bench.requests["b0"], bench.requests["b1"]])
    assert bench.running == ["a0", "a1"]
    assert bench.names(bench.clips["b"].waiting) == ["b0", "b1", "b2"]


def test_a_clip_that_is_given_up_goes_with_all_its_requests():
    bench = Bench(num_slots=2)
    bench.add("a", 5, 5, 5)
    bench.enter()
    assert bench.names(bench.scheduler.requests_of(bench.clips["a"])) == ["a0", "a1", "a2"]
    assert bench.names(bench.scheduler.give_up(bench.clips["a"])) == ["a0", "a1", "a2"]
    assert (bench.running, bench.scheduler.clips) == ([], [])


def test_an_error_stops_what_runs_and_what_waits_goes_on():
    bench = Bench(num_slots=3)
    bench.add("a", 5, 5)
    bench.add("b", 5, 5)
    bench.enter()
    assert bench.names(bench.scheduler.stop()) == ["a0", "a1", "b0"]
    assert bench.memory.num_clears == 1
    assert [clip.source for clip in bench.scheduler.clips] == ["b"]
    assert bench.enter() == ["b1"]


def test_out_of_memory_half_as_many_begin_again_in_the_same_order():
    bench = Bench(num_slots=8)
    bench.add("a", *[5] * 5)
    bench.add("b", *[5] * 5)
    assert len(bench.enter()) == 8
    assert bench.scheduler.halve() == []
    assert bench.scheduler.width == 4
    assert bench.memory.num_clears == 1
    assert bench.enter() == ["a0", "a1", "a2", "a3"]
    bench.scheduler.halve()
    bench.scheduler.halve()  # nothing had entered: nothing to halve
    assert bench.scheduler.width == 2
    assert bench.enter() == ["a0", "a1"]


def test_one_that_is_alone_is_tried_once_more_and_then_given_up_with_its_clip():
    bench = Bench(num_slots=1)
    bench.add("a", 5, 5)
    bench.add("b", 5)
    assert bench.enter() == ["a0"]
    assert bench.scheduler.halve() == []
    assert bench.enter() == ["a0"]
    assert bench.names(bench.scheduler.halve()) == ["a0", "a1"]
    assert bench.enter() == ["b0"]


def test_after_calm_steps_twice_as_many_run_up_to_all_slots():
    bench = Bench(num_slots=8, num_calm_steps=3)
    bench.add("a", *[5] * 8)
    bench.enter()
    bench.scheduler.count_step(is_calm=False)
    bench.scheduler.halve()
    bench.enter()
    bench.scheduler.halve()
    widths = []
    for is_calm in (True, True, False, True, True, True, True, True, True, True, True, True):
        bench.scheduler.count_step(is_calm=is_calm)
        widths.append(bench.scheduler.width)
    assert widths == [2, 2, 2, 2, 2, 4, 4, 4, 8, 8, 8, 8]


@settings(max_examples=150, deadline=None)
@given(
    clips=st.lists(
        st.tuples(st.integers(1, 30), st.lists(st.integers(1, 30), min_size=1, max_size=5)), min_size=1, max_size=6
    ),
    num_slots=st.integers(1, 9),
    max_tokens=st.none() | st.integers(1, 200),
    num_paused_steps=st.integers(0, 20),
    choices=st.lists(
        st.tuples(st.sampled_from(["finish", "finish", "pause", "pause", "halve", "stop"]), st.integers(0, 8)),
        max_size=60,
    ),
)
def test_each_request_comes_out_once_whatever_happens(clips, num_slots, max_tokens, num_paused_steps, choices):
    bench = Bench(num_slots=num_slots, max_tokens=max_tokens, num_paused_steps=num_paused_steps)
    for name, (prefix, own_tokens) in zip("abcdef", clips, strict=False):
        bench.add(name, *own_tokens, prefix=prefix)
    gone: list[str] = []
    thinking: set[str] = set()
    steps = iter(choices)
    for _ in range(1000):
        entering, too_large, resuming = bench.scheduler.schedule()
        gone += bench.names(too_large)
        bench.memory.place(entering)
        held, paused = bench.running, bench.names(bench.scheduler.paused)
        running = [name for name in held if name not in paused]
        assert not set(paused) & set(bench.names(resuming))
        assert len(running) <= bench.scheduler.width <= num_slots
        assert len(held) <= bench.scheduler.num_held <= 2 * num_slots
        assert bool(running) == bool(held), "what is paused goes on where nothing else runs"
        assert max_tokens is None or bench.memory.fits(num_rows=0, row_tokens=0, num_clips=0, clip_tokens=0)
        if not running:
            assert not bench.scheduler.clips, "with nothing running, something enters or is given up"
            break
        act, which = next(steps, ("finish", 0))
        chosen = running[which % len(running)]
        if act == "pause" and chosen not in thinking:
            thinking.add(chosen)
            bench.pause(chosen)
        elif act in ("pause", "finish"):
            gone.append(chosen)
            bench.finish(gone[-1])
        else:
            gone += bench.names(bench.scheduler.halve() if act == "halve" else bench.scheduler.stop())
            thinking.clear()  # what runs begins again
        bench.scheduler.count_step(is_calm=act not in ("halve", "stop"))
    assert sorted(gone) == sorted(bench.requests)


@pytest.mark.parametrize(
    ("lengths", "batches"),
    [
        ([], []),
        ([3], [[3]]),
        ([9, 9], [[9], [9]]),
        ([3, 5, 1, 8, 2], [[3, 5], [1], [8], [2]]),
        ([4, 4, 4], [[4, 4], [4]]),
    ],
)
def test_batches_hold_no_more_tokens_than_allowed_but_at_least_one_item(lengths, batches):
    assert list(cut_batches(lengths, lambda length: length, 8)) == batches


def test_who_enters_is_decided_without_torch():
    script = "import sys, framegate.pipelines.reason.engines.own.scheduler; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
