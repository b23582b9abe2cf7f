"""Where a film has no pictures, as far as its container tells without reading all of it.

all packets were read                           exactly
an index of every frame (MP4, AVI)              exactly, but for what reordering moves; nothing is read
an index of key frames (Matroska, FLV)          the index is read, and the packets of stretches between two of them
                                                that have hardly any bytes: fewer than SPARSE_BYTES for a second
neither (large transport streams, Ogg, MXF,     before the first frame alone; but a fragmented movie of up to
fragmented MP4)                                 WHOLE_BYTES is read once where it has fewer than SPARSE_BYTES for a
                                                second: a false clock makes weeks of some kilobytes
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

from av.error import FFmpegError

from framegate.pipelines.decode.readers.all_packets import AllPackets, read_all_packets
from framegate.pipelines.decode.readers.gaps import MIN_GAP_SECONDS, OUTSIDE_SECONDS, Gap, gaps_between, longest
from framegate.pipelines.decode.readers.timeline import Timeline
from framegate.pipelines.decode.readers.track import Track

SPARSE_BYTES = 500  # a second: a picture of 64 x 48 that moves has more
MIN_SPARSE_SECONDS = 2.0
WHOLE_BYTES = 32 << 20


def find_gaps(
    track: Track, timeline: Timeline, packets: AllPackets | None, *, first_ticks: int, duration_seconds: float
) -> tuple[Gap, ...]:
    """The gaps of a film whose first frame is shown at `first_ticks`. May move the track. Raises what the file does."""
    first_seconds = timeline.seconds(first_ticks)
    if packets is None and _is_thin(track, duration_seconds):
        packets = _read_once(track)
    if packets is not None:
        starts = (packets.starts[packets.starts >= first_ticks] - timeline.origin_ticks) * float(track.time_base)
        return gaps_between(starts, duration_seconds)
    before = [(-OUTSIDE_SECONDS, first_seconds)] if first_seconds >= MIN_GAP_SECONDS else []
    end_seconds = duration_seconds + OUTSIDE_SECONDS
    if track.has_whole_index:
        last_seconds = timeline.seconds(_last_start(track) + track.reorder_ticks)
        gaps = [*_empty_stretches(track, timeline), (max(first_seconds, last_seconds), end_seconds)]
    elif may_be_sparse(track, packets, duration_seconds):
        track.load_index()
        gaps = [*_sparse_gaps(track, timeline, end_seconds)]
    else:
        gaps = []
    return longest([*before, *(gap for gap in gaps if first_seconds <= gap[0] < gap[1])])


def may_be_sparse(track: Track, packets: AllPackets | None, duration_seconds: float) -> bool:
    """Whether `find_gaps` moves the track."""
    if packets is not None or duration_seconds <= MIN_SPARSE_SECONDS:
        return False
    return track.kind in ("matroska", "flv") or _is_thin(track, duration_seconds)


def _is_thin(track: Track, duration_seconds: float) -> bool:
    """Whether a fragmented movie has so few bytes for its length that most of it must be gaps, and can be read once."""
    if track.kind != "iso_bmff" or track.route is not None or track.has_whole_index:
        return False
    return track.file.size_bytes < min(WHOLE_BYTES, SPARSE_BYTES * duration_seconds)


def _read_once(track: Track) -> AllPackets:
    """The watch over the stamps stays, for no route leads on where these begin again. Raises VideoError."""
    watch = track.watch
    try:
        return read_all_packets(track)
    finally:
        track.watch = watch


def _empty_stretches(track: Track, timeline: Timeline) -> Iterator[Gap]:
    """By an index of all frames: from one to the last of those that follow within MIN_GAP_SECONDS, or over a gap."""
    index = track.stream.index_entries
    step_ticks = math.ceil(MIN_GAP_SECONDS / track.time_base)
    place, last = 0, len(index) - 1
    while place < last:
        ticks = index[place].timestamp
        after = index.search_timestamp(ticks + step_ticks, backward=True, any_frame=True)
        while after > place and index[after].size == 0:  # AVI: no new picture
            after -= 1
        if after <= place:
            after = place + 1
            while after < last and index[after].size == 0:
                after += 1
            yield (
                timeline.seconds(ticks + track.reorder_ticks),
                timeline.seconds(index[after].timestamp + track.held_ticks),
            )
        place = after


def _last_start(track: Track) -> int:
    index = track.stream.index_entries
    place = len(index) - 1
    while place > 0 and index[place].size == 0:
        place -= 1
    return index[place].timestamp


def _sparse_gaps(track: Track, timeline: Timeline, end_seconds: float) -> Iterator[Gap]:
    """Gaps in those stretches between key frames that have hardly any bytes; the last one goes to the file's end."""
    index = track.stream.index_entries
    keys = [(index[place].timestamp, index[place].pos) for place in range(len(index))]
    if not keys:  # nothing is marked as a key frame
        return
    ends = [*keys[1:], (timeline.limit_ticks(end_seconds), track.file.size_bytes)]
    for (start, position), (end, next_position) in zip(keys, ends, strict=True):
        seconds = float((end - start) * track.time_base)
        if seconds > MIN_SPARSE_SECONDS and 0 <= next_position - position < SPARSE_BYTES * seconds:
            yield from _gaps_from(track, timeline, start, end, end_seconds)


def _gaps_from(track: Track, timeline: Timeline, start: int, end: int, end_seconds: float) -> list[Gap]:
    """Of the stretch from a key frame at tick `start` to the next one at `end`, by its packets."""
    starts = {start}
    if not track.seek(start):
        return []
    try:
        for packet in track.packets():
            if packet.pts is not None and packet.size and start <= packet.pts <= end:
                starts.add(packet.pts)
            if packet.dts is not None and packet.dts > end:
                break
    except FFmpegError:
        return []
    edges = [timeline.seconds(ticks) for ticks in sorted(starts)]
    if edges[-1] < timeline.seconds(end):
        edges.append(timeline.seconds(end))
    return [gap for gap in itertools.pairwise(edges) if gap[1] - gap[0] >= MIN_GAP_SECONDS]
