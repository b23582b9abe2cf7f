"""Pictures in the boxes of a movie file: HEIC, AVIF and their kind, whatever brands they claim.

    picture            ftyp  meta (items, one of them is the picture)  mdat
    picture sequence   ftyp  meta  moov with tracks whose handler is `pict`  mdat
    film               ftyp  moov with a track whose handler is `vide`  mdat; it may have a `meta` beside

FFmpeg makes a stream of a picture, and a clip would be made of that. The first brand alone does not tell: a picture may
call itself anything, and a film may be compatible with anything.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Final

from framegate.pipelines.decode.readers.blocks import RangeFile
from framegate.pipelines.decode.readers.cut_short import boxes, read_at
from framegate.pipelines.decode.readers.sniff import ALLOWED
from framegate.schemas.errors import NotAVideo

# As the first brand: the file is a picture, or many. After ISO/IEC 23008-12, the AV1 image format, JPEG 2000 and XL.
PICTURE_BRANDS: Final = frozenset(
    [
        b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"heoi", b"mif1", b"mif2", b"mif3",
        b"msf1", b"miaf", b"avif", b"avis", b"avio", b"avci", b"avcs", b"vvic", b"vvis", b"evbi", b"evbs", b"jpeg",
        b"jpgs", b"j2ki", b"j2is", b"jp2 ", b"jpx ", b"jpm ", b"jxl ", b"crx ",
    ]
)  # fmt: skip
_MAX_FTYP_BYTES: Final = 1024  # 253 brands; FFmpeg's movies have four
_MAX_TRACKS: Final = 128
_MAX_INNER: Final = 64  # boxes in a box: a track has some ten


def refuse_picture(file: RangeFile) -> None:
    """Of an ISO-BMFF file: raises NotAVideo where it is a picture or a picture sequence, and what `file` raises.

    Reads the heads of the first boxes, which opening reads anyway, and more only of what may be a picture. What hides
    behind them, or beside a film, is no stream of a film either: see `header.main_stream`.
    """
    names: set[bytes] = set()
    may_be_picture = False
    moov: tuple[int, int] | None = None
    for name, start, end in boxes(file):
        names.add(name)
        if name == b"ftyp":
            brands = _brands(file, start, end)
            if brands and brands[0] in PICTURE_BRANDS:
                raise _refusal(f"a HEIF, AVIF or raw image ({brands[0].decode('ascii').strip()})")
            may_be_picture |= not PICTURE_BRANDS.isdisjoint(brands)
        elif name == b"meta":
            may_be_picture = True
        elif name == b"moov" and moov is None:
            moov = start, end
    if not may_be_picture or b"moof" in names:
        return
    if moov is None:
        raise _refusal("a picture, such as HEIF or AVIF")
    if b"vide" not in _handlers(file, *moov):
        raise _refusal("a sequence of pictures, such as HEIF or AVIF")


def _refusal(what: str) -> NotAVideo:
    return NotAVideo(f"The file is {what}; a video must be {ALLOWED}.")


def _brands(file: RangeFile, start: int, end: int) -> list[bytes]:
    """The first one, then those that the file is compatible with; between them stands a version."""
    data = read_at(file, start + 8, max(0, min(end - start - 8, _MAX_FTYP_BYTES)))
    return [data[at : at + 4] for at in range(0, len(data) - 3, 4) if at != 4]


def _handlers(file: RangeFile, start: int, end: int) -> set[bytes]:
    """The handlers of the tracks of a `moov`: moov / trak / mdia / hdlr."""
    found: set[bytes] = set()
    for track in islice(_inside(file, start, end, b"trak"), _MAX_TRACKS):
        for media in _inside(file, *track, b"mdia"):
            for handler_start, handler_end in _inside(file, *media, b"hdlr"):
                found.add(read_at(file, handler_start + 16, min(4, max(0, handler_end - handler_start - 16))))
    return found


def _inside(file: RangeFile, start: int, end: int, wanted: bytes) -> Iterator[tuple[int, int]]:
    """Where the boxes of a kind lie in a box."""
    for name, inner_start, inner_end in boxes(file, first=start + 8, max_boxes=_MAX_INNER):
        if inner_start >= end:
            return
        if name == wanted:
            yield inner_start, min(inner_end, end)
