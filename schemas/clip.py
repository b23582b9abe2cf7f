"""What is looked at: a Video (with its Member, Refusal and VideoFacts), a Clip of it, the clip's FrameBatch."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

import numpy as np

from framegate.schemas.signatures import hide


def make_video_id(uri: str, version: str) -> str:
    """16 hex digits that stand for the bytes at `uri` as of `version` (etag, or size and mtime)."""
    return hashlib.sha256(f"{uri}\n{version}".encode()).hexdigest()[:16]


@dataclass(frozen=True, kw_only=True)
class Member:
    """Where a video lies in a tar shard: its name there, and the shard's byte that is its first."""

    name: str
    offset_bytes: int


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """Why a video is given up before a byte of it is read. `reason` is a code of `schemas.errors`. The message holds no
    signature of a URL."""

    reason: str
    message: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "message", hide(self.message))


@dataclass(frozen=True, kw_only=True)
class Video:
    """One object in storage, or one member of a tar shard, that should hold a video.

    uri         of the object; of a member: `<uri of the shard>#<name>`
    version     of the object; a member's is that of its shard
    size_bytes  of the video itself
    inputs      the user's manifest columns and a member's side files, unprefixed
    access      the query of an http URL, which may be a secret: goes to the server, and into no row, log or error
    """

    uri: str
    version: str
    size_bytes: int
    inputs: Mapping[str, object] = field(default_factory=dict)
    member: Member | None = None
    refusal: Refusal | None = None
    access: str = field(default="", repr=False, compare=False)

    @property
    def video_id(self) -> str:
        return make_video_id(self.uri, self.version)

    @property
    def object_uri(self) -> str:
        """What storage is asked for: the shard where the video is a member of one."""
        return self.uri if self.member is None else self.uri.removesuffix("#" + self.member.name)


@dataclass(frozen=True, kw_only=True)
class VideoFacts:
    """What the opened file says of itself.

    height, width   of the first frame as a player shows it, in pixels
    fps             average frame rate; None where the container gives none
    rotation        degrees by which the stored picture is turned to the right before it is shown: 0, 90, 180 or 270
    created_at      when the file says that it was made, or recording began (`readers.creation_time`); None: it does not
    """

    duration_seconds: float
    container: str
    codec: str
    fps: float | None
    height: int
    width: int
    rotation: int = 0
    created_at: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class Clip:
    """The stretch [start_seconds, end_seconds) of one video; `index` counts from 0 within the video."""

    video_id: str
    index: int
    start_seconds: float
    end_seconds: float

    def __post_init__(self) -> None:
        if not 0 <= self.start_seconds < self.end_seconds:
            raise ValueError(
                "a clip must start at or after 0 and end after its start,"
                f" got [{self.start_seconds}, {self.end_seconds})"
            )


@dataclass(frozen=True, kw_only=True)
class ClipLook:
    """What a clip looks like, in some kilobytes.

    thumbnail  its middle frame as a small JPEG
    motion     mean difference between selected frames and those before them, 0 to 1; None where there is one frame
    darkness   share of it that is nearly black, 0 to 1
    """

    thumbnail: bytes = field(repr=False)
    motion: float | None
    darkness: float


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class FrameBatch:
    """The frames that were selected from one clip.

    frames_THWC      uint8 RGB, (T, H, W, 3), contiguous
    pts_seconds      float64 (T,), presentation times in seconds of the *video*, strictly increasing
    duration_seconds how long the clip lasts, in seconds
    has_gaps         frames between these were left out, in whole temporal steps
    """

    frames_THWC: np.ndarray
    pts_seconds: np.ndarray
    duration_seconds: float
    has_gaps: bool = False

    def __post_init__(self) -> None:
        frames, pts = self.frames_THWC, self.pts_seconds
        if frames.ndim != 4 or frames.shape[-1] != 3 or frames.dtype != np.uint8:
            raise ValueError(f"frames_THWC must be uint8 of shape (T, H, W, 3), got {frames.dtype} {frames.shape}")
        if frames.shape[0] == 0:
            raise ValueError("a FrameBatch needs at least one frame, got none")
        if pts.shape != (frames.shape[0],):
            raise ValueError(f"pts_seconds must have shape ({frames.shape[0]},), got {pts.shape}")
        if (np.diff(pts) <= 0).any():
            raise ValueError(f"pts_seconds must increase strictly, got {pts.tolist()}")

    def __len__(self) -> int:
        return self.frames_THWC.shape[0]

    def __repr__(self) -> str:
        shape = tuple(self.frames_THWC.shape)
        return (
            f"FrameBatch(frames_THWC={shape}, pts_seconds={self.pts_seconds[0]:.3f}..{self.pts_seconds[-1]:.3f},"
            f" duration_seconds={self.duration_seconds:.3f})"
        )
