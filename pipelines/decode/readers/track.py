"""The video stream of an open container as packets: from the start, or from the key frame before a moment.

Where the container has an index, the bytes that will be read are known beforehand. Nothing is decoded here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from itertools import islice

from av.container import InputContainer
from av.error import FFmpegError
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from framegate.pipelines.decode.readers.blocks import RangeFile
from framegate.pipelines.decode.readers.coded_changes import CodedChanges
from framegate.pipelines.decode.readers.cut_short import has_fragments, is_cut_short
from framegate.pipelines.decode.readers.demux import packets_of
from framegate.pipelines.decode.readers.header import keep_only, main_stream, open_container
from framegate.pipelines.decode.readers.key_frames import KeyFrames
from framegate.pipelines.decode.readers.route import KeyFrame, Route
from framegate.pipelines.decode.readers.time_watch import MIN_FALLEN, TimeWatch
from framegate.schemas.config import DecodeConfig
from framegate.schemas.errors import DecodeFailed, TimesRestart

# Frames come out of a decoder later than they go in: a packet more than tells which one is wanted.
EXTRA_PACKETS = 1
# FFmpeg reads over a gap smaller than this anyway instead of seeking, and one request is faster than two.
GAP_BYTES = 64 << 10
# Without an index of each frame, the bytes up to a moment between two key frames are estimated: the first of them takes
# about this share, the rest is even.
KEY_FRAME_SHARE = 0.3
# A seek may land behind its target (open groups of pictures, transport streams): step back so far, then to the start.
BACK_OFF_SECONDS = (0, 1, 4, 16, 64)
# After a seek that landed between key frames: where no key frame follows in so many packets, none are marked.
MAX_KEYLESS_PACKETS = 600
# In these, a seek goes to a frame that the index calls a key frame. In others it goes somewhere near.
_INDEXED = ("iso_bmff", "matroska", "avi", "flv")
# Containers whose packets can be read from any that is told by its first byte.
SEEKABLE_BY_BYTE = frozenset({"mpeg_ts", "flv"})


class Track:
    """`stream` and `container` are replaced by `rewind`: keep neither, they point to freed memory then.

    `route`, where it is set, gives packets their running time and says where to seek to: see `Route`.
    `watch`, where it is set, follows the stamps of the packets: where they begin again, reading raises TimesRestart.
    `progress` is called for each frame that comes out of the decoder, by the code that decodes the packets; that code
    tells `changes` of its packets, and `note_frame` of the frames.
    Raises FFmpegError where the container cannot be opened, VideoError as `main_stream`.
    """

    def __init__(self, file: RangeFile, *, container: str, limits: DecodeConfig) -> None:
        self.file, self.kind, self._limits = file, container, limits
        self.route: Route | None = None
        self.watch: TimeWatch | None = None
        self._is_open = False
        self.progress: Callable[[], object] = bool  # which does nothing
        self.changes = CodedChanges()
        self._keys: KeyFrames | None = None
        self._has_sought = self._is_sought_in_vain = False
        self._reorder_ticks = 0
        self.rewind()

    @property
    def can_seek(self) -> bool:
        if self._is_sought_in_vain:
            return False
        # A program stream does not time each frame: after a seek, FFmpeg gives frames the times of their neighbours.
        return self.kind in SEEKABLE_BY_BYTE if self.route is not None else self.kind != "mpeg_ps"

    @property
    def has_whole_index(self) -> bool:
        """Whether the index has every frame of the film before any was read: a fragmented movie's has not."""
        index = self.stream.index_entries
        if self.route is not None or not len(index) or self.kind not in ("iso_bmff", "avi"):
            return False
        if self.kind == "avi":  # where none is written, FFmpeg's has what it read so far
            return index[-1].pos > self.file.size_bytes // 2 and not is_cut_short(self.file)
        return index[0].size > 0 and not has_fragments(self.file)

    @property
    def reorder_ticks(self) -> int:
        """How much later than it is decoded a frame may be shown, as far as packets were read."""
        return max(self._reorder_ticks, self.held_ticks)

    @property
    def held_ticks(self) -> int:
        """How much later than it stands in the index a frame is shown, in AVI, where frames have decode times alone."""
        rate = self.stream.average_rate
        if self.kind != "avi" or not rate:
            return 0
        return round(self.stream.codec_context.reorder_depth / rate / self.time_base)

    def rewind(self) -> None:
        """Opens the container anew: the next packet is the first one."""
        self.close()
        self.container: InputContainer = open_container(self.file, self.kind, self._limits)
        self._is_open = True
        self.stream: VideoStream = main_stream(self.container, self._limits)
        if self.stream.time_base is None:
            raise DecodeFailed("The file cannot be decoded (its video stream has no time base).")
        self.time_base = self.stream.time_base
        self.stream.codec_context.thread_count = 1
        # A later frame can be larger than the header says. FFmpeg counts lines rounded up to 64 pixels.
        max_pixels = self._limits.max_pixels + 64 * self.stream.height
        self.stream.codec_context.options = {"max_pixels": str(max_pixels)}
        keep_only(self.container, self.stream)
        self.changes.forget()
        if self.watch is not None:
            self.watch.forget()
        self._judge_keys()
        self._expected = (0, 0)
        self._from_key = False
        self._next_number = 0
        self._first: Packet[VideoStream] | None = None  # which was read to see whether a seek went well

    def seek(self, ticks: int) -> bool:
        """Goes to a key frame at or before `ticks`, or somewhere near; False where the container cannot."""
        if not self.can_seek:
            return False
        if self.route is not None:
            self.changes.forget()
            return self._seek_by_byte(self.route.key_before(ticks))
        self._look_at_first_packets()
        if self._keys is not None and self._keys.is_unknown:
            self._is_sought_in_vain = True
            return False
        self._has_sought = True
        try:
            self.container.seek(ticks, stream=self.stream, backward=True)
        except FFmpegError:
            return False
        self._from_key = True
        self.changes.forget()
        if self.watch is not None:
            self.watch.forget()
        return True

    @property
    def keys_are_marked(self) -> bool:
        """Whether the container's marks of key frames hold, as far as is known."""
        return self._keys is None or not self._keys.is_deceptive

    def packets(self) -> Iterator[Packet[VideoStream]]:
        """From here on, after a seek from the first key frame on, in decode order, with an empty one at the end.

        A packet at which decoding cannot start is no key frame, whatever it is marked as. They end early where the
        container breaks off, or where no key frame follows.
        """
        keyless = 0
        for packet in self._timed_packets():
            if keyless > MAX_KEYLESS_PACKETS:
                return
            self._judge(packet, has_landed=self._from_key and not keyless)
            if packet.is_keyframe:
                self._from_key = False
                self._note_reordering(packet)
            elif self._from_key:
                keyless += 1
                continue
            yield packet

    def conclude_keys(self) -> None:
        """After many packets were read: where all are marked as key frames, and none says what it is, no mark holds."""
        if self._keys is not None:
            self._keys.conclude()

    def note_frame(self, frame: VideoFrame) -> None:
        """A frame came out of the decoder."""
        self.progress()
        self.changes.note_frame(frame)

    def look_on(self) -> None:
        """Reads some packets more, so that `watch` tells whether the stamps begin again here. The track is somewhere
        after that. Raises TimesRestart."""
        if self.watch is not None:
            for _ in islice(self._timed_packets(), MIN_FALLEN):
                pass

    def key_ticks_before(self, ticks: int) -> int | None:
        """When the last key frame at or before `ticks` that the index knows of is decoded."""
        if self.route is not None:
            key = self.route.key_before(ticks)
            return None if key is None else key.ticks
        if not self.keys_are_marked:
            return None
        index = self.stream.index_entries
        entry = index.search_timestamp(ticks - self._reorder_ticks, backward=True)
        return index[entry].timestamp if entry >= 0 else None

    def has_index_to(self, ticks: int) -> bool:
        """Whether the index reaches so far; a fragmented movie's grows while it is read. An index that names wrong key
        frames reaches nowhere, until it is known that a seek does not help either."""
        if self.route is not None:
            return True
        if not self.keys_are_marked:
            return not self.can_seek
        index = self.stream.index_entries
        return len(index) > 1 and index[-1].timestamp >= ticks

    def byte_ranges(self, limits_ticks: Sequence[int]) -> list[tuple[int, int]] | None:
        """For each limit, the stretch of the file that shows the frame there; neighbours that (nearly) touch share
        one.

        None where the index does not tell.
        """
        if self.route is not None:
            return None
        ranges: list[tuple[int, int]] = []
        for ticks in limits_ticks:
            found = self._byte_range(ticks)
            if found is None:
                return None
            ranges.append(found)
        for i in range(1, len(ranges)):
            if ranges[i - 1][0] <= ranges[i][0] <= ranges[i - 1][1] + GAP_BYTES:
                ranges[i] = (ranges[i - 1][0], max(ranges[i - 1][1], ranges[i][1]))
        for i in reversed(range(1, len(ranges))):
            if ranges[i - 1][0] == ranges[i][0]:
                ranges[i - 1] = ranges[i]
        return ranges

    def expect(self, byte_range: tuple[int, int]) -> None:
        """The packets that are read next lie in there."""
        if byte_range != self._expected:
            self.file.expect(*byte_range)
            self._expected = byte_range

    def load_index(self) -> None:
        """Matroska keeps its index unread until the first seek. Leaves the track somewhere: seek or rewind next."""
        if self.kind == "matroska":
            self.seek(self.stream.start_time or 0)

    def close(self) -> None:
        if self._is_open:
            self.container.close()
            self._is_open = False
            self.file.expect(0, 0)

    def _timed_packets(self) -> Iterator[Packet[VideoStream]]:
        """Packets as the container gives them, in running time where there is a route."""
        packets = packets_of(self.container, self.stream)
        while True:
            packet, self._first = self._first, None
            try:
                packet = packet or next(packets, None)
            except FFmpegError:
                return
            if packet is None:
                return
            if self.route is not None and (packet.size or packet.dts is not None):
                offset = self.route.offset(self._next_number)
                self._next_number += 1
                packet.pts = None if packet.pts is None else packet.pts + offset
                packet.dts = None if packet.dts is None else packet.dts + offset
            if self.watch is not None and packet.size and self.watch.begins_again(packet.dts):
                raise TimesRestart(
                    "The time stamps begin again at a place that was not looked at when the file was opened; "
                    "'ffmpeg -i FILE -c copy FILE.mkv' writes it with one running time."
                )
            yield packet

    def _seek_by_byte(self, key: KeyFrame | None) -> bool:
        """False where the key frame is not found at its place."""
        if key is None:
            return False
        try:
            self.container.seek(key.position, unsupported_byte_offset=True)
            self._first = next(packets_of(self.container, self.stream), None)
        except FFmpegError:
            return False
        self._next_number = key.number
        return self._first is not None and self._first.pos == key.position and self._first.is_keyframe

    def _judge(self, packet: Packet[VideoStream], *, has_landed: bool) -> None:
        if self._keys is not None:
            packet.is_keyframe = self._keys.judge(packet)
            if has_landed and self.kind in _INDEXED and packet.size:
                self._keys.note_landing(packet.is_keyframe)

    def _judge_keys(self) -> None:
        """Called where the container is opened. Where its marks do not hold and a seek has led nowhere, the next one
        would not either, as before the second key frame of an hour: the video is decoded from one end to the other."""
        if self._keys is None:
            self._keys = KeyFrames(self.stream)
        if self._has_sought and self._keys.is_deceptive:
            self._is_sought_in_vain = True
        self._has_sought = False

    def _look_at_first_packets(self) -> None:
        """Before the first seek: whether the container marks every frame, where nothing else tells."""
        if self._keys is not None and not self._has_sought and self._keys.needs_more:
            for packet in self.packets():
                if packet.size == 0 or not self._keys.needs_more:
                    break
            self._keys.conclude()

    def _byte_range(self, ticks: int) -> tuple[int, int] | None:
        if not self.keys_are_marked:
            return None
        index = self.stream.index_entries
        key = index.search_timestamp(ticks - self._reorder_ticks, backward=True)
        if key < 0 or len(index) < 2:
            return None
        start = index[key].pos
        after = index.search_timestamp(ticks + 1, backward=False, any_frame=True)
        if index[key].size == 0:  # an index of key frames alone
            if after < 0:
                return start, self.file.size_bytes
            span = index[after].timestamp - index[key].timestamp
            share = (ticks - index[key].timestamp) / span if span > 0 else 1.0
            end = start + round((KEY_FRAME_SHARE + (1 - KEY_FRAME_SHARE) * share) * (index[after].pos - start))
        else:
            last = len(index) - 1 if after < 0 else min(after + EXTRA_PACKETS, len(index) - 1)
            end = index[last].pos + index[last].size
        return (start, min(end, self.file.size_bytes)) if 0 <= start < end else None

    def _note_reordering(self, packet: Packet[VideoStream]) -> None:
        """The index of ISO-BMFF goes by decode time, seeks do not: a key frame is shown so many ticks after it."""
        if self.kind == "iso_bmff" and packet.pts is not None and packet.dts is not None:
            ticks = min(packet.pts - packet.dts, int(1 / self.time_base))
            self._reorder_ticks = max(self._reorder_ticks, ticks)


def back_offs(ticks: int, time_base: Fraction, *, not_before: int) -> Iterator[int]:
    """Where to seek for the frame on display at `ticks`, one place after another while the one before did not do."""
    for seconds in BACK_OFF_SECONDS:
        target = ticks - int(seconds / time_base)
        yield max(target, not_before)
        if target <= not_before:
            return


def count_bytes(ranges: Sequence[tuple[int, int]]) -> int:
    """Bytes that lie in at least one of the ranges."""
    total, reached = 0, 0
    for start, end in sorted(set(ranges)):
        total += max(0, end - max(start, reached))
        reached = max(reached, end)
    return total
