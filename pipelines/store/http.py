"""Objects of web servers, by range reads of http and https URLs, signed ones among them. Nothing is listed or written.

A redirect is followed within the same server alone, and no link-local or metadata address is asked (`safe_hosts`).
A signed URL opens its object to whoever reads it, and its signature is for one method, most often GET. So sizes and
versions are asked with a GET of one byte, and no error, not even its cause, holds the query of a URL.
"""

from __future__ import annotations

import re
from asyncio import run_coroutine_threadsafe
from collections.abc import Coroutine, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from itertools import islice
from typing import Any, ClassVar, Final, NoReturn, TypeVar
from urllib.parse import quote

from aiohttp import (
    ClientConnectorCertificateError,
    ClientError,
    ClientResponse,
    ClientSession,
    ClientSSLError,
    ClientTimeout,
    TCPConnector,
)
from fsspec.implementations.http import HTTPFileSystem
from yarl import URL

from framegate.pipelines.store.backend import check_length, version_changed
from framegate.pipelines.store.errors import TRANSIENT_STATUSES, Refused, TransientError
from framegate.pipelines.store.object_info import ObjectInfo, OpenUpload, Put
from framegate.pipelines.store.retries import retry
from framegate.pipelines.store.safe_hosts import MAX_REDIRECTS, GuardedResolver, check_address, follow
from framegate.schemas.errors import StorageError, UnsafeAddress
from framegate.schemas.uris import public, split_access, without_query

WHOLE_BYTES: Final = 64 << 20
"""Of an object that is read whole because its server gives no ranges. It stays in memory while it is open."""

READ_THREADS: Final = 16
READ_MANY: Final = 256
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_TIMEOUT: Final = ClientTimeout(total=None, sock_connect=20, sock_read=60)
_RANGE: Final = re.compile(r"bytes (?:(\d+)-(\d+)|\*)/(\d+)")
_SAFE: Final = "!$&'()*+,;=:@/-._~%"  # RFC 3986 has them in a path
_LONE_PERCENT: Final = re.compile(r"%(?![0-9a-fA-F]{2})")
T = TypeVar("T")


@dataclass(frozen=True)
class _Answer:
    """What came: bytes from `start` on of an object of `size_bytes` at a version."""

    start: int
    data: bytes
    size_bytes: int
    version: str
    is_whole: bool = False


class HttpObjects:
    """A Backend whose paths are URLs with their queries. Reading alone."""

    DELETE_MANY: ClassVar[int] = 1

    def __init__(self, *, patience_seconds: float) -> None:
        self._fs: Any = HTTPFileSystem(get_client=_make_session)
        self._patience_seconds = patience_seconds
        self._whole: tuple[str, _Answer] | None = None

    def path(self, uri: str) -> str:
        return uri

    def check_kind(self, path: str) -> None:
        """Raises StorageError: nothing can be written by http."""
        _refuse(path, "is an address to read from; name a folder or a bucket to write to")

    def list(self, path: str, **_: Any) -> Iterator[ObjectInfo]:
        _refuse(path, "cannot be listed, as http knows no listing; name each video, in a list or a manifest")

    def stat(self, path: str) -> ObjectInfo:
        found = self._get(path, 0, 1)
        name, access = split_access(path)
        return ObjectInfo(uri=name, size_bytes=found.size_bytes, version=found.version, access=access)

    def is_folder(self, path: str) -> bool:
        return False

    def read(self, path: str, start: int, end: int | None, *, version: str | None = None) -> bytes:
        if start == end:
            return b""
        found = self._get(path, start, end)
        if version is not None and found.version != version:
            raise version_changed(public(path), version, found.version)
        return check_length(found.data, start, end)

    def read_many(self, items: Iterable[tuple[str, ObjectInfo | None]]) -> Iterator[bytes | None]:
        waiting = iter(items)
        with ThreadPoolExecutor(READ_THREADS) as threads:
            while some := list(islice(waiting, READ_MANY)):
                yield from threads.map(self._read_present, some)

    def put_once(self, path: str, data: bytes) -> Put:
        _refuse(path, "cannot be written to")

    def replace(self, path: str, data: bytes, version: str) -> ObjectInfo:
        _refuse(path, "cannot be written to")

    def delete(self, paths: Sequence[str]) -> None:
        _refuse(paths[0], "cannot be deleted from")

    def open_uploads(self, path: str) -> Iterator[OpenUpload]:
        yield from ()

    def _read_present(self, item: tuple[str, ObjectInfo | None]) -> bytes | None:
        path, info = item
        try:
            return self.read(path, 0, None, version=None if info is None else info.version)
        except FileNotFoundError:
            return None

    def _get(self, path: str, start: int, end: int | None) -> _Answer:
        """Bytes [start, end), fewer where the object ends before."""
        if self._whole is None or self._whole[0] != path:
            answer = self._wait(retry(lambda: self._request(path, start, end), self._patience_seconds))
            if not answer.is_whole:
                return answer
            self._whole = (path, answer)
        whole = self._whole[1]
        return _Answer(start, whole.data[start:end], whole.size_bytes, whole.version)

    async def _request(self, path: str, start: int, end: int | None) -> _Answer:
        """One try. Its errors hold neither the query nor an error that does."""
        last = "" if end is None else str(end - 1)
        headers = {"Range": f"bytes={start}-{last}", "Accept-Encoding": "identity"}
        try:
            session, url = await self._fs.set_session(), URL(_quoted(path), encoded=True)
            for _ in range(MAX_REDIRECTS + 1):
                check_address(url)
                async with session.get(url, headers=headers, timeout=_TIMEOUT, allow_redirects=False) as answer:
                    if answer.status not in _REDIRECTS or "Location" not in answer.headers:
                        _check_status(answer.status, answer.reason or "", answer.headers, start)
                        return await _parse(answer, start, end)
                    url = follow(url, answer.headers["Location"])
            raise Refused(f"the server sends on more than {MAX_REDIRECTS} times")
        except UnsafeAddress as error:
            failed: Exception = UnsafeAddress(f"cannot read {public(path)}: {error}")
        except Refused as error:
            failed = error
        except (ClientError, TimeoutError, ValueError) as error:
            words = f"{type(error).__name__}: {_without_query(str(error), path)}"
            failed = TransientError(words) if _may_pass(error) else Refused(words)
        raise failed  # outside of the handler, so that the error with the URL in it is not its context

    def _wait(self, request: Coroutine[Any, Any, T]) -> T:
        return run_coroutine_threadsafe(request, self._fs.loop).result()


