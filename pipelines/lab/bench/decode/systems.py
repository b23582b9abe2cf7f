"""The systems that `bench decode` measures, each written as its users would write it.

A system is a context manager. Entering it imports and starts whatever lives for hundreds of videos, and gives a
function from `Work` to frames.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import NamedTuple

import numpy as np

from framegate.pipelines.lab.bench.decode.work import Work


class Taken(NamedTuple):
    """Decoded frames (uint8 RGB). `bytes_read` from storage is None where the system does not count it itself."""

    frames_THWC: np.ndarray
    bytes_read: int | None = None


Decode = Callable[[Work], Taken]


@contextmanager
def framegate_sandbox() -> Iterator[Decode]:
    """What the decode stage does: a confined child decodes, this process fetches the bytes that it asks for."""
    from framegate.pipelines.decode.sandbox.sandbox import Sandbox
    from framegate.pipelines.store import Store
    from framegate.schemas.config import DecodeConfig

    with Sandbox(DecodeConfig()) as sandbox:

        def decode(work: Work) -> Taken:
            with Store().open_pinned(work.video) as pinned:
                with sandbox.open("pyav", pinned) as reader:
                    frames_THWC = reader.read(work.times_seconds, height=work.height, width=work.width).frames_THWC
                return Taken(frames_THWC, pinned.bytes_read)

        yield decode


@contextmanager
def framegate_in_process() -> Iterator[Decode]:
    """The same reader without the child."""
    from framegate.pipelines.decode.readers.blocks import RangeFile
    from framegate.pipelines.decode.readers.reader import open_reader, reader_class
    from framegate.pipelines.store import Store

    reader_class("pyav")  # imports the package

    def decode(work: Work) -> Taken:
        with Store().open_pinned(work.video) as pinned, RangeFile(pinned.read, pinned.size_bytes) as file:
            with open_reader("pyav", file) as reader:
                frames_THWC = reader.read(work.times_seconds, height=work.height, width=work.width).frames_THWC
            return Taken(frames_THWC, pinned.bytes_read)

    yield decode


@contextmanager
def decord() -> Iterator[Decode]:
    """Plain decord: random access by frame number, its own choice of threads."""
    import decord

    def decode(work: Work) -> Taken:
        video = decord.VideoReader(work.path, width=work.width, height=work.height)
        return Taken(video.get_batch(list(work.frame_indices)).asnumpy())

    yield decode


@contextmanager
def pyav_sequential() -> Iterator[Decode]:
    """Plain PyAV: decode from the start to the last wanted frame, keep the wanted ones. FFmpeg chooses the threads."""
    import av

    def decode(work: Work) -> Taken:
        wanted, kept = set(work.frame_indices), []
        with av.open(work.path) as container:
            stream = container.streams.best("video")
            assert isinstance(stream, av.VideoStream), "the header was read before"
            stream.thread_type = "AUTO"
            for index, frame in enumerate(container.decode(stream)):
                if index in wanted:
                    small = frame.reformat(work.width, work.height, "rgb24")
                    kept.append(small.to_ndarray())
                    if len(kept) == len(wanted):
                        break
        return Taken(np.stack(kept))

    yield decode


@contextmanager
def ray_read_videos() -> Iterator[Decode]:
    """`ray.data.read_videos` at its best: frames are scaled in the decoder, thinned out, and streamed.

    It decodes every frame of the file whatever is kept. Without `resize` and `fps` all frames would also cross the
    object store in full size: 25 GB for five minutes of 720p.
    """
    from framegate.pipelines.driver.cluster import start_ray
    from framegate.schemas.config import RayConfig

    start_ray(RayConfig())
    import ray

    ray.data.DataContext.get_current().enable_progress_bars = False

    def decode(work: Work) -> Taken:
        videos = ray.data.read_videos(work.path, resize=(work.height, work.width), fps=work.grid_fps)
        kept: dict[int, np.ndarray] = {}
        wanted = np.array(work.frame_indices)
        for batch in videos.iter_batches(batch_size=None, batch_format="numpy"):
            indices, frames_THWC = np.asarray(batch["frame_index"]), np.asarray(batch["frame"])
            for row in np.flatnonzero(np.isin(indices, wanted)):
                kept[int(indices[row])] = frames_THWC[row].copy()  # the batch lies in the object store
        return Taken(np.stack([kept[index] for index in sorted(kept)]))

    try:
        yield decode
    finally:
        ray.shutdown()


SYSTEMS: dict[str, Callable[[], AbstractContextManager[Decode]]] = {
    "framegate_sandbox": framegate_sandbox,
    "framegate_in_process": framegate_in_process,
    "decord": decord,
    "pyav_sequential": pyav_sequential,
    "ray_read_videos": ray_read_videos,
}
