"""The records of runs that are long over, in one object: `runs/history.json.gz`.

`commit.run_folding` brings records here. A record has one place that counts:

    1. its own object, `runs/<run_id>.json`, as long as that is there and is not the mark of a folded one
    2. the history, from then on

The mark takes the object's place by If-Match, and only once the history has what the object holds. So nothing that was
stored after it was read is lost, and whoever wants to change a record that is marked or gone changes the history.
Nobody creates the object again. A reader looks at the objects first and then at the history: a record moves that way,
and no other.

An erasure takes names out of objects and history. A run that read an object before would put them into the history
afterwards: so the erasure gives the history another version then, and a run that folds reads the history, which it
begins where there is none, before it reads an object.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from framegate.pipelines.commit.document_list import encode_documents, parse_documents, put_version
from framegate.pipelines.commit.output import Output
from framegate.schemas.errors import ObjectNotFound, StorageError

FOLDED: Final = "folded"
"""The state in the mark of a record that is in the history."""
MARK: Final = b'{"state": "folded"}\n'

HISTORY_ENDING: Final = ".json.gz"
MAX_TRIES: Final = 20  # at changing the history while others do: each of them was first once
_WHAT: Final = "history of runs"

Records = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True, kw_only=True)
class RunHistory:
    """Records by run_id. `version` of the object; None: there is none yet. `nonce`: random, of the last erasure that
    came by, so that no version has the bytes of one before an erasure."""

    records: Records = field(default_factory=dict)
    nonce: str | None = None
    version: str | None = None


def read_history(output: Output) -> RunHistory:
    """Fresh from storage; empty where nothing was ever folded. Raises StorageError."""
    uri = output.layout.run_history
    try:
        info, data = output.store.read_version(uri)
    except ObjectNotFound:
        return RunHistory()
    return replace(parse_history(uri, data), version=info.version)


def begin_history(output: Output) -> RunHistory:
    """The history; begins one where there is none. Raises StorageError."""
    history = read_history(output)
    if history.version is None:
        output.store.put_once(output.layout.run_history, encode_history(history))
        history = read_history(output)
    return history


def read_folded(output: Output) -> dict[str, dict[str, Any]]:
    """The records alone, by run_id, in one request. Raises StorageError."""
    uri = output.layout.run_history
    try:
        return {run_id: dict(record) for run_id, record in parse_history(uri, output.store.read(uri)).records.items()}
    except ObjectNotFound:
        return {}


def parse_history(uri: str, data: bytes) -> RunHistory:
    """Without its version. Raises StorageError where it is no history of runs."""
    documents, about = parse_documents(uri, data, what=_WHAT)
    try:
        return RunHistory(records={document["run_id"]: document for document in documents}, nonce=about["nonce"])
    except KeyError as error:
        raise StorageError(f"{uri} is no {_WHAT}: it has no {error}") from error


def encode_history(history: RunHistory) -> bytes:
    """The oldest run first. The same history gives the same bytes."""
    records = sorted(history.records.values(), key=lambda record: (str(record.get("started_at")), record["run_id"]))
    return encode_documents(records, nonce=history.nonce)


def add_records(output: Output, history: RunHistory, records: Records) -> bool:
    """Puts records into the history, in the place of those of the same runs. False where it has changed since."""
    more = replace(history, records={**history.records, **records})
    return put_version(output.store, output.layout.run_history, encode_history(more), history.version)


def replace_folded(output: Output, record: Mapping[str, Any]) -> bool:
    """Puts a record in the place of the folded one of its run; False where there is none. Raises StorageError."""
    for _ in range(MAX_TRIES):
        history = read_history(output)
        if record["run_id"] not in history.records:
            return False
        if add_records(output, history, {record["run_id"]: record}):
            return True
    raise StorageError(f"{output.layout.run_history} was changed {MAX_TRIES} times while a record was put into it")


def renew_history(output: Output) -> None:
    """Gives the history another version, so that whoever read the old one cannot put back what was erased since.

    Raises StorageError.
    """
    for _ in range(MAX_TRIES):
        history = read_history(output)
        if history.version is None:
            return
        if add_records(output, replace(history, nonce=secrets.token_hex(8)), {}):
            return
    raise StorageError(f"{output.layout.run_history} was changed {MAX_TRIES} times while an erasure came by")
