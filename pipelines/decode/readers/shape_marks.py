"""The bytes of a key frame's packet that tell the shape of the pictures from there on.

Where they stay the same, so does the shape; where they do not, it may have changed, and a decoder can tell.
"""

from __future__ import annotations

from collections.abc import Callable

from framegate.pipelines.decode.readers.nal_units import NalUnits

_SEQUENCE_SETS = {"h264": (0, 31, 7), "hevc": (1, 63, 33)}  # shift and mask of a unit's kind, and which one is meant


def shape_mark(codec: str, extradata: bytes) -> Callable[[bytes], bytes]:
    """For one stream: from a packet's first bytes to those that tell; empty where the packet says nothing new."""
    if codec in _SEQUENCE_SETS:
        units, (shift, mask, kind) = NalUnits(codec, extradata), _SEQUENCE_SETS[codec]
        return lambda data: b"".join(
            data[start:end]
            for start, end in units.of(data)
            if data[start : start + 1] and data[start] >> shift & mask == kind
        )
    return {
        "mpeg1video": _mpeg2,
        "mpeg2video": _mpeg2,
        "mpeg4": _mpeg4,
        "mjpeg": _jpeg,
        "png": lambda data: data[16:24],  # the first chunk: width and height
        "vp8": lambda data: data[3:10],  # RFC 6386, 9.1: start code and size
        "vp9": lambda data: data[:12],  # the size ends in there, in any profile
    }.get(codec, lambda data: b"")


def _mpeg2(data: bytes) -> bytes:
    """Of the sequence header: size, pixel ratio, rate."""
    start = data.find(b"\0\0\1\xb3")
    return b"" if start < 0 else data[start + 4 : start + 8]


def _jpeg(data: bytes) -> bytes:
    """Of the frame header (ITU-T T.81, B.2.2): precision, height, width, components."""
    position = 2
    while position + 10 <= len(data) and data[position] == 0xFF:
        kind = data[position + 1]
        if 0xC0 <= kind <= 0xC2:
            return data[position + 4 : position + 10]
        position += 2 + int.from_bytes(data[position + 2 : position + 4], "big")
    return b""


def _mpeg4(data: bytes) -> bytes:
    """Of the video object layer, which stands before the first picture."""
    end = data.find(b"\0\0\1\xb6")
    start = next((at for at in range(max(end, 0)) if data[at : at + 3] == b"\0\0\1" and data[at + 3] >> 4 == 2), -1)
    return b"" if start < 0 else data[start : start + 32]
