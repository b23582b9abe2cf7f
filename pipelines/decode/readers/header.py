"""What a container tells of its video before any frame is decoded: stream, size, duration, and whether it is more than
the limits allow. How the picture is shown stands in `picture`.
"""

from __future__ import annotations

import math
from fractions import Fraction

import av
from av.container import Flags, InputContainer
from av.error import FFmpegError
from av.stream import Discard, Disposition
from av.video.stream import VideoStream

from framegate.pipelines.decode.readers.blocks import RangeFile
from framegate.pipelines.decode.readers.creation_time import read_creation_time
from framegate.pipelines.decode.readers.cut_short import is_cut_short
from framegate.pipelines.decode.readers.gaps import Gap
from framegate.pipelines.decode.readers.reader import MAX_SIDE_PIXELS, MAX_TOLD_FPS, VideoHeader
from framegate.pipelines.decode.readers.sniff import DEMUXERS
from framegate.pipelines.decode.readers.timeline import Timeline
from framegate.schemas.config import DecodeConfig
from framegate.schemas.errors import (
    DecodeFailed,
    NoVideoStream,
    TruncatedVideo,
    UnsupportedCodec,
    VideoError,
    VideoTooLarge,
)

# FFmpeg reads so much at once: more costs bytes after each seek, less costs calls from C into Python.
IO_BUFFER_BYTES = 32 << 10
# Pictures that stand beside a film in its container: covers, chapter thumbnails, stills.
_PICTURES = Disposition.attached_pic | Disposition.timed_thumbnails | Disposition.still_image
# Where a container leaves times out, PyAV has FFmpeg invent them, in the order of decoding and not of display.
_UNTIMED_DEMUXERS = frozenset({"avi", "mpeg", "mxf", "ogg"})


def open_container(file: RangeFile, container: str, limits: DecodeConfig) -> InputContainer:
    """Opens `file` with the one demuxer of `container`. Raises FFmpegError and what `file` raises."""
    # Opening decodes a frame where the header does not tell the pixel format: of 16384 x 8192 that would be 600 MiB and
    # 7 s before the size can be refused. So the decoder refuses. H.264 and HEVC tell the size all the same.
    opened = _open(file, DEMUXERS[container], {"max_pixels": str(limits.max_pixels)})
    if all(stream.width for stream in opened.streams.video if stream.codec_context is not None):
        return opened
    opened.close()  # others tell no size then; without decoding, there is that of the container
    return _open(file, DEMUXERS[container], {"skip_frame": "all"})


def _open(file: RangeFile, demuxer: str, codec_options: dict[str, str]) -> InputContainer:
    file.seek(0)
    opened = av.open(
        file,
        mode="r",
        format=demuxer,
        buffer_size=IO_BUFFER_BYTES,
        metadata_errors="replace",  # titles in Latin-1 are common, and no reason to refuse a video
        options={
            # A container can name other files and addresses; "none" is no protocol, so that it can open none of them.
            "format_whitelist": demuxer,
            "protocol_whitelist": "none",
            # A movie's `dref` names the file that holds its samples. Both are FFmpeg's defaults, and must stay so.
            "enable_drefs": "0",
            "use_absolute_path": "0",
            **codec_options,
        },
    )
    if demuxer in _UNTIMED_DEMUXERS:
        opened.flags &= ~Flags.gen_pts.value
    return opened


def main_stream(container: InputContainer, limits: DecodeConfig) -> VideoStream:
    """The video stream with the most pixels, the first of equals; pictures beside the film do not count.

    Raises NoVideoStream, UnsupportedCodec, VideoTooLarge.
    """
    _check_streams(container, limits)
    videos = container.streams.video
    streams = [stream for stream in videos if not stream.disposition & _PICTURES and not _is_item(stream)]
    if not streams:
        raise NoVideoStream("The file holds no video stream, only sound, subtitles, data or a cover picture.")
    known = [stream for stream in streams if stream.codec_context is not None]
    if not known:
        raise UnsupportedCodec("No decoder here knows the codec of the file's video stream.")
    stream = max(known, key=lambda stream: stream.width * stream.height)
    if stream.width * stream.height > limits.max_pixels:
        raise VideoTooLarge(
            f"The video is {stream.width} x {stream.height} pixels; at most {limits.max_pixels:,} pixels are decoded "
            "(decode.max_pixels)."
        )
    _check_total(container, stream, limits)
    return stream


def _is_item(stream: VideoStream) -> bool:
    """Whether it is a picture that lies beside the tracks of a movie file, as in HEIF: it has no time of its own."""
    return stream.frames == 1 and stream.duration is None and stream.time_base == 1


