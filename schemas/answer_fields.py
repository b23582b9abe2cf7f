"""The columns of one answer, as every table with answers has them."""

from __future__ import annotations

from typing import Final

import pyarrow as pa

from framegate.schemas.asks import ASKS
from framegate.schemas.columns import column, optional
from framegate.schemas.deepening import ANSWER_FIRST_TOKENS, ENTROPY

_MEASURED = [
    optional(
        "confidence_min_probability",
        pa.float64(),
        "probability of the first answer's least probable token; if asked for",
    ),
    optional(
        "confidence_margin", pa.float64(), "mean lead of the first answer's tokens over the next best; if asked for"
    ),
    optional("confidence_entropy", pa.float64(), "mean entropy at the first answer's tokens, in nats; if asked for"),
]
"""Other measures of the first answer: null where `gate.measures` did not name them, or there was nothing to measure."""

ANSWER: Final = [
    column("question_id", pa.string(), "the question's id in the question bank"),
    column("question_hash", pa.string(), "16 hex digits for the question's text, type and options"),
    column("question", pa.string(), "the question's text"),
    column("answer_type", pa.string(), "choice, yes_no, number, text or span"),
    optional("question_options", pa.list_(pa.string()), "the options of a choice question, in order"),
    optional("question_since", pa.timestamp("us", tz="UTC"), "when a run first asked this wording of this output"),
    optional(
        "answer",
        pa.string(),
        "final answer as a person says it: option, yes/no, number, text or [start, end]",
    ),
    optional("answer_letter", pa.string(), "final answer to a choice question: A for the first option, B, ..."),
    optional("answer_number", pa.float64(), "final answer to a number question"),
    optional("answer_bool", pa.bool_(), "final answer to a yes_no question"),
    optional("answer_first_value", pa.string(), "the first answer, read like the final one"),
    optional("answer_second_value", pa.string(), "the second answer, read like the final one"),
    optional("answer_first", pa.string(), "what stands in the first box, before any thinking"),
    optional("answer_second", pa.string(), "what stands in the box after thinking"),
    optional("confidence_first", pa.float64(), "exp(mean log-probability) of the first answer's tokens"),
    optional("confidence_second", pa.float64(), "the same of the second answer's tokens"),
    *_MEASURED,
    column("thinking", pa.bool_(), "whether the model thought"),
    column("gate_reason", pa.string(), "why it did or did not: confident, unsure, deferred, audit, no_box, ..."),
    optional("thinking_text", pa.string(), "what it thought"),
    optional("span_start_seconds", pa.float64(), "a span answer's start in seconds of the video"),
    optional("span_end_seconds", pa.float64(), "a span answer's end in seconds of the video"),
    column("num_prompt_tokens", pa.int32(), "tokens of the prompt, the video's included; of several asks the sum"),
    column("num_video_tokens", pa.int32(), "tokens of the prompt that stand for frames; of several asks the sum"),
    optional("num_video_tokens_full", pa.int32(), "as many were there before pruning; null: the job does not prune"),
    column("num_answer_tokens", pa.int32(), "tokens produced up to the end of the first answer"),
    column("num_thinking_tokens", pa.int32(), "tokens produced after the first answer, forced ones included"),
    optional("num_chunks", pa.int32(), "chunks that they were written in, by `bounded_thinking`; null: none"),
    column("finish_reason", pa.string(), "exit, answered, ended or thinking_budget"),
    column(
        "status",
        pa.string(),
        "answered, unparsed (no box can be read as its type), out_of_range (a span outside), deferred (no answer yet)",
    ),
    column("engine_seconds", pa.float64(), "this question's share of the engine's busy time"),
    optional("prompt_seconds", pa.float64(), "of these, before the first token: frames and question are read"),
    optional("first_answer_seconds", pa.float64(), "of these, from there to the end of the first answer"),
    optional("thinking_seconds", pa.float64(), "of these, after the first answer"),
    ANSWER_FIRST_TOKENS,
    *ASKS,
    *ENTROPY,
]
"""Columns of one answer. Those that other parts share are ANSWER_FIRST_TOKENS, ASKS and ENTROPY."""

NEWER_OF_ANSWERS: Final = (
    next(f for f in ANSWER if f.name == "num_chunks"),
    ANSWER_FIRST_TOKENS,
    *_MEASURED,
    *ASKS,
    *ENTROPY,
)
"""Of these, the ones that rows of earlier versions do not have."""
