"""One way through one video: its clips in order, those that still miss something with their frames.

Knows what a plan asks of a video and how clips are cut and looked at; nothing of storage, units or what becomes of an
error.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace

from framegate.pipelines.decode.policy import Policy
from framegate.pipelines.decode.readers.reader import Reader
from framegate.pipelines.decode.slots import Source
from framegate.pipelines.decode.split import split
from framegate.schemas.clip import Clip, FrameBatch
from framegate.schemas.errors import TruncatedVideo
from framegate.schemas.unit import DecodedClip, PlannedVideo


class Walk:
    """The way through one planned video. It can be gone on with another reader where one reader failed.

    next_index   the first clip that is not behind us: where a walk breaks off, the clip that could not be read
    """

    def __init__(self, planned: PlannedVideo, policy: Policy) -> None:
        self.next_index = 0
        self._last_start = -1.0
        self._planned = planned
        self._policy = policy

    def clips(self, reader: Reader, source: Source) -> Iterator[DecodedClip]:
        """What `reader` gives of `source` from `next_index` on; clips that miss nothing are passed over unread.

        A clip comes out when the next one has been read, because only then is it known whether it is the last: a
        picture may end long before the container says. Raises VideoError, StorageError after the clips that are whole.
        """
        held: DecodedClip | None = None
        num_bytes = 0  # counted from 0, so that the first clip has what opening the file took
        try:
            for start, end in split(reader, self._policy.clips):
                if start <= self._last_start:
                    continue
                decoded, has_ended = None, False
                if self._planned.missing(self.next_index):
                    decoded, has_ended = self._read(reader, start, end)
                    if decoded is None and held is not None and not reader.header.is_cut_short:
                        break
                    if decoded is None:
                        raise _ends_early(reader, start)
                    decoded = replace(decoded, bytes_read=source.bytes_read - num_bytes)
                    num_bytes += decoded.bytes_read
                if held is not None:
                    yield held
                held, self._last_start = decoded, start
                self.next_index += 1
                if has_ended and reader.header.is_cut_short:
                    raise _ends_early(reader, float(decoded.frames.pts_seconds[-1]) if decoded else start)
                if has_ended:
                    break
        except Exception:
            if held is not None:
                yield held
            raise
        is_cut_short = reader.header.is_cut_short  # its duration is then that of what is there
        if held is not None:
            yield replace(held, is_last=not is_cut_short, is_truncated=is_cut_short)
        if is_cut_short:
            raise TruncatedVideo(
                "The file is shorter than its container says; the video goes on after "
                f"{reader.header.duration_seconds:.3f} s, where the file ends."
            )

    def _read(self, reader: Reader, start: float, end: float) -> tuple[DecodedClip | None, bool]:
        """The clip [start, end), None where no frame of it is left; and whether the video ended in it."""
        began = time.perf_counter()
        header = reader.header
        plan = self._policy.plan(start, end, header)
        frames_THWC, pts_seconds, has_ended = reader.read(plan.times_seconds, height=plan.height, width=plan.width)
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
