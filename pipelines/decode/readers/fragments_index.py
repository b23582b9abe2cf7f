"""The index `mfra` at the end of a fragmented movie (ISO/IEC 14496-12, section 8.8.9 to 8.8.11): whose film it is.

Its places count from the start of the film that it belongs to. Where other films lie before that one in the file, they
do not lead to its last fragment.
"""

from __future__ import annotations

from collections.abc import Iterator

from framegate.pipelines.decode.readers.blocks import RangeFile
from framegate.pipelines.decode.readers.cut_short import boxes, read_at

MAX_INDEX_BYTES = 16 << 20  # an entry has 11 bytes or more: a million fragments
_MAX_LAST_BOXES = 64  # from the last fragment that the index names to the index: those of other streams, side data
_MFRO_BYTES = 16


def index_tells_one_film(file: RangeFile) -> bool:
    """Whether `file` ends with an index whose last fragment, at the place that it names, is followed by that index.

    False where it has none, or an empty or damaged one. Leaves `file` anywhere. Raises what `file` raises.
    """
    start = _index_start(file)
    if start is None:
        return False
    last = max(_places(read_at(file, start, file.size_bytes - start)), default=None)
    if last is None or not 0 < last < start:
        return False
    names = []
    for name, begin, _ in boxes(file, first=last, max_boxes=_MAX_LAST_BOXES):
        if begin >= start:
            return begin == start and names[:1] == [b"moof"]
        names.append(name)
    return False


def _index_start(file: RangeFile) -> int | None:
    if file.size_bytes < _MFRO_BYTES:
        return None
    end = read_at(file, file.size_bytes - _MFRO_BYTES, _MFRO_BYTES)
    num_bytes = int.from_bytes(end[12:], "big")
    if end[4:8] != b"mfro" or not _MFRO_BYTES < num_bytes <= min(MAX_INDEX_BYTES, file.size_bytes):
        return None
    start = file.size_bytes - num_bytes
    return start if read_at(file, start, 8)[4:] == b"mfra" else None


def _places(index: bytes) -> Iterator[int]:
    """The place of the last fragment that each table `tfra` of the index names."""
    position = 8
    while position + 8 <= len(index):
        num_bytes = int.from_bytes(index[position : position + 4], "big")
        table = index[position : position + num_bytes]
        if table[4:8] == b"tfra" and len(table) >= 24:
            yield from _last_place(table)
        if num_bytes < 8:
            return
        position += num_bytes


def _last_place(table: bytes) -> Iterator[int]:
    num_each = 8 if table[8] == 1 else 4  # bytes of a time and of a place, by the table's version
    widths = int.from_bytes(table[16:20], "big")
    num_bytes = 2 * num_each + sum((widths >> shift & 3) + 1 for shift in (4, 2, 0))
    num_entries = int.from_bytes(table[20:24], "big")
    last = table[24 + (num_entries - 1) * num_bytes :][:num_bytes] if num_entries else b""
    if len(last) == num_bytes:
        yield int.from_bytes(last[num_each : 2 * num_each], "big")
