"""Still clips: those that show what an earlier clip of their unit shows, and take over its answers.

`clips.same_within` asks for it. What "the same" is says `pipelines.decode.still`. An answer is taken over where its
question is asked in the same unit of the clip that is shown again, and does not speak of time. Rows of the audit sample
are asked all the same, so that calibration can compare what was taken over with what the clip itself answers.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final

import pyarrow as pa

from framegate.schemas.audit_sample import AuditSample, clip_key
from framegate.schemas.columns import column, optional


@dataclass(frozen=True, kw_only=True)
class SameAs:
    """
    clip_index   the clip of the same unit whose picture is shown: one that is asked itself, and shows its own
    asked        by hash, the questions that are asked of the later clip all the same; with none, its pixels stay behind
    """

    clip_index: int
    asked: tuple[str, ...] = ()

    @staticmethod
    def of_row(row: Mapping[str, Any]) -> SameAs:
        """From a struct of SAME_AS."""
        return SameAs(clip_index=row["clip_index"], asked=tuple(row["asked"]))


SAME_AS: Final = pa.struct(
    [
        column("clip_index", pa.int32(), "the clip of this unit whose picture is shown"),
        column(
            "asked", pa.list_(pa.string()), "questions that are asked all the same; with none, pixels are that clip's"
        ),
    ]
)
"""SameAs, on its way from the decoder to the engine."""

COPIED_FROM: Final = optional(
    "copied_from", pa.int32(), "the clip whose answer this is, as it showed the same; null: the row was asked itself"
)
COPIED: Final = [
    COPIED_FROM,
    optional("answer_asked", pa.string(), "of an audited row with `copied_from`: what the clip itself answered"),
]
"""The columns of a row that took over its answer."""


@dataclass(frozen=True, kw_only=True)
class StillClips:
    """Which rows take over an answer.

    within   grey levels, 0 or more; 0 is equality of all pixels
    timed    hashes of questions whose answers speak of time: these are asked of every clip
    audit    rows that are asked all the same, to compare; None: none is
    """

    within: float
    timed: frozenset[str] = frozenset()
    audit: AuditSample | None = None

    def asks(self, video_id: str, clip_index: int, question_hash: str) -> bool:
        """Whether a clip is asked this although it shows the same as another."""
        return question_hash in self.timed or self.audit_rank(video_id, clip_index, question_hash) is not None

    def audit_rank(self, video_id: str, clip_index: int, question_hash: str) -> float | None:
        """The row's place in the audit sample; None where it is not in it."""
        audit = self.audit
        return None if audit is None else audit.rank_if_in(clip_key(video_id, clip_index), question_hash)

    def share_with_pixels(self, question_hashes: Collection[str]) -> float:
        """Of clips that show the same, about how many keep their pixels. It goes by no clip's own rank: which clips are
        in one unit must not depend on what is audited."""
        if not self.timed.isdisjoint(question_hashes):
            return 1.0
        if self.audit is None:
            return 0.0
        return min(1.0, self.audit.rate * (len(question_hashes) if self.audit.unit == "row" else 1))
