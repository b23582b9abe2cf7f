"""Which runs make a night, which earlier one it is held against, and whose rows are shown."""

from __future__ import annotations

from typing import Any

import pytest

from framegate.pipelines.report.night import find_scope
from framegate.schemas.errors import ConfigError


def run(day: int, *, hour: int = 22, answers: int = 5, config: str = "a", **fields: Any) -> dict[str, Any]:
    return {
        "run_id": f"{day:02d}-{hour:02d}-{fields.get('shard', '')}",
        "started_at": f"2026-11-{day:02d}T{hour:02d}:00:00+00:00",
        "config_id": config,
        "state": "complete",
        "job": "job.yaml",
        "counts": {"num_answers": answers},
        **fields,
    }


def scope(*runs: dict[str, Any], run_id: str | None = None, compare: str | None = None):
    return find_scope(runs, run_id=run_id, compare=compare)


def test_the_last_night_and_the_one_before() -> None:
    found = scope(run(1), run(2), run(3))
    assert (found.run_ids, found.earlier_ids) == (("03-22-",), ("02-22-",))


def test_a_night_of_another_configuration_is_no_night_before() -> None:
    assert scope(run(1), run(2, config="b"), run(3)).earlier_ids == ("01-22-",)
    assert scope(run(2, config="b"), run(3)).earlier is None


def test_an_earlier_night_without_answers_says_nothing() -> None:
    assert scope(run(1), run(2, answers=0), run(3)).earlier_ids == ("01-22-",)


def test_shards_of_an_array_are_one_night() -> None:
    first = [run(1, hour=h, shard=f"{h}/2") for h in (1, 2)]
    last = [run(2, hour=h, shard=f"{h}/2") for h in (1, 2)]
    found = scope(*first, *last)
    assert found.run_ids == tuple(each["run_id"] for each in last)
    assert found.earlier_ids == tuple(each["run_id"] for each in first)


def test_any_shard_names_its_night() -> None:
    shards = [run(1, hour=h, shard=f"{h}/3") for h in (1, 2, 3)]
    found = scope(*shards, run(5), run_id=shards[2]["run_id"])
    assert found.run_ids == tuple(each["run_id"] for each in shards)


def test_a_run_without_answers_shows_those_of_the_last_that_had_some() -> None:
    found = scope(run(1), run(2), run(3, answers=0))
    assert found.night.last["run_id"] == "03-22-"
    assert (found.run_ids, found.earlier_ids) == (("02-22-",), ("01-22-",))
    alone = scope(run(3, answers=0))
    assert alone.answered is alone.night


def test_a_run_that_is_named_need_not_be_the_last() -> None:
    found = scope(run(1), run(2), run(3), run_id="02-22-")
    assert (found.run_ids, found.earlier_ids) == (("02-22-",), ("01-22-",))
    assert scope(run(1), run(2), run(3), compare="01-22-").earlier_ids == ("01-22-",)


def test_no_run_at_all() -> None:
    with pytest.raises(ConfigError, match="no run is recorded in this output: run the job first"):
        scope()
