"""What is asked and what comes back: Question, Verdict, Answer."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Literal

AnswerType = Literal["choice", "yes_no", "number", "text", "span"]
ThinkPolicy = Literal["auto", "never", "always"]
Route = Literal["exit", "think"]
Measure = Literal["min_probability", "margin", "entropy"]
Status = Literal["answered", "unparsed", "out_of_range", "deferred"]

ANSWER_TYPES: tuple[AnswerType, ...] = ("choice", "yes_no", "number", "text", "span")
OPTION_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


@dataclass(frozen=True, kw_only=True)
class Question:
    """One entry of the question bank.

    `options` are the texts of a choice question in order; option i is answered with OPTION_LETTERS[i].
    `think` overrides the strategy for this question alone, and `threshold` the gate's threshold (None: the gate's own).
    Neither is part of `hash`, as they change no wording.
    """

    id: str
    text: str
    type: AnswerType = "text"
    options: tuple[str, ...] = ()
    think: ThinkPolicy = "auto"
    threshold: float | None = None

    @property
    def hash(self) -> str:
        """16 hex digits that stand for what is asked (text, type, options) and not for the id."""
        canonical = json.dumps([self.text, self.type, list(self.options)], ensure_ascii=False)
        return hashlib.sha256(canonical.encode()).hexdigest()[:16]


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What a strategy decided after the first answer. `reason` is a word of its own for why. `confidence` is None where
    there was nothing to measure."""

    route: Route
    reason: str
    confidence: float | None


@dataclass(frozen=True, kw_only=True)
class AskRow:
    """What a row says of one of its asks.

    `label` is the strategy's own name for it. It saw `num_frames` frames, wrote `num_tokens`, and its prompt had
    `num_prompt_tokens`, of which `num_video_tokens` stand for frames. `confidence` is that of its first answer, None
    where there was nothing to measure, and `answer` what it came to, as `Answer.answer`. `thinking`: it thought.
    """

    label: str
    num_frames: int
    num_video_tokens: int
    num_prompt_tokens: int
    num_tokens: int
    confidence: float | None
    answer: str | None
    thinking: bool


@dataclass(frozen=True, kw_only=True)
class PrunedAnswer:
    """What one row answers at one level of pruning (`schemas.pruned`).

    `answer` and `status` are those of an Answer; `status` is `failed` where the question failed there. Tokens
    are those of its asks alone, and seconds what these took.
    """

    level: float
    answer: str | None
    status: str
    num_prompt_tokens: int = 0
    num_video_tokens: int = 0
    num_answer_tokens: int = 0
    num_thinking_tokens: int = 0
    engine_seconds: float = 0.0
    prompt_seconds: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Answer:
    """One question answered on one clip, as a strategy hands it over.

    `answer` is what a person would say: the option's text, yes or no, the number, the text, or `[start, end]` in
    seconds of the *video*. It is None where neither box can be read (`status = "unparsed"`), or only as a span that
    does not lie in the clip ("out_of_range"), or where there is no usable first answer and the row is to think later
    ("deferred"). `answer_first` and `answer_second` are the boxes' raw contents,
    `answer_first_value` and `answer_second_value` are these read like `answer`. `answer_letter`, `answer_number` and
    `answer_bool` are the answer to a choice, number and yes_no question in a type of its own.
    Token counts: `num_prompt_tokens` includes `num_video_tokens`, of which `num_video_tokens_full` were there before
    pruning (None: the job does not prune); `num_answer_tokens` is what was produced up to the
    end of the first answer; `num_thinking_tokens` everything produced after it, forced tokens included.
    `finish_reason` is the strategy's own word for how it ended. `engine_seconds` is this question's share of the
    engine's busy time, so that a sum over rows is the whole; `prompt_seconds` of it went by before the first token, and
    `thinking_seconds` after the first answer. `unparsed_text` is all that the model wrote, where it
    could not be read; it is not stored, and shown where a run is stopped for it. `first_token_ids` are those of the
    first answer, where nothing follows it: `framegate deepen` goes on from them. `num_chunks` is in how many chunks it
    thought, None where the strategy has none, or it did not think.
    `threshold` is what the first answer's confidence was held against, None where nothing was. `audit_rank` is there
    where the row is in the audit sample of `audit_rate`. One that thought for that reason alone (`reason = "audit"`)
    has its first answer as `answer`, as if it had exited.
    `confidence_min_probability`, `confidence_margin` and `confidence_entropy` are other measures of the first answer
    (`pipelines.reason.asking.confidence`): None where they were not asked for, or there was nothing to measure.
    `asks` has every ask in order, of a strategy that may have several; the counts of tokens and seconds are then sums
    over them. `agreement` is the share of their votes, or the mean of their probabilities, that the answer got.
    `entropy_peak_token` and `entropy_final` are there where a strategy watched the entropy of the thought: the place,
    from 0, of the token of the thought at which the entropy's moving average had its peak, and that average, in nats,
    at its last token.
    `copied_from` is the index of the clip whose answer this is, where the row took it over (`schemas.still`). All that
    says how the answer came about is that row's, and nothing was spent. Where such a row is in the audit sample it was
    asked all the same: `answer_asked` is what came of it, read like `answer`, and what it took stands in the counts.
    `prune_levels` and `prune_answers` are those of `schemas.pruned`: where the job prunes and audits rows, the levels
    of pruning at which rows of the sample are answered, and of such a row its answers. `answer_whole` is the one at 0.
    Seconds of the row are those of all of them, tokens those at the job's own level.
    """

    question: Question
    answer: str | None
    answer_first: str | None
    answer_second: str | None
    confidence_first: float | None
    confidence_second: float | None
    verdict: Verdict
    thinking: bool
    thinking_text: str | None
    span_start_seconds: float | None
    span_end_seconds: float | None
    num_prompt_tokens: int
    num_video_tokens: int
    num_answer_tokens: int
    num_thinking_tokens: int
    finish_reason: str
    status: Status
    engine_seconds: float
    prompt_seconds: float = 0.0
    thinking_seconds: float = 0.0
    answer_letter: str | None = None
    answer_number: float | None = None
    answer_bool: bool | None = None
    answer_first_value: str | None = None
    answer_second_value: str | None = None
    num_video_tokens_full: int | None = None
    threshold: float | None = None
    audit_rank: float | None = None
    audit_rate: float | None = None
    unparsed_text: str | None = None
    first_token_ids: tuple[int, ...] | None = None
    confidence_min_probability: float | None = None
    confidence_margin: float | None = None
    confidence_entropy: float | None = None
    asks: tuple[AskRow, ...] | None = None
    agreement: float | None = None
    entropy_peak_token: int | None = None
    entropy_final: float | None = None
    num_chunks: int | None = None
    copied_from: int | None = None
    answer_asked: str | None = None
    prune_levels: tuple[float, ...] | None = None
    prune_answers: tuple[PrunedAnswer, ...] | None = None
    answer_whole: str | None = None
