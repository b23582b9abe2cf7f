"""The decode stage: a planned video, or a part of one, in, units of decoded clips out.

No video can stop the run: whatever goes wrong with a video ends it with a failure, after the units that could be
decoded.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import asdict, replace
from datetime import UTC, datetime

from framegate.pipelines.decode.clip_look import look_at
from framegate.pipelines.decode.clip_reader import ClipReader
from framegate.pipelines.decode.decoder_host import TRY_NEXT_DECODER, make_host
from framegate.pipelines.decode.part import group_clips
from framegate.pipelines.decode.policy import Policy
from framegate.pipelines.decode.readers.reader import VideoHeader, decoder_version
from framegate.pipelines.decode.scan_sharing import CutsBoard
from framegate.pipelines.decode.still import StillFinder
from framegate.pipelines.store import Store
from framegate.schemas.clip import Video, VideoFacts
from framegate.schemas.config import DecodeConfig
from framegate.schemas.errors import (
    ConfigError,
    CredentialsError,
    DecodeFailed,
    FramegateError,
    MemoryLimit,
    ObjectNotFound,
    SandboxError,
    SourceGone,
    StorageError,
)
from framegate.schemas.retries import wait_after
from framegate.schemas.still import StillClips
from framegate.schemas.unit import DecodedClip, DecodedUnit, Failure, PlannedVideo

# One unit is one row: it crosses the object store whole, and is lost whole when a machine is.
MAX_UNIT_FRAME_BYTES = 16 * 1024 * 1024


class DecodeStage:
    """Decodes one video after the other, with one decoding process for all of them."""

    def __init__(
        self,
        *,
        policy: Policy,
        decode: DecodeConfig | None = None,
        storage_options: Mapping[str, object],
        still: StillClips | None = None,
        board: CutsBoard | None = None,
    ) -> None:
        """`still` tells which answers may be taken over; None: none are. `board` is what workers know of each other's
        scans for scenes."""
        decoders = policy.frames.decoders
        self._policy, self._board, self._still = policy, board, still
        self._group_clips = group_clips(policy.clips)
        self._store = Store(storage_options)
        self._labels = {name: f"{name}-{decoder_version(name)}" for name in decoders}
        self._host = make_host(decode or DecodeConfig(), decoders)

    def decode(self, planned: PlannedVideo) -> Iterator[DecodedUnit]:
        """Yields each unit as soon as it is full, without clips that have no open question. At most one failure comes,
        and it comes last. Raises what no video has caused: ConfigError, CredentialsError, SandboxError."""
        video, clip_reader, unit = (
            planned.video,
            ClipReader(planned, self._policy, self._board),
            _OpenUnit(planned, self._group_clips, self._finder(planned)),
        )
        failure = None if video.refusal is None else Failure(stage="decode", **asdict(video.refusal))
        has_opened, num_bytes, label = False, 0, ""
        for name, label in self._tries(clip_reader) if failure is None else ():
            try:
                with closing(self._store.open_pinned(video)) as source:
                    try:
                        with self._host.open(name, source) as reader:
                            has_opened = True
                            unit.facts = facts_of(reader.header)
                            for decoded in clip_reader.read(reader, source, label):
                                num_bytes -= decoded.bytes_read
                                unit.video_clips = clip_reader.video_clips
                                yield from unit.add(replace(decoded, look=look_at(decoded.frames)), label)
                    finally:
                        num_bytes += source.bytes_read
                failure = None
                break
            except (
                ConfigError,
                CredentialsError,
                SandboxError,
            ):  # not caused by this video: others would fail, too
                raise
            except Exception as error:
                failure = self._gone(video) if isinstance(error, ObjectNotFound) else _failure(error)
                if failure.reason not in TRY_NEXT_DECODER:
                    break
        yield from unit.close()
        first = clip_reader.next_index if has_opened else None
        wanted = planned.wanted_from(first)
        if wanted is not None and not wanted:
            return  # of what has no frames nothing was to be deepened
        if failure is not None and (has_opened or not _is_told_by_first_part(planned, failure)):
            yield DecodedUnit(
                video=video,
                question_hashes=planned.question_hashes,
                attempts=(),
                decoder=label,
                failure=failure,
                failed_clip_index=first,
                failed_bytes_read=num_bytes,
                failed_attempt=planned.undecoded_attempts + 1,
                wanted=wanted,
            )

    def _finder(self, planned: PlannedVideo) -> StillFinder | None:
        if self._still is None:
            return None
        return StillFinder(planned=planned, still=self._still, temporal_patch=self._policy.temporal_patch)

    def _tries(self, clip_reader: ClipReader) -> Iterator[tuple[str, str]]:
        """What decodes, one decoder after the other, as long as they fail; one whose scan failed again from there."""
        for name, label in self._labels.items():
            yield name, label
            while clip_reader.is_to_be_reopened:
                clip_reader.is_to_be_reopened = False
                yield name, label

    def _gone(self, video: Video) -> Failure:
        try:
            self._store.check_bucket(video.object_uri)
        except StorageError as error:  # the bucket is away as well, which says nothing of the video
            return _failure(error)
        return _failure(SourceGone("It was there when the run was planned, and was deleted since."))

    def close(self) -> None:
        """Ends the decoding process, if there is one; it also ends with this process, whatever ends that."""
        self._host.close()


class _OpenUnit:
    """Clips that are collected into one unit: consecutive, of one group, with the same open questions and attempts, by
    one decoder, and small enough together. `still` finds those that show what one before showed."""

    def __init__(self, planned: PlannedVideo, size: int, still: StillFinder | None = None) -> None:
        self._planned = planned
        self._group_clips = size
        self._still = still
        self.video_clips: float | None = None
        self.facts: VideoFacts | None = None
        self._clips: list[DecodedClip] = []
        self._key: tuple[tuple[str, ...], tuple[int, ...], str] = ((), (), "")

    def add(self, decoded: DecodedClip, decoder: str) -> Iterator[DecodedUnit]:
        """Yields the unit so far where `decoded` does not belong to it, then begins a new one."""
        missing = self._planned.missing(decoded.clip.index)
        key = (missing, self._planned.attempts_at(decoded.clip.index, missing), decoder)
        follows = not self._clips or self._clips[-1].clip.index + 1 == decoded.clip.index
        begins_group = decoded.clip.index % self._group_clips == 0
        if key != self._key or not follows or begins_group:
            yield from self.close()
        self._key = key
        if self._still is not None:
            decoded = self._still.look(decoded, self._clips)
        if _frame_bytes([*self._clips, decoded]) > MAX_UNIT_FRAME_BYTES and decoded.same_as is None:
            yield from self.close()
        self._clips.append(decoded)

    def close(self) -> Iterator[DecodedUnit]:
        """What is left, if anything."""
        if self._clips:
            hashes, attempts, decoder = self._key
            yield DecodedUnit(
                video=self._planned.video,
                question_hashes=hashes,
                attempts=attempts,
                decoder=decoder,
                clips=tuple(self._clips),
                video_clips=self.video_clips,
                facts=self.facts,
                wanted=self._planned.wanted_of(decoded.clip.index for decoded in self._clips),
            )
        self._clips = []


def facts_of(header: VideoHeader) -> VideoFacts:
    """What is kept of a video's header."""
    created = header.created_seconds
    return VideoFacts(
        duration_seconds=header.duration_seconds,
        container=header.container,
        codec=header.codec,
        fps=header.fps,
        height=header.display_height,
        width=header.display_width,
        rotation=header.rotation,
        created_at=None if created is None else datetime.fromtimestamp(created, UTC),
    )


def _frame_bytes(clips: list[DecodedClip]) -> int:
    """Of clips that are asked; `pipelines.decode.still` bounds the others."""
    return sum(decoded.frames.frames_THWC.nbytes for decoded in clips if decoded.same_as is None)


def _is_told_by_first_part(planned: PlannedVideo, failure: Failure) -> bool:
    """Whether a video that could not be opened gave this part what the first part gets, too: it lies in the file."""
    return planned.part > 0 and wait_after(failure.reason, 1) is None


def _failure(error: Exception) -> Failure:
    if isinstance(error, MemoryError):
        error = MemoryLimit("The decoder asked for more memory than there is.")
    elif not isinstance(error, FramegateError):
        error = DecodeFailed(f"The decoder failed in an unforeseen way ({type(error).__name__}: {error}).")
    return Failure(stage="decode", reason=getattr(error, "reason", DecodeFailed.reason), message=str(error))
