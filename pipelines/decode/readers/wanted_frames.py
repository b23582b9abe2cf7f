"""The frame on display at a moment, with as little decoding as gives exactly that frame.

Packets show when each frame will be on display before any is decoded. So decoding starts at the last key frame before
the wanted frame, and on the way to it the decoder passes over frames that no other frame refers to: about a third less
work for H.264 with B-frames. Frames come out in the same pixels as from `every_frame`; where packets and frames are not
one to one, or times are missing, repeated or run backwards, `Irregular` is raised and `every_frame` must do. Damaged
pictures, and those soon after a seek in a stream without true key frames (intra refresh), may be mended differently.

    packets, in decode order     I0  P4  B2  b1  b3  P8  B6  b5  b7     lower case: no frame refers to it
    wanted at a moment in [6, 7)              6 is known once a packet is read that is decoded after that moment
    decoded                      I0  P4  B2          P8  B6
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Iterator, Sequence

from av.error import EOFError as EndOfFile
from av.error import InvalidDataError
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from framegate.pipelines.decode.readers.every_frame import BLIND_SEEK_SECONDS, Shown
from framegate.pipelines.decode.readers.track import Track, back_offs

# No codec shows a frame after more than so many that are decoded later (H.264 and H.265: a buffer of 16 frames).
MAX_REORDERED = 16
# Packets that wait for the wanted frame to be known. More than any distance that reordering makes, and few in bytes.
MAX_QUEUED = 256


class Irregular(Exception):
    """Packets do not tell the frames of this video."""


class WantedFrames:
    """Frames of `track`, which is the caller's and may not be moved by anybody else meanwhile.

    Methods as those of `EveryFrame`; each may raise Irregular as well, and after that none may be called but `forget`.
    """

    def __init__(self, track: Track) -> None:
        self._track = track
        self._origin_ticks = 0
        self.forget()

    def forget(self) -> None:
        """Frees what is decoded. Needed before the track moves or closes: packet iterators point into it."""
        self._packets: Iterator[Packet[VideoStream]] = iter(())
        self._queue: deque[Packet[VideoStream]] = deque()  # read and not decoded
        self._frames: deque[VideoFrame] = deque()  # decoded, from the one on display on
        self._due: set[int] = set()  # starts of frames that the decoder was given and has not shown yet
        self._starts: list[int] = []  # of frames, from the one on display on, as far as packets were read
        self._shown_ticks: int | None = None
        self._resolved_ticks: int | None = None  # which frame is on display up to here is settled
        self._decode_ticks: int | None = None  # of the last packet that was read
        self._trusts_decode_ticks = True
        self._has_ended = self._is_drained = False

    def first(self) -> VideoFrame | None:
        self._begin()
        while not self._frames:
            if not self._decode_next((), 0):
                return None
        self._shown_ticks = self._origin_ticks = _ticks(self._frames[0])
        return self._frames[0]

    def at(self, limits_ticks: Sequence[int], k: int) -> Shown | None:
        if self._must_seek(limits_ticks[k]):
            self._seek(limits_ticks, k)
        wanted = self._resolve(limits_ticks, k)
        if not self._can_come(wanted):
            self._seek(limits_ticks, k)
            wanted = self._resolve(limits_ticks, k)
        while True:
            while self._frames and _ticks(self._frames[0]) < wanted:
                self._frames.popleft()
            if self._frames:
                break
            if wanted in self._due and self._leaves_after(limits_ticks, k):
                self._drain(limits_ticks[k])
            elif not self._decode_next(limits_ticks, k):
                raise Irregular("a packet gave no frame")
        if _ticks(self._frames[0]) != wanted:
            raise Irregular("a packet gave no frame")
        del self._starts[: bisect_left(self._starts, wanted)]
        self._shown_ticks = wanted
        return Shown(self._frames[0], self._has_ended and self._starts[-1] == wanted)

    def _leaves_after(self, limits_ticks: Sequence[int], k: int) -> bool:
        """Whether the next moment lies behind a key frame further on: then nothing more need be decoded up to there."""
        if k + 1 == len(limits_ticks) or self._is_drained:
            return False
        key_ticks = self._track.key_ticks_before(limits_ticks[k + 1])
        return key_ticks is not None and key_ticks > self._starts[-1]

    def _must_seek(self, limit: int) -> bool:
        if self._shown_ticks is None or limit < self._shown_ticks:
            return True
        if self._is_drained:
            return not self._has_ended
        if self._has_ended:
            return False
        newest = self._starts[-1] if self._starts else self._shown_ticks
        key_ticks = self._track.key_ticks_before(limit)
        if key_ticks is not None and key_ticks > newest:
            return True
        too_far = limit - newest > BLIND_SEEK_SECONDS / self._track.time_base
        return too_far and not self._track.has_index_to(limit)

    def _seek(self, limits_ticks: Sequence[int], k: int) -> None:
        for target in back_offs(limits_ticks[k], self._track.time_base, not_before=self._origin_ticks):
            self.forget()
            if not self._track.seek(target):
                break
            self._begin()
            # Frames that are shown before the key frame at which decoding starts refer to what lies before it.
            if self._queue and _ticks(self._queue[0]) <= self._resolve(limits_ticks, k) <= limits_ticks[k]:
                return
        self.forget()
        self._track.rewind()
        self._begin()

    def _begin(self) -> None:
        """Reads the first packet from where the track is."""
        self.forget()
        self._packets = self._track.packets()
        if self._read_packet(None) and not self._queue[0].is_keyframe:
            raise Irregular("the video does not begin with a key frame")

    def _resolve(self, limits_ticks: Sequence[int], k: int) -> int:
        """The start of the frame on display at a limit. Reads until no later packet can hold a better one."""
        limit = limits_ticks[k]
        while not self._has_ended and not self._is_settled(limit):
            if len(self._queue) >= MAX_QUEUED:
                self._decode_next(limits_ticks, k)
            self._read_packet(limit)
        self._resolved_ticks = max(limit, self._resolved_ticks or limit)
        if not self._starts:
            raise Irregular("no packet has a time")
        return self._starts[max(0, bisect_right(self._starts, limit) - 1)]

    def _is_settled(self, limit: int) -> bool:
        num_later = len(self._starts) - bisect_right(self._starts, limit)
        if self._decode_ticks is None or not self._trusts_decode_ticks:
            return num_later > MAX_REORDERED
        reorder_depth = min(self._track.stream.codec_context.reorder_depth, MAX_REORDERED)
        return num_later > (reorder_depth if self._decode_ticks > limit else MAX_REORDERED)

    def _can_come(self, ticks: int) -> bool:
        """Whether the frame is there or will come; it may have been passed over while other moments were asked for."""
        return (
            ticks in self._due
            or any(frame.pts == ticks for frame in self._frames)
            or any(packet.pts == ticks for packet in self._queue)
        )

    def _read_packet(self, limit: int | None) -> bool:
        packet = next(self._packets, None)
        if packet is None or (packet.size == 0 and packet.pts is None):
            self._has_ended = True
            return False
        if packet.pts is None or packet.size == 0:
            raise Irregular("a packet has no time or no content")
        if packet.dts is not None:
            # Matroska stores none, and FFmpeg's guesses may be wrong after a seek.
            runs_on = self._decode_ticks is None or packet.dts >= self._decode_ticks
            self._trusts_decode_ticks &= runs_on and packet.dts <= packet.pts
            self._decode_ticks = packet.dts
        if not packet.is_discard:
            place = bisect_left(self._starts, packet.pts)
            if place < len(self._starts) and self._starts[place] == packet.pts:
                raise Irregular("two frames have the same time")
            if self._resolved_ticks is not None and packet.pts <= self._resolved_ticks:
                raise Irregular("a frame comes after later ones")
            self._starts.insert(place, packet.pts)
            if packet.is_keyframe and limit is not None and packet.pts <= limit and (self._queue or self._due):
                self._queue.clear()  # decoding can start here
                self._due.clear()
                self._track.stream.codec_context.flush_buffers()
        self._queue.append(packet)
        return True

    def _decode_next(self, limits_ticks: Sequence[int], k: int) -> bool:
        """Decodes one more packet, or what the decoder holds back at the end. False if there is nothing more."""
        limit = limits_ticks[k] if limits_ticks else None
        codec = self._track.stream.codec_context
        if not self._queue:
            self._read_packet(limit)
        if not self._queue:
            return self._drain(limit)
        packet = self._queue.popleft()
        is_wanted = self._may_be_wanted(packet, limits_ticks, k)
        codec.skip_frame = "DEFAULT" if is_wanted else "NONREF"
        if is_wanted and packet.pts is not None:
            self._due.add(packet.pts)
        self._decode(packet, limit)
        return True

    def _drain(self, limit: int | None) -> bool:
        """Gets from the decoder the frames that it holds back; after that it takes no packet until a seek."""
        if self._is_drained:
            return False
        self._is_drained = True
        self._decode(None, limit)
        return True

    def _decode(self, packet: Packet[VideoStream] | None, limit: int | None) -> None:
        try:
            decoded = self._track.stream.codec_context.decode(packet)
        except (InvalidDataError, EndOfFile) as error:
            raise Irregular("a packet cannot be decoded") from error
        oldest = self._starts[max(0, bisect_right(self._starts, limit) - 1)] if limit is not None else None
        for frame in decoded:
            self._track.progress()
            ticks = _ticks(frame)
            self._due.discard(ticks)
            if self._frames and ticks <= _ticks(self._frames[-1]):
                raise Irregular("frames come out in another order than their times")
            if oldest is None or ticks >= oldest:
                self._frames.append(frame)

    def _may_be_wanted(self, packet: Packet[VideoStream], limits_ticks: Sequence[int], k: int) -> bool:
        """Not if another frame starts between this one and the next moment that is asked for."""
        if packet.is_discard or packet.pts is None:
            return False
        later = bisect_left(limits_ticks, packet.pts, lo=k)
        if later == len(limits_ticks):
            return True
        after = bisect_right(self._starts, packet.pts)
        return after == len(self._starts) or self._starts[after] > limits_ticks[later]


def _ticks(item: VideoFrame | Packet[VideoStream]) -> int:
    if item.pts is None:
        raise Irregular("a frame has no time")
    return item.pts
