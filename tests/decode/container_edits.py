"""Finished files changed where their containers speak of the picture and of key frames."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from tests.decode.corpus_bytes import TABLE, find_box, patch

UNIT = 1 << 16
Matrix = tuple[float, float, float, float]
# How a current player shows a stored picture with (a, b, c, d): turned to the left so often, after it was mirrored.
EIGHT: dict[str, tuple[Matrix, int, bool]] = {
    "upright": ((1, 0, 0, 1), 0, False),
    "turned_right": ((0, 1, -1, 0), 3, False),
    "upside_down": ((-1, 0, 0, -1), 2, False),
    "turned_left": ((0, -1, 1, 0), 1, False),
    "mirrored": ((-1, 0, 0, 1), 0, True),
    "flipped": ((1, 0, 0, -1), 2, True),
    "transposed": ((0, 1, 1, 0), 1, True),
    "transposed_back": ((0, -1, -1, 0), 3, True),
}


def with_matrix(data: bytes, matrix: Matrix, *, movie: bool = False) -> bytes:
    """An MP4 whose track, or whose movie, has this display matrix (boxes of version 0)."""
    a, b, c, d = (round(value * UNIT) for value in matrix)
    numbers = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    return patch(data, *(("moov/mvhd", 44) if movie else ("moov/trak/tkhd", 48)), numbers)


def with_clap(data: bytes, *numbers: int) -> bytes:
    """An MP4 of H.264 whose index stands at its end, with a clean aperture: width, height, and how far its middle lies
    right of and below that of the picture, each as a numerator and a denominator."""
    box = struct.pack(">I4s8i", 40, b"clap", *numbers)
    start, _ = find_box(data, f"{TABLE}/stsd")
    assert data[start + 20 : start + 24] == b"avc1"
    entry = start + 16
    at = entry + int.from_bytes(data[entry : entry + 4], "big")
    parts = f"{TABLE}/stsd".split("/")
    heads = [entry, *(find_box(data, "/".join(parts[: n + 1]))[0] for n in range(len(parts)))]
    assert find_box(data, "moov")[1] == len(data)
    changed = bytearray(data)
    for head in heads:
        struct.pack_into(">I", changed, head, int.from_bytes(data[head : head + 4], "big") + len(box))
    changed[at:at] = box
    return bytes(changed)


def all_marked(data: bytes) -> bytes:
    """The file with every frame marked as a key frame, as careless programs write it."""
    if data[4:8] == b"ftyp":
        return _fragments(data) if b"moof" in data else data.replace(b"stss", b"free")
    if data.startswith(b"RIFF"):
        return _avi(data)
    if data.startswith(b"FLV"):
        return _flv(data)
    changed = bytearray(data)
    for position in _simple_blocks(data, 0, len(data)):
        changed[position] |= 0x80
    return bytes(changed)


def _avi(data: bytes) -> bytes:
    """The old index at the end, and those of OpenDML, where the highest bit of a size says that it is none."""
    changed = bytearray(data)
    start = data.find(b"idx1")
    for at in range(start + 8, start + 8 + int.from_bytes(data[start + 4 : start + 8], "little"), 16):
        changed[at + 4 : at + 8] = (0x10).to_bytes(4, "little")
    for start in _places(data, b"ix00"):
        for at in range(start + 32, start + 32 + 8 * int.from_bytes(data[start + 12 : start + 16], "little"), 8):
            changed[at + 7] &= 0x7F
    return bytes(changed)


def _flv(data: bytes) -> bytes:
    changed = bytearray(data)
    position = 13
    while position + 11 < len(data):
        if data[position] == 9:  # a video tag
            changed[position + 11] = data[position + 11] & 0x0F | 0x10
        position += 11 + int.from_bytes(data[position + 1 : position + 4], "big") + 4
    return bytes(changed)


def _fragments(data: bytes) -> bytes:
    """All flags of samples in `trex`, `tfhd` and `trun`: depends on no other sample."""
    changed = bytearray(data)

    def put(at: int) -> None:
        changed[at : at + 4] = b"\x02\0\0\0"

    for start in _places(data, b"trex"):
        put(start + 24)
    for start in _places(data, b"tfhd"):
        flags = int.from_bytes(data[start + 5 : start + 8], "big")
        if flags & 0x20:
            put(start + 12 + sum(size for bit, size in ((1, 8), (2, 4), (8, 4), (16, 4)) if flags & bit))
    for start in _places(data, b"trun"):
        flags, num_samples = (int.from_bytes(data[start + at : start + at + 4], "big") for at in (4, 8))
        at = start + 12 + 4 * bool(flags & 1)
        if flags & 4:
            put(at)
            at += 4
        for _ in range(num_samples):
            if flags & 0x400:
                put(at + 4 * bool(flags & 0x100) + 4 * bool(flags & 0x200))
            at += 4 * sum(bool(flags & bit) for bit in (0x100, 0x200, 0x400, 0x800))
    return bytes(changed)


def _places(data: bytes, name: bytes) -> Iterator[int]:
    start = data.find(name)
    while start >= 0:
        yield start
        start = data.find(name, start + 1)


def _simple_blocks(data: bytes, start: int, end: int) -> Iterator[int]:
    """Where the flags of each SimpleBlock of a Matroska file stand."""
    while start < end:
        element, num_id_bytes = _number(data, start, keep_marker=True)
        size, num_size_bytes = _number(data, start + num_id_bytes, keep_marker=False)
        content = start + num_id_bytes + num_size_bytes
        if element in (0x18538067, 0x1F43B675):  # segment, cluster
            yield from _simple_blocks(data, content, content + size)
        elif element == 0xA3:
            yield content + _number(data, content, keep_marker=False)[1] + 2
        start = content + size


def _number(data: bytes, position: int, *, keep_marker: bool) -> tuple[int, int]:
    num_bytes = 9 - data[position].bit_length()
    value = int.from_bytes(data[position : position + num_bytes], "big")
    return (value if keep_marker else value & (1 << 7 * num_bytes) - 1), num_bytes
