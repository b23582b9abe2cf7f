"""Which stream of an open PyAV container is the video, and how large it is shown. Decodes nothing."""

from __future__ import annotations

from av.container import InputContainer
from av.stream import Disposition
from av.video.stream import VideoStream

from schemas.errors import NoVideoStream, UnsupportedCodec, VideoTooLarge

# A frame of 16384 x 8192 fits in 1 MB of H.264 and takes 200 MB decoded; 8K (7680 x 4320) must pass.
MAX_CODED_PIXELS = 8192 * 8192


def main_stream(container: InputContainer) -> VideoStream:
    """The video stream with the most pixels, the first of equals; cover pictures do not count.

    Raises NoVideoStream, UnsupportedCodec, VideoTooLarge.
    """
    streams = [stream for stream in container.streams.video if not stream.disposition & Disposition.attached_pic]
    if not streams:
        raise NoVideoStream("The file holds no video stream, only sound, subtitles or a cover picture.")
    known = [stream for stream in streams if stream.codec_context is not None]
    if not known:
        raise UnsupportedCodec("No decoder here knows the codec of the file's video stream.")
    stream = max(known, key=lambda stream: stream.width * stream.height)
    if stream.width * stream.height > MAX_CODED_PIXELS:
        raise VideoTooLarge(
            f"The video is {stream.width} x {stream.height} pixels; at most {MAX_CODED_PIXELS:,} pixels are decoded."
        )
    return stream


def display_size(stream: VideoStream, *, quarter_turns: int) -> tuple[int, int]:
    """(height, width) as a player shows it: pixels made square by drawing the image out, then turned."""
    height, width = stream.height, stream.width
    pixel_ratio = float(stream.sample_aspect_ratio or 1)
    if pixel_ratio > 1:
        width = round(width * pixel_ratio)
    else:
        height = round(height / pixel_ratio)
    return (width, height) if quarter_turns % 2 else (height, width)
