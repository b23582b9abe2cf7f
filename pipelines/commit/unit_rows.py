"""An answered unit as the rows that are kept: a table in the JOURNAL schema, plus the manifest's columns.

The unit is held to its contract before anything is written: every question of every clip is there once. One that was
deepened has rows of its own kind (`pipelines.commit.deepened_rows`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import Any

import pyarrow as pa

from framegate.pipelines.commit.deepened_rows import deepened_rows
from framegate.schemas.clip import Clip, ClipLook
from framegate.schemas.errors import FramegateError
from framegate.schemas.qa import Answer
from framegate.schemas.start_time import WallClock
from framegate.schemas.tables import INPUT_PREFIX, JOURNAL
from framegate.schemas.unanswered import Failure
from framegate.schemas.unit import AnsweredClip, AnsweredUnit, clip_row

# What failures say of a clip: the rest of it stands in the rows of its answers.
_FAILURE_CLIP = ("clip_index", "start_seconds", "end_seconds", "clip_is_last")


@dataclass(frozen=True, kw_only=True)
class RunFacts:
    """What all rows of one run share. `question_ids` maps hashes to ids of the bank in use, `question_since` to when
    this output was first asked them, where known, and `clock` tells when a video began. `clip_policy` names how videos
    are cut (`schemas.config.clip_policy`)."""

    run_id: str
    config_id: str
    model: str
    strategy: str
    engine: str
    question_ids: Mapping[str, str]
    question_since: Mapping[str, datetime | None]
    clip_policy: str = ""
    clock: WallClock = field(default_factory=WallClock)


def journal_table(unit: AnsweredUnit, facts: RunFacts, *, written_at: datetime) -> pa.Table:
    """The rows of one unit. Raises FramegateError where a question is lost or answered twice."""
    shared = {
        "video_uri": unit.video.uri,
        "video_id": unit.video.video_id,
        "run_id": facts.run_id,
        "written_at": written_at,
        "decoder": unit.decoder or None,
    }
    began = facts.clock.start_of(unit.video.inputs, unit.facts, before=written_at)
    attempts = dict(zip(unit.question_hashes, unit.attempts, strict=True)) if unit.clips else {}
    rows: list[dict[str, Any]] = []
    for clip in unit.clips:
        columns = clip_row(clip, num_frames=clip.num_frames) | _clock_columns(clip.clip, began)
        _check_questions(unit, clip)
        of_answers = {"video_version": unit.video.version, **columns, **_frames(clip)}
        rows += [_answer(shared, of_answers, answer, facts) for answer in clip.answers]
        rows += [_failed_question(shared, columns, *failed, attempts, facts) for failed in clip.failures]
        if clip.look is not None:
            rows.append(_clip(shared, columns, unit, clip, clip.look, facts))
    if unit.failure is not None:
        rows.append(_undecoded(shared, unit, unit.failure))
    if unit.wanted is not None:
        rows = [*deepened_rows(rows, unit.wanted, facts.question_ids, written_at=written_at)]
    return _append_inputs(pa.Table.from_pylist(rows, schema=JOURNAL), unit.video.inputs)


def _frames(clip: AnsweredClip) -> dict[str, Any]:
    height, width = clip.frame_size
    return {"frame_height": height, "frame_width": width, "clip_fps": clip.fps}


def _clock_columns(clip: Clip, began: datetime | None) -> dict[str, datetime | None]:
    if began is None:
        return {"clip_started_at": None, "clip_ended_at": None}
    start, end = (began + timedelta(seconds=seconds) for seconds in (clip.start_seconds, clip.end_seconds))
    return {"clip_started_at": start, "clip_ended_at": end}


def _answer(
    shared: Mapping[str, Any], clip_columns: Mapping[str, Any], answer: Answer, facts: RunFacts
) -> dict[str, Any]:
    question = answer.question
    return {
        "row_kind": "answer",
        **shared,
        **clip_columns,
        "question_id": question.id,
        "question_hash": question.hash,
        "question": question.text,
        "answer_type": question.type,
        "question_options": list(question.options) or None,
        "question_since": facts.question_since.get(question.hash),
        "answer": answer.answer,
        "answer_letter": answer.answer_letter,
        "answer_number": answer.answer_number,
        "answer_bool": answer.answer_bool,
        "answer_first_value": answer.answer_first_value,
        "answer_second_value": answer.answer_second_value,
        "answer_first": answer.answer_first,
        "answer_second": answer.answer_second,
        "confidence_first": answer.confidence_first,
        "confidence_second": answer.confidence_second,
        "confidence_min_probability": answer.confidence_min_probability,
        "confidence_margin": answer.confidence_margin,
        "confidence_entropy": answer.confidence_entropy,
        "thinking": answer.thinking,
        "gate_reason": answer.verdict.reason,
        "thinking_text": answer.thinking_text,
        "span_start_seconds": answer.span_start_seconds,
        "span_end_seconds": answer.span_end_seconds,
        "num_prompt_tokens": answer.num_prompt_tokens,
        "num_video_tokens": answer.num_video_tokens,
        "num_video_tokens_full": answer.num_video_tokens_full,
        "num_answer_tokens": answer.num_answer_tokens,
        "num_thinking_tokens": answer.num_thinking_tokens,
        "num_chunks": answer.num_chunks,
        "finish_reason": answer.finish_reason,
        "status": answer.status,
        "engine_seconds": answer.engine_seconds,
        "prompt_seconds": answer.prompt_seconds,
        "first_answer_seconds": max(0.0, answer.engine_seconds - answer.prompt_seconds - answer.thinking_seconds),
        "thinking_seconds": answer.thinking_seconds,
        "answer_first_tokens": answer.first_token_ids,
        "asks": None if answer.asks is None else [asdict(ask) for ask in answer.asks],
        "agreement": answer.agreement,
        "entropy_peak_token": answer.entropy_peak_token,
        "entropy_final": answer.entropy_final,
        "threshold": answer.threshold,
        "audit_rank": answer.audit_rank,
        "audit_rate": answer.audit_rate,
        "copied_from": answer.copied_from,
        "answer_asked": answer.answer_asked,
        "prune_levels": answer.prune_levels,
        "prune_answers": None if answer.prune_answers is None else [asdict(one) for one in answer.prune_answers],
        "answer_whole": answer.answer_whole,
        "model": facts.model,
        "strategy": facts.strategy,
        "engine": facts.engine,
    }


def _clip(
    shared: Mapping[str, Any],
    clip_columns: Mapping[str, Any],
    unit: AnsweredUnit,
    clip: AnsweredClip,
    look: ClipLook,
    facts: RunFacts,
) -> dict[str, Any]:
    return {
        "row_kind": "clip",
        **shared,
        **clip_columns,
        "clip_policy": facts.clip_policy,
        **asdict(look),
        "embedding": clip.embedding,
        **({} if clip.steps is None else asdict(clip.steps)),
        **({} if unit.facts is None else asdict(unit.facts)),
    }


def _failed_question(
    shared: Mapping[str, Any],
    clip_columns: Mapping[str, Any],
    question_hash: str,
    failure: Failure,
    attempts: Mapping[str, int],
    facts: RunFacts,
) -> dict[str, Any]:
    return {
        "row_kind": "failure",
        **shared,
        **{name: clip_columns[name] for name in _FAILURE_CLIP},
        "question_id": facts.question_ids[question_hash],
        "question_hash": question_hash,
        **asdict(failure),
        "attempts": attempts[question_hash],
    }


def _undecoded(shared: Mapping[str, Any], unit: AnsweredUnit, failure: Failure) -> dict[str, Any]:
    return {
        "row_kind": "failure",
        **shared,
        "clip_index": unit.failed_clip_index,
        "clip_is_last": True,
        **asdict(failure),
        "attempts": unit.failed_attempt,
        "bytes_read": unit.failed_bytes_read,
    }


def _check_questions(unit: AnsweredUnit, clip: AnsweredClip) -> None:
    came = [*(answer.question.hash for answer in clip.answers), *(hash for hash, _ in clip.failures)]
    if sorted(came) != sorted(unit.question_hashes):
        raise FramegateError(
            f"clip {clip.clip.index} of {unit.video.uri} was asked {len(unit.question_hashes)} questions and"
            f" came back with {len(came)} ({len(set(came))} different): the reason stage broke its contract"
        )


def _append_inputs(table: pa.Table, inputs: Mapping[str, object]) -> pa.Table:
    if not inputs:
        return table
    row = pa.Table.from_pylist([dict(inputs)])
    for name in row.column_names:
        value = row.column(name)[0]
        column = pa.repeat(value, table.num_rows)
        table = table.append_column(pa.field(INPUT_PREFIX + name, value.type), column)
    return table
