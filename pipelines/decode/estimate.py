"""Estimates what decoding a video would give, from its header and first frame: clips, frames, video tokens, bytes.

Videos are opened as the stage opens them, in the same kind of host and by the same ranges.
"""

from __future__ import annotations

import queue
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass

from framegate.pipelines.decode.decoder_host import TRY_NEXT_DECODER, DecoderHost, make_host
from framegate.pipelines.decode.policy import Policy
from framegate.pipelines.decode.readers.reader import Reader, VideoHeader
from framegate.pipelines.decode.split import split, split_duration
from framegate.pipelines.store import Store
from framegate.schemas.clip import Video
from framegate.schemas.config import ClipsConfig, DecodeConfig
from framegate.schemas.errors import StorageError, VideoError, video_error
from framegate.schemas.pixels import count_video_tokens

NUM_PROBE_HOSTS = 2  # processes with a decoder; headers are small, so most of the time they wait for storage
MAX_COUNTED_TIMES = 4096  # that are sent to a decoder process in one message


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """Sums over a video's clips. Tokens are the video's own, prefilled once per clip whatever is asked of it.

    bytes_to_read   from storage: each byte that opening the file or any clip needs, counted once, plus those of a scan
                    for scenes; None where the file has no index that tells
    """

    num_clips: int
    num_frames: int
    num_video_tokens: int
    bytes_to_read: int | None


@dataclass(frozen=True, kw_only=True)
class Probed:
    """A video that can be opened."""

    header: VideoHeader
    estimate: Estimate


def probe_videos(
    videos: Iterable[Video],
    *,
    policy: Policy,
    decode: DecodeConfig,
    storage_options: Mapping[str, object],
    scans: bool = False,
) -> Iterator[Probed | VideoError | StorageError]:
    """Each video's header and estimate, or its error, in order; NUM_PROBE_HOSTS at a time.

    `scans`: where clips are scenes, scenes are searched, which reads and decodes the whole video. Otherwise clips of
    `seconds` are assumed. Raises ConfigError where no clip can keep to the token budget.
    """
    policy.check()
    store = Store(storage_options)
    with ExitStack() as stack:
        free: queue.SimpleQueue[DecoderHost] = queue.SimpleQueue()
        for _ in range(NUM_PROBE_HOSTS):
            free.put(stack.enter_context(closing(make_host(decode, policy.frames.decoders))))

        def probe_one(video: Video) -> Probed | VideoError | StorageError:
            host = free.get()
            try:
                return probe(video, store=store, host=host, policy=policy, scans=scans)
            except (VideoError, StorageError) as error:
                return error
            finally:
                free.put(host)

        threads = stack.enter_context(ThreadPoolExecutor(NUM_PROBE_HOSTS))
        yield from threads.map(probe_one, videos)


def probe(video: Video, *, store: Store, host: DecoderHost, policy: Policy, scans: bool = False) -> Probed:
    """One video, by the first decoder that can open it. Raises VideoError, StorageError; see `probe_videos`."""
    if video.refusal is not None:
        raise video_error(video.refusal.reason, video.refusal.message)
    *others, last = policy.frames.decoders
    for name in others:
        try:
            return _probe(name, video, store, host, policy, scans)
        except VideoError as error:
            if error.reason not in TRY_NEXT_DECODER:
                raise
    return _probe(last, video, store, host, policy, scans)


def _probe(name: str, video: Video, store: Store, host: DecoderHost, policy: Policy, scans: bool) -> Probed:
    with closing(store.open_pinned(video)) as source, host.open(name, source) as reader:
        clips, header, opening_bytes = policy.clips, reader.header, source.bytes_read
        if clips.scenes and not scans:
            longest = ClipsConfig(seconds=clips.seconds, min_seconds=clips.min_seconds)
            stretches = split_duration(header.duration_seconds, longest, header.gaps)
        else:
            stretches = split(reader, clips)
        num_clips = num_frames = num_video_tokens = 0
        counter = _ByteCounter(reader)
        for start, end in stretches:
            targets = policy.targets(start, end, header)
            num_clips += 1
            num_frames += len(targets.times_seconds)
            num_video_tokens += count_video_tokens(
                len(targets.times_seconds),
                targets.height,
                targets.width,
                factor=policy.factor,
                temporal_patch=policy.temporal_patch,
            )
            counter.add(targets.times_seconds)
        scan_bytes = source.bytes_read - opening_bytes
        clip_bytes = counter.total()
        return Probed(
            header=header,
            estimate=Estimate(
                num_clips=num_clips,
                num_frames=num_frames,
                num_video_tokens=num_video_tokens,
                bytes_to_read=None
                if clip_bytes is None
                else scan_bytes + min(opening_bytes + clip_bytes, source.size_bytes),
            ),
        )


class _ByteCounter:
    """Sums the bytes of a file that clips need; neighbouring clips together, because they share groups of pictures."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._waiting: list[float] = []
        self._num_bytes: int | None = 0

    def add(self, times_seconds: Sequence[float]) -> None:
        self._waiting += times_seconds
        if len(self._waiting) >= MAX_COUNTED_TIMES:
            self._count()

    def total(self) -> int | None:
        """None where the file has no index that tells."""
        self._count()
        return self._num_bytes

    def _count(self) -> None:
        if self._waiting and self._num_bytes is not None:
            num_bytes = self._reader.count_bytes(sorted(self._waiting))
            self._num_bytes = None if num_bytes is None else self._num_bytes + num_bytes
        self._waiting = []
