"""What all packets of a video tell: when each frame is shown in one running time, and where key frames lie."""

from __future__ import annotations

from array import array
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from av.packet import Packet
from av.video.stream import VideoStream

from framegate.pipelines.decode.readers.header import decode_error, frame_rate
from framegate.pipelines.decode.readers.route import KeyFrame, Route
from framegate.pipelines.decode.readers.running_time import RunningTime
from framegate.pipelines.decode.readers.timeline import Timeline
from framegate.pipelines.decode.readers.track import Track


@dataclass(frozen=True, kw_only=True)
class AllPackets:
    """What the packets of a whole file tell.

    starts      when frames are shown, ascending ticks of running time
    last_ticks  how long the last one lasts, 0 where not told
    route       leads through a file whose stamps begin again or jump; None where they do not
    num_cut     packets that an edit list cuts off
    is_timed    every packet says when its frame is shown
    """

    starts: np.ndarray
    last_ticks: int
    route: Route | None
    num_cut: int
    is_timed: bool


def read_all_packets(track: Track, note: Callable[[Packet[VideoStream]], object] = bool) -> AllPackets:
    """Reads the whole file and decodes nothing; leaves the track at its start. `note` is told of each packet.

    Packets that an edit list cuts off are left out. A packet without presentation time is shown as long after its
    decode time as the decoder holds frames back. Raises FFmpegError, VideoError.
    """
    track.watch = None  # all of the file is looked at here
    track.rewind()
    step_ticks = max(1, round(1 / (frame_rate(track.stream) or 25.0) / track.time_base))
    running = RunningTime(track.time_base, container=track.kind, step_ticks=step_ticks)
    delay_ticks = track.stream.codec_context.reorder_depth * step_ticks
    spans: array[int] = array("q")
    keys: list[KeyFrame] = []
    has_untimed, last_dts, num_cut = False, 0, 0
    for packet in track.packets():
        note(packet)
        if packet.size == 0 and packet.dts is None:
            continue
        number = running.num_packets
        offset = running.add(packet.dts, packet.duration)
        shown = _shown_at(packet, delay_ticks)
        num_cut += packet.is_discard
        if shown is None or not packet.size or packet.is_discard:
            continue
        spans.extend((shown + offset, packet.duration or 0))
        has_untimed |= packet.pts is None
        if packet.dts is not None:
            last_dts = packet.dts + offset
        if packet.is_keyframe and packet.pos is not None:
            keys.append(KeyFrame(shown + offset, number, packet.pos))
    track.rewind()
    if not spans:
        raise decode_error(track.file, "its packets have no times")
    if has_untimed:  # the last frame to be shown may be one of them
        spans.extend((max(last_dts + delay_ticks, max(spans[::2])), step_ticks))
    table = np.frombuffer(spans, np.int64).reshape(-1, 2)
    table = table[np.lexsort((table[:, 1], table[:, 0]))]
    route = Route(running.offset, keys) if running.is_needed else None
    return AllPackets(
        starts=table[:, 0].copy(), last_ticks=int(table[-1, 1]), route=route, num_cut=num_cut, is_timed=not has_untimed
    )


def _shown_at(packet: Packet[VideoStream], delay_ticks: int) -> int | None:
    if packet.pts is not None:
        return packet.pts
    return None if packet.dts is None else packet.dts + delay_ticks


def film_seconds(announced: float | None, packets: AllPackets | None, timeline: Timeline) -> float:
    """How long a film is: to the end of its last packet where that was read, else as its header announces.

    A header that announces more is believed where time stamps run on, for sound may go on after the last picture.
    """
    if packets is None:
        assert announced is not None, "what announces nothing is read through"
        return announced
    if announced is None:
        return timeline.end_seconds(int(packets.starts[-1]), packets.last_ticks)
    frame_ticks = 1 / timeline.rate / timeline.time_base if timeline.rate else 0
    last = timeline.seconds(int(packets.starts[-1]) + round(packets.last_ticks or frame_ticks))
    if last <= 0:  # one moment, and no word of how long a frame lasts
        last = timeline.end_seconds(int(packets.starts[-1]), 0)
    return last if packets.route is not None else max(announced, last)
