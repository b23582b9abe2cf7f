"""The way through a file whose time stamps begin again or jump: running time for each packet, and where to seek to.

A container's own seek goes by its stamps, of which one may stand at many places here. So seeks go by bytes.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from typing import NamedTuple


class KeyFrame(NamedTuple):
    """When a key frame is shown, in ticks of running time; the number of its packet in the file; its first byte."""

    ticks: int
    number: int
    position: int


class Route:
    """`offset(number)` is what the stamps of the packet `number` take; `keys` in the order of the file."""

    def __init__(self, offset: Callable[[int], int], keys: Sequence[KeyFrame]) -> None:
        self.offset = offset
        self._keys: list[KeyFrame] = []
        for key in keys:
            if not self._keys or (key.ticks > self._keys[-1].ticks and key.position > self._keys[-1].position):
                self._keys.append(key)

    def key_before(self, ticks: int) -> KeyFrame | None:
        """The last one that is shown at or before `ticks`."""
        place = bisect_right(self._keys, ticks, key=_ticks_of)
        return self._keys[place - 1] if place else None


def _ticks_of(key: KeyFrame) -> int:
    return key.ticks
