"""Which packets decoding can start at: those that are marked as key frames, unless their own content says otherwise.

A container marks key frames, and some mark every frame: an MP4 without a table of them, an AVI whose index was written
by a careless program, a fragmented movie without flags. A decoder that starts at such a frame paints grey, or frames
that are mixed of two. FFmpeg corrects the marks of some codecs while it reads; for others a marked packet is looked
into here.
"""

from __future__ import annotations

from collections.abc import Callable

from av.packet import Packet
from av.video.stream import VideoStream

from framegate.pipelines.decode.readers.picture_heads import PICTURE_HEADS, EndOfBits, hevc_head

# Parameter sets and messages before the first picture take a few hundred bytes; what lies further on is not told.
_HEAD_BYTES = 64 << 10
# So many packets from the start tell whether a container marks every frame. Nearly always the second one does.
_NUM_FIRST_PACKETS = 8
# FFmpeg's parsers correct the marks.
_CORRECTED = ("av1", "ffv1", "h264", "theora", "vp8", "vp9")
# Pictures that stand alone, though FFmpeg does not list their codec so.
_STAND_ALONE = ("png",)


class KeyFrames:
    """Judges the packets of one stream, in the order in which they are read.

    is_deceptive   frames are marked that are none: neither an index nor a mark can be relied on
    is_unknown     and no packet says what it is
    """

    def __init__(self, stream: VideoStream) -> None:
        self.is_deceptive = False
        self._tells_apart = False  # the container leaves some packet unmarked
        self._num_seen = 0
        codec = stream.codec.canonical_name
        self._starts = hevc_head(stream.codec_context.extradata or b"") if codec == "hevc" else PICTURE_HEADS.get(codec)
        stands_alone = stream.codec.intra_only or codec in _STAND_ALONE
        self._is_mute = not stands_alone and self._starts is None and codec not in _CORRECTED

    @property
    def is_unknown(self) -> bool:
        return self.is_deceptive and self._is_mute

    def judge(self, packet: Packet[VideoStream]) -> bool:
        """Whether decoding can start at `packet`."""
        self._num_seen += packet.size > 0
        if not packet.is_keyframe:
            self._tells_apart |= packet.size > 0
            return False
        if self._starts is None:
            return not self.is_unknown
        starts = _look_into(packet, self._starts)
        self.is_deceptive |= starts is False
        return starts is not False

    @property
    def needs_more(self) -> bool:
        """Whether more of the first packets should be judged before a seek: nothing but their marks tells of them."""
        return self._is_mute and not self._tells_apart and self._num_seen < _NUM_FIRST_PACKETS

    def conclude(self) -> None:
        """After the first packets: where all are marked, and none says what it is, none is relied on."""
        self.is_deceptive |= self._is_mute and not self._tells_apart

    def note_landing(self, is_keyframe: bool) -> None:
        """A seek by an index of key frames led to this packet."""
        self.is_deceptive |= not is_keyframe


def _look_into(packet: Packet[VideoStream], starts: Callable[[bytes], bool | None]) -> bool | None:
    try:
        return starts(bytes(memoryview(packet)[:_HEAD_BYTES]))
    except (EndOfBits, IndexError):  # damaged: the decoder will say so
        return None
