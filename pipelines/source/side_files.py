"""Side files of a tar shard: which videos the text of a `.json` or `.txt` member belongs to, and in which column.

A side file belongs to the video that has its name: `cam_0.5.json` to `cam_0.5.mp4`, and `cam_0.5.mp4.json` to it alone.
Where no video has, dots are taken for WebDataset's: `a.meta.json` belongs to `a.mp4`, as the column `meta_json`, and
`a.json` to `a.left.mp4` and `a.right.mp4`. A dot between two digits is the point of a number, and never one of these.
So no video is given the side file of another one, be that in the shard or not.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from framegate.schemas.signatures import strip

MAX_SIDE_BYTES: Final = 64 << 10
MAX_SIDE_TOTAL_BYTES: Final = 256 << 20
MAX_SIDE_COLUMNS: Final = 32
LEFT_OUT: Final = "side_files_left_out"
"""The text column that says which side files of a video were too large or too many to be kept."""


@dataclass(frozen=True, slots=True)
class SideFile:
    """`stem` is the member's name up to its last dot, `suffix` what follows, in small letters; `text` is None where the
    file is too large to be kept."""

    stem: str
    suffix: str
    size_bytes: int
    text: str | None


class SideFiles:
    """All side files of a shard. A later one takes the place of an earlier one of the same name."""

    def __init__(self) -> None:
        self._files: dict[tuple[str, str], SideFile] = {}
        self._num_bytes = 0

    def has_room(self, size_bytes: int) -> bool:
        """Whether one of this size is kept."""
        return size_bytes <= MAX_SIDE_BYTES and self._num_bytes + size_bytes <= MAX_SIDE_TOTAL_BYTES

    def add(self, file: SideFile) -> None:
        self._num_bytes += file.size_bytes if file.text is not None else 0
        self._files[file.stem, file.suffix] = file

    def assign(self, videos: Sequence[str], refused: Iterable[str]) -> tuple[dict[str, dict[str, str]], int]:
        """The texts of each video by column, and how many side files belong to none.

        `refused` are members that give no video and keep their side files to themselves.
        """
        owners = _Owners(videos, refused)
        texts: dict[str, dict[str, str]] = defaultdict(dict)
        left_out: dict[str, dict[str, str]] = defaultdict(dict)
        columns: set[str] = set()
        num_without = 0
        for file in self._files.values():
            names, rest = owners.of(file.stem)
            extension = f"{rest}.{file.suffix}" if rest else file.suffix
            column = re.sub(r"\W", "_", extension.lower())
            is_kept = file.text is not None and (column in columns or len(columns) < MAX_SIDE_COLUMNS)
            num_without += not names
            for name in names:
                if is_kept:
                    columns.add(column)
                    texts[name][column] = strip(file.text or "")
                else:
                    left_out[name][column] = f"{extension} ({file.size_bytes:,} bytes)"
        for name, files in left_out.items():
            texts[name][LEFT_OUT] = ", ".join(files.values())
        return texts, num_without


class _Owners:
    """Finds the videos that a side file's stem belongs to."""

    def __init__(self, videos: Sequence[str], refused: Iterable[str]) -> None:
        self._names = frozenset(videos)
        self._by_stem: dict[str, list[str]] = {split_suffix(name)[0]: [] for name in refused}
        self._below: dict[str, list[str]] = defaultdict(list)
        for name in videos:
            stem = split_suffix(name)[0]
            self._by_stem.setdefault(stem, []).append(name)
            for shorter in _shorter(stem):
                self._below[shorter].append(name)

    def of(self, stem: str) -> tuple[Sequence[str], str]:
        """The videos, and what stands between their stem and the side file's suffix."""
        if stem in self._names:
            return [stem], split_suffix(stem)[1]
        if stem in self._by_stem:
            return self._by_stem[stem], ""
        for shorter in _shorter(stem):
            if shorter in self._names:
                return [shorter], stem[len(split_suffix(shorter)[0]) + 1 :]
            if shorter in self._by_stem:
                return self._by_stem[shorter], stem[len(shorter) + 1 :]
        return self._below.get(stem, ()), ""


def split_suffix(name: str) -> tuple[str, str]:
    """`a/b.5` and `mp4` of `a/b.5.mp4`; a name without a dot, or with one at its beginning alone, has no suffix."""
    folder, slash, base = name.rpartition("/")
    stem, dot, suffix = base.rpartition(".")
    return (f"{folder}{slash}{stem}", suffix) if dot and stem else (name, "")


def _shorter(stem: str) -> Iterator[str]:
    """The stem cut off at each dot of its base name that is no point of a number, the longest first."""
    start = stem.rfind("/") + 2
    for place in range(len(stem) - 1, start - 1, -1):
        is_point = stem[place - 1].isdigit() and stem[place + 1 : place + 2].isdigit()
        if stem[place] == "." and not is_point:
            yield stem[:place]