async def _make_session(**_: Any) -> ClientSession:
    """With proxies, as other tools find them."""
    return ClientSession(trust_env=True, connector=TCPConnector(resolver=GuardedResolver()))


async def _parse(answer: ClientResponse, start: int, end: int | None) -> _Answer:
    """The body of an answer of 206, 200 or 416."""
    headers = answer.headers
    if answer.status == 200:
        data = await _read_whole(answer)
        return _Answer(0, data, len(data), _version(headers, len(data)), is_whole=True)
    match = _RANGE.fullmatch(headers.get("Content-Range", "").strip())
    if match is None or (answer.status == 206 and match[1] is None):
        held = headers.get("Content-Range") or "none"
        raise Refused(f"the server gives no range that says the object's size (Content-Range: {held})")
    size_bytes = int(match[3])
    if answer.status == 416:
        if size_bytes > start:
            raise TransientError("the range was refused although the object has it")
        return _Answer(start, b"", size_bytes, _version(headers, size_bytes))
    if int(match[1]) != start:
        raise TransientError(f"the answer to bytes from {start} begins at {match[1]}")
    data = await answer.read()
    promised = (size_bytes if end is None else min(end, size_bytes)) - start
    if len(data) != promised:
        raise TransientError(f"the answer broke off: of {promised} bytes, {len(data)} came")
    return _Answer(start, data, size_bytes, _version(headers, size_bytes))


async def _read_whole(answer: ClientResponse) -> bytes:
    """The body of a server that gives no ranges. Raises Refused where it is too long to be kept in memory."""
    parts, num_bytes = [], 0
    too_long = (
        f"the server gives no ranges, and the object has more than {WHOLE_BYTES >> 20} MiB, which is the most that is"
        " read whole; use a server that answers range requests, or copy the object to a folder or a bucket"
    )
    if int(answer.headers.get("Content-Length", 0)) > WHOLE_BYTES:
        raise Refused(too_long)
    async for part in answer.content.iter_chunked(1 << 20):
        parts.append(part)
        num_bytes += len(part)
        if num_bytes > WHOLE_BYTES:
            raise Refused(too_long)
    return b"".join(parts)


def _check_status(status: int, reason: str, headers: Mapping[str, str], start: int) -> None:
    said = f"the server answers {status} {reason}".rstrip()
    if status in (404, 410):
        raise FileNotFoundError(said)
    if status in (401, 403):
        raise Refused(f"{said}; where the URL is signed, the signature may have expired: sign it anew")
    if status in TRANSIENT_STATUSES:
        raise TransientError(said)
    if status not in (200, 206, 416) or (status == 416 and not headers.get("Content-Range")):
        raise Refused(said)


def _version(headers: Mapping[str, str], size_bytes: int) -> str:
    """The ETag, else the size and the time of the last change, as far as the server says them."""
    tag = headers.get("ETag", "").strip().removeprefix("W/").strip('"')
    if tag:
        return tag
    changed = headers.get("Last-Modified")
    try:
        return f"{size_bytes}-{int(parsedate_to_datetime(changed).timestamp())}" if changed else f"{size_bytes}"
    except ValueError:
        return f"{size_bytes}"


def _may_pass(error: Exception) -> bool:
    """A connection that broke, timed out or gave no proper answer; not a wrong certificate, and no wrong URL."""
    if isinstance(error, ClientSSLError | ClientConnectorCertificateError | ValueError):
        return False
    names = {kind.__name__ for kind in type(error).__mro__}
    return bool(names & {"ClientConnectionError", "ClientPayloadError", "TimeoutError"})


def _quoted(url: str) -> str:
    """The URL as it is sent: what may not stand in one is encoded, and what is encoded stays so."""
    access = split_access(url)[1]
    scheme, _, rest = without_query(url).partition("://")
    host, slash, path = rest.partition("/")
    path = quote(_LONE_PERCENT.sub("%25", path), safe=_SAFE)
    query = quote(_LONE_PERCENT.sub("%25", access), safe=_SAFE + "?")
    return f"{scheme}://{host}{slash}{path}" + (f"?{query}" if query else "")


def _without_query(text: str, url: str) -> str:
    """An error's text without the query of the URL, in whatever way it is written there, or of any other."""
    access = split_access(url)[1]
    for secret in {access, quote(access, safe=_SAFE + "?")} - {""}:
        text = text.replace(secret, "...")
    return re.sub(r"(https?://[^\s'\"?]*)\?[^\s'\")]*", r"\1?...", text)


def _refuse(path: str, what: str) -> NoReturn:
    raise StorageError(f"{public(path)} {what}")
