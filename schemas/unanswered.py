"""Why a video, a clip or a question has no answer."""

from __future__ import annotations

from dataclasses import dataclass

from framegate.schemas.signatures import hide


@dataclass(frozen=True, kw_only=True)
class Failure:
    """Why something has no answer. `stage` is decode or reason, `reason` a code of `schemas.errors`. The message
    holds no signature of a URL, whoever wrote it."""

    stage: str
    reason: str
    message: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "message", hide(self.message))
