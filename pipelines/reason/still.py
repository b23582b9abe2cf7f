"""Answers that are taken over: of a clip that shows what another clip of its unit shows, from that one's rows.

    of such a clip           its row
    a question is asked      its own answer, as of any clip: those that speak of time
    by the audit sample      the answer that is taken over, and beside it what the clip itself answered
    else                     the answer that is taken over

Where the other clip's question failed, the clip is asked itself. Where a row fails that the audit sample asks, it is a
failure like any: it is tried again, and asked then.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Final

from framegate.pipelines.reason.questions import Finished
from framegate.schemas.audit_sample import AuditSample, clip_key
from framegate.schemas.gate_reason import AUDIT, DEFERRED
from framegate.schemas.qa import Answer, Question, Verdict
from framegate.schemas.still import SameAs, StillClips
from framegate.schemas.unit import DecodedClip, DecodedUnit

TIMED: Final = frozenset({"span"})
"""Types of questions whose answers are times of the video, and so depend on when a clip begins."""

FoundByClip = Sequence[dict[str, Finished]]
"""Of each clip of a unit, by question_hash, what came back."""


def still_clips(within: float | None, questions: Iterable[Question], audit: AuditSample | None) -> StillClips | None:
    """The rule of a run; None where nothing is taken over. `audit`: of rows that take over answers, whatever the
    strategy."""
    if within is None:
        return None
    timed = frozenset(question.hash for question in questions if question.type in TIMED)
    return StillClips(within=within, timed=timed, audit=audit)


def asked_of(unit: DecodedUnit, clip: DecodedClip) -> tuple[str, ...]:
    """By hash the questions that are asked of a clip, before it is known whether others fail."""
    return unit.question_hashes if clip.same_as is None else clip.same_as.asked


def to_be_asked_again(unit: DecodedUnit, found: FoundByClip) -> dict[int, tuple[str, ...]]:
    """By the place of a clip, the questions that it cannot take over, as the clip that it is the same as failed."""
    again: dict[int, tuple[str, ...]] = {}
    for place, clip in enumerate(unit.clips):
        if clip.same_as is not None:
            root = found[_place_of(unit, clip.same_as)]
            open_ones = [one for one in unit.question_hashes if one not in found[place]]
            again[place] = tuple(one for one in open_ones if _answer_of(root[one], unit) is None)
    return {place: hashes for place, hashes in again.items() if hashes}


def take_over_all(unit: DecodedUnit, found: FoundByClip, audit: AuditSample | None) -> None:
    """Puts into `found` what is taken over. After it each question of each clip is there."""
    for place, clip in enumerate(unit.clips):
        if clip.same_as is None:
            continue
        root, key = found[_place_of(unit, clip.same_as)], clip_key(clip.clip.video_id, clip.clip.index)
        for question_hash in unit.question_hashes:
            source, own = root[question_hash], found[place].get(question_hash)
            answer = _answer_of(source, unit)
            if answer is None:
                continue
            copied = replace(take_over(answer, clip.same_as.clip_index), audit_rate=audit.rate if audit else None)
            rank = audit.rank_if_in(key, question_hash) if audit else None
            if own is None:
                found[place][question_hash] = replace(source, answer=copied)
            elif rank is not None and own.answer is not None and own.question.type not in TIMED:
                found[place][question_hash] = replace(own, answer=_with_own(copied, own.answer, rank))


def take_over(answer: Answer, clip_index: int) -> Answer:
    """The answer of the clip with that index, as the row of another clip has it: nothing was spent. One that thought
    for the audit sample alone is taken over as if it had exited. The text of thoughts, their chunks and the asks stay
    in the row that took them: whoever sums up their tokens counts them once."""
    if _is_audited_alone(answer):
        answer = replace(
            answer,
            verdict=Verdict(route="exit", reason="confident", confidence=answer.verdict.confidence),
            thinking=False,
            answer_second=None,
            answer_second_value=None,
            confidence_second=None,
            entropy_peak_token=None,
            entropy_final=None,
            finish_reason="exit",
        )
    return replace(
        answer,
        thinking_text=None,
        num_prompt_tokens=0,
        num_video_tokens=0,
        num_video_tokens_full=None if answer.num_video_tokens_full is None else 0,
        num_answer_tokens=0,
        num_thinking_tokens=0,
        engine_seconds=0.0,
        prompt_seconds=0.0,
        thinking_seconds=0.0,
        num_chunks=None,
        asks=None,
        audit_rank=None,
        copied_from=clip_index,
    )


def _with_own(copied: Answer, own: Answer, audit_rank: float) -> Answer:
    """What is taken over, with what the audit sample was told and what that took."""
    return replace(
        copied,
        answer_asked=own.answer,
        audit_rank=audit_rank,
        num_prompt_tokens=own.num_prompt_tokens,
        num_video_tokens=own.num_video_tokens,
        num_video_tokens_full=own.num_video_tokens_full,
        num_answer_tokens=own.num_answer_tokens,
        num_thinking_tokens=own.num_thinking_tokens,
        engine_seconds=own.engine_seconds,
        prompt_seconds=own.prompt_seconds,
        thinking_seconds=own.thinking_seconds,
    )


def _is_audited_alone(answer: Answer) -> bool:
    """Whether it thought, or is to think later, for the audit sample and for nothing else."""
    verdict = answer.verdict
    if verdict.reason == AUDIT:
        return True
    is_sure = verdict.confidence is not None and answer.threshold is not None and verdict.confidence >= answer.threshold
    return verdict.reason == DEFERRED and answer.audit_rank is not None and is_sure


def _place_of(unit: DecodedUnit, same_as: SameAs) -> int:
    """Clips of a unit are consecutive."""
    return same_as.clip_index - unit.clips[0].clip.index


def _answer_of(finished: Finished, unit: DecodedUnit) -> Answer | None:
    """The answer, where it can be taken over; None where it failed. A row that is deepened for the audit sample alone
    keeps its first answer, and says nothing of what is deepened for other reasons."""
    answer = finished.answer
    return None if answer is not None and unit.wanted is not None and answer.verdict.reason == AUDIT else answer
