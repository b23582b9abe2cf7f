"""What goes with a row that is deepened: thought about after the fact, from the first answer that it has.

A row keeps the tokens of its first answer until the model has thought. They are given back to the model, which then
thinks, as if it had not been let go. Nothing is asked twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final

import pyarrow as pa

from framegate.schemas.columns import column, optional
from framegate.schemas.still import COPIED_FROM


@dataclass(frozen=True, kw_only=True)
class GivenAnswer:
    """The first answer that a row has, and that is gone on from.

    token_ids      of it, up to its end; None: a row of before they were kept, so that the question is asked anew
    answer_first   what stands in its first box
    confidence     of it, as the row has it; None where there was nothing to measure
    attempt        which attempt at this question of this clip the next one is, from 1
    audit_rank     its place in the audit sample; None where it is not in it
    """

    token_ids: tuple[int, ...] | None
    answer_first: str | None
    confidence: float | None
    attempt: int = 1
    audit_rank: float | None = None


@dataclass(frozen=True, kw_only=True)
class Thresholds:
    """What first answers are held against: `of_question` by question_hash, all others `default`."""

    default: float
    of_question: Mapping[str, float] = field(default_factory=dict)

    def of(self, question_hash: str) -> float:
        return self.of_question.get(question_hash, self.default)


Wanted = Mapping[tuple[int, str], GivenAnswer]
"""By (clip_index, question_hash): the rows of a video that are deepened."""

WANTED: Final = pa.struct(
    [
        column("clip_index", pa.int32(), "the clip"),
        column("question_hash", pa.string(), "the question"),
        optional("token_ids", pa.list_(pa.int32()), "of its first answer; null: they were not kept"),
        optional("answer_first", pa.string(), "what stands in its first box"),
        optional("confidence", pa.float64(), "of the first answer"),
        column("attempt", pa.int32(), "which attempt at it the next one is, from 1"),
        optional("audit_rank", pa.float64(), "its place in the audit sample; null: it is not in it"),
    ]
)
"""A row that is deepened, on its way from the plan to the engine."""

ANSWER_FIRST_TOKENS: Final = optional(
    "answer_first_tokens",
    pa.list_(pa.int32()),
    "ids of the tokens of the first answer, for `framegate deepen`; null where the model thought",
)
ENTROPY: Final = [
    optional(
        "entropy_peak_token", pa.int32(), "entropy_switch: token of the thought, from 0, where average entropy peaked"
    ),
    optional("entropy_final", pa.float64(), "entropy_switch: that average at the last token of the thought, in nats"),
]
"""What is known of the entropy of a thought, where the strategy watched it."""

DEEPENED: Final = [
    optional("deepened_at", pa.timestamp("us", tz="UTC"), "when it was thought about after the fact; null: it was not"),
    optional("deepened_run_id", pa.string(), "the run that did so"),
]
"""The columns of a row that was deepened, beside those of any row that was thought about."""

REPLACED: Final = (
    "answer", "answer_letter", "answer_number", "answer_bool", "answer_second", "answer_second_value",
    "confidence_second", "thinking", "gate_reason", "thinking_text", "span_start_seconds", "span_end_seconds",
    "num_thinking_tokens", "num_chunks", "finish_reason", "status", ANSWER_FIRST_TOKENS.name,
    *(field.name for field in (*ENTROPY, *DEEPENED)), COPIED_FROM.name,
)  # fmt: skip
"""The columns of a row that have other values once it is deepened."""

ADDED: Final = ("engine_seconds", "prompt_seconds", "first_answer_seconds", "thinking_seconds")
"""Those that grow by what deepening took."""

GATE_COLUMN: Final = "threshold"
"""The one that gets the threshold which the row was deepened for, where there was one."""


def wanted_rows(wanted: Wanted | None) -> list[dict[str, Any]] | None:
    """As WANTED has them, in order; None of None."""
    if wanted is None:
        return None
    return [
        {"clip_index": clip_index, "question_hash": question_hash, **asdict(given)}
        for (clip_index, question_hash), given in sorted(wanted.items(), key=lambda item: item[0])
    ]


def wanted_of(rows: Iterable[Mapping[str, Any]] | None) -> dict[tuple[int, str], GivenAnswer] | None:
    """From rows in WANTED; None of None."""
    if rows is None:
        return None
    return {
        (row["clip_index"], row["question_hash"]): GivenAnswer(
            token_ids=None if row["token_ids"] is None else tuple(row["token_ids"]),
            answer_first=row["answer_first"],
            confidence=row["confidence"],
            attempt=row["attempt"],
            audit_rank=row["audit_rank"],
        )
        for row in rows
    }


DEEPENABLE: Final = pa.schema(
    [
        column("video_id", pa.string(), "16 hex digits for URI and version"),
        column("video_uri", pa.string(), "where the video was found"),
        column("clip_index", pa.int32(), "the clip"),
        column("question_id", pa.string(), "as the row has it"),
        column("question_hash", pa.string(), "16 hex digits for the question's text, type and options"),
        column("question", pa.string(), "the question's text"),
        column("answer_type", pa.string(), "choice, yes_no, number, text or span"),
        optional("question_options", pa.list_(pa.string()), "the options of a choice question"),
        optional("answer_first", pa.string(), "what stands in the first box"),
        optional("confidence_first", pa.float64(), "of the first answer"),
        column("gate_reason", pa.string(), "why the model did not think"),
        optional(ANSWER_FIRST_TOKENS.name, ANSWER_FIRST_TOKENS.type, "null: they were not kept"),
        optional("audit_rank", pa.float64(), "its place in the audit sample; null: it is not in it"),
        column("num_failures", pa.int32(), "attempts at this question of this clip that have failed"),
        optional("failed_reason", pa.string(), "reason code of the last one since it was answered"),
        optional("failed_at", pa.timestamp("us", tz="UTC"), "when that was"),
    ]
)
"""A row that was not thought about and is chosen to be, as storage has it."""
