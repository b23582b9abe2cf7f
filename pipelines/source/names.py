"""What the names of an input stand for: an object, a folder, a glob, a braces pattern, or the member of a tar shard.

A name is looked up before it is taken for a pattern: `clip [abc123].mp4` and `a{1,2}.mp4` are names of files where such
files are there. A name of a list that leads to nothing is a row all the same.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import chain
from typing import Final

from framegate.pipelines.source.allowed import Allowed, refuse_secret
from framegate.pipelines.source.braces import expand_braces, has_braces
from framegate.pipelines.source.found import ABSENT, UNREADABLE, unreadable
from framegate.pipelines.source.shards import split_member
from framegate.pipelines.store import Listing, ObjectInfo, Store, bucket_of, is_glob
from framegate.pipelines.store.errors import RetriesExhausted
from framegate.schemas.clip import Refusal
from framegate.schemas.errors import (
    CredentialsError,
    InputError,
    ObjectNotFound,
    StorageError,
    StorageFull,
    UnsafeAddress,
)
from framegate.schemas.signatures import hide
from framegate.schemas.uris import protocol_of, public, split_access, with_access

STAT_THREADS: Final = 32
STAT_BATCH: Final = 8192  # names that are looked up before their rows are collected
STAT_TASK: Final = 32  # names at most that a thread looks up at a time: on a local disk, handing them over costs more
MAX_SILENT: Final = 3  # lookups that a web server does not answer, before it is asked for no other name
WEB_PATIENCE_SECONDS: Final = 15.0  # of one lookup by http: a list may name hundreds of addresses that are dead


@dataclass(frozen=True, slots=True)
class Named:
    """The object that a name leads to, the member of it where the name is `shard.tar#member`, and why it is refused."""

    info: ObjectInfo
    member: str | None = None
    refusal: Refusal | None = None


@dataclass(frozen=True, kw_only=True)
class OwnPlace:
    """The output of the job, which is no input. `holds`: whether a URI is that of an object which an output has."""

    uri: str
    holds: Callable[[str], bool]


class Names:
    """Finds what names lead to.

    listing   what was passed over in folders
    allowed   which names are looked up; the others are refused
    shown     for each place that was listed: whether an object of some URI would have been shown, were it there
    """

    def __init__(self, store: Store, listing: Listing, allowed: Allowed, own: OwnPlace | None = None) -> None:
        self.listing, self._allowed = listing, allowed
        self.shown: list[Callable[[str], bool]] = []
        self._store, self._own = store, own
        self._silent: Counter[str] = Counter()  # how many lookups a web server did not answer
        self._web = replace(store, patience_seconds=min(store.patience_seconds, WEB_PATIENCE_SECONDS))

    def allow(self, allowed: Allowed) -> None:
        """What counts from here on: names of a manifest are judged otherwise than those of the job."""
        self._allowed = allowed

    def find_one(self, name: str) -> Iterator[Named]:
        """What the only name of an input leads to. Raises ObjectNotFound where it is no pattern and leads nowhere,
        InputError where it is not looked up."""
        refuse_secret(name)
        if not is_pattern(name) and (refusal := self._allowed.refusal(name)) is not None:
            raise InputError(f"{hide(public(name))}: {refusal.message}")
        shard, member = split_member(public(name))
        if member is not None or is_web(name):
            yield self._look_up(name, shard, member)
        elif not is_pattern(name):
            yield from self._list(name) if self._store.is_folder(name) else [Named(self._store.stat(name))]
        elif (found := self.literal(name)) is not None:
            yield Named(found)
        elif self._store.is_folder(name):
            yield from self._list(name)
        elif (names := expand_braces(name)) != [name]:
            yield from self.find_all(names)
        else:
            self._store.check_bucket(name)
            yield from self._list(name, is_pattern=True)

    def find_all(self, names: Iterable[str]) -> Iterator[Named]:
        """What each name of a list leads to; what leads nowhere has the version ABSENT."""
        names = list(names)
        for name in names:
            refuse_secret(name)
        folders = [name for name in names if name.endswith("/") and not is_web(name)]
        for name in folders:
            yield from self._find_folder(name)
        plain = names if not folders else [name for name in names if is_web(name) or not name.endswith("/")]
        for batch in (plain[n : n + STAT_BATCH] for n in range(0, len(plain), STAT_BATCH)):
            for name, found in zip(batch, self.stat_all([batch]), strict=True):
                if found.info.version == ABSENT and is_pattern(name):
                    yield from self._expand(name, found)
                else:
                    yield found

    def stat_all(self, batches: Iterable[Sequence[str]]) -> Iterator[Named]:
        """One for each name, taken as it is written. Raises ObjectNotFound where a whole bucket is missing."""
        shards: dict[str, Named] = {}  # one whose members are listed one by one is looked up once
        with ThreadPoolExecutor(STAT_THREADS) as threads:
            for names in batches:
                split = [_split(name) for name in names]
                asked = [uri for uri in dict.fromkeys(uri for uri, _ in split) if uri not in shards]
                found = {**self._stat_many(threads, asked), **shards}
                shards |= {uri: found[uri] for uri, member in split if member is not None}
                # `x.tar#1.mp4` may be the name of an object, where there is no x.tar.
                odd = [
                    name
                    for name, (uri, member) in zip(names, split, strict=True)
                    if member is not None and found[uri].info.version == ABSENT and not is_web(name)
                ]
                literal = self._stat_many(threads, odd)
                for name, (uri, member) in zip(names, split, strict=True):
                    if name in literal and literal[name].info.version != ABSENT:
                        yield literal[name]
                    else:
                        yield replace(found[uri], member=member and hide(public(member)))

    def literal(self, name: str) -> ObjectInfo | None:
        """The object that has just this name."""
        try:
            return self._store.stat(name)
        except ObjectNotFound:
            return None

    def _look_up(self, name: str, shard: str, member: str | None) -> Named:
        store = self._web if is_web(name) else self._store
        try:
            return Named(store.stat(with_access(shard, split_access(name)[1])), member)
        except ObjectNotFound:
            if member is None or is_web(name) or (found := self.literal(name)) is None:
                raise
            return Named(found)

    def _stat_many(self, threads: ThreadPoolExecutor, uris: Sequence[str]) -> dict[str, Named]:
        size = max(1, min(STAT_TASK, len(uris) // STAT_THREADS))
        tasks = [uris[n : n + size] for n in range(0, len(uris), size)]
        found = chain.from_iterable(threads.map(lambda some: [self._stat(uri) for uri in some], tasks))
        return dict(zip(uris, found, strict=True))

    def _stat(self, uri: str) -> Named:
        refusal = self._allowed.refusal(uri)
        if refusal is not None:
            return Named(ObjectInfo(uri=hide(public(uri)), version=UNREADABLE, size_bytes=0), refusal=refusal)
        store = self._web if is_web(uri) else self._store
        name, access = split_access(uri)
        if self._silent[bucket_of(name)] >= MAX_SILENT:
            return _unreadable(name, access, f"cannot read {name}: {bucket_of(name)} did not answer for other names")
        try:
            try:
                return Named(store.stat(uri))
            except ObjectNotFound:
                store.check_bucket(uri)  # a missing bucket is no missing video: it raises
                return Named(ObjectInfo(uri=name, version=ABSENT, size_bytes=0, access=access))
        except (ObjectNotFound, CredentialsError, StorageFull):
            raise
        except UnsafeAddress as error:
            return Named(
                ObjectInfo(uri=name, version=UNREADABLE, size_bytes=0),
                refusal=replace(unreadable(str(error)), reason=error.reason),
            )
        except StorageError as error:
            is_silent = isinstance(error.__cause__, RetriesExhausted)
            if is_silent and not is_web(uri):
                raise  # storage is away, which says nothing of any object
            self._silent[bucket_of(name)] += is_silent
            return _unreadable(name, access, str(error))

    def _find_folder(self, name: str) -> Iterator[Named]:
        """What a name of a list that ends in a slash leads to: a folder of just this name, or a pattern of folders."""
        if is_pattern(name) and not self._store.is_folder(name):
            yield from self._expand(name, _absent(name))
            return
        num_before, is_empty = len(self.listing.unreadable), True
        try:
            for found in self._list(name):
                is_empty = False
                yield found
        except (ObjectNotFound, CredentialsError, StorageFull):
            raise
        except StorageError as error:
            self.listing.unreadable[name] = str(error)
        if is_empty and len(self.listing.unreadable) == num_before:
            self._store.check_bucket(name)
            yield _absent(name)

    def _expand(self, name: str, absent: Named) -> Iterator[Named]:
        """What a pattern of a list leads to; `absent` where that is nothing."""
        names = expand_braces(name)
        if names != [name]:
            yield from self.find_all(names)
            return
        is_empty = True
        if is_glob(name) and not is_web(name):
            for found in self._list(name, is_pattern=True):
                is_empty = False
                yield found
        if is_empty:
            yield absent

    def _list(self, name: str, *, is_pattern: bool = False) -> Iterator[Named]:
        """Everything below a folder, or that matches a glob, but for the job's own output."""
        store, own = self._store, self._own
        self.shown.append(store.shows(name, is_pattern=is_pattern))
        is_inside = own is not None and store.holds(own.uri, name, or_same=True)
        self.listing.leave_out = None if own is None or is_inside else own.uri
        for info in store.glob(name, self.listing) if is_pattern else store.list(name, self.listing):
            if own is not None and is_inside and own.holds(info.uri):
                self.listing.num_own += 1
            elif (refusal := self._allowed.outside(info.uri)) is not None:
                yield Named(replace(info, version=UNREADABLE, size_bytes=0), refusal=refusal)
            else:
                yield Named(info)


def is_pattern(name: str) -> bool:
    """Whether a name may stand for others, should nothing have just this name. A URL of the web has no globs."""
    return has_braces(public(name)) or (is_glob(name) and not is_web(name))


def is_web(name: str) -> bool:
    return protocol_of(name) in ("http", "https")


def _split(name: str) -> tuple[str, str | None]:
    """What storage is asked for, and the member of it."""
    uri, access = split_access(name)
    shard, member = split_member(uri)
    return with_access(shard, access), member


def _unreadable(name: str, access: str, why: str) -> Named:
    info = ObjectInfo(uri=name, version=UNREADABLE, size_bytes=0, access=access)
    return Named(info, refusal=unreadable(why))


def _absent(name: str) -> Named:
    return Named(ObjectInfo(uri=name, version=ABSENT, size_bytes=0))
