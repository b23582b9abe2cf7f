"""Videos through the decode stage, and what a process holds before and after."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from framegate.pipelines.decode.policy import Policy
from framegate.pipelines.decode.stage import DecodeStage
from framegate.pipelines.store import Store
from framegate.schemas.clip import Refusal, Video
from framegate.schemas.config import ClipsConfig, DecodeConfig, FramesConfig
from framegate.schemas.unit import DecodedClip, DecodedUnit, PlannedVideo

HASHES = ("q1", "q2")
SMALL = {"fps": 2.0, "max_frames": 4, "min_frame_pixels": 56 * 56, "max_frame_pixels": 56 * 84}
CLIP_SECONDS = 2.0
OTHER_SOCKETS = 3  # of a Ray driver that an earlier test has started in this process: they come and go


def planned(path: Path, *, version: str | None = None, refusal: Refusal | None = None) -> PlannedVideo:
    info = Store().stat(str(path))
    video = Video(uri=str(path), version=version or info.version, size_bytes=info.size_bytes, refusal=refusal)
    return PlannedVideo(video=video, question_hashes=HASHES)


def make_stage(*decoders: str, clip_seconds: float = CLIP_SECONDS, **limits: object) -> DecodeStage:
    return DecodeStage(
        policy=Policy(
            frames=FramesConfig.model_validate({**SMALL, "decoder": decoders}), clips=ClipsConfig(seconds=clip_seconds)
        ),
        decode=DecodeConfig.model_validate(limits),
        storage_options={},
    )


def decode_all(stage: DecodeStage, videos: Iterable[PlannedVideo]) -> dict[str, list[DecodedUnit]]:
    """The units of every video, by the stem of its file's name."""
    found: dict[str, list[DecodedUnit]] = {}
    for video in videos:
        for unit in stage.decode(video):
            found.setdefault(Path(unit.video.uri).stem, []).append(unit)
    return found


def clips_of(units: Iterable[DecodedUnit]) -> list[DecodedClip]:
    return [decoded for unit in units for decoded in unit.clips]


def reason_of(units: list[DecodedUnit]) -> str | None:
    """Of the failure that ends a video; None where all of it has frames. A failure comes once, and last."""
    assert units, "a planned video has vanished"
    assert all(unit.failure is None for unit in units[:-1])
    failure = units[-1].failure
    return None if failure is None else failure.reason


@dataclass(frozen=True)
class Holdings:
    """What a process has of the system: open descriptors, processes (zombies too), shared memory."""

    descriptors: Mapping[str, str]
    children: frozenset[int]
    shared_memory: tuple[str, ...]


def holdings() -> Holdings:
    gc.collect()
    descriptors = {}
    for name in os.listdir("/proc/self/fd"):
        try:
            descriptors[name] = os.readlink(f"/proc/self/fd/{name}")
        except FileNotFoundError:
            continue  # the one that lists the folder
    children: set[int] = set()
    for task in Path("/proc/self/task").iterdir():
        children |= {int(pid) for pid in (task / "children").read_text().split()}
    lines = Path("/proc/self/maps").read_text().splitlines()
    shared = [line.split(maxsplit=5)[5] for line in lines if "/memfd:" in line or "/dev/shm/" in line]
    return Holdings(descriptors=descriptors, children=frozenset(children), shared_memory=tuple(sorted(shared)))


def leaked(before: Holdings, after: Holdings) -> list[str]:
    """What is held after and was not before."""
    new = sorted(set(after.descriptors.values()) - set(before.descriptors.values()))
    sockets = [name for name in new if name.startswith("socket:")]
    if len(sockets) <= OTHER_SOCKETS:
        new = [name for name in new if name not in sockets]
    children = [f"process {pid}" for pid in after.children - before.children]
    return [*new, *children, *(set(after.shared_memory) - set(before.shared_memory))]


def rss_mib(pid: int | str = "self") -> float:
    """Resident memory now."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20
