"""PruneCertificate: how much pruning an audit sample shows to change at most a share epsilon of the answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from framegate.schemas.audit_sample import AuditUnit


@dataclass(frozen=True, kw_only=True)
class PruneLevel:
    """What one level of pruning changes. Counts are of rows, or of clips where these were drawn.

    level           threshold of `change`, or rate of `evs`
    num_rows        of the sample that were answered at it and without pruning; `population`: what they were drawn from
    num_different   of these, whose answer is another one than without pruning
    bound           the share of the population that is, is at most this, with probability 1 - delta
    video_share     of video tokens, those that stay at it, in the sample
    prompt_share    of tokens of prompts, the same
    """

    level: float
    num_rows: int
    population: int
    num_different: int
    bound: float
    video_share: float
    prompt_share: float


@dataclass(frozen=True, kw_only=True)
class PruneCertificate:
    """One claim about the rows of an archive that a job with pruning answered, or of one question in it: at `level` at
    most a share epsilon has another answer than without pruning. It holds with probability 1 - delta.

    question_id    null: all rows
    level          the highest one before the first of `levels` that fails; None: the lowest one fails
    levels         above 0, from less pruning to more, each tested at delta; the first that fails ends it
    unit           what was drawn
    num_missing    rows that the sample is short of before the lowest level could pass
    num_together   so many certificates hold together with that probability: each is made at delta / num_together
    """

    question_id: str | None
    question_hash: str | None
    epsilon: float
    delta: float
    level: float | None
    levels: tuple[PruneLevel, ...]
    unit: AuditUnit
    num_missing: int
    num_together: int = 1

    @property
    def certified(self) -> PruneLevel | None:
        """What is known of `level`."""
        return next((one for one in self.levels if one.level == self.level), None)

    @staticmethod
    def from_document(document: Mapping[str, Any]) -> PruneCertificate:
        """Raises KeyError, TypeError where it is none."""
        values = dict(document)
        levels = tuple(PruneLevel(**each) for each in values.pop("levels"))
        return PruneCertificate(**values, levels=levels)
