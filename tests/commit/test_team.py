"""Who does a video: all runs come to the same answer, each video has one run, and few move where one joins or dies."""

from __future__ import annotations

import pickle
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from framegate.pipelines.commit.lease import Member, enter, read_members
from framegate.pipelines.commit.output import Output
from framegate.pipelines.commit.team import Team, owners
from framegate.pipelines.store import Store
from framegate.schemas.errors import StorageError
from framegate.schemas.keys import id_text
from tests.run_records import put_run

CONFIG_ID = "a" * 16
IDS = np.random.default_rng(7).integers(0, 2**63, 20_000).astype(np.uint64)
RUNS = tuple(Member(run_id=f"run-{number}") for number in range(4))


def enter_all(output: Output, *members: Member) -> None:
    for member in members:
        put_run(output, member.run_id)
        assert enter(output, CONFIG_ID, member, now=datetime.now(UTC), is_beside=True) is None


def test_every_video_has_one_run_and_each_run_about_as_many() -> None:
    counts = np.bincount(owners(IDS, RUNS), minlength=4)
    assert counts.sum() == len(IDS)
    assert counts.min() > 4700
    assert counts.max() < 5300


def test_the_order_in_which_runs_are_listed_does_not_matter() -> None:
    there = [RUNS[place].run_id for place in owners(IDS, RUNS)]
    back = [RUNS[::-1][place].run_id for place in owners(IDS, RUNS[::-1])]
    assert there == back


def test_where_one_dies_only_its_videos_move() -> None:
    before, after = owners(IDS, RUNS), owners(IDS, RUNS[:3])
    assert (before[before < 3] == after[before < 3]).all()
    assert (np.bincount(after[before == 3], minlength=3) > 1000).all()


def test_a_shard_has_no_videos_but_its_own() -> None:
    members = (Member(run_id="all"), Member(run_id="third", shard="3/4"))
    who = owners(IDS, members)
    assert (IDS[who == 1] % np.uint64(4) == 2).all()
    assert 0.08 < (who == 1).mean() < 0.17
    assert (owners(IDS, members[1:])[IDS % np.uint64(4) != 2] == -1).all()


def test_a_worker_looks_again_after_a_while(tmp_path: Path) -> None:
    output = Output.at(str(tmp_path))
    enter_all(output, RUNS[0])
    slow = pickle.loads(pickle.dumps(Team(output, CONFIG_ID, RUNS[0], look_seconds=1000)))
    quick = pickle.loads(pickle.dumps(Team(output, CONFIG_ID, RUNS[0], look_seconds=0)))
    enter_all(output, RUNS[1], Member(run_id="beside", is_beside=True))
    mine = [quick.is_mine_now(id_text(int(number))) for number in IDS[:20]]
    assert mine == (owners(IDS[:20], RUNS[:2]) == 0).tolist()
    assert all(slow.is_mine_now(id_text(int(number))) for number in IDS[:20])
    assert quick.was_joined()
    assert [member.is_beside for member in read_members(output, CONFIG_ID)] == [False, False, True]


def test_what_a_run_has_done_stays_done_and_what_a_dead_one_had_comes_back(tmp_path: Path) -> None:
    output = Output.at(str(tmp_path))
    enter_all(output, *RUNS[:2])
    team = Team(output, CONFIG_ID, RUNS[0], look_seconds=0)

    def mine() -> list[bool]:
        return [team.is_mine_now(id_text(int(number))) for number in IDS[:40]]

    of_two, of_three = ((owners(IDS[:40], RUNS[:number]) == 0).tolist() for number in (2, 3))
    assert mine() == of_two
    put_run(output, "run-1", state="complete")
    assert mine() == of_two
    enter_all(output, RUNS[2])  # which takes the other one out of the lease
    assert mine() == of_three
    put_run(output, "run-2", heartbeat={"at": "2026-01-01T00:00:00+00:00", "number": 1, "every_seconds": 60.0})
    assert mine() == of_two
    team.look()  # when its own are done: what is left of them all
    assert team.are_mine(IDS).all()


def test_one_beside_has_all_videos_whoever_is_there(tmp_path: Path) -> None:
    output, me = Output.at(str(tmp_path)), Member(run_id="beside", is_beside=True)
    enter_all(output, RUNS[0], me)
    team = Team(output, CONFIG_ID, me)
    team.look()
    assert team.are_mine(IDS).all()
    assert not team.was_joined()


def test_a_lease_that_cannot_be_read_leaves_things_as_they_were(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    output = Output.at(str(tmp_path))
    enter_all(output, *RUNS[:2])
    team = Team(output, CONFIG_ID, RUNS[0], look_seconds=0)
    team.look()

    def refuse(self: Store, uri: str) -> bytes:
        raise StorageError("storage is away")

    monkeypatch.setattr(Store, "read", refuse)
    mine = [team.is_mine_now(id_text(int(number))) for number in IDS[:20]]
    assert mine == (owners(IDS[:20], RUNS[:2]) == 0).tolist()
    assert "storage is away" in caplog.text
