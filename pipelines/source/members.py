"""The members of a tar shard: videos with their side files, refused members, and members that are passed over.

The layout is WebDataset's: `.json` and `.txt` members describe videos and become text columns; `side_files` says whose.
Only headers and those side files are read.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from framegate.pipelines.source.side_files import SideFile, SideFiles, split_suffix
from framegate.pipelines.source.tar_headers import TarDamaged, TarHeader, Window, read_headers
from framegate.schemas.clip import Refusal

MAX_MEMBERS = 1_000_000
MAX_NAME_BYTES: Final = 1024

_SIDE_SUFFIXES = ("json", "txt")
# Extensions of files that stand beside videos in the shards of training sets. Everything else counts as a video,
# whatever it is called: decoding looks at the content.
_OTHER_SUFFIXES = frozenset(
    {
        "aac", "avif", "cbor", "cls", "cls2", "csv", "flac", "geojson", "gif", "gz", "heic", "html", "id",
        "index", "inx", "jpeg", "jpg", "jsonl", "log", "m4a", "md5", "mp3", "msg", "msgpack", "npy", "npz",
        "opus", "parquet", "pbm", "pdf", "pgm", "pickle", "pkl", "png", "ppm", "pt", "pth", "pyd",
        "safetensors", "sha256", "srt", "ten", "tif", "tiff", "tsv", "vtt", "wav", "webp", "xml", "yaml", "yml",
        "zip",
    }
)  # fmt: skip
_UNSAFE_KINDS = {
    "link": "is a link",
    "device": "is a device or a named pipe",
    "sparse": "is stored as a sparse file, in pieces",
    "unknown": "is of a kind that is not known",
}
_DOT_PREFIX = re.compile(r"^(\./+)+")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_SHOWN_CHARACTERS = 200  # of a name that is refused
_MAGIC = {
    b"\x1f\x8b": "gzip",
    b"BZh": "bzip2",
    b"\xfd7zXZ\x00": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"\x04\x22\x4d\x18": "lz4",
}


@dataclass(frozen=True, kw_only=True)
class ShardMember:
    """A member that becomes a row: a video with the text of its side files, or a refused member."""

    name: str
    offset_bytes: int
    size_bytes: int
    texts: Mapping[str, str] = field(default_factory=dict)
    refusal: Refusal | None = None


@dataclass(frozen=True, kw_only=True)
class ShardIndex:
    """What is in one version of a shard.

    refusal      why the shard as a whole has no members, or none from some byte on
    num_ignored  members passed over, by extension; also `hidden` (a name with a leading dot), `superseded` (a later
                 member has the same name, and replaces it) and `without_video` (side files of no video)
    """

    members: tuple[ShardMember, ...]
    refusal: Refusal | None = None
    num_ignored: Mapping[str, int] = field(default_factory=dict)


def index_members(read: Callable[[int, int], bytes], size_bytes: int) -> ShardIndex:
    """The index of a shard of `size_bytes` whose bytes [start, end) `read` gives. Raises what `read` raises.

    Whatever cannot be indexed becomes a refusal, never an error. No member that may be a video is left out silently.
    """
    if size_bytes == 0:
        return ShardIndex(members=(), refusal=Refusal(reason="empty", message="The shard is empty (0 bytes)."))
    window, builder = Window(read, size_bytes), _IndexBuilder(size_bytes)
    refusal = None
    try:
        for number, header in enumerate(read_headers(window)):
            if number == MAX_MEMBERS:
                message = f"The shard has more than {MAX_MEMBERS:,} members; the others are not indexed."
                refusal = Refusal(reason="too_large", message=message)
                break
            builder.add(header, window)
    except TarDamaged as damage:
        refusal = _refusal_of_damage(damage, window)
    members = builder.members()
    if not members and refusal is None:
        message = f"The shard holds no member that could be a video ({builder.num_ignored.total():,} others)."
        refusal = Refusal(reason="not_video", message=message)
    return ShardIndex(members=members, refusal=refusal, num_ignored=dict(builder.num_ignored))


class _IndexBuilder:
    def __init__(self, shard_bytes: int) -> None:
        self.num_ignored: Counter[str] = Counter()
        self._shard_bytes = shard_bytes
        self._videos: dict[str, ShardMember] = {}
        self._refused: list[ShardMember] = []
        self._side_files = SideFiles()

    def add(self, header: TarHeader, window: Window) -> None:
        if header.kind == "folder":
            return
        name = _DOT_PREFIX.sub("", header.name)
        refusal = _refusal(header, name, self._shard_bytes)
        if refusal is not None:
            size_bytes = max(0, min(header.size_bytes, self._shard_bytes - header.offset_bytes))
            self._refused.append(
                ShardMember(name=name, offset_bytes=header.offset_bytes, size_bytes=size_bytes, refusal=refusal)
            )
            return
        stem, _, suffix = name.rpartition("/")[2].lower().rpartition(".")
        if any(part.startswith(".") and part != "." for part in name.split("/")):
            self.num_ignored["hidden"] += 1
        elif stem and suffix in _SIDE_SUFFIXES:
            self._add_side_file(header, name, window)
        elif stem and suffix in _OTHER_SUFFIXES:
            self.num_ignored[suffix] += 1
        else:
            self.num_ignored["superseded"] += name in self._videos
            self._videos[name] = ShardMember(name=name, offset_bytes=header.offset_bytes, size_bytes=header.size_bytes)

    def members(self) -> tuple[ShardMember, ...]:
        """All rows; every name once."""
        texts, num_without = self._side_files.assign(list(self._videos), (member.name for member in self._refused))
        videos = [replace(member, texts=texts.get(name, {})) for name, member in self._videos.items()]
        names, refused = set(self._videos), []
        for member in self._refused:
            name = _shown(member.name)
            while name in names:
                name = f"{name}@{member.offset_bytes}"
            names.add(name)
            refused.append(replace(member, name=name))
        self.num_ignored["without_video"] = num_without
        self.num_ignored = +self.num_ignored  # without zeros
        return (*videos, *refused)

    def _add_side_file(self, header: TarHeader, name: str, window: Window) -> None:
        stem, suffix = split_suffix(name)
        size_bytes, text = header.size_bytes, None
        if self._side_files.has_room(size_bytes):
            data = window.get(header.offset_bytes, header.offset_bytes + size_bytes)
            text = data.decode("utf-8", "replace")
        self._side_files.add(SideFile(stem=stem, suffix=suffix.lower(), size_bytes=size_bytes, text=text))


def _refusal(header: TarHeader, name: str, shard_bytes: int) -> Refusal | None:
    """Why a member gives no video whatever it holds, or None."""
    unsafe = None
    if header.kind != "file":
        unsafe = _UNSAFE_KINDS[header.kind]
    elif not header.whole_name or len(name.encode("utf-8", "replace")) > MAX_NAME_BYTES:
        unsafe = f"has a name or an extended header that is too long (a name may have {MAX_NAME_BYTES} bytes)"
    elif not name:
        unsafe = "has no name"
    elif name.startswith("/"):
        unsafe = "has an absolute name"
    elif ".." in name.split("/"):
        unsafe = "has a name that leads out of the archive"
    elif "\\" in name:
        unsafe = "has a backslash in its name"
    elif _CONTROL.search(name):
        unsafe = "has control characters in its name"
    if unsafe:
        return Refusal(reason="unsafe_member", message=f"The member {unsafe}; only plain files are read from a shard.")
    if header.offset_bytes + header.size_bytes > shard_bytes:
        there = max(0, shard_bytes - header.offset_bytes)
        return Refusal(
            reason="truncated",
            message=f"The shard breaks off in this member: {there:,} of {header.size_bytes:,} bytes are there.",
        )
    return None


def _refusal_of_damage(damage: TarDamaged, window: Window) -> Refusal:
    if damage.offset_bytes > 0:
        return Refusal(
            reason="truncated",
            message=f"The shard {damage.what} at byte {damage.offset_bytes:,}; what follows is not indexed.",
        )
    head = window.get(0, min(8, window.size_bytes))
    packed = next((name for magic, name in _MAGIC.items() if head.startswith(magic)), None)
    if packed is not None:
        message = f"The shard is compressed with {packed}; members are read by range, give it as a plain tar archive."
    else:
        message = f"The shard is no tar archive (it starts with {head.hex(' ')})."
    return Refusal(reason="not_video", message=message)


def _shown(name: str) -> str:
    shown = _CONTROL.sub("\ufffd", name)
    return shown if len(shown) <= _SHOWN_CHARACTERS else shown[:_SHOWN_CHARACTERS] + "…"
