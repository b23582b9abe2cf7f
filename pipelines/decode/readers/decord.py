"""Reading frames with decord: selectable, not the default.

decord 0.6 opens playlists by their content, cannot decode AV1, takes the stream it likes best and keeps decoding ahead
for as long as it is open, without bound. So it is given bytes that were sniffed, refused files with several video
streams where it would take another than we do, and closed after each read. Sizes, times and key frames come from the
container's packets as PyAV reads them, so that both decoders choose the same frames; PyAV decodes but the key frames
that say something new of their shape.

It turns a picture by the container's display matrix in ISO-BMFF, if that is within a degree above a quarter turn; it
mirrors none, cuts off none and stretches each to the size of the first. That is undone and done anew. It counts frames
on from the key frame that it sought. Where it takes other frames for key frames than we do, or frames are shown before
the key frame that they follow, the count is wrong, and it decodes all frames in order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import decord
import numpy as np
from av.error import FFmpegError
from av.video.frame import VideoFrame

from framegate.pipelines.decode.readers.all_packets import AllPackets, film_seconds, read_all_packets
from framegate.pipelines.decode.readers.blocks import RangeFile
from framegate.pipelines.decode.readers.drawing import Drawing
from framegate.pipelines.decode.readers.empty_stretches import find_gaps
from framegate.pipelines.decode.readers.flv_marks import num_marked
from framegate.pipelines.decode.readers.header import (
    announced_seconds,
    decode_error,
    frame_rate,
    read_header,
)
from framegate.pipelines.decode.readers.joined import open_joined
from framegate.pipelines.decode.readers.orientation import UPRIGHT, Orientation
from framegate.pipelines.decode.readers.reader import Reader, Selection, VideoHeader
from framegate.pipelines.decode.readers.shape_survey import ShapeSurvey
from framegate.pipelines.decode.readers.stream_summary import StreamSummary, read_summary
from framegate.pipelines.decode.readers.time_signs import READ_WHOLE
from framegate.pipelines.decode.readers.timeline import Timeline, file_zero
from framegate.pipelines.decode.readers.track import Track
from framegate.schemas.config import DecodeConfig
from framegate.schemas.errors import DecodeFailed, UnsupportedCodec

# Containers in which decord gives reordered frames the right numbers. In a transport stream it counts the first ones
# away (measured: frame 8 in place of frame 0), in those without presentation times it takes decode times.
ORDERED = frozenset({"iso_bmff", "matroska", "flv"})
# decord's rows are padded to a multiple of it. Where that is a whole number of pixels more, it takes them for channels
# (measured: of the widths from 2 to 700, those of 2, 3, 4, 6, 8, 12, 16, 24, 48 and 72).
ROW_BYTES = 96


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
            summary = read_summary(track.container, track.stream)
            self._survey = ShapeSurvey(track, summary)
            packets = read_all_packets(track, self._survey.note)
            track.conclude_keys()
            self._may_seek = track.keys_are_marked and not self._survey.has_leading
            self._starts, stream = packets.starts, track.stream
            _refuse_what_it_mistakes(track, packets)
            if track.kind == "flv" and stream.codec_context.has_b_frames:
                _refuse_wrong_marks(self._file, self._survey)
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
            self._prepare_drawing(container, summary, is_fragmented=container == "iso_bmff" and not stream.frames)
            self.header = read_header(
                track.container,
                stream,
                self._file,
                kind=container,
                limits=limits,
                display_size=self._survey.first.display_size,
                duration_seconds=duration_seconds,
                gaps=find_gaps(
                    track, self._timeline, packets, first_ticks=first_ticks, duration_seconds=duration_seconds
                ),
                rotation=self._survey.first.orientation.degrees,
            )
        finally:
            track.close()

    def _prepare_drawing(self, container: str, summary: StreamSummary, *, is_fragmented: bool) -> None:
        # decord knows no other container's matrix.
        self._turned = _turned_by_decord(summary.degrees) if container == "iso_bmff" else UPRIGHT
        first = self._survey.first
        self._is_plain = self._survey.is_uniform and not any(first.margins)
        # What is left to turn where decord has turned already.
        self._to_turn = first.orientation.after(self._turned.inverse())
        self._drawing = Drawing(first)
        self._is_fragmented = is_fragmented

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
        # decord's own times are float32 and count from its first frame, wherever that one lies in the film.
        if len(starts) != len(video):
            raise UnsupportedCodec(
                f"decord counts {len(video)} frames, and the file has packets of {len(starts)}: it cannot tell which "
                "frame is which; set frames.decoder to pyav."
            )
        indices = np.unique(np.maximum(np.searchsorted(starts, limits, side="right") - 1, 0))
        is_letterboxed = False
        try:
            for k, pixels in enumerate(self._pixels(video, indices.tolist())):
                is_letterboxed |= self._draw(pixels, int(starts[indices[k]]), frames_THWC[k])
                self.progress()
        except decord.DECORDError as error:
            raise DecodeFailed(f"decord cannot decode the file ({_first_line(error)}).") from error
        except FFmpegError as error:
            raise decode_error(self._file, error) from error
        pts_seconds = np.array([self._timeline.seconds(int(ticks)) for ticks in starts[indices]], dtype=np.float64)
        return Selection(frames_THWC[: len(indices)], pts_seconds, has_ended, is_letterboxed=is_letterboxed)

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
        """Frames come in the size that is asked for where nothing is left to do but to turn them, else as stored."""
        if self._to_turn.is_sideways:
            height, width = width, height
        stored = self._survey.first
        decoded_width = width if self._is_plain else stored.height if self._turned.is_sideways else stored.width
        if _are_rows_misread(decoded_width):
            raise UnsupportedCodec(
                f"decord gives no right frames that are {decoded_width} pixels wide; set frames.decoder to pyav."
            )
        size = {"height": height, "width": width} if self._is_plain else {}
        self._file.seek(0)
        try:
            return decord.VideoReader(self._file, num_threads=1, **size)
        except decord.DECORDError as error:
            if "st_nb >= 0" in str(error):  # what decord says where FFmpeg finds no decoder for any stream
                raise UnsupportedCodec(
                    f"decord has no decoder for {self.header.codec}; set frames.decoder to pyav."
                ) from error
            raise DecodeFailed(f"decord cannot open the file ({_first_line(error)}).") from error

    def _pixels(self, video: decord.VideoReader, indices: list[int]) -> Iterator[np.ndarray]:
        """Frames by their numbers, ascending: one by one is as fast as all at once."""
        are_same_keys = self._survey.key_numbers.issuperset(video.get_key_indices())
        if self._is_fragmented and not are_same_keys:
            raise UnsupportedCodec(
                "The file is fragmented and marks frames as key frames that are none: decord does not find its first "
                "frame; set frames.decoder to pyav."
            )
        if self._may_seek and are_same_keys:
            for index in indices:
                yield video.get_batch([index]).asnumpy()[0]
            return
        wanted = set(indices)
        for number in range(indices[-1] + 1):
            try:
                pixels = video.next()  # and not `skip_frames`, which seeks
            except StopIteration:
                raise DecodeFailed(
                    f"decord gives {number} frames of the file, and counts {len(video)}; set frames.decoder to pyav."
                ) from None
            if number in wanted:
                yield pixels.asnumpy()
            else:
                self.progress()

    def _draw(self, pixels_HWC: np.ndarray, ticks: int, out_HWC: np.ndarray) -> bool:
        if self._is_plain:
            out_HWC[:] = self._to_turn.apply(pixels_HWC)
            return False
        stored = np.ascontiguousarray(self._turned.inverse().apply(pixels_HWC))
        return self._drawing.draw(VideoFrame.from_ndarray(stored, format="rgb24"), self._survey.at(ticks), out_HWC)


def _turned_by_decord(degrees: float | None) -> Orientation:
    """By the angle of the container's matrix, cut to whole degrees to the right."""
    whole = int(-(degrees or 0.0) % 360)
    return Orientation(-(whole // 90) % 4) if whole % 90 == 0 else UPRIGHT


def _are_rows_misread(width: int) -> bool:
    row_bytes = -(-3 * width // ROW_BYTES) * ROW_BYTES
    return row_bytes != 3 * width and row_bytes % width == 0


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


def _refuse_wrong_marks(file: RangeFile, survey: ShapeSurvey) -> None:
    """Raises UnsupportedCodec."""
    if num_marked(file) != len(survey.key_numbers):
        raise UnsupportedCodec(
            "Frames are marked as key frames that are none, and some are shown in another order than decoded: decord "
            "miscounts them in FLV; set frames.decoder to pyav."
        )


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
