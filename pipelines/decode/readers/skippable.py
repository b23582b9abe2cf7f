"""The streams in which a decoder may skip frames without changing the pixels of the others."""

from __future__ import annotations

from av.video.stream import VideoStream

# In these containers, packets have the times of their frames. In AVI, Ogg and MXF they do not, in program streams not
# always.
TIMED_CONTAINERS = {"iso_bmff", "matroska", "mpeg_ts", "flv"}


def skips_exactly(container: str, stream: VideoStream) -> bool:
    """Whether packets tell the frames, and FFmpeg's decoder skips exactly those frames to which no other one refers.

    Decoders of other codecs ignore the setting (VP9, AV1), or packets of theirs may hold no frame (VP8).
    """
    codec = stream.codec.canonical_name
    if container not in TIMED_CONTAINERS:
        return False
    if codec == "hevc":
        return _num_temporal_layers(stream.codec_context.extradata or b"") == 1
    return codec in ("h264", "mpeg4", "mpeg2video", "mpeg1video")


def _num_temporal_layers(extradata: bytes) -> int | None:
    """Of H.265, by its sequence parameter set (ISO/IEC 23008-2, 7.3.2.2); None where there is none.

    With more than one, a frame to which none of its own layer refers may serve the layers above.
    """
    for position in range(len(extradata) - 2):
        # The head of a unit of type 33 in layer 0; in an `hvcC` record its length of 2 bytes stands before it.
        if extradata[position : position + 2] == b"\x42\x01":
            return (extradata[position + 2] >> 1 & 7) + 1
    return None
