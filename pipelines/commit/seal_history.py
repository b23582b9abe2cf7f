"""The records of seals that are long complete, folded into one object for each config_id: `history.json.gz`.

A seal leaves a plan and a record behind. After a year of nights they would be a thousand objects to read before any
file is. So a sealer folds what is complete: it adds the records to the history, replaces that by If-Match, and then
deletes the records and plans that are in it. It is killed at any point without loss: until the history has a record,
the record's own object is there.

A name that was deleted can be created again. A sealer that slept since before may propose a plan under an old number,
or record an old seal, and be told that it was the first. So whoever creates a plan or a record reads the history
afterwards: if its number is in there, it was not the first (`SealLog`). The history has the number before the name is
free, and is read after the name was taken, so that this never fails.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from framegate.pipelines.commit.document_list import encode_documents, parse_documents, put_version
from framegate.pipelines.store import Store
from framegate.pipelines.store.parquet import NOT_OURS
from framegate.schemas.errors import ObjectNotFound, StorageError


@dataclass(frozen=True, kw_only=True)
class SealHistory:
    """The records of seals 0 to `num_seals` - 1, as documents. `version` of the object; None: there is none yet."""

    documents: Sequence[dict[str, Any]] = ()
    version: str | None = None

    @property
    def num_seals(self) -> int:
        return len(self.documents)


def read_history(store: Store, uri: str) -> SealHistory:
    """Fresh from storage; empty where nothing was ever folded. Raises StorageError."""
    try:
        info, data = store.read_version(uri)
    except ObjectNotFound:
        return SealHistory()
    return SealHistory(documents=parse_history(uri, data), version=info.version)


def read_documents(store: Store, uri: str) -> list[dict[str, Any]]:
    """The records alone, in one request; none where nothing was ever folded. Raises StorageError."""
    try:
        return parse_history(uri, store.read(uri))
    except ObjectNotFound:
        return []


def parse_history(uri: str, data: bytes) -> list[dict[str, Any]]:
    """Raises StorageError where it is no history."""
    documents, _ = parse_documents(uri, data, what="history of seals")
    if [document.get("seal") for document in documents] != [*range(len(documents))]:
        raise StorageError(f"{uri} is no history of seals: a record is missing in it; {NOT_OURS}")
    return documents


def fold(store: Store, uri: str, num_seals: int, read_records: Callable[[int, int], list[dict[str, Any]]]) -> int:
    """Brings the records of seals up to `num_seals` - 1, which are complete, into the history at `uri`.

    `read_records(first, end)` gives those of some seals, which are not in it yet. Returns how many seals are in it:
    more than asked for, where another sealer has folded. Their own objects can go then. Raises StorageError.
    """
    while (history := read_history(store, uri)).num_seals < num_seals:
        documents = [*history.documents, *read_records(history.num_seals, num_seals)]
        if put_version(store, uri, encode_documents(documents), history.version):
            return num_seals
    return history.num_seals
