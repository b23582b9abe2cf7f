"""The files below a folder of a local disk, in the order in which S3 gives the same names."""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Iterator, Sequence
from typing import Final

from framegate.pipelines.store.addresses import kind_of
from framegate.pipelines.store.listing import Listing
from framegate.pipelines.store.object_info import ObjectInfo, file_version, is_hidden

_NOT_THERE: Final = (errno.ENOENT, errno.ENOTDIR)


class LocalWalk:
    """One walk through a folder. Of a folder at a time no more than its names are held."""

    def __init__(self, top: str, *, deepest: int | None, hidden: bool, listing: Listing | None) -> None:
        """`top` ends in a slash; `deepest` is the number of slashes that a folder's name has less than."""
        self._top, self._deepest, self._hidden = top, deepest, hidden
        self._listing = listing
        self._real_top = os.path.realpath(top)
        self._left_out = _identity(listing)
        self._followed: list[str] = []  # real folders that links led to
        self._links: list[str] = []  # their names

    def files(self) -> Iterator[ObjectInfo]:
        """Raises OSError where the top, or without a `listing` anything, cannot be read."""
        waiting: list[str] = [self._top]
        while waiting:
            name = waiting.pop()
            if name.endswith("/"):
                if self._deepest is None or name.count("/") < self._deepest:
                    waiting.extend(reversed(self._names(name)))
            elif (found := self._look(name)) is not None:
                yield found

    def _names(self, folder: str) -> Sequence[str]:
        """Full names in a folder, in order; folders end in a slash, which puts them where S3 has what is in them."""
        try:
            with os.scandir(folder) as entries:
                # In order, since of two links to one folder the first one counts.
                names = [self._name(folder, entry) for entry in sorted(entries, key=lambda entry: entry.name)]
            return sorted(name for name in names if name is not None)
        except OSError as error:
            if error.errno in _NOT_THERE:  # deleted since, or there was none
                return []
            if self._listing is None or folder == self._top:
                raise
            self._listing.unreadable[folder] = error.strerror or type(error).__name__
            return []

    def _name(self, folder: str, entry: os.DirEntry[str]) -> str | None:
        if is_hidden(entry.name) and not self._hidden:
            if self._listing is not None:
                self._listing.num_hidden += 1
            return None
        if entry.is_dir(follow_symlinks=False):
            name = f"{folder}{entry.name}/"
            return None if self._is_left_out(entry) or self._is_followed(name) else name
        if entry.is_symlink() and os.path.isdir(entry.path):
            name = f"{folder}{entry.name}/"
            return self._link(name) if self._deepest is None or name.count("/") < self._deepest else None
        return f"{folder}{entry.name}"

    def _link(self, name: str) -> str | None:
        """The name of a linked folder, where it is followed: its target is listed under no other name, nor is it above
        the top, which would be listed again."""
        if self._listing is None:
            return None
        real = os.path.realpath(name)
        is_listed = any(_is_in(real, other) for other in (self._real_top, *self._followed))
        if self._left_out is not None and _is_in(real, self._left_out[1]):
            self._listing.has_left_out = True
            return None
        if not self._listing.follow_links or is_listed or _is_in(self._real_top, real):
            self._listing.links.add(name)
            return None
        self._followed.append(real)
        self._links.append(name)
        self._listing.followed.add(name)
        return name

    def _is_left_out(self, entry: os.DirEntry[str]) -> bool:
        """Whether a real folder is the one that the listing leaves out. Its inode costs nothing: it is asked first."""
        if self._left_out is None or entry.inode() != self._left_out[0]:
            return False
        if os.path.realpath(entry.path) != self._left_out[1]:
            return False
        assert self._listing is not None, "only a listing leaves out"
        self._listing.has_left_out = True
        return True

    def _is_followed(self, name: str) -> bool:
        """Whether a real folder that is met behind a link is listed under the name of another link already."""
        if len(self._links) < 2 or not name.startswith(tuple(self._links)):
            return False
        if os.path.realpath(name) not in self._followed:
            return False
        assert self._listing is not None, "links are followed with a listing alone"
        self._listing.links.add(name)
        return True

    def _look(self, name: str) -> ObjectInfo | None:
        try:
            found = os.stat(name)
        except OSError as error:
            self._pass_over(name, error)
            return None
        if stat.S_ISREG(found.st_mode):
            return ObjectInfo(uri=name, size_bytes=found.st_size, version=file_version(found))
        if self._listing is not None:
            self._listing.num_special += not stat.S_ISDIR(found.st_mode)
        return None

    def _pass_over(self, name: str, error: OSError) -> None:
        is_link = os.path.islink(name)
        if self._listing is not None and is_link and error.errno in (*_NOT_THERE, errno.ELOOP):
            self._listing.num_dangling += 1
        elif error.errno in _NOT_THERE or (is_link and error.errno == errno.ELOOP):
            pass  # deleted since, or a link to nothing
        elif self._listing is not None:
            self._listing.unreadable[name] = error.strerror or type(error).__name__
        else:
            raise error


def _identity(listing: Listing | None) -> tuple[int, str] | None:
    """Inode and real path of the folder that is left out, where it is one of this machine and there."""
    if listing is None or listing.leave_out is None or kind_of(listing.leave_out) != "file":
        return None
    path = os.path.realpath(re.sub(r"^(?:file|local)://", "", listing.leave_out))
    try:
        return os.stat(path).st_ino, path
    except OSError:
        return None


def _is_in(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip("/") + "/")
