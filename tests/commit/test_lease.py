"""The lease: one run at a time on a config_id, shards of one array beside each other, and no dead run in the way."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest

from framegate.pipelines.commit.lease import Member, enter
from framegate.pipelines.commit.output import Output
from framegate.schemas.clock import now
from framegate.schemas.errors import StorageError
from tests.run_records import put_run

CONFIG_ID = "c" * 16


@pytest.fixture(params=["local", "s3"])
def output(request: pytest.FixtureRequest, tmp_path: Path) -> Output:
    return Output.at(str(tmp_path) if request.param == "local" else request.getfixturevalue("s3_root"))


def come(output: Output, run_id: str, shard: str | None = None) -> str | None:
    """The run that is in the way of this one; None where it has entered."""
    put_run(output, run_id, pid=7, host="gpu-7")
    holder = enter(output, CONFIG_ID, Member(run_id=run_id, shard=shard), now=now())
    return None if holder is None else holder["run_id"]


def test_the_second_run_meets_the_first_until_that_one_has_ended(output: Output) -> None:
    assert come(output, "first") is None
    assert come(output, "second") == "first"
    assert come(output, "first") is None  # its own place
    put_run(output, "first", state="stopped")
    assert come(output, "second") is None
    assert come(output, "third") == "second"


def test_another_config_id_is_another_lease(output: Output) -> None:
    assert come(output, "first") is None
    assert enter(output, "d" * 16, Member(run_id="other"), now=now()) is None


def test_a_dead_run_is_in_nobodys_way(output: Output) -> None:
    assert come(output, "first") is None
    old = {"at": (now() - timedelta(seconds=181)).isoformat(), "number": 1, "every_seconds": 60.0}
    put_run(output, "first", heartbeat=old)
    assert come(output, "second") is None
    put_run(output, "first")  # it only slept, and has a heartbeat again: it has lost its place, and is not asked
    assert come(output, "third") == "second"


def test_a_run_whose_record_is_gone_is_in_nobodys_way(output: Output) -> None:
    assert come(output, "first") is None
    output.store.delete([output.layout.run("first")])
    assert come(output, "second") is None


def test_shards_of_one_array_are_beside_each_other_and_beside_nothing_else(output: Output) -> None:
    assert come(output, "a", "1/3") is None
    assert come(output, "b", "2/3") is None
    assert come(output, "c", "2/3") == "b"
    assert come(output, "d", "3/4") == "a"
    assert come(output, "e") == "a"
    put_run(output, "b", state="complete")
    assert come(output, "c", "2/3") is None


def test_of_many_that_come_at_once_one_is_first(output: Output) -> None:
    with ThreadPoolExecutor(8) as threads:
        met = list(threads.map(lambda number: come(output, f"run-{number}"), range(8)))
    assert met.count(None) == 1
    (first,) = {holder for holder in met if holder is not None}
    assert met.index(None) == int(first.removeprefix("run-"))


def test_of_many_shards_that_come_at_once_none_is_lost(output: Output) -> None:
    with ThreadPoolExecutor(6) as threads:
        assert list(threads.map(lambda k: come(output, f"run-{k}", f"{k}/6"), range(1, 7))) == [None] * 6
    assert {come(output, f"again-{k}", f"{k}/6") for k in range(1, 7)} == {f"run-{k}" for k in range(1, 7)}


def test_what_is_no_lease_is_named(output: Output) -> None:
    output.store.put_once(output.layout.lease(CONFIG_ID), b"{half")
    with pytest.raises(StorageError, match=r"leases/c+\.json is no lease"):
        come(output, "first")
