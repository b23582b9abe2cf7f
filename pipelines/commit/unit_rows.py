"""An answered unit as the rows that are kept: a table in the JOURNAL schema, plus the manifest's columns.

Holds the unit to its contract before anything is written: every question of every clip is there once. Knows nothing of
storage.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pyarrow as pa

from framegate.schemas.errors import FramegateError
from framegate.schemas.rows import inputs_table
from framegate.schemas.tables import INPUT_PREFIX, JOURNAL


@dataclass(frozen=True, kw_only=True)
class RunFacts:
    """What all rows of one run share. `question_ids` maps hashes to ids of the bank in use."""

    run_id: str
    config_id: str
    model: str
    strategy: str
    engine: str
    threshold: float | None
    question_ids: Mapping[str, str]


def journal_table(unit: Mapping[str, Any], facts: RunFacts, *, written_at: datetime) -> pa.Table:
    """The rows of one unit (a row of ANSWERED). Raises FramegateError where a question is lost or answered twice."""
    shared = {
        "video_uri": unit["video_uri"],
        "video_id": unit["video_id"],
        "run_id": facts.run_id,
        "written_at": written_at,
        "decoder": unit["decoder"] or None,
    }
    rows: list[dict[str, Any]] = []
    for clip in unit["clips"]:
        _check_questions(unit, clip)
        attempts = dict(zip(unit["question_hashes"], unit["attempts"], strict=True))
        rows += [_answer(shared, clip, answer, facts) for answer in clip["answers"]]
        rows += [_failed_question(shared, clip, failure, attempts, facts) for failure in clip["failures"]]
    if unit["failure"] is not None:
        rows.append(_undecoded(shared, unit))
    table = pa.Table.from_pylist(rows, schema=JOURNAL)
    return _append_inputs(table, unit["inputs"])


def _answer(shared: Mapping, clip: Mapping, answer: Mapping, facts: RunFacts) -> dict[str, Any]:
    return {
        "row_kind": "answer",
        **shared,
        **_clip(clip),
        **answer,
        "num_frames": clip["num_frames"],
        "clip_is_truncated": clip["clip_is_truncated"],
        "decode_seconds": clip["decode_seconds"],
        "bytes_read": clip["bytes_read"],
        "threshold": facts.threshold,
        "model": facts.model,
        "strategy": facts.strategy,
        "engine": facts.engine,
    }


def _failed_question(
    shared: Mapping, clip: Mapping, failure: Mapping, attempts: Mapping[str, int], facts: RunFacts
) -> dict[str, Any]:
    return {
        "row_kind": "failure",
        **shared,
        **_clip(clip),
        **failure,
        "question_id": facts.question_ids[failure["question_hash"]],
        "attempts": attempts[failure["question_hash"]],
    }


def _undecoded(shared: Mapping, unit: Mapping) -> dict[str, Any]:
    index = unit["failed_clip_index"]
    return {
        "row_kind": "failure",
        **shared,
        "clip_index": index,
        "clip_is_last": True,
        **unit["failure"],
        "attempts": unit["failed_attempt"],
        "bytes_read": unit["failed_bytes_read"],
    }


def _clip(clip: Mapping) -> dict[str, Any]:
    return {name: clip[name] for name in ("clip_index", "start_seconds", "end_seconds", "clip_is_last")}


def _check_questions(unit: Mapping, clip: Mapping) -> None:
    came: Sequence[str] = [row["question_hash"] for row in [*clip["answers"], *clip["failures"]]]
    if sorted(came) != sorted(unit["question_hashes"]):
        raise FramegateError(
            f"clip {clip['clip_index']} of {unit['video_uri']} was asked {len(unit['question_hashes'])} questions and"
            f" came back with {len(came)} ({len(set(came))} different): the reason stage broke its contract"
        )


def _append_inputs(table: pa.Table, inputs: bytes) -> pa.Table:
    row = inputs_table(inputs)
    if row is None:
        return table
    for name in row.column_names:
        value = row.column(name)[0]
        column = pa.repeat(value, table.num_rows)
        table = table.append_column(pa.field(INPUT_PREFIX + name, value.type), column)
    return table
