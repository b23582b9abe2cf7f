"""What erasures leave behind: that one began, what it replaced, its receipt. In digests, never in names of videos.

Small JSON objects below `erasures/`, each created once. An erasure that has begun and has no receipt broke off; from
what it left, whoever comes next completes it. Knows nothing of how videos are found or taken out.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, TypeVar

from framegate.pipelines.commit.output import Output
from framegate.schemas.errors import FramegateError, ObjectNotFound, StorageError

_BEGUN = ".begun.json"
_Record = TypeVar("_Record", bound="Begun | Note | ErasureReceipt")


@dataclass(frozen=True, kw_only=True)
class Begun:
    """What is to be forgotten: digests of URIs (`layout.uri_digest`). `begun_at` in ISO 8601, UTC."""

    erasure_id: str
    begun_at: str
    videos: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Note:
    """One object that an erasure is about to replace, or to delete where `sha256_after` is None.

    file     its name below the output
    version  of the object that is replaced (`ObjectInfo.version`)
    removed  by run_id: how many answers and failures (of a plan: videos) go

    A note is put before the deed. It says what was done where the object has the bytes that come after, and nothing
    where another erasure was quicker: `leads_to` tells one from the other.
    """

    file: str
    version: str
    sha256_before: str
    sha256_after: str | None
    rows_before: int
    rows_after: int
    removed: Mapping[str, Mapping[str, int]] = field(default_factory=dict)

    @property
    def table(self) -> str:
        """The folder below the output: results, failures, plans, journal or runs."""
        return self.file.partition("/")[0]

    @property
    def config_id(self) -> str | None:
        """None for a plan or a record of a run, which belong to no folder of one."""
        return config_id_of(self.file)


def config_id_of(name: str) -> str | None:
    """The config_id that an object's name has a folder of, or None."""
    _, found, rest = name.rpartition("/config_id=")
    return rest.partition("/")[0] if found else None


@dataclass(frozen=True, kw_only=True)
class ErasureReceipt:
    """What an erasure did.

    videos       digests of the URIs that are forgotten
    rows         by config_id and table, how many rows went; under "" those of plans, which belong to runs
    objects      what was replaced or deleted with rows in it: file, rows_before, rows_after
    num_attempts, num_indexes   other objects that the process which completed the erasure deleted
    not_reached  what is beyond this output, one sentence each
    """

    erasure_id: str
    begun_at: str
    finished_at: str
    videos: tuple[str, ...]
    rows: Mapping[str, Mapping[str, int]]
    objects: tuple[Mapping[str, Any], ...]
    num_attempts: int
    num_indexes: int
    not_reached: tuple[str, ...]


def put_begun(output: Output, begun: Begun) -> Begun:
    """The erasure has begun; what stands there already is given back. Raises FramegateError where that is another."""
    uri = output.layout.erasure_begun(begun.erasure_id)
    if output.store.put_once(uri, _to_json(begun)).created:
        return begun
    there = _from_json(Begun, uri, output.store.read(uri))
    if set(there.videos) != set(begun.videos):
        raise FramegateError(f"{uri} is an erasure of {len(there.videos)} other videos; give this one another id")
    return there


def read_begun(output: Output, erasure_id: str) -> Begun:
    """Raises ObjectNotFound, StorageError."""
    uri = output.layout.erasure_begun(erasure_id)
    return _from_json(Begun, uri, output.store.read(uri))


def put_receipt(output: Output, receipt: ErasureReceipt) -> ErasureReceipt:
    """The first one stands, and is given back: two processes may have completed one erasure."""
    uri = output.layout.erasure(receipt.erasure_id)
    if output.store.put_once(uri, _to_json(receipt)).created:
        return receipt
    return _from_json(ErasureReceipt, uri, output.store.read(uri))


def read_receipt(output: Output, erasure_id: str) -> ErasureReceipt | None:
    """None where the erasure is not complete. Raises StorageError."""
    uri = output.layout.erasure(erasure_id)
    try:
        return _from_json(ErasureReceipt, uri, output.store.read(uri))
    except ObjectNotFound:
        return None


def unfinished(output: Output) -> list[str]:
    """The ids of erasures that have begun and have no receipt, in order."""
    folder = output.layout.folder("erasures")
    names = {info.uri.rpartition("/")[2] for info in output.store.list(folder) if info.uri.endswith(".json")}
    begun = {name.removesuffix(_BEGUN) for name in names if name.endswith(_BEGUN)}
    return sorted(id for id in begun if f"{id}.json" not in names)


def read_notes(output: Output, erasure_id: str | None = None) -> list[tuple[str, Note]]:
    """All notes with their URIs, or those of one erasure. Raises StorageError."""
    uris = [info.uri for info in output.list("erasures") if _is_note(info.uri, erasure_id)]
    return [(uri, _from_json(Note, uri, data)) for uri, data in output.store.read_many(uris)]


class Notebook:
    """The notes of one erasure: each is put under the next number that is free, a known one is not put twice."""

    def __init__(self, output: Output, erasure_id: str) -> None:
        self._output = output
        self._erasure_id = erasure_id
        found = read_notes(output, erasure_id)
        self._notes = [note for _, note in found]
        self._next = max((int(uri.rpartition("/")[2].removesuffix(".json")) for uri, _ in found), default=-1) + 1

    @property
    def notes(self) -> tuple[Note, ...]:
        return tuple(self._notes)

    def put(self, note: Note) -> None:
        """Raises StorageError."""
        if note in self._notes:
            return
        data = _to_json(note)
        is_put = False
        while not is_put:  # another process may complete the same erasure
            put = self._output.store.put_once(self._output.layout.erasure_note(self._erasure_id, self._next), data)
            is_put = put.is_ours
            self._next += 1
        self._notes.append(note)


def leads_to(notes: Iterable[Note], file: str, before: str | None, after: str | None) -> bool:
    """Whether replacements that are noted turn the `file` with sha256 `before` into the one with `after`.

    `notes` are those of all erasures. True where both are the same.
    """
    steps: dict[str | None, set[str | None]] = {}
    for note in notes:
        if note.file == file:
            steps.setdefault(note.sha256_before, set()).add(note.sha256_after)
    seen: set[str | None] = set()
    waiting = {before}
    while waiting:
        seen |= waiting
        waiting = {there for here in waiting for there in steps.get(here, ())} - seen
    return after in seen


def _is_note(uri: str, erasure_id: str | None) -> bool:
    """Numbered, and in a folder of its own below erasures/, which receipts are not."""
    *_, erasures, folder, name = uri.rsplit("/", 3)
    return erasures == "erasures" and name.removesuffix(".json").isdigit() and erasure_id in (None, folder)


def _to_json(record: Any) -> bytes:
    return (json.dumps(asdict(record), indent=2, sort_keys=True) + "\n").encode()


def _from_json(kind: type[_Record], uri: str, data: bytes) -> _Record:
    try:
        document = json.loads(data)
        values: dict[str, Any] = {n: tuple(v) if isinstance(v, list) else v for n, v in document.items()}
        return kind(**values)
    except (ValueError, TypeError, AttributeError) as error:
        raise StorageError(f"{uri} is no record of an erasure ({error}); was it written by something else?") from error
