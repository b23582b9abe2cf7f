"""The lease of a config_id: which runs are at work on it, so that a second one knows of the first.

One small object, changed by conditional writes alone: of two runs that begin at once one is first, and the other reads
its name. It holds names of runs and nothing else: a run's own record says whether it is at work, has ended, or is dead
(`commit.liveness`). So a run that ends, however it does, leaves the lease by that, and nobody has to take it out.

Nothing that is stored rests on it. Two runs at once, as after a lease that was taken from a run that only slept, lose
nothing and double nothing; they do work twice.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Final

import numpy as np

from framegate.pipelines.commit.liveness import find_death, state_of
from framegate.pipelines.commit.output import Output
from framegate.pipelines.commit.run_history import MARK
from framegate.pipelines.commit.runs import ENDED, parse_record
from framegate.pipelines.store.parquet import NOT_OURS
from framegate.schemas.errors import ObjectNotFound, StorageError, VersionChanged
from framegate.schemas.json_object import load_json

MAX_TRIES: Final = 100  # at entering, while others enter: each of them was first once


@dataclass(frozen=True, kw_only=True)
class Member:
    """A run that has entered the lease. `shard` such as `3/8`, or None: all of the work. `is_beside`: it does
    that whoever else is there, and shares nothing."""

    run_id: str
    shard: str | None = None
    is_beside: bool = False

    def is_in_the_way_of(self, other: Member) -> bool:
        """Whether both would do the same work: all but different shards of one array."""
        if self.shard is None or other.shard is None:
            return True
        (number, of), (other_number, other_of) = self.shard.split("/"), other.shard.split("/")
        return of != other_of or number == other_number

    def does(self, ids: np.ndarray) -> np.ndarray:
        """Of video_ids as numbers: whether they are in its shard."""
        if self.shard is None:
            return np.ones(len(ids), bool)
        number, of = map(int, self.shard.split("/"))
        return ids % np.uint64(of) == np.uint64(number - 1)


def enter(
    output: Output, config_id: str, me: Member, *, now: datetime, is_beside: bool = False
) -> Mapping[str, Any] | None:
    """Takes a place beside the runs that are at work on a config_id.

    Returns None once it has one. Where a run is in its way, which with `is_beside` none is, it changes nothing, and
    returns that one's record. Runs that have ended or are dead lose their place. Raises StorageError.
    """
    uri = output.layout.lease(config_id)
    for _ in range(MAX_TRIES):
        members, version = _read(output, uri)
        working = [(member, run) for member in members if (run := _find_working(output, member, now)) is not None]
        for member, run in working:
            if not is_beside and member.run_id != me.run_id and me.is_in_the_way_of(member):
                return run
        others = [member for member, _ in working if member.run_id != me.run_id]
        if _write(output, uri, [*others, me], version):
            return None
    raise StorageError(f"{uri} was changed {MAX_TRIES} times while a run tried to enter it; start it again")


def read_members(output: Output, config_id: str) -> list[Member]:
    """All that are in the lease; some have ended. Raises StorageError."""
    uri = output.layout.lease(config_id)
    try:
        return _parse(uri, output.store.read(uri))
    except ObjectNotFound:
        return []


def read_states(output: Output, config_id: str, now: datetime) -> list[tuple[Member, str]]:
    """All that are in the lease with the state of their runs, `dead` among them. Raises StorageError."""
    found = [(member, _read_run(output, member)) for member in read_members(output, config_id)]
    return [(member, "complete" if run is None else state_of(run, now)) for member, run in found]


def _find_working(output: Output, member: Member, now: datetime) -> Mapping[str, Any] | None:
    """The record of a member that is at work."""
    run = _read_run(output, member)
    return None if run is None or run.get("state") in ENDED or find_death(run, now) else run


def _read_run(output: Output, member: Member) -> Mapping[str, Any] | None:
    """None where its record was folded into the history, long after it ended."""
    uri = output.layout.run(member.run_id)
    try:
        data = output.store.read(uri)
    except ObjectNotFound:
        return None
    return None if data == MARK else parse_record(uri, data)


def _read(output: Output, uri: str) -> tuple[list[Member], str | None]:
    """The members, and the version of the object; None where there is none yet."""
    try:
        version = output.store.stat(uri).version
        data = output.store.read(uri)
    except ObjectNotFound:
        return [], None
    return _parse(uri, data), version


def _parse(uri: str, data: bytes) -> list[Member]:
    try:
        return [Member(**values) for values in load_json(data)["members"]]
    except (ValueError, RecursionError, TypeError, KeyError) as error:
        raise StorageError(f"{uri} is no lease ({error}); {NOT_OURS}") from error


def _write(output: Output, uri: str, members: Sequence[Member], version: str | None) -> bool:
    """Whether the lease was what it was when it was read: read after its version, so that a newer one is never lost."""
    listed = [asdict(member) for member in members]
    data = (json.dumps({"members": listed}, indent=2) + "\n").encode()
    if version is None:
        return output.store.put_once(uri, data).is_ours
    try:
        output.store.replace(uri, data, if_match=version)
        return True
    except (VersionChanged, ObjectNotFound):
        return False
