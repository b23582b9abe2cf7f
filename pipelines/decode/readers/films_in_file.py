"""Where whole films lie behind one another in one file, as `cat` leaves them: FFmpeg shows the first one, or nonsense.

Transport and program streams have no beginning that could be told from their middle: see `running_time` for those. What
the search costs, beside the few headers that opening reads anyway:

    Matroska, AVI           nothing: their headers say where the first film ends
    MP4                     nothing, but for movies of more than MAX_BOXES boxes, as fragmented ones are: two places
                            where an index at the end of the file tells that it is one film; else the head of each box
    MXF                     one place, where the first film's footer lies; without one, up to WHOLE_BYTES the file is
                            read once
    FLV                     nothing where its metadata gives the size of the file; else the file is read once
    Ogg                     up to WHOLE_BYTES the file is read once; of a larger one NUM_PROBES places of 64 KiB are
                            read, and all of it where another stream is seen at one of them, or one that has begun again
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from itertools import takewhile

from framegate.pipelines.decode.readers.blocks import RangeFile
from framegate.pipelines.decode.readers.cut_short import MAX_BOXES, boxes, matroska_end, riff_chunks
from framegate.pipelines.decode.readers.fragments_index import index_tells_one_film
from framegate.schemas.errors import VideoTooLarge

WHOLE_BYTES = 8 << 20
MAX_MOVIE_BOXES = 1_000_000  # 11 days of fragments of 2 s
BOX_HEAD_BYTES = 4096  # a fragment's head is followed by its data: both heads come at once where the first is smaller
NUM_PROBES = 16
PIECE_BYTES = 1 << 20
PROBE_BYTES = 64 << 10  # the size of the largest page of Ogg
_EBML_HEAD = b"\x1a\x45\xdf\xa3"
# "FLV", version 1, what is in it, a header of 9 bytes, and a tag of 0 bytes before the first one.
_FLV_HEAD = re.compile(rb"FLV\x01[\x00-\x05]\x00\x00\x00\x09\x00\x00\x00\x00", re.DOTALL)
_FLV_HEAD_BYTES = 13
_FLV_FILE_SIZE = re.compile(rb"\x00\x08filesize\x00(.{8})", re.DOTALL)
# "OggS", version 0, flags without the upper bits; behind it the page's position, its stream's number, its own number.
_OGG_PAGE = re.compile(rb"OggS\x00([\x00-\x07]).{8}(.{4})(.{4})", re.DOTALL)
_OGG_PAGE_BYTES = 22
_FIRST_OF_STREAM = 2
MAX_PAGES = 1 << 32  # of a stream
# A header's partition pack (SMPTE 377-1); behind it stand its length, 24 bytes, and the byte at which the footer lies.
_MXF_HEAD = re.compile(rb"\x06\x0e\x2b\x34\x02\x05\x01\x01\x0d\x01\x02\x01\x01\x02[\x01-\x04]\x00")
_KEY_BYTES = 16
_MAX_KLVS = 64  # from a footer on: the footer, index tables, and the list of partitions


def find_films(file: RangeFile, container: str) -> list[tuple[int, int]]:
    """The bytes [start, end) of each film, in order; one for nearly all files. Leaves `file` at its start.

    Raises what `file` raises.
    """
    starts = sorted({0, *_starts(file, container)})
    file.seek(0)
    return list(zip(starts, [*starts[1:], file.size_bytes], strict=True))


def _starts(file: RangeFile, container: str) -> Iterator[int]:
    if container == "iso_bmff":
        yield from _movie_starts(file)
    elif container == "matroska":
        yield from _segment_starts(file)
    elif container == "avi":
        yield from (start for start, kind in riff_chunks(file) if kind == b"AVI " and start)
    elif container == "flv":
        yield from _flv_starts(file)
    elif container == "mxf":
        yield from _mxf_starts(file)
    elif container == "ogg" and _may_be_chained(file):
        yield from _link_starts(file)


def _movie_starts(file: RangeFile) -> Iterator[int]:
    """Raises VideoTooLarge where there are more than MAX_MOVIE_BOXES boxes."""
    ends = [end for _, _, end in boxes(file)]
    has_more = len(ends) == MAX_BOXES and ends[-1] + 8 <= file.size_bytes
    max_boxes = MAX_MOVIE_BOXES if has_more and not index_tells_one_film(file) else MAX_BOXES
    has_moov = False
    for number, (box, start, _) in enumerate(boxes(file, max_boxes=max_boxes, num_bytes=BOX_HEAD_BYTES)):
        if number + 1 == MAX_MOVIE_BOXES:
            raise VideoTooLarge(
                f"The movie has {MAX_MOVIE_BOXES} boxes or more; at most {MAX_MOVIE_BOXES - 1} are read."
            )
        if box == b"ftyp" and has_moov:
            yield start
            has_moov = False
        has_moov |= box == b"moov"


def _segment_starts(file: RangeFile) -> Iterator[int]:
    end = matroska_end(file, 0)
    if end is None and file.size_bytes <= WHOLE_BYTES:  # a live recording, which does not say where it ends
        yield from (start for start, _ in _found(file, re.compile(re.escape(_EBML_HEAD)), len(_EBML_HEAD)))
        return
    while end is not None and end + len(_EBML_HEAD) <= file.size_bytes and _bytes_at(file, end, 4) == _EBML_HEAD:
        yield end
        end = matroska_end(file, end)


def _flv_starts(file: RangeFile) -> Iterator[int]:
    start = 0
    while True:
        found = _FLV_FILE_SIZE.search(_bytes_at(file, start, 4096))
        size = int(struct.unpack(">d", found.group(1))[0]) if found and _is_whole(found.group(1)) else 0
        if start + size == file.size_bytes:
            return
        if size <= 0 or not _FLV_HEAD.match(_bytes_at(file, start + size, _FLV_HEAD_BYTES)):
            yield from (at for at, _ in _found(file, _FLV_HEAD, _FLV_HEAD_BYTES) if at > start)
            return
        start += size
        yield start


def _is_whole(data: bytes) -> bool:
    value = struct.unpack(">d", data)[0]
    return 0 < value < 1 << 53


def _mxf_starts(file: RangeFile) -> Iterator[int]:
    start: int | None = 0
    while start is not None:
        pack = _bytes_at(file, start, 96)
        fields = _KEY_BYTES + _length(pack[_KEY_BYTES:])[1] + 24
        footer = int.from_bytes(pack[fields : fields + 8], "big") if _MXF_HEAD.match(pack) else 0
        if footer == 0:  # still being written, or behind a run-in
            if file.size_bytes <= WHOLE_BYTES:
                found = [at for at, _ in _found(file, _MXF_HEAD, _KEY_BYTES)]
                yield from (at for at in found[1:] if at > start)
            return
        start = _next_head(file, start + footer)
        if start is not None:
            yield start


def _next_head(file: RangeFile, position: int) -> int | None:
    """Where the next header's partition lies, by the lengths of what stands from `position` on."""
    for _ in range(_MAX_KLVS):
        head = _bytes_at(file, position, _KEY_BYTES + 9)
        if len(head) <= _KEY_BYTES:
            return None
        if _MXF_HEAD.match(head):
            return position
        length, num_bytes = _length(head[_KEY_BYTES:])
        position += _KEY_BYTES + num_bytes + length
    return None


