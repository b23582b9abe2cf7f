"""Records of runs: one object for each run, from its first second to its end.

Its run alone replaces it: with each step that it takes, and with each heartbeat. What it says last stays. A run that
dies leaves a record of a run at work; `commit.liveness` tells from its heartbeat that it is dead. Records of runs that
are long over are in one object (`commit.run_history`).

Outputs of earlier versions have two objects for a run, each created once: `<run_id>.begun.json`, and `<run_id>.json`
where it came to its end. They are read here as the one record that they would be today.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from framegate.pipelines.commit.layout import HISTORY
from framegate.pipelines.commit.output import Output
from framegate.pipelines.commit.run_history import MARK, Records, read_folded
from framegate.pipelines.store.parquet import NOT_OURS
from framegate.schemas.errors import CredentialsError, FramegateError, StorageError
from framegate.schemas.json_object import load_json

STATES: Final[dict[str, str]] = {
    "starting": "it checks what it needs; nothing is stored but its record",
    "running": "it is at work; `phase` says at what",
    "complete": "it came to its end and left nothing",
    "stopped": "it ended orderly before all was done; `stop_code` says by what, `stop_reason` in a sentence",
    "failed": "it could not start, broke off, or lost something; `stop_reason` says why",
    "dead": "it is at work by its record, and has no heartbeat or no process any more: it was killed",
}
"""Each state and its meaning. `dead` is in no record: readers find it."""

ENDED: Final = ("complete", "stopped", "failed")
RUN, DEEPEN = "run", "deepen"
"""Which command a record is of. A deepening asks for no new answer: what is left, and which wordings count, the last
run tells."""
_BEGUN: Final = ".begun.json"


@dataclass(frozen=True)
class RunObjects:
    """Objects below runs/ as they were read: by run_id, and the URIs of `folded` ones, which are marks.

    `begun` are those of earlier versions.
    """

    begun: dict[str, dict[str, Any]] = field(default_factory=dict)
    found: dict[str, dict[str, Any]] = field(default_factory=dict)
    folded: set[str] = field(default_factory=set)

    def merged(self, history: Records) -> dict[str, dict[str, Any]]:
        """The record of each run that has an object which is no mark. `history`: those that are folded."""
        return {
            run_id: _merged(run_id, self.begun.get(run_id), self.found.get(run_id), history.get(run_id))
            for run_id in {*self.begun, *self.found}
        }


def create_run(output: Output, run_id: str, record: Mapping[str, Any]) -> str:
    """runs/<run_id>.json as it is first, and the object's version.

    Raises FramegateError where a run of that name is recorded, StorageError.
    """
    uri = output.layout.run(run_id)
    if run_id == HISTORY:
        raise FramegateError(f"no run can be called {run_id}; give this one another name")
    if not output.store.put_once(uri, encode_record(record)).is_ours:
        raise FramegateError(f"a run {run_id} is recorded at {uri}; give this one another name")
    if run_id in read_folded(output):  # its name was free again. Read after the name was taken: see `seal_history`
        output.store.delete([uri])
        raise FramegateError(f"a run {run_id} is recorded in {output.layout.run_history}; give this one another name")
    return output.store.stat(uri).version


def encode_record(record: Mapping[str, Any]) -> bytes:
    """The same record gives the same bytes."""
    return (json.dumps(dict(record), indent=2, sort_keys=True) + "\n").encode()


def parse_record(uri: str, data: bytes) -> dict[str, Any]:
    """One record. Raises StorageError where the object is not a record."""
    try:
        record = load_json(data)
    except (ValueError, RecursionError) as error:
        raise StorageError(f"{uri} is no run record ({error}); {NOT_OURS}") from error
    if not isinstance(record, dict):
        raise StorageError(f"{uri} is no run record: it holds a {type(record).__name__} where a mapping should be")
    return record


def read_runs(output: Output, *, on_damaged: Callable[[StorageError], None] | None = None) -> dict[str, dict[str, Any]]:
    """The record of each run, by run_id, the oldest first.

    Raises StorageError where an object is not a record, unless `on_damaged` takes that error.
    """
    objects = read_run_objects(output, list_run_objects(output), on_damaged=on_damaged)
    try:
        history = read_folded(output)  # after the objects: a record moves from there to here
    except StorageError as error:
        if on_damaged is None or isinstance(error, CredentialsError):
            raise
        on_damaged(error)
        history = {}
    runs = sorted(
        {**history, **objects.merged(history)}.values(), key=lambda run: (str(run.get("started_at")), run["run_id"])
    )
    return {run["run_id"]: run for run in runs}


def list_run_objects(output: Output) -> list[str]:
    """The URIs of the records that are objects of their own."""
    return [info.uri for info in output.list("runs") if info.uri.endswith(".json")]


def read_run_objects(
    output: Output, uris: Iterable[str], *, on_damaged: Callable[[StorageError], None] | None = None
) -> RunObjects:
    """Records that are objects of their own; one that is gone was folded. Raises StorageError like `read_runs`."""
    objects = RunObjects()
    for uri, data in output.store.read_present(uris):
        if data == MARK:
            objects.folded.add(uri)
        elif data is not None:
            try:
                (objects.begun if uri.endswith(_BEGUN) else objects.found)[run_id_of(uri)] = parse_record(uri, data)
            except StorageError as error:
                if on_damaged is None:
                    raise
                on_damaged(error)
    return objects


def has_books(run: Mapping[str, Any]) -> bool:
    """Whether its figures were counted from storage as it ended. One that broke off has those of its last heartbeat."""
    return run["state"] in ENDED and run.get("is_complete") is not None


def run_id_of(uri: str) -> str:
    """The run that an object below runs/ is the record of."""
    return uri.rpartition("/")[2].removesuffix(".json").removesuffix(".begun")


def _merged(
    run_id: str,
    begun: Mapping[str, Any] | None,
    record: Mapping[str, Any] | None,
    folded: Mapping[str, Any] | None,
) -> dict[str, Any]:
    if record is not None and "state" in record:
        # Of another run of that name: it died before it knew that the name is taken.
        is_late = folded is not None and folded.get("started_at") != record.get("started_at")
        return dict(folded) if folded is not None and is_late else {**record, "run_id": run_id}
    if record is None and folded is not None:
        return dict(folded)
    known = {**(folded or {}), **(begun or {}), **({"is_complete": True, **record} if record is not None else {})}
    return {**known, **_state_of_old(record), "run_id": run_id}


def _state_of_old(record: Mapping[str, Any] | None) -> dict[str, Any]:
    """What a record of an earlier version would say of the run's end today. Without one the run never ended."""
    if record is None:
        return {"state": "running"}
    reason = record.get("stop_reason")
    if reason is not None or record.get("is_stopped"):
        return {"state": "stopped", "stop_code": "signal" if reason in (None, "interrupted") else "breaker"}
    if record.get("is_complete", True):
        return {"state": "complete", "stop_code": None}
    return {"state": "failed", "stop_code": "incomplete"}


def deepens(run: Mapping[str, Any]) -> bool:
    """Whether it is the record of a deepening."""
    return run.get("command") == DEEPEN
