"""What all packets of a video tell together: where decoding can start, and how its frames are shown.

For a decoder that tells of a frame nothing but its pixels. Nothing is decoded but a key frame whenever what it says of
its shape is new.
"""

from __future__ import annotations

from bisect import bisect_right

from av.error import FFmpegError
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from framegate.pipelines.decode.readers.appearance import Appearance
from framegate.pipelines.decode.readers.orientation import Orientation
from framegate.pipelines.decode.readers.picture import Picture, usable_margins
from framegate.pipelines.decode.readers.shape_marks import shape_mark
from framegate.pipelines.decode.readers.stream_summary import StreamSummary
from framegate.pipelines.decode.readers.track import Track

_HEAD_BYTES = 64 << 10


class ShapeSurvey:
    """Told of all packets of `track` by `note`, in decode order from the first one on.

    key_numbers   of the packets at which decoding can start, from 0
    has_leading   frames that follow a key frame in the file, and may refer to what lies before it, are shown before it
    """

    def __init__(self, track: Track, summary: StreamSummary) -> None:
        self._track, self._summary = track, summary
        self._mark_of = shape_mark(track.stream.codec.canonical_name, track.stream.codec_context.extradata or b"")
        self._mark: bytes | None = None
        self._appearance: Appearance | None = None
        self._announced = _announced(track.stream, summary)
        self._num_packets = 0
        self._ticks: list[int] = []
        self._pictures: list[Picture] = []
        self.key_numbers: set[int] = set()
        self.has_leading = False
        self._key_ticks: int | None = None

    def note(self, packet: Packet[VideoStream]) -> None:
        if packet.size == 0:
            return
        if packet.is_keyframe:
            self.key_numbers.add(self._num_packets)
            self._key_ticks = packet.pts if self._num_packets else None
            mark = self._mark_of(bytes(memoryview(packet)[:_HEAD_BYTES]))
            if self._appearance is None or (mark and mark != self._mark):
                self._mark = mark or self._mark
                self._look_at(packet)
        elif packet.pts is not None and self._key_ticks is not None:
            self.has_leading |= packet.pts < self._key_ticks
        self._num_packets += 1

    @property
    def is_uniform(self) -> bool:
        """Whether all frames are shown like the first one."""
        return len(self._pictures) <= 1

    @property
    def first(self) -> Picture:
        """How the first frame is shown; by its header alone where PyAV cannot decode it."""
        return self._pictures[0] if self._pictures else self._announced

    def at(self, ticks: int) -> Picture:
        """How the frame that starts at `ticks` is shown."""
        place = bisect_right(self._ticks, ticks)
        return self._pictures[max(0, place - 1)] if self._pictures else self._announced

    def _look_at(self, packet: Packet[VideoStream]) -> None:
        frame = self._decode(packet)
        if frame is None or frame.pts is None:
            return
        if self._appearance is None:
            self._appearance = Appearance(self._track, self._summary, frame)
        picture = self._appearance.of(frame)
        if not self._pictures or picture != self._pictures[-1]:
            self._ticks.append(frame.pts)
            self._pictures.append(picture)

    def _decode(self, packet: Packet[VideoStream]) -> VideoFrame | None:
        codec = self._track.stream.codec_context
        try:
            frames = [*codec.decode(packet), *codec.decode(None)]
        except FFmpegError:  # damaged, or of a kind that PyAV cannot decode: another key frame may do
            return None
        finally:
            codec.flush_buffers()
        self._track.changes.note_packet(packet, codec)
        for frame in frames:
            self._track.changes.note_frame(frame)
        return frames[0] if frames else None


def _announced(stream: VideoStream, summary: StreamSummary) -> Picture:
    margins = usable_margins(summary.margins, height=stream.height, width=stream.width, format=stream.format)
    return Picture(
        height=stream.height,
        width=stream.width,
        margins=margins,
        pixel_ratio=stream.sample_aspect_ratio or Picture.pixel_ratio,
        orientation=Orientation(round((summary.degrees or 0.0) / 90) % 4),
    )
