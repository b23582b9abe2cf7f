"""Whether a file shows signs that its time stamps begin again or jump, so that all of its packets must be read.

Only containers that break that way are looked at. What that costs, beside opening the file:

    transport and program streams, FLV, Ogg     up to WHOLE_BYTES, the file is read once
    larger transport and program streams        MIN_PROBES to MAX_PROBES places are read, one for each PROBED_BYTES and
                                                some 64 KiB each
    all others                                  nothing

What was not looked at is watched while it is read: see `time_watch`.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from statistics import median
from typing import NamedTuple

import av
from av.error import FFmpegError

from framegate.pipelines.decode.readers.all_packets import AllPackets, read_all_packets
from framegate.pipelines.decode.readers.demux import packets_of
from framegate.pipelines.decode.readers.time_watch import TimeWatch
from framegate.pipelines.decode.readers.track import Track

WHOLE_BYTES = 32 << 20
MIN_PROBES, MAX_PROBES, PROBED_BYTES = 16, 64, 64 << 20
READ_WHOLE = frozenset({"mpeg_ts", "mpeg_ps", "flv", "ogg"})
PROBED = frozenset({"mpeg_ts", "mpeg_ps"})
# Stamps of neighbouring packets fall back a little where frames are reordered.
BACK_SECONDS = 1.0
# A stretch with so many times more seconds to the byte than half of the stretches have is a gap, or a still picture.
SPARSE = 8.0
MIN_GAP_SECONDS = 10.0


class _Probe(NamedTuple):
    position: int
    seconds: float


def read_where_needed(track: Track) -> AllPackets | None:
    """All packets of a file with signs, its route set in `track`; None where there are none. Then the track watches
    what was not looked at. Leaves the track at its start. Raises FFmpegError, VideoError."""
    size_bytes = track.file.size_bytes
    is_small = track.kind in READ_WHOLE and size_bytes <= WHOLE_BYTES
    if not is_small and not (track.kind in PROBED and _jumps(track)):
        track.watch = TimeWatch(track.time_base)
        return None
    packets = read_all_packets(track)
    track.route = packets.route
    return packets


def _jumps(track: Track) -> bool:
    """Whether stamps at places of the file are not as those of one recording. Moves the track, and rewinds it."""
    start, length = track.container.start_time, track.container.duration
    probes = list(_probes(track))
    track.rewind()
    if start is not None:
        probes.insert(0, _Probe(0, start / av.time_base))
        if length is not None:
            probes.append(_Probe(track.file.size_bytes, (start + length) / av.time_base))
    stretches = [
        (after.seconds - before.seconds, after.position - before.position) for before, after in pairwise(probes)
    ]
    if any(seconds < -BACK_SECONDS for seconds, _ in stretches):
        return True
    paces = [seconds / num_bytes for seconds, num_bytes in stretches if num_bytes > 0]
    usual = median(paces) if paces else 0.0
    return any(seconds > MIN_GAP_SECONDS and seconds > SPARSE * usual * num_bytes for seconds, num_bytes in stretches)


def _probes(track: Track) -> Iterator[_Probe]:
    """Where the first packet with a decode time behind each of some places lies, and that time."""
    size_bytes = track.file.size_bytes
    num_probes = min(MAX_PROBES, max(MIN_PROBES, size_bytes // PROBED_BYTES))
    for number in range(1, num_probes + 1):
        try:
            track.container.seek(size_bytes * number // (num_probes + 1), unsupported_byte_offset=True)
            for packet in packets_of(track.container, track.stream):
                if packet.dts is not None and packet.pos is not None:
                    yield _Probe(packet.pos, float(packet.dts * track.time_base))
                    break
        except FFmpegError:
            continue
