"""The frame on display at a moment, decoding no more than that frame needs.

Packets tell when each frame will be on display, before any is decoded. So decoding starts at the last key frame before
the target frame, and on the way the decoder skips frames that no other frame refers to: about a third less work for
H.264 with B-frames. Frames come out in the same pixels as from `every_frame`. Where packets and frames are not one to
one, or times are missing, repeated or run backwards, `IrregularPackets` is raised and `every_frame` must do. Damaged
pictures, and those soon after a seek in a stream without true key frames (intra refresh), may be concealed differently.

    packets, in decode order     I0  P4  B2  b1  b3  P8  B6  b5  b7     lower case: no frame refers to it
    moment in [6, 7)                          6 is known once a packet is read that is decoded after that moment
    decoded                      I0  P4  B2          P8  B6

The way of a frame, and the fields of NeededFrames that hold it:

    container ──_read_packet──▶ _undecoded ──_decode_next──▶ (decoder) ──▶ _decoded ──▶ Shown
                    │               │                            │             │
                    ▼               └ dropped at a later key     │             └ dropped once the target starts later
            _starts knows it          frame before the moment    └ skipped, if no moment needs it
                                                                   _in_decoder: the starts of those that are needed

The states; two flags, and which frames can still come out:

    _has_ended  _is_drained
    no          no           reading: packets are read and decoded as the moments ask for them
    yes         no           all packets are read; those in _undecoded and the decoder can still give frames
    no          yes          the decoder was emptied early, as the next moment lies behind a later key frame: only
                             frames in _decoded are left, and a later moment begins with a seek
    yes         yes          as the line above, but the video ends with them: no seek is needed

`forget` leads back to the first line from anywhere, with every field empty; `first` and each seek call it.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Iterator, Sequence

from av.error import EOFError as EndOfFile
from av.error import InvalidDataError
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from framegate.pipelines.decode.readers.every_frame import BLIND_SEEK_SECONDS, Shown
from framegate.pipelines.decode.readers.frame_starts import FrameStarts, IrregularPackets
from framegate.pipelines.decode.readers.track import Track, back_offs

# Packets that are read ahead until the target frame is known. More than any distance that reordering makes, and few in
# bytes.
MAX_UNDECODED = 256


class NeededFrames:
    """Frames of `track`, which is the caller's and may not be moved by anybody else meanwhile.

    Methods as those of `EveryFrame`. Each may raise IrregularPackets as well; after that only `forget` may be called.
    """

    def __init__(self, track: Track) -> None:
        self._track = track
        self._origin_ticks = 0
        self.forget()

    def forget(self) -> None:
        """Frees what is decoded. Needed before the track moves or closes: packet iterators point into it."""
        self._packets: Iterator[Packet[VideoStream]] = iter(())
        self._starts = FrameStarts()  # of all packets that were read, from the frame on display on
        self._undecoded: deque[Packet[VideoStream]] = deque()
        self._in_decoder: set[int] = set()
        self._decoded: deque[VideoFrame] = deque()  # from the frame on display on
        self._shown_ticks: int | None = None
        self._has_ended = self._is_drained = False

    def first(self) -> VideoFrame | None:
        self._begin()
        while not self._decoded:
            if not self._decode_next((), 0):
                return None
        self._shown_ticks = self._origin_ticks = _ticks(self._decoded[0])
        return self._decoded[0]

    def at(self, limits_ticks: Sequence[int], k: int) -> Shown | None:
        if self._must_seek(limits_ticks[k]):
            self._seek(limits_ticks, k)
        target = self._find_target(limits_ticks, k)
        if not self._can_come(target):
            self._seek(limits_ticks, k)
            target = self._find_target(limits_ticks, k)
        while True:
            while self._decoded and _ticks(self._decoded[0]) < target:
                self._decoded.popleft()
            if self._decoded:
                break
            if target in self._in_decoder and self._seeks_next(limits_ticks, k):
                self._drain(limits_ticks[k])
            elif not self._decode_next(limits_ticks, k):
                raise IrregularPackets("a packet gave no frame")
        if _ticks(self._decoded[0]) != target:
            raise IrregularPackets("a packet gave no frame")
        self._starts.forget_before(target)
        self._shown_ticks = target
        return Shown(self._decoded[0], self._has_ended and self._starts.newest == target)

    def _seeks_next(self, limits_ticks: Sequence[int], k: int) -> bool:
        """Whether the next moment lies behind a key frame further on: nothing need be decoded up to there."""
        if k + 1 == len(limits_ticks) or self._is_drained:
            return False
        key_ticks = self._track.key_ticks_before(limits_ticks[k + 1])
        return key_ticks is not None and key_ticks > self._starts.newest

    def _must_seek(self, limit: int) -> bool:
        if self._shown_ticks is None or limit < self._shown_ticks:
            return True
        if self._is_drained:
            return not self._has_ended
        if self._has_ended:
            return False
        newest = self._starts.newest if self._starts else self._shown_ticks
        key_ticks = self._track.key_ticks_before(limit)
        if key_ticks is not None and key_ticks > newest:
            return True
        too_far = limit - newest > BLIND_SEEK_SECONDS / self._track.time_base
        return too_far and not self._track.has_index_to(limit)

    def _seek(self, limits_ticks: Sequence[int], k: int) -> None:
        for seek_ticks in back_offs(limits_ticks[k], self._track.time_base, not_before=self._origin_ticks):
            self.forget()
            if not self._track.seek(seek_ticks):
                break
            self._begin()
            # Frames that are shown before the key frame at which decoding starts refer to what lies before it.
            if self._undecoded and _ticks(self._undecoded[0]) <= self._find_target(limits_ticks, k) <= limits_ticks[k]:
                return
        self.forget()
        self._track.rewind()
        self._begin()

    def _begin(self) -> None:
        """Reads the first packet from where the track is."""
        self.forget()
        self._packets = self._track.packets()
        if self._read_packet(None) and not self._undecoded[0].is_keyframe:
            raise IrregularPackets("the video does not begin with a key frame")

    def _find_target(self, limits_ticks: Sequence[int], k: int) -> int:
        """The start of the frame on display at a limit. Reads until no packet to come can hold a later such frame."""
        limit = limits_ticks[k]
        codec = self._track.stream.codec_context
        while not self._has_ended and not self._starts.is_settled(limit, codec.reorder_depth):
            if len(self._undecoded) >= MAX_UNDECODED:
                self._decode_next(limits_ticks, k)
            self._read_packet(limit)
        self._starts.settle(limit)
        return self._starts.on_display(limit)

    def _can_come(self, ticks: int) -> bool:
        """Whether the frame is there or will come; it may have been skipped while other moments were asked for."""
        return (
            ticks in self._in_decoder
            or any(frame.pts == ticks for frame in self._decoded)
            or any(packet.pts == ticks for packet in self._undecoded)
        )

    def _read_packet(self, limit: int | None) -> bool:
        """Whether there was one more packet. All that lie before a key frame at or before the limit are dropped."""
        packet = next(self._packets, None)
        if packet is None or (packet.size == 0 and packet.pts is None):
            self._has_ended = True
            return False
        if packet.pts is None or packet.size == 0:
            raise IrregularPackets("a packet has no time or no content")
        if packet.dts is not None:
            self._starts.note_dts(packet.dts, packet.pts)
        if not packet.is_discard:
            self._starts.add(packet.pts)
            if (
                packet.is_keyframe
                and limit is not None
                and packet.pts <= limit
                and (self._undecoded or self._in_decoder)
            ):
                self._undecoded.clear()  # decoding can start here
                self._in_decoder.clear()
                self._track.stream.codec_context.flush_buffers()
        self._undecoded.append(packet)
        return True

    def _decode_next(self, limits_ticks: Sequence[int], k: int) -> bool:
        """Decodes one more packet, or what the decoder holds back at the end. False where there is nothing more."""
        limit = limits_ticks[k] if limits_ticks else None
        codec = self._track.stream.codec_context
        if not self._undecoded:
            self._read_packet(limit)
        if not self._undecoded:
            return self._drain(limit)
        packet = self._undecoded.popleft()
        is_needed = self._may_be_needed(packet, limits_ticks, k)
        codec.skip_frame = "DEFAULT" if is_needed else "NONREF"
        if is_needed and packet.pts is not None:
            self._in_decoder.add(packet.pts)
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
            raise IrregularPackets("a packet cannot be decoded") from error
        self._track.changes.note_packet(packet, self._track.stream.codec_context)
        oldest = None if limit is None else self._starts.on_display(limit)
        for frame in decoded:
            self._track.note_frame(frame)
            ticks = _ticks(frame)
            self._in_decoder.discard(ticks)
            if self._decoded and ticks <= _ticks(self._decoded[-1]):
                raise IrregularPackets("frames come out in another order than their times")
            if oldest is None or ticks >= oldest:
                self._decoded.append(frame)

    def _may_be_needed(self, packet: Packet[VideoStream], limits_ticks: Sequence[int], k: int) -> bool:
        """Not if another frame starts between this one and the next moment that is asked for."""
        if packet.is_discard or packet.pts is None:
            return False
        moment = bisect_left(limits_ticks, packet.pts, lo=k)
        if moment == len(limits_ticks):
            return True
        next_start = self._starts.after(packet.pts)
        return next_start is None or next_start > limits_ticks[moment]


def _ticks(item: VideoFrame | Packet[VideoStream]) -> int:
    if item.pts is None:
        raise IrregularPackets("a frame has no time")
    return item.pts
