"""How many frames an FLV marks as key frames, whatever they are: decord believes the marks where it seeks to the start.

A tag is eleven bytes of header, of which the first tells its kind and the next three its size, then its content and
four bytes more (Adobe, Video File Format Specification 10.1, annex E.4).
"""

from __future__ import annotations

from framegate.pipelines.decode.readers.blocks import RangeFile

_TAG_BYTES, _SIZE_BYTES = 11, 4
_VIDEO, _KEY_FRAME, _AVC = 9, 1, 7
_CODED_FRAMES = (1, 3)  # packet types; the others hold parameters, or say that the stream ends
_EXTENDED = 0x80


def num_marked(file: RangeFile) -> int:
    """Frames of the file that are marked as key frames. Leaves the file somewhere."""
    file.seek(5)
    position = int.from_bytes(file.read(4), "big") + _SIZE_BYTES
    count = 0
    while True:
        file.seek(position)
        head = file.read(_TAG_BYTES + 2)
        if len(head) < _TAG_BYTES + 2:
            return count
        count += head[0] & 0x1F == _VIDEO and _is_marked_frame(head[_TAG_BYTES], head[_TAG_BYTES + 1])
        position += _TAG_BYTES + int.from_bytes(head[1:4], "big") + _SIZE_BYTES


def _is_marked_frame(first: int, second: int) -> bool:
    if first >> 4 & 7 != _KEY_FRAME:
        return False
    if first & _EXTENDED:
        return first & 0x0F in _CODED_FRAMES
    return first & 0x0F != _AVC or second in _CODED_FRAMES