def _length(data: bytes) -> tuple[int, int]:
    """A length of BER, and how many bytes it takes."""
    if not data or data[0] < 0x80:
        return (data[0] if data else 0), 1
    num_bytes = data[0] & 0x7F
    return int.from_bytes(data[1 : 1 + num_bytes], "big"), 1 + num_bytes


def _may_be_chained(file: RangeFile) -> bool:
    if file.size_bytes <= WHOLE_BYTES:
        return True
    head = _OGG_PAGE.finditer(_bytes_at(file, 0, PROBE_BYTES))
    reached = {match.group(2): 0 for match in takewhile(_is_first, head)}  # by stream: the number of a page so far on
    places = [file.size_bytes * number // NUM_PROBES for number in range(1, NUM_PROBES)]
    for place in [*places, max(places[-1], file.size_bytes - PROBE_BYTES)]:
        for match in _OGG_PAGE.finditer(_bytes_at(file, place, PROBE_BYTES)):
            stream, number = match.group(2), int.from_bytes(match.group(3), "little")
            if number < reached.get(stream, MAX_PAGES):
                return True
            reached[stream] = number
    return False


def _link_starts(file: RangeFile) -> Iterator[int]:
    was_first = True  # of a stream, as the pages at the start of a film are
    for start, match in _found(file, _OGG_PAGE, _OGG_PAGE_BYTES):
        if _is_first(match) and not was_first:
            yield start
        was_first = _is_first(match)


def _is_first(page: re.Match[bytes]) -> bool:
    """Whether a page is the first one of a stream."""
    return bool(page.group(1)[0] & _FIRST_OF_STREAM)


def _found(file: RangeFile, pattern: re.Pattern[bytes], num_bytes: int) -> Iterator[tuple[int, re.Match[bytes]]]:
    """Each place of the file where `num_bytes` match, read once from its start."""
    position, kept = 0, b""
    while position < file.size_bytes:
        data = kept + _bytes_at(file, position, PIECE_BYTES)
        start = position - len(kept)
        for match in pattern.finditer(data):
            yield start + match.start(), match
        position = start + len(data)
        kept = data[max(0, len(data) - num_bytes + 1) :]


def _bytes_at(file: RangeFile, position: int, num_bytes: int) -> bytes:
    file.seek(position)
    data = b""
    while len(data) < num_bytes and (more := file.read(num_bytes - len(data))):
        data += more
    return data
