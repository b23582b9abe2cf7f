"""Reading frames with decord: selectable, not the default.

decord 0.6 opens playlists by their content, cannot decode AV1, takes the stream it likes best and keeps decoding ahead
for as long as it is open, without bound. So it is given bytes that were sniffed, refused files with several video
streams where it would take another than we do, and closed after each read. Size, rotation and times come from the
container's packets as PyAV reads them, so that both decoders choose the same frames; PyAV decodes none here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import decord
import numpy as np
from av.error import FFmpegError

from framegate.pipelines.decode.readers.all_packets import AllPackets, film_seconds, read_all_packets
from framegate.pipelines.decode.readers.blocks import RangeFile
from framegate.pipelines.decode.readers.empty_stretches import find_gaps
from framegate.pipelines.decode.readers.header import (
    announced_seconds,
    decode_error,
    frame_rate,
    quarter_turns,
    read_header,
)
from framegate.pipelines.decode.readers.joined import open_joined
from framegate.pipelines.decode.readers.reader import Reader, Selection, VideoHeader
from framegate.pipelines.decode.readers.time_signs import READ_WHOLE
from framegate.pipelines.decode.readers.timeline import Timeline, file_zero
from framegate.pipelines.decode.readers.track import Track
from framegate.schemas.config import DecodeConfig
from framegate.schemas.errors import DecodeFailed, UnsupportedCodec

# Containers in which decord gives reordered frames the right numbers. In a transport stream it counts the first ones
# away (measured: frame 8 in place of frame 0), in those without presentation times it takes decode times.
ORDERED = frozenset({"iso_bmff", "matroska", "flv"})


def open_decord(file: RangeFile, *, container: str, limits: DecodeConfig) -> Reader:
    """A DecordReader of `file`, or of each film in it where several lie behind one another. Raises VideoError."""
    return open_joined(DecordReader, file, container=container, limits=limits)


class DecordReader:
    """A video read from an open seekable `file`, which stays the caller's; `container` is what `sniff` called it."""

    header: VideoHeader

    def __init__(self, file: RangeFile, *, container: str, limits: DecodeConfig) -> None:
        decord.logging.set_level(decord.logging.QUIET)
        self._file = file
        self.progress: Callable[[], object] = bool  # which does nothing; see `Reader`
        try:
            self._read_packets(Track(file, container=container, limits=limits), container, limits)
        except FFmpegError as error:
            raise decode_error(file, error) from error

    def _read_packets(self, track: Track, container: str, limits: DecodeConfig) -> None:
        try:
            packets = read_all_packets(track)
            self._starts, stream = packets.starts, track.stream
            _refuse_what_it_mistakes(track, packets)
            first_ticks = int(self._starts[0])
            self._timeline = Timeline(
                time_base=track.time_base,
                origin_ticks=file_zero(track.container.start_time, first_ticks, track.time_base),
                rate=frame_rate(stream),
            )
            self._end_seconds = self._timeline.end_seconds(int(self._starts[-1]), packets.last_ticks)
            announced = announced_seconds(track.container, stream, self._timeline)
            counted = packets if track.kind in READ_WHOLE or announced is None else None
            duration_seconds = film_seconds(announced, counted, self._timeline)
            turns = quarter_turns(track.container, stream)
            # decord turns the picture itself where the container is ISO-BMFF, and knows no other's rotation.
            self._turns = 0 if container == "iso_bmff" else turns
            self.header = read_header(
                track.container,
                stream,
                self._file,
                kind=container,
                limits=limits,
                turns=turns,
                duration_seconds=duration_seconds,
                gaps=find_gaps(
                    track, self._timeline, packets, first_ticks=first_ticks, duration_seconds=duration_seconds
                ),
            )
        finally:
            track.close()

    def read(
        self, times_seconds: Sequence[float], *, height: int, width: int, out: np.ndarray | None = None
    ) -> Selection:
        """See `Reader.read`."""
        has_ended = bool(len(times_seconds)) and times_seconds[-1] >= self._end_seconds
        limits = [self._timeline.limit_ticks(seconds) for seconds in times_seconds if seconds < self._end_seconds]
        frames_THWC = np.empty((len(times_seconds), height, width, 3), dtype=np.uint8) if out is None else out
        if not limits:
            return Selection(frames_THWC[:0], np.empty(0, np.float64), has_ended)
        video = self._open(height=height, width=width)
        starts = self._starts
        # Packets and frames are one to one in all files but damaged ones, where decord's own count decides. Its times
        # are float32: 4 ms coarse after nine hours.
        if len(starts) != len(video):
            seconds = video.get_frame_timestamp(list(range(len(video))))[:, 0].astype(np.float64)
            starts = np.rint(seconds / float(self._timeline.time_base)).astype(np.int64)
        indices = np.unique(np.maximum(np.searchsorted(starts, limits, side="right") - 1, 0))
        try:
            for k, index in enumerate(indices.tolist()):  # one by one is as fast as all at once
                frames_THWC[k] = np.rot90(video.get_batch([index]).asnumpy()[0], self._turns)
                self.progress()
        except decord.DECORDError as error:
            raise DecodeFailed(f"decord cannot decode the file ({_first_line(error)}).") from error
        pts_seconds = np.array([self._timeline.seconds(int(ticks)) for ticks in starts[indices]], dtype=np.float64)
        return Selection(frames_THWC[: len(indices)], pts_seconds, has_ended)

    def count_bytes(self, times_seconds: Sequence[float]) -> int | None:
        """See `Reader.count_bytes`: opening read all of the file, and reading does so again."""
        return self._file.size_bytes

    def close(self) -> None:
        """Nothing to do: decord is open only while `read` runs."""

    def __enter__(self) -> DecordReader:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def _open(self, *, height: int, width: int) -> decord.VideoReader:
        if self._turns % 2:
            height, width = width, height
        self._file.seek(0)
        try:
            return decord.VideoReader(self._file, width=width, height=height, num_threads=1)
        except decord.DECORDError as error:
            if "st_nb >= 0" in str(error):  # what decord says where FFmpeg finds no decoder for any stream
                raise UnsupportedCodec(
                    f"decord has no decoder for {self.header.codec}; set frames.decoder to pyav."
                ) from error
            raise DecodeFailed(f"decord cannot open the file ({_first_line(error)}).") from error


def _refuse_what_it_mistakes(track: Track, packets: AllPackets) -> None:
    """Raises UnsupportedCodec."""
    best = track.container.streams.best("video")
    if best is None or best.index != track.stream.index:
        raise UnsupportedCodec(
            "The file holds several video streams and decord takes a smaller one; set frames.decoder to pyav."
        )
    if packets.route is not None:
        raise UnsupportedCodec(
            "The file's time stamps begin again or jump, which decord does not follow; set frames.decoder to pyav."
        )
    if packets.num_cut:
        raise UnsupportedCodec(
            f"An edit list cuts {packets.num_cut} frames off, which decord counts all the same; "
            "set frames.decoder to pyav."
        )
    if not packets.is_timed:
        raise UnsupportedCodec(
            f"The container ({track.kind}) does not say when each frame is shown, which decord does not work out; "
            "set frames.decoder to pyav."
        )
    if track.kind not in ORDERED and track.stream.codec_context.has_b_frames:
        raise UnsupportedCodec(
            f"Its frames are decoded in another order than shown, which decord gets wrong in {track.kind}; "
            "set frames.decoder to pyav."
        )


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
