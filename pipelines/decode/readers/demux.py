"""The packets of one stream of an open container.

PyAV lists the streams when it opens a file. Transport streams and FLV may have more of them later, such as sound that
begins after the picture. Behind the last packet PyAV goes through all streams that are there by then, by a table as
long as the list was: it reads beyond the table, and raises IndexError where it finds something there (PyAV 18).
"""

from __future__ import annotations

from collections.abc import Iterator

from av.container import InputContainer
from av.packet import Packet
from av.video.stream import VideoStream


def packets_of(container: InputContainer, stream: VideoStream) -> Iterator[Packet[VideoStream]]:
    """From where `container` is, in decode order, with an empty one without stamps at the end. Raises FFmpegError."""
    for packet in container.demux(stream):
        yield packet
        if not packet.size and packet.dts is None and packet.pts is None:
            return  # and what PyAV does for other streams is not begun
