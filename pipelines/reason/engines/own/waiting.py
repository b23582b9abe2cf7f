"""What an engine holds of a clip and of a question until they have been answered."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from framegate.pipelines.reason.engines.protocol import ClipRequest
from framegate.pipelines.reason.models.clip_prefix import ClipPrefix
from framegate.pipelines.reason.strategies.sequence import GatedSequence
from framegate.schemas.qa import Question


@dataclass(kw_only=True)
class Clip:
    """A clip with questions that have not come back; `prefix` is there from layout until it has been run."""

    number: int
    request: ClipRequest
    waiting: deque[Question]
    num_running: int = 0
    prefix: ClipPrefix | None = None
    is_placed: bool = False
    num_prefix_tokens: int = 0
    num_video_tokens: int = 0
    share_seconds: float = 0.0
    was_alone: bool = False  # when memory ran out


@dataclass(kw_only=True)
class Row:
    """One question that has a slot, or is about to get one; `next_token` goes in with the next step."""

    clip: Clip
    sequence: GatedSequence
    suffix: Sequence[int]
    next_token: int = -1
