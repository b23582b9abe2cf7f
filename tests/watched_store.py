"""A store that lets a test act, or die, before any of its requests."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from framegate.pipelines.store import ObjectInfo, Put, Store


class Killed(BaseException):
    """Stands for the end of the process: nothing catches it."""


@dataclass(frozen=True)
class WatchedStore(Store):
    """Calls `before(n)` before its n-th request, from 0."""

    before: Callable[[int], None] = lambda number: None
    num_requests: list[int] = field(default_factory=lambda: [0])

    @contextmanager
    def _tick(self) -> Iterator[None]:
        number = self.num_requests[0]
        self.num_requests[0] += 1
        self.before(number)
        yield

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        with self._tick():
            return super().list(prefix)

    def read(self, uri: str, start: int | None = None, end: int | None = None) -> bytes:
        with self._tick():
            return super().read(uri, start, end)

    def stat(self, uri: str) -> ObjectInfo:
        with self._tick():
            return super().stat(uri)

    def read_version(self, uri: str) -> tuple[ObjectInfo, bytes]:
        with self._tick():
            return super().read_version(uri)

    def put_once(self, uri: str, data: bytes) -> Put:
        with self._tick():
            return super().put_once(uri, data)

    def replace(self, uri: str, data: bytes, *, if_match: str) -> ObjectInfo:
        with self._tick():
            return super().replace(uri, data, if_match=if_match)

    def delete(self, uris: Iterable[str]) -> None:
        for uri in uris:
            with self._tick():
                super().delete([uri])
