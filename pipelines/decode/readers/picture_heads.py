"""Whether decoding can start at a picture, by the first bits of its packet, for codecs whose packets say so.

Each function takes the first bytes of a packet and gives True, False, or None where they do not tell. They raise
EndOfBits and IndexError where the packet ends within them. H.264, AV1, VP8, VP9, Theora and FFV1 are not here: FFmpeg's
parsers look into their packets, in every container, and correct the marks.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from framegate.pipelines.decode.readers.nal_units import NalUnits


class EndOfBits(Exception):
    """There are fewer bits than were asked for."""


class _Bits:
    """Reads `data` from its first bit on."""

    def __init__(self, data: bytes) -> None:
        self._value, self._left = int.from_bytes(data, "big"), 8 * len(data)

    def read(self, num_bits: int) -> int:
        """The next bits as a whole number. Raises EndOfBits."""
        if num_bits > self._left:
            raise EndOfBits
        self._left -= num_bits
        return self._value >> self._left & (1 << num_bits) - 1


def hevc_head(extradata: bytes) -> Callable[[bytes], bool | None]:
    """For one stream of H.265: whether the first coded slice is of an intra random access picture, types 16 to 23
    (ISO/IEC 23008-2, 7.4.2.2)."""
    units = NalUnits("hevc", extradata)

    def head(data: bytes) -> bool | None:
        for start, _ in units.of(data):
            kind = data[start] >> 1 & 63
            layer = (data[start] & 1) << 5 | data[start + 1] >> 3
            if kind < 32 and layer == 0:
                return kind >= 16
        return None

    return head


def _mpeg4(data: bytes) -> bool | None:
    """`vop_coding_type` of the first picture (ISO/IEC 14496-2, 6.2.5)."""
    start = data.find(b"\0\0\1\xb6")
    return None if start < 0 else data[start + 4] >> 6 == 0


def _mpeg2(data: bytes) -> bool | None:
    """`picture_coding_type` behind the first picture's start code (ISO/IEC 13818-2, 6.2.3)."""
    start = data.find(b"\0\0\1\0")
    return None if start < 0 else data[start + 5] >> 3 & 7 == 1


def _h263(data: bytes) -> bool | None:
    """ITU-T H.263, 5.1: behind the start code and 8 bits of time, the kind is bit 9 of PTYPE, or of its extension."""
    bits = _Bits(data[:8])
    if bits.read(22) != 0b10_0000:
        return None
    bits.read(8 + 5)
    if bits.read(3) != 7:
        return bits.read(1) == 0
    if bits.read(3) == 1:  # the extension is written out
        bits.read(18)
    return bits.read(3) == 0


def _sorenson(data: bytes) -> bool | None:
    """The H.263 of Flash video: a start code, 5 bits of version, 8 of time, 3 of size; then the kind."""
    bits = _Bits(data[:10])
    if bits.read(17) != 1:
        return None
    bits.read(5 + 8)
    size = bits.read(3)
    bits.read({0: 16, 1: 32}.get(size, 0))
    return bits.read(2) == 0


def _microsoft_mpeg4(data: bytes) -> bool:
    """MS MPEG-4 version 2 and 3 and WMV 7: two bits."""
    return data[0] >> 6 == 0


def _wmv8(data: bytes) -> bool:
    """One bit."""
    return data[0] >> 7 == 0


PICTURE_HEADS: Final[dict[str, Callable[[bytes], bool | None]]] = {
    "flv1": _sorenson,
    "h263": _h263,
    "mpeg1video": _mpeg2,
    "mpeg2video": _mpeg2,
    "mpeg4": _mpeg4,
    "msmpeg4v2": _microsoft_mpeg4,
    "msmpeg4v3": _microsoft_mpeg4,
    "wmv1": _microsoft_mpeg4,
    "wmv2": _wmv8,
}
