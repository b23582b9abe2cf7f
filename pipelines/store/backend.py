"""Backend: the operations that each kind of storage does in its own way. Paths are fsspec's, without the protocol."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import ClassVar, Protocol

from framegate.pipelines.store.listing import Listing
from framegate.pipelines.store.object_info import ObjectInfo, OpenUpload, Put
from framegate.schemas.errors import StorageError, VersionChanged


class Backend(Protocol):
    """Methods raise what their clients raise, for `translate_errors`. FileNotFoundError: the object is not there."""

    DELETE_MANY: ClassVar[int]  # objects that go in one request

    def path(self, uri: str) -> str: ...

    def check_kind(self, path: str) -> None:
        """Raises where nothing could be written below a folder, as far as can be told without writing."""
        ...

    def list(
        self, path: str, *, depth: int | None = None, hidden: bool = False, listing: Listing | None = None
    ) -> Iterator[ObjectInfo]:
        """What lies below a folder, or just so many levels of it; with the names that start with a dot, if wanted.

        `listing` says what to follow, and learns what was passed over.
        """
        ...

    def stat(self, path: str) -> ObjectInfo: ...

    def is_folder(self, path: str) -> bool: ...

    def read(self, path: str, start: int, end: int | None, *, version: str | None = None) -> bytes:
        """Exactly the bytes [start, end), or those from `start`; of one version where one is named."""
        ...

    def read_many(self, items: Iterable[tuple[str, ObjectInfo | None]]) -> Iterator[bytes | None]:
        """Whole objects in the order given, None where one is missing; of the size that is known, if one is."""
        ...

    def put_once(self, path: str, data: bytes) -> Put: ...

    def replace(self, path: str, data: bytes, version: str) -> ObjectInfo: ...

    def delete(self, paths: Sequence[str]) -> None: ...

    def open_uploads(self, path: str) -> Iterator[OpenUpload]: ...


def version_changed(uri: str, known: str, found: str | None = None) -> VersionChanged:
    """The error for an object that is not, or no longer, at the version that the caller knows."""
    now = "another one" if found is None else found
    return VersionChanged(f"{uri} has changed since it was seen: version {known} was seen then, {now} is there now")


def check_length(data: bytes, start: int, end: int | None) -> bytes:
    """Raises StorageError where an object that is whole ends before the range does."""
    if end is not None and len(data) < end - start:
        raise StorageError(
            f"of bytes {start} to {end}, {len(data)} of {end - start} came: the object is shorter than that"
        )
    return data
