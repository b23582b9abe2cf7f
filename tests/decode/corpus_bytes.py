"""Surgery on finished files: boxes of MP4 found by their names, fields overwritten, tracks multiplied."""

from __future__ import annotations

import struct


def find_box(data: bytes, path: str, *, start: int = 0, end: int | None = None) -> tuple[int, int]:
    """[start, end) of the first box at a path such as "moov/trak/mdia", its header of 8 bytes included."""
    name, _, rest = path.partition("/")
    position, end = start, len(data) if end is None else end
    while position + 8 <= end:
        size = int.from_bytes(data[position : position + 4], "big")
        if data[position + 4 : position + 8] == name.encode():
            if not rest:
                return position, position + size
            return find_box(data, rest, start=position + 8, end=position + size)
        position += max(size, 8)
    raise ValueError(f"no box {path}")


def patch(data: bytes, path: str, offset: int, new: bytes) -> bytes:
    """`new` over the bytes at `offset` from the start of a box."""
    start = find_box(data, path)[0] + offset
    return data[:start] + new + data[start + len(new) :]


def replace(data: bytes, old: bytes, new: bytes) -> bytes:
    """Every `old` by a `new` of the same length; it must be there."""
    assert old in data
    assert len(old) == len(new)
    return data.replace(old, new)


def fill(data: bytes, path: str, content: bytes) -> bytes:
    """`content`, repeated, over all of a box but its header."""
    start, end = find_box(data, path)
    size = end - start - 8
    return data[: start + 8] + (content * (size // len(content) + 1))[:size] + data[end:]


TABLE = "moov/trak/mdia/minf/stbl"


def frame_ticks(data: bytes, ticks: int) -> bytes:
    """Every frame of an MP4 lasts `ticks` of its time base: one entry of `stts`, the others without frames."""
    start, end = find_box(data, f"{TABLE}/stts")
    num_entries = (end - start - 16) // 8
    counts = [int.from_bytes(data[start + 16 + 8 * n : start + 20 + 8 * n], "big") for n in range(num_entries)]
    entries = struct.pack(">II", sum(counts), ticks) + b"\0" * 8 * (num_entries - 1)
    return data[: start + 16] + entries + data[end:]


def announce_mp4(data: bytes, seconds: int) -> bytes:
    """An MP4 whose clock ticks once a second, and whose headers (all of version 0) say that it lasts so long."""
    data = frame_ticks(data, 100_000_000)
    for path, offset in (("moov/mvhd", 20), ("moov/trak/mdia/mdhd", 20)):
        data = patch(data, path, offset, struct.pack(">II", 1, seconds))
    data = patch(data, "moov/trak/tkhd", 28, struct.pack(">I", seconds))
    return patch(data, "moov/trak/edts/elst", 16, struct.pack(">I", seconds))


def edit(data: bytes, *, duration_ticks: int, media_ticks: int) -> bytes:
    """The track's only edit, which must exist (version 0)."""
    return patch(data, "moov/trak/edts/elst", 16, struct.pack(">Ii", duration_ticks, media_ticks))


def many_tracks(data: bytes, num: int) -> bytes:
    """An MP4 whose index stands at its end, with the same track `num` times."""
    start, end = find_box(data, "moov")
    assert end == len(data)
    track_start, track_end = find_box(data, "moov/trak")
    tracks = data[track_start:track_end] * num
    size = end - start + len(tracks) - (track_end - track_start)
    return data[:start] + struct.pack(">I", size) + data[start + 4 : track_start] + tracks + data[track_end:end]


def elsewhere_by_url(data: bytes, uri: str) -> bytes:
    """An MP4 whose index stands at its end, and says that the frames are in another file (a `dref` of kind url)."""
    return _with_dref(data, b"url ", uri.encode() + b"\0")


def _with_dref(data: bytes, kind: bytes, content: bytes) -> bytes:
    start, end = find_box(data, "moov/trak/mdia/minf/dinf/dref")
    entry = struct.pack(">I4sI", 12 + len(content), kind, 0) + content
    dref = struct.pack(">I4sII", 16 + len(entry), b"dref", 0, 1) + entry
    grown = len(dref) - (end - start)
    data = data[:start] + dref + data[end:]
    for path in ("moov/trak/mdia/minf/dinf", "moov/trak/mdia/minf", "moov/trak/mdia", "moov/trak", "moov"):
        at = find_box(data, path)[0]
        size = int.from_bytes(data[at : at + 4], "big") + grown
        data = data[:at] + struct.pack(">I", size) + data[at + 4 :]
    return data


def elsewhere_as_alias(data: bytes, path: str) -> bytes:
    """The same by a Macintosh alias, the kind of `dref` that FFmpeg can follow."""
    name = path.rsplit("/", 1)[-1].encode()
    record = struct.pack(">H", len(path)) + path.encode()
    alias = bytes(10) + bytes(28) + bytes(12) + bytes([len(name)]) + name.ljust(63, b"\0") + bytes(16)
    alias += struct.pack(">HH", 1, 1) + bytes(16)
    alias += struct.pack(">H", 2) + record + b"\0" * (len(path) % 2) + b"\xff\xff\0\0"
    return _with_dref(data, b"alis", alias)


def without_rate(data: bytes) -> bytes:
    """An AVI whose headers say 0 frames a second."""
    main, stream = data.index(b"avih") + 8, data.index(b"strh") + 8
    data = data[:main] + bytes(4) + data[main + 4 :]
    return data[: stream + 20] + bytes(8) + data[stream + 28 :]


def announce_mkv(data: bytes, seconds: float) -> bytes:
    """A Matroska file whose header gives another duration (element 0x4489, a float of 8 bytes, milliseconds)."""
    at = data.index(b"\x44\x89\x88") + 3
    return data[:at] + struct.pack(">d", 1000 * seconds) + data[at + 8 :]
