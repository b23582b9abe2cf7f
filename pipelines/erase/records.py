"""Records of erasures: that one began, what it replaces, its receipt. Videos are named by digest alone.

They are small JSON objects below `erasures/`, each created once. An erasure that has begun and has no receipt broke
off. The next erasure completes it from its records.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, TypeVar

from framegate.pipelines.commit.output import Output
from framegate.pipelines.store.parquet import NOT_OURS
from framegate.schemas.errors import FramegateError, ObjectNotFound, StorageError

_BEGUN = ".begun.json"
_Record = TypeVar("_Record", bound="ErasureBegun | Replacement | ErasureReceipt")


@dataclass(frozen=True, kw_only=True)
class ErasureBegun:
    """The videos to erase, as digests of their URIs (`schemas.keys.uri_digest`). `begun_at` is ISO 8601, UTC."""

    erasure_id: str
    begun_at: str
    videos: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Replacement:
    """One object that an erasure is about to replace, or to delete where `sha256_after` is None.

    file     its name below the output
    version  of the object that is replaced (`ObjectInfo.version`)
    removed  by run_id: how many answers and failures (of a plan: videos) go

    It is written before the object is replaced. If the object then has `sha256_after`, this erasure replaced it;
    otherwise another one did, or this one broke off before (see `leads_to`).
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

    videos       digests of the URIs that were erased
    rows         by config_id and table, how many rows were removed; under "" those of plans, which belong to runs
    objects      what was replaced or deleted with rows in it: file, rows_before, rows_after
    num_attempts, num_labels, num_indexes, num_reports   other objects that the process which completed the erasure
                                                         deleted
    not_reached  what an erasure of this output cannot remove, one sentence each
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
    num_reports: int = 0  # missing in receipts of earlier versions, as is the next one
    num_labels: int = 0


def put_erasure_begun(output: Output, begun: ErasureBegun) -> ErasureBegun:
    """Records that an erasure began, and returns the first record of that id. Raises FramegateError where that one is
    about other videos."""
    uri = output.layout.erasure_begun(begun.erasure_id)
    if output.store.put_once(uri, _to_json(begun)).created:
        return begun
    there = _from_json(ErasureBegun, uri, output.store.read(uri))
    if set(there.videos) != set(begun.videos):
        raise FramegateError(f"{uri} is an erasure of {len(there.videos)} other videos; give this one another id")
    return there


def read_erasure_begun(output: Output, erasure_id: str) -> ErasureBegun:
    """Raises ObjectNotFound, StorageError."""
    uri = output.layout.erasure_begun(erasure_id)
    return _from_json(ErasureBegun, uri, output.store.read(uri))


def put_erasure_receipt(output: Output, receipt: ErasureReceipt) -> ErasureReceipt:
    """Records a receipt, and returns the first one of that id: two processes may complete one erasure."""
    uri = output.layout.erasure(receipt.erasure_id)
    if output.store.put_once(uri, _to_json(receipt)).created:
        return receipt
    return _from_json(ErasureReceipt, uri, output.store.read(uri))


def read_erasure_receipt(output: Output, erasure_id: str) -> ErasureReceipt | None:
    """None where the erasure is not complete. Raises StorageError."""
    uri = output.layout.erasure(erasure_id)
    try:
        return _from_json(ErasureReceipt, uri, output.store.read(uri))
    except ObjectNotFound:
        return None


def read_erasure_receipts(output: Output) -> list[ErasureReceipt]:
    """Of all erasures that are complete. Raises StorageError."""
    folder = output.layout.folder("erasures")
    uris = [info.uri for info in output.store.list(folder) if _is_receipt(info.uri)]
    return [_from_json(ErasureReceipt, uri, data) for uri, data in output.store.read_many(uris)]


def unfinished_erasures(output: Output) -> list[str]:
    """The ids of erasures that have begun and have no receipt, in order."""
    folder = output.layout.folder("erasures")
    names = {info.uri.rpartition("/")[2] for info in output.store.list(folder) if info.uri.endswith(".json")}
    begun = {name.removesuffix(_BEGUN) for name in names if name.endswith(_BEGUN)}
    return sorted(id for id in begun if f"{id}.json" not in names)


def read_replacements(output: Output, erasure_id: str | None = None) -> list[tuple[str, Replacement]]:
    """All replacements with the URIs of their records, or those of one erasure. Raises StorageError."""
    uris = [info.uri for info in output.list("erasures") if _is_replacement(info.uri, erasure_id)]
    return [(uri, _from_json(Replacement, uri, data)) for uri, data in output.store.read_many(uris)]


class ReplacementLog:
    """The replacements of one erasure. Each gets the next free number; one that is recorded already is not added."""

    def __init__(self, output: Output, erasure_id: str) -> None:
        self._output = output
        self._erasure_id = erasure_id
        found = read_replacements(output, erasure_id)
        self._replacements = [replacement for _, replacement in found]
        self._next = max((int(uri.rpartition("/")[2].removesuffix(".json")) for uri, _ in found), default=-1) + 1

    @property
    def replacements(self) -> tuple[Replacement, ...]:
        return tuple(self._replacements)

    def add(self, replacement: Replacement) -> None:
        """Raises StorageError."""
        if replacement in self._replacements:
            return
        data = _to_json(replacement)
        is_put = False
        while not is_put:  # another process may complete the same erasure
            uri = self._output.layout.erasure_replacement(self._erasure_id, self._next)
            is_put = self._output.store.put_once(uri, data).is_ours
            self._next += 1
        self._replacements.append(replacement)


def leads_to(replacements: Iterable[Replacement], file: str, before: str | None, after: str | None) -> bool:
    """Whether a chain of replacements turns the `file` with sha256 `before` into the one with `after`.

    `replacements` are those of all erasures. True where both are the same.
    """
    steps: dict[str | None, set[str | None]] = {}
    for replacement in replacements:
        if replacement.file == file:
            steps.setdefault(replacement.sha256_before, set()).add(replacement.sha256_after)
    seen: set[str | None] = set()
    waiting = {before}
    while waiting:
        seen |= waiting
        waiting = {there for here in waiting for there in steps.get(here, ())} - seen
    return after in seen


def _is_replacement(uri: str, erasure_id: str | None) -> bool:
    """A replacement's name is a number, in a folder of its own below erasures/; a receipt's is not."""
    *_, erasures, folder, name = uri.rsplit("/", 3)
    number = name.removesuffix(".json")
    return erasures == "erasures" and number.isascii() and number.isdigit() and erasure_id in (None, folder)


def _is_receipt(uri: str) -> bool:
    *_, folder, name = uri.rsplit("/", 2)
    return folder == "erasures" and name.endswith(".json") and not name.endswith(_BEGUN)


def _to_json(record: Any) -> bytes:
    return (json.dumps(asdict(record), indent=2, sort_keys=True) + "\n").encode()


def _from_json(kind: type[_Record], uri: str, data: bytes) -> _Record:
    try:
        document = json.loads(data)
        values: dict[str, Any] = {n: tuple(v) if isinstance(v, list) else v for n, v in document.items()}
        return kind(**values)
    except (ValueError, RecursionError, TypeError, AttributeError) as error:
        raise StorageError(f"{uri} is no record of an erasure ({error}); {NOT_OURS}") from error
