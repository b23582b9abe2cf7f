"""Label: what a person says is the right answer of one row."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

MIN_LABELS: Final = 10
"""Labels of one question that count, below which nothing is estimated of how many of its answers are right."""


@dataclass(frozen=True, kw_only=True)
class Label:
    """`answer` is read like a row's `answer`: the option's text, yes or no, a number, `[start, end]` in seconds of the
    video, or words. `labelled_at` is in UTC."""

    video_id: str
    clip_index: int
    question_hash: str
    answer: str
    labelled_by: str
    labelled_at: datetime

    @property
    def key(self) -> tuple[str, int, str]:
        """Of the row, beside its config_id."""
        return self.video_id, self.clip_index, self.question_hash
