"""Rows of the audit sample of a job that prunes, answered at other levels of it: without pruning, and at those named.

    of a row                      it says
    of the audit sample           its answer, as without the audit; beside it what it answers at each level
    of a gate, not of the sample  its answer, and the levels at which rows of the sample are answered
    else                          its answer

Each such answer is what the strategy finds about the same clip and question, as if no row were audited. Rows are asked
so once their own answers are there, as it is known then which rows they are: what failed has none to compare with, and
what was taken over from another clip was not pruned.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from framegate.pipelines.reason.questions import Finished
from framegate.pipelines.reason.strategies.gated import Gated
from framegate.pipelines.reason.strategies.protocol import Capability, Strategy
from framegate.schemas.config.pruning import PruneConfig
from framegate.schemas.pruned import FAILED
from framegate.schemas.qa import Answer, PrunedAnswer
from framegate.schemas.unit import DecodedUnit

NEEDS: Final[frozenset[Capability]] = frozenset({"pruning"})

FoundByClip = Sequence[dict[str, Finished]]
"""Of each clip of a unit, by question_hash, what came back."""

Place = tuple[int, float]
"""The place of a clip in its unit, and a level."""


@dataclass(frozen=True, kw_only=True)
class PruneAudit:
    """`own` is how the job prunes, `levels` where rows of the sample are answered, the job's level among them."""

    own: PruneConfig
    levels: tuple[float, ...]

    @property
    def others(self) -> tuple[PruneConfig, ...]:
        """How clips are pruned that are asked for the audit alone."""
        return tuple(self.own.at(level) for level in self.levels if level != self.own.level)

    @property
    def needs(self) -> frozenset[Capability]:
        """Of an engine."""
        return NEEDS if self.others else frozenset()


def prune_audit(prune: PruneConfig | None, strategy: Strategy) -> PruneAudit | None:
    """Of a run; None where nothing is pruned, or no row is audited."""
    audit = strategy.audit if isinstance(strategy, Gated) else None
    if prune is None or audit is None or not audit.rate:
        return None
    return PruneAudit(own=prune, levels=tuple(sorted({0.0, prune.level, *prune.audit_levels})))


def audited_of(unit: DecodedUnit, found: FoundByClip) -> dict[int, tuple[str, ...]]:
    """By the place of a clip, the questions that are asked at other levels. None is of rows that are deepened: what
    they answered before stands in them."""
    if unit.wanted is not None:
        return {}
    audited = {
        place: tuple(one for one in unit.question_hashes if _is_audited(by_hash[one].answer))
        for place, by_hash in enumerate(found)
    }
    return {place: hashes for place, hashes in audited.items() if hashes}


def add_answers(
    found: FoundByClip, unit: DecodedUnit, audit: PruneAudit | None, others: Mapping[Place, Mapping[str, Finished]]
) -> None:
    """Puts into the rows of `found` what they say of pruning. `others`: by question_hash, what came back at levels that
    are not the job's."""
    if audit is None or unit.wanted is not None:
        return
    for place, by_hash in enumerate(found):
        for question_hash, one in by_hash.items():
            answer = one.answer
            if answer is None or answer.copied_from is not None or answer.audit_rate is None:
                continue
            row = replace(answer, prune_levels=audit.levels)
            if _is_audited(answer):
                asked = {
                    level: others[place, level][question_hash] for level in audit.levels if level != audit.own.level
                }
                told = [_told(level, asked[level].answer if level in asked else answer) for level in audit.levels]
                row = _with_answers(row, told, [each.answer for each in asked.values() if each.answer is not None])
            by_hash[question_hash] = replace(one, answer=row)


def _with_answers(row: Answer, told: Iterable[PrunedAnswer], others: Sequence[Answer]) -> Answer:
    answers = tuple(told)
    return replace(
        row,
        prune_answers=answers,
        answer_whole=answers[0].answer,
        engine_seconds=row.engine_seconds + sum(other.engine_seconds for other in others),
        prompt_seconds=row.prompt_seconds + sum(other.prompt_seconds for other in others),
        thinking_seconds=row.thinking_seconds + sum(other.thinking_seconds for other in others),
    )


def _told(level: float, answer: Answer | None) -> PrunedAnswer:
    if answer is None:
        return PrunedAnswer(level=level, answer=None, status=FAILED)
    return PrunedAnswer(
        level=level,
        answer=answer.answer,
        status=answer.status,
        num_prompt_tokens=answer.num_prompt_tokens,
        num_video_tokens=answer.num_video_tokens,
        num_answer_tokens=answer.num_answer_tokens,
        num_thinking_tokens=answer.num_thinking_tokens,
        engine_seconds=answer.engine_seconds,
        prompt_seconds=answer.prompt_seconds,
    )


def _is_audited(answer: Answer | None) -> bool:
    return answer is not None and answer.audit_rank is not None and answer.copied_from is None
