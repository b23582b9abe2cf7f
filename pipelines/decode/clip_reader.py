"""The clips of one video, read in order: each stretch that has open questions, with its frames."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice

from framegate.pipelines.decode.kept_frames import KeptFrames, clips_overlap
from framegate.pipelines.decode.part import clips_of_part, is_shared
from framegate.pipelines.decode.policy import Policy
from framegate.pipelines.decode.readers.reader import Reader, Source, VideoHeader
from framegate.pipelines.decode.readers.timeline import TICK_SECONDS
from framegate.pipelines.decode.scan import Scan
from framegate.pipelines.decode.scan_sharing import CutsBoard, LocalCutsBoard, SharedScan
from framegate.pipelines.decode.scene_bounds import ScenePart, find_scene_part
from framegate.pipelines.decode.slices import read_in_slices
from framegate.pipelines.decode.split import split, split_duration
from framegate.schemas.clip import Clip, FrameBatch
from framegate.schemas.errors import DecoderCrash, DecodeTimeout, MemoryLimit, TruncatedVideo, VideoError
from framegate.schemas.unit import DecodedClip, PlannedVideo

MAX_COUNTED = 100_000  # clips of 30 s in 35 days; a damaged header may announce more than can be counted


class ClipReader:
    """The clips of one planned video, or of the part of it that is planned. Where one reader fails, another one can go
    on from the same clip.

    next_index          the first clip that is not done: after a failure, the clip that could not be read
    is_to_be_reopened   the scan for scenes ended the reader. Once the video is open again it goes on without that place
    video_clips         how many clips the whole video will have, as far as is known; None before it was opened
    """

    def __init__(
        self, planned: PlannedVideo, policy: Policy, board: CutsBoard | None = None, *, keeps_frames: bool = True
    ) -> None:
        """`board` says what other workers found of a video with scenes; without it all is scanned here. Without
        `keeps_frames`, each overlapping clip is decoded alone, for comparison: its frames are the same."""
        self.next_index = 0
        self.is_to_be_reopened = False
        self.video_clips: float | None = None
        self._seconds_read, self._num_read = 0.0, 0  # of clips
        self._last_start_seconds: float | None = None  # of the clip before `next_index`
        self._clips: range | None = None  # of this part
        self._scenes: ScenePart | None = None
        self._board = LocalCutsBoard() if board is None else board
        self._is_whole = planned.num_parts == 1
        self._planned = planned
        self._policy = policy
        self._keeps_frames = keeps_frames and clips_overlap(policy.clips)

    def read(self, reader: Reader, source: Source, decoder: str = "") -> Iterator[DecodedClip]:
        """The clips from `next_index` on, as `reader` decodes `source`. Clips without open questions are not read.
        `decoder` names what decodes: scans of different decoders are kept apart.

        A clip comes out when the next one has been read, because only then is it known whether it is the last: a
        picture may end long before the container says. Of a part, the first frame of the clip behind it is looked for.
        Raises VideoError, StorageError after the clips that are whole. All parts of a video together give the same
        clips as one worker would, and raise once that it breaks off; but parts behind a place that cannot be decoded go
        on. A video that is known to break off at a clip (`planned.breaks_off`) ends there without a word.
        """
        if self._keeps_frames:
            reader = KeptFrames(reader)
        if not self._policy.clips.scenes:
            self.video_clips = self._count_clips(reader.header)
        if not self._is_whole and self._clips is None:
            self._find_clips(reader, source, decoder)
        try:
            yield from self._read(reader, source)
        except _ToldElsewhere:
            return
        except TruncatedVideo:
            if self.next_index != self._planned.breaks_off:
                raise

    def _read(self, reader: Reader, source: Source) -> Iterator[DecodedClip]:
        if self._clips is not None and not self._clips:
            if self._scenes is not None and self._scenes.error is not None and self._scenes.tells:
                raise self._scenes.error
            return
        held: DecodedClip | None = None
        num_bytes = 0  # counted from 0, so that the first clip includes the bytes that opening the file took
        try:
            for start, end in self._stretches(reader):
                if self.next_index == self._planned.breaks_off:
                    if held is not None:
                        yield held
                    return
                if self._clips is not None and self.next_index == self._clips.stop:
                    if held is None:
                        return
                    is_last = self._planned.missing(self.next_index) and not self._shows_more(reader, start, end)
                    held = replace(held, bytes_read=held.bytes_read + source.bytes_read - num_bytes)
                    if not is_last:
                        yield held
                        return
                    if reader.header.is_cut_short:
                        raise _ends_early(reader, start)
                    break
                decoded, has_ended = None, False
                if self._planned.missing(self.next_index):
                    decoded, has_ended = self._read_clip(reader, start, end)
                    if decoded is not None and _shows_nothing_more(reader, decoded):
                        if held is not None:
                            break
                        if self._is_told_before():
                            return
                    if decoded is None and held is not None and not reader.header.is_cut_short:
                        break
                    if decoded is None and self._is_told_before():
                        return
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
        if self._clips is not None and not self._clips:
            return
        is_cut_short = reader.header.is_cut_short  # the header's duration then ends where the file does
        if held is not None:
            yield replace(held, is_last=not is_cut_short, is_truncated=is_cut_short)
        if is_cut_short:
            raise TruncatedVideo(
                "The file is shorter than its container says; the video goes on after "
                f"{reader.header.duration_seconds:.3f} s, where the file ends."
            )

    def _count_clips(self, header: VideoHeader) -> float:
        """All that the header announces, up to where the video is known to break off."""
        clips = self._policy.clips
        if clips.scenes:  # as long as those so far were
            number = header.duration_seconds * self._num_read / self._seconds_read
        else:
            stretches = split_duration(header.duration_seconds, clips, header.gaps)
            number = sum(1 for _ in islice(stretches, MAX_COUNTED))
        known = self._planned.breaks_off
        return number if known is None else min(number, known)

    def _find_clips(self, reader: Reader, source: Source, decoder: str) -> None:
        planned, clips = self._planned, self._policy.clips
        if not is_shared(planned, reader.header, clips, opening_bytes=source.bytes_read):
            self._is_whole = planned.part == 0
            self._clips = None if self._is_whole else range(0)
            return
        if clips.scenes:
            self._scenes = self._find_scenes(reader, decoder)
            self._clips = self._scenes.clips
        else:
            self._clips = clips_of_part(planned, reader.header, clips)
        self.next_index = self._clips.start

    def _find_scenes(self, reader: Reader, decoder: str) -> ScenePart:
        clips = self._policy.clips
        scan = Scan(reader, clips.scene_threshold)
        shared = SharedScan(scan, self._board, f"{self._planned.video.video_id} {decoder}")
        try:
            return find_scene_part(self._planned, reader.header, clips, shared)
        finally:
            self.is_to_be_reopened = shared.is_reader_gone

    def _stretches(self, reader: Reader) -> Iterator[tuple[float, float]]:
        """Those from `next_index` on; none, and no clips any more, where the video ended before this part."""
        before: tuple[float, float] | None = None
        for number, (start, end) in enumerate(self._split(reader)):
            if self._last_start_seconds is None:
                if number < self.next_index:
                    before = start, end
                    continue
                if number == self.next_index and before is not None and self._ends_before(reader, *before):
                    self._clips = range(0)
                    return
            elif start <= self._last_start_seconds:
                continue
            yield start, end

    def _split(self, reader: Reader) -> Iterator[tuple[float, float]]:
        if self._scenes is None:
            yield from split(reader, self._policy.clips)
            return
        yield from self._scenes.stretches
        if self._scenes.error is not None:
            raise self._scenes.error if self._scenes.tells else _ToldElsewhere

    def _is_told_before(self) -> bool:
        """Whether the part before this one finds that no frame follows, and says so."""
        first = 0 if self._clips is None else self._clips.start
        return 0 < first == self.next_index and bool(self._planned.missing(first - 1))

    def _ends_before(self, reader: Reader, start: float, end: float) -> bool:
        """Whether the video ends in the clip before this part, or cannot be decoded there: that part says so."""
        if not self._planned.missing(self.next_index - 1):
            return False
        targets = self._policy.targets(start, end, reader.header)
        try:
            last = reader.read(targets.times_seconds[-1:], height=targets.height, width=targets.width)
        except (DecodeTimeout, DecoderCrash, MemoryLimit):  # the reader is gone
            raise
        except VideoError:
            return True
        return last.has_ended or len(last.pts_seconds) == 0

    def _shows_more(self, reader: Reader, start: float, end: float) -> bool:
        """Whether the clip behind this part has a frame. What goes wrong there is told by the part that it is of."""
        targets = self._policy.targets(start, end, reader.header)
        is_last = end >= reader.header.duration_seconds - TICK_SECONDS
        times_seconds = targets.times_seconds if is_last else targets.times_seconds[:1]
        try:
            pts_seconds = reader.read(times_seconds, height=targets.height, width=targets.width)[1]
            return len(pts_seconds) > 0 and not (is_last and pts_seconds[-1] < start - TICK_SECONDS)
        except VideoError:
            return True

    def _read_clip(self, reader: Reader, start: float, end: float) -> tuple[DecodedClip | None, bool]:
        """The clip [start, end), None where the video has no frame there; and whether the video ended in it."""
        began = time.perf_counter()
        header = reader.header
        targets = self._policy.targets(start, end, header)
        height, width = targets.height, targets.width
        if self._keeps_frames:
            selection = reader.read(targets.times_seconds, height=height, width=width)
        else:
            selection = read_in_slices(reader, targets.times_seconds, height=height, width=width)
        frames_THWC, pts_seconds, has_ended = selection
        if len(pts_seconds) == 0:
            return None, True
        self._seconds_read, self._num_read = self._seconds_read + end - start, self._num_read + 1
        if self._policy.clips.scenes:
            self.video_clips = self._count_clips(header)
        clip = DecodedClip(
            clip=Clip(
                video_id=self._planned.video.video_id, index=self.next_index, start_seconds=start, end_seconds=end
            ),
            frames=FrameBatch(frames_THWC=frames_THWC, pts_seconds=pts_seconds, duration_seconds=end - start),
            is_last=False,
            is_truncated=has_ended and header.is_cut_short,
            is_letterboxed=selection.is_letterboxed,
            decode_seconds=time.perf_counter() - began,
        )
        return clip, has_ended


class _ToldElsewhere(Exception):
    """What lies behind is not known, and the part that it is of says why."""


def _shows_nothing_more(reader: Reader, decoded: DecodedClip) -> bool:
    """Whether the clip is the last one of the video and has no frame of its own: sound goes on after the last picture.

    A gap that opening did not see stays a clip, for the numbers of the clips behind it do not know of it.
    """
    header, clip = reader.header, decoded.clip
    is_last = clip.end_seconds >= header.duration_seconds - TICK_SECONDS and not header.is_cut_short
    return is_last and decoded.frames.pts_seconds[-1] < clip.start_seconds - TICK_SECONDS


def _ends_early(reader: Reader, seconds: float) -> TruncatedVideo:
    return TruncatedVideo(
        f"No frame can be decoded after {seconds:.3f} s, but the header announces "
        f"{reader.header.duration_seconds:.3f} s."
    )