def keep_only(container: InputContainer, stream: VideoStream) -> None:
    """Packets of other streams are stepped over where the container allows it, instead of read."""
    for other in container.streams:
        if other.index != stream.index:
            other.discard = Discard.all


def announced_seconds(container: InputContainer, stream: VideoStream, timeline: Timeline | None = None) -> float | None:
    """How long the video is by its header, and never less than its index shows; None where the header does not tell.

    Without a `timeline`, counted from the stream's announced start.
    """
    time_base = stream.time_base or Fraction(0)
    origin_ticks = timeline.origin_ticks if timeline else stream.start_time or 0
    if stream.duration:
        seconds = float(((stream.start_time or 0) + stream.duration - origin_ticks) * time_base)
    elif container.duration:
        seconds = ((container.start_time or 0) + container.duration) / av.time_base - float(origin_ticks * time_base)
    else:  # a live recording, whose index has what was read so far
        return None
    index = stream.index_entries
    if len(index):
        last = float((index[-1].timestamp - origin_ticks) * time_base)
        if last >= seconds and last > 0:  # the header says too little
            seconds = last + min(1.0, 1 / (frame_rate(stream) or 1.0))
    return seconds if math.isfinite(seconds) and seconds > 0 else None


def read_header(
    container: InputContainer,
    stream: VideoStream,
    file: RangeFile,
    *,
    kind: str,
    limits: DecodeConfig,
    display_size: tuple[int, int],
    duration_seconds: float,
    gaps: tuple[Gap, ...],
    rotation: int,
) -> VideoHeader:
    """`display_size` is (height, width). Raises DecodeFailed, VideoTooLarge, and what `file` raises."""
    check_duration(duration_seconds, limits)
    _check_streams(container, limits)  # of a transport stream some may have come since
    height, width = display_size
    if min(height, width) < 1:  # by the header alone, where PyAV cannot decode a frame
        raise DecodeFailed("The file cannot be decoded (it does not tell how large its picture is).")
    if max(height, width) > MAX_SIDE_PIXELS:
        raise VideoTooLarge(
            f"The video is shown in {width} x {height} pixels; at most {MAX_SIDE_PIXELS:,} to a side are decoded."
        )
    return VideoHeader(
        container=kind,
        codec=stream.codec.canonical_name,
        display_height=height,
        display_width=width,
        duration_seconds=duration_seconds,
        fps=frame_rate(stream),
        num_streams=len(container.streams),
        is_cut_short=is_cut_short(file),
        gaps=gaps,
        rotation=rotation,
        created_seconds=read_creation_time(container, stream),
    )


def frame_rate(stream: VideoStream) -> float | None:
    """Frames per second on average; None where the container does not tell, or tells one that is none."""
    rate = float(stream.average_rate or 0)
    return rate if 0 < rate <= MAX_TOLD_FPS else None


def decode_error(file: RangeFile, error: FFmpegError | str) -> VideoError:
    """TruncatedVideo where the file is shorter than it says, DecodeFailed where that does not explain it."""
    detail = error if isinstance(error, str) else error.strerror or str(error)
    if is_cut_short(file):
        return TruncatedVideo(f"The file ends before its index or its frames do ({detail}).")
    return DecodeFailed(f"The file cannot be decoded ({detail}).")


def _check_streams(container: InputContainer, limits: DecodeConfig) -> None:
    if len(container.streams) > limits.max_streams:
        raise VideoTooLarge(
            f"The file holds {len(container.streams)} streams; at most {limits.max_streams} are allowed "
            "(decode.max_streams)."
        )


def _check_total(container: InputContainer, stream: VideoStream, limits: DecodeConfig) -> None:
    seconds = announced_seconds(container, stream) or 0.0
    check_duration(seconds, limits)
    num_frames = stream.frames or seconds * (frame_rate(stream) or 0.0)
    total_pixels = stream.width * stream.height * num_frames
    if total_pixels > limits.max_total_pixels:
        raise VideoTooLarge(
            f"The header announces {num_frames:.0f} frames of {stream.width} x {stream.height}, {total_pixels:.1e} "
            f"pixels; at most {limits.max_total_pixels:.1e} are decoded (decode.max_total_pixels)."
        )


def check_duration(seconds: float, limits: DecodeConfig) -> None:
    if seconds > limits.max_duration_seconds:
        raise VideoTooLarge(
            f"The header announces {seconds:.0f} seconds of video; at most {limits.max_duration_seconds:.0f} are "
            "decoded (decode.max_duration_seconds)."
        )
