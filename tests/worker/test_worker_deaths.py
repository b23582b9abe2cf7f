"""AnswerWorker: what kills its process is given up, and its neighbours are not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from framegate.pipelines.commit.unit_rows import RunFacts
from framegate.pipelines.worker.answer_worker import AnswerWorker
from framegate.pipelines.worker.attempts import STALE_AFTER, Attempts, Deaths, read_deaths
from framegate.schemas.tables import DECODED
from framegate.schemas.unit import DecodedUnit, to_table
from tests.worker.mortal_workers import Model, begin, journal, markers, run_as_ray_would


@pytest.mark.parametrize("poison", ["a", "c", "d", "bd", "abcd"])
def test_what_kills_its_worker_in_a_block_is_given_up_and_its_neighbours_are_not(
    poison: str, attempts: Attempts, facts: RunFacts, make_decoded: Callable[..., DecodedUnit]
) -> None:
    model, batch = Model(poison=tuple(poison)), to_table([make_decoded(name) for name in "abcd"], DECODED)
    receipts, num_deaths = run_as_ray_would(model, attempts, facts, batch, block_rows=4)
    assert num_deaths == 1 + 2 * len(poison), "once together, then twice alone: three attempts at each"
    reasons = {row["video_uri"].removesuffix(".mp4"): row["reason"] for row in journal(attempts)}
    assert reasons == {name: "actor_crash" if name in poison else "engine_error" for name in "abcd"}
    assert all("died 3 times" in row["message"] for row in journal(attempts) if row["reason"] == "actor_crash")
    assert receipts.num_rows == 4
    assert receipts.column("created").to_pylist() == [True] * 4
    assert markers(attempts) == []


def test_a_unit_at_which_an_earlier_run_died_in_a_block_is_asked_alone(
    attempts: Attempts, facts: RunFacts, make_decoded: Callable[..., DecodedUnit]
) -> None:
    a, b, c = (make_decoded(name) for name in "abc")
    begin(replace(attempts, run_id="killed"), facts, a, b)
    later = datetime.now(UTC) + 2 * STALE_AFTER
    attempts = replace(attempts, deaths=read_deaths(attempts.output, attempts.config_id, now=later))
    assert set(attempts.deaths.values()) == {Deaths(together=1)}
    model = Model()
    receipts, _ = run_as_ray_would(model, attempts, facts, to_table([a, b, c], DECODED), block_rows=3)
    assert (sorted(model.asked), receipts.num_rows) == (["a", "b", "c"], 3)
    assert sum(row["reason"] == "engine_error" for row in journal(attempts)) == 3


@pytest.mark.parametrize("place", range(4))
def test_a_unit_that_kills_its_worker_is_given_up_alone(
    place: int, attempts: Attempts, facts: RunFacts, make_decoded: Callable[..., DecodedUnit]
) -> None:
    names = ["a", "b", "c", "d"]
    model, batch = Model(poison=(names[place],)), to_table([make_decoded(name) for name in names], DECODED)
    receipts, num_deaths = run_as_ray_would(model, attempts, facts, batch)
    assert num_deaths == 3
    reasons = {row["video_uri"].removesuffix(".mp4"): row["reason"] for row in journal(attempts)}
    assert reasons == {name: "actor_crash" if name == names[place] else "engine_error" for name in names}
    assert receipts.num_rows == 4
    # A neighbour that was committed when the worker died may keep its marker until the run is over.
    given_up = make_decoded(names[place]).video.video_id
    assert [uri for uri in markers(attempts) if given_up in uri] == []


def test_two_units_that_kill_are_both_given_up_and_the_others_are_not(
    attempts: Attempts, facts: RunFacts, make_decoded: Callable[..., DecodedUnit]
) -> None:
    model, batch = Model(poison=("b", "d")), to_table([make_decoded(name) for name in "abcdef"], DECODED)
    run_as_ray_would(model, attempts, facts, batch)
    given_up = {row["video_uri"] for row in journal(attempts) if row["reason"] == "actor_crash"}
    assert given_up == {"b.mp4", "d.mp4"}


def test_what_was_at_work_when_the_worker_died_is_asked_alone(
    attempts: Attempts, facts: RunFacts, make_decoded: Callable[..., DecodedUnit]
) -> None:
    # As a worker leaves it that died with a and b in hand.
    begin(attempts, facts, make_decoded("a"))
    begin(attempts, facts, make_decoded("b"))
    model, batch = Model(), to_table([make_decoded(name) for name in "abcdef"], DECODED)
    run_as_ray_would(model, attempts, facts, batch)
    assert sorted(model.asked) == list("abcdef")
    assert all(names in ({"a"}, {"b"}) for names in model.together if names & {"a", "b"})
    assert markers(attempts) == []


def test_a_unit_that_died_beside_another_gets_a_chance_alone_even_where_one_attempt_is_all(
    attempts: Attempts, facts: RunFacts, make_decoded: Callable[..., DecodedUnit]
) -> None:
    begin(attempts, facts, make_decoded("a"))
    worker = AnswerWorker(make_stage=Model, attempts=attempts, facts=facts, max_attempts=1)
    [receipt] = worker(to_table([make_decoded("a")], DECODED)).to_pylist()
    assert receipt["failure_reason"] == "engine_error"
