"""The clips of one video, read in order: each stretch that has open questions, with its frames."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace

from framegate.pipelines.decode.policy import Policy
from framegate.pipelines.decode.readers.reader import Reader, Source
from framegate.pipelines.decode.split import split
from framegate.schemas.clip import Clip, FrameBatch
from framegate.schemas.errors import TruncatedVideo
from framegate.schemas.unit import DecodedClip, PlannedVideo


class ClipReader:
    """The clips of one planned video. Where one reader fails, another one can go on from the same clip.

    next_index   the first clip that is not done: after a failure, the clip that could not be read
    """

    def __init__(self, planned: PlannedVideo, policy: Policy) -> None:
        self.next_index = 0
        self._last_start_seconds: float | None = None  # of the clip before `next_index`
        self._planned = planned
        self._policy = policy

    def read(self, reader: Reader, source: Source) -> Iterator[DecodedClip]:
        """The clips from `next_index` on, as `reader` decodes `source`. Clips without open questions are not read.

        A clip comes out when the next one has been read, because only then is it known whether it is the last: a
        picture may end long before the container says. Raises VideoError, StorageError after the clips that are whole.
        """
        held: DecodedClip | None = None
        num_bytes = 0  # counted from 0, so that the first clip includes the bytes that opening the file took
        try:
            for start, end in split(reader, self._policy.clips):
                if self._last_start_seconds is not None and start <= self._last_start_seconds:
                    continue
                decoded, has_ended = None, False
                if self._planned.missing(self.next_index):
                    decoded, has_ended = self._read_clip(reader, start, end)
                    if decoded is None and held is not None and not reader.header.is_cut_short:
                        break
                    if decoded is None:
                        raise _ends_early(reader, start)
                    decoded = replace(decoded, bytes_read=source.bytes_read - num_bytes)
                    num_bytes += decoded.bytes_read
                if held is not None:
                    yield held
                held, self._last_start_seconds = decoded, start
                self.next_index += 1
                if has_ended and reader.header.is_cut_short:
                    raise _ends_early(reader, float(decoded.frames.pts_seconds[-1]) if decoded else start)
                if has_ended:
                    break
        except Exception:
            if held is not None:
                yield held
            raise
        is_cut_short = reader.header.is_cut_short  # the header's duration then ends where the file does
        if held is not None:
            yield replace(held, is_last=not is_cut_short, is_truncated=is_cut_short)
        if is_cut_short:
            raise TruncatedVideo(
                "The file is shorter than its container says; the video goes on after "
                f"{reader.header.duration_seconds:.3f} s, where the file ends."
            )

    def _read_clip(self, reader: Reader, start: float, end: float) -> tuple[DecodedClip | None, bool]:
        """The clip [start, end), None where the video has no frame there; and whether the video ended in it."""
        began = time.perf_counter()
        header = reader.header
        targets = self._policy.targets(start, end, header)
        frames_THWC, pts_seconds, has_ended = reader.read(
            targets.times_seconds, height=targets.height, width=targets.width
        )
        if len(pts_seconds) == 0:
            return None, True
        clip = DecodedClip(
            clip=Clip(
                video_id=self._planned.video.video_id, index=self.next_index, start_seconds=start, end_seconds=end
            ),
            frames=FrameBatch(frames_THWC=frames_THWC, pts_seconds=pts_seconds, duration_seconds=end - start),
            is_last=False,
            is_truncated=has_ended and header.is_cut_short,
            decode_seconds=time.perf_counter() - began,
        )
        return clip, has_ended


def _ends_early(reader: Reader, seconds: float) -> TruncatedVideo:
    return TruncatedVideo(
        f"No frame can be decoded after {seconds:.3f} s, but the header announces "
        f"{reader.header.duration_seconds:.3f} s."
    )
