"""What is taken out of a decoder process's answers: each field within limits that the parent sets itself.

A reader in the process holds the same limits. So an answer beyond them is none that a reader of ours gave.
"""

from __future__ import annotations

import dataclasses
import re
from typing import Final

import numpy as np

from framegate.pipelines.decode.readers.creation_time import CREATED_BETWEEN
from framegate.pipelines.decode.readers.gaps import MAX_GAPS, OUTSIDE_SECONDS, Gap
from framegate.pipelines.decode.readers.reader import MAX_SIDE_PIXELS, MAX_TOLD_FPS, VideoHeader
from framegate.pipelines.decode.readers.sniff import DEMUXERS
from framegate.pipelines.decode.sandbox import wire
from framegate.schemas.config import DecodeConfig
from framegate.schemas.errors import VideoError, video_error

# What a decoder can find out. The other reasons are about storage, or about the process: those its parent tells.
_REASONS: Final = frozenset(
    {
        "empty", "not_video", "playlist", "no_video_stream", "truncated", "too_large", "unsupported_codec",
        "decode_error", "memory_limit", "times_restart",
    }
)  # fmt: skip
_CODEC: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]{0,63}")


def take_header(answer: wire.Message, limits: DecodeConfig) -> VideoHeader:
    """Raises wire.Malformed."""
    fields = answer.get("header")
    if not isinstance(fields, dict) or fields.keys() != {field.name for field in dataclasses.fields(VideoHeader)}:
        raise wire.Malformed("the header has not the fields of a header")
    side = {"at_least": 1, "at_most": MAX_SIDE_PIXELS}
    fps = None if fields["fps"] is None else wire.take_number(fields, "fps", at_least=0, at_most=MAX_TOLD_FPS)
    created_seconds = (
        None if fields["created_seconds"] is None else wire.take_number(fields, "created_seconds", **CREATED_BETWEEN)
    )
    container, codec = wire.take_text(fields, "container"), wire.take_text(fields, "codec")
    if container not in DEMUXERS:
        raise wire.Malformed("container is none that is read")
    if not _CODEC.fullmatch(codec):
        raise wire.Malformed("codec is no name of a codec")
    duration_seconds = wire.take_number(fields, "duration_seconds", at_least=0, at_most=limits.max_duration_seconds)
    rotation = wire.take_whole(fields, "rotation", at_least=0, at_most=270)
    if rotation % 90:
        raise wire.Malformed("rotation is no quarter turn")
    return VideoHeader(
        container=container,
        codec=codec,
        display_height=wire.take_whole(fields, "display_height", **side),
        display_width=wire.take_whole(fields, "display_width", **side),
        duration_seconds=duration_seconds,
        fps=fps,
        num_streams=wire.take_whole(fields, "num_streams", at_least=0, at_most=limits.max_streams),
        is_cut_short=wire.take_truth(fields, "is_cut_short"),
        gaps=_take_gaps(fields["gaps"], limits),
        rotation=rotation,
        created_seconds=created_seconds,
    )


def take_error(answer: wire.Message) -> VideoError:
    """Raises wire.Malformed where it gives a reason that is not a decoder's to give."""
    reason, message = wire.take_text(answer, "reason"), wire.take_text(answer, "message")
    if reason not in _REASONS:
        raise wire.Malformed("an error has a reason that no decoder can know")
    shown = "".join(letter if letter.isprintable() else " " for letter in message)
    return video_error(reason, shown or "The decoder failed and said nothing.")


def check_times(pts_seconds: np.ndarray, limits: DecodeConfig) -> None:
    """Raises wire.Malformed unless the times of frames ascend, and lie in what a video may be long."""
    if not np.isfinite(pts_seconds).all() or (np.diff(pts_seconds) <= 0).any():
        raise wire.Malformed("the times of the frames do not ascend")
    if (np.abs(pts_seconds) > _most_seconds(limits)).any():
        raise wire.Malformed("the times of the frames are no times of a video")


def _take_gaps(value: object, limits: DecodeConfig) -> tuple[Gap, ...]:
    if not isinstance(value, list) or len(value) > MAX_GAPS:
        raise wire.Malformed(f"the gaps are no list of at most {MAX_GAPS}")
    most = _most_seconds(limits)
    gaps: list[Gap] = []
    for pair in value:
        if not isinstance(pair, list) or len(pair) != 2:
            raise wire.Malformed("a gap is no pair")
        sides = {"after": pair[0], "before": pair[1]}
        after, before = (wire.take_number(sides, name, at_least=-most, at_most=most) for name in sides)
        if after >= before or (gaps and after < gaps[-1][1]):
            raise wire.Malformed("the gaps do not ascend")
        gaps.append((after, before))
    return tuple(gaps)


def _most_seconds(limits: DecodeConfig) -> float:
    """Frames may lie outside of what the header announces; a header that is wrong by its own length is none."""
    return 2 * limits.max_duration_seconds + OUTSIDE_SECONDS
