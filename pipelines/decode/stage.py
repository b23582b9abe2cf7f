"""Planned videos in, units of decoded clips out: a plain callable over Arrow tables.

Knows storage and decoders; nothing of Ray, questions or models. No video can stop the run: whatever goes wrong with one
ends it with a failure, after the units that could be decoded.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping

import pyarrow as pa

from pipelines.decode.blocks import RangeFile
from pipelines.decode.reader import Reader, decoder_version, open_reader
from pipelines.decode.select import frame_times, split
from pipelines.store import Store
from schemas.clip import Clip, FrameBatch
from schemas.config import ClipsConfig, FramesConfig
from schemas.errors import (
    DecodeFailed,
    FramegateError,
    MemoryLimit,
    SourceChanged,
    TruncatedVideo,
)
from schemas.pixels import fit_frames
from schemas.rows import Failure
from schemas.tables import DECODED
from schemas.work import DecodedClip, DecodedUnit, PlannedVideo, to_table

# One unit is one row: it crosses the object store whole, and is lost whole when a machine is.
MAX_UNIT_FRAME_BYTES = 32 * 1024 * 1024


class DecodeStage:
    """PLANNED rows to DECODED rows. `factor` and `temporal_patch` are the vision tower's (`schemas.pixels`)."""

    def __init__(
        self,
        *,
        frames: FramesConfig,
        clips: ClipsConfig,
        storage_options: Mapping[str, object],
        factor: int = 28,
        temporal_patch: int = 2,
    ) -> None:
        self._frames = frames
        self._clips = clips
        self._store = Store(storage_options)
        self._factor = factor
        self._temporal_patch = temporal_patch
        self._decoder = f"{frames.decoders[0]}-{decoder_version(frames.decoders[0])}"

    def __call__(self, batch: pa.Table) -> Iterator[pa.Table]:
        """Yields each unit as soon as it is full, one row per table."""
        for planned in PlannedVideo.from_table(batch):
            for unit in self._decode(planned):
                yield to_table([unit], DECODED)

    def _decode(self, planned: PlannedVideo) -> Iterator[DecodedUnit]:
        """The video's units; clips that miss nothing are passed over. At most one failure, and it comes last."""
        unit: list[DecodedClip] = []
        asked: tuple[str, ...] = ()  # what the clips of the open unit miss
        clip_index: int | None = None
        failure: Failure | None = None
        try:
            with self._open(planned) as reader:
                stretches = split(reader.header.duration_seconds, self._clips)
                for clip_index, stretch in enumerate(stretches):  # where it stops, the failure says so
                    missing = planned.missing(clip_index)
                    decoded = []
                    if missing:
                        clip = Clip(
                            video_id=planned.video.video_id,
                            index=clip_index,
                            start_seconds=stretch[0],
                            end_seconds=stretch[1],
                        )
                        decoded = [self._read(reader, clip, is_last=clip_index == len(stretches) - 1)]
                    if unit and (missing != asked or _frame_bytes(unit + decoded) > MAX_UNIT_FRAME_BYTES):
                        yield self._unit(planned, asked, unit)
                        unit = []
                    unit += decoded
                    asked = missing
        except Exception as error:
            failure = _failure(error)
        if unit:
            yield self._unit(planned, asked, unit)
        if failure is not None:
            yield DecodedUnit(
                video=planned.video,
                question_hashes=planned.question_hashes,
                decoder=self._decoder,
                failure=failure,
                failed_clip_index=clip_index,
            )

    def _open(self, planned: PlannedVideo) -> Reader:
        video = planned.video
        found = self._store.stat(video.uri)
        if found.version != video.version:
            raise SourceChanged(
                f"The video was version {video.version} when the run was planned and is {found.version} now; "
                "run the job again."
            )
        return open_reader(self._frames.decoders[0], RangeFile.of(self._store.read(video.uri)))

    def _read(self, reader: Reader, clip: Clip, *, is_last: bool) -> DecodedClip:
        started = time.perf_counter()
        limits, header = self._frames, reader.header
        times = frame_times(clip.start_seconds, clip.end_seconds, fps=limits.fps, max_frames=limits.max_frames)
        height, width = fit_frames(
            len(times),
            header.display_height,
            header.display_width,
            factor=self._factor,
            temporal_patch=self._temporal_patch,
            limits=limits,
        )
        frames_THWC, pts_seconds, _ = reader.read(times, height=height, width=width)
        if len(pts_seconds) == 0:
            raise TruncatedVideo(
                f"No frame can be decoded from {clip.start_seconds:.3f} s on, but the header announces "
                f"{header.duration_seconds:.3f} s."
            )
        return DecodedClip(
            clip=clip,
            frames=FrameBatch(
                frames_THWC=frames_THWC,
                pts_seconds=pts_seconds,
                duration_seconds=clip.end_seconds - clip.start_seconds,
            ),
            is_last=is_last,
            decode_seconds=time.perf_counter() - started,
        )

    def _unit(self, planned: PlannedVideo, question_hashes: tuple[str, ...], clips: list[DecodedClip]) -> DecodedUnit:
        return DecodedUnit(
            video=planned.video, question_hashes=question_hashes, decoder=self._decoder, clips=tuple(clips)
        )


def _frame_bytes(clips: list[DecodedClip]) -> int:
    return sum(decoded.frames.frames_THWC.nbytes for decoded in clips)


def _failure(error: Exception) -> Failure:
    if isinstance(error, MemoryError):
        error = MemoryLimit("The decoder asked for more memory than there is.")
    elif not isinstance(error, FramegateError):
        error = DecodeFailed(f"The decoder failed in an unforeseen way: {type(error).__name__}: {error}")
    return Failure(stage="decode", reason=getattr(error, "reason", DecodeFailed.reason), message=str(error))
