"""Whether a file is shorter than its container says: an upload or a copy that broke off.

ISO-BMFF, Matroska and AVI say how long they are; transport streams, FLV, Ogg and MXF do not, and count as whole. Reads
a few headers, never frames.
"""

from __future__ import annotations

from collections.abc import Iterator

from framegate.pipelines.decode.readers.blocks import RangeFile
from framegate.pipelines.decode.readers.sniff import ISO_BMFF_BOXES

# A fragmented movie is a row of thousands of boxes, each perhaps a request to storage; the first ones must do.
MAX_BOXES = 64
# Any other box is not part of the movie, so that it may be cut.
TOP_LEVEL_BOXES = ISO_BMFF_BOXES | {b"mfra"}
_EBML_HEAD, _VOID, _MATROSKA_SEGMENT = 0x1A45DFA3, 0xEC, 0x18538067


def is_cut_short(file: RangeFile) -> bool:
    """Whether `file` ends inside of what its container announces, or (ISO-BMFF) before its index `moov`.

    A file of another kind, or damaged where the sizes stand, counts as whole. Leaves `file` where it was, for a demuxer
    may be in the middle of it. Raises what `file` raises.
    """
    position = file.tell()
    try:
        return _ends_too_early(file, file.size_bytes)
    finally:
        file.seek(position)


def has_fragments(file: RangeFile) -> bool:
    """Whether an ISO-BMFF file has fragments among its first boxes, so that its index does not tell all frames."""
    position = file.tell()
    try:
        return any(box == b"moof" for box, _, _ in boxes(file))
    finally:
        file.seek(position)


def boxes(
    file: RangeFile, *, first: int = 0, max_boxes: int = MAX_BOXES, num_bytes: int = 16
) -> Iterator[tuple[bytes, int, int]]:
    """Top-level boxes of an ISO-BMFF file from byte `first` on: name, first byte, and the byte behind it as the box has
    it. `num_bytes` are fetched at each that was not fetched before."""
    position, size_bytes = first, file.size_bytes
    for _ in range(max_boxes):
        if position + 8 > size_bytes:
            return
        header = read_at(file, position, 16, fetch_bytes=num_bytes)
        size, box = int.from_bytes(header[:4], "big"), header[4:8]
        if size == 1:
            size = int.from_bytes(header[8:16], "big")
        elif size == 0:  # to the end of the file
            size = size_bytes - position
        yield box, position, position + size
        if size < 8:
            return
        position += size


def _ends_too_early(file: RangeFile, size_bytes: int) -> bool:
    head = read_at(file, 0, 12)
    if head[4:8] in ISO_BMFF_BOXES:
        return _is_iso_bmff_cut(file, size_bytes)
    if head.startswith(b"\x1a\x45\xdf\xa3"):
        end = matroska_end(file, 0)
        return end is not None and end > size_bytes
    if head.startswith(b"RIFF") and head[8:12] == b"AVI ":
        return any(end > size_bytes for _, _, end in _riff_chunks(file))
    return False


def _is_iso_bmff_cut(file: RangeFile, size_bytes: int) -> bool:
    has_moov, end = False, 0
    for number, (box, start, end) in enumerate(boxes(file)):
        if box not in TOP_LEVEL_BOXES and start:  # something was put behind the movie
            return not has_moov
        has_moov |= box == b"moov"
        if end < start + 8 or end > size_bytes:
            return True
        if number + 1 == MAX_BOXES:
            return False
    return not has_moov


def matroska_end(file: RangeFile, position: int) -> int | None:
    """The byte behind the Matroska segment whose file begins at `position`, as it says; None where it does not."""
    for expected in ({_EBML_HEAD}, {_MATROSKA_SEGMENT, _VOID}, {_MATROSKA_SEGMENT}):
        header = read_at(file, position, 16)
        element, num_id_bytes = _number(header, keep_marker=True)
        size, num_size_bytes = _number(header[num_id_bytes:], keep_marker=False)
        if element not in expected or not num_size_bytes or size is None:  # damaged, or live and of unknown size
            return None
        position += num_id_bytes + num_size_bytes + size
        if element == _MATROSKA_SEGMENT:
            return position
    return None


def _number(data: bytes, *, keep_marker: bool) -> tuple[int | None, int]:
    """A number of EBML and how many bytes it takes; None where all of its bits are set, 0 bytes where it is damaged.

    The leading zero bits of the first byte say how many bytes follow (RFC 8794, section 4).
    """
    num_bytes = 9 - data[0].bit_length() if data and data[0] else 0
    if num_bytes == 0 or len(data) < num_bytes:
        return 0, 0
    value = int.from_bytes(data[:num_bytes], "big")
    if keep_marker:
        return value, num_bytes
    value &= (1 << 7 * num_bytes) - 1
    return (None if value == (1 << 7 * num_bytes) - 1 else value), num_bytes


def riff_chunks(file: RangeFile) -> Iterator[tuple[int, bytes]]:
    """First byte and kind of each chunk of an AVI; beyond 1 GB it is a row of them (OpenDML)."""
    for start, kind, _ in _riff_chunks(file):
        yield start, kind


def _riff_chunks(file: RangeFile) -> Iterator[tuple[int, bytes, int]]:
    position = 0
    for _ in range(MAX_BOXES):
        if position + 12 > file.size_bytes:
            return
        header = read_at(file, position, 12)
        size = int.from_bytes(header[4:8], "little")
        if header[:4] != b"RIFF" or size == 0:  # the recorder never came to write the size
            return
        yield position, header[8:12], position + 8 + size
        position += 8 + size + size % 2


def read_at(file: RangeFile, position: int, num_bytes: int, *, fetch_bytes: int = 0) -> bytes:
    """`num_bytes` at a place, fewer at the end of the file, without read-ahead: `fetch_bytes` come, if that is more."""
    file.expect(position, position + max(num_bytes, fetch_bytes))
    file.seek(position)
    data = b""
    while len(data) < num_bytes and (more := file.read(num_bytes - len(data))):
        data += more
    file.expect(0, 0)
    return data
